//! Holds and their review. Invariant: an item is resolved once, by somebody who may, in one transaction with its version; what
//! happens in one repo does not touch another.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Package, TestApp, items, text, version_path};

/// Paths below `/v1/repos/main/quarantine` with the verb for each.
fn surface(item: &str) -> Vec<(&'static str, String, Value)> {
    let path = |rest: &str| format!("/v1/repos/main/quarantine{rest}");
    vec![
        ("GET", path(""), Value::Null),
        ("GET", path(&format!("/{item}")), Value::Null),
        ("GET", path(&format!("/{item}/files/demo.bin")), Value::Null),
        ("POST", path(&format!("/{item}/release")), json!({})),
        ("POST", path(&format!("/{item}/reject")), json!({})),
    ]
}

#[tokio::test]
async fn each_part_of_the_review_is_401_403_or_200_by_role() {
    let app = TestApp::new().await;
    let (id, item) = app.held("main", &Package::generic("demo", "1.0")).await;
    let stranger = app.issue("eve", &["repo:other:admin"]).await;
    let call = async |method: &str, path: &str, token: &str, body: &Value| {
        let call = app.call(method, path).token(token);
        if body.is_null() { call.send().await } else { call.json(body).send().await }
    };
    for (method, path, body) in surface(&item) {
        call(method, &path, "", &body).await.refused(401, "unauthorized");
        call(method, &path, &stranger, &body).await.refused(404, "not_found");
        for role in ["read", "write"] {
            let token = app.issue("ann", &[&format!("repo:main:{role}")]).await;
            call(method, &path, &token, &body).await.refused(403, "forbidden");
        }
    }
    assert_eq!(app.state("main", &id).await, "quarantined");
    let reviewer = app.issue("bob", &["repo:main:promote"]).await;
    for (method, path, body) in surface(&item).into_iter().take(4) {
        call(method, &path, &reviewer, &body).await.expect(200);
    }
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn the_list_filters_by_status_and_refuses_others() {
    let app = TestApp::new().await;
    let mut ids = BTreeMap::new();
    for status in ["quarantined", "released", "rejected"] {
        app.clock.advance_ms(1000);
        let (_, item) = app.held("main", &Package::generic(status, "1.0")).await;
        if status != "quarantined" {
            app.vote(&app.admin, "main", &item, if status == "released" { "release" } else { "reject" }).await.expect(200);
        }
        ids.insert(status, item);
    }
    for base in ["/v1/repos/main/quarantine", "/v1/quarantine"] {
        for (status, item) in &ids {
            let list = items(&app.get(&app.admin, &format!("{base}?status={status}")).await.expect(200).json());
            assert_eq!(list.len(), 1, "{base} {status}");
            assert_eq!((text(&list[0], "quarantineId"), text(&list[0], "status")), (item.clone(), (*status).to_owned()));
        }
        let all = items(&app.get(&app.admin, base).await.expect(200).json());
        let order: Vec<_> = all.iter().map(|item| text(item, "status")).collect();
        assert_eq!(order, ["rejected", "released", "quarantined"], "{base}: newest first");
        app.get(&app.admin, &format!("{base}?status=maybe")).await.refused(400, "bad_request");
    }
}

#[tokio::test]
async fn an_item_tells_everything_that_its_review_needs() {
    let app = TestApp::new().await;
    let (id, item) = app.held("main", &Package::generic("demo", "1.0").manifest(&json!({"license": "MIT"}))).await;
    let path = format!("/v1/repos/main/quarantine/{item}");
    let found = app.get(&app.admin, &path).await.expect(200).json();
    assert_eq!((text(&found, "versionId"), text(&found, "status")), (id, "quarantined".to_owned()));
    assert_eq!(found["reasons"][0]["rule"], "hold-all");
    let whole = found.to_string();
    for part in ["demo", "1.0", "demo.bin", "evaluationId", "createdAt"] {
        assert!(whole.contains(part), "{part} is not in {whole}");
    }
    let bytes = app.get(&app.admin, &format!("{path}/files/demo.bin")).await.expect(200);
    assert_eq!(bytes.bytes, "the bytes of demo 1.0");
    assert!(bytes.header("content-disposition").starts_with("attachment"), "{:?}", bytes.headers);
    let newest = app.ask("SELECT action FROM audit ORDER BY seq DESC LIMIT 1");
    assert_eq!(newest, ["quarantine.inspected"]);
    app.get(&app.admin, &format!("{path}/files/other.bin")).await.refused(404, "not_found");
    app.get(&app.admin, "/v1/repos/main/quarantine/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55").await.refused(404, "not_found");
    app.get(&app.admin, "/v1/repos/main/quarantine/7").await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_second_resolution_is_told_by_whom_and_when_the_first_was_made() {
    let app = TestApp::new().await;
    let reviewer = app.issue("bob", &["repo:main:promote"]).await;
    for (first, status) in [("release", "released"), ("reject", "rejected")] {
        let (id, item) = app.held("main", &Package::generic(first, "1.0")).await;
        let mark = app.mark();
        let answer = app.vote(&reviewer, "main", &item, first).await.expect(200).json();
        assert_eq!(text(&answer, "status"), status);
        let actions = if first == "release" {
            vec!["quarantine.voted", "quarantine.released", "package.version.published"]
        } else {
            vec!["quarantine.voted", "quarantine.rejected"]
        };
        assert_eq!(app.audit_since(&mark), actions);
        let before = app.everything();
        for second in ["release", "reject"] {
            for token in [&reviewer, &app.admin] {
                let refusal = app.vote(token, "main", &item, second).await.refused(409, "quarantine_resolved");
                assert_eq!((text(&refusal, "status"), text(&refusal, "resolvedBySubject")), (status.to_owned(), "bob".to_owned()));
                assert_eq!(text(&refusal, "resolvedAt"), crate::support::START);
            }
        }
        assert_eq!(app.everything(), before);
        assert_eq!(app.state("main", &id).await, if first == "release" { "published" } else { "rejected" });
    }
}

#[tokio::test]
async fn dual_control_takes_two_reviewers_and_neither_is_the_uploader() {
    let app = TestApp::new().await;
    app.create_repo("strict", json!({"requireDualControl": true})).await;
    let uploader = app.issue("ann", &["repo:strict:write", "repo:strict:promote"]).await;
    let (bob, eve) = (app.issue("bob", &["repo:strict:promote"]).await, app.issue("eve", &["repo:strict:promote"]).await);
    let id = app.draft(&uploader, "strict", &Package::generic("demo", "1.0")).await;
    app.set_policy("strict", crate::support::HOLD_ALL).await;
    let item = text(&app.publish(&uploader, "strict", &id).await.expect(202).json(), "quarantineId");
    app.vote(&uploader, "strict", &item, "release").await.refused(403, "forbidden");
    app.vote(&bob, "strict", &item, "release").await.expect(200);
    assert_eq!(app.state("strict", &id).await, "quarantined", "one vote released it");
    app.vote(&bob, "strict", &item, "release").await.refused(409, "conflict");
    app.vote(&uploader, "strict", &item, "release").await.refused(403, "forbidden");
    app.vote(&eve, "strict", &item, "release").await.expect(200);
    assert_eq!(app.state("strict", &id).await, "published");
    let votes = app.get(&app.admin, &format!("/v1/repos/strict/quarantine/{item}")).await.expect(200).json();
    assert_eq!(votes["votes"].as_array().map(Vec::len), Some(2), "{votes}");
}

#[tokio::test]
async fn one_vote_rejects_under_dual_control_too() {
    let app = TestApp::new().await;
    app.create_repo("strict", json!({"requireDualControl": true})).await;
    let (id, item) = app.held("strict", &Package::generic("demo", "1.0")).await;
    let bob = app.issue("bob", &["repo:strict:promote"]).await;
    app.vote(&bob, "strict", &item, "reject").await.expect(200);
    assert_eq!(app.state("strict", &id).await, "rejected");
}

#[tokio::test]
async fn two_repos_with_the_same_content_do_not_touch_each_other() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let package = Package::generic("demo", "1.0");
    let (_, item) = app.held("main", &package).await;
    let free = app.published("other", &package).await;
    let reader = app.issue("ann", &["repo:main:read", "repo:other:read"]).await;
    let digest = crate::support::digest_of(b"the bytes of demo 1.0");
    app.get(&reader, &crate::support::blob_path("main", &digest)).await.refused(423, "quarantined_blob");
    assert_eq!(app.get(&reader, &crate::support::blob_path("other", &digest)).await.expect(200).bytes, "the bytes of demo 1.0");
    app.vote(&app.admin, "other", &item, "release").await.refused(404, "not_found");
    app.vote(&app.admin, "main", &item, "reject").await.expect(200);
    app.get(&reader, &crate::support::blob_path("other", &digest)).await.expect(200);
    assert_eq!(app.state("other", &free).await, "published");
}

#[tokio::test]
async fn the_list_over_all_repos_holds_only_those_that_the_caller_may_review() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let (_, mine) = app.held("main", &Package::generic("demo", "1.0")).await;
    app.held("other", &Package::generic("demo", "1.0")).await;
    let reviewer = app.issue("bob", &["repo:main:promote", "repo:other:write"]).await;
    let list = items(&app.get(&reviewer, "/v1/quarantine").await.expect(200).json());
    assert_eq!(list.iter().map(|item| text(item, "quarantineId")).collect::<Vec<_>>(), [mine]);
    app.get("", "/v1/quarantine").await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_mixed_concurrent_votes_each_item_is_resolved_once_and_the_filters_stay_exact() {
    let app = TestApp::new().await;
    let mut held = Vec::new();
    for number in 0..12 {
        held.push(app.held("main", &Package::generic(&format!("demo-{number}"), "1.0")).await);
    }
    let mut votes = Vec::new();
    for (_, item) in &held {
        for ballot in ["release", "reject", "release", "reject"] {
            let call = app.call("POST", &format!("/v1/repos/main/quarantine/{item}/{ballot}")).token(&app.admin).json(&json!({}));
            votes.push((item.clone(), tokio::spawn(call.send())));
        }
    }
    let mut won: BTreeMap<String, usize> = BTreeMap::new();
    for (item, vote) in votes {
        match vote.await.unwrap() {
            answer if answer.status == 200 => *won.entry(item).or_default() += 1,
            answer => {
                answer.refused(409, "quarantine_resolved");
            }
        }
    }
    assert_eq!(won.len(), held.len());
    assert!(won.values().all(|count| *count == 1), "{won:?}");
    let mut counted = 0;
    for (status, state) in [("quarantined", "quarantined"), ("released", "published"), ("rejected", "rejected")] {
        let list = items(&app.get(&app.admin, &format!("/v1/repos/main/quarantine?status={status}&limit=200")).await.expect(200).json());
        counted += list.len();
        for item in list {
            assert_eq!(text(&item, "status"), status);
            assert_eq!(app.state("main", &text(&item, "versionId")).await, state);
        }
    }
    assert_eq!(counted, held.len());
}

#[tokio::test]
async fn a_version_held_by_hand_keeps_the_words_and_the_person() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let reviewer = app.issue("bob", &["repo:main:promote"]).await;
    let path = format!("/v1/repos/main/versions/{id}/quarantine");
    app.post(&reviewer, &path, json!({"reason": ""})).await.refused(400, "bad_request");
    app.post(&reviewer, &path, json!({})).await.refused(400, "bad_request");
    let held = app.post(&reviewer, &path, json!({"reason": "it phones home"})).await;
    assert!(held.status == 200 || held.status == 201, "{}", held.text());
    let item = app.get(&app.admin, &format!("/v1/repos/main/quarantine/{}", text(&held.json(), "quarantineId"))).await.expect(200).json();
    assert_eq!(item["reasons"][0]["message"], "it phones home");
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let refusal = app.get(&reader, &version_path("main", &id)).await.refused(423, "quarantined_version");
    assert_eq!(refusal["status"], "quarantined");
}
