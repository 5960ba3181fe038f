//! The gate at every way in. Invariant: each decision has exactly its effects, and a gate that cannot decide has none but
//! its audit row.

use std::time::Instant;

use serde_json::json;

use crate::support::{DENY_ALL, HOLD_ALL, Mood, Package, TestApp, digest_of, items, rule, text, version_path};

const BUDGET_MS: u64 = 250;

async fn app_with_budget() -> TestApp {
    TestApp::with(|config| config.policy.evaluation_timeout_ms = BUDGET_MS).await
}

#[tokio::test]
async fn a_publish_without_any_policy_is_allowed_by_default() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let mark = app.mark();
    let answer = app.publish(&app.admin, "main", &id).await.expect(200).json();
    assert_eq!(answer["state"], "published");
    assert_eq!(app.audit_since(&mark), ["policy.evaluated", "package.version.published"]);
    assert_eq!(app.events_since(&mark), ["version.published"]);
    let evaluations = items(&app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={id}")).await.expect(200).json());
    assert_eq!((&evaluations[0]["decision"], &evaluations[0]["decisionSource"]), (&json!("allow"), &json!("default_allow")));
    let again = app.publish(&app.admin, "main", &id).await.expect(200).json();
    assert_eq!(again["idempotent"], true);
}

#[tokio::test]
async fn a_denied_publish_leaves_a_draft_an_evaluation_and_no_event() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", DENY_ALL).await;
    let mark = app.mark();
    let refusal = app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
    assert_eq!(refusal["reasons"], json!([{"rule": "deny-all", "decision": "deny", "message": "nothing comes in", "policy": "repo"}]));
    assert_eq!(app.state("main", &id).await, "draft");
    assert_eq!(app.audit_since(&mark), ["policy.evaluated", "policy.denied"]);
    assert!(app.events_since(&mark).is_empty());
    let evaluation = text(&refusal, "evaluationId");
    let kept = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations/{evaluation}")).await.expect(200).json();
    assert_eq!((&kept["decision"], &kept["decisionSource"]), (&json!("deny"), &json!("policy")));
}

#[tokio::test]
async fn a_quarantined_publish_is_accepted_and_held() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", HOLD_ALL).await;
    let mark = app.mark();
    let answer = app.publish(&app.admin, "main", &id).await.expect(202).json();
    assert_eq!(answer["state"], "quarantined");
    let item = text(&answer, "quarantineId");
    assert_eq!(app.state("main", &id).await, "quarantined");
    assert_eq!(app.audit_since(&mark), ["policy.evaluated", "quarantine.created"]);
    assert_eq!(app.events_since(&mark), ["version.quarantined"]);
    let details = app.ask("SELECT details FROM audit WHERE action = 'policy.evaluated' ORDER BY seq DESC LIMIT 1");
    let details: serde_json::Value = serde_json::from_str(&details[0]).unwrap();
    assert_eq!(details["quarantineId"], item.as_str());
    for (member, value) in [("action", "publish"), ("decision", "quarantine"), ("decisionSource", "policy"), ("repoKey", "main")] {
        assert_eq!(details[member], value, "{member} of {details}");
    }
}

/// Makes every way in ready to be tried: a draft to publish, a published version to promote, a tombstone to restore.
async fn three_ways(app: &TestApp) -> Vec<(&'static str, String, serde_json::Value)> {
    app.create_repo("target", json!({})).await;
    let draft = app.draft(&app.admin, "main", &Package::generic("draft", "1.0")).await;
    let source = app.published("main", &Package::generic("source", "1.0")).await;
    let gone = app.published("main", &Package::generic("gone", "1.0")).await;
    app.tombstone(&app.admin, "main", &gone).await.expect(200);
    vec![("publish", draft, json!({})), ("promote", source, json!({"targetRepo": "target"})), ("restore", gone, json!({}))]
}

#[tokio::test]
async fn a_gate_that_hangs_answers_503_within_its_budget_and_writes_its_audit_row_alone() {
    let app = app_with_budget().await;
    let ways = three_ways(&app).await;
    app.engine.set(Mood::Stuck);
    for (verb, id, request) in ways {
        let (mark, before) = (app.mark(), app.ask("SELECT version_id || state FROM versions ORDER BY 1"));
        let evaluations = app.ask("SELECT count(*) FROM evaluations");
        let refusal = app.step(&app.admin, "main", &id, verb, request).await.refused(503, "policy_timeout");
        assert_eq!((&refusal["action"], &refusal["failClosed"], &refusal["timeoutMs"]), (&json!(verb), &json!(true), &json!(BUDGET_MS)));
        assert_eq!(app.audit_since(&mark), ["policy.timeout"], "{verb}");
        assert!(app.events_since(&mark).is_empty(), "{verb}");
        assert_eq!(app.ask("SELECT version_id || state FROM versions ORDER BY 1"), before, "{verb}");
        assert_eq!(app.ask("SELECT count(*) FROM evaluations"), evaluations, "{verb}");
    }
}

