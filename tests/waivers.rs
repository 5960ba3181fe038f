//! Waivers. Invariant: one covers what it names and nothing else, from its approval to its end or its revocation; other bytes under the same
//! version, another rule of the same name, and the same rule once it denies are not covered.

use serde_json::{Value, json};

use crate::support::{Package, Response, TestApp, items, rule, text, version_path};

pub const PATH: &str = "/v1/repos/main/waivers";
pub const DAY_SECONDS: u64 = 86_400;

pub fn of_version(id: &str, rule: &str) -> Value {
    json!({"versionId": id, "rule": rule, "policy": "repo", "reason": "looked at it", "ttlSeconds": DAY_SECONDS})
}

pub fn of_package(name: &str, rule: &str) -> Value {
    json!({"scope": "package", "packageType": "generic", "packageName": name, "rule": rule, "policy": "repo", "reason": "ours",
        "ttlSeconds": DAY_SECONDS})
}

pub async fn waive(app: &TestApp, token: &str, asked: Value) -> String {
    text(&app.post(token, PATH, asked).await.expect(201).json(), "waiverId")
}

pub async fn states(app: &TestApp, query: &str) -> Vec<String> {
    let found = items(&app.get(&app.admin, &format!("{PATH}{query}")).await.expect(200).json());
    found.iter().map(|waiver| text(waiver, "waiverId")).collect()
}

async fn evaluate(app: &TestApp, id: &str) -> Value {
    let asked = json!({"action": "publish", "versionId": id, "reason": "looking"});
    app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201).json()
}

async fn draft(app: &TestApp, name: &str, version: &str) -> String {
    app.draft(&app.admin, "main", &Package::generic(name, version)).await
}

async fn publish(app: &TestApp, id: &str) -> Response {
    app.publish(&app.admin, "main", id).await
}

#[tokio::test]
async fn a_waiver_of_a_version_lets_exactly_that_content_in_and_other_bytes_are_held() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    let (id, other) = (draft(&app, "demo", "1.0").await, draft(&app, "demo", "1.1").await);
    let mark = app.mark();
    let made = app.post(&app.admin, PATH, of_version(&id, "big")).await.expect(201);
    assert_eq!(made.header("location"), format!("{PATH}/{}", text(&made.json(), "waiverId")));
    assert_eq!(
        (&made.json()["state"], &made.json()["covers"], &made.json()["scope"]),
        (&json!("active"), &json!("quarantine"), &json!("content"))
    );
    assert_eq!(app.audit_since(&mark), ["waiver.created"]);
    let manifest = format!("{}/manifest", version_path("main", &id));
    app.call("PUT", &manifest).token(&app.admin).body("{\"other\": true}").send().await.expect(200);
    publish(&app, &id).await.expect(202);
    waive(&app, &app.admin, of_version(&other, "big")).await;
    publish(&app, &other).await.expect(200);
    assert_eq!(evaluate(&app, &other).await["waived"][0]["rule"], "big");
}

#[tokio::test]
async fn a_waiver_ends_at_its_moment_and_when_it_is_revoked() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    waive(&app, &app.admin, of_package("demo", "big")).await;
    let revoked = waive(&app, &app.admin, of_package("tool", "big")).await;
    publish(&app, &draft(&app, "demo", "1.0").await).await.expect(200);
    publish(&app, &draft(&app, "tool", "1.0").await).await.expect(200);
    let mark = app.mark();
    let answer = app.post(&app.admin, &format!("{PATH}/{revoked}/revoke"), json!({})).await.expect(200).json();
    assert_eq!((&answer["state"], app.audit_since(&mark)), (&json!("revoked"), vec!["waiver.revoked".to_owned()]));
    app.post(&app.admin, &format!("{PATH}/{revoked}/revoke"), json!({})).await.refused(409, "conflict");
    publish(&app, &draft(&app, "tool", "1.1").await).await.expect(202);
    app.clock.advance_ms(DAY_SECONDS as i64 * 1000 - 1);
    publish(&app, &draft(&app, "demo", "1.1").await).await.expect(200);
    app.clock.advance_ms(1);
    publish(&app, &draft(&app, "demo", "1.2").await).await.expect(202);
    assert_eq!(states(&app, "?state=expired").await.len(), 1);
}

