//! Outbox and queue from the event to the end of the job (tickets P4-04 and P4-05).

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use crate::domain::candidate::Action;
use crate::domain::id::VersionId;
use crate::jobs::tests::World;
use crate::store::JobState;

use super::*;

const MINUTES_MS: i64 = 60_000;

fn worker(world: &World) -> Worker {
    world.settings.worker(&world.store, &world.registry, CancellationToken::new())
}

fn payload(id: &VersionId) -> String {
    serde_json::json!({"versionId": id, "repoKey": "main", "visible": true}).to_string()
}

#[tokio::test]
async fn one_event_makes_one_job_and_is_delivered_once() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    world.quiet().await;
    let events = world.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].state.as_str(), events[0].attempts, events[0].delivered_at), ("delivered", 1, Some(world.clock.now())));
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(1));
}

#[tokio::test]
async fn duplicates_replays_and_several_events_of_a_version_make_one_job() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    world.insert_event(1, &payload(&id));
    world.insert_event(2, &payload(&id));
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    world.raw().execute("UPDATE outbox SET state = 'pending', delivered_at = NULL", []).unwrap();
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert_eq!(world.jobs().len(), 1);
    assert!(world.index_finds(1));
}

#[tokio::test]
async fn a_malformed_event_is_put_off_five_minutes_dies_at_the_fifth_look_and_delays_nobody() {
    let world = World::new().await;
    let broken = ["{}", "no json", r#"{"versionId": "42", "visible": true}"#, r#"{"versionId": "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55"}"#];
    for (number, text) in broken.iter().enumerate() {
        world.insert_event(u8::try_from(number).unwrap(), text);
    }
    let id = world.publish("demo", "1.0").await;
    for look in 1..=5_u64 {
        world.quiet().await;
        assert_eq!(world.job(&id).0, "completed");
        for event in &world.events()[..broken.len()] {
            let state = if look < 5 { "pending" } else { "dead" };
            assert_eq!(
                (event.state.as_str(), event.attempts, event.last_error.as_deref()),
                (state, look, Some("event_without_version_id"))
            );
            assert_eq!(event.due_at, world.clock.now().plus_ms(5 * MINUTES_MS));
        }
        world.clock.advance_ms(5 * MINUTES_MS - 1);
        world.quiet().await;
        assert_eq!(world.events()[0].attempts, look, "it was looked at too early");
        world.clock.advance_ms(1);
    }
    world.quiet().await;
    assert_eq!(world.events()[0].attempts, 5, "a dead event was looked at again");
}

#[tokio::test]
async fn a_payload_that_is_not_even_text_is_one_malformed_event() {
    let world = World::new().await;
    world.insert_event(1, "x");
    world.raw().execute("UPDATE outbox SET payload = CAST(x'ff00fe' AS TEXT)", []).unwrap();
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    assert_eq!(world.job(&id).0, "completed");
}

#[tokio::test]
async fn an_event_for_a_vanished_version_delays_nobody() {
    let world = World::new().await;
    let gone: VersionId = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55".parse().unwrap();
    world.insert_event(1, &payload(&gone));
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    assert_eq!(world.job(&id).0, "completed");
    assert_eq!(world.job(&gone), ("failed", 1, Some("version_not_published".to_owned())));
    assert!(world.events().iter().all(|event| event.state.as_str() == "delivered"));
}

#[tokio::test]
async fn an_unpublished_version_fails_with_growing_delays_and_a_publish_revives_it() {
    let world = World::new().await;
    let id = world.draft("demo", "1.0").await;
    world.insert_event(1, &payload(&id));
    let failed = |state, attempts| (state, attempts, Some("version_not_published".to_owned()));
    for (attempt, delay_ms) in [(1, 30_000), (2, 60_000), (3, 120_000), (4, 240_000)] {
        world.quiet().await;
        assert_eq!(world.job(&id), failed("failed", attempt));
        let wait_ms = world.jobs()[0].due_at.unix_ms() - world.clock.now().unix_ms();
        assert!((delay_ms..=delay_ms * 5 / 4).contains(&wait_ms), "attempt {attempt}: {wait_ms} ms");
        world.clock.advance_ms(wait_ms - 1);
        world.quiet().await;
        assert_eq!(world.job(&id).1, attempt, "it was tried too early");
        world.clock.advance_ms(1);
    }
    world.quiet().await;
    assert_eq!(world.job(&id), failed("dead", 5));
    world.clock.advance_ms(24 * 60 * MINUTES_MS);
    world.quiet().await;
    assert_eq!(world.job(&id), failed("dead", 5));
    world.publish_draft(id).await;
    relay(&world).await;
    assert_eq!(world.job(&id), ("pending", 0, None));
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(1));
}

