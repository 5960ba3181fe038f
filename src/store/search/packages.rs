//! Finding packages, one hit each. Invariant: a package is found and counted while something of it is visible, and what stands for it has
//! passed the readers' door; the work is bounded, whatever is asked.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::condition::IndexFault;
use super::expression::Expression;
use super::ranked::EXCERPT_LIMIT;
use super::{Filter, HITS_LIMIT, More, SearchQuery, catalogue, ranked, shown};
use crate::domain::access::{Permit, Read};
use crate::domain::lifecycle::State;
use crate::domain::version::Version;
use crate::domain::visibility::{Sealed, Standing, Visible};
use crate::error::Result;
use crate::store::{rows, versions};

/// Versions of one package among which the one is looked for that stands for it, the highest ones.
const CANDIDATES_LIMIT: usize = 100;

/// A package that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageHit {
    /// The version that stands for it.
    pub version: Version,
    /// What that says of itself, cut to a line or two; empty where the catalogue answers.
    pub summary: String,
}

/// Packages that were found.
#[derive(Debug, Clone, PartialEq)]
pub struct PackagePage {
    /// The packages of this page, best first.
    pub items: Vec<Visible<PackageHit>>,
    /// The packages that match, as far as they were looked at.
    pub total_count: u64,
    /// Whether there are more than were looked at.
    pub more: More,
    /// Whether the catalogue answered instead of the index.
    pub degraded: bool,
}

/// The answer of the index.
pub(super) fn of_index(
    search: &Connection,
    permits: &[Permit<Read>],
    query: &SearchQuery,
    expression: &Expression,
    filter: &Filter,
) -> Result<PackagePage, IndexFault> {
    let (mut found, mut more) = ranked::packages(search, expression, filter)?;
    if found.len() > HITS_LIMIT {
        found.truncate(HITS_LIMIT);
        more = More::Perhaps;
    }
    let mut visible = search.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM documents INDEXED BY documents_by_name
             CROSS JOIN state.versions AS live ON live.version_id = documents.version_id AND live.state = :visible
             WHERE documents.name_id = :id)",
    )?;
    let mut matching = Vec::with_capacity(found.len());
    for id in found {
        if visible.query_row(named_params! {":id": id, ":visible": State::Published.as_str()}, |row| row.get(0))? {
            matching.push(id);
        }
    }
    let mut candidates = search.prepare_cached(
        "SELECT documents.text_id, live.* FROM documents INDEXED BY documents_by_name
         CROSS JOIN state.version_rows AS live ON live.version_id = documents.version_id AND live.state = :visible
         WHERE documents.name_id = :id ORDER BY documents.sort_key DESC, documents.published_at DESC, documents.version_id LIMIT :limit",
    )?;
    let mut excerpt = search.prepare_cached("SELECT substr(description, 1, :limit) AS about FROM words WHERE rowid = :text")?;
    let mut items = Vec::new();
    for id in matching.iter().skip(query.offset).take(query.limit) {
        let parameters = named_params! {
            ":id": id, ":visible": State::Published.as_str(), ":limit": rows::stored(CANDIDATES_LIMIT as u64),
        };
        let found = candidates.query_map(parameters, |row| Ok((Candidate::read(row)?, row.get::<_, i64>("text_id")?)))?;
        let Some((candidate, text_id)) = best(found.collect::<rusqlite::Result<_>>()?) else { continue };
        let about: Option<String> =
            excerpt.query_row(named_params! {":limit": EXCERPT_LIMIT, ":text": text_id}, |row| row.get("about")).optional()?;
        items.extend(shown(permits, candidate.seal(about.unwrap_or_default())));
    }
    Ok(PackagePage { items, total_count: matching.len() as u64, more, degraded: false })
}

/// The answer without an index: by name alone.
pub(super) fn of_catalogue(
    connection: &Connection,
    permits: &[Permit<Read>],
    query: &SearchQuery,
    expression: &Expression,
    filter: &Filter,
) -> Result<PackagePage> {
    let (matching, more) = catalogue::visible_packages(connection, expression, filter)?;
    let mut newest = connection
        .prepare_cached("SELECT * FROM version_rows WHERE package_id = :id AND state = :visible ORDER BY published_at DESC LIMIT :limit")?;
    let mut items = Vec::new();
    for id in matching.iter().skip(query.offset).take(query.limit) {
        let parameters = named_params! {
            ":id": id, ":visible": State::Published.as_str(), ":limit": rows::stored(CANDIDATES_LIMIT as u64),
        };
        let found = newest.query_map(parameters, |row| Ok((Candidate::read(row)?, ())))?;
        let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        found.sort_by_cached_key(|(candidate, ())| {
            let version = &candidate.version;
            std::cmp::Reverse((version.coordinates.sort_key(), version.published_at, version.id))
        });
        items.extend(best(found).and_then(|(candidate, ())| shown(permits, candidate.seal(String::new()))));
    }
    Ok(PackagePage { items, total_count: matching.len() as u64, more, degraded: true })
}

/// A version that may stand for its package.
struct Candidate {
    version: Version,
    standing: Standing,
}

impl Candidate {
    fn read(row: &Row<'_>) -> rusqlite::Result<Candidate> {
        Ok(Candidate { version: versions::version(row)?, standing: versions::standing(row)? })
    }

    fn seal(self, summary: String) -> Sealed<PackageHit> {
        Sealed::new(self.version.repo.clone(), self.standing, PackageHit { version: self.version, summary })
    }
}

/// The first one that is neither yanked nor a pre-release, else the first that is not yanked, else the first.
fn best<T>(mut highest_first: Vec<(Candidate, T)>) -> Option<(Candidate, T)> {
    let rank = |(candidate, _): &(Candidate, T)| (candidate.version.yanked_reason.is_some(), candidate.version.coordinates.is_prerelease());
    let at = (0..highest_first.len()).min_by_key(|at| rank(&highest_first[*at]))?;
    Some(highest_first.swap_remove(at))
}
