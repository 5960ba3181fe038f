//! Running the search index: pause, resume, rebuild. Invariant: the cursor of a rebuild is reset on disk before a new index file
//! is made, so that a file on disk is never taken for fuller than it is, wherever the process ends.

use std::sync::Arc;

use rusqlite::{Connection, named_params};

use super::jobs::{JobKind, JobState};
use super::search_index::{IndexFault, IndexState, SearchIndex};
use super::settings::{self, REBUILD_AFTER, SEARCH_PAUSED};
use super::write::{Bookkeeping, Done, Write};
use super::{Store, rows};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::lifecycle::State;
use crate::error::Result;
use crate::hop;

/// Versions that a rebuild enqueues in one transaction: the writer is not held up for longer than some milliseconds.
const REBUILD_PIECE: usize = 500;
/// The code of an attempt that was put off because the index could not be used: the job's own attempts are not used up by it.
pub const INDEX_UNAVAILABLE: &str = "index_unavailable";

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
    /// Versions in the catalogue, without drafts.
    pub total: u64,
}

/// What one step of a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebuildStep {
    /// No rebuild is under way.
    Idle,
    /// Earlier pieces are still being worked on.
    Waiting,
    /// A further piece is in the queue.
    Enqueued,
    /// Every version was enqueued and every job has ended; the cursor to end it with.
    Drained(String),
}

/// Takes over what the last process remembered.
pub(super) fn recall(connection: &Connection, index: &SearchIndex) -> Result<()> {
    if settings::find(connection, SEARCH_PAUSED)?.is_some() {
        index.set_paused(IndexState::Paused);
    }
    if settings::find(connection, REBUILD_AFTER)?.is_some() {
        index.set_rebuilding(IndexState::Rebuilding);
    }
    Ok(())
}

impl Write<'_> {
    fn pause_search(&mut self) -> Result<Done<()>> {
        if settings::find(self.connection(), SEARCH_PAUSED)?.is_some() {
            return Ok(Done::unchanged(()));
        }
        settings::set(self.connection(), SEARCH_PAUSED, "by an administrator")?;
        Ok(Done::new((), Event::SearchPaused))
    }

    fn resume_search(&mut self) -> Result<Done<()>> {
        if settings::find(self.connection(), SEARCH_PAUSED)?.is_none() {
            return Ok(Done::unchanged(()));
        }
        settings::clear(self.connection(), SEARCH_PAUSED)?;
        Ok(Done::new((), Event::SearchResumed))
    }

    fn request_rebuild(&mut self) -> Result<Done<()>> {
        settings::set(self.connection(), REBUILD_AFTER, "")?;
        Ok(Done::new((), Event::SearchRebuildRequested))
    }
}

impl Bookkeeping<'_> {
    /// Takes the rebuild one piece further, when the pieces before it are done.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn step_rebuild(&mut self, max_attempts: u32) -> Result<RebuildStep> {
        let Some(after) = self.find_setting(REBUILD_AFTER)? else { return Ok(RebuildStep::Idle) };
        if self.is_index_work_left()? {
            return Ok(RebuildStep::Waiting);
        }
        match self.enqueue_rebuild(&after, REBUILD_PIECE, max_attempts)? {
            Some(last) => {
                self.set_setting(REBUILD_AFTER, &last)?;
                Ok(RebuildStep::Enqueued)
            }
            None => Ok(RebuildStep::Drained(after)),
        }
    }

    /// Whether an index job waits, is being worked on, or was put off because the index could not be used.
    fn is_index_work_left(&self) -> Result<bool> {
        let found = self
            .connection()
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM jobs WHERE state IN (:pending, :processing) AND kind = :kind)
                     OR EXISTS (SELECT 1 FROM jobs WHERE state = :failed AND kind = :kind AND last_error = :code)",
            )?
            .query_row(
                named_params! {
                    ":kind": JobKind::SearchIndex.as_str(), ":pending": JobState::Pending.as_str(), ":processing": JobState::Processing.as_str(),
                    ":failed": JobState::Failed.as_str(), ":code": INDEX_UNAVAILABLE,
                },
                |row| row.get(0),
            )?;
        Ok(found)
    }
}

