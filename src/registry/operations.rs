//! Looking after an instance: audit trail, outbox, jobs. Invariant: only who runs the instance gets here; reading changes
//! nothing, and what changes something is audited.

use super::Registry;
use crate::domain::access::Operator;
use crate::domain::id::JobId;
use crate::error::Result;
use crate::store::{AuditFilter, AuditRow, JobKind, JobRow, JobState, OpsSummary, OutboxRow, OutboxState, Page};

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
    pub fn outbox(&self, operator: &Operator, state: Option<OutboxState>, limit: usize, cursor: Option<&str>) -> Result<Page<OutboxRow>> {
        self.store.outbox(operator, state, limit, cursor)
    }

    /// One page of the jobs, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn jobs(
        &self,
        operator: &Operator,
        state: Option<JobState>,
        kind: Option<JobKind>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<JobRow>> {
        self.store.jobs(operator, state, kind, limit, cursor)
    }

    /// Makes a job due now, with all its attempts.
    ///
    /// # Errors
    /// `not_found`; `conflict` while a worker holds it.
    pub async fn retry_job(&self, operator: &Operator, id: JobId) -> Result<JobRow> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.retry_job(&proof, &id)).await
    }

    /// Calls a job off.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it does not wait.
    pub async fn cancel_job(&self, operator: &Operator, id: JobId) -> Result<JobRow> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.cancel_job(&proof, &id)).await
    }

    /// The backlogs at a glance.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn ops_summary(&self, operator: &Operator) -> Result<OpsSummary> {
        self.store.ops_summary(operator)
    }
}
