//! Lists of waivers. Invariant: each list has exactly the waivers that are so at this moment, told from what evaluations have left behind;
//! and a verdict that was made with a waiver counts only as long as the waiver does.

use serde_json::json;

use crate::support::{Daemon, Package, TestApp, items, rule, text};
use crate::waivers::{DAY_SECONDS, PATH, of_package, of_version, states, waive};

#[tokio::test]
async fn the_lists_tell_what_is_active_expiring_expired_unused_and_not_needed_any_more() {
    let app = TestApp::new().await;
    app.set_policy("main", &(rule("big", "quarantine", "true") + &rule("odd", "quarantine", "context.package.name == \"odd\""))).await;
    let lasting = |name: &str, rule: &str, days: u64| {
        let mut asked = of_package(name, rule);
        asked["ttlSeconds"] = json!(days * DAY_SECONDS);
        asked
    };
    let used = waive(&app, &app.admin, lasting("demo", "big", 30)).await;
    app.clock.advance_ms(1);
    let unused = waive(&app, &app.admin, lasting("idle", "big", 5)).await;
    app.clock.advance_ms(1);
    let unneeded = waive(&app, &app.admin, lasting("demo", "odd", 30)).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    assert_eq!(states(&app, "").await, [unneeded.clone(), unused.clone(), used.clone()]);
    assert_eq!(states(&app, "?state=active").await.len(), 3);
    assert_eq!(states(&app, "?state=expiring").await, std::slice::from_ref(&unused));
    assert_eq!(states(&app, "?state=expiring&within=31").await.len(), 3);
    assert_eq!(states(&app, "?state=unused").await, [unneeded.clone(), unused.clone()]);
    assert_eq!(states(&app, "?state=unneeded").await, std::slice::from_ref(&unneeded));
    let shown = app.get(&app.admin, &format!("{PATH}/{used}")).await.expect(200).json();
    assert_eq!((&shown["used"], &shown["unneeded"]), (&json!(true), &json!(false)));

    // Once the rule does not fire any more, the newest evaluation says so.
    app.set_policy("main", &rule("big", "quarantine", "context.package.name == \"other\"")).await;
    let asked = json!({"action": "publish", "versionId": id, "reason": "looking"});
    app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201);
    assert_eq!(states(&app, "?state=unneeded").await, [unneeded.clone(), used.clone()]);
    assert_eq!(states(&app, "?state=unused").await, [unneeded, unused.clone()]);
    app.clock.advance_ms(6 * DAY_SECONDS as i64 * 1000);
    assert_eq!(states(&app, "?state=expired").await, [unused]);
    let page = app.get(&app.admin, &format!("{PATH}?limit=1")).await.expect(200).json();
    assert_eq!(items(&page).len(), 1);
    let rest = states(&app, &format!("?cursor={}", text(&page, "nextCursor"))).await;
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn a_waiver_made_for_what_is_held_is_not_unneeded_before_anybody_judges_again() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("big", "quarantine", "true")).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.publish(&app.admin, "main", &id).await.expect(202);
    let waiver = waive(&app, &app.admin, of_version(&id, "big")).await;
    assert!(states(&app, "?state=unneeded").await.is_empty());
    assert_eq!(states(&app, "?state=unused").await, [waiver]);
}

#[tokio::test]
async fn what_a_release_wrote_is_listed_and_is_neither_unused_nor_unneeded() {
    let app = TestApp::new().await;
    let (_, item) = app.held("main", &Package::generic("demo", "1.0")).await;
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    let listed = items(&app.get(&app.admin, PATH).await.expect(200).json());
    assert_eq!((&listed[0]["quarantineId"], &listed[0]["expiresAt"], &listed[0]["scope"]), (&json!(item), &json!(null), &json!("content")));
    for state in ["unused", "unneeded", "expiring", "expired"] {
        assert!(states(&app, &format!("?state={state}")).await.is_empty(), "{state}");
    }
}

#[test]
fn waivers_are_made_shown_listed_and_revoked_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_WAIVERS__SECOND_PERSON", "true")]);
    let typed = |line: &str| crate::command_line::typed(directory.path(), line);
    let policy = rule("big", "quarantine", "context.package.name == \"demo\"");
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/v1/repos/main/policy", policy.as_bytes()).unwrap().status, 200);
    let made =
        typed("waivers add --repo main --rule big --policy repo --package generic:demo --range >=1,<2 --days 3 --reason ours --json")
            .json();
    assert_eq!((&made["state"], &made["versionRange"]), (&json!("pending"), &json!(">=1, <2")));
    let id = text(&made, "waiverId");
    let shown = typed(&format!("waivers show {id} --repo main")).done();
    assert!(shown.contains("repo/big") && shown.contains("generic:demo >=1, <2") && shown.contains("in 2 days"), "{shown}");
    assert!(typed("waivers list --repo main --state pending").done().contains(&id));
    typed(&format!("waivers approve {id} --repo main")).complains(1, &["neither made it"]);
    assert!(typed(&format!("waivers revoke {id} --repo main")).done().contains("is revoked"));
    typed("waivers add --repo main --rule big --policy repo --days 3 --reason ours").complains(2, &["--version-id"]);
    typed("waivers add --repo main --rule big --policy repo --package generic:demo --days 365 --reason ours").complains(1, &["must end"]);
}
