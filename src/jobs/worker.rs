//! Claiming and finishing jobs. Invariant: every claimed job of a batch gets an outcome under the lease of its claim, all in one
//! transaction; if that is lost, so are the leases, in time, and the claim counts as an attempt.

use std::sync::Arc;

use super::kinds::{self, Lane, Tools};
use crate::clock::{Clock, Stopwatch};
use crate::error::Result;
use crate::metrics::JobEnd;
use crate::store::{JobKind, LeasedJob, Outcome, QueueLimits, Store};

/// Claims and runs batches; several may do so at once.
#[derive(Clone)]
pub(super) struct Worker {
    tools: Tools,
    limits: QueueLimits,
}

impl Worker {
    pub(super) fn new(tools: Tools, limits: QueueLimits) -> Worker {
        Worker { tools, limits }
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.tools.store
    }

    pub(super) fn limits(&self) -> &QueueLimits {
        &self.limits
    }

    /// The kinds of these lanes that may be claimed now. Others wait and lose no attempts.
    pub(super) fn kinds(&self, lanes: &[Lane]) -> Vec<JobKind> {
        let may_run = |kind: &JobKind| lanes.contains(&kinds::lane(*kind)) && kinds::may_run(*kind, &self.tools);
        JobKind::ALL.iter().copied().filter(may_run).collect()
    }

    /// Claims the next batch of these lanes; empty when nothing is due.
    pub(super) async fn claim(&self, lanes: &[Lane]) -> Result<Vec<LeasedJob>> {
        let (kinds, limits) = (self.kinds(lanes), self.limits);
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        self.store().bookkeep(move |books| books.claim(&kinds, &limits)).await
    }

    /// Does the work of a batch and records how each job ended.
    ///
    /// # Errors
    /// When the outcomes cannot be written; the jobs are claimed again when their leases are over.
    pub(super) async fn run(&self, batch: Vec<LeasedJob>) -> Result<()> {
        let mut ended = Vec::with_capacity(batch.len());
        for kind in JobKind::ALL {
            let jobs: Vec<LeasedJob> = batch.iter().filter(|job| job.kind == *kind).cloned().collect();
            if jobs.is_empty() {
                continue;
            }
            let watch = Stopwatch::start();
            let outcomes = kinds::run(*kind, &self.tools, &jobs).await;
            self.store().metrics().jobs.worked(kind.as_str(), watch.elapsed());
            ended.extend(jobs.into_iter().zip(outcomes));
        }
        self.finish(ended).await
    }

    async fn finish(&self, ended: Vec<(LeasedJob, Outcome)>) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(ended.len());
        for (job, outcome) in ended {
            let jitter = match &outcome {
                Outcome::Completed | Outcome::Again(_) | Outcome::Untouched(_) => 0.0,
                Outcome::Failed(code) | Outcome::Postponed(code) | Outcome::GivenUp(code) => {
                    tracing::info!(job = %job.id, kind = %job.kind, subject = job.subject_id, attempt = job.attempt, code, "a job failed");
                    jitter(&**self.store().clock())?
                }
            };
            rows.push((job, outcome, jitter));
        }
        let limits = self.limits;
        let ends = self.store().bookkeep(move |books| {
            let mut ends = Vec::with_capacity(rows.len());
            for (job, outcome, jitter) in &rows {
                let is_ours = books.finish(job, outcome, &limits, *jitter)?;
                ends.push((job.kind, if is_ours { end_of(job, outcome) } else { JobEnd::Lost }));
            }
            Ok(ends)
        });
        let ends = ends.await?;
        for (kind, end) in &ends {
            self.store().metrics().jobs.ended(kind.as_str(), *end);
        }
        match ends.iter().filter(|(_, end)| *end == JobEnd::Lost).count() {
            0 => {}
            lost => tracing::debug!(lost, "jobs were claimed or enqueued anew while they were worked on"),
        }
        Ok(())
    }
}

/// How an attempt is counted whose outcome was written.
fn end_of(job: &LeasedJob, outcome: &Outcome) -> JobEnd {
    match outcome {
        Outcome::Completed | Outcome::Again(_) => JobEnd::Completed,
        Outcome::Failed(_) if job.attempt >= job.max_attempts => JobEnd::Dead,
        Outcome::Failed(_) => JobEnd::Failed,
        Outcome::GivenUp(_) => JobEnd::Dead,
        Outcome::Postponed(_) | Outcome::Untouched(_) => JobEnd::Postponed,
    }
}

/// A fraction from 0 to 1 out of the clock's randomness, so that jobs that failed together are not tried again together.
fn jitter(clock: &dyn Clock) -> Result<f64> {
    let secret = clock.secret()?;
    let bits = u32::from_be_bytes([secret[0], secret[1], secret[2], secret[3]]);
    Ok(f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
