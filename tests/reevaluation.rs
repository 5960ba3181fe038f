//! Judging again. Invariant: what is held only by a policy is released when that policy allows it, at that moment and with a trace; what
//! is visible and not allowed any more is held; what a person decided stays.

use serde_json::{Value, json};

use crate::support::{DENY_ALL, HOLD_ALL, Mood, Package, TestApp, items, rule, text};

const DAY_MS: i64 = 86_400_000;

/// Drafts and publishes; the policy must hold it. Gives the ids of the version and of its item.
async fn held(app: &TestApp, name: &str) -> (String, String) {
    let id = app.draft(&app.admin, "main", &Package::generic(name, "1.0")).await;
    let answer = app.publish(&app.admin, "main", &id).await.expect(202).json();
    (id, text(&answer, "quarantineId"))
}

async fn item(app: &TestApp, item: &str) -> Value {
    app.get(&app.admin, &format!("/v1/repos/main/quarantine/{item}")).await.expect(200).json()
}

fn evaluations_of(app: &TestApp, id: &str) -> Vec<String> {
    app.ask(&format!(
        "SELECT decision || ' ' || evaluated_by FROM evaluations WHERE version_id = '{id}' ORDER BY evaluated_at, evaluation_id"
    ))
}

async fn fetch(app: &TestApp, token: &str, name: &str) {
    let digest = crate::support::digest_of(format!("the bytes of {name} 1.0").as_bytes());
    app.get(token, &crate::support::blob_path("main", &digest)).await.expect(200);
}

#[tokio::test]
async fn a_cooldown_releases_at_its_millisecond_and_not_one_before() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("cooldown", "quarantine", "context.ageDays < 7")).await;
    let (id, hold) = held(&app, "demo").await;
    app.run_jobs().await;
    let mark = app.mark();
    app.clock.advance_ms(7 * DAY_MS - 1);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
    assert!(app.audit_since(&mark).is_empty(), "{:?}", app.audit_since(&mark));
    app.clock.advance_ms(1);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
    // The lapse has its audit rows and its events, by the policy's own name.
    assert_eq!(app.audit_since(&mark), ["policy.evaluated", "quarantine.released", "package.version.published"]);
    assert_eq!(app.events_since(&mark), ["version.released", "version.published"]);
    let released = item(&app, &hold).await;
    assert_eq!((text(&released, "status"), text(&released, "resolvedBySubject")), ("released".to_owned(), "system:policy".to_owned()));
    assert_eq!(app.ask("SELECT count(*) FROM waivers"), ["0"], "the policy waives nothing");
    assert_eq!(evaluations_of(&app, &id), ["quarantine admin", "allow system:policy"]);
}

#[tokio::test]
async fn a_fix_that_comes_late_still_releases() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let (id, _) = held(&app, "demo").await;
    app.clock.advance_ms(100 * DAY_MS);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
    app.set_policy("main", &rule("other", "deny", "context.package.name == \"other\"")).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn switching_the_policy_off_releases_only_what_the_policy_alone_held_each_with_its_own_evaluation() {
    let app = TestApp::new().await;
    let (by_hand, _) = app.held_by_hand("main", &Package::generic("by-hand", "1.0")).await;
    app.set_policy("main", HOLD_ALL).await;
    let (by_policy, _) = held(&app, "by-policy").await;
    let (rejected, rejected_item) = held(&app, "rejected").await;
    app.vote(&app.admin, "main", &rejected_item, "reject").await.expect(200);
    let hinted = app.draft(&app.admin, "main", &Package::generic("hinted", "1.0")).await;
    app.set_policy("main", "").await;
    app.step(&app.admin, "main", &hinted, "publish", json!({"decisionHint": "quarantine"})).await.expect(202);
    app.run_jobs().await;
    assert_eq!(app.state("main", &by_policy).await, "published");
    assert_eq!(evaluations_of(&app, &by_policy), ["quarantine admin", "allow system:policy"]);
    assert_eq!(app.state("main", &by_hand).await, "quarantined");
    assert_eq!(app.state("main", &rejected).await, "rejected");
    assert_eq!(app.state("main", &hinted).await, "quarantined");
}

