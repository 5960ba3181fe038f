//! Webhooks from the event to the receiver's socket. Invariant: each webhook is told of every event it asks for, signed, with the same
//! bytes until it takes them; nobody else hears of it, and no private address is called for whoever administers one repo.

use artifortress::domain::time::Time;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Answer, Package, Received, Receiver, TestApp, items, text};

const SECRET: &str = "the-receivers-own-secret";
const DAY_MS: i64 = 86_400_000;
/// Longer than any delay between attempts.
const LONG_MS: i64 = 20 * 60_000;

/// An instance whose repos' webhooks may call this machine, and which waits for none of them for long.
async fn open_app() -> TestApp {
    TestApp::with(|config| {
        config.webhooks.allow_private_addresses = true;
        config.webhooks.timeout_ms = 1_500;
    })
    .await
}

fn of_repo(repo: &str) -> String {
    format!("/v1/repos/{repo}/webhooks")
}

const OF_INSTANCE: &str = "/v1/admin/webhooks";

/// Creates a webhook with the usual secret; gives its address.
async fn hook(app: &TestApp, at: &str, url: &str, events: &[&str]) -> String {
    let created = app.post(&app.admin, at, json!({"url": url, "events": events, "secret": SECRET})).await.expect(201).json();
    format!("{at}/{}", text(&created, "webhookId"))
}

async fn history(app: &TestApp, hook: &str) -> Vec<Value> {
    items(&app.get(&app.admin, &format!("{hook}/deliveries")).await.expect(200).json())
}

