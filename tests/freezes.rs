//! Freezes. Invariant: what was first seen after the moment is held, whatever the policies say, until the freeze is lifted or a reviewer
//! releases it; what was there before is not touched.

use serde_json::{Value, json};

use crate::support::{Daemon, Package, TestApp, UploadForm, items, text, wheel};

const BEFORE: &str = "2026-06-01T11:00:00Z";

async fn freeze(app: &TestApp, path: &str, package_type: &str, after: &str) -> String {
    let asked = json!({"packageType": package_type, "after": after, "reason": "an attack is under way"});
    let set = app.post(&app.admin, path, asked).await.expect(201);
    assert_eq!(set.header("location"), format!("{path}/{}", text(&set.json(), "freezeId")));
    text(&set.json(), "freezeId")
}

#[tokio::test]
async fn what_is_first_seen_after_the_moment_is_held_with_the_reason_and_what_was_seen_before_is_not() {
    let app = TestApp::new().await;
    let early = app.draft(&app.admin, "main", &Package::generic("early", "1.0")).await;
    app.clock.advance_ms(60_000);
    let mark = app.mark();
    freeze(&app, "/v1/freezes", "generic", "2026-06-01T12:00:00.000Z").await;
    assert_eq!(app.audit_since(&mark), ["freeze.set"]);
    app.publish(&app.admin, "main", &early).await.expect(200);
    let late = app.draft(&app.admin, "main", &Package::generic("late", "1.0")).await;
    let held = app.publish(&app.admin, "main", &late).await.expect(202).json();
    assert_eq!(held["reasons"][0]["rule"], "server:freeze");
    let message = held["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("2026-06-01T12:00:00.000Z") && message.contains("an attack is under way"), "{message}");
}

#[tokio::test]
async fn a_freeze_is_of_its_type_and_of_its_repo() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    freeze(&app, "/v1/repos/main/freezes", "pypi", BEFORE).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    let file = wheel("demo", "1.0", "", "", "");
    let held = app.send_form(&app.admin, &UploadForm::of("demo", "1.0", &file)).await.expect(200).json();
    assert_eq!((&held["state"], &held["reasons"][0]["rule"]), (&json!("quarantined"), &json!("server:freeze")));
    freeze(&app, "/v1/repos/main/freezes", "*", BEFORE).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "2.0")).await;
    app.publish(&app.admin, "main", &id).await.expect(202);
    app.published("other", &Package::generic("demo", "1.0")).await;
}

#[tokio::test]
async fn a_lifted_freeze_holds_nothing_more_stays_on_record_and_cannot_be_lifted_twice() {
    let app = TestApp::new().await;
    let id = freeze(&app, "/v1/freezes", "*", BEFORE).await;
    let path = format!("/v1/freezes/{id}");
    let mark = app.mark();
    let lifted = app.call("DELETE", &path).token(&app.admin).send().await.expect(200).json();
    assert!(lifted["liftedAt"].is_string() && lifted["liftedBySubject"].is_string(), "{lifted}");
    assert_eq!(app.audit_since(&mark), ["freeze.lifted"]);
    app.call("DELETE", &path).token(&app.admin).send().await.refused(409, "conflict");
    app.published("main", &Package::generic("demo", "1.0")).await;
    assert_eq!(items(&app.get(&app.admin, "/v1/freezes").await.expect(200).json()), [lifted.clone()]);
    assert_eq!(app.get(&app.admin, &path).await.expect(200).json(), lifted);
    app.get(&app.admin, &format!("/v1/repos/main/freezes/{id}")).await.refused(404, "not_found");
    let wrong = json!({"packageType": "Nope!", "after": BEFORE, "reason": "x"});
    app.post(&app.admin, "/v1/freezes", wrong).await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_release_waives_the_freeze_for_that_content_alone() {
    let app = TestApp::new().await;
    freeze(&app, "/v1/freezes", "*", BEFORE).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let held = app.publish(&app.admin, "main", &id).await.expect(202).json();
    app.vote(&app.admin, "main", &text(&held, "quarantineId"), "release").await.expect(200);
    let asked = json!({"action": "publish", "versionId": id, "reason": "again"});
    let found = app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201).json();
    assert_eq!((&found["decision"], &found["waived"][0]["rule"]), (&json!("allow"), &json!("server:freeze")));
    let next = app.draft(&app.admin, "main", &Package::generic("demo", "1.1")).await;
    app.publish(&app.admin, "main", &next).await.expect(202);
}

#[tokio::test]
async fn a_deleted_repo_leaves_no_freeze_to_the_next_of_its_key() {
    let app = TestApp::new().await;
    app.create_repo("team", json!({})).await;
    freeze(&app, "/v1/repos/team/freezes", "*", BEFORE).await;
    app.call("DELETE", "/v1/repos/team").token(&app.admin).send().await.expect(204);
    app.create_repo("team", json!({})).await;
    app.published("team", &Package::generic("demo", "1.0")).await;
}

#[test]
fn a_freeze_is_set_listed_and_lifted_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let typed = |line: &str| crate::command_line::typed(directory.path(), line);
    let set = typed("freeze npm --after 2026-01-01T00:00:00Z --reason attack --json").json();
    assert_eq!((&set["packageType"], &set["repoKey"]), (&json!("npm"), &Value::Null));
    let of_repo = typed("freeze * --after 2026-01-01T00:00:00Z --reason attack --repo main --json").json();
    assert_eq!(of_repo["repoKey"], "main");
    assert!(typed("freeze list").done().contains("holds"));
    assert!(typed(&format!("freeze lift {}", text(&set, "freezeId"))).done().contains("is lifted"));
    assert!(typed("freeze list").done().contains("lifted"));
    typed("freeze npm --reason attack").complains(2, &["--after"]);
    typed(&format!("freeze lift {}", text(&set, "freezeId"))).complains(1, &["was lifted by"]);
    drop(daemon);
}
