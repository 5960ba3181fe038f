//! The index follows the catalogue, and survives what can befall its file (tickets P4-05 and P4-09).

use rusqlite::Connection;

use crate::jobs::tests::World;
use crate::store::IndexState;

#[tokio::test]
async fn a_job_without_a_version_and_a_version_that_cannot_be_read_fail_alone() {
    let world = World::new().await;
    let sound = world.publish("sound", "1.0").await;
    let broken = world.publish("broken", "1.0").await;
    world.raw().execute("UPDATE packages SET package_type = 'No Type!' WHERE name = 'broken'", []).unwrap();
    world.insert_job("no version");
    world.quiet().await;
    assert_eq!(world.job(&sound), ("completed", 1, None));
    assert_eq!(world.job(&broken), ("failed", 1, Some("version_unreadable".to_owned())));
    let malformed = world.jobs().into_iter().find(|job| job.subject_id == "no version").unwrap();
    assert_eq!(malformed.last_error.as_deref(), Some("malformed_subject"));
}

#[tokio::test]
async fn a_held_version_leaves_the_index() {
    let world = World::new().await;
    let id = world.publish("demo", "1.0").await;
    world.publish("other", "1.0").await;
    world.quiet().await;
    assert!(world.index_finds(2));
    world.hold(id).await;
    assert_eq!(world.search("demo").items.len(), 0, "the stale index showed what is held");
    world.quiet().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(1));
    assert_eq!(world.store.search_status(&world.operator).unwrap().documents, Some(1));
}

type Damage = (&'static str, fn(&World));

/// What can befall the file.
fn damages() -> Vec<Damage> {
    vec![
        ("deleted", |world| {
            for suffix in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(world.index_path().with_file_name(format!("search.db{suffix}"))));
            }
        }),
        ("deleted without its log", |world| std::fs::remove_file(world.index_path()).unwrap()),
        ("noise", |world| std::fs::write(world.index_path(), vec![0x5a; 100_000]).unwrap()),
        ("emptied", |world| std::fs::write(world.index_path(), b"").unwrap()),
        ("cut", |world| std::fs::OpenOptions::new().write(true).open(world.index_path()).unwrap().set_len(1000).unwrap()),
        ("of another program", |world| {
            std::fs::remove_file(world.index_path()).unwrap();
            let other = Connection::open(world.index_path()).unwrap();
            other.execute_batch("CREATE TABLE cats (name TEXT); PRAGMA user_version = 1;").unwrap();
        }),
        ("of a newer program", |world| {
            std::fs::remove_file(world.index_path()).unwrap();
            Connection::open(world.index_path())
                .unwrap()
                .execute_batch("CREATE TABLE cats (name TEXT); PRAGMA user_version = 99;")
                .unwrap();
        }),
    ]
}

async fn filled() -> World {
    let world = World::new().await;
    for number in 0..20 {
        world.publish("demo", &format!("{number}.0")).await;
    }
    world.quiet().await;
    assert!(world.index_finds(20));
    world
}

#[tokio::test]
async fn a_lost_index_heals_with_the_next_job() {
    for (what, damage) in damages() {
        let world = filled().await;
        damage(&world);
        world.publish("late", "1.0").await;
        world.quiet().await;
        assert!(world.index_finds(21), "{what}");
        assert!(world.jobs().iter().all(|job| job.state.as_str() == "completed"), "{what}");
        assert_eq!(world.store.search_index().state(), IndexState::Ready, "{what}");
    }
}

#[tokio::test]
async fn a_lost_index_heals_after_a_search_has_met_it() {
    for (what, damage) in damages() {
        let world = filled().await;
        let mut wakes = world.store.queue_wakes();
        wakes.mark_unchanged();
        damage(&world);
        let page = world.search("demo");
        assert!(page.degraded && page.total_count == 20, "{what}: {page:?}");
        assert!(wakes.has_changed().unwrap(), "{what}: nobody was told");
        wakes.mark_unchanged();
        world.search("demo");
        assert!(!wakes.has_changed().unwrap(), "{what}: told twice");
        world.quiet().await;
        assert!(world.index_finds(20), "{what}");
    }
}

#[tokio::test]
async fn a_lost_index_heals_at_the_next_start() {
    for (what, damage) in damages() {
        let world = filled().await;
        damage(&world);
        let world = world.restart();
        world.quiet().await;
        assert!(world.index_finds(20), "{what}");
    }
}

