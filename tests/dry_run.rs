//! A policy tried on what is stored. Invariant: it writes nothing, looks at everything once, and tells what would change.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::command_line::{publish, typed};
use crate::support::{DENY_ALL, Daemon, HOLD_ALL, Mood, Package, TestApp, items, rule, text};

const DRY_RUN: &str = "/v1/repos/main/policy/dry-run";

async fn tried(app: &TestApp, path: &str, body: Value) -> Value {
    let answer = app.post(&app.admin, path, body).await.expect(200).json();
    assert_eq!(answer["complete"], true);
    answer
}

/// The names of the packages that would change, with what they would become.
fn changes(answer: &Value) -> BTreeSet<(String, String, String)> {
    items(answer).iter().map(|change| (text(change, "package"), text(&change["from"], "state"), text(change, "to"))).collect()
}

fn change(package: &str, from: &str, to: &str) -> (String, String, String) {
    (format!("pkg:generic/{package}@1.0"), from.to_owned(), to.to_owned())
}

#[tokio::test]
async fn it_tells_by_decision_and_rule_what_would_change_and_writes_nothing() {
    let app = TestApp::new().await;
    for name in ["good", "bad", "odd"] {
        app.published("main", &Package::generic(name, "1.0")).await;
    }
    app.held("main", &Package::generic("held", "1.0")).await;
    app.held_by_hand("main", &Package::generic("by-hand", "1.0")).await;
    app.draft(&app.admin, "main", &Package::generic("draft", "1.0")).await;
    app.run_jobs().await;
    let before = app.everything();
    let policy = rule("bad", "deny", "context.package.name == \"bad\"")
        + &rule("odd", "quarantine", "context.package.name like \"o*\"")
        + &rule("watch", "quarantine", "context.hosted").replace("@decision", "@mode(\"observe\") @decision");
    let answer = tried(&app, DRY_RUN, json!({"policy": policy})).await;
    let expected = [change("bad", "published", "deny"), change("odd", "published", "quarantine"), change("held", "quarantined", "allow")];
    assert_eq!(changes(&answer), BTreeSet::from(expected), "what a person holds is released by no policy");
    let summary = &answer["summary"];
    assert_eq!(summary["judged"], 5);
    assert_eq!(summary["decisions"], json!({"allow": 3, "quarantine": 1, "deny": 1}));
    assert_eq!(summary["changes"], json!({"total": 3, "visibleHeld": 1, "visibleDenied": 1, "heldReleased": 1, "heldDenied": 0}));
    let observed = json!({"rule": "watch", "policy": "repo", "part": "observed", "decision": "quarantine", "count": 5});
    assert!(summary["rules"].as_array().unwrap().contains(&observed), "{summary}");
    let bad = items(&answer).into_iter().find(|change| change["to"] == "deny").unwrap();
    assert_eq!((&bad["from"]["decision"], &bad["reasons"][0]["rule"]), (&json!("allow"), &json!("bad")));
    assert_eq!(app.everything(), before);
}

#[tokio::test]
async fn it_takes_the_place_of_one_policy_and_leaves_the_other_in_force() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    app.published("main", &Package::generic("here", "1.0")).await;
    app.published("other", &Package::generic("there", "1.0")).await;
    app.set_policy("main", HOLD_ALL).await;
    let nothing = json!({"policy": ""});
    assert!(changes(&tried(&app, DRY_RUN, nothing.clone()).await).is_empty(), "in the place of the repo's own");
    let as_instance = tried(&app, DRY_RUN, json!({"policy": "", "level": "instance"})).await;
    assert_eq!(changes(&as_instance), BTreeSet::from([change("here", "published", "quarantine")]), "the repo's own stays");
    let everywhere = tried(&app, "/v1/policy/dry-run", json!({"policy": DENY_ALL})).await;
    let expected = [change("here", "published", "deny"), change("there", "published", "deny")];
    assert_eq!(changes(&everywhere), BTreeSet::from(expected));
    app.post(&app.admin, "/v1/policy/dry-run", json!({"policy": "", "level": "repo"})).await.refused(400, "bad_request");
    app.post(&app.admin, DRY_RUN, json!({"policy": "forbid ("})).await.refused(400, "bad_policy");
    app.set_policy("main", "").await;
    app.run_jobs().await;
}

