//! A batch of deliveries and the order to stop.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::webhook::WebhookOwner;
use crate::jobs::tests::World;
use crate::store::{JobKind, NewWebhook};

/// A webhook of the instance at a port where nobody listens, and a ping to it.
async fn with_ping(world: &World) {
    let owner = WebhookOwner::from(world.operator.clone());
    let new = NewWebhook {
        target: "http://127.0.0.1:1/".parse().unwrap(),
        events: Vec::new(),
        secret: "0123456789abcdef".parse().unwrap(),
        active: true,
        note: None,
    };
    let making = owner.clone();
    let webhook = world.store.write(&owner, move |tx| tx.add_webhook(&making, &new, 5)).await.unwrap();
    let making = owner.clone();
    world.store.write(&owner, move |tx| tx.test_webhook(&making, &webhook.id, 5)).await.unwrap();
}

#[tokio::test]
async fn after_the_order_to_stop_no_request_begins_and_what_waits_loses_no_attempt() {
    let world = World::new().await;
    with_ping(&world).await;
    let attempts = || -> i64 { world.raw().query_row("SELECT count(*) FROM delivery_attempts", [], |row| row.get(0)).unwrap() };
    let stop = CancellationToken::new();
    let tools = world.settings.tools(&world.store, &world.registry, stop.clone());
    let limits = world.settings.limits;
    let batch = world.store.bookkeep(move |books| books.claim(&[JobKind::Webhook], &limits)).await.unwrap();
    assert_eq!(batch.len(), 1);
    stop.cancel();
    let outcomes = run(&tools, &batch).await;
    assert!(matches!(outcomes[..], [Outcome::Untouched(_)]), "{outcomes:?}");
    assert_eq!(attempts(), 0);
    let tools = world.settings.tools(&world.store, &world.registry, CancellationToken::new());
    assert_eq!(run(&tools, &batch).await, [Outcome::Failed("connect_failed".to_owned())]);
    assert_eq!(attempts(), 1);
}