#[tokio::test]
async fn what_waits_is_let_in_when_it_is_waived_and_held_again_when_that_ends_or_is_taken_back() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    app.run_jobs().await;
    for ends in ["expires", "is revoked"] {
        let id = draft(&app, "demo", if ends == "expires" { "1.0" } else { "1.1" }).await;
        publish(&app, &id).await.expect(202);
        let waiver = waive(&app, &app.admin, of_version(&id, "big")).await;
        app.run_jobs().await;
        assert_eq!(app.state("main", &id).await, "published", "{ends}");
        if ends == "expires" {
            app.clock.advance_ms(DAY_SECONDS as i64 * 1000);
        } else {
            app.post(&app.admin, &format!("{PATH}/{waiver}/revoke"), json!({})).await.expect(200);
        }
        app.run_jobs().await;
        assert_eq!(app.state("main", &id).await, "quarantined", "{ends}");
    }
}

#[tokio::test]
async fn a_range_covers_the_versions_in_it_by_their_order() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    let mut asked = of_package("demo", "big");
    asked["scope"] = json!("range");
    asked["versionRange"] = json!(">=1.9,<2");
    let made = app.post(&app.admin, PATH, asked).await.expect(201).json();
    assert_eq!(made["versionRange"], ">=1.9, <2");
    for (version, status) in [("1.9", 200), ("1.10", 200), ("1.8", 202), ("2", 202)] {
        publish(&app, &draft(&app, "demo", version).await).await.expect(status);
    }
    publish(&app, &draft(&app, "tool", "1.9").await).await.expect(202);
}

#[tokio::test]
async fn a_waiver_of_a_rule_that_holds_does_not_cover_it_once_it_denies_nor_the_rule_of_another_policy() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    waive(&app, &app.admin, of_package("demo", "big")).await;
    publish(&app, &draft(&app, "demo", "1.0").await).await.expect(200);
    app.set_policy("main", &rule("big", "deny", "true")).await;
    publish(&app, &draft(&app, "demo", "1.1").await).await.refused(403, "policy_denied");
    let denial = waive(&app, &app.admin, of_package("demo", "big")).await;
    assert_eq!(app.get(&app.admin, &format!("{PATH}/{denial}")).await.expect(200).json()["covers"], "deny");
    publish(&app, &draft(&app, "demo", "1.2").await).await.expect(200);
    let instance = app.call("PUT", "/v1/policy").token(&app.admin).header("content-type", "text/plain");
    instance.body(rule("big", "quarantine", "true")).send().await.expect(200);
    publish(&app, &draft(&app, "demo", "1.3").await).await.expect(202);
}

