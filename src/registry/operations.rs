//! Looking after an instance: audit trail, outbox, jobs. Invariant: only who runs the instance gets here; reading changes
//! nothing, and what changes something is audited.

use std::sync::Arc;

use super::Registry;
use crate::blobs::DiskSpace;
use crate::domain::access::Operator;
use crate::domain::id::{EventId, JobId};
use crate::error::Result;
use crate::hop;
use crate::store::{AuditFilter, AuditRow, JobFilter, JobKind, JobRow, OpsSummary, OutboxFilter, OutboxRow, Page};

/// Dead jobs that one call makes due again: the writer takes them in one transaction.
pub const RETRY_LIMIT: usize = 1_000;

/// What became of a call for many jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// Jobs that are due again.
    pub count: u64,
    /// Whether there are more of them.
    pub more: bool,
}

impl Registry {
    /// One page of the audit trail, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn audit(&self, operator: &Operator, filter: &AuditFilter, limit: usize, cursor: Option<&str>) -> Result<Page<AuditRow>> {
        self.store.audit(operator, filter, limit, cursor)
    }

    /// Up to `limit` rows of the trail after row `after`, oldest first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn audit_after(&self, operator: &Operator, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.store.audit_after(operator, after, limit)
    }

    /// One page of the outbox, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn outbox(&self, operator: &Operator, filter: &OutboxFilter, limit: usize, cursor: Option<&str>) -> Result<Page<OutboxRow>> {
        self.store.outbox(operator, filter, limit, cursor)
    }

    /// One event of the outbox.
    ///
    /// # Errors
    /// `not_found`.
    pub fn outbox_event(&self, operator: &Operator, id: &EventId) -> Result<OutboxRow> {
        self.store.outbox_event(operator, id)
    }

    /// Has the relay look at a dead event again.
    ///
    /// # Errors
    /// `not_found`; `conflict` unless it is dead.
    pub async fn retry_event(&self, operator: &Operator, id: EventId) -> Result<OutboxRow> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.retry_event(&proof, &id)).await
    }

    /// One page of the jobs, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn jobs(&self, operator: &Operator, filter: &JobFilter, limit: usize, cursor: Option<&str>) -> Result<Page<JobRow>> {
        self.store.jobs(operator, filter, limit, cursor)
    }

    /// One job.
    ///
    /// # Errors
    /// `not_found`.
    pub fn job(&self, operator: &Operator, id: &JobId) -> Result<JobRow> {
        self.store.job(operator, id)
    }

    /// Makes a job due now, with all its attempts.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it.
    pub async fn retry_job(&self, operator: &Operator, id: JobId) -> Result<JobRow> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.retry_job(&proof, &id)).await
    }

    /// Makes dead jobs due now, those of this kind and with this last failure where they are given, up to [`RETRY_LIMIT`] at once.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn retry_dead_jobs(&self, operator: &Operator, kind: Option<JobKind>, error: Option<String>) -> Result<Retried> {
        let (store, proof, code) = (Arc::clone(&self.store), operator.clone(), error.clone());
        // Looked for outside the write: the writer is not held up by a long list.
        let mut ids = hop::run(move || store.dead_jobs(&proof, kind, code.as_deref(), RETRY_LIMIT + 1)).await?;
        let more = ids.len() > RETRY_LIMIT;
        ids.truncate(RETRY_LIMIT);
        let proof = operator.clone();
        let count = self.store.write(operator, move |tx| tx.retry_dead_jobs(&proof, &ids, kind, error.as_deref())).await?;
        Ok(Retried { count, more })
    }

    /// Calls a job off.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it does not wait.
    pub async fn cancel_job(&self, operator: &Operator, id: JobId) -> Result<JobRow> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.cancel_job(&proof, &id)).await
    }

    /// The backlogs at a glance, and the disk under them. Blocks.
    ///
    /// # Errors
    /// Internal when the store fails or the disk cannot be asked.
    pub fn ops_summary(&self, operator: &Operator) -> Result<(OpsSummary, Option<DiskSpace>)> {
        // A disk that cannot be asked is for the readiness to tell; what waits is wanted then all the more.
        let disk = self.blobs.disk_space().inspect_err(|error| tracing::warn!(?error, "the disk cannot be asked")).ok();
        Ok((self.store.ops_summary(operator)?, disk))
    }

    /// Every metric as text: looks up what stands in the database and on the disk, and writes it out with what was counted. What cannot
    /// be looked up now does not keep the rest from being told. Blocks.
    ///
    /// # Errors
    /// Internal when the text cannot be written.
    pub fn scrape(&self) -> Result<String> {
        let metrics = self.store.metrics();
        let looked_up = self.store.measure();
        metrics.backlog.database_readable.set(u64::from(looked_up.is_ok()));
        if let Err(error) = looked_up {
            tracing::warn!(?error, "the backlog cannot be looked up for the metrics");
        }
        metrics.process.look();
        match self.blobs.disk_space() {
            Ok(disk) => metrics.blobs.set_disk(disk.free_bytes, disk.size_bytes),
            Err(error) => tracing::warn!(?error, "the disk does not say how much space it has"),
        }
        metrics.encode()
    }
}