#[tokio::test]
async fn a_gate_that_fails_answers_503_and_tells_no_cause() {
    let app = TestApp::new().await;
    let ways = three_ways(&app).await;
    app.engine.set(Mood::Failing);
    for (verb, id, request) in ways {
        let (mark, before) = (app.mark(), app.ask("SELECT version_id || state FROM versions ORDER BY 1"));
        let refusal = app.step(&app.admin, "main", &id, verb, request).await.refused(503, "policy_error");
        assert_eq!((&refusal["action"], &refusal["failClosed"]), (&json!(verb), &json!(true)));
        assert!(!refusal.to_string().contains("secret of the evaluator"), "{refusal}");
        assert_eq!(app.audit_since(&mark), ["policy.error"], "{verb}");
        assert!(app.events_since(&mark).is_empty(), "{verb}");
        assert_eq!(app.ask("SELECT version_id || state FROM versions ORDER BY 1"), before, "{verb}");
    }
}

#[tokio::test]
async fn promote_and_restore_pass_the_same_gate_as_publish() {
    for (policy, status, state) in [(DENY_ALL, 403, None), (HOLD_ALL, 202, Some("quarantined")), ("", 200, Some("published"))] {
        let app = TestApp::new().await;
        let ways = three_ways(&app).await;
        app.set_policy("main", policy).await;
        app.set_policy("target", policy).await;
        for (verb, id, request) in ways {
            let answer = app.step(&app.admin, "main", &id, verb, request).await.expect(status).json();
            match state {
                None => assert_eq!(answer["error"], "policy_denied", "{verb}: {answer}"),
                Some(state) => assert_eq!(answer["state"], state, "{verb}: {answer}"),
            }
        }
        let promoted = app.ask("SELECT state FROM versions WHERE repo_key = 'target'");
        assert_eq!(promoted, state.map(str::to_owned).into_iter().collect::<Vec<_>>());
        assert_eq!(app.ask("SELECT DISTINCT action FROM evaluations WHERE evaluated_at > 0 ORDER BY 1"), ["promote", "publish", "restore"]);
    }
}

