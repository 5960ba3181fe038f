//! Webhooks where they meet the rest of the queue: pruning, retries by an operator, metrics, a disk that fails. Invariant: whatever is done
//! to a job, its delivery says what became of it, and nothing is left of what is forgotten.

use artifortress::domain::time::Time;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Answer, Package, Receiver, TestApp, items, text};

const OF_MAIN: &str = "/v1/repos/main/webhooks";
const DAY_MS: i64 = 86_400_000;
/// Longer than any delay between attempts.
const LONG_MS: i64 = 20 * 60_000;

async fn open_app() -> TestApp {
    TestApp::with(|config| {
        config.webhooks.allow_private_addresses = true;
        config.webhooks.timeout_ms = 1_500;
    })
    .await
}

async fn hook(app: &TestApp, at: &str, url: &str) -> String {
    let created = app.post(&app.admin, at, json!({"url": url})).await.expect(201).json();
    format!("{at}/{}", text(&created, "webhookId"))
}

async fn history(app: &TestApp, hook: &str) -> Vec<Value> {
    items(&app.get(&app.admin, &format!("{hook}/deliveries")).await.expect(200).json())
}

async fn ping(app: &TestApp, hook: &str) -> Value {
    app.post(&app.admin, &format!("{hook}/test"), json!({})).await.expect(202).json()
}

async fn on_job(app: &TestApp, delivery: &Value, verb: &str) {
    app.post(&app.admin, &format!("/v1/admin/jobs/{}/{verb}", text(delivery, "jobId")), json!({})).await.expect(200);
}

/// Removes all finished work, as the job for it does once it is old enough.
async fn prune(app: &TestApp) {
    app.clock.advance_ms(31 * DAY_MS);
    let until = app.store.clock().now();
    app.store.bookkeep(move |books| books.prune_finished(until, 1000)).await.unwrap();
}

async fn forget_deliveries(app: &TestApp) {
    let before = Time::from_unix_ms(i64::MAX / 4);
    app.store.bookkeep(move |books| books.prune_deliveries(before, 1000)).await.unwrap();
}

fn webhook_jobs(app: &TestApp) -> Vec<String> {
    app.ask("SELECT state FROM jobs WHERE kind = 'webhook' ORDER BY job_id")
}

/// Deliveries of this webhook that nobody takes, until they are dead.
async fn make_dead(app: &TestApp, receiver: &Receiver, hook: &str, count: usize) {
    receiver.always(Answer::Status(503, ""));
    for _ in 0..count {
        ping(app, hook).await;
    }
    for _ in 0..6 {
        app.run_jobs().await;
        app.clock.advance_ms(LONG_MS);
    }
    assert_eq!(webhook_jobs(app), vec!["dead"; count]);
}

#[tokio::test]
async fn what_became_of_a_delivery_is_told_after_finished_work_was_removed() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/")).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.run_jobs().await;
    let called_off = ping(&app, &hook).await;
    on_job(&app, &called_off, "cancel").await;
    prune(&app).await;
    let states: Vec<String> = history(&app, &hook).await.iter().map(|delivery| text(delivery, "state")).collect();
    assert_eq!(states, ["cancelled", "delivered"], "newest first");
    assert_eq!(
        (app.ask("SELECT count(*) FROM outbox WHERE state = 'delivered'"), webhook_jobs(&app)),
        (vec!["0".to_owned()], vec!["cancelled".to_owned()])
    );
    // Its event and its job are gone, and it can be sent anew all the same.
    let delivered = text(&history(&app, &hook).await[1], "deliveryId");
    app.post(&app.admin, &format!("{hook}/deliveries/{delivered}/redeliver"), json!({})).await.expect(202);
    on_job(&app, &called_off, "retry").await;
    receiver.take();
    app.run_jobs().await;
    assert_eq!(receiver.take().len(), 2);
    assert!(history(&app, &hook).await.iter().all(|delivery| delivery["state"] == "delivered"));
    forget_deliveries(&app).await;
    assert_eq!((history(&app, &hook).await.len(), webhook_jobs(&app).len()), (0, 0));
}

#[tokio::test]
async fn dead_jobs_go_with_what_they_were_about() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let short = hook(&app, OF_MAIN, &receiver.url("/")).await;
    make_dead(&app, &receiver, &short, 2).await;
    app.call("DELETE", &short).token(&app.admin).send().await.expect(204);
    assert_eq!(webhook_jobs(&app), Vec::<String>::new(), "of a deleted webhook");
    let aged = hook(&app, OF_MAIN, &receiver.url("/")).await;
    make_dead(&app, &receiver, &aged, 1).await;
    forget_deliveries(&app).await;
    assert_eq!(webhook_jobs(&app), Vec::<String>::new(), "of a forgotten delivery");
    app.create_repo("other", json!({})).await;
    let repos = hook(&app, "/v1/repos/other/webhooks", &receiver.url("/")).await;
    make_dead(&app, &receiver, &repos, 1).await;
    app.call("DELETE", "/v1/repos/other").token(&app.admin).send().await.expect(204);
    assert_eq!(webhook_jobs(&app), Vec::<String>::new(), "of a deleted repo");
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!(summary["jobs"]["dead"], 0, "{summary}");
}

