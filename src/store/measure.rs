//! What stands in the database, as metrics. Invariant: it is looked up on a reader's connection, from indexes and up to a limit, so a
//! scrape never waits for the writer and costs the same however long a backlog is.

use super::jobs::JobKind;
use super::search::{IndexState, SearchStatus};
use super::{OpsSummary, Store};
use crate::domain::time::Time;
use crate::error::Result;

/// How old the count of documents may be, in milliseconds: it is the one number that costs a walk through the index.
const DOCUMENTS_AGE_MS: i64 = 30_000;

/// How the search index stood when it was last looked at.
pub(super) type SearchSeen = std::sync::Mutex<Option<(Time, SearchStatus)>>;

impl Store {
    /// Sets every gauge that tells of the database. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn measure(&self) -> Result<()> {
        let figures = self.figures(self.recent_search_status()?)?;
        let backlog = &self.metrics.backlog;
        for (kind, state, count) in &figures.jobs {
            backlog.set_jobs(kind.as_str(), state.as_str(), *count);
        }
        backlog.set_events("pending", figures.outbox.pending);
        backlog.set_events("dead", figures.outbox.dead);
        backlog.outbox_oldest_pending_age.set(age(&figures, figures.outbox.oldest_pending));
        backlog.jobs_oldest_due_age.set(age(&figures, figures.next_job_due));
        backlog.jobs_stale.set(figures.stale_jobs);
        backlog.holds_open.set(figures.open_holds);
        backlog.writer_queue_length.set(figures.writer_queued);
        backlog.set_index_state(&IndexState::ALL.map(IndexState::as_str), self.search.state().as_str());
        backlog.search_documents.set(figures.search.documents.map_or(f64::NAN, decimal));
        backlog.search_freshness_lag.set(age(&figures, figures.search_behind_since));
        let rebuild = figures.search.rebuild.as_ref();
        backlog.search_rebuild_indexed.set(rebuild.map_or(0, |rebuild| rebuild.indexed));
        backlog.search_rebuild_versions.set(rebuild.map_or(0, |rebuild| rebuild.total));
        for files in &figures.databases {
            self.metrics.sqlite.set_sizes(files.name, files.size_bytes, files.wal_bytes);
        }
        self.measure_space()
    }

    /// The standing of the search index, looked up again when it is older than [`DOCUMENTS_AGE_MS`].
    fn recent_search_status(&self) -> Result<SearchStatus> {
        let now = self.clock.now();
        let mut seen = self.search_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((at, status)) = &*seen
            && (0..DOCUMENTS_AGE_MS).contains(&now.unix_ms().saturating_sub(at.unix_ms()))
        {
            return Ok(status.clone());
        }
        let status = self.search_status_now()?;
        *seen = Some((now, status.clone()));
        Ok(status)
    }

    /// Makes the series of every kind of job.
    pub(super) fn expect_kinds(&self) {
        for kind in JobKind::ALL {
            self.metrics.jobs.expect(kind.as_str());
        }
    }
}

/// Seconds since then; 0 when it is not yet, or there is nothing.
fn age(figures: &OpsSummary, since: Option<Time>) -> f64 {
    let ms = since.map_or(0, |since| figures.at.unix_ms().saturating_sub(since.unix_ms()).max(0));
    decimal(u64::try_from(ms).unwrap_or(0)) / 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "counts and ages are far below 2^53")]
fn decimal(number: u64) -> f64 {
    number as f64
}
