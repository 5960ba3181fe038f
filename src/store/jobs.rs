//! The job queue. Invariant: at most one job per kind and subject; an attempt is counted when the job is claimed; only the
//! holder of the current lease token changes a job's outcome.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::write::Bookkeeping;
use super::{Store, outbox, rows};
use crate::domain::id::{JobId, LeaseToken, VersionId};
use crate::domain::lifecycle::text_enum;
use crate::domain::time::Time;
use crate::error::Result;

/// The longest time from one round of a job that comes again to the next, in milliseconds.
pub const LONGEST_ROUND_MS: i64 = 86_400_000;

text_enum! {
    /// What a job does.
    JobKind "job kind" {
        /// Brings the search index in line with one version.
        SearchIndex "search_index",
        /// Sends one event to one webhook.
        Webhook "webhook",
        /// Removes finished work that is old enough.
        Prune "prune",
        /// Evaluates one version again.
        Reevaluate "reevaluate",
        /// Evaluates many versions again.
        Sweep "sweep",
    }
}

impl JobKind {
    /// Whether such a job comes again by itself, for as long as the instance runs.
    #[must_use]
    pub fn is_recurring(self) -> bool {
        match self {
            JobKind::SearchIndex | JobKind::Webhook | JobKind::Reevaluate | JobKind::Sweep => false,
            JobKind::Prune => true,
        }
    }
}

impl JobKind {
    /// Whether a job of this kind that waits is no backlog, since it was made for a later time.
    #[must_use]
    pub fn waits_for_its_time(self) -> bool {
        match self {
            JobKind::SearchIndex | JobKind::Webhook | JobKind::Sweep => false,
            JobKind::Prune | JobKind::Reevaluate => true,
        }
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
    /// What should be found; only jobs about a version have it.
    pub expectation: Option<Expectation>,
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
    /// This round is done; the next one is due then, with all attempts.
    Again(Time),
    /// It failed with this code, and trying again would be wrong: it is dead at once.
    GivenUp(String),
    /// Its turn did not come in the time of its batch: it is due again then, and this claim was no attempt.
    Untouched(Time),
}

/// A job to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewJob<'a> {
    /// What it does.
    pub(super) kind: JobKind,
    /// What it is about.
    pub(super) subject_id: &'a str,
    /// What should be found; for search_index alone.
    pub(super) expectation: Option<Expectation>,
    /// Attempts before it is dead.
    pub(super) max_attempts: u32,
}

/// [`Bookkeeping::enqueue`] for a write whose event wakes the queue (`Event::touches_queue`). `created_at` is since when there is
/// something to do: it stays while that is not done, and begins anew after it was.
pub(super) fn enqueue(connection: &Connection, id: uuid::Uuid, now: Time, job: &NewJob<'_>) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO jobs (job_id, kind, subject_id, expectation, state, attempts, max_attempts, due_at, created_at, updated_at)
             VALUES (:id, :kind, :subject, :expectation, :pending, 0, :max, :now, :now, :now)
             ON CONFLICT (kind, subject_id) DO UPDATE SET expectation = excluded.expectation, state = excluded.state, attempts = 0,
                 max_attempts = excluded.max_attempts, due_at = excluded.due_at, lease_token = NULL, lease_expires_at = NULL,
                 last_error = NULL, updated_at = excluded.updated_at,
                 created_at = CASE WHEN jobs.state IN ('completed', 'cancelled') THEN excluded.created_at ELSE jobs.created_at END",
        )?
        .execute(named_params! {
            ":id": JobId::new(id).to_string(), ":kind": job.kind.as_str(), ":subject": job.subject_id,
            ":expectation": job.expectation.map(Expectation::as_str), ":pending": JobState::Pending.as_str(), ":max": job.max_attempts,
            ":now": now.unix_ms(),
        })?;
    Ok(())
}

/// Claims of a re-evaluation before it is dead; a sweep revives it.
const REEVALUATE_ATTEMPTS: u32 = 10;

