//! Running the search index: pause, resume, rebuild. Invariant: an order to rebuild stands in the catalogue until a new file lies on
//! disk, and how far that is filled stands in the file itself, written with what it was filled with; wherever the process ends, a file
//! is never taken for fuller than it is.

use std::sync::Arc;

use rusqlite::{Connection, named_params};

use super::condition::{IndexCare, IndexFault, IndexState};
use super::documents::index_version;
use super::index::{self, SearchIndex};
use super::progress;
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::time::Time;
use crate::error::Result;
use crate::hop;
use crate::store::jobs::{JobKind, JobState};
use crate::store::settings::{self, REBUILD_ORDERED, SEARCH_PAUSED};
use crate::store::write::{Bookkeeping, Done, Write};
use crate::store::{Store, rows};

/// Versions that a rebuild indexes in one transaction of the index: whoever publishes meanwhile waits for the index's lock no longer
/// than some tens of milliseconds.
const REBUILD_PIECE: usize = 1000;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Versions indexed by it.
    pub indexed: u64,
    /// Visible versions when it began; what was published since has jobs of its own.
    pub total: u64,
}

/// What one step of a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildStep {
    /// No rebuild is under way.
    Idle,
    /// A further piece is in the index.
    Indexed,
    /// Every version has been looked at; the index is complete.
    Completed,
}

/// Takes over what the last process remembered.
pub(in crate::store) fn recall(connection: &Connection, index: &SearchIndex) -> Result<()> {
    if settings::find(connection, SEARCH_PAUSED)?.is_some() {
        index.set_paused(IndexState::Paused);
    }
    if settings::find(connection, REBUILD_ORDERED)?.is_some() {
        index.set_rebuilding(IndexState::Rebuilding);
        index.request_renewal();
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
        // The number tells this order from the one that is being carried out.
        settings::set(self.connection(), REBUILD_ORDERED, &self.uuid().to_string())?;
        Ok(Done::new((), Event::SearchRebuildRequested))
    }
}

