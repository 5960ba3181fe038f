//! Removing finished work. Invariant: only delivered events and jobs that are completed or cancelled are removed; what waits, what
//! is dead and what is younger than asked for stays, as does the job that alone tells that a delivery was called off.

use rusqlite::{OptionalExtension, named_params};

use super::jobs::{JobKind, JobState, NewJob};
use super::write::Bookkeeping;
use super::{Store, rows};
use crate::domain::time::Time;
use crate::error::Result;

/// The states of jobs in which nobody needs to see them for long. Dead ones stay until somebody has looked at them.
const FINISHED: [JobState; 2] = [JobState::Completed, JobState::Cancelled];

impl Bookkeeping<'_> {
    /// Makes sure that the one job about this subject waits; one that waits already or is being worked on is left as it is.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn ensure_job(&mut self, kind: JobKind, subject_id: &str, max_attempts: u32) -> Result<()> {
        let is_live: bool = self
            .connection()
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM jobs WHERE kind = :kind AND subject_id = :subject AND state IN ('pending', 'failed', 'processing'))",
            )?
            .query_row(named_params! {":kind": kind.as_str(), ":subject": subject_id}, |row| row.get(0))?;
        if is_live {
            return Ok(());
        }
        self.enqueue(&NewJob { kind, subject_id, expectation: None, max_attempts })
    }

    /// Removes up to `batch` rows of finished work that ended at `until` or before. Returns how many; fewer than `batch` means that
    /// none is left.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn prune_finished(&mut self, until: Time, batch: usize) -> Result<usize> {
        let mut removed = self.prune_events(until, batch)?;
        removed += self.prune_jobs(until, batch.saturating_sub(removed))?;
        Ok(removed)
    }

    fn prune_events(&self, until: Time, batch: usize) -> Result<usize> {
        let removed = self
            .connection()
            .prepare_cached(
                "DELETE FROM outbox WHERE seq IN (
                     SELECT seq FROM outbox INDEXED BY outbox_delivered WHERE state = 'delivered' AND delivered_at <= :until
                     ORDER BY delivered_at LIMIT :batch)",
            )?
            .execute(named_params! {":until": until.unix_ms(), ":batch": rows::stored(batch as u64)})?;
        Ok(removed)
    }

    fn prune_jobs(&self, until: Time, batch: usize) -> Result<usize> {
        let mut statement = self.connection().prepare_cached(
            "DELETE FROM jobs WHERE job_id IN (
                 SELECT job_id FROM jobs INDEXED BY jobs_by_state WHERE state = :state AND kind = :kind AND updated_at <= :until
                   AND NOT (kind = 'webhook' AND EXISTS (SELECT 1 FROM deliveries WHERE delivery_id = subject_id AND outcome IS NULL))
                 ORDER BY updated_at LIMIT :room)",
        )?;
        let mut removed = 0;
        for (state, kind) in finished() {
            let room = rows::stored(batch.saturating_sub(removed) as u64);
            removed += statement
                .execute(named_params! {":state": state.as_str(), ":kind": kind.as_str(), ":until": until.unix_ms(), ":room": room})?;
        }
        Ok(removed)
    }
}

impl Store {
    /// When the oldest finished work ended; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn oldest_finished(&self) -> Result<Option<Time>> {
        let connection = self.connection()?;
        let mut oldest: Option<i64> = connection
            .prepare_cached(
                "SELECT delivered_at FROM outbox INDEXED BY outbox_delivered WHERE state = 'delivered' AND delivered_at IS NOT NULL
                 ORDER BY delivered_at LIMIT 1",
            )?
            .query_row([], |row| row.get(0))
            .optional()?;
        let mut statement = connection.prepare_cached(
            "SELECT updated_at FROM jobs INDEXED BY jobs_by_state WHERE state = :state AND kind = :kind ORDER BY updated_at LIMIT 1",
        )?;
        for (state, kind) in finished() {
            let parameters = named_params! {":state": state.as_str(), ":kind": kind.as_str()};
            let ended: Option<i64> = statement.query_row(parameters, |row| row.get(0)).optional()?;
            oldest = oldest.into_iter().chain(ended).min();
        }
        Ok(oldest.map(Time::from_unix_ms))
    }
}

fn finished() -> impl Iterator<Item = (JobState, JobKind)> {
    FINISHED.into_iter().flat_map(|state| JobKind::ALL.iter().map(move |kind| (state, *kind)))
}