/// Makes sure that a version is evaluated again at `due_at`, or earlier if that was asked for before. One that is being evaluated is
/// evaluated once more.
pub(super) fn schedule(connection: &Connection, id: uuid::Uuid, now: Time, version: &VersionId, due_at: Time) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO jobs (job_id, kind, subject_id, state, attempts, max_attempts, due_at, created_at, updated_at)
             VALUES (:id, :kind, :subject, :pending, 0, :max, :due, :now, :now)
             ON CONFLICT (kind, subject_id) DO UPDATE SET state = excluded.state, attempts = 0, max_attempts = excluded.max_attempts,
                 due_at = CASE WHEN jobs.state IN ('pending', 'failed') THEN min(jobs.due_at, excluded.due_at)
                               WHEN jobs.state = 'processing' THEN excluded.created_at ELSE excluded.due_at END,
                 lease_token = NULL, lease_expires_at = NULL, last_error = NULL, created_at = excluded.created_at,
                 updated_at = excluded.updated_at",
        )?
        .execute(named_params! {
            ":id": JobId::new(id).to_string(), ":kind": JobKind::Reevaluate.as_str(), ":subject": version.to_string(),
            ":pending": JobState::Pending.as_str(), ":max": REEVALUATE_ATTEMPTS, ":due": due_at.unix_ms(), ":now": now.unix_ms(),
        })?;
    Ok(())
}

