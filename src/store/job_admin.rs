//! The job queue as people see and correct it. Invariant: what a person does to a job is audited, and a job that a worker holds is
//! left to that worker for as long as its lease runs.

use rusqlite::{OptionalExtension, Row, named_params};

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

    /// Calls a waiting job off.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it, when it has ended, and for one that comes again by itself.
    pub fn cancel_job(&mut self, _proof: &Operator, id: &JobId) -> Result<Done<JobRow>> {
        let job = self.job(id)?;
        let state = job.state;
        if job.kind.is_recurring() {
            let message = format!("job {id} comes again by itself and cannot be called off; its settings under [jobs] say how it works");
            return Err(Error::conflict(message).with("status", state.as_str()));
        }
        let has_ended = matches!(state, JobState::Completed | JobState::Dead | JobState::Cancelled);
        if has_ended || self.is_held(&job) {
            return Err(
                Error::conflict(format!("job {id} is {state}; only one that waits can be called off")).with("status", state.as_str())
            );
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
        self.connection()
            .prepare_cached("SELECT * FROM jobs WHERE job_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, read)
            .optional()?
            .ok_or_else(|| Error::not_found(format!("job {id}")))
    }
}
