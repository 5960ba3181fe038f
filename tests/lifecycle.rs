//! Every step from every state, through the API. Invariant: what `State::after` does not list is refused and changes nothing;
//! a rejection is final by every way there is; a spent coordinate stays spent.

use serde_json::{Value, json};

use crate::support::{DENY_ALL, HOLD_ALL, Package, TestApp, digest_of, rule, text, version_path};

const STATES: &[&str] = &["draft", "quarantined", "published", "rejected", "tombstoned"];

/// A version in this state, and its item where it has one.
async fn version_in(app: &TestApp, state: &str, name: &str) -> (String, Option<String>) {
    let package = Package::generic(name, "1.0");
    match state {
        "draft" => (app.draft(&app.admin, "main", &package).await, None),
        "published" => (app.published("main", &package).await, None),
        "tombstoned" => {
            let id = app.published("main", &package).await;
            app.tombstone(&app.admin, "main", &id).await.expect(200);
            (id, None)
        }
        held => {
            let (id, item) = app.held("main", &package).await;
            if held == "rejected" {
                app.vote(&app.admin, "main", &item, "reject").await.expect(200);
            }
            (id, Some(item))
        }
    }
}

/// What a verb leads to from each state: the status of the answer and the state afterwards.
fn table() -> Vec<(&'static str, [(u16, &'static str); 5])> {
    vec![
        ("publish", [(200, "published"), (423, "quarantined"), (200, "published"), (423, "rejected"), (409, "tombstoned")]),
        ("hold", [(409, "draft"), (409, "quarantined"), (200, "quarantined"), (409, "rejected"), (409, "tombstoned")]),
        ("release", [(0, "draft"), (200, "published"), (0, "published"), (409, "rejected"), (0, "tombstoned")]),
        ("reject", [(0, "draft"), (200, "rejected"), (0, "published"), (409, "rejected"), (0, "tombstoned")]),
        ("tombstone", [(409, "draft"), (409, "quarantined"), (200, "tombstoned"), (200, "tombstoned"), (409, "tombstoned")]),
        ("restore", [(409, "draft"), (409, "quarantined"), (409, "published"), (409, "rejected"), (200, "published")]),
        ("entries", [(200, "draft"), (409, "quarantined"), (409, "published"), (409, "rejected"), (409, "tombstoned")]),
        ("manifest", [(200, "draft"), (409, "quarantined"), (409, "published"), (409, "rejected"), (409, "tombstoned")]),
        ("promote", [(404, "draft"), (423, "quarantined"), (200, "published"), (423, "rejected"), (404, "tombstoned")]),
    ]
}

async fn try_step(app: &TestApp, verb: &str, id: &str, item: Option<&str>) -> Option<u16> {
    let answer = match verb {
        "hold" => app.hold(&app.admin, "main", id).await,
        "release" | "reject" => app.vote(&app.admin, "main", item?, verb).await,
        "tombstone" => app.tombstone(&app.admin, "main", id).await,
        "promote" => app.step(&app.admin, "main", id, "promote", json!({"targetRepo": "target"})).await,
        "entries" => {
            let digest = app.upload(&app.admin, "main", b"more").await;
            let entry = json!({"entries": [{"relativePath": "more", "blobDigest": digest, "sizeBytes": 4}]});
            app.step(&app.admin, "main", id, "entries", entry).await
        }
        "manifest" => {
            app.call("PUT", &format!("{}/manifest", version_path("main", id))).token(&app.admin).json(&json!({"a": 1})).send().await
        }
        other => app.step(&app.admin, "main", id, other, json!({})).await,
    };
    if answer.status >= 400 {
        let body = answer.json();
        assert!(body["message"].as_str().is_some_and(|message| message.len() > 20), "{verb}: {body}");
    }
    // A hold by hand and an evaluation are created; what counts here is success.
    Some(if answer.status == 201 { 200 } else { answer.status })
}

