//! Who may do what, and what is written down of it. Invariant: nobody holds more than was granted, for no longer; what is
//! changed is audited in the same transaction, and the trail shows any edit.

use rusqlite::Connection;
use serde_json::json;

use artifortress::store;

use crate::support::{Package, TestApp, items, text, version_path};

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn a_revocation_and_an_expiry_count_from_the_very_next_request() {
    let app = TestApp::new().await;
    let request = json!({"subject": "ann", "scopes": ["repo:main:read"], "ttlSeconds": 3600});
    let issued = app.post(&app.admin, "/v1/auth/tokens", request.clone()).await.expect(201).json();
    let token = text(&issued, "token");
    assert!(token.starts_with("aft_"), "{token}");
    app.get(&token, "/v1/repos/main").await.expect(200);
    let path = format!("/v1/auth/tokens/{}", text(&issued, "tokenId"));
    let revoked = app.call("DELETE", &path).token(&app.admin).send().await;
    assert!(revoked.status == 200 || revoked.status == 204, "{}", revoked.text());
    app.get(&token, "/v1/repos/main").await.refused(401, "unauthorized");
    app.call("DELETE", &path).token(&app.admin).send().await.refused(404, "not_found");
    let brief = text(&app.post(&app.admin, "/v1/auth/tokens", request).await.expect(201).json(), "token");
    app.clock.advance_ms(3_599_999);
    app.get(&brief, "/v1/repos/main").await.expect(200);
    app.clock.advance_ms(1);
    let refusal = app.get(&brief, "/v1/repos/main").await;
    assert!(!refusal.header("www-authenticate").is_empty());
    refusal.refused(401, "unauthorized");
}

#[tokio::test]
async fn bearer_and_basic_carry_the_same_token_and_others_are_refused() {
    use base64::Engine as _;
    let app = TestApp::new().await;
    let token = app.issue("ann", &["repo:main:read"]).await;
    let basic = |text: String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for header in [format!("Bearer {token}"), basic(format!("__token__:{token}")), basic(format!("ann:{token}"))] {
        let me = app.call("GET", "/v1/auth/whoami").header("authorization", &header).send().await.expect(200).json();
        assert_eq!(me["subject"], "ann", "{header}");
    }
    let mistyped = format!("{}x", &token[..token.len() - 1]);
    for header in
        [format!("Bearer {mistyped}"), "Bearer x".to_owned(), basic(format!("{token}:")), "Digest a".to_owned(), "Bearer ".to_owned()]
    {
        app.call("GET", "/v1/repos/main").header("authorization", &header).send().await.refused(401, "unauthorized");
    }
    app.store.flush_notes().await.unwrap();
    assert!(app.ask("SELECT action FROM audit").contains(&"auth.failed".to_owned()));
    assert!(!app.everything().join("\n").contains(&token[4..]), "the secret is stored");
}

#[tokio::test]
async fn an_issuer_grants_only_what_it_holds() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let of_main = app.issue("boss", &["repo:main:admin"]).await;
    let writer = app.issue("ann", &["repo:main:write"]).await;
    let cases = [
        (&of_main, "bob", vec!["repo:main:admin"], 201),
        (&of_main, "bob", vec!["repo:main:read", "repo:main:promote"], 201),
        (&of_main, "bob", vec!["repo:other:read"], 403),
        (&of_main, "bob", vec!["repo:main:read", "repo:other:read"], 403),
        (&of_main, "bob", vec!["repo:*:read"], 403),
        (&of_main, "boss", vec!["repo:*:admin"], 403),
        (&writer, "ann", vec!["repo:main:read"], 201),
        (&writer, "ann", vec!["repo:main:promote"], 403),
        (&writer, "bob", vec!["repo:main:read"], 403),
        (&app.admin, "bob", vec!["repo:*:admin"], 201),
    ];
    for (token, subject, scopes, status) in cases {
        let before = app.ask("SELECT count(*) FROM tokens");
        let answer = app.post(token, "/v1/auth/tokens", json!({"subject": subject, "scopes": scopes})).await;
        assert_eq!(answer.status, status, "{subject} {scopes:?}: {}", answer.text());
        assert_eq!(app.ask("SELECT count(*) FROM tokens") == before, status != 201);
    }
    for scopes in [json!([]), json!(["repo:main"]), json!(["repo:main:owner"]), json!(["repo:MAIN:read"]), json!(["repo:*"])] {
        app.post(&app.admin, "/v1/auth/tokens", json!({"subject": "bob", "scopes": scopes})).await.refused(400, "bad_request");
    }
    for subject in ["anonymous", "system:policy", "", "a b"] {
        app.post(&app.admin, "/v1/auth/tokens", json!({"subject": subject, "scopes": ["repo:main:read"]}))
            .await
            .refused(400, "bad_request");
    }
}

