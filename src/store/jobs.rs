//! The job queue. Invariant: at most one job per kind and subject; an attempt is counted when the job is claimed; only the
//! holder of the current lease token changes a job's outcome.

use rusqlite::{OptionalExtension, Row, named_params};

use super::Store;
use super::rows::{self, Page};
use super::write::{Bookkeeping, Done, Write};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::id::{JobId, LeaseToken};
use crate::domain::lifecycle::{State, text_enum};
use crate::domain::time::Time;
use crate::domain::visibility::{Sight, decide};
use crate::error::{Error, Result};

text_enum! {
    /// What a job does.
    JobKind "job kind" {
        /// Brings the search index in line with one version.
        SearchIndex "search_index",
    }
}

text_enum! {
    /// Where a job stands.
    JobState "job state" {
        /// Waiting.
        Pending "pending",
        /// Claimed by a worker.
        Processing "processing",
        /// Done.
        Completed "completed",
        /// Failed; it will be tried again.
        Failed "failed",
        /// Given up.
        Dead "dead",
        /// Called off by a person.
        Cancelled "cancelled",
    }
}

text_enum! {
    /// What the newest event said a job should find.
    Expectation "expectation" {
        /// A visible version; finding none is a failure.
        Visible "visible",
        /// No visible version.
        Hidden "hidden",
    }
}

/// How the queue is worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Jobs or events taken at once.
    pub batch: usize,
    /// How long a claim lasts, in milliseconds.
    pub lease_ms: i64,
    /// Attempts before a job is dead.
    pub max_attempts: u32,
    /// The first delay after a failure, in milliseconds; it doubles five times at most.
    pub backoff_ms: i64,
}

/// A job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// What it is about.
    pub subject_id: String,
    /// What should be found.
    pub expectation: Expectation,
    /// This attempt, from 1.
    pub attempt: u64,
    /// How many it may have.
    pub max_attempts: u64,
    /// The proof of the claim.
    pub lease: LeaseToken,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Completed,
    /// It failed with this code.
    Failed(String),
    /// What it needs is not there now, by no fault of the job: it is tried again after the same delays as a failure, and
    /// never dead for it.
    Postponed(String),
}

/// One job as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// What it is about.
    pub subject_id: String,
    /// Where it stands.
    pub state: JobState,
    /// How often it was claimed.
    pub attempts: u64,
    /// How often it may be.
    pub max_attempts: u64,
    /// When it is due, or its lease ends.
    pub due_at: Time,
    /// The code of the last failure.
    pub last_error: Option<String>,
    /// When it was first enqueued.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

fn read(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: rows::parse(row, "job_id")?,
        kind: rows::parse(row, "kind")?,
        subject_id: row.get("subject_id")?,
        state: rows::parse(row, "state")?,
        attempts: rows::unsigned(row, "attempts")?,
        max_attempts: rows::unsigned(row, "max_attempts")?,
        due_at: rows::time(row, "due_at")?,
        last_error: row.get("last_error")?,
        created_at: rows::time(row, "created_at")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}

