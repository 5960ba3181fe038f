//! Running the search index: pause, resume, rebuild. Invariant: each order is audited before it takes effect.

use rusqlite::named_params;

use super::jobs::{JobKind, JobState};
use super::search_index::IndexState;
use super::write::Done;
use super::{Store, rows};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::error::Result;

/// Versions that a rebuild enqueues in one transaction: the writer is not held up for longer than some milliseconds.
const REBUILD_PIECE: usize = 500;
/// Attempts of an index job.
const REBUILD_ATTEMPTS: u32 = 5;

/// How the search index stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchStatus {
    /// Whether it answers.
    pub state: IndexState,
    /// Versions in it; `None` when it cannot be read.
    pub documents: Option<u64>,
    /// Index jobs that wait or are being worked on.
    pub pending: u64,
    /// Index jobs that failed and will be tried again.
    pub failed: u64,
    /// Index jobs that were given up.
    pub dead: u64,
    /// How far the rebuild has come, while there is one.
    pub rebuild: Option<RebuildProgress>,
}

/// How far a rebuild has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildProgress {
    /// The last version enqueued; empty at the beginning.
    pub after: String,
    /// Versions enqueued.
    pub enqueued: u64,
    /// Versions in the catalogue.
    pub total: u64,
}

impl Store {
    /// Stops asking the index; searches are answered from the catalogue meanwhile. Twice is harmless.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn pause_search(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |_| Ok(Done::new((), Event::SearchPaused))).await?;
        self.search.set_paused(IndexState::Paused);
        Ok(())
    }

    /// Takes the index up again where it was paused. Twice is harmless.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn resume_search(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |_| Ok(Done::new((), Event::SearchResumed))).await?;
        self.search.set_paused(IndexState::Ready);
        Ok(())
    }

    /// Has every version indexed again.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn request_rebuild(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |_| Ok(Done::new((), Event::SearchRebuildRequested))).await?;
        let mut after = String::new();
        loop {
            let from = after.clone();
            match self.bookkeep(move |books| books.enqueue_rebuild(&from, REBUILD_PIECE, REBUILD_ATTEMPTS)).await? {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// How the index stands. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn search_status(&self, _proof: &Operator) -> Result<SearchStatus> {
        let connection = self.connection()?;
        let count = |state: JobState| {
            connection.prepare_cached("SELECT count(*) AS total FROM jobs WHERE state = :state AND kind = :kind")?.query_row(
                named_params! {":state": state.as_str(), ":kind": JobKind::SearchIndex.as_str()},
                |row| rows::unsigned(row, "total"),
            )
        };
        Ok(SearchStatus {
            state: self.search.state(),
            documents: None,
            pending: count(JobState::Pending)? + count(JobState::Processing)?,
            failed: count(JobState::Failed)?,
            dead: count(JobState::Dead)?,
            rebuild: None,
        })
    }
}