async fn relay(world: &World) {
    crate::jobs::relay::drain(&world.store, &world.settings.limits).await.unwrap();
}

#[tokio::test]
async fn taking_back_and_restoring_revive_the_one_job_of_a_version() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    world.tombstone(id).await;
    relay(&world).await;
    assert_eq!(world.job(&id), ("pending", 0, None));
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(0));
    world.admit(id, Action::Restore).await;
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(1));
}

#[tokio::test]
async fn an_expired_lease_is_claimed_again_and_the_old_worker_changes_nothing() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    relay(&world).await;
    let slow = worker(&world).claim(&Lane::ALL).await.unwrap();
    assert_eq!((slow.len(), slow[0].attempt), (1, 1));
    world.clock.advance_ms(5 * MINUTES_MS - 1);
    assert!(worker(&world).claim(&Lane::ALL).await.unwrap().is_empty(), "the lease still holds");
    world.clock.advance_ms(1);
    let second = worker(&world).claim(&Lane::ALL).await.unwrap();
    assert_eq!(second[0].attempt, 2);
    let failed = vec![(slow[0].clone(), Outcome::Failed("late".to_owned()))];
    worker(&world).finish(failed).await.unwrap();
    assert_eq!(world.job(&id), ("processing", 2, None), "the old worker had lost its lease");
    worker(&world).finish(vec![(slow[0].clone(), Outcome::Completed)]).await.unwrap();
    assert_eq!(world.job(&id).0, "processing");
    worker(&world).run(second).await.unwrap();
    assert_eq!(world.job(&id), ("completed", 2, None));
}

#[tokio::test]
async fn a_new_event_takes_the_job_from_its_worker_and_it_is_done_once_more() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    relay(&world).await;
    let batch = worker(&world).claim(&Lane::ALL).await.unwrap();
    world.hold(id).await;
    relay(&world).await;
    worker(&world).run(batch).await.unwrap();
    assert_eq!(world.job(&id), ("pending", 0, None), "the outcome was about an older event");
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(0));
}

#[tokio::test]
async fn crashes_between_claim_and_completion_end_in_dead() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    relay(&world).await;
    for attempt in 1..=5 {
        let claimed = worker(&world).claim(&Lane::ALL).await.unwrap();
        assert_eq!(claimed[0].attempt, attempt);
        world.clock.advance_ms(5 * MINUTES_MS);
    }
    assert!(worker(&world).claim(&Lane::ALL).await.unwrap().is_empty());
    assert_eq!(world.job(&id), ("dead", 5, Some("lease_expired".to_owned())));
    let due = world.store.next_due(JobKind::ALL).unwrap();
    assert_eq!(due, None, "nothing waits for a dead job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_and_ten_publishers_do_every_job_once() {
    let mut world = World::new().await;
    world.settings.limits.batch = 7;
    world.quiet().await;
    let world = Arc::new(world);
    let publishers: Vec<_> = (0..10)
        .map(|publisher| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for number in 0..10 {
                    world.publish(&format!("demo-{publisher}"), &format!("{number}.0")).await;
                }
            })
        })
        .collect();
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut claims = Vec::new();
                while claims.len() < 1000 && world.jobs().iter().filter(|job| job.state == JobState::Completed).count() < 100 {
                    relay(&world).await;
                    let batch = worker(&world).claim(&Lane::ALL).await.unwrap();
                    claims.extend(batch.iter().map(|job| job.id));
                    worker(&world).run(batch).await.unwrap();
                }
                claims
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut claims = Vec::new();
    for worker in workers {
        claims.extend(worker.await.unwrap());
    }
    assert_eq!(claims.len(), 100, "a job was claimed twice, or never");
    assert_eq!(claims.iter().collect::<HashSet<_>>().len(), 100);
    assert!(world.jobs().iter().all(|job| job.attempts == 1));
    assert!(world.index_finds(100));
}