impl Bookkeeping<'_> {
    /// Makes sure that a job for this subject is pending; one that is finished, dead or being worked starts afresh, and a
    /// worker that held it has lost its lease.
    pub(super) fn enqueue(&mut self, kind: JobKind, subject_id: &str, expectation: Expectation, max_attempts: u32) -> Result<()> {
        self.connection()
            .prepare_cached(
                "INSERT INTO jobs (job_id, kind, subject_id, expectation, state, attempts, max_attempts, due_at, created_at, updated_at)
                 VALUES (:id, :kind, :subject, :expectation, :pending, 0, :max, :now, :now, :now)
                 ON CONFLICT (kind, subject_id) DO UPDATE SET expectation = excluded.expectation, state = excluded.state, attempts = 0,
                     max_attempts = excluded.max_attempts, due_at = excluded.due_at, lease_token = NULL, lease_expires_at = NULL,
                     last_error = NULL, updated_at = excluded.updated_at",
            )?
            .execute(named_params! {
                ":id": JobId::new(self.uuid()).to_string(), ":kind": kind.as_str(), ":subject": subject_id, ":expectation": expectation.as_str(),
                ":pending": JobState::Pending.as_str(), ":max": max_attempts, ":now": self.now().unix_ms(),
            })?;
        self.mark_enqueued();
        Ok(())
    }

    /// Claims up to `limits.batch` due jobs of these kinds, those whose lease expired too; each claim counts as an attempt.
    /// A job whose attempts are used up is dead.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn claim(&mut self, kinds: &[JobKind], limits: &QueueLimits) -> Result<Vec<LeasedJob>> {
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        self.catch_up_jobs(limits)?;
        self.bury()?;
        let mut statement = self.connection().prepare_cached(
            "SELECT job_id, kind, subject_id, expectation, attempts, max_attempts FROM jobs INDEXED BY jobs_due
             WHERE state IN ('pending', 'failed', 'processing') AND due_at <= :now AND attempts < max_attempts
               AND +kind IN (SELECT value FROM json_each(:kinds))
             ORDER BY due_at, job_id LIMIT :batch",
        )?;
        let parameters =
            named_params! {":now": self.now().unix_ms(), ":kinds": rows::json_text(&kinds)?, ":batch": rows::stored(limits.batch as u64)};
        let found = statement.query_map(parameters, |row| {
            Ok(LeasedJob {
                id: rows::parse(row, "job_id")?,
                kind: rows::parse(row, "kind")?,
                subject_id: row.get("subject_id")?,
                expectation: rows::parse(row, "expectation")?,
                attempt: rows::unsigned(row, "attempts")? + 1,
                max_attempts: rows::unsigned(row, "max_attempts")?,
                lease: LeaseToken::new(self.uuid()),
            })
        })?;
        let claimed = found.collect::<rusqlite::Result<Vec<_>>>()?;
        let lease_ends = self.now().plus_ms(limits.lease_ms).unix_ms();
        for job in &claimed {
            self.connection()
                .prepare_cached(
                    "UPDATE jobs SET state = :processing, attempts = attempts + 1, lease_token = :lease, lease_expires_at = :ends, due_at = :ends,
                         updated_at = :now
                     WHERE job_id = :id",
                )?
                .execute(named_params! {
                    ":processing": JobState::Processing.as_str(), ":lease": job.lease.to_string(), ":ends": lease_ends,
                    ":now": self.now().unix_ms(), ":id": job.id.to_string(),
                })?;
        }
        Ok(claimed)
    }

    /// Makes jobs due whose time lies further ahead than any lease or delay: the clock was set back since, by days perhaps. A worker
    /// that still holds one loses its lease when it is claimed.
    fn catch_up_jobs(&self, limits: &QueueLimits) -> Result<()> {
        let (now, longest_ms) = (self.now(), limits.lease_ms.max(backoff_ms(limits.backoff_ms, u64::MAX, 1.0)));
        self.connection()
            .prepare_cached(
                "UPDATE jobs INDEXED BY jobs_due SET due_at = :now WHERE state IN ('pending', 'failed', 'processing') AND due_at > :latest",
            )?
            .execute(named_params! {":now": now.unix_ms(), ":latest": now.plus_ms(longest_ms).unix_ms()})?;
        Ok(())
    }

    /// Jobs whose last lease ran out without an outcome have no attempt left: each crash counted as one. Only claimed jobs
    /// can be such, and there are few of them; looking at every waiting one would cost each claim a walk over the backlog.
    fn bury(&self) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE jobs INDEXED BY jobs_due SET state = :dead, lease_token = NULL, lease_expires_at = NULL, last_error = coalesce(last_error, 'lease_expired'),
                     updated_at = :now
                 WHERE state IN ('pending', 'failed', 'processing') AND state = 'processing' AND due_at <= :now AND attempts >= max_attempts",
            )?
            .execute(named_params! {":dead": JobState::Dead.as_str(), ":now": self.now().unix_ms()})?;
        Ok(())
    }

    /// Records how an attempt ended. `jitter` is a fraction from 0 to 1 of a quarter of the delay. Returns whether the
    /// lease was still held; without it nothing changes.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn finish(&mut self, job: &LeasedJob, outcome: &Outcome, limits: &QueueLimits, jitter: f64) -> Result<bool> {
        let later = || self.now().plus_ms(backoff_ms(limits.backoff_ms, job.attempt, jitter));
        let (state, due_at, attempts, error) = match outcome {
            Outcome::Completed => (JobState::Completed, self.now(), job.attempt, None),
            Outcome::Failed(code) if job.attempt >= job.max_attempts => (JobState::Dead, self.now(), job.attempt, Some(code)),
            Outcome::Failed(code) => (JobState::Failed, later(), job.attempt, Some(code)),
            Outcome::Postponed(code) => (JobState::Failed, later(), job.attempt.min(job.max_attempts.saturating_sub(1)), Some(code)),
        };
        let changed = self
            .connection()
            .prepare_cached(
                "UPDATE jobs SET state = :state, due_at = :due, attempts = :attempts, lease_token = NULL, lease_expires_at = NULL,
                     last_error = :error, updated_at = :now
                 WHERE job_id = :id AND lease_token = :lease",
            )?
            .execute(named_params! {
                ":state": state.as_str(), ":due": due_at.unix_ms(), ":attempts": rows::stored(attempts), ":error": error, ":now": self.now().unix_ms(), ":id": job.id.to_string(),
                ":lease": job.lease.to_string(),
            })?;
        Ok(changed > 0)
    }

    /// Enqueues an index job for up to `batch` versions after `after`, drafts left out: they were never in the index. Returns the
    /// last one, or `None` at the end.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn enqueue_rebuild(&mut self, after: &str, batch: usize, max_attempts: u32) -> Result<Option<String>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT version_id, state FROM versions WHERE version_id > :after AND state <> :draft ORDER BY version_id LIMIT :batch",
        )?;
        let parameters = named_params! {":after": after, ":draft": State::Draft.as_str(), ":batch": rows::stored(batch as u64)};
        let found = statement.query_map(parameters, |row| Ok((row.get::<_, String>("version_id")?, rows::parse(row, "state")?)))?;
        let versions: Vec<(String, State)> = found.collect::<rusqlite::Result<_>>()?;
        for (id, state) in &versions {
            let expectation = if decide(*state) == Sight::Open { Expectation::Visible } else { Expectation::Hidden };
            self.enqueue(JobKind::SearchIndex, id, expectation, max_attempts)?;
        }
        Ok(versions.last().map(|(id, _)| id.clone()))
    }
}

