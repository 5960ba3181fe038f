//! Reserved names. Invariant: whoever is not named cannot even begin to bring such a name, by no way and in no spelling, and the refusal
//! is remembered; whoever is named notices nothing.

use serde_json::{Value, json};

use crate::support::{Daemon, Package, TestApp, UploadForm, items, text, version_path, wheel};

const PATH: &str = "/v1/repos/main/reservations";

async fn reserve(app: &TestApp, repo: &str, pattern: &str, publishers: &[&str]) -> String {
    let asked = json!({"pattern": pattern, "publishers": publishers, "reason": "names of our own"});
    let made = app.post(&app.admin, &format!("/v1/repos/{repo}/reservations"), asked).await.expect(201);
    assert_eq!(made.header("location"), format!("/v1/repos/{repo}/reservations/{}", text(&made.json(), "reservationId")));
    text(&made.json(), "reservationId")
}

fn draft(package_type: &str, namespace: &str, name: &str) -> Value {
    json!({"packageType": package_type, "packageNamespace": namespace, "packageName": name, "version": "1.0.0"})
}

#[tokio::test]
async fn a_reservation_is_made_listed_shown_and_deleted_with_its_audit_rows() {
    let app = TestApp::new().await;
    let mark = app.mark();
    let id = reserve(&app, "main", "pypi:Acme_*", &["alice"]).await;
    let listed = items(&app.get(&app.admin, PATH).await.expect(200).json());
    assert_eq!((listed.len(), &listed[0]["pattern"], &listed[0]["publishers"]), (1, &json!("pypi:acme-*"), &json!(["alice"])));
    let one = app.get(&app.admin, &format!("{PATH}/{id}")).await.expect(200).json();
    assert_eq!(one, listed[0]);
    app.call("DELETE", &format!("{PATH}/{id}")).token(&app.admin).send().await.expect(204);
    app.call("DELETE", &format!("{PATH}/{id}")).token(&app.admin).send().await.refused(404, "not_found");
    assert_eq!(app.audit_since(&mark), ["repo.reservation.created", "repo.reservation.deleted"]);
}

#[tokio::test]
async fn two_patterns_that_normalise_to_one_are_a_conflict_and_no_pattern_is_a_bad_request() {
    let app = TestApp::new().await;
    let id = reserve(&app, "main", "pypi:acme-*", &[]).await;
    let again = json!({"pattern": "pypi:Acme.__*", "reason": "again"});
    let refusal = app.post(&app.admin, PATH, again).await.refused(409, "conflict");
    assert_eq!(refusal["reservationId"], id.as_str());
    for wrong in ["acme-*", "pypi:a/b", "npm:[", ""] {
        app.post(&app.admin, PATH, json!({"pattern": wrong, "reason": "x"})).await.refused(400, "bad_request");
    }
    app.post(&app.admin, PATH, json!({"pattern": "npm:x", "reason": " "})).await.refused(400, "bad_request");
}

