//! Bringing the search index in line with versions. Invariant: the job re-reads the version, so running it twice, late or out of
//! order is harmless; one version that cannot be indexed costs its neighbours nothing.

use std::sync::Arc;

use crate::domain::id::VersionId;
use crate::error::Error;
use crate::hop;
use crate::store::{Expectation, INDEX_UNAVAILABLE, IndexFault, Indexed, LeasedJob, Outcome, Store};

/// The newest event said that the version is published, and it is not.
const VERSION_NOT_PUBLISHED: &str = "version_not_published";
/// The catalogue's row of the version cannot be read.
const VERSION_UNREADABLE: &str = "version_unreadable";
/// The job names no version.
const MALFORMED_SUBJECT: &str = "malformed_subject";
/// Indexing this version panicked.
const INDEXING_FAILED: &str = "indexing_failed";

/// Why versions were not indexed.
enum Trouble {
    /// Nothing about them: the index cannot be used.
    Unavailable(Error),
    /// Something about at least one of them.
    Panicked(Error),
}

/// Indexes the versions of these jobs and says how each ended, in their order.
pub(super) async fn run(store: &Arc<Store>, jobs: &[LeasedJob]) -> Vec<Outcome> {
    let subjects: Vec<Option<VersionId>> = jobs.iter().map(|job| job.subject_id.parse().ok()).collect();
    let ids: Vec<VersionId> = subjects.iter().copied().flatten().collect();
    let mut found = index_each(store, ids).await.into_iter();
    let outcome = |(job, subject): (&LeasedJob, &Option<VersionId>)| match subject {
        Some(_) => found.next().map_or_else(|| Outcome::Failed(INDEXING_FAILED.to_owned()), |result| outcome_of(job, result)),
        None => Outcome::Failed(MALFORMED_SUBJECT.to_owned()),
    };
    jobs.iter().zip(&subjects).map(outcome).collect()
}

fn outcome_of(job: &LeasedJob, result: Result<Indexed, Outcome>) -> Outcome {
    match (result, job.expectation) {
        (Ok(Indexed::Present), _) | (Ok(Indexed::Absent), Some(Expectation::Hidden) | None) => Outcome::Completed,
        (Ok(Indexed::Absent), Some(Expectation::Visible)) => Outcome::Failed(VERSION_NOT_PUBLISHED.to_owned()),
        (Ok(Indexed::Unreadable), _) => Outcome::Failed(VERSION_UNREADABLE.to_owned()),
        (Err(outcome), _) => outcome,
    }
}

/// Indexes all at once; if that breaks on one of them, each by itself.
async fn index_each(store: &Arc<Store>, ids: Vec<VersionId>) -> Vec<Result<Indexed, Outcome>> {
    if ids.is_empty() {
        return Vec::new();
    }
    let error = match index_all(store, ids.clone()).await {
        Ok(found) => return found.into_iter().map(Ok).collect(),
        Err(Trouble::Unavailable(error)) => {
            tracing::warn!(?error, jobs = ids.len(), "the search index cannot be written now; its jobs are tried again");
            return ids.iter().map(|_| Err(Outcome::Postponed(INDEX_UNAVAILABLE.to_owned()))).collect();
        }
        Err(Trouble::Panicked(error)) => error,
    };
    tracing::error!(?error, jobs = ids.len(), "indexing broke on one of these versions; each is tried by itself");
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        results.push(match index_all(store, vec![id]).await {
            Ok(found) => found.first().copied().ok_or_else(|| Outcome::Failed(INDEXING_FAILED.to_owned())),
            Err(Trouble::Unavailable(_)) => Err(Outcome::Postponed(INDEX_UNAVAILABLE.to_owned())),
            Err(Trouble::Panicked(_)) => Err(Outcome::Failed(INDEXING_FAILED.to_owned())),
        });
    }
    results
}

/// Indexes in one transaction. An index that is lost is made anew, once, and its rebuild begun.
async fn index_all(store: &Arc<Store>, ids: Vec<VersionId>) -> Result<Vec<Indexed>, Trouble> {
    let generation = store.search_index().generation();
    let found = match index_once(store, ids.clone()).await? {
        Ok(found) => found,
        Err(IndexFault::Unavailable(error)) => return Err(Trouble::Unavailable(error)),
        Err(IndexFault::Lost(error)) => {
            tracing::warn!(?error, "the search index is lost; it is made anew");
            store.begin_rebuild(generation).await.map_err(unavailable)?;
            index_once(store, ids).await?.map_err(unavailable)?
        }
    };
    store.index_was_written().await.map_err(unavailable)?;
    Ok(found)
}

async fn index_once(store: &Arc<Store>, ids: Vec<VersionId>) -> Result<Result<Vec<Indexed>, IndexFault>, Trouble> {
    let store = Arc::clone(store);
    hop::run(move || Ok(store.index_versions(&ids))).await.map_err(Trouble::Panicked)
}

fn unavailable(fault: IndexFault) -> Trouble {
    match fault {
        IndexFault::Lost(error) | IndexFault::Unavailable(error) => Trouble::Unavailable(error),
    }
}

#[cfg(test)]
mod tests;