#[tokio::test]
async fn a_token_does_not_outlive_the_one_it_was_issued_by() {
    let app = TestApp::new().await;
    let request = json!({"subject": "boss", "scopes": ["repo:main:admin"], "ttlSeconds": 3600});
    let short = text(&app.post(&app.admin, "/v1/auth/tokens", request).await.expect(201).json(), "token");
    let long = json!({"subject": "bob", "scopes": ["repo:main:read"], "ttlSeconds": 7200});
    app.post(&short, "/v1/auth/tokens", long).await.refused(403, "forbidden");
    let child = app.post(&short, "/v1/auth/tokens", json!({"subject": "bob", "scopes": ["repo:main:read"]})).await.expect(201).json();
    app.clock.advance_ms(3_600_001);
    app.get(&text(&child, "token"), "/v1/repos/main").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_without_scopes_follows_the_live_bindings_of_its_subject() {
    let app = TestApp::new().await;
    let token = app.issue_bound("ann").await;
    app.get(&token, "/v1/repos/main").await.refused(404, "not_found");
    app.bind("main", "ann", &["read"]).await;
    app.get(&token, "/v1/repos/main").await.expect(200);
    let draft = json!({"packageType": "generic", "packageName": "demo", "version": "1.0"});
    app.post(&token, "/v1/repos/main/packages/versions/drafts", draft.clone()).await.refused(403, "forbidden");
    app.bind("main", "ann", &["write"]).await;
    app.post(&token, "/v1/repos/main/packages/versions/drafts", draft).await.expect(201);
    let removed = app.call("DELETE", "/v1/repos/main/bindings/ann").token(&app.admin).send().await;
    assert!(removed.status == 200 || removed.status == 204, "{}", removed.text());
    app.get(&token, "/v1/repos/main").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_scoped_token_never_outlives_the_binding_that_it_was_issued_through() {
    let app = TestApp::new().await;
    app.bind("main", "ann", &["write"]).await;
    let bound = app.issue_bound("ann").await;
    let issued = app.post(&bound, "/v1/auth/tokens", json!({"subject": "ann", "scopes": ["repo:main:write"]})).await.expect(201).json();
    let scoped = text(&issued, "token");
    let grandchild = app.post(&scoped, "/v1/auth/tokens", json!({"subject": "ann", "scopes": ["repo:main:read"]})).await.expect(201).json();
    let grandchild = text(&grandchild, "token");
    for token in [&scoped, &grandchild] {
        app.get(token, "/v1/repos/main").await.expect(200);
    }
    app.bind("main", "ann", &["read"]).await;
    let draft = json!({"packageType": "generic", "packageName": "demo", "version": "1.0"});
    app.post(&scoped, "/v1/repos/main/packages/versions/drafts", draft).await.refused(403, "forbidden");
    app.call("DELETE", "/v1/repos/main/bindings/ann").token(&app.admin).send().await;
    for token in [&scoped, &grandchild, &bound] {
        app.get(token, "/v1/repos/main").await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn what_exists_and_what_does_not_cannot_be_told_apart_without_the_right_to_read() {
    let app = TestApp::new().await;
    app.create_repo("secret", json!({})).await;
    let id = app.published("secret", &Package::generic("demo", "1.0")).await;
    let stranger = app.issue("eve", &["repo:main:admin"]).await;
    let digest = crate::support::digest_of(b"the bytes of demo 1.0");
    let paths = [
        "/v1/repos/REPO".to_owned(),
        format!("/v1/repos/REPO/packages/versions/{id}"),
        format!("/v1/repos/REPO/blobs/{digest}"),
        "/v1/repos/REPO/packages".to_owned(),
        "/v1/repos/REPO/search/packages?q=demo".to_owned(),
        "/v1/repos/REPO/quarantine".to_owned(),
        "/v1/repos/REPO/policy".to_owned(),
    ];
    for path in paths {
        for token in ["", &stranger] {
            let there = app.get(token, &path.replace("REPO", "secret")).await;
            let absent = app.get(token, &path.replace("REPO", "absent")).await;
            assert_eq!(there.status, if token.is_empty() { 401 } else { 404 }, "{path}: {}", there.text());
            assert_eq!(absent.status, there.status, "{path}");
            let words = |response: &crate::support::Response| {
                let mut body = response.json();
                body.as_object_mut().unwrap().remove("requestId");
                body.to_string()
            };
            assert_eq!(words(&there), words(&absent), "{path}");
        }
    }
}

#[tokio::test]
async fn anonymous_read_opens_one_repo_for_reading_and_nothing_else() {
    let app = TestApp::new().await;
    app.create_repo("open", json!({"anonymousRead": true})).await;
    let id = app.published("open", &Package::generic("demo", "1.0")).await;
    app.get("", &version_path("open", &id)).await.expect(200);
    app.call("POST", "/v1/repos/open/packages/versions/drafts").json(&json!({})).send().await.refused(401, "unauthorized");
    app.get("", "/v1/repos/open/quarantine").await.refused(401, "unauthorized");
    app.call("PATCH", "/v1/repos/open").token(&app.admin).json(&json!({"anonymousRead": false})).send().await.expect(200);
    app.get("", &version_path("open", &id)).await.refused(401, "unauthorized");
}

#[tokio::test]
async fn an_administrator_of_one_repo_runs_neither_another_nor_the_instance() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let boss = app.issue("boss", &["repo:main:admin"]).await;
    for (method, path) in
        [("GET", "/v1/audit"), ("PUT", "/v1/policy"), ("POST", "/v1/repos"), ("GET", "/v1/admin/jobs"), ("GET", "/v1/admin/outbox")]
    {
        app.call(method, path).token(&boss).send().await.refused(403, "forbidden");
    }
    for (method, path) in [("PUT", "/v1/repos/other/bindings/boss"), ("PUT", "/v1/repos/other/policy"), ("PATCH", "/v1/repos/other")] {
        app.call(method, path).token(&boss).send().await.refused(404, "not_found");
    }
    app.call("DELETE", "/v1/auth/tokens?subject=admin").token(&boss).send().await.refused(403, "forbidden");
    let all = items(&app.get(&boss, "/v1/auth/tokens").await.expect(200).json());
    assert!(all.iter().all(|token| token["subject"] == "boss"), "{all:?}");
    assert!(!all.iter().any(|token| token.get("token").is_some()), "a secret is shown again");
}

/// Opens the database as somebody with a shell would, triggers out of the way.
fn tamper(app: &TestApp, sql: &str) {
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    connection.execute_batch("DROP TRIGGER audit_fixed_update; DROP TRIGGER audit_fixed_delete;").unwrap();
    connection.execute_batch(sql).unwrap();
    let again = "CREATE TRIGGER audit_fixed_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
        CREATE TRIGGER audit_fixed_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;";
    connection.execute_batch(again).unwrap();
}

#[tokio::test]
async fn any_edit_gap_or_reorder_of_the_trail_is_found() {
    let edits = [
        "UPDATE audit SET actor = 'somebody' WHERE seq = 3",
        "UPDATE audit SET time = time + 1 WHERE seq = 3",
        "UPDATE audit SET details = '{}' WHERE seq = (SELECT max(seq) FROM audit WHERE details <> '{}')",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
        "UPDATE audit SET seq = -1 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -1",
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 2",
    ];
    for edit in edits {
        let app = TestApp::new().await;
        app.published("main", &Package::generic("demo", "1.0")).await;
        app.run_jobs().await;
        assert!(store::check(app.path()).unwrap().faults.is_empty());
        let directory = tempfile::tempdir().unwrap();
        // The edit is made on a copy: the application itself must be sound when it is dropped.
        let copy = directory.path().join("state.db");
        let connection = Connection::open(app.path().join("state.db")).unwrap();
        connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection.execute_batch("DROP TRIGGER audit_fixed_update; DROP TRIGGER audit_fixed_delete;").unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        connection.execute_batch(edit).unwrap();
        drop(connection);
        let report = store::check_audit(directory.path()).unwrap();
        assert!(!report.faults.is_empty(), "nobody noticed: {edit}");
    }
}

#[tokio::test]
async fn a_mutation_whose_audit_row_cannot_be_written_does_not_happen() {
    let app = TestApp::new().await;
    app.create_repo("target", json!({})).await;
    let draft = app.draft(&app.admin, "main", &Package::generic("draft", "1.0")).await;
    let shown = app.published("main", &Package::generic("shown", "1.0")).await;
    let (_, item) = app.held("main", &Package::generic("held", "1.0")).await;
    tamper(&app, "CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'injected'); END;");
    let before = app.everything();
    let posts = [
        ("/v1/auth/tokens".to_owned(), json!({"subject": "ann", "scopes": ["repo:main:read"]})),
        ("/v1/repos".to_owned(), json!({"repoKey": "more"})),
        ("/v1/repos/main/uploads".to_owned(), json!({})),
        ("/v1/repos/main/packages/versions/drafts".to_owned(), json!({"packageType": "generic", "packageName": "more", "version": "1.0"})),
        (format!("{}/publish", version_path("main", &draft)), json!({})),
        (format!("{}/promote", version_path("main", &shown)), json!({"targetRepo": "target"})),
        (format!("{}/tombstone", version_path("main", &shown)), json!({"reason": "why not"})),
        (format!("/v1/repos/main/versions/{shown}/quarantine"), json!({"reason": "why not"})),
        (format!("/v1/repos/main/quarantine/{item}/release"), json!({})),
        (format!("/v1/repos/main/quarantine/{item}/reject"), json!({})),
        ("/v1/repos/main/policy/evaluations".to_owned(), json!({"action": "publish", "versionId": draft, "reason": "x"})),
    ];
    for (path, request) in posts {
        let answer = app.post(&app.admin, &path, request).await;
        assert_eq!(answer.status, 500, "{path}: {}", answer.text());
        assert!(!answer.text().contains("injected"), "{path} tells the cause: {}", answer.text());
        assert_eq!(app.everything(), before, "{path} left something behind");
    }
    for (method, path) in [("PUT", "/v1/repos/main/policy"), ("PUT", "/v1/policy")] {
        let answer =
            app.call(method, path).token(&app.admin).header("content-type", "text/plain").body(crate::support::DENY_ALL).send().await;
        assert_eq!(answer.status, 500, "{path}");
        assert_eq!(app.everything(), before, "{path} left something behind");
    }
    tamper(&app, "DROP TRIGGER no_audit");
    app.publish(&app.admin, "main", &draft).await.expect(200);
}

#[tokio::test]
async fn the_trail_is_listed_by_action_actor_resource_and_time_and_exported_whole() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.clock.advance_ms(DAY_MS);
    app.issue("ann", &["repo:main:read"]).await;
    let tomorrow = app.ask("SELECT max(time) FROM audit");
    assert_eq!(tomorrow.len(), 1);
    let count = async |query: &str| items(&app.get(&app.admin, &format!("/v1/audit{query}")).await.expect(200).json()).len();
    let all = count("?limit=200").await;
    assert_eq!(count("?action=package.version.published").await, 1);
    assert_eq!(count("?actor=system:bootstrap").await, 2);
    assert!(count(&format!("?resource={id}")).await >= 4);
    assert_eq!(count("?since=2026-06-02T00:00:00Z").await, 1);
    assert_eq!(count("?until=2026-06-02T00:00:00Z&limit=200").await, all - 1);
    app.get(&app.admin, "/v1/audit?since=yesterday").await.refused(400, "bad_request");
    let export = app.get(&app.admin, "/v1/audit/export").await.expect(200).text();
    let rows: Vec<serde_json::Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), all);
    let reader = app.issue("bob", &["repo:main:admin"]).await;
    app.get(&reader, "/v1/audit/export").await.refused(403, "forbidden");
}