#[tokio::test]
async fn every_version_is_looked_at_once_also_beyond_a_page_and_only_recent_ones_where_that_is_asked_for() {
    const COUNT: usize = 230;
    let app = TestApp::new().await;
    for number in 0..COUNT {
        app.published("main", &Package::generic(&format!("p{number}"), "1.0")).await;
        app.clock.advance_ms(1000);
    }
    let answer = tried(&app, DRY_RUN, json!({"policy": DENY_ALL})).await;
    assert_eq!((changes(&answer).len(), items(&answer).len(), &answer["summary"]["judged"]), (COUNT, COUNT, &json!(COUNT)));
    let recent = tried(&app, DRY_RUN, json!({"policy": DENY_ALL, "since": "2026-06-01T12:03:40.000Z"})).await;
    assert_eq!(recent["summary"]["judged"], 10);
    let lines = app.call("POST", DRY_RUN).token(&app.admin).header("accept", "application/x-ndjson").json(&json!({"policy": DENY_ALL}));
    let lines = lines.send().await.expect(200);
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line.get("item").is_some()).count(), COUNT);
    assert_eq!(lines.last().unwrap()["summary"], answer["summary"]);
    assert!(lines.iter().any(|line| line["progress"]["judged"] == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_policy_is_tried_at_a_time_and_a_client_that_goes_away_ends_it() {
    let app = Arc::new(TestApp::new().await);
    app.published("main", &Package::generic("demo", "1.0")).await;
    let asked = app.engine.asked();
    app.engine.set(Mood::Stuck);
    let first = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.post(&app.admin, DRY_RUN, json!({"policy": DENY_ALL})).await })
    };
    let engine = Arc::clone(&app.engine);
    let wait = move || {
        engine.wait_until_asked(asked + 1);
        Ok(())
    };
    artifortress::hop::run(wait).await.unwrap();
    let second = app.post(&app.admin, DRY_RUN, json!({"policy": ""})).await;
    assert_eq!(second.header("retry-after"), "10");
    second.refused(429, "too_many_requests");
    app.get(&app.admin, "/files/main/demo/1.0/demo.bin").await.expect(200);
    app.engine.set(Mood::Sound);
    first.await.unwrap().expect(200);
    let request = http::Request::post(DRY_RUN).header("host", "registry.test").header("authorization", format!("Bearer {}", app.admin));
    let body = json!({"policy": DENY_ALL}).to_string();
    let request = request.header("content-length", body.len()).body(Full::new(Bytes::from(body))).unwrap();
    let unread = app.router.handle(request).await;
    assert_eq!(unread.status().as_u16(), 200);
    app.post(&app.admin, DRY_RUN, json!({"policy": ""})).await.refused(429, "too_many_requests");
    drop(unread);
    tried(&app, DRY_RUN, json!({"policy": ""})).await;
}

#[tokio::test]
async fn what_cannot_be_judged_is_counted_and_let_in_by_nobody() {
    let app = TestApp::new().await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.engine.set(Mood::Failing);
    let answer = tried(&app, DRY_RUN, json!({"policy": ""})).await;
    assert_eq!((&answer["summary"]["judged"], &answer["summary"]["failed"]), (&json!(1), &json!(1)));
}

#[test]
fn the_command_shows_what_would_change_and_ends_with_1_when_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    publish(&daemon, "good");
    publish(&daemon, "odd");
    let file = directory.path().join("new.cedar");
    let run = |policy: String, more: &str| {
        std::fs::write(&file, policy).unwrap();
        typed(directory.path(), &format!("policy dry-run {} {more}", file.display()))
    };
    let hold = || rule("odd", "quarantine", "context.package.name like \"o*\"");
    let shown = run(hold(), "--repo main");
    assert_eq!(shown.code, Some(1), "{}", shown.output);
    for line in [
        "pkg:generic/odd@1.0  main  published  held     odd",
        "2 versions: 1 allowed, 1 held, 0 denied",
        "of what is visible, 1 would be held and 0 denied; of what is held, 0 would be released",
    ] {
        assert!(shown.output.contains(line), "{line:?} in {}", shown.output);
    }
    assert_eq!(run(hold(), "--repo main --fail-on deny").code, Some(0));
    assert_eq!(run(hold(), "--instance --fail-on change").code, Some(1));
    assert_eq!(run(DENY_ALL.to_owned(), "--repo main --fail-on deny").code, Some(1));
    assert_eq!(run(String::new(), "--repo main --fail-on change").code, Some(0));
    let json = run(hold(), "--instance --json --since 2020-01-01T00:00:00Z");
    let document: Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!((items(&document).len(), &document["complete"], json.code), (1, &json!(true), Some(1)));
    run(String::new(), "").complains(2, &["--repo"]);
    run("forbid (".to_owned(), "--repo main").complains(1, &["the policy was refused", "line 1"]);
    daemon.stop();
}
