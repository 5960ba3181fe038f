//! Rebuilds: complete, in pieces, through crashes and pauses.

use crate::domain::id::VersionId;
use crate::jobs::tests::World;
use crate::store::IndexState;

use super::*;

/// More than two pieces.
const MANY: u64 = 2201;

/// Adds published versions without events, as a restored catalogue has them.
fn add_versions(world: &World, count: u64) {
    world
        .raw()
        .execute_batch(&format!(
            "INSERT INTO packages (repo_key, package_type, namespace, name, namespace_key, name_key) VALUES ('main', 'generic', '', 'words', '', 'words');
             WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count})
             INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by, published_at, content_digest)
             SELECT format('0190b6f2-7a30-7cc1-b8f4-%012x', number), (SELECT package_id FROM packages WHERE name = 'words'), 'main',
                    number || '.0', number || '.0', '', 'published', 0, 'alice', 0, 'sha256:' || lower(hex(zeroblob(32))) FROM numbers;"
        ))
        .unwrap();
}

fn found(world: &World) -> (u64, bool) {
    let page = world.search("words");
    (page.total_count, page.degraded)
}

#[tokio::test]
async fn an_empty_instance_has_a_working_index_after_its_first_start() {
    let world = World::new().await;
    assert!(world.search("demo").degraded);
    world.quiet().await;
    assert_eq!(found(&world), (0, false));
    assert_eq!(world.store.search_index().state(), IndexState::Ready);
    assert!(world.jobs().is_empty());
}