#[tokio::test]
async fn the_source_repos_policy_does_not_judge_a_promotion() {
    let app = TestApp::new().await;
    app.create_repo("target", json!({})).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", DENY_ALL).await;
    app.step(&app.admin, "main", &id, "promote", json!({"targetRepo": "target"})).await.expect(200);
    app.step(&app.admin, "main", &id, "promote", json!({"targetRepo": "target"})).await.expect(200);
    assert_eq!(app.ask("SELECT count(*) FROM versions WHERE repo_key = 'target'"), ["1"], "a repeated promotion made a second copy");
    assert_eq!(app.ask("SELECT count(DISTINCT digest) FROM entries"), ["1"], "bytes were copied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_holds_while_64_requests_wait_and_others_are_served() {
    let app = app_with_budget().await;
    app.create_repo("other", json!({})).await;
    let mut drafts = Vec::new();
    for number in 0..64 {
        drafts.push(app.draft(&app.admin, "main", &Package::generic(&format!("demo-{number}"), "1.0")).await);
    }
    let visible = app.published("other", &Package::generic("calm", "1.0")).await;
    let already = app.engine.asked();
    app.engine.set(Mood::Stuck);
    #[allow(clippy::disallowed_methods, reason = "what is measured is real time")]
    let began = Instant::now();
    let waiting: Vec<_> = drafts
        .iter()
        .map(|id| {
            let call = app.call("POST", &format!("{}/publish", version_path("main", id))).token(&app.admin).json(&json!({}));
            tokio::spawn(async move { (call.send().await, began.elapsed()) })
        })
        .collect();
    tokio::task::block_in_place(|| app.engine.wait_until_asked(already + 1));
    let mut slowest_read = std::time::Duration::ZERO;
    for _ in 0..20 {
        let read_began = began.elapsed();
        app.get(&app.admin, &version_path("other", &visible)).await.expect(200);
        slowest_read = slowest_read.max(began.elapsed() - read_began);
    }
    let mut slowest = std::time::Duration::ZERO;
    for answer in waiting {
        let (response, elapsed) = answer.await.unwrap();
        response.refused(503, "policy_timeout");
        slowest = slowest.max(elapsed);
    }
    println!(
        "64 waiting publishes, budget {BUDGET_MS} ms: the last was answered after {slowest:?}; the slowest read meanwhile took {slowest_read:?}"
    );
    assert!(slowest.as_millis() < u128::from(BUDGET_MS) + 1500, "{slowest:?}");
    assert!(slowest_read.as_millis() < 1000, "{slowest_read:?}");
    app.engine.set(Mood::Sound);
    app.publish(&app.admin, "main", &drafts[0]).await.expect(200);
}

#[tokio::test]
async fn a_hint_tightens_and_never_loosens() {
    let cases = [
        ("", "allow", 200, "default_allow"),
        ("", "quarantine", 202, "hint_quarantine"),
        ("", "deny", 403, "hint_deny"),
        (HOLD_ALL, "allow", 202, "policy"),
        (HOLD_ALL, "deny", 403, "hint_deny"),
        (DENY_ALL, "allow", 403, "policy"),
        (DENY_ALL, "quarantine", 403, "policy"),
    ];
    let app = TestApp::new().await;
    for (number, (policy, hint, status, source)) in cases.into_iter().enumerate() {
        app.set_policy("main", "").await;
        let id = app.draft(&app.admin, "main", &Package::generic(&format!("demo-{number}"), "1.0")).await;
        app.set_policy("main", policy).await;
        app.step(&app.admin, "main", &id, "publish", json!({"decisionHint": hint})).await.expect(status);
        let list = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={id}")).await.expect(200).json();
        assert_eq!(items(&list)[0]["decisionSource"], source, "{policy} with hint {hint}");
    }
}

#[tokio::test]
async fn every_rule_that_fired_is_in_the_reasons_strictest_first() {
    let app = TestApp::new().await;
    let policy = [
        rule("held", "quarantine", "context.files.count > 0"),
        rule("denied", "deny", "context.package.name like \"demo*\""),
        rule("silent", "deny", "context.package.name == \"other\""),
    ];
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", &policy.concat()).await;
    let refusal = app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
    let rules: Vec<_> = refusal["reasons"].as_array().unwrap().iter().map(|reason| reason["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["denied", "held"]);
}

#[tokio::test]
async fn evaluations_are_listed_by_version_action_and_decision_and_verify() {
    let app = TestApp::new().await;
    let path = "/v1/repos/main/policy/evaluations";
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let other = app.published("main", &Package::generic("other", "1.0")).await;
    app.clock.advance_ms(1000);
    app.set_policy("main", HOLD_ALL).await;
    let request = json!({"action": "promote", "versionId": id, "reason": "before the release"});
    let evaluated = app.post(&app.admin, path, request).await.expect(201).json();
    assert_eq!((&evaluated["decision"], &evaluated["quarantined"]), (&json!("quarantine"), &json!(true)));
    for member in [
        "evaluationId",
        "policyEngineVersion",
        "policyDigest",
        "inputDigest",
        "contentDigest",
        "evaluatedAt",
        "evaluatedBySubject",
        "quarantineId",
    ] {
        assert!(evaluated[member].is_string(), "{member} of {evaluated}");
    }
    assert_eq!(app.state("main", &id).await, "quarantined");
    for (query, count) in [
        ("".to_owned(), 3),
        (format!("?versionId={id}"), 2),
        (format!("?versionId={id}&action=promote"), 1),
        (format!("?versionId={other}&action=promote"), 0),
        ("?action=publish".to_owned(), 2),
        ("?decision=quarantine".to_owned(), 1),
        (format!("?versionId={other}&decision=allow"), 1),
    ] {
        let list = items(&app.get(&app.admin, &format!("{path}{query}")).await.expect(200).json());
        assert_eq!(list.len(), count, "{query}");
        let times: Vec<_> = list.iter().map(|item| text(item, "evaluatedAt")).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{query}: {times:?}");
    }
    for (query, code) in [("?action=destroy", 400), ("?decision=perhaps", 400), ("?versionId=7", 400), ("?colour=red", 400)] {
        app.get(&app.admin, &format!("{path}{query}")).await.expect(code);
    }
    app.set_policy("main", "").await;
    for evaluation in items(&app.get(&app.admin, path).await.expect(200).json()) {
        let id = text(&evaluation, "evaluationId");
        let stored = app.get(&app.admin, &format!("{path}/{id}")).await.expect(200).json();
        assert!(stored.get("input").is_some(), "the stored input is missing: {stored}");
        let verified = app.post(&app.admin, &format!("{path}/{id}/verify"), json!({})).await.expect(200).json();
        assert_eq!(verified["matches"], true, "{verified}");
    }
}

#[tokio::test]
async fn pages_of_evaluations_give_each_once_although_the_clock_stands_still() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    for number in 0..6 {
        let action = if number % 2 == 0 { "publish" } else { "promote" };
        let request = json!({"action": action, "versionId": id, "reason": format!("look {number}")});
        app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await.expect(201);
    }
    for filter in [String::new(), format!("&versionId={id}")] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?limit=2{filter}{cursor}")).await.expect(200).json();
            seen.extend(items(&page).iter().map(|item| text(item, "evaluationId")));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (7, 7), "{filter}");
    }
}