impl Bookkeeping<'_> {
    /// Makes sure that a job for this subject is pending and due; one that is finished, dead or being worked starts afresh, and a
    /// worker that held it has lost its lease.
    pub(super) fn enqueue(&mut self, job: &NewJob<'_>) -> Result<()> {
        enqueue(self.connection(), self.uuid(), self.now(), job)?;
        self.mark_enqueued();
        Ok(())
    }

    /// Claims up to `limits.batch` due jobs of these kinds, by due time whatever their kind, those whose lease expired too; each
    /// claim counts as an attempt. A job whose attempts are used up is dead.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn claim(&mut self, kinds: &[JobKind], limits: &QueueLimits) -> Result<Vec<LeasedJob>> {
        let mut due = Vec::new();
        for kind in kinds {
            self.catch_up_jobs(*kind, limits)?;
            self.bury(*kind)?;
            due.extend(self.due_of(*kind, limits.batch)?);
        }
        due.sort_by_key(|(due_at, job)| (*due_at, job.id));
        due.truncate(limits.batch);
        let claimed: Vec<LeasedJob> = due.into_iter().map(|(_, job)| job).collect();
        self.lease(&claimed, limits.lease_ms)?;
        Ok(claimed)
    }

    /// The due jobs of one kind with their due times, each as it will be once it is leased.
    fn due_of(&self, kind: JobKind, batch: usize) -> Result<Vec<(i64, LeasedJob)>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT job_id, kind, subject_id, expectation, attempts, max_attempts, due_at FROM jobs INDEXED BY jobs_due
             WHERE state IN ('pending', 'failed', 'processing') AND kind = :kind AND due_at <= :now AND attempts < max_attempts
             ORDER BY due_at, job_id LIMIT :batch",
        )?;
        let parameters = named_params! {":now": self.now().unix_ms(), ":kind": kind.as_str(), ":batch": rows::stored(batch as u64)};
        let found = statement.query_map(parameters, |row| {
            let job = LeasedJob {
                id: rows::parse(row, "job_id")?,
                kind: rows::parse(row, "kind")?,
                subject_id: row.get("subject_id")?,
                expectation: rows::parse_optional(row, "expectation")?,
                attempt: rows::unsigned(row, "attempts")? + 1,
                max_attempts: rows::unsigned(row, "max_attempts")?,
                lease: LeaseToken::new(self.uuid()),
            };
            Ok((row.get("due_at")?, job))
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    fn lease(&self, jobs: &[LeasedJob], lease_ms: i64) -> Result<()> {
        let lease_ends = self.now().plus_ms(lease_ms).unix_ms();
        let mut statement = self.connection().prepare_cached(
            "UPDATE jobs SET state = :processing, attempts = attempts + 1, lease_token = :lease, lease_expires_at = :ends, due_at = :ends,
                 updated_at = :now
             WHERE job_id = :id",
        )?;
        for job in jobs {
            statement.execute(named_params! {
                ":processing": JobState::Processing.as_str(), ":lease": job.lease.to_string(), ":ends": lease_ends,
                ":now": self.now().unix_ms(), ":id": job.id.to_string(),
            })?;
        }
        Ok(())
    }

    /// Makes jobs due whose time lies further ahead than any lease or delay: the clock was set back since, by days perhaps. A worker
    /// that still holds one loses its lease when it is claimed.
    fn catch_up_jobs(&self, kind: JobKind, limits: &QueueLimits) -> Result<()> {
        let longest_ms = match kind {
            JobKind::SearchIndex | JobKind::Webhook | JobKind::Sweep => limits.lease_ms.max(backoff_ms(limits.backoff_ms, u64::MAX, 1.0)),
            JobKind::Prune => limits.lease_ms.max(LONGEST_ROUND_MS),
            // Its time is one of the calendar, and may lie years ahead.
            JobKind::Reevaluate => return Ok(()),
        };
        self.connection()
            .prepare_cached(
                "UPDATE jobs INDEXED BY jobs_due SET due_at = :now
                 WHERE state IN ('pending', 'failed', 'processing') AND kind = :kind AND due_at > :latest",
            )?
            .execute(
                named_params! {":now": self.now().unix_ms(), ":kind": kind.as_str(), ":latest": self.now().plus_ms(longest_ms).unix_ms()},
            )?;
        Ok(())
    }

    /// Jobs whose last lease ran out without an outcome have no attempt left: each crash counted as one. Only claimed jobs
    /// can be such, and there are few of them; looking at every waiting one would cost each claim a walk over the backlog.
    fn bury(&self, kind: JobKind) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE jobs INDEXED BY jobs_by_state SET state = :dead, lease_token = NULL, lease_expires_at = NULL,
                     last_error = coalesce(last_error, 'lease_expired'), updated_at = :now
                 WHERE state = :processing AND kind = :kind AND due_at <= :now AND attempts >= max_attempts",
            )?
            .execute(named_params! {
                ":dead": JobState::Dead.as_str(), ":processing": JobState::Processing.as_str(), ":now": self.now().unix_ms(), ":kind": kind.as_str(),
            })?;
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
            Outcome::Again(due_at) => (JobState::Pending, *due_at, 0, None),
            Outcome::GivenUp(code) => (JobState::Dead, self.now(), job.attempt, Some(code)),
            Outcome::Untouched(due_at) => (JobState::Pending, *due_at, job.attempt.saturating_sub(1), None),
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
    /// When the next event, or job of these kinds, is due; `None` when nothing waits.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn next_due(&self, kinds: &[JobKind]) -> Result<Option<Time>> {
        let connection = self.connection()?;
        let event = outbox::next_event_due(&connection, self.clock().now())?;
        Ok(event.into_iter().chain(next_job_due(&connection, kinds)?).min())
    }
}

/// When the next job of these kinds is due, or its lease ends.
pub(super) fn next_job_due(connection: &Connection, kinds: &[JobKind]) -> Result<Option<Time>> {
    let mut next = None;
    for kind in kinds {
        let due_at: Option<i64> = connection
            .prepare_cached(
                "SELECT due_at FROM jobs INDEXED BY jobs_due WHERE state IN ('pending', 'failed', 'processing') AND kind = :kind
                 ORDER BY due_at LIMIT 1",
            )?
            .query_row(named_params! {":kind": kind.as_str()}, |row| row.get(0))
            .optional()?;
        next = next.into_iter().chain(due_at).min();
    }
    Ok(next.map(Time::from_unix_ms))
}