/// The one delivery of a webhook.
async fn only(app: &TestApp, hook: &str) -> Value {
    let mut found = history(app, hook).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn ping(app: &TestApp, hook: &str) -> Value {
    app.post(&app.admin, &format!("{hook}/test"), json!({})).await.expect(202).json()
}

/// The codes of the attempts, `ok` for one that was taken.
fn codes(delivery: &Value) -> Vec<String> {
    let attempts = delivery["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["error"].as_str().unwrap_or("ok").to_owned()).collect()
}

fn kinds(received: &[Received]) -> Vec<String> {
    let mut kinds: Vec<String> = received.iter().map(|request| request.header("x-artifortress-event").to_owned()).collect();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn every_kind_of_event_reaches_those_who_asked_for_it_once_and_signed() {
    let app = open_app().await;
    app.create_repo("other", json!({})).await;
    let (all, own, some, foreign) = (Receiver::start(), Receiver::start(), Receiver::start(), Receiver::start());
    hook(&app, OF_INSTANCE, &all.url("/all?key=1"), &[]).await;
    hook(&app, &of_repo("main"), &own.url("/own"), &[]).await;
    hook(&app, &of_repo("main"), &some.url("/some"), &["version.published", "version.tombstoned"]).await;
    hook(&app, &of_repo("other"), &foreign.url("/foreign"), &[]).await;
    let (released, item) = app.held_by_hand("main", &Package::generic("demo", "1.0")).await;
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    let (_, item) = app.held_by_hand("main", &Package::generic("demo", "2.0")).await;
    app.vote(&app.admin, "main", &item, "reject").await.expect(200);
    app.tombstone(&app.admin, "main", &released).await.expect(200);
    app.step(&app.admin, "main", &released, "restore", json!({})).await.expect(200);
    app.set_policy("main", "").await;
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    let advisories = "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at)
        VALUES ('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01', 'advisories.changed', '{}', 'pending', 0, 0, 0)";
    connection.execute(advisories, []).unwrap();
    app.run_jobs().await;
    let of_versions = ["version.published", "version.published", "version.quarantined", "version.quarantined", "version.rejected"];
    let rest = ["version.released", "version.restored", "version.tombstoned"];
    let of_main = [vec!["policy.changed"], of_versions.to_vec(), rest.to_vec()].concat();
    let heard = own.take();
    assert_eq!(kinds(&heard), of_main);
    let everything = all.take();
    assert_eq!(kinds(&everything), [vec!["advisories.changed"], of_main.clone()].concat());
    assert_eq!(kinds(&some.take()), ["version.published", "version.published", "version.tombstoned"]);
    assert!(foreign.take().is_empty(), "a repo's webhook hears of another repo");
    for request in heard.iter().chain(&everything) {
        assert!(request.is_signed_with(SECRET) && !request.is_signed_with("another-secret-of-it"), "{request:?}");
        assert_eq!(request.header("user-agent"), concat!("artifortress/", env!("CARGO_PKG_VERSION")));
        assert_eq!((request.header("content-type"), request.header("cookie")), ("application/json", ""));
        assert_eq!(request.json()["id"], request.header("x-artifortress-delivery"));
        assert_eq!(request.json()["event"], request.header("x-artifortress-event"));
        assert!(request.json()["occurredAt"].is_string() && request.json()["eventId"].is_string(), "{request:?}");
    }
    assert!(everything.iter().all(|request| request.line == "POST /all?key=1 HTTP/1.1"), "{everything:?}");
    let told = heard.iter().find(|request| request.header("x-artifortress-event") == "version.tombstoned").unwrap().json();
    let expected = ("main", released.as_str(), "tombstoned", "pkg:generic/demo@1.0", false);
    let member = |name: &str| told[name].as_str().unwrap_or_default();
    assert_eq!((member("repoKey"), member("versionId"), member("state"), member("purl"), told["visible"] == true), expected, "{told}");
    let words: String = heard.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    for kept in ["looked at", "no longer wanted", "demo.bin"] {
        assert!(!words.contains(kept), "a receiver is told {kept:?}");
    }
}

#[tokio::test]
async fn a_refused_delivery_is_tried_again_with_the_same_bytes_until_it_is_taken() {
    let app = open_app().await;
    let receiver = Receiver::start();
    receiver.answer(&[Answer::Status(500, "not now\u{1b}[31m"), Answer::Status(302, ""), Answer::Status(204, "")]);
    let hook = hook(&app, &of_repo("main"), &receiver.url("/"), &["version.published"]).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.run_jobs().await;
    app.run_jobs().await;
    let waiting = only(&app, &hook).await;
    assert_eq!((&waiting["state"], codes(&waiting).as_slice()), (&json!("pending"), &["http_500".to_owned()][..]));
    assert_eq!((&waiting["attempts"][0]["status"], &waiting["attempts"][0]["response"]), (&json!(500), &json!("not now\u{fffd}[31m")));
    assert!(waiting["nextAttemptAt"].as_str() > waiting["createdAt"].as_str(), "{waiting}");
    for _ in 0..2 {
        app.clock.advance_ms(LONG_MS);
        app.run_jobs().await;
    }
    let done = only(&app, &hook).await;
    assert_eq!((&done["state"], codes(&done)), (&json!("delivered"), ["http_500", "redirect_refused", "ok"].map(str::to_owned).to_vec()));
    let received = receiver.take();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|request| request.body == received[0].body && request.is_signed_with(SECRET)));
    assert_ne!(received[0].header("x-artifortress-timestamp"), received[2].header("x-artifortress-timestamp"));
    // Its job can be run again by an operator; what was taken is not sent again.
    let job = text(&done, "jobId");
    app.post(&app.admin, &format!("/v1/admin/jobs/{job}/retry"), json!({})).await.expect(200);
    app.run_jobs().await;
    assert!(receiver.take().is_empty(), "what was taken is sent again");
}

#[tokio::test]
async fn after_the_last_attempt_a_delivery_is_dead_and_can_be_retried_and_redelivered() {
    let app = open_app().await;
    let receiver = Receiver::start();
    receiver.always(Answer::Status(503, "closed"));
    let hook = hook(&app, &of_repo("main"), &receiver.url("/"), &["version.published"]).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    for _ in 0..7 {
        app.run_jobs().await;
        app.clock.advance_ms(LONG_MS);
    }
    let dead = only(&app, &hook).await;
    assert_eq!((&dead["state"], codes(&dead)), (&json!("dead"), vec!["http_503".to_owned(); 5]));
    let listed = items(&app.get(&app.admin, "/v1/admin/jobs?state=dead&kind=webhook").await.expect(200).json());
    assert_eq!((listed.len(), &listed[0]["subjectId"], &listed[0]["lastError"]), (1, &dead["deliveryId"], &json!("http_503")));
    receiver.always(Answer::Status(200, ""));
    let first = receiver.take();
    assert_eq!(first.len(), 5);
    app.post(&app.admin, &format!("/v1/admin/jobs/{}/retry", text(&dead, "jobId")), json!({})).await.expect(200);
    app.run_jobs().await;
    let done = only(&app, &hook).await;
    assert_eq!((&done["state"], done["attempts"][5]["number"].as_u64()), (&json!("delivered"), Some(6)));
    assert_eq!(receiver.take()[0].body, first[0].body);
    let mark = app.mark();
    let again = format!("{hook}/deliveries/{}/redeliver", text(&done, "deliveryId"));
    let anew = app.post(&app.admin, &again, json!({})).await.expect(202).json();
    assert_eq!((app.audit_since(&mark), &anew["state"]), (vec!["webhook.redelivered".to_owned()], &json!("pending")));
    app.run_jobs().await;
    let mut sent = receiver.take()[0].json();
    let mut before = first[0].json();
    assert_eq!((&sent["id"], &history(&app, &hook).await[0]["jobId"]), (&anew["deliveryId"], &anew["jobId"]));
    assert_ne!(sent["id"], before["id"]);
    sent["id"] = json!(null);
    before["id"] = json!(null);
    assert_eq!(sent, before, "only the id differs");
    assert_eq!(history(&app, &hook).await[0]["deliveryId"], anew["deliveryId"], "newest first");
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_good_is_not_asked_again() {
    let app = open_app().await;
    let receiver = Receiver::start();
    receiver.always(Answer::Status(410, ""));
    let hook = hook(&app, &of_repo("main"), &receiver.url("/"), &[]).await;
    let mark = app.mark();
    ping(&app, &hook).await;
    app.run_jobs().await;
    assert_eq!(only(&app, &hook).await["state"], "dead");
    assert_eq!(app.audit_since(&mark), ["webhook.tested", "webhook.updated"]);
    assert_eq!(app.ask("SELECT actor FROM audit ORDER BY seq DESC LIMIT 1"), ["system:webhooks"]);
    assert_eq!(app.get(&app.admin, &hook).await.expect(200).json()["active"], false);
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.run_jobs().await;
    assert_eq!(receiver.take().len(), 1);
    app.post(&app.admin, &format!("{hook}/test"), json!({})).await.refused(409, "conflict");
}

#[tokio::test]
async fn private_addresses_are_for_those_who_run_the_instance_and_not_for_redirects() {
    let app = TestApp::new().await;
    let (receiver, inner) = (Receiver::start(), Receiver::start());
    let port = receiver.address.port();
    let mut refused = Vec::new();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "0.0.0.0"] {
        refused.push(hook(&app, &of_repo("main"), &format!("http://{host}:{port}/"), &[]).await);
    }
    let instance = hook(&app, OF_INSTANCE, &receiver.url("/"), &[]).await;
    for hook in refused.iter().chain([&instance]) {
        ping(&app, hook).await;
    }
    receiver.answer(&[Answer::Redirect(307, inner.url("/metadata"))]);
    app.run_jobs().await;
    for hook in &refused {
        assert_eq!(codes(&only(&app, hook).await), ["address_refused"], "{hook}");
    }
    assert_eq!(codes(&only(&app, &instance).await), ["address_refused"]);
    assert_eq!((receiver.take().len(), inner.take().len()), (1, 0), "the redirect or a repo's webhook was followed home");
    app.clock.advance_ms(LONG_MS);
    app.run_jobs().await;
    assert_eq!(codes(&only(&app, &instance).await), ["address_refused", "ok"]);
    for hook in &refused {
        app.call("DELETE", hook).token(&app.admin).send().await.expect(204);
    }
    app.clock.advance_ms(LONG_MS);
}

#[tokio::test]
async fn a_redirect_is_followed_when_it_keeps_the_request_and_only_so_often() {
    let app = open_app().await;
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let hook = hook(&app, &of_repo("main"), &receiver.url("/old"), &[]).await;
    receiver.answer(&[Answer::Redirect(308, "/moved".to_owned()), Answer::Redirect(307, target.url("/new"))]);
    ping(&app, &hook).await;
    app.run_jobs().await;
    let (passed, arrived) = (receiver.take(), target.take());
    assert_eq!((passed[1].line.as_str(), arrived[0].line.as_str()), ("POST /moved HTTP/1.1", "POST /new HTTP/1.1"));
    assert!(arrived[0].is_signed_with(SECRET) && arrived[0].body == passed[0].body);
    for (to, code) in [
        (Answer::Redirect(301, target.url("/")), "redirect_refused"),
        (Answer::Redirect(303, target.url("/")), "redirect_refused"),
        (Answer::Redirect(307, "ftp://hooks.test/".to_owned()), "redirect_refused"),
        (Answer::Redirect(307, receiver.url("/").replace("http://", "http://ann:b@")), "redirect_refused"),
        (Answer::Redirect(307, receiver.url("/again")), "too_many_redirects"),
    ] {
        receiver.always(to);
        ping(&app, &hook).await;
        app.run_jobs().await;
        let newest = history(&app, &hook).await.remove(0);
        assert_eq!(codes(&newest), [code]);
        let calls = receiver.take().len();
        assert_eq!(calls, if code == "too_many_redirects" { 4 } else { 1 });
    }
    assert!(target.take().is_empty());
    app.call("DELETE", &hook).token(&app.admin).send().await.expect(204);
    app.clock.advance_ms(LONG_MS);
}

#[tokio::test]
async fn a_receiver_that_never_answers_takes_its_share_and_no_more() {
    let app = open_app().await;
    let (silent, quick) = (Receiver::start(), Receiver::start());
    silent.always(Answer::Silence);
    let slow = hook(&app, &of_repo("main"), &silent.url("/"), &[]).await;
    let fast = hook(&app, &of_repo("main"), &quick.url("/"), &[]).await;
    for _ in 0..6 {
        ping(&app, &slow).await;
    }
    for _ in 0..3 {
        ping(&app, &fast).await;
    }
    app.run_jobs().await;
    assert_eq!(quick.take().len(), 3, "a silent receiver holds up others");
    assert!(history(&app, &fast).await.iter().all(|delivery| delivery["state"] == "delivered"));
    let tried = history(&app, &slow).await;
    assert_eq!(
        tried.iter().flat_map(codes).collect::<Vec<_>>(),
        ["timed_out", "timed_out"],
        "more than two at once, or one after the other"
    );
    assert_eq!(silent.take().len(), 2);
    // Those whose turn did not come have lost no attempt.
    assert_eq!(app.ask("SELECT count(*) FROM jobs WHERE kind = 'webhook' AND state = 'pending' AND attempts = 0"), ["4"]);
    silent.always(Answer::Status(200, ""));
    app.clock.advance_ms(LONG_MS);
    app.run_jobs().await;
    assert!(history(&app, &slow).await.iter().all(|delivery| delivery["state"] == "delivered"));
    assert_eq!(silent.take().len(), 6);
}

#[tokio::test]
async fn an_answer_without_end_is_taken_and_its_beginning_kept() {
    let app = open_app().await;
    let receiver = Receiver::start();
    receiver.always(Answer::Endless);
    let hook = hook(&app, &of_repo("main"), &receiver.url("/"), &[]).await;
    ping(&app, &hook).await;
    app.run_jobs().await;
    let delivery = only(&app, &hook).await;
    assert_eq!((&delivery["state"], &delivery["event"], &delivery["eventId"]), (&json!("delivered"), &json!("ping"), &Value::Null));
    assert_eq!(text(&delivery["attempts"][0], "response"), "x".repeat(1024));
    assert_eq!(receiver.take()[0].json()["event"], "ping");
}

#[tokio::test]
async fn nobody_is_called_for_a_webhook_that_is_off_deleted_or_younger_than_the_event() {
    let app = open_app().await;
    let receiver = Receiver::start();
    app.published("main", &Package::generic("early", "1.0")).await;
    app.run_jobs().await;
    let off = hook(&app, &of_repo("main"), &receiver.url("/"), &[]).await;
    let gone = hook(&app, &of_repo("main"), &receiver.url("/"), &[]).await;
    for hook in [&off, &gone] {
        ping(&app, hook).await;
    }
    app.call("PATCH", &off).token(&app.admin).json(&json!({"active": false})).send().await.expect(200);
    app.call("DELETE", &gone).token(&app.admin).send().await.expect(204);
    app.published("main", &Package::generic("late", "1.0")).await;
    app.run_jobs().await;
    assert!(receiver.take().is_empty());
    assert_eq!(only(&app, &off).await["state"], "skipped");
    app.get(&app.admin, &gone).await.refused(404, "not_found");
    app.call("PATCH", &off).token(&app.admin).json(&json!({"active": true})).send().await.expect(200);
    app.published("main", &Package::generic("last", "1.0")).await;
    app.run_jobs().await;
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn a_malformed_event_or_a_closed_port_holds_no_neighbour_back() {
    let app = open_app().await;
    let receiver = Receiver::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = hook(&app, &of_repo("main"), &format!("http://{closed}/"), &["version.published"]).await;
    let secure = hook(&app, &of_repo("main"), &receiver.url("/").replace("http:", "https:"), &["version.published"]).await;
    let unknown = hook(&app, &of_repo("main"), "http://no-such-host.invalid/", &["version.published"]).await;
    let fine = hook(&app, &of_repo("main"), &receiver.url("/fine"), &["version.published"]).await;
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    let malformed = "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at)
        VALUES ('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01', 'version.published', 'no json', 'pending', 0, 0, 0)";
    connection.execute(malformed, []).unwrap();
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.run_jobs().await;
    assert_eq!(codes(&only(&app, &broken).await), ["connect_failed"]);
    assert_eq!(codes(&only(&app, &unknown).await), ["name_unknown"]);
    assert_eq!(codes(&only(&app, &secure).await), ["tls_failed"]);
    assert_eq!(only(&app, &fine).await["state"], "delivered");
    for hook in [broken, secure, unknown] {
        app.call("DELETE", &hook).token(&app.admin).send().await.expect(204);
    }
    app.clock.advance_ms(LONG_MS);
}

#[tokio::test]
async fn old_deliveries_are_forgotten_and_those_still_tried_are_not() {
    let app = TestApp::with(|config| {
        config.webhooks.allow_private_addresses = true;
        config.webhooks.keep_deliveries = 3;
    })
    .await;
    let receiver = Receiver::start();
    let hook = hook(&app, &of_repo("main"), &receiver.url("/"), &[]).await;
    receiver.answer(&[Answer::Status(500, "")]);
    let stuck = text(&ping(&app, &hook).await, "deliveryId");
    app.run_jobs().await;
    for _ in 0..5 {
        ping(&app, &hook).await;
        app.run_jobs().await;
    }
    let kept: Vec<String> = history(&app, &hook).await.iter().map(|delivery| text(delivery, "deliveryId")).collect();
    assert_eq!((kept.len(), kept.contains(&stuck)), (4, true), "three, and the one that is still tried");
    let page = app.get(&app.admin, &format!("{hook}/deliveries?limit=3")).await.expect(200).json();
    let next = app.get(&app.admin, &format!("{hook}/deliveries?cursor={}", text(&page, "nextCursor"))).await.expect(200).json();
    assert_eq!((items(&next).len(), text(&items(&next)[0], "deliveryId")), (1, stuck.clone()));
    app.get(&app.admin, &format!("{hook}/deliveries?cursor=x")).await.refused(400, "bad_request");
    app.clock.advance_ms(DAY_MS);
    let before: Time = Time::from_unix_ms(i64::MAX / 4);
    let counts = [
        app.store.bookkeep(move |books| books.prune_deliveries(before, 2)).await.unwrap(),
        app.store.bookkeep(move |books| books.prune_deliveries(before, 2)).await.unwrap(),
    ];
    assert_eq!(counts, [2, 1]);
    assert_eq!(only(&app, &hook).await["deliveryId"], stuck);
    app.run_jobs().await;
    assert_eq!(app.store.bookkeep(move |books| books.prune_deliveries(before, 2)).await.unwrap(), 1);
    assert_eq!(app.ask("SELECT count(*) FROM delivery_attempts"), ["0"]);
}
