//! Who manages webhooks, what they may be, where their secrets show, and who sends for whom. Invariant: a repo's webhooks are its
//! administrators' alone, a secret is seen once by whoever made it, and a delivery outlives the worker that held it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifortress::jobs::{JobSettings, Jobs};
use artifortress::store::JobKind;
use serde_json::{Value, json};

use crate::support::{Answer, Package, Received, Receiver, TestApp, items, text};

const SECRET: &str = "hush-0123456789-hush";
const URL: &str = "https://hooks.test/in";

async fn create(app: &TestApp, token: &str, at: &str, request: Value) -> Value {
    app.post(token, at, request).await.expect(201).json()
}

#[tokio::test]
async fn a_repos_webhooks_are_its_administrators_and_the_instances_are_the_operators() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let (ann, bob) = (app.issue("ann", &["repo:main:admin"]).await, app.issue("bob", &["repo:other:admin"]).await);
    let (of_main, of_other) = ("/v1/repos/main/webhooks", "/v1/repos/other/webhooks");
    let id = text(&create(&app, &ann, of_main, json!({"url": URL})).await, "webhookId");
    let of_instance = text(&create(&app, &app.admin, "/v1/admin/webhooks", json!({"url": URL})).await, "webhookId");
    app.get(&bob, of_main).await.refused(404, "not_found");
    app.post(&ann, "/v1/admin/webhooks", json!({"url": URL})).await.refused(403, "forbidden");
    // An id of another owner is no id at all, whatever is done with it.
    for (token, path) in
        [(&bob, format!("{of_other}/{id}")), (&ann, format!("{of_main}/{of_instance}")), (&app.admin, format!("/v1/admin/webhooks/{id}"))]
    {
        app.get(token, &path).await.refused(404, "not_found");
        app.call("PATCH", &path).token(token).json(&json!({"active": false})).send().await.refused(404, "not_found");
        app.call("DELETE", &path).token(token).send().await.refused(404, "not_found");
        app.get(token, &format!("{path}/deliveries")).await.refused(404, "not_found");
        app.post(token, &format!("{path}/test"), json!({})).await.refused(404, "not_found");
        let redeliver = format!("{path}/deliveries/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/redeliver");
        app.post(token, &redeliver, json!({})).await.refused(404, "not_found");
    }
    let listed = |page: Value| items(&page).iter().map(|hook| text(hook, "webhookId")).collect::<Vec<_>>();
    assert_eq!(listed(app.get(&ann, of_main).await.expect(200).json()), [id]);
    assert_eq!(listed(app.get(&app.admin, "/v1/admin/webhooks").await.expect(200).json()), [of_instance]);
    assert!(listed(app.get(&bob, of_other).await.expect(200).json()).is_empty());
}

