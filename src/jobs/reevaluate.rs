//! Judging one version again. Invariant: the job reads what it judges, so running it twice or late is harmless; while the gate cannot
//! say, the version stays as it is and the job is tried again.

use super::kinds::Tools;
use crate::domain::id::VersionId;
use crate::error::{Code, Error};
use crate::store::{LeasedJob, Outcome};

/// The job names no version.
const MALFORMED_SUBJECT: &str = "malformed_subject";
/// The order to stop came before its turn.
const STOPPING_DELAY_MS: i64 = 1_000;

/// Judges the versions of these jobs again and says how each ended, in their order.
pub(super) async fn run(tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    flush_downloads(tools).await;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        outcomes.push(if tools.stop.is_cancelled() {
            Outcome::Untouched(tools.store.clock().now().plus_ms(STOPPING_DELAY_MS))
        } else {
            one(tools, job).await
        });
    }
    outcomes
}

async fn one(tools: &Tools, job: &LeasedJob) -> Outcome {
    let Ok(id) = job.subject_id.parse::<VersionId>() else { return Outcome::Failed(MALFORMED_SUBJECT.to_owned()) };
    match tools.registry.reevaluate(id).await {
        Ok(Some(done)) => done.next_change.map_or(Outcome::Completed, Outcome::Again),
        Ok(None) => Outcome::Completed,
        Err(error) => {
            tracing::warn!(?error, version = %id, "a version could not be judged again; it stays as it is");
            failed(&error)
        }
    }
}

/// A rule that cannot be evaluated fails until somebody changes it, which asks for a sweep; all else passes by itself.
fn failed(error: &Error) -> Outcome {
    let code = error.code().as_str().to_owned();
    if error.code() == Code::PolicyError { Outcome::Failed(code) } else { Outcome::Postponed(code) }
}

/// Whoever fetched a version until now is on disk before a hold counts them.
pub(super) async fn flush_downloads(tools: &Tools) {
    if let Err(error) = tools.store.flush_downloads(tools.keep.downloads_per_version).await {
        tracing::warn!(?error, "who fetched which version cannot be written now; a hold may name fewer than there are");
    }
}
