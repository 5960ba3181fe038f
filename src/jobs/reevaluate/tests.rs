//! Tests of a batch that takes longer than it may.

use super::*;
use crate::clock::Clock as _;
use crate::jobs::tests::World;
use crate::store::JobKind;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn what_is_not_judged_within_the_lease_is_handed_back_and_has_lost_no_attempt() {
    let world = World::new().await;
    for name in ["one", "two", "three"] {
        let id = world.publish(name, "1.0").await;
        let now = world.clock.now();
        world.store.bookkeep(move |books| books.schedule_reevaluation(&id, now)).await.unwrap();
    }
    world.store.bookkeep(|books| books.relay(100, 5)).await.unwrap();
    let limits = world.settings.limits;
    let claimed = world.store.bookkeep(move |books| books.claim(&[JobKind::Reevaluate], &limits)).await.unwrap();
    // A lease that is over at once.
    let tools = Tools { lease_ms: 0, ..world.settings.tools(&world.store, &world.registry, CancellationToken::new()) };
    let untouched = Outcome::Untouched(world.clock.now());
    assert_eq!(run(&tools, &claimed).await, [Outcome::Completed, untouched.clone(), untouched]);
}
