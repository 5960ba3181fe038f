//! What an operator sees and mends: readiness, the summary, the lists with their filters, retries. Invariant: readiness says which part
//! does not work; a filter finds what it says and nothing else; a correction is audited.

use std::sync::Arc;

use artifortress::jobs::{JobSettings, Jobs};
use artifortress::store::{JobKind, Outcome};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Package, TestApp, items, text};

fn start(app: &TestApp) -> Jobs {
    Jobs::start(Arc::clone(&app.store), app.registry(), app.blobs.clone(), JobSettings::default())
}

fn database(app: &TestApp) -> Connection {
    Connection::open(app.path().join("state.db")).unwrap()
}

/// `state`-jobs numbered from 1, created a second apart since the test began, the odd ones of kind webhook.
fn insert_jobs(app: &TestApp, count: u64, state: &str, error: &str) {
    let connection = database(app);
    let began = app.store.clock().now().unix_ms();
    for number in 1..=count {
        let at = began + i64::try_from(number).unwrap() * 1000;
        let kind = if number % 2 == 1 { "webhook" } else { "prune" };
        let id = format!("{:08x}-{:04x}-7000-8{:03x}-{number:012x}", at >> 16, at & 0xffff, state.len());
        connection
            .execute(
                "INSERT INTO jobs (job_id, kind, subject_id, state, attempts, max_attempts, due_at, last_error, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, 5, 5, ?5, ?6, ?5, ?5)",
                rusqlite::params![id, kind, format!("{state}-{number}"), state, at, error],
            )
            .unwrap();
    }
}

async fn subjects(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.get(&app.admin, &format!("/v1/admin/jobs?{query}")).await.expect(200).json();
    items(&page).iter().map(|job| text(job, "subjectId")).collect()
}

#[tokio::test]
async fn readiness_asks_the_workers_and_says_when_there_are_none() {
    let app = TestApp::new().await;
    let refusal = app.get("", "/health/ready").await.refused(503, "unavailable");
    assert_eq!(
        (&refusal["status"], &refusal["writer"], &refusal["disk"], &refusal["workers"]),
        (&json!("not_ready"), &json!(true), &json!(true), &json!(false))
    );
    assert!(text(&refusal, "message").contains("no background work runs"), "{refusal}");
    let jobs = start(&app);
    let ready = app.get("", "/health/ready").await.expect(200).json();
    assert_eq!(ready, json!({"status": "ready", "writer": true, "disk": true, "workers": true}));
    jobs.stop().await;
    assert_eq!(app.get("", "/health/ready").await.refused(503, "unavailable")["workers"], false);
    app.get("", "/health/live").await.expect(200);
}

#[tokio::test]
async fn readiness_names_a_writer_that_does_not_commit_and_a_disk_that_takes_nothing() {
    let app = TestApp::new().await;
    let jobs = start(&app);
    let lock = database(&app);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::fs::rename(app.path().join("staging"), app.path().join("gone")).unwrap();
    let refusal = app.get("", "/health/ready").await.refused(503, "unavailable");
    assert_eq!((&refusal["writer"], &refusal["disk"]), (&json!(false), &json!(false)), "{refusal}");
    for words in ["does not commit", "cannot be written to"] {
        assert!(text(&refusal, "message").contains(words), "{refusal}");
    }
    lock.execute_batch("ROLLBACK").unwrap();
    std::fs::rename(app.path().join("gone"), app.path().join("staging")).unwrap();
    jobs.stop().await;
}

#[tokio::test]
async fn readiness_names_a_database_that_was_replaced_under_the_server() {
    let app = TestApp::new().await;
    let jobs = start(&app);
    app.get("", "/health/ready").await.expect(200);
    let (own, kept) = (app.path().join("state.db"), app.path().join("kept.db"));
    std::fs::rename(&own, &kept).unwrap();
    std::fs::copy(&kept, &own).unwrap();
    let refusal = app.get("", "/health/ready").await.refused(503, "unavailable");
    assert_eq!((&refusal["writer"], &refusal["disk"]), (&json!(true), &json!(false)), "{refusal}");
    assert!(text(&refusal, "message").contains("replaced"), "{refusal}");
    std::fs::rename(&kept, &own).unwrap();
    app.get("", "/health/ready").await.expect(200);
    jobs.stop().await;
}

