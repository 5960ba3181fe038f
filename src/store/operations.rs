//! What an operator sees at a glance. Invariant: every number comes from an index and from a bounded part of it, so that asking is cheap
//! however long a backlog or a history is; asking never waits for the writer.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::jobs::{self, JobKind, JobState};
use super::outbox::OutboxState;
use super::search::SearchStatus;
use super::sweeps::SweepRow;
use super::{Store, connection, rows, sweeps};
use crate::domain::access::Operator;
use crate::domain::quarantine::QuarantineStatus;
use crate::domain::time::Time;
use crate::error::Result;

/// Rows of one state and kind that are counted; a count that is this high means "at least so many". Counting so many costs some
/// tenths of a millisecond, counting a backlog of millions would cost a health check its life.
pub const COUNT_LIMIT: u64 = 10_000;
/// Unfinished jobs of one state among which the oldest is looked for.
const OLDEST_AMONG: u64 = 1_000;
/// How far back deliveries are counted, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// The backlogs of an instance. Counts stop at [`COUNT_LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsSummary {
    /// When this was looked at.
    pub at: Time,
    /// When this process opened the database.
    pub opened_at: Time,
    /// What waits to be told.
    pub outbox: OutboxFigures,
    /// Jobs by kind and state, each combination listed.
    pub jobs: Vec<(JobKind, JobState, u64)>,
    /// When the job that waits longest was due; in the future when none is late.
    pub next_job_due: Option<Time>,
    /// Jobs whose worker has not finished within its lease.
    pub stale_jobs: u64,
    /// Holds that wait for a reviewer.
    pub open_holds: u64,
    /// Re-evaluations of many versions that run.
    pub sweeps: Vec<SweepRow>,
    /// How the search index stands.
    pub search: SearchStatus,
    /// Since when the index lacks something: the oldest event or index job that is not done.
    pub search_behind_since: Option<Time>,
    /// Writes that wait for the writer.
    pub writer_queued: u64,
    /// How many may wait.
    pub writer_queue_limit: u64,
    /// The files of the databases.
    pub databases: Vec<DatabaseFiles>,
}

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxFigures {
    /// Events that wait for the relay.
    pub pending: u64,
    /// When the oldest of them happened.
    pub oldest_pending: Option<Time>,
    /// Events given up.
    pub dead: u64,
    /// Events handed on within the last hour.
    pub delivered_last_hour: u64,
}

/// The files of one database, in bytes; one that is not there has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFiles {
    /// `state` or `search`.
    pub name: &'static str,
    /// The database itself.
    pub size_bytes: u64,
    /// Its write-ahead log. The file keeps its size when its content was moved into the database.
    pub wal_bytes: u64,
}

impl Store {
    /// Whether the database in the data directory is the one that is open: one that was removed or put in its place, as by a restore
    /// beside the running server, is not, and what is written into the open one is lost. Blocks.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.file.is_some() && connection::file_at(&self.directory.join("state.db")) == self.file
    }

    /// The backlogs now. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn ops_summary(&self, proof: &Operator) -> Result<OpsSummary> {
        self.figures(self.search_status(proof)?)
    }

    /// The backlogs, with the index as it was found.
    pub(super) fn figures(&self, search: SearchStatus) -> Result<OpsSummary> {
        let connection = self.connection()?;
        let at = self.clock.now();
        let mut jobs = Vec::new();
        let mut stale_jobs = 0;
        for kind in JobKind::ALL {
            for state in JobState::ALL {
                jobs.push((*kind, *state, count_jobs(&connection, *kind, *state)?));
            }
            stale_jobs += count_stale(&connection, *kind, at)?;
        }
        let outbox = OutboxFigures {
            pending: count_events(&connection, OutboxState::Pending)?,
            oldest_pending: oldest_pending(&connection)?,
            dead: count_events(&connection, OutboxState::Dead)?,
            delivered_last_hour: count_delivered(&connection, at.plus_ms(-HOUR_MS))?,
        };
        let open_holds = connection
            .prepare_cached("SELECT count(*) AS total FROM (SELECT 1 FROM quarantine_items WHERE status = :open LIMIT :limit)")?
            .query_row(named_params! {":open": QuarantineStatus::Quarantined.as_str(), ":limit": rows::stored(COUNT_LIMIT)}, |row| {
                rows::unsigned(row, "total")
            })?;
        let oldest_job = oldest_unfinished(&connection, JobKind::SearchIndex)?;
        Ok(OpsSummary {
            at,
            opened_at: self.opened_at,
            search_behind_since: outbox.oldest_pending.into_iter().chain(oldest_job).min(),
            outbox,
            jobs,
            next_job_due: jobs::next_job_due(&connection, JobKind::ALL)?,
            stale_jobs,
            open_holds,
            sweeps: sweeps::running(&connection)?,
            search,
            writer_queued: self.writer.queued(),
            writer_queue_limit: self.writer.queue_limit(),
            databases: ["state", "search"].into_iter().map(|name| self.files_of(name)).collect(),
        })
    }

    fn files_of(&self, name: &'static str) -> DatabaseFiles {
        let size = |file: String| std::fs::metadata(self.directory.join(file)).map_or(0, |metadata| metadata.len());
        DatabaseFiles { name, size_bytes: size(format!("{name}.db")), wal_bytes: size(format!("{name}.db-wal")) }
    }
}