/// Versions in the index file itself.
fn documents(world: &World) -> u64 {
    let count: i64 =
        rusqlite::Connection::open(world.index_path()).unwrap().query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

/// One step, which must do something.
async fn step(world: &World) {
    assert_eq!(step_or_log(&world.store).await, Progress::Made);
}

#[tokio::test]
async fn a_rebuild_reaches_every_version_piece_by_piece() {
    let world = World::new().await;
    add_versions(&world, MANY);
    step(&world).await;
    assert!(found(&world).1, "the catalogue answers meanwhile");
    for indexed in [1000, 2000, MANY] {
        step(&world).await;
        let status = world.store.search_status(&world.operator).unwrap();
        assert_eq!((status.state, status.pending), (IndexState::Rebuilding, 0));
        assert_eq!(status.rebuild, Some(crate::store::RebuildProgress { indexed, total: MANY }));
        assert_eq!(documents(&world), indexed);
    }
    step(&world).await;
    assert_eq!(step_or_log(&world.store).await, Progress::None);
    assert!(!found(&world).1);
    let status = world.store.search_status(&world.operator).unwrap();
    assert_eq!((status.state, status.documents, status.rebuild), (IndexState::Ready, Some(MANY), None));
    let first = world.search("words 1.0");
    assert_eq!((first.total_count, first.degraded), (1, false), "the oldest version is not there");
}

#[tokio::test]
async fn a_crash_in_the_middle_costs_one_piece_and_nothing_is_missed() {
    let world = World::new().await;
    add_versions(&world, MANY);
    step(&world).await;
    step(&world).await;
    let world = world.restart();
    assert!(found(&world).1, "an index half full was asked");
    step(&world).await;
    assert_eq!((world.store.search_index().state(), documents(&world)), (IndexState::Rebuilding, 1000), "it began anew");
    world.quiet().await;
    assert_eq!((found(&world).1, documents(&world)), (false, MANY));
}

#[tokio::test]
async fn what_is_published_while_the_index_is_filled_is_in_it_however_its_id_compares() {
    let world = World::new().await;
    add_versions(&world, MANY);
    step(&world).await;
    step(&world).await;
    // Its id comes before those that are still to be reached: the clock stands far before the ids of the others.
    let late = world.publish("late", "1.0").await;
    let gone = world.publish("gone", "1.0").await;
    world.quiet().await;
    world.tombstone(gone).await;
    world.quiet().await;
    assert_eq!((world.search("late").total_count, world.search("gone").total_count, documents(&world)), (1, 0, MANY + 1));
    assert_eq!(world.job(&late).0, "completed");
}

#[tokio::test]
async fn an_index_lost_in_the_middle_is_filled_from_the_beginning() {
    let world = World::new().await;
    add_versions(&world, MANY);
    for _ in 0..3 {
        step(&world).await;
    }
    std::fs::remove_file(world.index_path()).unwrap();
    world.quiet().await;
    assert_eq!((found(&world).1, documents(&world)), (false, MANY));
}

#[tokio::test]
async fn an_index_lost_between_the_last_piece_and_the_end_is_not_called_complete() {
    let world = World::new().await;
    add_versions(&world, 3);
    step(&world).await;
    step(&world).await;
    std::fs::remove_file(world.index_path()).unwrap();
    step(&world).await;
    assert_eq!(world.store.search_index().state(), IndexState::Rebuilding);
    world.quiet().await;
    assert_eq!(found(&world), (3, false));
}

#[tokio::test]
async fn an_index_that_does_not_say_how_far_it_was_filled_is_not_taken_for_full() {
    let world = World::new().await;
    add_versions(&world, 3);
    step(&world).await;
    step(&world).await;
    rusqlite::Connection::open(world.index_path()).unwrap().execute("DELETE FROM rebuild", []).unwrap();
    let world = world.restart();
    assert_eq!(found(&world), (3, true));
    world.quiet().await;
    assert_eq!(found(&world), (3, false));
}

#[tokio::test]
async fn an_index_of_an_older_or_newer_program_is_made_anew() {
    for version in [1, 99] {
        let world = World::new().await;
        world.publish("words", "1.0").await;
        world.quiet().await;
        rusqlite::Connection::open(world.index_path()).unwrap().pragma_update(None, "user_version", version).unwrap();
        let world = world.restart();
        assert_eq!(found(&world), (1, true));
        world.quiet().await;
        assert_eq!(found(&world), (1, false));
    }
}

#[tokio::test]
async fn an_index_that_cannot_be_made_is_tried_again_later_and_not_by_every_search() {
    let world = World::new().await;
    std::fs::create_dir(world.index_path()).unwrap();
    assert_eq!(step_or_log(&world.store).await, Progress::Failed);
    world.search("demo");
    assert_eq!(step_or_log(&world.store).await, Progress::Failed);
    std::fs::remove_dir(world.index_path()).unwrap();
    world.quiet().await;
    assert!(world.index_finds(0));
}

#[tokio::test]
async fn two_who_find_the_index_lost_make_one_new_one() {
    let world = World::new().await;
    let generation = world.store.search_index().generation();
    world.store.begin_rebuild(generation).await.unwrap();
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(world.index_path()).unwrap());
    let first = (inode(), world.store.search_index().generation());
    world.store.begin_rebuild(generation).await.unwrap();
    assert_eq!((inode(), world.store.search_index().generation()), first);
}

#[tokio::test]
async fn an_ordered_rebuild_makes_a_new_file_without_what_was_stale() {
    let world = World::new().await;
    let id: VersionId = world.publish("words", "1.0").await;
    world.quiet().await;
    let index = rusqlite::Connection::open(world.index_path()).unwrap();
    index.execute("UPDATE documents SET version_id = 'gone', sort_key = x'00' WHERE version_id = ?1", [id.to_string()]).unwrap();
    drop(index);
    assert_eq!(found(&world), (0, false));
    let mut wakes = world.store.queue_wakes();
    wakes.mark_unchanged();
    world.store.request_rebuild(&world.operator).await.unwrap();
    assert!(wakes.has_changed().unwrap());
    world.quiet().await;
    assert_eq!(found(&world), (1, false));
    assert_eq!(world.store.search_status(&world.operator).unwrap().documents, Some(1));
    let actions = |action: &str| -> i64 {
        world.raw().query_row("SELECT count(*) FROM audit WHERE action = ?1 AND actor = 'alice'", [action], |row| row.get(0)).unwrap()
    };
    assert_eq!(actions("search.rebuild.requested"), 1);
}

#[tokio::test]
async fn an_ordered_rebuild_survives_a_crash_before_it_began() {
    let world = World::new().await;
    world.publish("words", "1.0").await;
    world.quiet().await;
    world.store.request_rebuild(&world.operator).await.unwrap();
    let world = world.restart();
    assert_eq!(world.store.search_index().state(), IndexState::Rebuilding);
    world.quiet().await;
    assert_eq!((found(&world), world.store.search_index().state()), ((1, false), IndexState::Ready));
}