#[tokio::test]
async fn a_retried_job_starts_afresh_and_wakes_the_queue_and_a_finished_one_cannot_be_called_off() {
    let world = World::new().await;
    let id = world.draft("demo", "1.0").await;
    world.insert_event(1, &payload(&id));
    world.quiet().await;
    let job = world.jobs()[0].id;
    let mut wakes = world.store.queue_wakes();
    wakes.mark_unchanged();
    let proof = world.operator.clone();
    world.store.write(&world.operator, move |tx| tx.retry_job(&proof, &job)).await.unwrap();
    assert!(wakes.has_changed().unwrap(), "nobody would have heard of it");
    assert_eq!((world.job(&id).0, world.job(&id).1), ("pending", 0));
    let proof = world.operator.clone();
    world.store.write(&world.operator, move |tx| tx.cancel_job(&proof, &job)).await.unwrap();
    world.quiet().await;
    assert_eq!(world.job(&id).0, "cancelled");
    let proof = world.operator.clone();
    assert!(world.store.write(&world.operator, move |tx| tx.cancel_job(&proof, &job)).await.is_err());
}

#[test]
fn jitter_is_a_fraction() {
    for _ in 0..100 {
        assert!((0.0..=1.0).contains(&jitter(&crate::clock::SystemClock).unwrap()));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_days_leaves_no_event_and_no_job_behind() {
    const THREE_DAYS_MS: i64 = 3 * 24 * 60 * MINUTES_MS;
    let world = World::new().await;
    world.quiet().await;
    let id = world.publish("demo", "1.0").await;
    world.clock.advance_ms(-THREE_DAYS_MS);
    super::super::relay::drain(&world.store, worker(&world).limits()).await.unwrap();
    assert_eq!(world.events()[0].state.as_str(), "delivered");
    let crashed = worker(&world).claim(&Lane::ALL).await.unwrap();
    assert_eq!(crashed.len(), 1);
    assert!(worker(&world).claim(&Lane::ALL).await.unwrap().is_empty(), "its lease holds");
    world.clock.advance_ms(-THREE_DAYS_MS);
    let again = worker(&world).claim(&Lane::ALL).await.unwrap();
    assert_eq!(again.len(), 1);
    worker(&world).run(again).await.unwrap();
    assert_eq!(world.job(&id), ("completed", 2, None));
    worker(&world).run(crashed).await.unwrap();
    assert_eq!(world.job(&id), ("completed", 2, None));
}

#[tokio::test]
async fn the_newest_event_of_a_version_counts_although_the_clock_was_set_back_before_it() {
    for back_ms in [2 * MINUTES_MS, 24 * 60 * MINUTES_MS] {
        let world = World::new().await;
        world.quiet().await;
        let id = world.publish("demo", "1.0").await;
        world.clock.advance_ms(-back_ms);
        world.tombstone(id).await;
        world.clock.advance_ms(1);
        relay(&world).await;
        assert!(world.events().iter().all(|event| event.state.as_str() == "delivered"), "{:?}", world.events());
        world.clock.advance_ms(back_ms);
        world.quiet().await;
        assert_eq!(world.job(&id), ("completed", 1, None), "it waits for a version that was taken back");
    }
}

#[tokio::test]
async fn a_backlog_of_one_kind_does_not_keep_another_waiting_that_was_due_before() {
    let mut world = World::new().await;
    world.settings.limits.batch = 2;
    world.publish("demo", "1.0").await;
    relay(&world).await;
    world.clock.advance_ms(1);
    world.store.bookkeep(|books| books.ensure_job(JobKind::Prune, "finished_work", 5)).await.unwrap();
    world.clock.advance_ms(1);
    for number in 2..6 {
        world.publish("demo", &format!("{number}.0")).await;
    }
    relay(&world).await;
    let kinds: Vec<JobKind> = worker(&world).claim(&Lane::ALL).await.unwrap().iter().map(|job| job.kind).collect();
    assert_eq!(kinds, [JobKind::SearchIndex, JobKind::Prune]);
}

#[tokio::test]
async fn a_person_may_take_a_job_whose_lease_ran_out_and_none_that_is_held() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    relay(&world).await;
    for cancel in [false, true] {
        let batch = worker(&world).claim(&Lane::ALL).await.unwrap();
        let job = batch[0].id;
        let act = || {
            let proof = world.operator.clone();
            world.store.write(&world.operator, move |tx| if cancel { tx.cancel_job(&proof, &job) } else { tx.retry_job(&proof, &job) })
        };
        assert!(act().await.is_err(), "a worker holds it");
        world.clock.advance_ms(5 * MINUTES_MS);
        act().await.unwrap();
        worker(&world).run(batch).await.unwrap();
        assert_eq!(world.job(&id).0, if cancel { "cancelled" } else { "pending" }, "the old worker has no lease any more");
    }
}