fn count_jobs(connection: &Connection, kind: JobKind, state: JobState) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) AS total FROM (SELECT 1 FROM jobs INDEXED BY jobs_by_state WHERE state = :state AND kind = :kind LIMIT :limit)",
        )?
        .query_row(named_params! {":state": state.as_str(), ":kind": kind.as_str(), ":limit": rows::stored(COUNT_LIMIT)}, |row| {
            rows::unsigned(row, "total")
        })
}

/// Jobs whose lease is over. Only claimed jobs are looked at, which are few.
fn count_stale(connection: &Connection, kind: JobKind, now: Time) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) AS total FROM (SELECT 1 FROM jobs INDEXED BY jobs_by_state
             WHERE state = 'processing' AND kind = :kind AND due_at <= :now LIMIT :limit)",
        )?
        .query_row(named_params! {":kind": kind.as_str(), ":now": now.unix_ms(), ":limit": rows::stored(COUNT_LIMIT)}, |row| {
            rows::unsigned(row, "total")
        })
}

/// Since when the oldest job of this kind waits or is worked on, however often it failed since. Only those that nobody has touched for
/// longest are looked at: the delay between attempts grows, so the oldest are among them.
fn oldest_unfinished(connection: &Connection, kind: JobKind) -> Result<Option<Time>> {
    let mut oldest = None;
    for state in [JobState::Pending, JobState::Processing, JobState::Failed] {
        let found: Option<i64> = connection
            .prepare_cached(
                "SELECT min(created_at) FROM (SELECT created_at FROM jobs INDEXED BY jobs_by_state
                 WHERE state = :state AND kind = :kind ORDER BY updated_at LIMIT :limit)",
            )?
            .query_row(named_params! {":state": state.as_str(), ":kind": kind.as_str(), ":limit": rows::stored(OLDEST_AMONG)}, |row| {
                row.get(0)
            })?;
        oldest = oldest.into_iter().chain(found).min();
    }
    Ok(oldest.map(Time::from_unix_ms))
}

fn count_events(connection: &Connection, state: OutboxState) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) AS total FROM (SELECT 1 FROM outbox INDEXED BY outbox_by_state WHERE state = :state LIMIT :limit)",
        )?
        .query_row(named_params! {":state": state.as_str(), ":limit": rows::stored(COUNT_LIMIT)}, |row| rows::unsigned(row, "total"))
}

fn count_delivered(connection: &Connection, since: Time) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) AS total FROM (SELECT 1 FROM outbox INDEXED BY outbox_delivered
             WHERE state = 'delivered' AND delivered_at >= :since LIMIT :limit)",
        )?
        .query_row(named_params! {":since": since.unix_ms(), ":limit": rows::stored(COUNT_LIMIT)}, |row| rows::unsigned(row, "total"))
}

fn oldest_pending(connection: &Connection) -> Result<Option<Time>> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT created_at FROM outbox WHERE state = :pending ORDER BY seq LIMIT 1")?
        .query_row(named_params! {":pending": OutboxState::Pending.as_str()}, |row| row.get(0))
        .optional()?;
    Ok(oldest.map(Time::from_unix_ms))
}
