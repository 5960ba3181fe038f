//! What an operator sees at a glance. Invariant: every number comes from an index alone, so that asking is cheap however much
//! history there is.

use rusqlite::{OptionalExtension, named_params};

use super::jobs::{self, JobKind, JobState};
use super::outbox::OutboxState;
use super::search::IndexState;
use super::{Store, rows};
use crate::domain::access::Operator;
use crate::domain::quarantine::QuarantineStatus;
use crate::domain::time::Time;
use crate::error::Result;

/// The backlogs of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsSummary {
    /// Events that wait for the relay.
    pub pending_events: u64,
    /// When the oldest of them happened.
    pub oldest_pending_event: Option<Time>,
    /// Events given up.
    pub dead_events: u64,
    /// Jobs by state, every state listed.
    pub jobs: Vec<(JobState, u64)>,
    /// When the job that waits longest was due; in the future when none is late.
    pub next_job_due: Option<Time>,
    /// Holds that wait for a reviewer.
    pub open_holds: u64,
    /// How the search index stands.
    pub search: IndexState,
    /// When this was looked at.
    pub at: Time,
}

impl Store {
    /// The backlogs now. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn ops_summary(&self, _proof: &Operator) -> Result<OpsSummary> {
        let connection = self.connection()?;
        let events = |state: OutboxState| {
            connection
                .prepare_cached("SELECT count(*) AS total FROM outbox WHERE state = :state")?
                .query_row(named_params! {":state": state.as_str()}, |row| rows::unsigned(row, "total"))
        };
        let jobs_in = |state: JobState| {
            connection
                .prepare_cached("SELECT count(*) AS total FROM jobs WHERE state = :state")?
                .query_row(named_params! {":state": state.as_str()}, |row| rows::unsigned(row, "total"))
        };
        let oldest: Option<i64> = connection
            .prepare_cached("SELECT created_at FROM outbox WHERE state = :pending ORDER BY seq LIMIT 1")?
            .query_row(named_params! {":pending": OutboxState::Pending.as_str()}, |row| row.get(0))
            .optional()?;
        let next_job_due = jobs::next_job_due(&connection, JobKind::ALL)?;
        let open_holds = connection
            .prepare_cached("SELECT count(*) AS total FROM quarantine_items WHERE status = :open")?
            .query_row(named_params! {":open": QuarantineStatus::Quarantined.as_str()}, |row| rows::unsigned(row, "total"))?;
        Ok(OpsSummary {
            pending_events: events(OutboxState::Pending)?,
            oldest_pending_event: oldest.map(Time::from_unix_ms),
            dead_events: events(OutboxState::Dead)?,
            jobs: JobState::ALL.iter().map(|state| Ok((*state, jobs_in(*state)?))).collect::<rusqlite::Result<_>>()?,
            next_job_due,
            open_holds,
            search: self.search.state(),
            at: self.clock.now(),
        })
    }
}
