//! Tags: names for versions. Invariant: a tag takes effect with its version and never names what nobody may know of; each change has its
//! audit row and no outbox event.

use artifortress::domain::access::{Permit, Read, Write};
use artifortress::error::Code;
use serde_json::json;

use crate::support::{HOLD_ALL, Response, TestApp, items, package, text, version_of};

const DEMO: &str = "/v1/repos/main/tags?packageType=npm&name=demo";

/// The tags that an index may name, as `tag=version`.
fn tags(app: &TestApp, permit: &Permit<Write>) -> Vec<String> {
    let found = app.registry().tags(&permit.reading(), &package("npm", "demo")).unwrap();
    found.into_iter().map(|(tag, version)| format!("{tag}={version}")).collect()
}

async fn set(app: &TestApp, token: &str, tag: &str, version: &str) -> Response {
    app.call("PUT", &format!("{DEMO}&tag={tag}")).token(token).json(&json!({"version": version})).send().await
}

async fn remove(app: &TestApp, token: &str, tag: &str) -> Response {
    app.call("DELETE", &format!("{DEMO}&tag={tag}")).token(token).send().await
}

/// An instance with demo 1.0.0 published as `latest`.
async fn started() -> (TestApp, Permit<Write>, String) {
    let app = TestApp::new().await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    let id = version_of(&app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), b"one", &["latest"]).await.unwrap());
    (app, permit, id)
}

#[tokio::test]
async fn a_tag_is_set_moved_and_removed_and_each_change_is_audited_and_told_to_nobody_else() {
    let (app, permit, _) = started().await;
    app.deposit(&permit, (&package("npm", "demo"), "2.0.0"), b"two", &[]).await.unwrap();
    let mark = app.mark();
    let ann = app.issue("ann", &["repo:main:write"]).await;
    let answer = set(&app, &ann, "beta", "v2.0.0").await.expect(200).json();
    assert_eq!((&answer["tag"], &answer["packageName"]), (&json!("beta"), &json!("demo")));
    set(&app, &ann, "beta", "2.0.0").await.expect(200);
    assert_eq!(tags(&app, &permit), ["beta=2.0.0", "latest=1.0.0"]);
    set(&app, &ann, "latest", "2.0.0").await.expect(200);
    remove(&app, &ann, "beta").await.expect(204);
    remove(&app, &ann, "beta").await.refused(404, "not_found");
    remove(&app, &ann, "latest").await.refused(400, "bad_request");
    assert_eq!(tags(&app, &permit), ["latest=2.0.0"]);
    assert_eq!(app.audit_since(&mark)[1..], ["package.tag.set", "package.tag.set", "package.tag.removed"]);
    assert!(app.events_since(&mark).is_empty());
    let details: serde_json::Value =
        serde_json::from_str(&app.ask("SELECT details FROM audit WHERE action = 'package.tag.removed'")[0]).unwrap();
    assert_eq!(details, json!({"repoKey": "main", "tag": "beta", "purl": "pkg:npm/demo@2.0.0"}));
    for (tag, version, status, code) in [
        ("1.x", "2.0.0", 400, "bad_request"),
        ("a%20b", "2.0.0", 400, "bad_request"),
        ("next", "two", 400, "bad_request"),
        ("next", "3.0.0", 404, "not_found"),
    ] {
        set(&app, &ann, tag, version).await.refused(status, code);
    }
}

#[tokio::test]
async fn what_is_held_keeps_its_tags_for_indexes_and_no_list_names_it_to_readers() {
    let (app, permit, _) = started().await;
    app.set_policy("main", HOLD_ALL).await;
    let held = app.deposit(&permit, (&package("npm", "demo"), "2.0.0"), b"two", &["latest", "next"]).await.unwrap();
    assert_eq!(tags(&app, &permit), ["latest=2.0.0", "next=2.0.0"]);
    set(&app, &app.admin, "hot", "2.0.0").await.expect(200);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let seen = app.get(&reader, DEMO).await.expect(200).json();
    assert!(items(&seen).is_empty(), "{seen}");
    let seen = items(&app.get(&app.admin, &format!("{DEMO}&limit=2")).await.expect(200).json());
    assert_eq!(seen.iter().map(|item| (text(item, "tag"), text(item, "state"))).collect::<Vec<_>>().len(), 2);
    assert_eq!((&seen[0]["tag"], &seen[0]["state"], &seen[0]["version"]), (&json!("hot"), &json!("quarantined"), &json!("2.0.0")));
    let rest = items(&app.get(&app.admin, &format!("{DEMO}&limit=2&cursor=latest")).await.expect(200).json());
    assert_eq!(rest.iter().map(|item| text(item, "tag")).collect::<Vec<_>>(), ["next"]);
    let artifortress::registry::Admitted::Quarantined { quarantine_id, .. } = held else { panic!("{held:?}") };
    app.vote(&app.admin, "main", &quarantine_id.to_string(), "reject").await.expect(200);
    assert_eq!(tags(&app, &permit), ["hot=2.0.0", "latest=2.0.0", "next=2.0.0"]);
    set(&app, &app.admin, "more", "2.0.0").await.refused(409, "conflict");
    set(&app, &app.admin, "latest", "1.0.0").await.expect(200);
    let seen = items(&app.get(&reader, DEMO).await.expect(200).json());
    assert_eq!(seen.iter().map(|item| text(item, "tag")).collect::<Vec<_>>(), ["latest"]);
}

