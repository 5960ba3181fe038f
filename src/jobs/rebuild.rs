//! Looking after the search index: inspect it, make a lost one anew, fill it. Invariant: a rebuild goes on a piece at a time beside the
//! workers, neither waiting for the other; a crash costs one piece, and a fault is waited out without asking again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::{IndexCare, IndexFault, RebuildStep, Store};

/// After a failure of the index until the next try.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Of so many failures in a row one is logged: an hour's.
const FAILURES_TOLD: u32 = 720;

/// Whether a step did something, so that there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It did.
    Made,
    /// There is nothing to do now.
    None,
    /// It could not; it is to be tried again later.
    Failed,
}

/// Looks after the index until `stop` is cancelled.
pub(super) async fn run(store: Arc<Store>, stop: CancellationToken) {
    let mut wakes = store.queue_wakes();
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        wakes.mark_unchanged();
        match step(&store).await {
            Ok(Progress::Made) => failures = 0,
            Ok(Progress::None | Progress::Failed) => tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = wakes.changed() => {}
            },
            Err(fault) => {
                if failures.is_multiple_of(FAILURES_TOLD) {
                    tracing::warn!(?fault, failures, "the search index cannot be used now; searches are answered from the catalogue");
                }
                failures = failures.saturating_add(1);
                // Whoever searches or publishes meanwhile wakes nobody here: the fault would only be met again.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(FAILURE_PAUSE) => {}
                }
            }
        }
    }
}

/// One step, for whoever does not wait; a fault is logged.
pub(super) async fn step_or_log(store: &Arc<Store>) -> Progress {
    step(store).await.unwrap_or_else(|fault| {
        tracing::warn!(?fault, "the search index cannot be used now; searches are answered from the catalogue");
        Progress::Failed
    })
}

/// Carries out what is to be done about the index, or takes a rebuild one piece further. With nothing to do it costs nothing.
async fn step(store: &Arc<Store>) -> Result<Progress, IndexFault> {
    let index = store.search_index();
    if index.is_paused() {
        return Ok(Progress::None);
    }
    let order = index.take_care();
    let done = match order {
        IndexCare::Nothing if !index.is_rebuilding() => return Ok(Progress::None),
        IndexCare::Nothing => advance(store).await,
        IndexCare::Inspect => inspect(store).await,
        IndexCare::Renew(generation) => store.begin_rebuild(generation).await,
    };
    match done {
        Ok(()) => Ok(Progress::Made),
        Err(fault) => {
            index.return_care(order);
            Err(fault)
        }
    }
}

/// A file that is missing, damaged or of another schema begins a rebuild; one that is being filled is left to it.
async fn inspect(store: &Arc<Store>) -> Result<(), IndexFault> {
    let generation = store.search_index().generation();
    match store.inspect_index().await {
        Ok(_) if store.catch_up_index().await? => Ok(()),
        Ok(_) => Err(IndexFault::Unavailable(Error::internal("looking after the search index", "it lacks what could not be written"))),
        Err(IndexFault::Lost(error)) => {
            let why = error.cause().map(ToString::to_string).unwrap_or_default();
            tracing::info!(why, "there is no search index to rely on; building it");
            store.begin_rebuild(generation).await
        }
        Err(IndexFault::Unavailable(error)) => Err(IndexFault::Unavailable(error)),
    }
}

async fn advance(store: &Arc<Store>) -> Result<(), IndexFault> {
    let generation = store.search_index().generation();
    match store.step_rebuild().await {
        Ok(RebuildStep::Completed) => tracing::info!("the search index is complete"),
        Ok(RebuildStep::Idle | RebuildStep::Indexed) => {}
        Err(IndexFault::Lost(error)) => {
            tracing::warn!(?error, "the search index was lost while it was filled; it is made anew");
            store.begin_rebuild(generation).await?;
        }
        Err(IndexFault::Unavailable(error)) => return Err(IndexFault::Unavailable(error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