#[tokio::test]
async fn a_policy_that_comes_later_holds_what_is_visible_and_the_hold_names_who_fetched_it() {
    let app = TestApp::new().await;
    let ann = app.issue("ann", &["repo:main:read"]).await;
    let ben = app.issue("ben", &["repo:main:read"]).await;
    let denied = app.published("main", &Package::generic("denied", "1.0")).await;
    let other = app.published("main", &Package::generic("other", "1.0")).await;
    for token in [&ann, &ann, &ben] {
        fetch(&app, token, "denied").await;
    }
    app.run_jobs().await;
    let mark = app.mark();
    let policy = rule("no", "deny", "context.package.name == \"denied\"") + &rule("seen", "quarantine", "context.package.name == \"x\"");
    app.set_policy("main", &policy).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &denied).await, "quarantined");
    assert_eq!(app.state("main", &other).await, "published");
    assert_eq!(app.audit_since(&mark), ["policy.updated", "policy.evaluated", "quarantine.created"]);
    assert_eq!(app.events_since(&mark), ["policy.changed", "version.quarantined"]);
    let told = "SELECT json_extract(payload, '$.fetchedBy.count') || ' ' || json_array_length(payload, '$.fetchedBy.latest')
         FROM outbox WHERE kind = 'version.quarantined'";
    assert_eq!(app.ask(told), ["2 2"]);
    let audited = "SELECT json_extract(details, '$.fetchedBy.count') FROM audit WHERE action = 'quarantine.created'";
    assert_eq!(app.ask(audited), ["2"]);
    let list = items(&app.get(&app.admin, &format!("/v1/repos/main/versions/{denied}/downloads")).await.expect(200).json());
    let mut subjects: Vec<(String, u64)> =
        list.iter().map(|fetcher| (text(fetcher, "subject"), fetcher["count"].as_u64().unwrap())).collect();
    subjects.sort();
    assert_eq!(subjects, [("ann".to_owned(), 2), ("ben".to_owned(), 1)]);
    let hold = app.ask("SELECT quarantine_id FROM quarantine_items")[0].clone();
    let shown = item(&app, &hold).await;
    assert_eq!((shown["fetchedBy"]["count"].as_u64(), text(&shown, "heldFrom")), (Some(2), "published".to_owned()));
    assert_eq!(text(&shown, "createdBySubject"), "system:policy");
    // A later change of mind releases it again.
    app.set_policy("main", "").await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &denied).await, "published");
}

#[tokio::test]
async fn an_instance_policy_reaches_what_was_there_before_it_in_every_repo() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    let ids =
        [app.published("main", &Package::generic("demo", "1.0")).await, app.published("prod", &Package::generic("demo", "1.0")).await];
    let put = app.call("PUT", "/v1/policy").token(&app.admin).header("content-type", "text/plain").body(DENY_ALL.to_owned()).send().await;
    put.expect(200);
    app.run_jobs().await;
    assert_eq!([app.state("main", &ids[0]).await, app.state("prod", &ids[1]).await], ["quarantined", "quarantined"]);
}

#[tokio::test]
async fn an_import_of_advisories_holds_what_is_visible_and_a_withdrawal_releases_it() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("malware", "deny", "context.advisories.malicious")).await;
    let bad = app.published("main", &Package { package_type: "npm".to_owned(), ..Package::generic("demo", "1.0.0") }).await;
    let good = app.published("main", &Package { package_type: "npm".to_owned(), ..Package::generic("other", "1.0.0") }).await;
    app.run_jobs().await;
    let import = async |more: Value| {
        let mut record =
            json!({"id": "MAL-2026-1", "affected": [{"package": {"ecosystem": "npm", "name": "demo"}, "versions": ["1.0.0"]}]});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
        app.run_jobs().await;
    };
    import(json!({"modified": "2026-05-01T00:00:00Z"})).await;
    assert_eq!([app.state("main", &bad).await, app.state("main", &good).await], ["quarantined", "published"]);
    let count = app.ask("SELECT count(*) FROM evaluations");
    // Another snapshot, the same answer.
    import(json!({"modified": "2026-05-02T00:00:00Z", "summary": "more words"})).await;
    assert_eq!(app.ask("SELECT count(*) FROM evaluations"), count);
    import(json!({"modified": "2026-05-03T00:00:00Z", "withdrawn": "2026-05-03T00:00:00Z"})).await;
    assert_eq!(app.state("main", &bad).await, "published");
}