impl Bookkeeping<'_> {
    /// Makes the jobs due that were put off because the index could not be used. Returns whether there are any, or any are still being
    /// worked on that were claimed until `put_off_at` and may be put off yet.
    fn hasten_index_jobs(&mut self, put_off_at: Time) -> Result<bool> {
        let hastened = self
            .connection()
            .prepare_cached("UPDATE jobs SET due_at = :now WHERE state = :failed AND kind = :kind AND last_error = :code")?
            .execute(named_params! {
                ":now": self.now().unix_ms(), ":failed": JobState::Failed.as_str(), ":kind": JobKind::SearchIndex.as_str(), ":code": INDEX_UNAVAILABLE,
            })?;
        if hastened > 0 {
            self.mark_enqueued();
        }
        let is_working = self
            .connection()
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE state = :processing AND kind = :kind AND updated_at <= :put_off)")?
            .query_row(
                named_params! {
                    ":processing": JobState::Processing.as_str(), ":kind": JobKind::SearchIndex.as_str(), ":put_off": put_off_at.unix_ms(),
                },
                |row| row.get(0),
            )?;
        Ok(hastened > 0 || is_working)
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
    pub(in crate::store) fn search_status_now(&self) -> Result<SearchStatus> {
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
        let rebuild = if self.search.is_rebuilding() {
            let (indexed, total) = self.search.rebuilt();
            Some(RebuildProgress { indexed, total })
        } else {
            None
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
        // It may be a job that found the old file lost; who fills the new one sleeps then.
        self.search.wake();
        // The order is forgotten only when the file is there, and only if no newer one came meanwhile.
        let order = self.bookkeep(|books| books.find_setting(REBUILD_ORDERED)).await.map_err(IndexFault::Unavailable)?;
        self.on_index(SearchIndex::renew).await?;
        if order.is_some() {
            let forget =
                self.bookkeep(
                    move |books| {
                        if books.find_setting(REBUILD_ORDERED)? == order { books.clear_setting(REBUILD_ORDERED) } else { Ok(()) }
                    },
                );
            forget.await.map_err(IndexFault::Unavailable)?;
        }
        Ok(())
    }

    /// Indexes the next versions that the rebuild under way has not reached.
    ///
    /// # Errors
    /// When the index cannot be used; nothing was changed then.
    pub async fn step_rebuild(self: &Arc<Self>) -> Result<RebuildStep, IndexFault> {
        let _turn = self.search.turn.lock().await;
        let store = Arc::clone(self);
        let step = hop::run(move || Ok(store.index_next_piece())).await.map_err(IndexFault::Unavailable)??;
        match step {
            RebuildStep::Indexed => self.search.set_rebuilding(IndexState::Rebuilding),
            RebuildStep::Completed => {
                self.search.set_rebuilding(IndexState::Ready);
                // What became visible behind the cursor while the index could not be written is not in it yet.
                self.index_was_written().await?;
                if self.search.is_behind() {
                    self.search.return_care(IndexCare::Inspect);
                }
            }
            RebuildStep::Idle => self.search.set_rebuilding(IndexState::Ready),
        }
        Ok(step)
    }

    /// While the index may lack something: has what was put off tried again, though not more often than every few seconds. Returns
    /// whether nothing is missing any more.
    ///
    /// # Errors
    /// `Unavailable` when SQLite fails.
    pub async fn catch_up_index(&self) -> Result<bool, IndexFault> {
        if self.search.is_behind() && self.search.may_catch_up(self.clock.now()) {
            self.index_was_written().await?;
        }
        Ok(!self.search.is_behind())
    }

    /// The index was written: if that could not be done before, has what was put off tried now. The index is taken for whole when
    /// nothing is left of that.
    ///
    /// # Errors
    /// `Unavailable` when SQLite fails.
    pub async fn index_was_written(&self) -> Result<(), IndexFault> {
        if self.search.is_behind() {
            let put_off_at = self.search.put_off_at();
            let is_work_left = self.bookkeep(move |books| books.hasten_index_jobs(put_off_at)).await.map_err(IndexFault::Unavailable)?;
            if !is_work_left {
                self.search.set_caught_up();
            }
        }
        Ok(())
    }

    fn index_next_piece(&self) -> Result<RebuildStep, IndexFault> {
        self.search.with_writer(|search| {
            let Some(after) = progress::cursor(search)? else { return Ok(RebuildStep::Idle) };
            let state = self.connection().map_err(IndexFault::Unavailable)?;
            search.execute_batch("BEGIN IMMEDIATE")?;
            if after.is_empty() {
                progress::set_total(search, visible_count(&state).map_err(IndexFault::Unavailable)?)?;
            }
            let ids = visible_after(&state, &after).map_err(IndexFault::Unavailable)?;
            for id in &ids {
                match id.parse::<VersionId>() {
                    Ok(id) => drop(index_version(&state, search, &id)?),
                    Err(error) => tracing::error!(%error, id, "a version cannot be read from the catalogue and is not searchable"),
                }
            }
            let step = match ids.last() {
                Some(last) => {
                    progress::set_cursor(search, last, ids.len())?;
                    RebuildStep::Indexed
                }
                None => {
                    index::set_complete(search)?;
                    RebuildStep::Completed
                }
            };
            search.execute_batch("COMMIT")?;
            Ok(step)
        })
    }

    /// Looks at the index file: whether it is whole and filled. One that is being filled is called rebuilding from then on.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn inspect_index(&self) -> Result<bool, IndexFault> {
        let is_complete = self.on_index(SearchIndex::inspect).await?;
        if !is_complete {
            self.search.set_rebuilding(IndexState::Rebuilding);
        }
        Ok(is_complete)
    }

    async fn on_index<T: Send + 'static>(&self, work: fn(&SearchIndex) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        let index = Arc::clone(&self.search);
        hop::run(move || Ok(work(&index))).await.map_err(IndexFault::Unavailable)?
    }
}

fn visible_count(state: &Connection) -> Result<u64> {
    let count = state
        .prepare_cached("SELECT count(*) AS total FROM versions WHERE state = :visible")?
        .query_row(named_params! {":visible": State::Published.as_str()}, |row| rows::unsigned(row, "total"))?;
    Ok(count)
}

/// The next visible versions in the order of their ids. What becomes visible behind the cursor has a job of its own.
fn visible_after(state: &Connection, after: &str) -> Result<Vec<String>> {
    let mut statement = state.prepare_cached(
        "SELECT version_id FROM versions WHERE version_id > :after AND state = :visible ORDER BY version_id LIMIT :limit",
    )?;
    let parameters = named_params! {":after": after, ":visible": State::Published.as_str(), ":limit": rows::stored(REBUILD_PIECE as u64)};
    let found = statement.query_map(parameters, |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
