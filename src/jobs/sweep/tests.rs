//! Tests of a sweep that is cut off.

use super::*;
use crate::clock::Clock as _;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::jobs::tests::World;
use crate::store::{Done, JobKind, Write};
use tokio_util::sync::CancellationToken;

const HOLD_ALL: &str = r#"@id("hold-all") @decision("quarantine") forbid (principal, action, resource);"#;

async fn set_policy(world: &World, text: &'static str) {
    let store = |tx: &mut Write<'_>| {
        let (revision, _) = tx.add_policy(None, Digest::of(text.as_bytes()), text)?;
        Ok(Done::new((), Event::PolicyUpdated { repo: None, revision: revision.revision, digest: revision.digest }))
    };
    world.store.write(&world.operator, store).await.unwrap();
}

fn numbers(world: &World) -> (i64, i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM versions WHERE state = 'quarantined'), (SELECT count(*) FROM evaluations WHERE evaluated_by = 'system:policy'),
                   (SELECT judged_count FROM sweeps)";
    world.raw().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[tokio::test]
async fn a_sweep_that_was_cut_off_goes_on_behind_the_last_piece_and_judges_each_version_once() {
    let world = World::new().await;
    for number in 0..PIECE + 10 {
        world.publish(&format!("demo-{number}"), "1.0").await;
    }
    world.quiet().await;
    set_policy(&world, HOLD_ALL).await;
    // A worker does a piece and dies before it can say so.
    let limits = world.settings.limits;
    world.store.bookkeep(move |books| books.relay(limits.batch, limits.max_attempts)).await.unwrap();
    let claimed = world.store.bookkeep(move |books| books.claim(&[JobKind::Sweep], &limits)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let tools = world.settings.tools(&world.store, &world.registry, CancellationToken::new());
    let outcomes = run(&tools, &claimed).await;
    assert_eq!(outcomes, [Outcome::Again(world.clock.now().plus_ms(400))]);
    drop(tools);
    assert_eq!(numbers(&world), (200, 200, 200));
    let world = world.restart();
    world.quiet().await;
    assert_eq!(numbers(&world), (200, 200, 200), "its lease is not over");
    world.clock.advance_ms(limits.lease_ms);
    world.quiet().await;
    assert_eq!(numbers(&world), (210, 210, 210));
    assert!(world.store.find_sweep(&SweepScope::Instance).unwrap().is_none());
}

#[tokio::test]
async fn a_sweep_stops_between_two_versions_when_it_is_told_to_and_goes_on_later() {
    let world = World::new().await;
    world.publish("demo", "1.0").await;
    world.quiet().await;
    set_policy(&world, HOLD_ALL).await;
    let limits = world.settings.limits;
    world.store.bookkeep(move |books| books.relay(limits.batch, limits.max_attempts)).await.unwrap();
    let claimed = world.store.bookkeep(move |books| books.claim(&[JobKind::Sweep], &limits)).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let tools = world.settings.tools(&world.store, &world.registry, stop);
    assert_eq!(run(&tools, &claimed).await, [Outcome::Again(world.clock.now())]);
    assert_eq!(numbers(&world), (0, 0, 0));
    world.clock.advance_ms(limits.lease_ms);
    world.quiet().await;
    assert_eq!(numbers(&world), (1, 1, 1));
}
