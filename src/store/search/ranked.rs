//! The answer of the index. Invariant: the exact name comes first, then names that begin so, then versions that begin so, then
//! relevance; versions of one package come highest first by their ecosystem's rules; of each sort at most `HITS_LIMIT` matches are
//! looked at, the newest ones, so that a word that everything has costs no more than that.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, named_params};

use super::condition::IndexFault;
use super::expression::Expression;
use super::words::MARKS;
use super::{Filter, Fragment, HITS_LIMIT, Hit, More, Ranking, SearchPage, SearchQuery, sealed, shown};
use crate::domain::access::{Permit, Read};
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::store::rows;

/// Words of a snippet.
const SNIPPET_WORDS: i64 = 24;
/// Characters of a description that are shown where no word of it was asked for.
pub(super) const EXCERPT_LIMIT: i64 = 160;

/// One page of hits.
pub(super) fn page(
    search: &Connection,
    permits: &[Permit<Read>],
    query: &SearchQuery,
    expression: &Expression,
    filter: &Filter,
) -> Result<SearchPage, IndexFault> {
    let ranking = Ranker { search, filter, hits: Vec::new(), seen: HashSet::new(), more: More::None }.rank(expression)?;
    let on_page = ranking.hits.iter().skip(query.offset).take(query.limit).collect::<Vec<_>>();
    let snippets = snippets(search, expression, &on_page)?;
    let mut statement = search.prepare_cached("SELECT * FROM state.version_rows WHERE version_id = :id AND state = :visible")?;
    let mut items = Vec::with_capacity(on_page.len());
    for hit in &on_page {
        let snippet = hit.text_id.and_then(|text_id| snippets.get(&text_id)).cloned().unwrap_or_default();
        let parameters = named_params! {":id": hit.version_id.to_string(), ":visible": State::Published.as_str()};
        for found in statement.query_map(parameters, |row| sealed(row, snippet.clone()))? {
            items.extend(shown(permits, found?));
        }
    }
    Ok(SearchPage { items, total_count: ranking.hits.len() as u64, more: ranking.more, degraded: false })
}

/// Gathers hits from the best sort of match to the least.
struct Ranker<'a> {
    search: &'a Connection,
    filter: &'a Filter,
    hits: Vec<Hit>,
    seen: HashSet<VersionId>,
    more: More,
}

/// What a match covers.
#[derive(Clone, Copy)]
enum Match {
    /// Every version of a package.
    Name(i64),
    /// The versions that share a text.
    Text {
        /// The text.
        id: i64,
        /// Their package.
        name_id: i64,
    },
}

/// The packages that match, best first, each once, and whether there are more; some may have nothing visible.
pub(super) fn packages(search: &Connection, expression: &Expression, filter: &Filter) -> Result<(Vec<i64>, More), IndexFault> {
    let mut ranker = Ranker { search, filter, hits: Vec::new(), seen: HashSet::new(), more: More::None };
    let mut found = ranker.names(&expression.name)?;
    for words in [&expression.words, &expression.words_of_version].into_iter().flatten() {
        found.extend(ranker.texts(words)?);
    }
    let (mut packages, mut seen) = (Vec::new(), HashSet::new());
    for found in found {
        let (Match::Name(name_id) | Match::Text { name_id, .. }) = found;
        if seen.insert(name_id) {
            packages.push(name_id);
        }
    }
    Ok((packages, ranker.more))
}