/// The delay before attempt `attempt + 1`: `first · 2^min(attempt − 1, 5)`, plus up to a quarter of that.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a delay of hours fits an f64 exactly")]
pub fn backoff_ms(first_ms: i64, attempt: u64, jitter: f64) -> i64 {
    let doublings = u32::try_from(attempt.saturating_sub(1).min(5)).unwrap_or(5);
    let delay = first_ms.saturating_mul(1_i64 << doublings);
    delay.saturating_add((delay as f64 * 0.25 * jitter.clamp(0.0, 1.0)) as i64)
}

impl Store {
    /// One page of jobs, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn jobs(
        &self,
        _proof: &Operator,
        state: Option<JobState>,
        kind: Option<JobKind>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<JobRow>> {
        let before: Option<JobId> = cursor.map(str::parse).transpose().map_err(|_| rows::bad_cursor())?;
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(match state {
            Some(_) => {
                "SELECT * FROM jobs WHERE state = :state AND job_id < coalesce(:before, 'g') AND (:kind IS NULL OR kind = :kind)
                 ORDER BY job_id DESC LIMIT :limit"
            }
            None => {
                "SELECT * FROM jobs WHERE :state IS NULL AND job_id < coalesce(:before, 'g') AND (:kind IS NULL OR kind = :kind)
                 ORDER BY job_id DESC LIMIT :limit"
            }
        })?;
        let found = statement.query_map(
            named_params! {":before": before.map(|id| id.to_string()), ":state": state.map(JobState::as_str), ":kind": kind.map(JobKind::as_str),
                ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |job| job.id.to_string()))
    }

    /// When the next event, or job of these kinds, is due; `None` when nothing waits.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn next_due(&self, kinds: &[JobKind]) -> Result<Option<Time>> {
        let connection = self.connection()?;
        let event: Option<i64> = connection
            .prepare_cached("SELECT due_at FROM outbox INDEXED BY outbox_due WHERE state = 'pending' ORDER BY due_at LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let job: Option<i64> = connection
            .prepare_cached(
                "SELECT due_at FROM jobs INDEXED BY jobs_due
                 WHERE state IN ('pending', 'failed', 'processing') AND +kind IN (SELECT value FROM json_each(:kinds))
                 ORDER BY due_at LIMIT 1",
            )?
            .query_row(named_params! {":kinds": rows::json_text(&kinds)?}, |row| row.get(0))
            .optional()?;
        Ok(event.into_iter().chain(job).min().map(Time::from_unix_ms))
    }
}

impl Write<'_> {
    /// Makes a job due now, with all its attempts.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it.
    pub fn retry_job(&mut self, _proof: &Operator, id: &JobId) -> Result<Done<JobRow>> {
        if self.job(id)?.state == JobState::Processing {
            return Err(Error::conflict(format!("job {id} is being worked on; try again when it is done")));
        }
        self.set_job(id, JobState::Pending)?;
        Ok(Done::new(self.job(id)?, Event::JobRetried { job_id: *id }))
    }

    /// Calls a waiting job off.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it and when it has ended.
    pub fn cancel_job(&mut self, _proof: &Operator, id: &JobId) -> Result<Done<JobRow>> {
        let state = self.job(id)?.state;
        if state != JobState::Pending && state != JobState::Failed {
            return Err(
                Error::conflict(format!("job {id} is {state}; only one that waits can be called off")).with("status", state.as_str())
            );
        }
        self.set_job(id, JobState::Cancelled)?;
        Ok(Done::new(self.job(id)?, Event::JobCancelled { job_id: *id }))
    }

    fn set_job(&self, id: &JobId, state: JobState) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE jobs SET state = :state, attempts = 0, due_at = :now, updated_at = :now WHERE job_id = :id")?
            .execute(named_params! {":state": state.as_str(), ":now": self.now().unix_ms(), ":id": id.to_string()})?;
        Ok(())
    }

    fn job(&self, id: &JobId) -> Result<JobRow> {
        self.connection()
            .prepare_cached("SELECT * FROM jobs WHERE job_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, read)
            .optional()?
            .ok_or_else(|| Error::not_found(format!("job {id}")))
    }
}