#[tokio::test]
async fn who_may_review_waives_what_holds_and_only_who_sets_the_policy_waives_what_denies() {
    let app = TestApp::new().await;
    app.set_policy("main", &(rule("hold", "quarantine", "true") + &rule("no", "deny", "true"))).await;
    let instance = app.call("PUT", "/v1/policy").token(&app.admin).header("content-type", "text/plain");
    instance.body(rule("never", "deny", "true")).send().await.expect(200);
    let reviewer = app.issue("bob", &["repo:main:promote"]).await;
    let administrator = app.issue("ann", &["repo:main:admin"]).await;
    waive(&app, &reviewer, of_package("demo", "hold")).await;
    app.post(&reviewer, PATH, of_package("demo", "no")).await.refused(403, "forbidden");
    waive(&app, &administrator, of_package("demo", "no")).await;
    let mut of_instance = of_package("demo", "never");
    of_instance["policy"] = json!("instance");
    app.post(&administrator, PATH, of_instance.clone()).await.refused(403, "forbidden");
    let id = draft(&app, "demo", "1.0").await;
    publish(&app, &id).await.refused(403, "policy_denied");
    waive(&app, &app.admin, of_instance).await;
    publish(&app, &id).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_waived_or_says_two_things_is_refused() {
    let app = TestApp::with(|config| config.waivers.max_days = 2).await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    let id = draft(&app, "demo", "1.0").await;
    let with = |changes: Value| {
        let mut asked = of_version(&id, "big");
        for (member, value) in changes.as_object().unwrap() {
            asked[member] = value.clone();
        }
        asked.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        asked
    };
    for changes in [
        json!({"rule": "server:reserved", "policy": null}),
        json!({"rule": "server:canary", "policy": null}),
        json!({"rule": "manual", "policy": null}),
        json!({"rule": "hint", "policy": null}),
        json!({"policy": null}),
        json!({"ttlSeconds": null}),
        json!({"ttlSeconds": 0}),
        json!({"ttlSeconds": 3 * DAY_SECONDS}),
        json!({"expiresAt": "2026-06-02T12:00:00Z"}),
        json!({"ttlSeconds": null, "expiresAt": "2026-06-01T11:00:00Z"}),
        json!({"reason": ""}),
        json!({"packageName": "demo"}),
        json!({"versionRange": ">=1"}),
        json!({"versionId": null}),
        json!({"scope": "package"}),
        json!({"scope": "range", "versionId": null, "packageType": "pypi", "packageName": "demo", "versionRange": ">=x"}),
        json!({"scope": "package", "versionId": null, "packageType": "generic"}),
    ] {
        let refusal = app.post(&app.admin, PATH, with(changes.clone())).await;
        assert_eq!(refusal.status, 400, "{changes}: {}", refusal.text());
    }
    app.post(&app.admin, PATH, with(json!({"rule": "small"}))).await.refused(404, "not_found");
    app.post(&app.admin, PATH, with(json!({"policy": "instance"}))).await.refused(404, "not_found");
    app.post(&app.admin, PATH, with(json!({"versionId": "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55"}))).await.refused(404, "not_found");
    waive(&app, &app.admin, with(json!({"ttlSeconds": 2 * DAY_SECONDS}))).await;
    for wrong in ["?state=maybe", "?within=3", "?state=expiring&within=0"] {
        app.get(&app.admin, &format!("{PATH}{wrong}")).await.refused(400, "bad_request");
    }
}

#[tokio::test]
async fn under_dual_control_a_waiver_counts_once_somebody_approves_it_who_neither_made_it_nor_brought_the_version() {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"requireDualControl": true})).send().await.expect(200);
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    let alice = app.issue("alice", &["repo:main:write", "repo:main:promote"]).await;
    let (bob, ben) = (app.issue("bob", &["repo:main:promote"]).await, app.issue("ben", &["repo:main:promote"]).await);
    let of_alice = async |version: &str| app.draft(&alice, "main", &Package::generic("demo", version)).await;
    let id = of_alice("1.0").await;
    for (asked, waived) in [(of_version(&id, "big"), id.clone()), (of_package("demo", "big"), of_alice("1.1").await)] {
        let waiver = waive(&app, &bob, asked).await;
        assert_eq!(states(&app, "?state=pending").await, std::slice::from_ref(&waiver));
        let early = of_alice(&format!("0.{}", &waiver[30..])).await;
        app.publish(&alice, "main", &early).await.expect(202);
        let approve = format!("{PATH}/{waiver}/approve");
        app.post(&bob, &approve, json!({})).await.refused(403, "forbidden");
        app.post(&alice, &approve, json!({})).await.refused(403, "forbidden");
        let mark = app.mark();
        let approved = app.post(&ben, &approve, json!({})).await.expect(200).json();
        assert_eq!((&approved["state"], &approved["approvedBySubject"]), (&json!("active"), &json!("ben")));
        assert_eq!(app.audit_since(&mark), ["waiver.approved"]);
        app.post(&ben, &approve, json!({})).await.refused(409, "conflict");
        app.publish(&alice, "main", &waived).await.expect(200);
    }
}

#[tokio::test]
async fn waivers_do_not_travel_with_a_promotion() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    for repo in ["main", "prod"] {
        app.set_policy(repo, &rule("big", "quarantine", "true")).await;
    }
    waive(&app, &app.admin, of_package("demo", "big")).await;
    let id = draft(&app, "demo", "1.0").await;
    publish(&app, &id).await.expect(200);
    app.post(&app.admin, &format!("{}/promote", version_path("main", &id)), json!({"targetRepo": "prod"})).await.expect(202);
}

#[tokio::test]
async fn a_waiver_of_the_freeze_lets_a_package_through() {
    let app = TestApp::new().await;
    let freeze = json!({"packageType": "*", "after": "2026-06-01T11:00:00Z", "reason": "attack"});
    app.post(&app.admin, "/v1/freezes", freeze).await.expect(201);
    let mut asked = of_package("demo", "server:freeze");
    asked.as_object_mut().unwrap().remove("policy");
    waive(&app, &app.admin, asked).await;
    publish(&app, &draft(&app, "demo", "1.0").await).await.expect(200);
    publish(&app, &draft(&app, "tool", "1.0").await).await.expect(202);
}

#[tokio::test]
async fn a_deleted_repo_leaves_no_waiver_to_the_next_of_its_key() {
    let app = TestApp::new().await;
    app.create_repo("team", json!({})).await;
    app.set_policy("team", &rule("big", "quarantine", "true")).await;
    app.post(&app.admin, "/v1/repos/team/waivers", of_package("demo", "big")).await.expect(201);
    let mark = app.mark();
    app.call("DELETE", "/v1/repos/team").token(&app.admin).send().await.expect(204);
    assert_eq!(app.audit_since(&mark), ["repo.deleted", "waiver.revoked"]);
    app.create_repo("team", json!({})).await;
    let id = app.draft(&app.admin, "team", &Package::generic("demo", "1.0")).await;
    app.publish(&app.admin, "team", &id).await.expect(202);
}
