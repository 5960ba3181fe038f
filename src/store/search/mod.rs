//! Finding packages. Invariant: every hit is joined to its version's state in `state.db` and passes the readers' door, so
//! a stale index cannot show what is held; without an index the catalogue answers by name, `degraded`; whatever is asked, the work
//! is bounded.

mod admin;
mod catalogue;
mod condition;
mod documents;
mod expression;
mod file_mark;
mod index;
mod packages;
mod progress;
mod ranked;
mod repair;
mod words;

use rusqlite::{Connection, Row};

pub(super) use admin::recall;
pub use admin::{INDEX_UNAVAILABLE, RebuildProgress, RebuildStep, SearchStatus};
pub use condition::{IndexCare, IndexFault, IndexState};
pub use documents::Indexed;
pub use index::SearchIndex;
pub use packages::{PackageHit, PackagePage};
pub use repair::repair_index;

use expression::Expression;

use super::{Store, rows, versions};
use crate::domain::access::{Permit, Read};
use crate::domain::id::VersionId;
use crate::domain::name::PackageType;
use crate::domain::version::Version;
use crate::domain::visibility::{Sealed, Visible};
use crate::error::{Error, Result};

/// Bytes of a query.
const QUERY_LIMIT_BYTES: usize = 200;
/// Hits that a query can have, page by page; also how many matches of each sort are looked at, the newest first. Who wants more asks
/// more precisely.
pub const HITS_LIMIT: usize = 1000;

/// What to find.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The words.
    pub text: String,
    /// Only this type.
    pub package_type: Option<PackageType>,
    /// Only this namespace; npm's with or without its sign.
    pub namespace: Option<String>,
    /// Hits to give.
    pub limit: usize,
    /// Hits to leave out at the start.
    pub offset: usize,
}

/// One hit.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The version found.
    pub version: Version,
    /// What it says of itself, from around the words that were asked for.
    pub snippet: Vec<Fragment>,
}

/// A piece of a snippet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fragment {
    /// Words around.
    Plain(String),
    /// A word that was asked for.
    Matched(String),
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// The hits of this page, best first.
    pub items: Vec<Visible<SearchHit>>,
    /// The visible versions that match, as far as they were looked at.
    pub total_count: u64,
    /// Whether there are more matches than were looked at.
    pub more: More,
    /// Whether the catalogue answered instead of the index.
    pub degraded: bool,
}

/// Whether matches were left out of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// Every match was counted.
    None,
    /// There may be further ones.
    Perhaps,
}

/// Which packages may be found, as parameters of every query.
struct Filter {
    /// A JSON list of repo keys.
    repos: String,
    package_type: Option<String>,
    /// In lower case and without npm's sign.
    namespace: Option<String>,
}

/// The hits of a query in their order, before the page is cut.
struct Ranking {
    hits: Vec<Hit>,
    more: More,
}

/// A visible version in the ranking.
struct Hit {
    version_id: VersionId,
    /// Its row of words; none where the catalogue answers.
    text_id: Option<i64>,
}

impl Store {
    /// Finds visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<SearchPage> {
        let (expression, filter) = read(permits, query)?;
        self.answer(
            |search| ranked::page(search, permits, query, &expression, &filter),
            |catalogue| catalogue::page(catalogue, permits, query, &expression, &filter),
        )
    }

    /// Finds packages with visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search_packages(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<PackagePage> {
        let (expression, filter) = read(permits, query)?;
        self.answer(
            |search| packages::of_index(search, permits, query, &expression, &filter),
            |catalogue| packages::of_catalogue(catalogue, permits, query, &expression, &filter),
        )
    }

    /// The answer of the index or, without one that can be asked now, of the catalogue.
    fn answer<T>(
        &self,
        of_index: impl FnOnce(&Connection) -> Result<T, IndexFault>,
        of_catalogue: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        // Read first: it names the file that a fault is found in.
        let generation = self.search.generation();
        match self.search.state() {
            IndexState::Ready | IndexState::Unavailable if !self.search.is_behind() => match self.search.with_reader(of_index) {
                Ok(page) => return Ok(page),
                Err(IndexFault::Lost(cause)) if self.search.doubt(generation) => {
                    tracing::warn!(?cause, "the search index is lost; the catalogue answers until it is made anew");
                }
                Err(IndexFault::Lost(cause) | IndexFault::Unavailable(cause)) => {
                    tracing::debug!(?cause, "the search index cannot be read; the catalogue answers");
                }
            },
            IndexState::Ready | IndexState::Unavailable | IndexState::Paused | IndexState::Rebuilding => {}
        }
        of_catalogue(&*self.connection()?)
    }
}

/// What is asked for, and where.
fn read(permits: &[Permit<Read>], query: &SearchQuery) -> Result<(Expression, Filter)> {
    let text = query.text.trim();
    if text.is_empty() || text.len() > QUERY_LIMIT_BYTES || text.chars().any(char::is_control) {
        return Err(Error::bad_request(format!("q must have 1 to {QUERY_LIMIT_BYTES} bytes and no control characters")));
    }
    let repos: Vec<&str> = permits.iter().map(|permit| permit.repo_key().as_str()).collect();
    let filter = Filter {
        repos: rows::json_text(&repos)?,
        package_type: query.package_type.as_ref().map(|package_type| package_type.as_str().to_owned()),
        namespace: query.namespace.as_ref().map(|namespace| namespace.trim_start_matches('@').to_lowercase()),
    };
    Ok((Expression::read(text)?, filter))
}

/// A version with its snippet, sealed until the door of its repo's permit opens.
fn sealed(row: &Row<'_>, snippet: Vec<Fragment>) -> rusqlite::Result<Sealed<SearchHit>> {
    let version = versions::version(row)?;
    Ok(Sealed::new(version.repo.clone(), versions::standing(row)?, SearchHit { version, snippet }))
}

/// A hit through the door of the permit for its repo.
fn shown<T>(permits: &[Permit<Read>], hit: Sealed<T>) -> Option<Visible<T>> {
    let permit = permits.iter().find(|permit| hit.is_in(permit.repo_key()))?;
    hit.show(permit).ok()
}
