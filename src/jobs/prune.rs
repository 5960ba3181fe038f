//! Removing delivered events and finished jobs that are old enough. Invariant: a piece is one short transaction, so the writer is
//! never held up; a round is some pieces, so its lease holds; and the job is one row, which comes again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::kinds::Tools;
use crate::domain::time::Time;
use crate::error::Result;
use crate::hop;
use crate::store::{JobKind, LONGEST_ROUND_MS, LeasedJob, Outcome, Store};

/// What the one job is about.
const SUBJECT: &str = "finished_work";
/// Rows removed in one transaction.
const PIECE: usize = 1000;
/// Pieces of one round; what is left then is the next round's, under a new lease.
const PIECES: usize = 20;
/// The least time from one round with nothing left to do to the next, in milliseconds.
const SHORTEST_ROUND_MS: i64 = 3_600_000;
/// The catalogue could not be read or written now.
const STORE_UNAVAILABLE: &str = "store_unavailable";
/// After the job could not be made.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// Makes the job unless it is there, and revives one that is dead.
pub(super) async fn ensure(store: Arc<Store>, max_attempts: u32, stop: CancellationToken) {
    while let Err(error) = store.bookkeep(move |books| books.ensure_job(JobKind::Prune, SUBJECT, max_attempts)).await {
        tracing::warn!(?error, "the job that removes finished work cannot be made now; trying again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FAILURE_PAUSE) => {}
        }
    }
}

/// Does a round and says when the next is due.
pub(super) async fn run(tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for _ in jobs {
        outcomes.push(match round(tools).await {
            Ok(next) => Outcome::Again(next),
            Err(error) => {
                tracing::warn!(?error, "finished work cannot be removed now; it is tried again");
                Outcome::Postponed(STORE_UNAVAILABLE.to_owned())
            }
        });
    }
    outcomes
}

async fn round(tools: &Tools) -> Result<Time> {
    let store = &tools.store;
    let now = store.clock().now();
    let finished_until = now.plus_ms(-tools.keep.finished_ms);
    prune_deliveries(store, now.plus_ms(-tools.keep.deliveries_ms)).await?;
    store.bookkeep(move |books| books.prune_sweeps(finished_until, PIECE)).await?;
    prune_downloads(store, now.plus_ms(-tools.keep.downloads_ms)).await?;
    let mut total = 0;
    for _ in 0..PIECES {
        let removed = store.bookkeep(move |books| books.prune_finished(finished_until, PIECE)).await?;
        total += removed;
        if removed < PIECE {
            if total > 0 {
                tracing::info!(rows = total, "finished work was removed");
            }
            let source = Arc::clone(store);
            let oldest = hop::run(move || source.oldest_finished()).await?;
            return Ok(next_round(now, oldest, tools.keep.finished_ms));
        }
    }
    tracing::info!(rows = total, "finished work was removed; there is more");
    Ok(now)
}

/// Removes what webhooks were sent so long ago; what is left after some pieces is the next round's.
async fn prune_deliveries(store: &Arc<Store>, before: Time) -> Result<()> {
    let mut total = 0;
    for _ in 0..PIECES {
        let removed = store.bookkeep(move |books| books.prune_deliveries(before, PIECE)).await?;
        total += removed;
        if removed < PIECE {
            break;
        }
    }
    if total > 0 {
        tracing::info!(rows = total, "old deliveries of webhooks were removed");
    }
    Ok(())
}

/// Forgets who fetched a version so long ago; what is left after some pieces is the next round's.
async fn prune_downloads(store: &Arc<Store>, before: Time) -> Result<()> {
    for _ in 0..PIECES {
        if store.bookkeep(move |books| books.prune_downloads(before, PIECE)).await? < PIECE {
            break;
        }
    }
    Ok(())
}

/// When the oldest finished work will be old enough, within an hour and a day from now.
fn next_round(now: Time, oldest: Option<Time>, keep_ms: i64) -> Time {
    let (soonest, latest) = (now.plus_ms(SHORTEST_ROUND_MS), now.plus_ms(LONGEST_ROUND_MS));
    oldest.map_or(latest, |ended| ended.plus_ms(keep_ms)).clamp(soonest, latest)
}

#[cfg(test)]
mod tests;
