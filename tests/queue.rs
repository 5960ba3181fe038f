//! The queue as it runs: relay and workers beside the routes, on the machine's clock. Invariant: whatever publishers and reviewers
//! do at once, every job is done once, none is lost, and the index ends as a copy of what readers may see.

use std::sync::Arc;
use std::time::Duration;

use artifortress::jobs::{JobSettings, Jobs};
use artifortress::store::QueueLimits;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Package, TestApp, items, text};

const PUBLISHERS: usize = 10;
const VERSIONS_EACH: usize = 8;

/// Two workers with small batches, so that the queue is never done in one.
fn start(app: &TestApp) -> Jobs {
    let limits = QueueLimits { batch: 7, lease_ms: 60_000, max_attempts: 5, backoff_ms: 50 };
    Jobs::start(Arc::clone(&app.store), app.registry(), app.blobs.clone(), JobSettings { workers: 2, limits, ..JobSettings::default() })
}

async fn summary(app: &TestApp) -> Value {
    app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json()
}

/// Waits until the index answers and nothing is due: for half a minute at most.
async fn settle(app: &TestApp) -> Value {
    let mut last = Value::Null;
    for _ in 0..1500 {
        last = summary(app).await;
        let live = app.ask("SELECT count(*) FROM jobs WHERE state IN ('pending', 'processing', 'failed') AND kind <> 'prune'");
        if last["outbox"]["pending"] == 0 && live == ["0"] && last["search"]["state"] == "ready" {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the queue is not done: {last}");
}

/// Every item of a list, page by page.
async fn all(app: &TestApp, path: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&app.admin, &format!("{path}&limit=37{cursor}")).await.expect(200).json();
        found.extend(items(&page));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// The ids in the index file itself, sorted.
fn indexed(app: &TestApp) -> Vec<String> {
    let connection = Connection::open(app.path().join("search.db")).unwrap();
    let mut statement = connection.prepare("SELECT version_id FROM documents ORDER BY version_id").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let left_over = "SELECT (SELECT count(*) FROM words WHERE rowid NOT IN (SELECT text_id FROM documents))
                          + (SELECT count(*) FROM texts WHERE text_id NOT IN (SELECT rowid FROM words))
                          + (SELECT count(*) FROM documents WHERE text_id NOT IN (SELECT text_id FROM texts))
                          + (SELECT count(*) FROM names WHERE name_id NOT IN (SELECT name_id FROM documents))
                          + (SELECT count(*) FROM documents WHERE name_id NOT IN (SELECT name_id FROM names))";
    let left_over: i64 = connection.query_row(left_over, [], |row| row.get(0)).unwrap();
    assert_eq!(left_over, 0, "words, texts, names and documents do not belong together");
    ids
}

/// Writes an event as a damaged or foreign program might; the payload is SQL.
fn insert_event(app: &TestApp, number: u8, payload: &str) {
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let id = format!("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}");
    let insert = format!(
        "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at) VALUES ('{id}', 'version.published', {payload}, 'pending', 0, 0, 0)"
    );
    connection.execute(&insert, []).unwrap();
}

/// The one job about a version.
async fn job(app: &TestApp, id: &str) -> Value {
    let mut found = all(app, "/v1/admin/jobs?kind=search_index").await;
    found.retain(|job| job["subjectId"] == id);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_and_ten_publishers_lose_nothing_and_do_nothing_twice() {
    let app = Arc::new(TestApp::on_real_time().await);
    let jobs = start(&app);
    settle(&app).await;
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for version in 0..VERSIONS_EACH {
                    ids.push(app.published("main", &Package::generic(&format!("demo-{publisher}"), &format!("{version}.0"))).await);
                }
                ids
            })
        })
        .collect();
    let mut published = Vec::new();
    for publisher in publishers {
        published.extend(publisher.await.unwrap());
    }
    published.sort();
    settle(&app).await;
    app.get("", "/health/ready").await.expect(200);
    let done = all(&app, "/v1/admin/jobs?state=completed").await;
    let mut subjects: Vec<String> = done.iter().map(|job| text(job, "subjectId")).collect();
    subjects.sort();
    assert_eq!(subjects, published, "a job was lost, or there are two for one version");
    assert!(done.iter().all(|job| job["attempts"] == 1 && job["lastError"].is_null()), "a job was done twice: {done:?}");
    let events = all(&app, "/v1/admin/outbox?state=delivered").await;
    assert_eq!(events.len(), published.len());
    assert!(events.iter().all(|event| event["attempts"] == 1 && event["deliveredAt"].is_string()), "{events:?}");
    assert_eq!(app.ask("SELECT count(*) FROM outbox WHERE state <> 'delivered'"), ["0"]);
    assert_eq!(indexed(&app), published);
    for publisher in 0..PUBLISHERS {
        let found = app.get(&app.admin, &format!("/v1/repos/main/search/packages?q=demo-{publisher}")).await.expect(200).json();
        assert_eq!((found["totalCount"].as_u64(), &found["degraded"]), (Some(VERSIONS_EACH as u64), &json!(false)), "{found}");
    }
    jobs.stop().await;
}

