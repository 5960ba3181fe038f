//! Rules of retention over a whole instance. Invariant: what is taken back is what the plan has shown, and what is protected, tagged, held
//! or the newest is in no plan.

use artifortress::domain::access::Write;
use serde_json::{Value, json};

use crate::support::{Package, TestApp, items, package, text, version_of, version_path};

const DAY_MS: i64 = 86_400_000;
const RULE: &str = "/v1/repos/main/retention";
const PLAN: &str = "/v1/repos/main/retention/plan";
const APPLY: &str = "/v1/repos/main/retention/apply";

impl TestApp {
    async fn rule(&self, rule: Value) {
        self.call("PUT", RULE).token(&self.admin).json(&rule).send().await.expect(200);
    }

    async fn plan(&self) -> Value {
        self.get(&self.admin, PLAN).await.expect(200).json()
    }

    /// Publishes versions of an npm package, a day apart; gives their ids.
    async fn published_daily(&self, name: &str, versions: &[&str]) -> Vec<String> {
        let permit = self.permit::<Write>(&self.admin, "main").await;
        let mut ids = Vec::new();
        for version in versions {
            let bytes = format!("{name} {version}");
            ids.push(version_of(&self.deposit(&permit, (&package("npm", name), version), bytes.as_bytes(), &[]).await.unwrap()));
            self.clock.advance_ms(DAY_MS);
        }
        ids
    }
}

fn shown(plan: &Value) -> Vec<String> {
    items(plan).iter().map(|item| text(item, "versionId")).collect()
}

#[tokio::test]
async fn a_plan_is_shown_and_then_exactly_that_is_taken_back() {
    let app = TestApp::new().await;
    app.get(&app.admin, PLAN).await.refused(404, "not_found");
    let ids = app.published_daily("demo", &["1.2.0", "1.10.0", "1.9.0", "2.0.0"]).await;
    app.published_daily("alone", &["0.1.0"]).await;
    app.rule(json!({"keepLast": 2})).await;
    let before = app.everything();
    let plan = app.plan().await;
    assert_eq!(app.everything(), before, "looking writes nothing");
    assert_eq!(shown(&plan), [ids[0].clone(), ids[2].clone()], "{plan}");
    assert_eq!(items(&plan)[0]["reason"], "3 newer releases, 2 are kept");
    let digest = plan["planDigest"].clone();
    // Another version came in between: what was shown is not what there is.
    app.published_daily("demo", &["2.1.0"]).await;
    let refused = app.post(&app.admin, APPLY, json!({"planDigest": digest})).await.refused(409, "conflict");
    let plan = app.plan().await;
    assert_eq!(refused["planDigest"], plan["planDigest"]);
    assert_eq!(shown(&plan).len(), 3);
    app.post(&app.admin, APPLY, json!({})).await.refused(400, "bad_request");
    let mark = app.mark();
    let applied = app.post(&app.admin, APPLY, json!({"planDigest": plan["planDigest"]})).await.expect(200).json();
    assert_eq!(applied, json!({"tombstoned": 3, "restorableForDays": 30}));
    assert_eq!(app.audit_since(&mark).iter().filter(|action| *action == "package.version.tombstoned").count(), 3);
    let seen = app.get(&app.admin, &version_path("main", &ids[0])).await.expect(200).json();
    assert!(seen.to_string().contains("retention: 4 newer releases, 2 are kept"), "{seen}");
    assert_eq!((app.state("main", &ids[3]).await, app.plan().await["versions"].clone()), ("published".to_owned(), json!(0)));
    // A mistake is undone.
    app.step(&app.admin, "main", &ids[0], "restore", json!({})).await.expect(200);
}