#[tokio::test]
async fn whoever_is_not_named_cannot_begin_a_draft_in_any_spelling_and_the_refusal_says_whom_to_ask() {
    let app = TestApp::new().await;
    let npm = reserve(&app, "main", "npm:@acme/*", &["alice"]).await;
    reserve(&app, "main", "pypi:acme-*", &["alice"]).await;
    let (alice, bob) = (app.issue("alice", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    let path = "/v1/repos/main/packages/versions/drafts";
    for (package_type, namespace, name) in
        [("npm", "@acme", "x"), ("npm", "ACME", "y"), ("pypi", "", "Acme_Tool"), ("pypi", "", "acme.tool")]
    {
        let mark = app.mark();
        let before = app.ask("SELECT count(*) FROM packages");
        let refusal = app.post(&bob, path, draft(package_type, namespace, name)).await.refused(403, "policy_denied");
        assert_eq!((&refusal["reasons"][0]["rule"], &refusal["evaluationId"]), (&json!("server:reserved"), &Value::Null));
        assert!(text(&refusal, "message").contains("alice") && text(&refusal, "message").contains("names of our own"), "{refusal}");
        assert_eq!(app.audit_since(&mark), ["policy.denied"]);
        assert_eq!(app.ask("SELECT count(*) FROM packages"), before, "nothing was kept");
        app.post(&alice, path, draft(package_type, namespace, name)).await;
    }
    let row = app.ask(&format!("SELECT details FROM audit WHERE action = 'policy.denied' AND details LIKE '%{npm}%' LIMIT 1"));
    assert!(row[0].contains("server:reserved"), "{row:?}");
    app.post(&bob, path, draft("npm", "@acme-tools", "x")).await.expect(201);
}

#[tokio::test]
async fn the_native_routes_refuse_a_reserved_name_before_its_bytes_are_kept() {
    let app = TestApp::new().await;
    reserve(&app, "main", "*:acme-*", &[]).await;
    let bob = app.issue("bob", &["repo:main:write"]).await;
    let blobs = app.ask("SELECT count(*) FROM blobs");
    let form = UploadForm::of("Acme_Tool", "1.0", &wheel("acme-tool", "1.0", "", "", ""));
    let refusal = app.send_form(&bob, &form).await;
    assert_eq!(refusal.status, 403, "{}", refusal.text());
    let put = app.call("PUT", "/files/main/acme-tool/1.0/tool.bin?publish").token(&bob).body("bytes").send().await;
    assert_eq!(put.status, 403, "{}", put.text());
    assert!(put.text().contains("reserved"), "{}", put.text());
    assert_eq!(app.ask("SELECT count(*) FROM blobs"), blobs);
    assert_eq!(app.ask("SELECT count(*) FROM versions"), ["0"]);
}

#[tokio::test]
async fn a_draft_begun_before_the_reservation_is_neither_filled_nor_published_by_others() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.issue("alice", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    let of_alice = app.draft(&alice, "main", &Package::generic("acme-a", "1.0")).await;
    let of_bob = app.draft(&bob, "main", &Package::generic("acme-b", "1.0")).await;
    reserve(&app, "main", "generic:acme-*", &["alice"]).await;
    app.publish(&bob, "main", &of_alice).await.refused(403, "policy_denied");
    app.publish(&bob, "main", &of_bob).await.refused(403, "policy_denied");
    let manifest = format!("{}/manifest", version_path("main", &of_alice));
    app.call("PUT", &manifest).token(&bob).body("{}").send().await.refused(403, "policy_denied");
    // The second line: who brought it counts, whoever asks to publish it.
    let refusal = app.publish(&alice, "main", &of_bob).await.refused(403, "policy_denied");
    assert!(refusal["evaluationId"].is_string(), "the gate denied it: {refusal}");
    assert_eq!(refusal["reasons"][0]["rule"], "server:reserved");
    app.publish(&alice, "main", &of_alice).await.expect(200);
}

#[tokio::test]
async fn nothing_is_promoted_into_a_reserved_name_nor_restored_by_others() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    let alice = app.issue("alice", &["repo:*:write", "repo:*:promote"]).await;
    let id = app.draft(&alice, "main", &Package::generic("acme-a", "1.0")).await;
    app.publish(&alice, "main", &id).await.expect(200);
    reserve(&app, "prod", "*:acme-*", &["alice"]).await;
    let promote = format!("{}/promote", version_path("main", &id));
    app.post(&alice, &promote, json!({"targetRepo": "prod"})).await.refused(403, "policy_denied");
    assert_eq!(app.ask("SELECT count(*) FROM versions WHERE repo_key = 'prod'"), ["0"]);
    reserve(&app, "main", "*:acme-*", &["alice"]).await;
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(403, "policy_denied");
    app.step(&alice, "main", &id, "restore", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_reviewer_who_asks_the_gate_about_a_publishers_version_is_not_taken_for_its_publisher() {
    let app = TestApp::new().await;
    let alice = app.issue("alice", &["repo:main:write"]).await;
    let id = app.draft(&alice, "main", &Package::generic("acme-a", "1.0")).await;
    reserve(&app, "main", "generic:acme-*", &["alice"]).await;
    let asked = json!({"action": "publish", "versionId": id, "reason": "looking"});
    let found = app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201).json();
    assert_eq!(found["decision"], "allow");
}

#[tokio::test]
async fn a_deleted_repo_leaves_no_reservation_to_the_next_of_its_key() {
    let app = TestApp::new().await;
    app.create_repo("team", json!({})).await;
    reserve(&app, "team", "*:acme-*", &[]).await;
    let mark = app.mark();
    app.call("DELETE", "/v1/repos/team").token(&app.admin).send().await.expect(204);
    assert_eq!(app.audit_since(&mark), ["repo.deleted", "repo.reservation.deleted"]);
    app.create_repo("team", json!({})).await;
    assert!(items(&app.get(&app.admin, "/v1/repos/team/reservations").await.expect(200).json()).is_empty());
}

#[test]
fn reservations_are_made_listed_and_removed_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let _daemon = Daemon::start(directory.path(), &[]);
    let typed = |line: &str| crate::command_line::typed(directory.path(), line);
    let made = typed("reservations add npm:@acme/* --repo main --publisher alice --reason ours --json").json();
    assert_eq!(made["pattern"], "npm:@acme/*");
    let shown = typed("reservations list --repo main").done();
    assert!(shown.contains("npm:@acme/*") && shown.contains("alice"), "{shown}");
    typed("reservations add npm:acme/* --repo main --reason again").complains(1, &["reserves npm:@acme/* already"]);
    let removed = typed(&format!("reservations remove {} --repo main", text(&made, "reservationId"))).done();
    assert!(removed.contains("free"), "{removed}");
    assert_eq!(typed("reservations list --repo main").done().trim(), "no reservations");
}
