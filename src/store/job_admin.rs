//! The job queue as people see and correct it. Invariant: what a person does to a job is audited, and a job that a worker holds is
//! left to that worker for as long as its lease runs.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::jobs::{JobKind, JobState};
use super::rows::{self, Page};
use super::write::{Done, Write};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::id::JobId;
use crate::domain::time::Time;
use crate::error::{Error, Result};

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
    /// When it was enqueued first since it was last done.
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

/// Which jobs to list; what is not given restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only with this code of the last failure.
    pub error: Option<String>,
    /// Only first enqueued then or later, as their ids tell.
    pub since: Option<Time>,
    /// Only first enqueued then or earlier, as their ids tell.
    pub until: Option<Time>,
    /// Only due, or with a lease that ends, before then.
    pub due_before: Option<Time>,
}

impl JobFilter {
    /// Whether a job passes what the index has not asked yet.
    fn passes(&self, job: &JobRow) -> bool {
        self.kind.is_none_or(|kind| job.kind == kind)
            && self.error.as_ref().is_none_or(|error| job.last_error.as_ref() == Some(error))
            && self.due_before.is_none_or(|before| job.due_at < before)
    }
}

impl Store {
    /// One page of the queue, the newest first. A page may have fewer jobs than asked for and a cursor all the same.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn jobs(&self, _proof: &Operator, filter: &JobFilter, limit: usize, cursor: Option<&str>) -> Result<Page<JobRow>> {
        let before: Option<JobId> = cursor.map(str::parse).transpose().map_err(|_| rows::bad_cursor())?;
        let before = before.map(|id| id.to_string());
        let until = filter.until.map(|until| rows::first_id_at(until.plus_ms(1)));
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(match filter.state {
            Some(_) => {
                "SELECT * FROM jobs INDEXED BY jobs_by_state_listed
                 WHERE state = :state AND job_id >= :since AND job_id < min(coalesce(:before, 'g'), coalesce(:until, 'g'))
                 ORDER BY job_id DESC LIMIT :walk"
            }
            None => {
                "SELECT * FROM jobs WHERE :state IS NULL AND job_id >= :since AND job_id < min(coalesce(:before, 'g'), coalesce(:until, 'g'))
                 ORDER BY job_id DESC LIMIT :walk"
            }
        })?;
        let found = statement.query_map(
            named_params! {
                ":state": filter.state.map(JobState::as_str), ":before": before, ":until": until,
                ":since": filter.since.map(rows::first_id_at).unwrap_or_default(), ":walk": Page::<JobRow>::walk_limit(),
            },
            read,
        )?;
        Page::walk(found, limit, |job| filter.passes(job), |job| job.id.to_string())
    }

    /// One job.
    ///
    /// # Errors
    /// `not_found`.
    pub fn job(&self, _proof: &Operator, id: &JobId) -> Result<JobRow> {
        find(&*self.connection()?, id)
    }

    /// Up to `limit` dead jobs, of this kind and with this last failure where they are given, those that died first at the front.
    /// Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn dead_jobs(&self, _proof: &Operator, kind: Option<JobKind>, error: Option<&str>, limit: usize) -> Result<Vec<JobId>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT job_id FROM jobs INDEXED BY jobs_by_state WHERE state = 'dead' AND kind = :kind AND (:error IS NULL OR last_error = :error)
             ORDER BY updated_at LIMIT :limit",
        )?;
        let mut ids = Vec::new();
        for kind in JobKind::ALL.iter().filter(|each| kind.is_none_or(|kind| kind == **each)) {
            let room = limit.saturating_sub(ids.len());
            let found = statement
                .query_map(named_params! {":kind": kind.as_str(), ":error": error, ":limit": rows::stored(room as u64)}, |row| {
                    rows::parse::<JobId>(row, "job_id")
                })?;
            ids.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(ids)
    }
}

fn find(connection: &Connection, id: &JobId) -> Result<JobRow> {
    connection
        .prepare_cached("SELECT * FROM jobs WHERE job_id = :id")?
        .query_row(named_params! {":id": id.to_string()}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("job {id}")))
}

impl Write<'_> {
    /// Makes a job due now, with all its attempts. One whose worker let its lease run out is nobody's.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it.
    pub fn retry_job(&mut self, _proof: &Operator, id: &JobId) -> Result<Done<JobRow>> {
        if self.is_held(&self.job(id)?) {
            return Err(Error::conflict(format!("job {id} is being worked on; try again when it is done")));
        }
        self.set_job(id, JobState::Pending)?;
        Ok(Done::new(self.job(id)?, Event::JobRetried { job_id: *id }))
    }

    /// Calls a waiting job off, or puts a dead one away that somebody has seen to.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it, when it has ended, for one that comes again by itself, and for one that waits
    /// to judge versions again.
    pub fn cancel_job(&mut self, _proof: &Operator, id: &JobId) -> Result<Done<JobRow>> {
        let job = self.job(id)?;
        let state = job.state;
        if job.kind.is_recurring() {
            let message = format!("job {id} comes again by itself and cannot be called off; its settings under [jobs] say how it works");
            return Err(Error::conflict(message).with("status", state.as_str()));
        }
        if job.kind.decides_what_is_visible() && state != JobState::Dead {
            let message =
                format!("job {id} judges versions again, and without it they stay visible or held for ever; change the policy instead");
            return Err(Error::conflict(message).with("status", state.as_str()));
        }
        let has_ended = matches!(state, JobState::Completed | JobState::Cancelled);
        if has_ended || self.is_held(&job) {
            let message = format!("job {id} is {state}; only one that waits or is dead can be called off");
            return Err(Error::conflict(message).with("status", state.as_str()));
        }
        self.set_job(id, JobState::Cancelled)?;
        Ok(Done::new(self.job(id)?, Event::JobCancelled { job_id: *id }))
    }

    fn is_held(&self, job: &JobRow) -> bool {
        job.state == JobState::Processing && job.due_at > self.now()
    }

    fn set_job(&self, id: &JobId, state: JobState) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE jobs SET state = :state, attempts = 0, due_at = :now, lease_token = NULL, lease_expires_at = NULL, updated_at = :now
                 WHERE job_id = :id",
            )?
            .execute(named_params! {":state": state.as_str(), ":now": self.now().unix_ms(), ":id": id.to_string()})?;
        Ok(())
    }

    fn job(&self, id: &JobId) -> Result<JobRow> {
        find(self.connection(), id)
    }

    /// Makes those of these jobs due now, with all their attempts, that are still dead; says how many. `kind` and `error` are what
    /// they were found by.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn retry_dead_jobs(&mut self, _proof: &Operator, ids: &[JobId], kind: Option<JobKind>, error: Option<&str>) -> Result<Done<u64>> {
        let mut statement = self.connection().prepare_cached(
            "UPDATE jobs SET state = :pending, attempts = 0, due_at = :now, updated_at = :now WHERE job_id = :id AND state = :dead",
        )?;
        let mut count = 0_u64;
        for id in ids {
            let changed = statement.execute(named_params! {
                ":pending": JobState::Pending.as_str(), ":dead": JobState::Dead.as_str(), ":now": self.now().unix_ms(), ":id": id.to_string(),
            })?;
            count += changed as u64;
        }
        if count == 0 {
            return Ok(Done::unchanged(0));
        }
        let (kind, error) = (kind.map(|kind| kind.as_str().to_owned()), error.map(str::to_owned));
        Ok(Done::new(count, Event::JobsRetried { kind, error, count }))
    }
}
