//! What changes while the gate is judging. Invariant: a verdict counts for exactly the content and the policies it was made for,
//! whatever happens between the question and the answer.

use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{DENY_ALL, Mood, Package, Response, TestApp, digest_of, rule, text, version_path};

/// Starts a step whose evaluation hangs, and returns once it does.
fn begin(app: &TestApp, id: &str, verb: &str, request: &serde_json::Value) -> JoinHandle<Response> {
    let already = app.engine.asked();
    app.engine.set(Mood::Stuck);
    let call = app.call("POST", &format!("{}/{verb}", version_path("main", id))).token(&app.admin).json(request);
    let running = tokio::spawn(call.send());
    tokio::task::block_in_place(|| app.engine.wait_until_asked(already + 1));
    running
}

async fn put_entry(app: &TestApp, id: &str, path: &str, bytes: &[u8]) -> Response {
    let digest = app.upload(&app.admin, "main", bytes).await;
    assert_eq!(digest, digest_of(bytes));
    let request = json!({"entries": [{"relativePath": path, "blobDigest": digest, "sizeBytes": bytes.len()}]});
    app.post(&app.admin, &format!("{}/entries", version_path("main", id)), request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_changes_while_it_is_judged_is_judged_again() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("no-scripts", "deny", "context.files.extensions.contains(\"sh\")")).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let running = begin(&app, &id, "publish", &json!({}));
    put_entry(&app, &id, "setup.sh", b"#!/bin/sh\n").await.expect(200);
    app.engine.set(Mood::Sound);
    running.await.unwrap().refused(403, "policy_denied");
    assert_eq!(app.state("main", &id).await, "draft");
    assert_eq!(app.ask("SELECT decision FROM evaluations"), ["deny"], "the verdict on the old content was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_changes_while_it_is_judged_is_judged_again() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("no-agpl", "quarantine", "context.licenses.ids.contains(\"AGPL-3.0-only\")")).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0").manifest(&json!({"license": "MIT"}))).await;
    let running = begin(&app, &id, "publish", &json!({}));
    let path = format!("{}/manifest", version_path("main", &id));
    app.call("PUT", &path).token(&app.admin).json(&json!({"license": "AGPL-3.0-only"})).send().await.expect(200);
    app.engine.set(Mood::Sound);
    running.await.unwrap().expect(202);
    assert_eq!(app.state("main", &id).await, "quarantined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_while_it_judges_judges_again() {
    for verb in ["publish", "promote", "restore"] {
        let app = TestApp::new().await;
        app.create_repo("target", json!({})).await;
        let package = Package::generic("demo", "1.0");
        let id = if verb == "publish" { app.draft(&app.admin, "main", &package).await } else { app.published("main", &package).await };
        if verb == "restore" {
            app.tombstone(&app.admin, "main", &id).await.expect(200);
        }
        let request = if verb == "promote" { json!({"targetRepo": "target"}) } else { json!({}) };
        let running = begin(&app, &id, verb, &request);
        app.set_policy(if verb == "promote" { "target" } else { "main" }, DENY_ALL).await;
        app.engine.set(Mood::Sound);
        running.await.unwrap().refused(403, "policy_denied");
        let visible = app.ask("SELECT repo_key FROM versions WHERE state = 'published' AND repo_key = 'target'");
        assert!(visible.is_empty(), "{verb}: {visible:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_and_scanners_say_while_it_is_judged_is_judged_too() {
    for what in ["revoked", "reserved", "frozen", "scanned"] {
        let app = TestApp::new().await;
        let policy = rule("big", "quarantine", "true") + &rule("malware", "deny", "context.findings.malicious");
        app.set_policy("main", &policy).await;
        let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
        let asked = json!({"versionId": id, "rule": "big", "policy": "repo", "reason": "looked at it", "ttlSeconds": 60});
        let waiver = text(&app.post(&app.admin, "/v1/repos/main/waivers", asked).await.expect(201).json(), "waiverId");
        let running = begin(&app, &id, "publish", &json!({}));
        let said = match what {
            "revoked" => app.post(&app.admin, &format!("/v1/repos/main/waivers/{waiver}/revoke"), json!({})).await,
            "reserved" => app.post(&app.admin, "/v1/repos/main/reservations", json!({"pattern": "*:demo", "reason": "ours"})).await,
            "frozen" => {
                let freeze = json!({"packageType": "*", "after": "2026-06-01T11:00:00Z", "reason": "attack"});
                app.post(&app.admin, "/v1/freezes", freeze).await
            }
            _ => {
                let path = format!("/v1/repos/main/versions/{id}/findings/trivy");
                app.call("PUT", &path).token(&app.admin).json(&json!({"status": "malicious"})).send().await
            }
        };
        assert_eq!(said.status / 100, 2, "{what}: {}", said.text());
        app.engine.set(Mood::Sound);
        let expected = if what == "reserved" || what == "scanned" { 403 } else { 202 };
        running.await.unwrap().expect(expected);
        assert_eq!(app.ask("SELECT count(*) FROM evaluations"), ["1"], "{what}: the verdict made before was kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advisory_that_comes_while_it_is_judged_is_judged_by() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("malware", "deny", "context.advisories.malicious")).await;
    let package = Package { package_type: "npm".to_owned(), ..Package::generic("demo", "1.0.0") };
    let id = app.draft(&app.admin, "main", &package).await;
    let running = begin(&app, &id, "publish", &json!({}));
    let record = json!({"id": "MAL-2026-1", "modified": "2026-05-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "npm", "name": "demo"}, "versions": ["1.0.0"]}]});
    app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
    app.engine.set(Mood::Sound);
    running.await.unwrap().refused(403, "policy_denied");
    assert_eq!(app.state("main", &id).await, "draft");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_held_while_its_promotion_is_judged_is_not_promoted() {
    let app = TestApp::new().await;
    app.create_repo("target", json!({})).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let running = begin(&app, &id, "promote", &json!({"targetRepo": "target"}));
    app.hold(&app.admin, "main", &id).await;
    app.engine.set(Mood::Sound);
    let answer = running.await.unwrap();
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(app.ask("SELECT state FROM versions WHERE repo_key = 'target'").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_expires_or_is_rejected_while_it_is_judged_does_not_come_back() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("late", "1.0")).await;
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    let running = begin(&app, &id, "restore", &json!({}));
    app.clock.advance_ms(31 * 86_400_000);
    app.engine.set(Mood::Sound);
    running.await.unwrap().refused(409, "conflict");
    assert_eq!(app.state("main", &id).await, "tombstoned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_publishes_of_one_draft_one_publishes_it() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let mark = app.mark();
    let calls: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn(app.call("POST", &format!("{}/publish", version_path("main", &id))).token(&app.admin).json(&json!({})).send())
        })
        .collect();
    for call in calls {
        let answer = call.await.unwrap();
        assert!(answer.status == 200 || answer.status == 409, "{} {}", answer.status, answer.text());
    }
    assert_eq!(app.events_since(&mark), ["version.published"]);
    assert_eq!(app.audit_since(&mark).iter().filter(|action| *action == "package.version.published").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_drafts_at_one_coordinate_there_is_one() {
    let app = TestApp::new().await;
    let mut tokens = Vec::new();
    for number in 0..4 {
        tokens.push(app.issue(&format!("ann-{number}"), &["repo:main:write"]).await);
    }
    let request = Package::generic("demo", "1.0").draft_request();
    let calls: Vec<_> = (0..16)
        .map(|number| {
            tokio::spawn(app.call("POST", "/v1/repos/main/packages/versions/drafts").token(&tokens[number % 4]).json(&request).send())
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for call in calls {
        let answer = call.await.unwrap();
        match answer.status {
            200 | 201 => {
                ids.insert(text(&answer.json(), "versionId"));
            }
            _ => {
                answer.refused(409, "conflict");
            }
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(app.ask("SELECT count(*) FROM versions"), ["1"]);
}