#[tokio::test]
async fn while_paused_jobs_wait_without_losing_attempts_and_across_a_restart() {
    let world = World::new().await;
    world.publish("words", "1.0").await;
    world.quiet().await;
    world.store.pause_search(&world.operator).await.unwrap();
    world.store.pause_search(&world.operator).await.unwrap();
    let late = world.publish("words", "2.0").await;
    world.quiet().await;
    assert_eq!(world.job(&late), ("pending", 0, None));
    assert_eq!((found(&world), world.store.search_index().state()), ((2, true), IndexState::Paused));
    let world = world.restart();
    world.clock.advance_ms(3_600_000);
    world.quiet().await;
    assert_eq!(world.job(&late), ("pending", 0, None));
    assert_eq!(world.store.search_index().state(), IndexState::Paused);
    let mut wakes = world.store.queue_wakes();
    wakes.mark_unchanged();
    world.store.resume_search(&world.operator).await.unwrap();
    assert!(wakes.has_changed().unwrap(), "the workers were not woken");
    world.quiet().await;
    assert_eq!(world.job(&late), ("completed", 1, None));
    assert_eq!((found(&world), world.store.search_index().state()), ((2, false), IndexState::Ready));
    let sql = "SELECT group_concat(action) FROM (SELECT action FROM audit WHERE resource_type = 'search' ORDER BY seq)";
    let rows: String = world.raw().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, "search.paused,search.resumed", "the second pause changed nothing");
}

#[tokio::test]
async fn a_pause_stops_a_rebuild_and_the_end_of_the_pause_goes_on_with_it() {
    let world = World::new().await;
    add_versions(&world, MANY);
    step(&world).await;
    step(&world).await;
    world.store.pause_search(&world.operator).await.unwrap();
    world.quiet().await;
    assert_eq!(documents(&world), 1000);
    world.store.resume_search(&world.operator).await.unwrap();
    world.quiet().await;
    assert_eq!((found(&world).1, documents(&world)), (false, MANY));
}

#[tokio::test]
async fn an_order_that_comes_while_another_is_carried_out_is_carried_out_too() {
    let world = World::new().await;
    world.quiet().await;
    world.store.request_rebuild(&world.operator).await.unwrap();
    let order = |world: &World| -> Option<String> {
        use rusqlite::OptionalExtension as _;
        world.raw().query_row("SELECT value FROM settings WHERE name = 'search.rebuild.after'", [], |row| row.get(0)).optional().unwrap()
    };
    let first = order(&world).unwrap();
    world.store.request_rebuild(&world.operator).await.unwrap();
    assert_ne!(order(&world), Some(first));
    let generation = world.store.search_index().generation();
    world.quiet().await;
    assert_eq!((world.store.search_index().generation(), order(&world)), (generation + 1, None));
}

#[tokio::test]
async fn without_an_index_packages_that_nobody_may_see_neither_hide_others_nor_show_in_the_answer() {
    let world = World::new().await;
    world
        .raw()
        .execute_batch(
            "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 5000)
             INSERT INTO packages (repo_key, package_type, namespace, name, namespace_key, name_key)
             SELECT 'main', 'generic', '', 'words' || number, '', 'words' || number FROM numbers",
        )
        .unwrap();
    world.publish("words-of-many", "1.0").await;
    let page = world.search("words");
    assert_eq!((page.total_count, page.degraded, page.more), (1, true, crate::store::More::None));
}

#[tokio::test]
async fn what_was_left_out_is_told_with_and_without_the_index() {
    let world = World::new().await;
    add_versions(&world, 1000);
    world.publish("words-of-many", "1.0").await;
    for degraded in [true, false] {
        let page = world.search("words");
        assert_eq!((page.total_count, page.degraded, page.more), (1000, degraded, crate::store::More::Perhaps));
        for nothing in ["@", "@@"] {
            assert_eq!(world.search(nothing).total_count, 0, "{nothing}, degraded: {degraded}");
        }
        world.quiet().await;
    }
}