/// Leads one version through the life that its number gives it.
async fn live(app: &TestApp, publisher: usize, number: usize) {
    let package = Package::generic(&format!("life-{publisher}"), &format!("{number}.0"));
    let id = app.published("main", &package).await;
    if number == 0 {
        return;
    }
    let held = app.hold(&app.admin, "main", &id).await.json();
    let item = text(&held, "quarantineId");
    match number {
        1 => {}
        2 => drop(app.vote(&app.admin, "main", &item, "reject").await.expect(200)),
        _ => {
            app.vote(&app.admin, "main", &item, "release").await.expect(200);
            if number >= 4 {
                app.tombstone(&app.admin, "main", &id).await.expect(200);
            }
            if number >= 5 {
                app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(200);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_became_of_the_versions_the_index_ends_as_what_readers_see() {
    let app = Arc::new(TestApp::on_real_time().await);
    let jobs = start(&app);
    let lives: Vec<_> = (0..5)
        .map(|publisher| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                for number in 0..6 {
                    live(&app, publisher, number).await;
                }
            })
        })
        .collect();
    for life in lives {
        life.await.unwrap();
    }
    settle(&app).await;
    let visible = app.ask("SELECT version_id FROM versions WHERE state = 'published' ORDER BY version_id");
    assert_eq!(visible.len(), 15, "published, released and restored");
    assert_eq!(indexed(&app), visible);
    let found = app.get(&app.admin, "/v1/repos/main/search/packages?q=life&limit=200").await.expect(200).json();
    assert_eq!((found["totalCount"].as_u64(), items(&found).len(), &found["degraded"]), (Some(15), 15, &json!(false)));
    jobs.stop().await;
    assert_eq!(app.ask("SELECT count(*) FROM jobs WHERE state <> 'completed' AND kind <> 'prune'"), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_waited_for_no_worker_are_done_when_one_comes() {
    let app = TestApp::on_real_time().await;
    let first = app.published("main", &Package::generic("early", "1.0")).await;
    let jobs = start(&app);
    settle(&app).await;
    jobs.stop().await;
    let second = app.published("main", &Package::generic("early", "2.0")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(indexed(&app), std::slice::from_ref(&first), "somebody works although everything was stopped");
    let jobs = start(&app);
    settle(&app).await;
    jobs.stop().await;
    assert_eq!(indexed(&app), [first, second]);
}

#[tokio::test]
async fn malformed_events_are_listed_with_what_is_wrong_until_they_are_dead_and_after() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    for (number, payload) in ["'{}'", "'no json'", "CAST(x'ff00fe' AS TEXT)", "''"].iter().enumerate() {
        insert_event(&app, u8::try_from(number).unwrap(), payload);
    }
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    for look in 1..=5_u64 {
        app.run_jobs().await;
        assert_eq!(job(&app, &id).await["state"], "completed", "a malformed event holds its neighbours back");
        let state = if look < 5 { "pending" } else { "dead" };
        let listed = all(&app, &format!("/v1/admin/outbox?state={state}")).await;
        assert_eq!(listed.len(), 4, "{listed:?}");
        for event in &listed {
            assert_eq!((&event["lastError"], &event["attempts"]), (&json!("event_without_version_id"), &json!(look)), "{event}");
            assert!(event["payload"].is_string() || event["payload"] == json!({}), "{event}");
        }
        let counted = summary(&app).await;
        assert_eq!(counted["outbox"][state], 4, "{counted}");
        app.clock.advance_ms(5 * 60_000);
    }
    assert_eq!(all(&app, "/v1/admin/outbox?state=delivered").await.len(), 1);
    assert_eq!(all(&app, "/v1/admin/outbox?state=pending").await.len(), 0);
}

#[tokio::test]
async fn a_dead_job_is_listed_with_its_error_and_a_retry_or_a_publish_revives_it() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    insert_event(&app, 1, &format!("'{}'", json!({"versionId": id, "visible": true})));
    for attempt in 1..=5_u64 {
        app.run_jobs().await;
        let state = if attempt < 5 { "failed" } else { "dead" };
        let found = job(&app, &id).await;
        assert_eq!(
            (&found["state"], &found["attempts"], &found["lastError"]),
            (&json!(state), &json!(attempt), &json!("version_not_published"))
        );
        assert_eq!(items(&app.get(&app.admin, &format!("/v1/admin/jobs?state={state}")).await.expect(200).json()), [found]);
        app.clock.advance_ms(20 * 60_000);
    }
    let dead = text(&job(&app, &id).await, "jobId");
    let put_away = app.post(&app.admin, &format!("/v1/admin/jobs/{dead}/cancel"), json!({})).await.expect(200).json();
    assert_eq!(put_away["state"], "cancelled", "a dead job that somebody has seen to can be put away");
    app.post(&app.admin, &format!("/v1/admin/jobs/{dead}/cancel"), json!({})).await.refused(409, "conflict");
    let mark = app.mark();
    let retried = app.post(&app.admin, &format!("/v1/admin/jobs/{dead}/retry"), json!({})).await.expect(200).json();
    assert_eq!((&retried["state"], &retried["attempts"], &retried["jobId"]), (&json!("pending"), &json!(0), &json!(dead)));
    assert_eq!(app.audit_since(&mark), ["job.retried"]);
    app.run_jobs().await;
    let found = job(&app, &id).await;
    assert_eq!((&found["state"], &found["attempts"]), (&json!("failed"), &json!(1)), "it has its attempts again");
    app.publish(&app.admin, "main", &id).await.expect(200);
    app.run_jobs().await;
    let found = job(&app, &id).await;
    assert_eq!((&found["state"], &found["attempts"], &found["lastError"]), (&json!("completed"), &json!(1), &Value::Null));
    assert_eq!(indexed(&app), [id]);
}
