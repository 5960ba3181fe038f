//! What is removed by the clock: collections and rules of retention. Invariant: nothing begins that an operator has not asked for by a
//! setting, and what was done not long ago is not done again because the server was started again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Space;
use crate::domain::access::Actor;
use crate::error::Result;
use crate::hop;
use crate::registry::Registry;
use crate::store::{GcPlan, Store};

/// Between looks at the clock.
const PAUSE: Duration = Duration::from_secs(600);
/// Rows that one transaction of a collection takes.
const BATCH_SIZE: u32 = 200;
const HOUR_MS: i64 = 3_600_000;

/// Collects when it is time, until `stop` is cancelled.
pub(super) async fn keep_collecting(store: Arc<Store>, registry: Arc<Registry>, settings: Space, stop: CancellationToken) {
    if settings.gc_every_hours == 0 {
        return;
    }
    loop {
        if let Err(error) = collect_if_due(&store, &registry, settings).await {
            tracing::warn!(?error, "the collection that is due could not be done; it is tried again");
        }
        if pause(&stop).await {
            return;
        }
    }
}

/// Collects if the last collection began long enough ago. Says whether it did.
pub(super) async fn collect_if_due(store: &Arc<Store>, registry: &Arc<Registry>, settings: Space) -> Result<bool> {
    let (asked, every_ms) = (Arc::clone(store), i64::from(settings.gc_every_hours).saturating_mul(HOUR_MS));
    let last = hop::run(move || asked.last_collection()).await?;
    if last.is_some_and(|last| last.plus_ms(every_ms) > store.clock().now()) {
        return Ok(false);
    }
    let plan = GcPlan { dry_run: false, grace_hours: settings.gc_grace_hours, batch_size: BATCH_SIZE };
    registry.collect(&Actor::system("gc"), plan).await.map(|_| true)
}

/// Applies the repos' rules of retention when it is time, the first time a while after the start, until `stop` is cancelled.
pub(super) async fn keep_retention(registry: Arc<Registry>, settings: Space, stop: CancellationToken) {
    if settings.retention_every_hours == 0 {
        return;
    }
    let every = Duration::from_secs(u64::from(settings.retention_every_hours) * 3_600);
    let mut waited = every;
    loop {
        if pause(&stop).await {
            return;
        }
        waited += PAUSE;
        if waited < every {
            continue;
        }
        waited = Duration::ZERO;
        match registry.apply_every_retention().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "versions that no rule of retention keeps were taken back"),
            Err(error) => tracing::warn!(?error, "the rules of retention could not be applied; they are the next time"),
        }
    }
}

/// Waits for a while; true when the order to stop comes first.
async fn pause(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(PAUSE) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::World;

    #[tokio::test]
    async fn a_collection_by_the_clock_comes_once_in_its_time_and_not_again_for_a_start() {
        let world = World::new().await;
        let settings = Space { gc_every_hours: 24, ..Space::default() };
        assert!(collect_if_due(&world.store, &world.registry, settings).await.unwrap());
        assert!(!collect_if_due(&world.store, &world.registry, settings).await.unwrap());
        world.clock.advance_ms(24 * HOUR_MS - 1);
        assert!(!collect_if_due(&world.store, &world.registry, settings).await.unwrap());
        world.clock.advance_ms(1);
        assert!(collect_if_due(&world.store, &world.registry, settings).await.unwrap());
        let sql = "SELECT count(*) FROM gc_runs WHERE dry_run = 0 AND state = 'completed' AND started_by = 'system:gc'";
        let runs: i64 = world.raw().query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(runs, 2);
    }

    #[tokio::test]
    async fn nothing_is_collected_that_no_setting_asks_for() {
        let world = World::new().await;
        let (store, registry) = (Arc::clone(&world.store), Arc::clone(&world.registry));
        // Both end at once: there is nothing for them to wait for.
        keep_collecting(store, Arc::clone(&registry), Space::default(), CancellationToken::new()).await;
        keep_retention(registry, Space::default(), CancellationToken::new()).await;
        let runs: i64 = world.raw().query_row("SELECT count(*) FROM gc_runs", [], |row| row.get(0)).unwrap();
        assert_eq!(runs, 0);
    }
}
