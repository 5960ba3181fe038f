//! The loop: when it rests, and that it hears everything.

use crate::jobs::Jobs;
use crate::jobs::tests::World;

use super::*;

fn dispatcher(world: &World) -> Dispatcher {
    let tools = crate::jobs::kinds::Tools::new(&world.store, &world.settings);
    Dispatcher::new(Worker::new(tools, world.settings.limits), 2)
}

/// Rounds until there is nothing to do, as the loop makes them.
async fn rest(dispatcher: &mut Dispatcher) -> Rest {
    loop {
        let rest = dispatcher.round().await.unwrap();
        if rest != Rest::None && dispatcher.running.is_empty() {
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

#[tokio::test]
async fn an_index_that_cannot_be_made_is_tried_again_soon_and_not_at_once() {
    let world = World::new().await;
    std::fs::create_dir(world.index_path()).unwrap();
    let mut dispatcher = dispatcher(&world);
    assert_eq!(rest(&mut dispatcher).await, Rest::For(FAILURE_PAUSE_MS));
    world.search("demo");
    assert_eq!(rest(&mut dispatcher).await, Rest::For(FAILURE_PAUSE_MS), "a search made it try too early");
    std::fs::remove_dir(world.index_path()).unwrap();
    world.clock.advance_ms(5_000);
    assert_eq!(rest(&mut dispatcher).await, Rest::UntilWoken);
    assert!(world.index_finds(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_publish_is_heard() {
    let world = World::new().await;
    let jobs = Jobs::start(Arc::clone(&world.store), world.blobs.clone(), world.settings);
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
