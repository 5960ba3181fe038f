//! Finding packages. Invariant: every hit is joined to its version's state in `state.db` and passes the readers' door, so
//! a stale index cannot show what is held; without an index the catalogue answers by name, `degraded`.

use rusqlite::{Connection, Row, named_params};

use super::search_index::{IndexFault, IndexState};
use super::{Store, rows, versions};
use crate::domain::access::{Permit, Read};
use crate::domain::lifecycle::State;
use crate::domain::name::PackageType;
use crate::domain::version::Version;
use crate::domain::visibility::{Sealed, Visible};
use crate::error::{Error, Result};

/// Bytes of a query.
const QUERY_LIMIT_BYTES: usize = 200;

/// What to find.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The words.
    pub text: String,
    /// Only this type.
    pub package_type: Option<PackageType>,
    /// Hits to give.
    pub limit: usize,
    /// Hits to leave out at the start.
    pub offset: usize,
}

/// One hit.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The version found.
    pub version: Visible<Version>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// The hits of this page, best first.
    pub items: Vec<SearchHit>,
    /// All visible versions that match.
    pub total_count: u64,
    /// Whether the catalogue answered instead of the index.
    pub degraded: bool,
}

impl Store {
    /// Finds visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<SearchPage> {
        let text = query.text.trim();
        if text.is_empty() || text.len() > QUERY_LIMIT_BYTES || text.chars().any(char::is_control) {
            return Err(Error::bad_request(format!("q must have 1 to {QUERY_LIMIT_BYTES} bytes and no control characters")));
        }
        let repos: Vec<&str> = permits.iter().map(|permit| permit.repo_key().as_str()).collect();
        let repos = rows::json_text(&repos)?;
        // Read first: it names the file that a fault is found in.
        let generation = self.search.generation();
        match self.search.state() {
            IndexState::Ready | IndexState::Unavailable => match self.search_words(permits, query, &repos) {
                Ok(page) => return Ok(page),
                Err(IndexFault::Lost(cause)) if self.search.doubt(generation) => {
                    tracing::warn!(?cause, "the search index is lost; the catalogue answers until it is made anew");
                }
                Err(IndexFault::Lost(cause) | IndexFault::Unavailable(cause)) => {
                    tracing::debug!(?cause, "the search index cannot be read; the catalogue answers");
                }
            },
            IndexState::Paused | IndexState::Rebuilding => {}
        }
        self.search_names(permits, query, &repos)
    }

    fn search_words(&self, permits: &[Permit<Read>], query: &SearchQuery, repos: &str) -> Result<SearchPage, IndexFault> {
        let Some(words) = match_expression(&query.text) else {
            return Ok(SearchPage { items: Vec::new(), total_count: 0, degraded: false });
        };
        let connection = self.open_search()?;
        let name = query.text.trim().to_lowercase();
        let parameters = named_params! {
            ":words": words, ":repos": repos, ":type": query.package_type.as_ref().map(PackageType::as_str), ":visible": State::Published.as_str(),
        };
        let total: u64 = connection
            .prepare(
                "SELECT count(*) AS total FROM words JOIN documents ON documents.document_id = words.rowid
                 JOIN state.versions AS live ON live.version_id = documents.version_id AND live.state = :visible
                 WHERE words MATCH :words AND documents.repo_key IN (SELECT value FROM json_each(:repos)) AND (:type IS NULL OR documents.package_type = :type)",
            )?
            .query_row(parameters, |row| rows::unsigned(row, "total"))?;
        // Three digits of the relevance: versions of one package are hardly ever equal to the last one, and a word that most
        // documents have makes all of them small.
        let mut statement = connection.prepare(
            "SELECT live.* FROM words JOIN documents ON documents.document_id = words.rowid
             JOIN state.version_rows AS live ON live.version_id = documents.version_id AND live.state = :visible
             WHERE words MATCH :words AND documents.repo_key IN (SELECT value FROM json_each(:repos)) AND (:type IS NULL OR documents.package_type = :type)
             ORDER BY documents.full_name <> :name AND lower(words.name) <> :name,
                      substr(documents.full_name, 1, length(:name)) <> :name AND substr(lower(words.name), 1, length(:name)) <> :name,
                      CAST(printf('%.2e', bm25(words, 10.0, 5.0, 3.0, 4.0, 1.0)) AS REAL), documents.published_at DESC, documents.version_id DESC
             LIMIT :limit OFFSET :offset",
        )?;
        let hits = statement.query_map(
            named_params! {
                ":words": words, ":repos": repos, ":type": query.package_type.as_ref().map(PackageType::as_str), ":visible": State::Published.as_str(),
                ":name": name, ":limit": rows::stored(query.limit as u64), ":offset": rows::stored(query.offset as u64),
            },
            sealed,
        )?;
        let items = shown(permits, hits.collect::<rusqlite::Result<Vec<_>>>()?);
        Ok(SearchPage { items, total_count: total, degraded: false })
    }

    /// The answer without an index: by name alone.
    fn search_names(&self, permits: &[Permit<Read>], query: &SearchQuery, repos: &str) -> Result<SearchPage> {
        let connection = self.connection()?;
        let name = query.text.trim().to_lowercase();
        // The namespaces of npm are looked up without their sign.
        let name = name.trim_start_matches('@');
        let pattern = format!("%{}%", name.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        let total: u64 = connection
            .prepare_cached(
                "SELECT count(*) AS total FROM version_rows WHERE state = :visible AND repo_key IN (SELECT value FROM json_each(:repos))
                   AND (:type IS NULL OR package_type = :type) AND (namespace_key || '/' || name_key) LIKE :pattern ESCAPE '\\'",
            )?
            .query_row(
                named_params! {":visible": State::Published.as_str(), ":repos": repos, ":type": query.package_type.as_ref().map(PackageType::as_str), ":pattern": pattern},
                |row| rows::unsigned(row, "total"),
            )?;
        let mut statement = connection.prepare_cached(
            "SELECT * FROM version_rows WHERE state = :visible AND repo_key IN (SELECT value FROM json_each(:repos))
               AND (:type IS NULL OR package_type = :type) AND (namespace_key || '/' || name_key) LIKE :pattern ESCAPE '\\'
             ORDER BY name_key <> :name AND (namespace_key || '/' || name_key) <> :name, substr(name_key, 1, length(:name)) <> :name, published_at DESC, version_id DESC LIMIT :limit OFFSET :offset",
        )?;
        let hits = statement.query_map(
            named_params! {
                ":visible": State::Published.as_str(), ":repos": repos, ":type": query.package_type.as_ref().map(PackageType::as_str),
                ":pattern": pattern, ":name": name, ":limit": rows::stored(query.limit as u64), ":offset": rows::stored(query.offset as u64),
            },
            sealed,
        )?;
        let items = shown(permits, hits.collect::<rusqlite::Result<Vec<_>>>()?);
        Ok(SearchPage { items, total_count: total, degraded: true })
    }

    /// A connection to the index with the catalogue attached, both read-only.
    fn open_search(&self) -> Result<Connection, IndexFault> {
        let search = self.search.open_reader()?;
        let state = self.search.path().with_file_name("state.db");
        search.execute("ATTACH DATABASE ?1 AS state", [format!("file:{}?mode=ro", uri_path(&state))])?;
        Ok(search)
    }
}

fn sealed(row: &Row<'_>) -> rusqlite::Result<Sealed<Version>> {
    let version = versions::version(row)?;
    Ok(Sealed::new(version.repo.clone(), versions::standing(row)?, version))
}

/// Each hit through the door of the permit for its repo.
fn shown(permits: &[Permit<Read>], hits: Vec<Sealed<Version>>) -> Vec<SearchHit> {
    hits.into_iter()
        .filter_map(|hit| {
            let permit = permits.iter().find(|permit| hit.is_in(permit.repo_key()))?;
            hit.show(permit).ok().map(|version| SearchHit { version })
        })
        .collect()
}

/// Every word as a quoted prefix phrase: `7.0` finds 7.0.0, `lod` lodash. Nothing of FTS5's own syntax gets through. A slash
/// parts namespace and name, which lie in columns of their own.
fn match_expression(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split(|sign: char| sign.is_whitespace() || sign == '/')
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
        .collect();
    if words.is_empty() { None } else { Some(words.join(" AND ")) }
}

/// Everything but these is percent-encoded in a file URI.
const URI_PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

fn uri_path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    percent_encoding::percent_encode(path.as_os_str().as_bytes(), URI_PATH).to_string()
}
