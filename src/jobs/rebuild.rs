//! Filling the search index again. Invariant: a rebuild is a cursor on disk; it moves on a piece at a time, when the jobs of the
//! piece before have ended, so that neither the writer nor the queue is ever full of it, and a crash costs one piece.

use std::sync::Arc;

use crate::error::Result;
use crate::store::{IndexCare, IndexFault, QueueLimits, RebuildStep, Store};

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

/// Carries out what is to be done about the index: inspect it at the start, make a lost one anew.
pub(super) async fn attend_or_log(store: &Arc<Store>) -> Progress {
    let index = store.search_index();
    if index.is_paused() {
        return Progress::None;
    }
    let order = index.take_care();
    let done = match order {
        IndexCare::Nothing => return Progress::None,
        IndexCare::Inspect => inspect(store).await,
        IndexCare::Renew(generation) => store.begin_rebuild(generation).await,
    };
    match done {
        Ok(()) => Progress::Made,
        Err(fault) => {
            tracing::warn!(?fault, "the search index cannot be used now; searches are answered from the catalogue");
            index.return_care(order);
            Progress::Failed
        }
    }
}

/// A file that is missing, damaged or was never filled begins a rebuild; one that is being filled is left to it.
async fn inspect(store: &Arc<Store>) -> Result<(), IndexFault> {
    let generation = store.search_index().generation();
    match store.inspect_index().await {
        Ok(true) => Ok(()),
        Ok(false) if store.is_rebuild_under_way().await? => Ok(()),
        Ok(false) => store.begin_rebuild(generation).await,
        Err(IndexFault::Lost(error)) => {
            let why = error.cause().map(ToString::to_string).unwrap_or_default();
            tracing::info!(why, "there is no search index to rely on; building it");
            store.begin_rebuild(generation).await
        }
        Err(IndexFault::Unavailable(error)) => Err(IndexFault::Unavailable(error)),
    }
}

/// Takes a rebuild one step further. Without one it costs nothing.
pub(super) async fn advance_or_log(store: &Arc<Store>, limits: &QueueLimits) -> Progress {
    let index = store.search_index();
    if index.is_paused() || !index.is_rebuilding() {
        return Progress::None;
    }
    match advance(store, limits.max_attempts).await {
        Ok(progress) => progress,
        Err(fault) => {
            tracing::warn!(?fault, "the rebuild of the search index cannot go on now");
            Progress::Failed
        }
    }
}

async fn advance(store: &Arc<Store>, max_attempts: u32) -> Result<Progress, IndexFault> {
    let generation = store.search_index().generation();
    let step = store.bookkeep(move |books| books.step_rebuild(max_attempts)).await.map_err(IndexFault::Unavailable)?;
    let cursor = match step {
        RebuildStep::Idle | RebuildStep::Waiting => return Ok(Progress::None),
        RebuildStep::Enqueued => return Ok(Progress::Made),
        RebuildStep::Drained(cursor) => cursor,
    };
    match store.end_rebuild(cursor).await {
        Ok(()) => tracing::info!("the search index is complete"),
        // It vanished at the last moment.
        Err(IndexFault::Lost(_)) => store.begin_rebuild(generation).await?,
        Err(IndexFault::Unavailable(error)) => return Err(IndexFault::Unavailable(error)),
    }
    Ok(Progress::Made)
}

#[cfg(test)]
mod tests;