#[tokio::test]
async fn work_that_comes_again_by_itself_is_no_backlog_until_it_is_given_up() {
    let app = TestApp::new().await;
    let jobs = start(&app);
    for _ in 0..100 {
        if app.ask("SELECT count(*) FROM jobs WHERE kind = 'prune' AND due_at > 0 AND attempts = 0 AND state = 'pending'") == ["1"] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    jobs.stop().await;
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!((&summary["jobs"]["pending"], &summary["jobsByKind"]["prune"]["pending"]), (&json!(0), &json!(1)), "{summary}");
    database(&app).execute("UPDATE jobs SET state = 'dead', attempts = 5 WHERE kind = 'prune'", []).unwrap();
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!(summary["jobs"]["dead"], 1, "{summary}");
}

#[tokio::test]
async fn the_summary_tells_of_every_part() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    app.clock.advance_ms(5_000);
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.store.bookkeep(|books| books.relay(10, 5)).await.unwrap();
    app.clock.advance_ms(10_000);
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    let text_of_it = summary.to_string();
    assert!(!text_of_it.contains("demo") && !text_of_it.contains(app.path().to_str().unwrap()), "{summary}");
    assert_eq!((&summary["uptimeSeconds"], &summary["version"]), (&json!(15), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(summary["outbox"]["deliveredLastHour"], 1);
    assert_eq!((&summary["jobs"]["pending"], &summary["jobsByKind"]["search_index"]["pending"]), (&json!(1), &json!(1)));
    assert_eq!((&summary["oldestDueJobAgeSeconds"], &summary["search"]["freshnessLagSeconds"]), (&json!(10), &json!(10)));
    assert_eq!((&summary["search"]["documents"], &summary["search"]["rebuild"]), (&json!(0), &Value::Null));
    assert_eq!((&summary["writer"]["queued"], &summary["staleJobs"]), (&json!(0), &json!(0)));
    assert!(summary["disk"]["freeBytes"].as_u64().unwrap() > 0 && summary["databases"]["state"]["walBytes"].is_u64(), "{summary}");
    app.store.bookkeep(|books| books.claim(JobKind::ALL, &JobSettings::default().limits)).await.unwrap();
    app.clock.advance_ms(300_001);
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!((&summary["staleJobs"], &summary["jobs"]["processing"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn the_index_is_behind_for_as_long_as_its_job_is_not_done_however_often_it_is_tried() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let lag = async || app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json()["search"]["freshnessLagSeconds"].clone();
    let attempt = async |outcome: Outcome| {
        let limits = JobSettings::default().limits;
        let work = move |books: &mut artifortress::store::Bookkeeping<'_>| {
            for job in books.claim(&[JobKind::SearchIndex], &limits)? {
                books.finish(&job, &outcome, &limits, 0.0)?;
            }
            Ok(())
        };
        app.store.bookkeep(work).await.unwrap();
    };
    app.store.bookkeep(|books| books.relay(10, 5)).await.unwrap();
    for hours in 1..=4 {
        app.clock.advance_ms(3_600_000);
        attempt(Outcome::Postponed("index_unavailable".to_owned())).await;
        assert_eq!(lag().await, 3600 * hours);
    }
    app.clock.advance_ms(3_600_000);
    attempt(Outcome::Completed).await;
    assert_eq!(lag().await, 0);
    app.clock.advance_ms(3_600_000);
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    app.store.bookkeep(|books| books.relay(10, 5)).await.unwrap();
    app.clock.advance_ms(7_000);
    assert_eq!(lag().await, 7, "what was done before counts no more");
}

#[tokio::test]
async fn jobs_are_found_by_state_kind_error_and_time_and_read_one_by_one() {
    let app = TestApp::new().await;
    insert_jobs(&app, 4, "dead", "refused");
    insert_jobs(&app, 2, "cancelled", "timed_out");
    assert_eq!(subjects(&app, "state=dead").await, ["dead-4", "dead-3", "dead-2", "dead-1"]);
    assert_eq!(subjects(&app, "state=dead&kind=webhook").await, ["dead-3", "dead-1"]);
    assert_eq!(subjects(&app, "error=timed_out").await, ["cancelled-2", "cancelled-1"]);
    assert_eq!(subjects(&app, "state=dead&error=timed_out").await, [""; 0]);
    assert_eq!(subjects(&app, "since=2026-06-01T12:00:03Z&state=dead").await, ["dead-4", "dead-3"]);
    assert_eq!(subjects(&app, "until=2026-06-01T12:00:01Z").await, ["cancelled-1", "dead-1"]);
    assert_eq!(subjects(&app, "dueBefore=2026-06-01T12:00:02Z&kind=webhook").await, ["cancelled-1", "dead-1"]);
    for query in ["since=today", "dueBefore=1", "kind=lost", "due_before=2026-06-01T12:00:02Z"] {
        app.get(&app.admin, &format!("/v1/admin/jobs?{query}")).await.refused(400, "bad_request");
    }
    let first = app.get(&app.admin, "/v1/admin/jobs?state=dead&limit=1").await.expect(200).json();
    let (one, next) = (items(&first)[0].clone(), text(&first, "nextCursor"));
    assert_eq!(subjects(&app, &format!("state=dead&limit=2&cursor={next}")).await, ["dead-3", "dead-2"]);
    assert_eq!(app.get(&app.admin, &format!("/v1/admin/jobs/{}", text(&one, "jobId"))).await.expect(200).json(), one);
    app.get(&app.admin, "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_filter_that_nothing_passes_ends_its_page_early_and_the_cursor_goes_on() {
    let app = TestApp::new().await;
    database(&app)
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5100)
             INSERT INTO jobs (job_id, kind, subject_id, state, attempts, max_attempts, due_at, created_at, updated_at)
             SELECT printf('0190b6f2-7a30-7cc1-b8f4-%012x', i), iif(i = 1, 'prune', 'webhook'), printf('subject %d', i), 'dead', 5, 5, i, i, i FROM n;",
        )
        .unwrap();
    let first = app.get(&app.admin, "/v1/admin/jobs?kind=prune").await.expect(200).json();
    assert!(items(&first).is_empty(), "{first}");
    assert_eq!(subjects(&app, &format!("kind=prune&cursor={}", text(&first, "nextCursor"))).await, ["subject 1"]);
}

#[tokio::test]
async fn dead_jobs_are_retried_together_by_kind_and_error() {
    let app = TestApp::new().await;
    insert_jobs(&app, 4, "dead", "refused");
    insert_jobs(&app, 2, "cancelled", "refused");
    let mark = app.mark();
    let retry = async |body: Value| app.post(&app.admin, "/v1/admin/jobs/retry", body).await;
    assert_eq!(retry(json!({"state": "dead", "error": "other"})).await.expect(200).json(), json!({"retried": 0, "more": false}));
    assert!(app.audit_since(&mark).is_empty());
    let body = json!({"state": "dead", "kind": "webhook", "error": "refused"});
    assert_eq!(retry(body.clone()).await.expect(200).json(), json!({"retried": 2, "more": false}));
    assert_eq!(retry(body).await.expect(200).json()["retried"], 0);
    assert_eq!(app.audit_since(&mark), ["job.retried"]);
    let details = app.ask("SELECT details FROM audit WHERE action = 'job.retried'");
    assert_eq!(serde_json::from_str::<Value>(&details[0]).unwrap(), json!({"kind": "webhook", "lastError": "refused", "count": 2}));
    assert_eq!(subjects(&app, "state=pending").await, ["dead-3", "dead-1"]);
    for bad in [json!({}), json!({"state": "failed"}), json!({"state": "dead", "limit": 1})] {
        retry(bad).await.refused(400, "bad_request");
    }
    // Nothing works on these kinds here.
    database(&app).execute("DELETE FROM jobs WHERE state = 'pending'", []).unwrap();
}

#[tokio::test]
async fn more_dead_jobs_than_one_call_takes_are_taken_by_the_next() {
    let app = TestApp::new().await;
    database(&app)
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001)
             INSERT INTO jobs (job_id, kind, subject_id, state, attempts, max_attempts, due_at, created_at, updated_at)
             SELECT printf('0190b6f2-7a30-7cc1-b8f4-%012x', i), 'webhook', printf('subject %d', i), 'dead', 5, 5, i, i, i FROM n;",
        )
        .unwrap();
    let retry = async || app.post(&app.admin, "/v1/admin/jobs/retry", json!({"state": "dead"})).await.expect(200).json();
    assert_eq!(retry().await, json!({"retried": 1000, "more": true}));
    assert_eq!(subjects(&app, "state=dead").await, ["subject 1001"], "those that died first go first");
    assert_eq!(retry().await, json!({"retried": 1, "more": false}));
    // Nothing works on this kind here.
    database(&app).execute("DELETE FROM jobs", []).unwrap();
}

#[tokio::test]
async fn events_are_found_by_kind_repo_and_time_and_a_dead_one_is_sent_again() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.clock.advance_ms(60_000);
    app.published("other", &Package::generic("demo", "1.0")).await;
    let list = async |query: &str| items(&app.get(&app.admin, &format!("/v1/admin/outbox?{query}")).await.expect(200).json());
    let all = list("").await;
    assert_eq!(all.len(), 2);
    assert_eq!(list("repo=main").await, [all[1].clone()]);
    assert_eq!(list("kind=version.quarantined").await, [Value::Null; 0]);
    assert_eq!(list("since=2026-06-01T12:01:00Z&state=pending").await, [all[0].clone()]);
    assert_eq!(list("until=2026-06-01T12:00:59Z").await, [all[1].clone()]);
    assert!(list("since=2026-06-01T13:00:00Z").await.is_empty() && list("until=2026-06-01T11:00:00Z").await.is_empty());
    let id = text(&all[0], "eventId");
    assert_eq!(app.get(&app.admin, &format!("/v1/admin/outbox/{id}")).await.expect(200).json(), all[0]);
    let again = format!("/v1/admin/outbox/{id}/retry");
    assert_eq!(app.post(&app.admin, &again, json!({})).await.refused(409, "conflict")["status"], "pending");
    database(&app).execute("UPDATE outbox SET state = 'dead', attempts = 5, last_error = 'odd' WHERE event_id = ?1", [&id]).unwrap();
    assert_eq!(list("error=odd").await.len(), 1);
    let mark = app.mark();
    let retried = app.post(&app.admin, &again, json!({})).await.expect(200).json();
    assert_eq!((&retried["state"], &retried["attempts"]), (&json!("pending"), &json!(0)));
    assert_eq!(app.audit_since(&mark), ["outbox.retried"]);
    app.run_jobs().await;
    assert_eq!(list("state=delivered").await.len(), 2);
    app.get(&app.admin, "/v1/admin/outbox/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55").await.refused(404, "not_found");
}
