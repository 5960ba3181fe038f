//! What is removed when, what stays, and that the job comes again.

use rusqlite::params;

use super::*;
use crate::clock::Clock as _;
use crate::jobs::tests::World;
use crate::jobs::{DAY_MS, Jobs, run_until_quiet};
use crate::store::{JobRow, JobState, OutboxState};

const HOUR_MS: i64 = 3_600_000;

async fn with_job() -> World {
    let world = World::new().await;
    ensure(Arc::clone(&world.store), 5, CancellationToken::new()).await;
    world.quiet().await;
    world
}

/// The one job of this kind.
fn own(world: &World) -> JobRow {
    let mut jobs = world.jobs();
    jobs.retain(|job| job.kind == JobKind::Prune);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn hours_until_due(world: &World) -> i64 {
    (own(world).due_at.unix_ms() - world.clock.now().unix_ms()) / HOUR_MS
}

/// Adds events and jobs that ended now, in this state.
fn add_finished(world: &World, count: u64, state: JobState) {
    let sql = format!(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count})
         INSERT INTO jobs (job_id, kind, subject_id, expectation, state, attempts, max_attempts, due_at, created_at, updated_at)
         SELECT format('0190b6f2-7a30-7cc1-b8f4-%012x', number), 'search_index', format('0190b6f2-7a30-7cc1-b8f4-%012x', number), 'visible',
                ?1, 1, 5, ?2, ?2, ?2 FROM numbers"
    );
    world.raw().execute(&sql, params![state.as_str(), world.clock.now().unix_ms()]).unwrap();
}