#[tokio::test]
async fn damage_inside_the_file_is_found_by_a_search_and_heals() {
    let world = filled().await.restart();
    let bytes = std::fs::read(world.index_path()).unwrap();
    let mut damaged = bytes.clone();
    damaged[4096..].fill(0xee);
    std::fs::write(world.index_path(), damaged).unwrap();
    assert!(world.search("words").degraded);
    world.quiet().await;
    assert!(world.index_finds(20));
}

#[tokio::test]
async fn while_the_index_is_locked_nothing_else_notices_and_no_job_dies() {
    let world = filled().await;
    let stranger = Connection::open(world.index_path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let id = world.publish("late", "1.0").await;
    for _ in 0..7 {
        world.quiet().await;
        let (state, attempts, error) = world.job(&id);
        assert_eq!((state, error.as_deref()), ("failed", Some("index_unavailable")));
        assert!((1..5).contains(&attempts));
        let page = world.search("late");
        assert!(page.degraded && page.total_count == 1, "an index that may lack something was asked");
        world.clock.advance_ms(20 * 60_000);
    }
    stranger.execute_batch("ROLLBACK").unwrap();
    // The job is not due for minutes; that the index can be written again makes it due.
    world.quiet().await;
    assert_eq!(world.job(&id).0, "completed");
    assert!(world.index_finds(21));
}

#[tokio::test]
async fn an_index_that_can_be_neither_read_nor_removed_is_waited_for() {
    let world = World::new().await;
    std::fs::create_dir(world.index_path()).unwrap();
    let id = world.publish("demo", "1.0").await;
    world.quiet().await;
    assert_eq!(world.job(&id), ("failed", 1, Some("index_unavailable".to_owned())));
    let page = world.search("demo");
    assert!(page.degraded && page.total_count == 1);
    std::fs::remove_dir(world.index_path()).unwrap();
    world.clock.advance_ms(60_000);
    world.quiet().await;
    assert_eq!(world.job(&id).0, "completed");
    assert!(world.index_finds(1));
}

#[tokio::test]
async fn while_the_disk_of_the_index_is_full_the_catalogue_answers_and_it_heals_by_itself() {
    let world = filled().await;
    world.store.search_index().limit_pages(1);
    let mut late = Vec::new();
    for number in 0..60 {
        late.push(world.publish(&format!("late-comer-{number}"), "1.0").await);
    }
    let id = late[0];
    for _ in 0..3 {
        world.quiet().await;
        assert_eq!(world.job(&id).2.as_deref(), Some("index_unavailable"));
        let page = world.search("late-comer");
        assert!(page.degraded && page.total_count == 60, "{page:?}");
        // After a fault the writing connection is opened anew, without the limit.
        world.store.search_index().limit_pages(1);
        world.clock.advance_ms(60 * 60_000);
    }
    world.store.search_index().limit_pages(u32::MAX - 1);
    world.quiet().await;
    assert!(late.iter().all(|id| world.job(id).0 == "completed"));
    assert!(world.index_finds(80));
}

#[tokio::test]
async fn a_job_that_makes_a_lost_index_anew_wakes_who_fills_it() {
    let world = filled().await;
    std::fs::remove_file(world.index_path()).unwrap();
    world.publish("late", "1.0").await;
    crate::jobs::relay::drain(&world.store, &world.settings.limits).await.unwrap();
    let mut wakes = world.store.queue_wakes();
    wakes.mark_unchanged();
    crate::jobs::drain_once(&world.store, &world.registry, &world.settings).await.unwrap();
    assert!(world.store.search_index().is_rebuilding());
    assert!(wakes.has_changed().unwrap(), "the new file would stay empty until somebody publishes again");
}

#[tokio::test]
async fn one_job_that_succeeds_does_not_hide_that_others_were_put_off() {
    let world = filled().await;
    let stranger = Connection::open(world.index_path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let late = world.publish("late", "1.0").await;
    for _ in 0..7 {
        world.quiet().await;
        world.clock.advance_ms(20 * 60_000);
    }
    world.quiet().await;
    stranger.execute_batch("ROLLBACK").unwrap();
    world.clock.advance_ms(1_000);
    let other = world.publish("other", "1.0").await;
    crate::jobs::drain_once(&world.store, &world.registry, &world.settings).await.unwrap();
    assert_eq!((world.job(&other).0, world.job(&late).0), ("completed", "failed"));
    let page = world.search("late");
    assert!(page.degraded && page.total_count == 1, "an index that lacks a version was taken for whole: {page:?}");
    crate::jobs::drain_once(&world.store, &world.registry, &world.settings).await.unwrap();
    assert_eq!(world.job(&late).0, "completed", "what was put off is not tried again");
    assert!(world.index_finds(22));
}