#[tokio::test]
async fn an_import_that_speaks_of_few_packages_has_only_those_judged_again() {
    let app = TestApp::new().await;
    let import = async |id: &str, name: &str, ecosystem: &str| {
        let record = json!({"id": id, "modified": "2026-05-01T00:00:00Z",
            "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "versions": ["1.0.0"]}]});
        app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
        let payload = app.ask("SELECT payload FROM outbox WHERE kind = 'advisories.changed' ORDER BY seq DESC LIMIT 1").pop().unwrap();
        app.run_jobs().await;
        serde_json::from_str::<Value>(&payload).unwrap()["packages"].clone()
    };
    // Before the first nothing was known of any package of the ecosystem.
    assert_eq!(import("MAL-2026-1", "first", "npm").await, Value::Null);
    let named = json!([{"packageType": "npm", "namespaceKey": "acme", "nameKey": "demo"}]);
    assert_eq!(import("MAL-2026-2", "@acme/demo", "npm").await, named);
    assert_eq!(import("MAL-2026-3", "demo", "PyPI").await, Value::Null);
    // A record that speaks of another package now: the one it spoke of is judged again too.
    let moved = async |name: &str| {
        let record = json!({"id": "MAL-2026-2", "modified": "2026-05-02T00:00:00Z",
            "affected": [{"package": {"ecosystem": "npm", "name": name}, "versions": ["1.0.0"]}]});
        app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
        app.ask("SELECT payload FROM outbox WHERE kind = 'advisories.changed' ORDER BY seq DESC LIMIT 1").pop().unwrap()
    };
    let payload = moved("other").await;
    assert!(payload.contains("\"demo\"") && payload.contains("\"other\""), "{payload}");
    app.run_jobs().await;
}

#[tokio::test]
async fn judging_again_without_a_difference_records_nothing() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    held(&app, "demo").await;
    app.run_jobs().await;
    let count = || app.ask("SELECT count(*) FROM evaluations")[0].clone();
    let before = count();
    // Other words, the same answer.
    for more in [" // one", " // two"] {
        app.set_policy("main", &format!("{HOLD_ALL}{more}")).await;
        app.run_jobs().await;
    }
    assert_eq!(count(), before);
    assert_eq!(app.ask("SELECT count(*) FROM sweeps WHERE finished_at IS NULL"), ["0"]);
}

#[tokio::test]
async fn an_observing_rule_is_recorded_once_and_holds_nothing() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.set_policy("main", &DENY_ALL.replacen("@message", "@mode(\"observe\") @message", 1)).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
    assert_eq!(app.ask("SELECT json_extract(observed, '$[0].rule') FROM evaluations WHERE evaluated_by = 'system:policy'"), ["deny-all"]);
}

#[tokio::test]
async fn what_a_reviewer_released_stays_released_under_the_same_rule() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let (id, hold) = held(&app, "demo").await;
    app.vote(&app.admin, "main", &hold, "release").await.expect(200);
    app.set_policy("main", &format!("{HOLD_ALL} // again")).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
    // Also what a denial held after it had been visible.
    app.set_policy("main", DENY_ALL).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
    let hold = app.ask("SELECT quarantine_id FROM quarantine_items WHERE status = 'quarantined'")[0].clone();
    app.vote(&app.admin, "main", &hold, "release").await.expect(200);
    app.set_policy("main", &format!("{DENY_ALL} // again")).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn while_the_engine_fails_nothing_changes_and_the_release_comes_after_it() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("cooldown", "quarantine", "context.ageDays < 7")).await;
    let (id, _) = held(&app, "demo").await;
    app.run_jobs().await;
    app.clock.advance_ms(7 * DAY_MS);
    app.engine.set(Mood::Failing);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
    assert_eq!(app.ask("SELECT state || ' ' || last_error FROM jobs WHERE kind = 'reevaluate'"), ["failed policy_error"]);
    app.engine.set(Mood::Sound);
    app.clock.advance_ms(3_600_000);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn a_copy_is_as_old_as_what_it_was_copied_from() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.clock.advance_ms(10 * DAY_MS);
    app.set_policy("prod", &rule("cooldown", "quarantine", "context.firstSeenAgeDays < 7")).await;
    app.step(&app.admin, "main", &id, "promote", json!({"targetRepo": "prod"})).await.expect(200);
    app.set_policy("prod", &rule("longer", "quarantine", "context.firstSeenAgeDays < 9")).await;
    app.run_jobs().await;
    assert_eq!(app.ask("SELECT state FROM versions WHERE repo_key = 'prod'"), ["published"]);
    app.set_policy("prod", &rule("longest", "quarantine", "context.firstSeenAgeDays < 11")).await;
    app.run_jobs().await;
    assert_eq!(app.ask("SELECT state FROM versions WHERE repo_key = 'prod'"), ["quarantined"]);
    app.clock.advance_ms(DAY_MS);
    app.run_jobs().await;
    assert_eq!(app.ask("SELECT state FROM versions WHERE repo_key = 'prod'"), ["published"]);
}