#[tokio::test]
async fn a_delivery_of_another_webhook_is_not_redelivered() {
    let app = TestApp::with(|config| config.webhooks.allow_private_addresses = true).await;
    let receiver = Receiver::start();
    let at = "/v1/repos/main/webhooks";
    let first = text(&create(&app, &app.admin, at, json!({"url": receiver.url("/")})).await, "webhookId");
    let second = text(&create(&app, &app.admin, at, json!({"url": receiver.url("/")})).await, "webhookId");
    let delivery = app.post(&app.admin, &format!("{at}/{first}/test"), json!({})).await.expect(202).json();
    let path = format!("{at}/{second}/deliveries/{}/redeliver", text(&delivery, "deliveryId"));
    app.post(&app.admin, &path, json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_in_words_and_their_number_is_bounded() {
    let app = TestApp::with(|config| config.webhooks.max_per_repo = 2).await;
    let at = "/v1/repos/main/webhooks";
    for (request, words) in [
        (json!({}), "url"),
        (json!({"url": "ftp://hooks.test/"}), "http://"),
        (json!({"url": "https://ann:b@hooks.test/"}), "user name"),
        (json!({"url": "https://hooks.test/#x"}), "fragment"),
        (json!({"url": format!("https://hooks.test/{}", "x".repeat(3000))}), "2048"),
        (json!({"url": URL, "secret": "short"}), "16"),
        (json!({"url": URL, "events": ["version.eaten"]}), "known are"),
        (json!({"url": URL, "note": "\u{1b}[31m"}), "note"),
        (json!({"url": URL, "colour": "red"}), "colour"),
    ] {
        let refusal = app.post(&app.admin, at, request).await.refused(400, "bad_request");
        assert!(text(&refusal, "message").contains(words), "{refusal}");
    }
    let made =
        create(&app, &app.admin, at, json!({"url": URL, "events": ["version.released", "version.published", "version.released"]})).await;
    assert_eq!(made["events"], json!(["version.published", "version.released"]));
    create(&app, &app.admin, at, json!({"url": URL, "active": false, "note": "the chat"})).await;
    assert_eq!(app.post(&app.admin, at, json!({"url": URL})).await.refused(409, "conflict")["limit"], 2);
    let path = format!("{at}/{}", text(&made, "webhookId"));
    let change = async |request: Value| app.call("PATCH", &path).token(&app.admin).json(&request).send().await;
    change(json!({})).await.refused(400, "bad_request");
    change(json!({"secret": SECRET, "rotateSecret": true})).await.refused(400, "bad_request");
    let changed = change(json!({"events": [], "note": "the log", "url": "http://hooks.test/b"})).await.expect(200).json();
    assert_eq!(
        (changed["events"].as_array().unwrap().len(), &changed["note"], &changed["url"]),
        (8, &json!("the log"), &json!("http://hooks.test/b"))
    );
    assert_eq!(change(json!({"note": ""})).await.expect(200).json()["note"], Value::Null);
}

#[tokio::test]
async fn a_repo_of_the_same_key_does_not_inherit_webhooks() {
    let app = TestApp::with(|config| config.webhooks.allow_private_addresses = true).await;
    let receiver = Receiver::start();
    app.create_repo("team", json!({})).await;
    create(&app, &app.admin, "/v1/repos/team/webhooks", json!({"url": receiver.url("/")})).await;
    let mark = app.mark();
    app.call("DELETE", "/v1/repos/team").token(&app.admin).send().await.expect(204);
    assert_eq!(app.audit_since(&mark), ["repo.deleted", "webhook.deleted"]);
    app.create_repo("team", json!({})).await;
    app.published("team", &Package::generic("demo", "1.0")).await;
    app.run_jobs().await;
    assert!(receiver.take().is_empty());
    assert!(items(&app.get(&app.admin, "/v1/repos/team/webhooks").await.expect(200).json()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_daemon_is_woken_by_a_test_call_and_by_a_publish() {
    let app = TestApp::on_real_time().await;
    let receiver = Receiver::start();
    let made = create(&app, &app.admin, "/v1/admin/webhooks", json!({"url": receiver.url("/"), "events": ["version.published"]})).await;
    let jobs = Jobs::start(Arc::clone(&app.store), app.registry(), app.blobs.clone(), JobSettings::default());
    let mut heard = Vec::new();
    for expected in ["ping", "version.published"] {
        match expected {
            "ping" => {
                let path = format!("/v1/admin/webhooks/{}/test", text(&made, "webhookId"));
                drop(app.post(&app.admin, &path, json!({})).await.expect(202));
            }
            _ => drop(app.published("main", &Package::generic("demo", "1.0")).await),
        }
        // For half a minute at most; nothing but a wake-up makes the daemon look.
        for _ in 0..1500 {
            heard.extend(receiver.take());
            if heard.iter().any(|request: &Received| request.header("x-artifortress-event") == expected) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    jobs.stop().await;
    let kinds: Vec<&str> = heard.iter().map(|request| request.header("x-artifortress-event")).collect();
    assert_eq!(kinds, ["ping", "version.published"]);
}

#[tokio::test]
async fn a_delivery_whose_worker_died_is_sent_by_the_next_one() {
    let app = TestApp::with(|config| config.webhooks.allow_private_addresses = true).await;
    let receiver = Receiver::start();
    let made = create(&app, &app.admin, "/v1/admin/webhooks", json!({"url": receiver.url("/")})).await;
    app.post(&app.admin, &format!("/v1/admin/webhooks/{}/test", text(&made, "webhookId")), json!({})).await.expect(202);
    let limits = JobSettings::default().limits;
    let claimed = app.store.bookkeep(move |books| books.claim(&[JobKind::Webhook], &limits)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    app.run_jobs().await;
    assert!(receiver.take().is_empty(), "it is sent although a worker holds it");
    app.clock.advance_ms(limits.lease_ms);
    app.run_jobs().await;
    assert_eq!(receiver.take().len(), 1);
    assert_eq!(app.ask("SELECT attempts || ' ' || state FROM jobs WHERE kind = 'webhook'"), ["2 completed"]);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_shown_once_and_is_in_no_list_no_log_and_no_audit_row() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_env_filter("info,artifortress=trace").with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(lines);
    let app = TestApp::with(|config| config.webhooks.allow_private_addresses = true).await;
    let receiver = Receiver::start();
    let at = "/v1/repos/main/webhooks";
    let made = create(&app, &app.admin, at, json!({"url": receiver.url("/in?key=hush-of-the-query"), "secret": SECRET})).await;
    assert_eq!(made["secret"], SECRET);
    let path = format!("{at}/{}", text(&made, "webhookId"));
    receiver.answer(&[Answer::Status(500, ""), Answer::Status(410, "")]);
    for _ in 0..2 {
        app.post(&app.admin, &format!("{path}/test"), json!({})).await.expect(202);
    }
    app.run_jobs().await;
    app.clock.advance_ms(20 * 60_000);
    app.run_jobs().await;
    let rotated =
        app.call("PATCH", &path).token(&app.admin).json(&json!({"rotateSecret": true, "active": true})).send().await.expect(200).json();
    let second = text(&rotated, "secret");
    assert!(second.starts_with("afwh_") && second.len() == 69, "{second}");
    app.post(&app.admin, &format!("{path}/test"), json!({})).await.expect(202);
    app.run_jobs().await;
    assert!(receiver.take().last().unwrap().is_signed_with(&second), "the new secret signs from the next request on");
    let mut told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("gone for good"), "the log was not caught: {told}");
    for shown in [at, &path, &format!("{path}/deliveries"), "/v1/admin/jobs", "/v1/admin/outbox", "/v1/admin/ops/summary"] {
        let page = app.get(&app.admin, shown).await.expect(200).text();
        // Whoever manages a webhook sees its whole address.
        told.push_str(&if shown.starts_with(at) { page.replace("hush-of-the-query", "") } else { page });
    }
    told.push_str(&app.get(&app.admin, "/v1/audit?limit=200").await.expect(200).text());
    assert!(told.contains("webhook.created") && told.contains("secretRotated") && told.contains("/in"), "{told}");
    for secret in [SECRET, second.as_str(), "hush-of-the-query"] {
        assert!(!told.contains(secret), "{secret} shows:\n{told}");
    }
    app.call("DELETE", &path).token(&app.admin).send().await.expect(204);
    app.clock.advance_ms(20 * 60_000);
}