impl Store {
    /// Stops filling and asking the index, across restarts too; searches are answered from the catalogue meanwhile. Twice is
    /// harmless.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn pause_search(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |tx| tx.pause_search()).await
    }

    /// Takes the index up again where it was paused. Twice is harmless.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn resume_search(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |tx| tx.resume_search()).await
    }

    /// Orders a new index; the jobs make it, searches are answered from the catalogue meanwhile. While paused, it is made
    /// after the pause.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn request_rebuild(&self, operator: &Operator) -> Result<()> {
        self.write(operator, |tx| tx.request_rebuild()).await
    }

    /// How the index stands. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn search_status(&self, _proof: &Operator) -> Result<SearchStatus> {
        self.search_status_now()
    }

    /// As [`Store::search_status`], for the metrics.
    pub(super) fn search_status_now(&self) -> Result<SearchStatus> {
        let connection = self.connection()?;
        let count = |states: &[JobState]| -> Result<u64> {
            let count = connection
                .prepare_cached(
                    "SELECT count(*) AS total FROM jobs WHERE kind = :kind AND state IN (SELECT value FROM json_each(:states))",
                )?
                .query_row(named_params! {":kind": JobKind::SearchIndex.as_str(), ":states": rows::json_text(&states)?}, |row| {
                    rows::unsigned(row, "total")
                })?;
            Ok(count)
        };
        let rebuild = match settings::find(&connection, REBUILD_AFTER)? {
            None => None,
            Some(after) => Some(connection.query_row(
                "SELECT count(*) AS total, count(*) FILTER (WHERE version_id <= :after) AS enqueued FROM versions WHERE state <> :draft",
                named_params! {":after": after, ":draft": State::Draft.as_str()},
                |row| {
                    Ok(RebuildProgress {
                        after: after.clone(),
                        enqueued: rows::unsigned(row, "enqueued")?,
                        total: rows::unsigned(row, "total")?,
                    })
                },
            )?),
        };
        Ok(SearchStatus {
            state: self.search.state(),
            documents: self.search.document_count(),
            pending: count(&[JobState::Pending, JobState::Processing])?,
            failed: count(&[JobState::Failed])?,
            dead: count(&[JobState::Dead])?,
            rebuild,
        })
    }

    /// Begins a rebuild in a new, empty file in place of the one of this generation; one that another task has replaced
    /// already is left alone.
    ///
    /// # Errors
    /// `Unavailable` when the new file cannot be made now; the rebuild is then still to be begun.
    pub async fn begin_rebuild(&self, generation: u64) -> Result<(), IndexFault> {
        let _turn = self.search.turn.lock().await;
        if generation != self.search.generation() {
            return Ok(());
        }
        self.search.set_rebuilding(IndexState::Rebuilding);
        // First the cursor, then the file: a file that exists is never fuller in the books than on disk.
        self.bookkeep(|books| books.set_setting(REBUILD_AFTER, "")).await.map_err(IndexFault::Unavailable)?;
        self.on_index(SearchIndex::renew).await
    }

    /// Whether a rebuild was begun and not ended, be it by an earlier process.
    ///
    /// # Errors
    /// `Unavailable` when SQLite fails.
    pub async fn is_rebuild_under_way(&self) -> Result<bool, IndexFault> {
        Ok(self.rebuild_cursor().await?.is_some())
    }

    async fn rebuild_cursor(&self) -> Result<Option<String>, IndexFault> {
        self.bookkeep(|books| books.find_setting(REBUILD_AFTER)).await.map_err(IndexFault::Unavailable)
    }

    /// Ends a rebuild whose every job has ended, unless another was ordered meanwhile.
    ///
    /// # Errors
    /// When the index cannot be used; the rebuild is then still under way.
    pub async fn end_rebuild(&self, cursor: String) -> Result<(), IndexFault> {
        let _turn = self.search.turn.lock().await;
        let expected = Some(cursor);
        if self.rebuild_cursor().await? != expected {
            return Ok(());
        }
        self.on_index(SearchIndex::set_complete).await?;
        let ended = self.bookkeep(move |books| {
            let is_ours = books.find_setting(REBUILD_AFTER)? == expected;
            if is_ours {
                books.clear_setting(REBUILD_AFTER)?;
            }
            Ok(is_ours)
        });
        if ended.await.map_err(IndexFault::Unavailable)? {
            self.search.set_rebuilding(IndexState::Ready);
        }
        Ok(())
    }

    /// Whether the index file is whole and filled.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn inspect_index(&self) -> Result<bool, IndexFault> {
        self.on_index(SearchIndex::inspect).await
    }

    async fn on_index<T: Send + 'static>(&self, work: fn(&SearchIndex) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        let index = Arc::clone(&self.search);
        hop::run(move || Ok(work(&index))).await.map_err(IndexFault::Unavailable)?
    }
}