impl Ranker<'_> {
    fn rank(mut self, expression: &Expression) -> Result<Ranking, IndexFault> {
        if let (Some(name), Some(words), Some(version)) = (&expression.name_of_version, &expression.words_of_version, &expression.version) {
            for found in [self.names(name)?, self.texts(words)?].concat() {
                self.add(found, version)?;
            }
        }
        for found in self.names(&expression.name)? {
            self.add(found, "")?;
        }
        if let (None, Some(version)) = (&expression.name_of_version, &expression.version) {
            self.add_versions(version)?;
        }
        if let Some(words) = &expression.words {
            for found in self.texts(words)? {
                self.add(found, "")?;
            }
        }
        Ok(Ranking { hits: self.hits, more: self.more })
    }

    /// Packages of exactly this name, then those whose names begin so, the shortest first; of equals those without a namespace.
    fn names(&mut self, name: &str) -> Result<Vec<Match>, IndexFault> {
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let mut exact = self.search.prepare_cached(
            "SELECT name_id FROM names
             WHERE (name_key = :name OR full_key = :name) AND repo_key IN (SELECT value FROM json_each(:repos))
               AND (:type IS NULL OR package_type = :type) AND (:namespace IS NULL OR namespace_key = :namespace)
             ORDER BY full_key <> :name, newest_at DESC, name_id DESC LIMIT :limit",
        )?;
        let mut longer = self.search.prepare_cached(
            "SELECT name_id FROM (
                 SELECT name_id, name_key, full_key, newest_at FROM names
                 WHERE (name_key > :name AND name_key < :end OR full_key > :name AND full_key < :end)
                   AND repo_key IN (SELECT value FROM json_each(:repos))
                   AND (:type IS NULL OR package_type = :type) AND (:namespace IS NULL OR namespace_key = :namespace)
                 LIMIT :limit)
             ORDER BY substr(full_key, 1, length(:name)) <> :name, length(name_key), newest_at DESC, name_id DESC",
        )?;
        let end = format!("{name}\u{10ffff}");
        let limit = rows::stored(HITS_LIMIT as u64);
        let read = |row: &rusqlite::Row<'_>| row.get("name_id").map(Match::Name);
        let found = exact.query_map(
            named_params! {":name": name, ":repos": self.filter.repos, ":type": self.filter.package_type, ":namespace": self.filter.namespace,
                ":limit": limit},
            read,
        )?;
        let mut names = found.collect::<rusqlite::Result<Vec<_>>>()?;
        let found = longer.query_map(
            named_params! {":name": name, ":end": end, ":repos": self.filter.repos, ":type": self.filter.package_type,
            ":namespace": self.filter.namespace, ":limit": limit},
            read,
        )?;
        let longer = found.collect::<rusqlite::Result<Vec<_>>>()?;
        self.note_limit(longer.len());
        names.extend(longer);
        Ok(names)
    }

    /// The newest texts that have all the words, the most relevant first.
    fn texts(&mut self, words: &str) -> Result<Vec<Match>, IndexFault> {
        let mut statement = self.search.prepare_cached(
            "SELECT texts.text_id, texts.newest_at, names.name_id, bm25(words, 100.0, 40.0, 30.0, 1.0, 10.0) AS relevance
             FROM words CROSS JOIN texts ON texts.text_id = words.rowid CROSS JOIN names USING (name_id)
             WHERE words MATCH :words AND names.repo_key IN (SELECT value FROM json_each(:repos))
               AND (:type IS NULL OR names.package_type = :type) AND (:namespace IS NULL OR names.namespace_key = :namespace)
             ORDER BY words.rowid DESC LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":words": words, ":repos": self.filter.repos, ":type": self.filter.package_type,
            ":namespace": self.filter.namespace, ":limit": rows::stored(HITS_LIMIT as u64)},
            |row| {
                let found = Match::Text { id: row.get("text_id")?, name_id: row.get("name_id")? };
                Ok((row.get::<_, f64>("relevance")?, row.get::<_, i64>("newest_at")?, row.get::<_, i64>("text_id")?, found))
            },
        )?;
        let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        self.note_limit(found.len());
        // FTS5 gives the better match the lower number.
        found.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)).then(other.2.cmp(&one.2)));
        Ok(found.into_iter().map(|(.., found)| found).collect())
    }

    fn note_limit(&mut self, found: usize) {
        if found >= HITS_LIMIT {
            self.more = More::Perhaps;
        }
    }

    /// Adds the visible versions of a match that begin so, the highest first.
    fn add(&mut self, found: Match, version: &str) -> Result<(), IndexFault> {
        let room = HITS_LIMIT - self.hits.len();
        if room == 0 {
            self.more = More::Perhaps;
            return Ok(());
        }
        let (mut statement, id) = match found {
            Match::Name(id) => (
                self.search.prepare_cached(
                    "SELECT documents.version_id, documents.text_id FROM documents INDEXED BY documents_by_name
                     CROSS JOIN state.versions AS live ON live.version_id = documents.version_id AND live.state = :visible
                     WHERE documents.name_id = :id AND substr(documents.version_key, 1, length(:version)) = :version
                     ORDER BY documents.sort_key DESC, documents.published_at DESC, documents.version_id LIMIT :limit",
                )?,
                id,
            ),
            Match::Text { id, .. } => (
                self.search.prepare_cached(
                    "SELECT documents.version_id, documents.text_id FROM documents INDEXED BY documents_by_text
                     CROSS JOIN state.versions AS live ON live.version_id = documents.version_id AND live.state = :visible
                     WHERE documents.text_id = :id AND substr(documents.version_key, 1, length(:version)) = :version
                     ORDER BY documents.sort_key DESC, documents.published_at DESC, documents.version_id LIMIT :limit",
                )?,
                id,
            ),
        };
        let parameters = named_params! {
            ":id": id, ":visible": State::Published.as_str(), ":version": version, ":limit": rows::stored(HITS_LIMIT as u64 + 1),
        };
        let hits = statement.query_map(parameters, hit)?.collect::<rusqlite::Result<Vec<_>>>()?;
        self.take(hits);
        Ok(())
    }

    /// Adds the newest visible versions that begin so, of whatever package.
    fn add_versions(&mut self, version: &str) -> Result<(), IndexFault> {
        let mut statement = self.search.prepare_cached(
            "SELECT documents.version_id, documents.text_id FROM documents INDEXED BY documents_by_version
             CROSS JOIN names USING (name_id)
             CROSS JOIN state.versions AS live ON live.version_id = documents.version_id AND live.state = :visible
             WHERE documents.version_key >= :version AND documents.version_key < :end
               AND names.repo_key IN (SELECT value FROM json_each(:repos))
               AND (:type IS NULL OR names.package_type = :type) AND (:namespace IS NULL OR names.namespace_key = :namespace)
             ORDER BY documents.version_key, documents.published_at DESC LIMIT :limit",
        )?;
        let parameters = named_params! {
            ":version": version, ":end": format!("{version}\u{10ffff}"), ":visible": State::Published.as_str(), ":repos": self.filter.repos,
            ":type": self.filter.package_type, ":namespace": self.filter.namespace, ":limit": rows::stored(HITS_LIMIT as u64 + 1),
        };
        let hits = statement.query_map(parameters, hit)?.collect::<rusqlite::Result<Vec<_>>>()?;
        self.take(hits);
        Ok(())
    }

    /// Keeps what is new, as far as there is room.
    fn take(&mut self, hits: Vec<Hit>) {
        for hit in hits {
            if self.hits.len() == HITS_LIMIT {
                self.more = More::Perhaps;
                return;
            }
            if self.seen.insert(hit.version_id) {
                self.hits.push(hit);
            }
        }
    }
}