#[tokio::test]
async fn a_tag_names_no_draft_and_goes_with_a_version_that_is_taken_back() {
    let (app, permit, id) = started().await;
    let draft = crate::support::Package { package_type: "npm".to_owned(), ..crate::support::Package::generic("demo", "2.0.0") };
    app.draft(&app.admin, "main", &draft).await;
    let refusal = set(&app, &app.admin, "next", "2.0.0").await.refused(409, "conflict");
    assert_eq!(refusal["status"], "draft");
    let mark = app.mark();
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    assert_eq!(app.audit_since(&mark), ["package.version.tombstoned", "package.tag.removed"]);
    assert!(tags(&app, &permit).is_empty());
    set(&app, &app.admin, "latest", "1.0.0").await.refused(409, "conflict");
    app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(200);
    assert!(tags(&app, &permit).is_empty(), "an old tag came back");
    set(&app, &app.admin, "latest", "1.0.0").await.expect(200);
}

#[tokio::test]
async fn of_a_tag_and_a_tombstone_at_once_no_tag_is_left() {
    for _ in 0..8 {
        let (app, permit, id) = started().await;
        let (tagged, gone) = tokio::join!(set(&app, &app.admin, "next", "1.0.0"), app.tombstone(&app.admin, "main", &id));
        gone.expect(200);
        assert!([200, 409].contains(&tagged.status), "{}", tagged.text());
        assert!(tags(&app, &permit).is_empty());
    }
}

#[tokio::test]
async fn two_tags_set_at_once_are_both_there_and_of_one_tag_the_last_counts() {
    let (app, permit, _) = started().await;
    app.deposit(&permit, (&package("npm", "demo"), "2.0.0"), b"two", &[]).await.unwrap();
    let (one, other, third) =
        tokio::join!(set(&app, &app.admin, "a", "1.0.0"), set(&app, &app.admin, "b", "2.0.0"), set(&app, &app.admin, "a", "2.0.0"));
    for answer in [one, other, third] {
        answer.expect(200);
    }
    let (found, last) = (
        tags(&app, &permit),
        app.ask("SELECT json_extract(details, '$.purl') FROM audit WHERE json_extract(details, '$.tag') = 'a' ORDER BY seq DESC LIMIT 1"),
    );
    assert_eq!(found[1], "b=2.0.0");
    assert!(last[0].ends_with(&found[0].replace("a=", "@")), "{found:?} {last:?}");
}

#[tokio::test]
async fn a_package_has_a_thousand_tags_and_no_more_and_loses_them_with_its_repo() {
    let (app, permit, id) = started().await;
    let registry = app.registry();
    for number in 1..1_000 {
        registry.set_tag(&permit, &package("npm", "demo"), format!("t{number}"), "1.0.0").await.unwrap();
    }
    let refused = registry.set_tag(&permit, &package("npm", "demo"), "more".to_owned(), "1.0.0").await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    let refused = app.deposit(&permit, (&package("npm", "demo"), "2.0.0"), b"two", &["more"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    assert_eq!(app.ask("SELECT version FROM versions"), ["1.0.0"], "a refused deposit left a draft");
    app.deposit(&permit, (&package("npm", "demo"), "2.0.0"), b"two", &["t1"]).await.unwrap();
    let reading: Permit<Read> = permit.reading();
    assert_eq!(registry.tags(&reading, &package("npm", "demo")).unwrap()["t1"], "2.0.0");
    drop(id);
    app.call("DELETE", "/v1/repos/main?force=true").token(&app.admin).send().await;
    assert_eq!(app.ask("SELECT count(*) FROM package_tags"), ["0"]);
}
