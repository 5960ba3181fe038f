//! From events to jobs. Invariant: a round of the relay is one transaction in the order of commits; it ends when nothing is due,
//! and a malformed event is put off without holding up its neighbours (`store/outbox.rs`).

use crate::error::Result;
use crate::store::{QueueLimits, RelayReport, Store};

/// Hands on every event that is due, a batch at a time.
///
/// # Errors
/// What the store returns; the events of the failed batch are then still due.
pub(super) async fn drain(store: &Store, limits: &QueueLimits) -> Result<RelayReport> {
    let (batch, max_attempts) = (limits.batch.max(1), limits.max_attempts);
    let mut total = RelayReport::default();
    loop {
        let round = store.bookkeep(move |books| books.relay(batch, max_attempts)).await?;
        store.metrics().outbox.relayed(round.delivered, round.requeued, round.dead);
        total.delivered += round.delivered;
        total.requeued += round.requeued;
        total.dead += round.dead;
        if round.requeued + round.dead > 0 {
            tracing::warn!(requeued = round.requeued, dead = round.dead, "the outbox has events that name no version");
        }
        if round.delivered + round.requeued + round.dead < batch {
            return Ok(total);
        }
    }
}