#[tokio::test]
async fn every_step_from_every_state_does_what_the_table_says() {
    let mut faults = Vec::new();
    let app = TestApp::new().await;
    app.create_repo("target", json!({})).await;
    for (verb, outcomes) in table() {
        for (state, (status, after)) in STATES.iter().zip(outcomes) {
            let (id, item) = version_in(&app, state, &format!("{verb}-{state}")).await;
            let mark = app.mark();
            let Some(found) = try_step(&app, verb, &id, item.as_deref()).await else { continue };
            let now = app.state("main", &id).await;
            if (found, now.as_str()) != (status, after) {
                faults.push(format!("{verb} from {state}: {found} and {now}, not {status} and {after}"));
            }
            if found >= 400 && !app.events_since(&mark).is_empty() {
                faults.push(format!("{verb} from {state}: refused, but {:?} went out", app.events_since(&mark)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_rejection_is_final_by_every_way() {
    let app = TestApp::new().await;
    let package = Package::generic("demo", "1.0");
    let (id, item) = app.held("main", &package).await;
    app.vote(&app.admin, "main", &item, "reject").await.expect(200);
    let reopened = async |what: &str| {
        let state = app.state("main", &id).await;
        assert!(state == "rejected" || state == "tombstoned", "{what} brought it to {state}");
        let reader = app.issue("reader", &["repo:main:read"]).await;
        let read = app.get(&reader, &version_path("main", &id)).await;
        assert!(read.status == 423 || read.status == 404, "{what}: a reader gets {}", read.status);
    };
    for policy in ["", HOLD_ALL, DENY_ALL, ""] {
        app.set_policy("main", policy).await;
        reopened("a policy").await;
    }
    for action in ["publish", "promote"] {
        let request = json!({"action": action, "versionId": id, "reason": "again?"});
        app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await.expect(201);
        reopened("an evaluation").await;
    }
    for ballot in ["release", "reject"] {
        app.vote(&app.admin, "main", &item, ballot).await.refused(409, "quarantine_resolved");
        reopened("a vote").await;
    }
    let again = app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", package.draft_request()).await;
    again.refused(423, "quarantined_version");
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    let refusal = app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(409, "conflict");
    assert!(text(&refusal, "message").contains("a rejection is final"), "{refusal}");
    reopened("a tombstone").await;
    app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", package.draft_request()).await.refused(409, "conflict");
    let items = app.get(&app.admin, "/v1/repos/main/quarantine?status=rejected").await.expect(200).json();
    assert_eq!(text(&items["items"][0], "quarantineId"), item, "the history is gone");
}

#[tokio::test]
async fn a_tombstone_comes_back_within_its_retention_and_not_after() {
    let app = TestApp::new().await;
    for (name, days, wait_days, status) in
        [("soon", None, 29, 200), ("late", None, 31, 409), ("short", Some(2), 3, 409), ("long", Some(90), 60, 200)]
    {
        let id = app.published("main", &Package::generic(name, "1.0")).await;
        let mut request = json!({"reason": "no longer wanted"});
        if let Some(days) = days {
            request["retentionDays"] = json!(days);
        }
        app.step(&app.admin, "main", &id, "tombstone", request).await.expect(200);
        app.clock.advance_ms(wait_days * 86_400_000);
        app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(status);
        assert_eq!(app.state("main", &id).await, if status == 200 { "published" } else { "tombstoned" }, "{name}");
    }
}

#[tokio::test]
async fn a_release_leads_to_where_the_hold_came_from() {
    let app = TestApp::new().await;
    let draft = app.draft(&app.admin, "main", &Package::generic("draft", "1.0")).await;
    let gone = app.published("main", &Package::generic("gone", "1.0")).await;
    app.tombstone(&app.admin, "main", &gone).await.expect(200);
    let (shown, by_hand) = app.held_by_hand("main", &Package::generic("shown", "1.0")).await;
    let (asked, at_publish) = app.held("main", &Package::generic("asked", "1.0")).await;
    app.set_policy("main", HOLD_ALL).await;
    let request = json!({"action": "publish", "versionId": draft, "reason": "look at it early"});
    let early = app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await.expect(201).json();
    let back = app.step(&app.admin, "main", &gone, "restore", json!({})).await.expect(202).json();
    let cases = [
        (&draft, text(&early, "quarantineId"), "draft", vec!["version.released"]),
        (&gone, text(&back, "quarantineId"), "published", vec!["version.released", "version.restored"]),
        (&shown, by_hand, "published", vec!["version.released"]),
        (&asked, at_publish, "published", vec!["version.released", "version.published"]),
    ];
    for (id, item, state, events) in cases {
        assert_eq!(app.state("main", id).await, "quarantined");
        let mark = app.mark();
        app.vote(&app.admin, "main", &item, "release").await.expect(200);
        assert_eq!(app.state("main", id).await, state);
        assert_eq!(app.events_since(&mark), events, "to {state}");
    }
}

#[tokio::test]
async fn the_rules_that_were_waived_do_not_hold_again_and_new_ones_do() {
    let app = TestApp::new().await;
    let (id, item) = app.held("main", &Package::generic("demo", "1.0")).await;
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    app.set_policy("main", HOLD_ALL).await;
    app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(200);
    let waived = app.ask(&format!("SELECT waived FROM evaluations WHERE version_id = '{id}' AND action = 'restore'"));
    assert!(waived[0].contains("hold-all"), "the waiver is not recorded: {waived:?}");
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    app.set_policy("main", &format!("{HOLD_ALL}\n{}", rule("new", "quarantine", "context.files.count == 1"))).await;
    let held = app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(202).json();
    let item = app.get(&app.admin, &format!("/v1/repos/main/quarantine/{}", text(&held, "quarantineId"))).await.expect(200).json();
    let rules: Vec<&Value> = item["reasons"].as_array().unwrap().iter().map(|reason| &reason["rule"]).collect();
    assert_eq!(rules, ["new"]);
    app.vote(&app.admin, "main", &text(&held, "quarantineId"), "reject").await.expect(200);
}

#[tokio::test]
async fn a_waiver_covers_no_denial_and_no_other_version() {
    let app = TestApp::new().await;
    let (id, item) = app.held("main", &Package::generic("demo", "1.0")).await;
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    let same_bytes = Package::generic("demo", "1.1").without_files().file("demo.bin", b"the bytes of demo 1.0");
    let other = app.draft(&app.admin, "main", &same_bytes).await;
    app.set_policy("main", HOLD_ALL).await;
    app.publish(&app.admin, "main", &other).await.expect(202);
    app.set_policy("main", &HOLD_ALL.replace("quarantine", "deny")).await;
    app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(403, "policy_denied");
}

#[tokio::test]
async fn a_draft_that_was_held_early_and_released_is_judged_again_when_its_files_change() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", HOLD_ALL).await;
    let request = json!({"action": "publish", "versionId": id, "reason": "look at it early"});
    let early = app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await.expect(201).json();
    app.vote(&app.admin, "main", &text(&early, "quarantineId"), "release").await.expect(200);
    assert_eq!(app.state("main", &id).await, "draft");
    let bytes = b"other bytes";
    app.upload(&app.admin, "main", bytes).await;
    let entry = json!({"entries": [{"relativePath": "demo.bin", "blobDigest": digest_of(bytes), "sizeBytes": bytes.len()}]});
    app.step(&app.admin, "main", &id, "entries", entry).await.expect(200);
    app.publish(&app.admin, "main", &id).await.expect(202);
}

#[tokio::test]
async fn a_coordinate_is_spent_once_it_was_sealed_in_every_spelling() {
    let app = TestApp::new().await;
    let published = app.published("main", &Package::generic("Demo", "1.0")).await;
    let path = "/v1/repos/main/packages/versions/drafts";
    for name in ["Demo", "demo", "DEMO"] {
        app.post(&app.admin, path, json!({"packageType": "generic", "packageName": name, "version": "1.0"})).await.refused(409, "conflict");
    }
    app.tombstone(&app.admin, "main", &published).await.expect(200);
    app.post(&app.admin, path, json!({"packageType": "generic", "packageName": "demo", "version": "1.0"})).await.refused(409, "conflict");
    let mine = json!({"packageType": "pypi", "packageName": "Foo_Bar", "version": "1.0"});
    let first = app.post(&app.admin, path, mine).await.expect(201).json();
    let again =
        app.post(&app.admin, path, json!({"packageType": "pypi", "packageName": "foo-bar", "version": "1.0.0"})).await.expect(200).json();
    assert_eq!((&again["versionId"], &again["reusedDraft"]), (&first["versionId"], &json!(true)));
    let other = app.issue("ann", &["repo:main:write"]).await;
    app.post(&other, path, json!({"packageType": "pypi", "packageName": "foo.bar", "version": "1"})).await.refused(409, "conflict");
}

#[tokio::test]
async fn what_is_protected_is_not_taken_back_until_an_administrator_lifts_it() {
    let app = TestApp::new().await;
    let writer = app.issue("ann", &["repo:main:write", "repo:main:promote"]).await;
    for mode in ["protected", "legal_hold"] {
        let id = app.published("main", &Package::generic(mode, "1.0")).await;
        let path = format!("{}/protection", version_path("main", &id));
        let request = json!({"mode": mode, "reason": "case 7"});
        app.call("PUT", &path).token(&writer).json(&request).send().await.refused(403, "forbidden");
        app.call("PUT", &path).token(&app.admin).json(&request).send().await.expect(200);
        for token in [&writer, &app.admin] {
            app.tombstone(token, "main", &id).await.refused(423, "artifact_protected");
        }
        app.call("DELETE", "/v1/repos/main?force=true").token(&app.admin).send().await.refused(423, "artifact_protected");
        app.call("DELETE", &path).token(&writer).send().await.refused(403, "forbidden");
        let lifted = app.call("DELETE", &path).token(&app.admin).send().await;
        assert!(lifted.status == 200 || lifted.status == 204, "{}", lifted.text());
        app.tombstone(&writer, "main", &id).await.expect(200);
    }
}

#[tokio::test]
async fn a_draft_without_files_is_not_published() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0").without_files()).await;
    app.publish(&app.admin, "main", &id).await.refused(409, "conflict");
    assert_eq!(app.ask("SELECT count(*) FROM evaluations"), ["0"]);
}
