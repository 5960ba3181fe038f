//! The answer without an index: by name alone, out of the catalogue. Invariant: it needs nothing but `state.db`, and shows what the
//! readers' door lets through.

use rusqlite::{Connection, named_params};

use super::expression::Expression;
use super::{Filter, HITS_LIMIT, Hit, More, Ranking, SearchPage, SearchQuery, sealed, shown};
use crate::domain::access::{Permit, Read};
use crate::domain::lifecycle::State;
use crate::error::Result;
use crate::store::{rows, versions};

/// Packages that are looked at: more than hits, since of some nothing is visible.
const PACKAGES_LIMIT: usize = 4 * HITS_LIMIT;

/// One page of versions whose package's name holds what was asked for.
pub(super) fn page(
    connection: &Connection,
    permits: &[Permit<Read>],
    query: &SearchQuery,
    expression: &Expression,
    filter: &Filter,
) -> Result<SearchPage> {
    let ranking = rank(connection, expression, filter)?;
    let mut statement = connection.prepare_cached("SELECT * FROM version_rows WHERE version_id = :id AND state = :visible")?;
    let mut items = Vec::new();
    for hit in ranking.hits.iter().skip(query.offset).take(query.limit) {
        let parameters = named_params! {":id": hit.version_id.to_string(), ":visible": State::Published.as_str()};
        for found in statement.query_map(parameters, |row| sealed(row, Vec::new()))? {
            items.extend(shown(permits, found?));
        }
    }
    Ok(SearchPage { items, total_count: ranking.hits.len() as u64, more: ranking.more, degraded: true })
}

fn rank(connection: &Connection, expression: &Expression, filter: &Filter) -> Result<Ranking> {
    let (name, version) = match (&expression.name_of_version, &expression.version) {
        (Some(name), Some(version)) => (name, version.as_str()),
        (Some(_) | None, _) => (&expression.name, ""),
    };
    if name.is_empty() {
        return Ok(Ranking { hits: Vec::new(), more: More::None });
    }
    let ranking = fill(connection, packages(connection, name, filter, Having::AnyVersion)?, version)?;
    if ranking.more == More::None || ranking.hits.len() == HITS_LIMIT {
        return Ok(ranking);
    }
    // There are more packages than were looked at, and among those some that nobody may see.
    fill(connection, packages(connection, name, filter, Having::VisibleVersion)?, version)
}

/// The visible versions of these packages that begin so, as far as there is room.
fn fill(connection: &Connection, packages: Vec<i64>, version: &str) -> Result<Ranking> {
    let mut ranking = Ranking { hits: Vec::new(), more: More::None };
    for (number, package_id) in packages.into_iter().enumerate() {
        let room = HITS_LIMIT - ranking.hits.len();
        if room == 0 || number == PACKAGES_LIMIT {
            ranking.more = More::Perhaps;
            break;
        }
        let mut found = newest(connection, package_id, version, room + 1)?;
        if found.len() > room {
            found.truncate(room);
            ranking.more = More::Perhaps;
        }
        ranking.hits.append(&mut found);
    }
    Ok(ranking)
}

/// The packages with something visible whose names hold what was asked for, and whether there are more.
pub(super) fn visible_packages(connection: &Connection, expression: &Expression, filter: &Filter) -> Result<(Vec<i64>, More)> {
    let name = expression.name_of_version.as_ref().unwrap_or(&expression.name);
    if name.is_empty() {
        return Ok((Vec::new(), More::None));
    }
    let mut found = packages(connection, name, filter, Having::VisibleVersion)?;
    let more = if found.len() > HITS_LIMIT { More::Perhaps } else { More::None };
    found.truncate(HITS_LIMIT);
    Ok((found, more))
}

/// Which packages are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Having {
    /// Any: of most packages something is visible, and asking that of each takes as long as all the rest.
    AnyVersion,
    /// Those of which something is visible.
    VisibleVersion,
}

/// Packages whose name holds this: the exact name first, then names that begin so, then the shortest.
fn packages(connection: &Connection, name: &str, filter: &Filter, having: Having) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT package_id, lower(name_key) AS plain, lower(ltrim(namespace_key, '@') || '/' || name_key) AS full FROM packages
         WHERE repo_key IN (SELECT value FROM json_each(:repos)) AND (:type IS NULL OR package_type = :type)
           AND (:namespace IS NULL OR lower(ltrim(namespace_key, '@')) = :namespace) AND instr(full, :name) > 0
           AND (:any OR EXISTS (SELECT 1 FROM versions WHERE versions.package_id = packages.package_id AND versions.state = :visible))
         ORDER BY plain <> :name AND full <> :name, full <> :name AND full <> '/' || :name,
                  substr(plain, 1, length(:name)) <> :name AND substr(full, 1, length(:name)) <> :name, namespace_key <> '',
                  length(plain), package_id DESC
         LIMIT :limit",
    )?;
    let found = statement.query_map(
        named_params! {
            ":repos": filter.repos, ":type": filter.package_type, ":namespace": filter.namespace, ":name": name,
            ":any": having == Having::AnyVersion, ":visible": State::Published.as_str(), ":limit": rows::stored(PACKAGES_LIMIT as u64 + 1),
        },
        |row| row.get("package_id"),
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The visible versions of a package that begin so, the highest by its ecosystem's rules first.
fn newest(connection: &Connection, package_id: i64, version: &str, limit: usize) -> Result<Vec<Hit>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM version_rows
         WHERE package_id = :package AND state = :visible AND substr(lower(version_key), 1, length(:version)) = :version
         ORDER BY published_at DESC LIMIT :limit",
    )?;
    let parameters = named_params! {
        ":package": package_id, ":visible": State::Published.as_str(), ":version": version, ":limit": rows::stored(limit as u64),
    };
    let found = statement.query_map(parameters, versions::version)?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    found.sort_by_cached_key(|version| std::cmp::Reverse((version.coordinates.sort_key(), version.published_at, version.id)));
    Ok(found.into_iter().map(|version| Hit { version_id: version.id, text_id: None }).collect())
}