#[tokio::test]
async fn beyond_the_history_of_a_webhook_dead_jobs_are_forgotten_too() {
    let app = TestApp::with(|config| {
        config.webhooks.allow_private_addresses = true;
        config.webhooks.keep_deliveries = 2;
    })
    .await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/")).await;
    make_dead(&app, &receiver, &hook, 2).await;
    receiver.always(Answer::Status(200, ""));
    ping(&app, &hook).await;
    app.run_jobs().await;
    assert_eq!((history(&app, &hook).await.len(), webhook_jobs(&app)), (2, vec!["dead".to_owned(), "completed".to_owned()]));
}

#[tokio::test]
async fn dead_deliveries_are_sent_when_all_dead_jobs_of_webhooks_are_retried() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/")).await;
    make_dead(&app, &receiver, &hook, 3).await;
    receiver.take();
    receiver.always(Answer::Status(200, ""));
    let asked = json!({"state": "dead", "kind": "webhook", "error": "http_503"});
    assert_eq!(app.post(&app.admin, "/v1/admin/jobs/retry", asked).await.expect(200).json(), json!({"retried": 3, "more": false}));
    assert!(history(&app, &hook).await.iter().all(|delivery| delivery["state"] == "pending"));
    app.run_jobs().await;
    assert!(history(&app, &hook).await.iter().all(|delivery| delivery["state"] == "delivered"));
    assert_eq!(receiver.take().len(), 3);
}

#[tokio::test]
async fn what_was_skipped_stays_so_when_its_job_is_run_again() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/")).await;
    let skipped = ping(&app, &hook).await;
    for active in [false, true] {
        app.call("PATCH", &hook).token(&app.admin).json(&json!({"active": active})).send().await.expect(200);
        app.run_jobs().await;
    }
    on_job(&app, &skipped, "retry").await;
    app.run_jobs().await;
    assert_eq!((&history(&app, &hook).await[0]["state"], receiver.take().len()), (&json!("skipped"), 0));
}

#[tokio::test]
async fn a_delivery_whose_end_could_not_be_written_is_sent_again_and_is_not_taken_for_dead() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/")).await;
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    connection.execute_batch("CREATE TRIGGER stuck BEFORE INSERT ON delivery_attempts BEGIN SELECT RAISE(ABORT, 'stuck'); END").unwrap();
    ping(&app, &hook).await;
    app.run_jobs().await;
    assert_eq!((&history(&app, &hook).await[0]["state"], receiver.take().len()), (&json!("pending"), 1));
    connection.execute_batch("DROP TRIGGER stuck").unwrap();
    app.clock.advance_ms(LONG_MS);
    app.run_jobs().await;
    assert_eq!((&history(&app, &hook).await[0]["state"], receiver.take().len()), (&json!("delivered"), 1));
}

#[tokio::test]
async fn attempts_are_counted_by_how_they_ended_and_name_no_receiver() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let hook = hook(&app, OF_MAIN, &receiver.url("/path-of-zebra?key=hush")).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = self::hook(&app, OF_MAIN, &format!("http://{closed}/")).await;
    receiver.answer(&[Answer::Status(599, ""), Answer::Status(404, ""), Answer::Redirect(302, "/".to_owned()), Answer::Status(204, "")]);
    for _ in 0..4 {
        ping(&app, &hook).await;
        app.run_jobs().await;
    }
    ping(&app, &broken).await;
    app.run_jobs().await;
    let told = app.get(&app.admin, "/metrics").await.expect(200).text();
    for (outcome, count) in
        [("delivered", 1), ("http_5xx", 1), ("http_4xx", 1), ("redirect_refused", 1), ("connect_failed", 1), ("timed_out", 0)]
    {
        let line = format!("artifortress_webhook_attempts_total{{outcome=\"{outcome}\"}} {count}");
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
    assert!(told.lines().any(|line| line == "artifortress_webhook_attempt_duration_seconds_count 5"), "{told}");
    for hidden in ["zebra", "hush", "127.0.0.1", "\"599\""] {
        let labelled = told.lines().filter(|line| line.contains('{')).any(|line| line.contains(hidden));
        assert!(!labelled, "{hidden} is a label");
    }
    for hook in [hook, broken] {
        app.call("DELETE", &hook).token(&app.admin).send().await.expect(204);
    }
}