fn index_jobs(world: &World) -> i64 {
    world.raw().query_row("SELECT count(*) FROM jobs WHERE kind = 'search_index'", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn finished_work_goes_when_it_is_old_enough_and_not_a_moment_before() {
    let world = with_job().await;
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    world.clock.advance_ms(30 * DAY_MS - 1);
    world.quiet().await;
    assert_eq!((world.events().len(), world.job(&id).0), (1, "completed"));
    assert_eq!(hours_until_due(&world), 1, "an hour is the least pause");
    world.clock.advance_ms(HOUR_MS);
    world.quiet().await;
    assert_eq!((world.events().len(), world.jobs().len()), (0, 1));
    assert_eq!((own(&world).state, own(&world).attempts, hours_until_due(&world)), (JobState::Pending, 0, 24));
    assert!(world.index_finds(1), "the version is found as before");
}

#[tokio::test]
async fn the_next_round_is_when_the_oldest_finished_work_is_old_enough() {
    let mut world = World::new().await;
    world.settings.keep_finished_ms = 10 * HOUR_MS;
    world.publish("demo", "1.0").await;
    world.quiet().await;
    ensure(Arc::clone(&world.store), 5, CancellationToken::new()).await;
    world.clock.advance_ms(3 * HOUR_MS);
    world.quiet().await;
    assert_eq!(hours_until_due(&world), 7);
    world.clock.advance_ms(7 * HOUR_MS);
    world.quiet().await;
    assert_eq!((world.events().len(), world.jobs().len()), (0, 1));
}

#[tokio::test]
async fn what_waits_and_what_is_dead_stays_and_the_cancelled_go() {
    let world = with_job().await;
    let dead = world.draft("dead", "1.0").await;
    let waits = world.draft("waits", "1.0").await;
    let cancelled = world.draft("cancelled", "1.0").await;
    for (number, id) in [dead, waits, cancelled].iter().enumerate() {
        let payload = serde_json::json!({"versionId": id, "visible": true}).to_string();
        world.insert_event(u8::try_from(number).unwrap(), &payload);
    }
    world.insert_event(9, "{}");
    world.quiet().await;
    let raw = world.raw();
    raw.execute("UPDATE outbox SET state = 'dead' WHERE payload = '{}'", []).unwrap();
    for (id, state) in [(dead, "dead"), (waits, "failed"), (cancelled, "cancelled")] {
        raw.execute("UPDATE jobs SET state = ?2 WHERE subject_id = ?1", params![id.to_string(), state]).unwrap();
    }
    world.clock.advance_ms(31 * DAY_MS);
    world.quiet().await;
    let states: Vec<(String, &str)> = world.jobs().iter().map(|job| (job.subject_id.clone(), job.state.as_str())).collect();
    assert!(states.contains(&(dead.to_string(), "dead")), "{states:?}");
    assert!(states.iter().any(|(id, _)| *id == waits.to_string()), "{states:?}");
    assert!(states.iter().all(|(id, _)| *id != cancelled.to_string()), "{states:?}");
    assert!(world.events().iter().all(|event| event.state == OutboxState::Dead), "{:?}", world.events());
    assert_eq!(world.events().len(), 1);
}

#[tokio::test]
async fn a_backlog_goes_in_pieces_and_a_long_one_in_several_rounds() {
    let world = with_job().await;
    add_finished(&world, 21_500, JobState::Completed);
    world.clock.advance_ms(31 * DAY_MS);
    let round = |left: i64| {
        let world = &world;
        async move {
            crate::jobs::drain_once(&world.store, &world.registry, &world.settings).await.unwrap();
            assert_eq!(index_jobs(world), left);
            assert_eq!((own(world).state, own(world).attempts), (JobState::Pending, 0));
        }
    };
    round(1_500).await;
    assert_eq!(own(&world).due_at, world.clock.now(), "the rest waits for nothing");
    round(0).await;
    assert_eq!(hours_until_due(&world), 24);
}

#[tokio::test]
async fn one_piece_is_never_larger_than_asked_for() {
    let world = World::new().await;
    add_finished(&world, 30, JobState::Cancelled);
    for number in 0..5 {
        world.publish("demo", &format!("{number}.0")).await;
    }
    world.quiet().await;
    let until = world.clock.now();
    let piece = || world.store.bookkeep(move |books| books.prune_finished(until, 12));
    assert_eq!([piece().await.unwrap(), piece().await.unwrap(), piece().await.unwrap(), piece().await.unwrap()], [12, 12, 12, 4]);
    assert_eq!((world.events().len(), world.jobs().len()), (0, 0));
}

#[tokio::test]
async fn a_new_event_about_a_version_whose_job_was_removed_is_handled_as_ever() {
    let world = with_job().await;
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    world.clock.advance_ms(32 * DAY_MS);
    world.quiet().await;
    assert_eq!((world.events().len(), world.jobs().len()), (0, 1));
    world.hold(id).await;
    world.quiet().await;
    assert_eq!((world.job(&id), world.events().len()), (("completed", 1, None), 1));
    assert!(world.index_finds(0));
}

#[tokio::test]
async fn it_is_made_at_the_start_once_revived_when_dead_and_left_alone_while_it_waits() {
    let world = World::new().await;
    let settings = world.settings;
    for _ in 0..2 {
        Jobs::start(Arc::clone(&world.store), &world.registry, world.blobs.clone(), settings).stop().await;
        ensure(Arc::clone(&world.store), 5, CancellationToken::new()).await;
        assert_eq!(own(&world).state, JobState::Pending);
    }
    run_until_quiet(&world.store, &world.registry, &settings).await.unwrap();
    let due_at = own(&world).due_at;
    ensure(Arc::clone(&world.store), 5, CancellationToken::new()).await;
    assert_eq!(own(&world).due_at, due_at);
    world.raw().execute("UPDATE jobs SET state = 'dead', attempts = 5", []).unwrap();
    ensure(Arc::clone(&world.store), 5, CancellationToken::new()).await;
    assert_eq!((own(&world).state, own(&world).attempts, own(&world).due_at), (JobState::Pending, 0, world.clock.now()));
}

#[tokio::test]
async fn a_person_can_run_it_now_and_cannot_call_it_off() {
    let world = with_job().await;
    let id = own(&world).id;
    assert_eq!(hours_until_due(&world), 24);
    let proof = world.operator.clone();
    let refused = world.store.write(&world.operator, move |tx| tx.cancel_job(&proof, &id)).await.unwrap_err();
    assert_eq!(refused.code(), crate::error::Code::Conflict);
    assert!(refused.message().contains("cannot be called off"), "{}", refused.message());
    let mut wakes = world.store.queue_wakes();
    wakes.mark_unchanged();
    let proof = world.operator.clone();
    world.store.write(&world.operator, move |tx| tx.retry_job(&proof, &id)).await.unwrap();
    assert!(wakes.has_changed().unwrap());
    assert_eq!(own(&world).due_at, world.clock.now());
    world.clock.advance_ms(1);
    world.quiet().await;
    assert_eq!((own(&world).id, own(&world).updated_at, hours_until_due(&world)), (id, world.clock.now(), 24));
}

#[test]
fn the_next_round_is_within_an_hour_and_a_day() {
    let now = Time::from_unix_ms(100 * DAY_MS);
    let next = |ended: Option<i64>| next_round(now, ended.map(Time::from_unix_ms), 30 * DAY_MS).unix_ms() - now.unix_ms();
    assert_eq!(next(None), DAY_MS);
    assert_eq!(next(Some(0)), HOUR_MS);
    assert_eq!(next(Some(70 * DAY_MS + 5 * HOUR_MS)), 5 * HOUR_MS);
    // The clock was set back since.
    assert_eq!(next(Some(500 * DAY_MS)), DAY_MS);
}

#[tokio::test]
async fn who_fetched_a_version_is_forgotten_some_months_after_the_last_time() {
    let world = with_job().await;
    let id = world.publish("demo", "1.0").await;
    let fetchers = || world.raw().query_row("SELECT count(*) FROM downloads", [], |row| row.get::<_, i64>(0)).unwrap();
    world.store.note_download(&world.operator, id, "192.0.2.1");
    world.store.note_download(&world.operator, id, "");
    world.store.flush_downloads(10).await.unwrap();
    world.clock.advance_ms(60 * DAY_MS);
    world.store.note_download(&world.operator, id, "192.0.2.1");
    world.store.flush_downloads(10).await.unwrap();
    world.quiet().await;
    assert_eq!(fetchers(), 2);
    world.clock.advance_ms(31 * DAY_MS);
    world.quiet().await;
    assert_eq!(fetchers(), 1, "one was here again meanwhile");
    world.clock.advance_ms(60 * DAY_MS);
    world.quiet().await;
    assert_eq!(fetchers(), 0);
}