fn hit(row: &rusqlite::Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit { version_id: rows::parse(row, "version_id")?, text_id: row.get("text_id")? })
}

/// What the texts of these hits say, with the words that were asked for.
fn snippets(search: &Connection, expression: &Expression, hits: &[&Hit]) -> Result<HashMap<i64, Vec<Fragment>>, IndexFault> {
    let ids: Vec<i64> = hits.iter().filter_map(|hit| hit.text_id).collect();
    let (Some(least), Some(most)) = (ids.iter().min(), ids.iter().max()) else { return Ok(HashMap::new()) };
    let texts = rows::json_text(&ids).map_err(IndexFault::Unavailable)?;
    let mut snippets = HashMap::new();
    let mut excerpts = search.prepare_cached(
        "SELECT rowid, substr(description, 1, :limit) AS about FROM words WHERE rowid IN (SELECT value FROM json_each(:texts))",
    )?;
    for found in excerpts.query_map(named_params! {":texts": texts, ":limit": EXCERPT_LIMIT}, about)? {
        let (text_id, about) = found?;
        snippets.insert(text_id, fragments(&about));
    }
    for words in [&expression.words, &expression.words_of_version].into_iter().flatten() {
        let mut marked = search.prepare_cached(
            "SELECT rowid, snippet(words, 3, :open, :close, '…', :length) AS about FROM words
             WHERE words MATCH :words AND rowid BETWEEN :least AND :most AND +rowid IN (SELECT value FROM json_each(:texts))",
        )?;
        let parameters = named_params! {
            ":open": MARKS[0].to_string(), ":close": MARKS[1].to_string(), ":length": SNIPPET_WORDS, ":words": words, ":least": least,
            ":most": most, ":texts": texts,
        };
        for found in marked.query_map(parameters, about)? {
            let (text_id, about) = found?;
            snippets.insert(text_id, fragments(&about));
        }
    }
    Ok(snippets)
}

fn about(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get("rowid")?, row.get("about")?))
}

/// Parts a text at the marks of the index.
fn fragments(text: &str) -> Vec<Fragment> {
    let mut fragments = Vec::new();
    for (at, piece) in text.split(MARKS).enumerate() {
        if !piece.is_empty() {
            let piece = piece.to_owned();
            // The marks come in pairs, so every second piece lies between two.
            fragments.push(if at % 2 == 1 { Fragment::Matched(piece) } else { Fragment::Plain(piece) });
        }
    }
    fragments
}
