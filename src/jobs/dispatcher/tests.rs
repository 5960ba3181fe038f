//! The loop: when it rests, and that it hears everything.

use crate::jobs::Jobs;
use crate::jobs::tests::World;

use super::*;

fn dispatcher(world: &World) -> Dispatcher {
    Dispatcher::new(world.settings.worker(&world.store, &world.registry, CancellationToken::new()), 2)
}

/// Rounds until there is nothing to do, as the loop makes them.
async fn rest(dispatcher: &mut Dispatcher) -> Rest {
    loop {
        let rest = dispatcher.round().await.unwrap();
        if dispatcher.running.is_empty() {
            return rest;
        }
        while let Some(ended) = dispatcher.running.join_next_with_id().await {
            assert!(matches!(ended, Ok((_, Ok(())))), "{ended:?}");
            dispatcher.end(ended);
        }
    }
}

#[tokio::test]
async fn with_nothing_to_do_it_sleeps_until_it_is_woken() {
    let world = World::new().await;
    let mut dispatcher = dispatcher(&world);
    assert_eq!(rest(&mut dispatcher).await, Rest::UntilWoken);
    let id = world.publish("demo", "1.0").await;
    assert_eq!(rest(&mut dispatcher).await, Rest::UntilWoken);
    assert_eq!(world.job(&id).0, "completed");
}

#[tokio::test]
async fn with_a_failed_job_it_sleeps_until_that_is_due() {
    let world = World::new().await;
    let id = world.draft("demo", "1.0").await;
    world.insert_event(1, &serde_json::json!({"versionId": id, "visible": true}).to_string());
    let mut dispatcher = dispatcher(&world);
    let Rest::For(ms) = rest(&mut dispatcher).await else { panic!("it waits for nothing") };
    assert!((30_000..=37_500).contains(&ms), "{ms}");
    assert_eq!(world.job(&id).0, "failed");
}

#[tokio::test]
async fn while_search_is_paused_it_sleeps_although_jobs_are_due() {
    let world = World::new().await;
    world.store.pause_search(&world.operator).await.unwrap();
    world.publish("demo", "1.0").await;
    assert_eq!(rest(&mut dispatcher(&world)).await, Rest::UntilWoken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_publish_is_heard() {
    let world = World::new().await;
    let jobs = Jobs::start(Arc::clone(&world.store), &world.registry, world.blobs.clone(), world.settings);
    for number in 0..30 {
        let id = world.publish("demo", &format!("{number}.0")).await;
        let is_done = || world.jobs().iter().any(|job| job.subject_id == id.to_string() && job.state.as_str() == "completed");
        let patience = tokio::time::timeout(Duration::from_secs(20), async {
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        patience.await.unwrap_or_else(|_| panic!("publish {number} was never heard of: {:?}", world.jobs()));
    }
    jobs.stop().await;
    assert!(world.index_finds(30));
}

#[tokio::test]
async fn a_sign_of_life_comes_while_it_rests_and_tells_when_the_queue_cannot_be_worked_and_when_it_ended() {
    let world = World::new().await;
    let jobs = Jobs::start(Arc::clone(&world.store), &world.registry, world.blobs.clone(), world.settings);
    let ask = || world.store.pulse().ask(Duration::from_secs(20));
    assert_eq!(ask().await, Workers::Working);
    world.raw().execute_batch("ALTER TABLE outbox RENAME TO hidden").unwrap();
    // A question makes it look at the queue, and the next one hears what came of that.
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while ask().await != Workers::Failing {
            tokio::task::yield_now().await;
        }
    });
    patience.await.expect("it never said that it fails");
    world.raw().execute_batch("ALTER TABLE hidden RENAME TO outbox").unwrap();
    jobs.stop().await;
    assert_eq!(ask().await, Workers::Stopped);
}

#[tokio::test]
async fn a_batch_that_runs_longer_than_its_lease_is_overdue() {
    let world = World::new().await;
    let mut dispatcher = dispatcher(&world);
    rest(&mut dispatcher).await;
    let task = dispatcher.running.spawn(std::future::pending());
    dispatcher.lanes.insert(task.id(), (Lane::Disk, dispatcher.now()));
    world.clock.advance_ms(world.settings.limits.lease_ms);
    assert_eq!(dispatcher.condition().now(dispatcher.now()), Workers::Working);
    world.clock.advance_ms(1);
    assert_eq!(dispatcher.condition().now(dispatcher.now()), Workers::Overdue);
}