#[tokio::test]
async fn whoever_only_asks_the_gate_is_not_taken_for_the_publisher_afterwards() {
    let app = TestApp::new().await;
    let alice = app.issue("alice", &["repo:main:write"]).await;
    let id = app.draft(&alice, "main", &Package::generic("demo", "1.0")).await;
    app.publish(&alice, "main", &id).await.expect(200);
    app.clock.advance_ms(1000);
    let asked = json!({"action": "publish", "versionId": id, "reason": "looking"});
    app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201);
    app.set_policy("main", &rule("admins-only", "quarantine", "!(principal in Group::\"admin\")")).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
}

#[tokio::test]
async fn a_copy_is_judged_again_with_the_rights_of_whoever_promoted_it() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let policy = rule("admins-only", "quarantine", "!(principal in Group::\"admin\")");
    app.set_policy("prod", &policy).await;
    app.step(&app.admin, "main", &id, "promote", json!({"targetRepo": "prod"})).await.expect(200);
    app.set_policy("prod", &format!("{policy} // again")).await;
    app.run_jobs().await;
    assert_eq!(app.ask("SELECT state FROM versions WHERE repo_key = 'prod'"), ["published"]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_puts_nothing_off() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let (id, _) = held(&app, "demo").await;
    app.run_jobs().await;
    app.clock.advance_ms(30 * DAY_MS);
    app.engine.set(Mood::Failing);
    app.set_policy("main", "").await;
    app.run_jobs().await;
    app.clock.advance_ms(-30 * DAY_MS);
    app.engine.set(Mood::Sound);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn what_will_release_a_version_at_its_time_cannot_be_called_off() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("cooldown", "quarantine", "context.ageDays < 7")).await;
    let (id, _) = held(&app, "demo").await;
    app.run_jobs().await;
    let job = app.ask("SELECT job_id FROM jobs WHERE kind = 'reevaluate'")[0].clone();
    app.post(&app.admin, &format!("/v1/admin/jobs/{job}/cancel"), json!({})).await.refused(409, "conflict");
    app.clock.advance_ms(7 * DAY_MS);
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_stopped_and_begins_again_when_the_policy_changes_meanwhile() {
    let app = TestApp::new().await;
    for number in 0..230 {
        app.published("main", &Package::generic(&format!("demo-{number}"), "1.0").without_files().file("a", b"the same")).await;
    }
    app.run_jobs().await;
    app.set_policy("main", HOLD_ALL).await;
    app.run_jobs().await;
    let held = || app.ask("SELECT count(*) FROM versions WHERE state = 'quarantined'")[0].clone();
    let sweep = || app.ask("SELECT generation || ' ' || judged_count || ' ' || changed_count FROM sweeps WHERE finished_at IS NULL");
    assert_eq!((held(), sweep()), ("200".to_owned(), vec!["1 200 200".to_owned()]), "the rest waits for its share of time");
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!((text(&summary["sweeps"][0], "scope"), summary["sweeps"][0]["judged"].as_u64()), ("repo:main".to_owned(), Some(200)));
    app.set_policy("main", "").await;
    app.run_jobs().await;
    assert_eq!((held(), sweep()), ("0".to_owned(), vec!["2 200 200".to_owned()]));
    app.clock.advance_ms(400);
    app.run_jobs().await;
    assert_eq!((held(), sweep()), ("0".to_owned(), Vec::new()));
    assert_eq!(app.ask("SELECT judged_count FROM sweeps"), ["230"]);
}

#[tokio::test]
async fn the_list_of_fetchers_is_bounded_and_for_reviewers() {
    let app = TestApp::with(|config| {
        config.downloads.per_version = 2;
    })
    .await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let path = format!("/v1/repos/main/versions/{id}/downloads");
    let mut tokens = Vec::new();
    for subject in ["ann", "ben", "bob"] {
        tokens.push(app.issue(subject, &["repo:main:read"]).await);
    }
    for token in &tokens {
        app.clock.advance_ms(1000);
        fetch(&app, token, "demo").await;
        // Asking for the head sends no bytes.
        app.call("HEAD", &crate::support::blob_path("main", &crate::support::digest_of(b"the bytes of demo 1.0")))
            .token(&app.admin)
            .send()
            .await;
    }
    app.flush_downloads().await;
    let page = app.get(&app.admin, &format!("{path}?limit=1")).await.expect(200).json();
    assert_eq!(text(&items(&page)[0], "subject"), "bob");
    let rest = app.get(&app.admin, &format!("{path}?cursor={}", text(&page, "nextCursor"))).await.expect(200).json();
    assert_eq!(items(&rest).iter().map(|item| text(item, "subject")).collect::<Vec<_>>(), ["ben"], "ann fetched first and is forgotten");
    app.get(&tokens[0], &path).await.refused(403, "forbidden");
    app.get(&app.admin, &format!("{path}?cursor=x")).await.refused(400, "bad_request");
}
