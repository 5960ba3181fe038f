//! Judging many versions again. Invariant: a job does one piece, remembers how far it came and comes again; a crash costs at most one
//! piece, no piece outlasts its lease, and there are no more evaluations a second than the settings allow.

use std::sync::Arc;
use std::time::Duration;

use super::kinds::Tools;
use super::reevaluate::flush_downloads;
use crate::clock::Stopwatch;
use crate::domain::time::Time;
use crate::error::Result;
use crate::hop;
use crate::store::{LeasedJob, Outcome, Reevaluated, SweepPiece, SweepScope};

/// Versions of one piece.
const PIECE: usize = 200;
/// The longest time of one piece, in parts of the lease.
const LEASE_PARTS: u32 = 4;
/// Milliseconds until a version is judged again that could not be judged in a sweep.
const RETRY_DELAY_MS: i64 = 60_000;
/// The catalogue could not be read or written now.
const STORE_UNAVAILABLE: &str = "store_unavailable";
/// The job names no scope.
const MALFORMED_SUBJECT: &str = "malformed_subject";

/// Does one piece of each of these sweeps and says how each ended, in their order.
pub(super) async fn run(tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    let watch = Stopwatch::start();
    for job in jobs {
        outcomes.push(match job.subject_id.parse::<SweepScope>() {
            Ok(_) if watch.elapsed() > longest(tools) => Outcome::Untouched(tools.store.clock().now()),
            Ok(scope) => piece(tools, scope).await.unwrap_or_else(|error| {
                tracing::warn!(?error, scope = job.subject_id, "a sweep cannot go on now; it is tried again");
                Outcome::Postponed(STORE_UNAVAILABLE.to_owned())
            }),
            Err(_) => Outcome::GivenUp(MALFORMED_SUBJECT.to_owned()),
        });
    }
    outcomes
}

/// A piece begun within this time ends within the lease.
fn longest(tools: &Tools) -> Duration {
    Duration::from_millis(u64::try_from(tools.lease_ms).unwrap_or(0)) / LEASE_PARTS
}

async fn piece(tools: &Tools, scope: SweepScope) -> Result<Outcome> {
    let (store, begun) = (Arc::clone(&tools.store), tools.store.clock().now());
    let found = hop::run(move || {
        let Some(sweep) = store.find_sweep(&scope)? else { return Ok(None) };
        let versions = store.versions_to_sweep(&scope, &sweep.cursor, PIECE)?;
        Ok(Some((sweep, versions)))
    });
    let Some((sweep, versions)) = found.await? else { return Ok(Outcome::Completed) };
    flush_downloads(tools).await;
    let is_last = versions.len() < PIECE;
    let wanted = versions.len() as u64;
    let watch = Stopwatch::start();
    let mut done = SweepPiece::default();
    for id in versions {
        if tools.stop.is_cancelled() || watch.elapsed() > longest(tools) {
            break;
        }
        done.judged += 1;
        match tools.registry.reevaluate(id).await {
            Ok(Some(again)) => {
                done.changed += u64::from(matches!(again.outcome, Reevaluated::Released | Reevaluated::Held));
                done.due.extend(again.next_change.map(|due_at| (id, due_at)));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(?error, version = %id, "a version could not be judged again; it stays as it is and is tried again");
                done.failed += 1;
                done.due.push((id, tools.store.clock().now().plus_ms(RETRY_DELAY_MS)));
            }
        }
        done.last = Some(id);
    }
    let next = next_piece(begun, done.judged, tools.reevaluations_per_second);
    let has_ended = is_last && done.judged == wanted;
    let written = tools.store.bookkeep(move |books| {
        books.advance_sweep(&sweep, &done)?;
        if has_ended { books.end_sweep(&sweep) } else { Ok(()) }
    });
    written.await?;
    Ok(if has_ended { Outcome::Completed } else { Outcome::Again(next) })
}

/// When the next piece may begin, so that `judged` versions have taken their share of time.
fn next_piece(begun: Time, judged: u64, per_second: u32) -> Time {
    begun.plus_ms(i64::try_from(judged.saturating_mul(1_000) / u64::from(per_second.max(1))).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