#[tokio::test]
async fn what_is_protected_held_tagged_young_or_fetched_lately_is_in_no_plan() {
    let app = TestApp::new().await;
    let ids = app.published_daily("demo", &["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"]).await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    let tagged = app.deposit(&permit, (&package("npm", "demo"), "1.6.0-old"), b"tagged", &["old"]).await.unwrap();
    app.clock.advance_ms(20 * DAY_MS);
    let path = format!("{}/protection", version_path("main", &ids[0]));
    app.call("PUT", &path).token(&app.admin).json(&json!({"mode": "legal_hold", "reason": "a case"})).send().await.expect(200);
    app.hold(&app.admin, "main", &ids[1]).await;
    let fetched = app.call("GET", "/npm/main/demo/-/demo-1.2.0.tgz").token(&app.admin).send().await;
    if fetched.status != 200 {
        app.get(&app.admin, &crate::support::blob_path("main", &crate::support::digest_of(b"demo 1.2.0"))).await.expect(200);
    }
    app.flush_downloads().await;
    app.published_daily("demo", &["1.7.0"]).await;
    app.rule(json!({"keepDays": 10, "keepDownloadedDays": 7})).await;
    let plan = app.plan().await;
    let found = shown(&plan);
    assert!(!found.contains(&ids[0]) && !found.contains(&ids[1]) && !found.contains(&version_of(&tagged)), "{plan}");
    assert!(found.contains(&ids[3]) && found.contains(&ids[4]), "{plan}");
    let count = app.registry().apply_every_retention().await.unwrap();
    assert_eq!(count, found.len() as u64);
    assert_eq!(app.state("main", &ids[0]).await, "published");
    assert_eq!(app.ask("SELECT DISTINCT actor FROM audit WHERE action = 'package.version.tombstoned'"), ["system:retention"]);
}

#[tokio::test]
async fn a_version_that_became_the_newest_after_the_plan_stays() {
    let app = TestApp::new().await;
    let ids = app.published_daily("demo", &["1.0.0", "2.0.0"]).await;
    app.rule(json!({"keepLast": 1})).await;
    let planned =
        app.store.no_longer_kept(&"main".parse().unwrap(), &app.store.retention_rule(&"main".parse().unwrap()).unwrap().unwrap(), 10);
    let planned = planned.unwrap().0;
    assert_eq!(planned.len(), 1);
    app.tombstone(&app.admin, "main", &ids[1]).await.expect(200);
    let (packages, wanted) = ([planned[0].package].into(), [planned[0].version_id].into());
    let repo = "main".parse().unwrap();
    let actor = artifortress::domain::access::Actor::system("retention");
    let count = app.store.write(&actor, move |tx| tx.retire(&repo, &packages, &wanted)).await.unwrap();
    assert_eq!((count, app.state("main", &ids[0]).await.as_str()), (0, "published"));
}

#[tokio::test]
async fn a_rule_says_what_it_keeps_and_ends_with_its_repo() {
    let app = TestApp::new().await;
    for wrong in [
        json!({}),
        json!({"keepLast": 0}),
        json!({"keepDownloadedDays": 5}),
        json!({"keepLast": 1, "keepDownloadedDays": 91}),
        json!({"keepDays": 36_501}),
        json!({"keepLast": 1, "keepForever": true}),
    ] {
        app.call("PUT", RULE).token(&app.admin).json(&wrong).send().await.refused(400, "bad_request");
    }
    app.rule(json!({"keepLast": 3, "keepDays": 0})).await;
    let rule = app.get(&app.admin, RULE).await.expect(200).json();
    assert_eq!(rule, json!({"keepLast": 3, "keepDays": 0, "keepDownloadedDays": null}));
    let writer = app.issue("bob", &["repo:main:promote", "repo:main:write"]).await;
    for path in [RULE, PLAN] {
        app.get(&writer, path).await.refused(403, "forbidden");
    }
    app.call("DELETE", RULE).token(&app.admin).send().await.expect(204);
    app.get(&app.admin, RULE).await.refused(404, "not_found");
    app.create_repo("team", json!({})).await;
    app.call("PUT", "/v1/repos/team/retention").token(&app.admin).json(&json!({"keepLast": 1})).send().await.expect(200);
    app.call("DELETE", "/v1/repos/team").token(&app.admin).send().await.expect(204);
    app.create_repo("team", json!({})).await;
    app.get(&app.admin, "/v1/repos/team/retention").await.refused(404, "not_found");
}

#[tokio::test]
async fn the_rule_of_one_repo_takes_nothing_from_another() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    for version in ["1.0", "2.0", "3.0"] {
        app.published("other", &Package::generic("demo", version)).await;
        app.published("main", &Package::generic("demo", version)).await;
        app.clock.advance_ms(DAY_MS);
    }
    app.rule(json!({"keepLast": 1})).await;
    assert_eq!(app.registry().apply_every_retention().await.unwrap(), 2);
    assert_eq!(app.ask("SELECT count(*) FROM versions WHERE repo_key = 'other' AND state = 'published'"), ["3"]);
    assert_eq!(app.ask("SELECT version FROM versions WHERE repo_key = 'main' AND state = 'published'"), ["3.0"]);
}