#[tokio::test]
async fn a_faulty_policy_is_refused_with_line_and_column_and_changes_nothing() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let before = app.everything();
    for policy in
        ["forbid (principal, action, resource) when { context.nonsense == 1 };", "forbid (", "permit (principal, action, resource);"]
    {
        let call = app.call("PUT", "/v1/repos/main/policy").token(&app.admin).header("content-type", "text/plain").body(policy);
        let refusal = call.send().await.refused(400, "bad_policy");
        let fault = &refusal["faults"][0];
        assert!(fault["line"].is_number() && fault["column"].is_number() && fault["message"].is_string(), "{refusal}");
    }
    assert_eq!(app.everything(), before);
}

#[tokio::test]
async fn an_evaluation_needs_the_role_promote() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let request = json!({"action": "publish", "versionId": id, "reason": "why not"});
    let path = "/v1/repos/main/policy/evaluations";
    app.post("", path, request.clone()).await.refused(401, "unauthorized");
    for role in ["read", "write"] {
        let token = app.issue("ann", &[&format!("repo:main:{role}")]).await;
        app.post(&token, path, request.clone()).await.refused(403, "forbidden");
    }
    let token = app.issue("ann", &["repo:main:promote"]).await;
    app.post(&token, path, request).await.expect(201);
}

#[tokio::test]
async fn a_verdict_does_not_outlive_the_content_it_was_made_for() {
    let app = TestApp::new().await;
    let clean = Package::generic("demo", "1.0");
    let id = app.draft(&app.admin, "main", &clean).await;
    app.set_policy("main", &rule("no-scripts", "deny", "context.files.extensions.contains(\"sh\")")).await;
    let request = json!({"action": "publish", "versionId": id, "reason": "is it clean?"});
    let evaluated = app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await.expect(201).json();
    assert_eq!(evaluated["decision"], "allow");
    let bytes = b"#!/bin/sh\n";
    app.upload(&app.admin, "main", bytes).await;
    let entry = json!({"entries": [{"relativePath": "setup.sh", "blobDigest": digest_of(bytes), "sizeBytes": bytes.len()}]});
    app.post(&app.admin, &format!("{}/entries", version_path("main", &id)), entry).await.expect(200);
    app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
    assert_eq!(app.state("main", &id).await, "draft");
}

#[tokio::test]
async fn a_policy_that_hangs_in_one_repo_holds_up_no_publish_in_another() {
    let app = app_with_budget().await;
    app.create_repo("slow", json!({})).await;
    let mut stuck = Vec::new();
    for number in 0..64 {
        stuck.push(app.draft(&app.admin, "slow", &Package::generic(&format!("stuck-{number}"), "1.0")).await);
    }
    app.engine.set(Mood::StuckFor("slow"));
    let hanging = futures_util::future::join_all(stuck.iter().map(|id| app.publish(&app.admin, "slow", id)));
    let others = async {
        for number in 0..8 {
            let id = app.draft(&app.admin, "main", &Package::generic(&format!("quick-{number}"), "1.0")).await;
            app.publish(&app.admin, "main", &id).await.expect(200);
        }
    };
    let (refused, ()) = tokio::join!(hanging, others);
    for answer in refused {
        answer.refused(503, "policy_timeout");
    }
    app.engine.set(Mood::Sound);
}
