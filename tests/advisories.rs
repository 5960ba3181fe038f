//! Advisories through the API and the command line. Invariant: an import counts whole or not at all, the same again changes nothing, an
//! older revision never takes the place of a newer one, and what is in force reaches the gate.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::command_line::typed;
use crate::support::{Daemon, Package, Response, TestApp, rule, text};

const IMPORTS: &str = "/v1/admin/advisories/imports";

/// An advisory on the npm package `demo`: versions before 2.0.0.
fn advisory(id: &str, modified: &str) -> Value {
    json!({"id": id, "modified": modified, "aliases": [format!("CVE-{id}")], "database_specific": {"severity": "HIGH"},
        "affected": [{"package": {"ecosystem": "npm", "name": "demo"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}]})
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

async fn import(app: &TestApp, body: impl Into<bytes::Bytes>) -> Response {
    app.call("POST", IMPORTS).token(&app.admin).body(body).send().await
}

async fn in_force(app: &TestApp) -> Value {
    app.get(&app.admin, "/v1/admin/advisories").await.expect(200).json()
}

fn npm(version: &str) -> Package {
    Package { package_type: "npm".to_owned(), ..Package::generic("demo", version) }
}

#[tokio::test]
async fn the_same_import_again_changes_nothing_and_is_no_event() {
    let app = TestApp::new().await;
    assert_eq!(in_force(&app).await["digest"], Value::Null);
    let mark = app.mark();
    let records = [advisory("A-1", "2024-01-01T00:00:00Z"), advisory("A-2", "0001-01-01T00:00:00Z")];
    let first = import(&app, lines(&records)).await.expect(200).json();
    assert_eq!((&first["read"], &first["changed"], &first["unchanged"], &first["older"]), (&json!(2), &json!(2), &json!(0), &json!(0)));
    assert_eq!(first["snapshot"]["ecosystems"], json!({"npm": 2}));
    assert_eq!(first["snapshot"]["newestModifiedAt"], "2024-01-01T00:00:00.000Z");
    assert_eq!(first["snapshot"]["importedBySubject"], "admin");
    assert_eq!(
        (app.audit_since(&mark), app.events_since(&mark)),
        (vec!["advisories.imported".to_owned()], vec!["advisories.changed".to_owned()])
    );
    let (mark, before) = (app.mark(), app.everything());
    let again = import(&app, format!("\n{}\n", lines(&records))).await.expect(200).json();
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!(0), &json!(2)));
    assert_eq!(again["snapshot"], first["snapshot"]);
    assert_eq!((app.audit_since(&mark).len(), app.everything()), (0, before));
    let shown = app.get(&app.admin, "/v1/admin/advisories/A-1").await.expect(200).json();
    assert_eq!((&shown["record"], &shown["packages"]), (&records[0], &json!([{"ecosystem": "npm", "nameKey": "demo"}])));
    app.get(&app.admin, "/v1/admin/advisories/A-9").await.refused(404, "not_found");
}

#[tokio::test]
async fn an_import_with_one_fault_leaves_everything_as_it_was_and_names_the_line() {
    let app = TestApp::new().await;
    import(&app, lines(&[advisory("A-1", "2024-01-01T00:00:00Z")])).await.expect(200);
    let (before, mark, standing) = (app.everything(), app.mark(), in_force(&app).await);
    // More than one batch, so that the first ones are written when the fault is found.
    let many: Vec<Value> = (0..600).map(|number| advisory(&format!("B-{number}"), "2025-01-01T00:00:00Z")).collect();
    let faulty = format!("{}{}\n", lines(&many), json!({"id": "B-x"}));
    let refusal = import(&app, faulty).await.refused(400, "bad_request");
    assert!(text(&refusal, "message").contains("line 601") && text(&refusal, "message").contains("nothing was imported"), "{refusal}");
    assert_eq!((app.everything(), app.audit_since(&mark).len(), in_force(&app).await), (before, 0, standing));
    assert_eq!(app.ask("SELECT count(*) FROM advisory_records"), ["1"]);
    import(&app, "").await.refused(400, "bad_request");
    import(&app, "[]\n").await.refused(400, "bad_request");
    let reader = app.issue("ben", &["repo:main:admin"]).await;
    app.call("POST", IMPORTS).token(&reader).body(lines(&many)).send().await.refused(403, "forbidden");
}

#[tokio::test]
async fn an_older_revision_never_takes_the_place_of_a_newer_one() {
    let app = TestApp::new().await;
    let (old, new) = (advisory("A-1", "2024-01-01T00:00:00Z"), advisory("A-1", "2025-01-01T00:00:00Z"));
    import(&app, lines(std::slice::from_ref(&new))).await.expect(200);
    let standing = in_force(&app).await;
    let replayed = import(&app, lines(std::slice::from_ref(&old))).await.expect(200).json();
    assert_eq!((&replayed["changed"], &replayed["older"]), (&json!(0), &json!(1)));
    assert_eq!(in_force(&app).await, standing);
    // Of two revisions in one import, in either order, the newer counts; of two of one time, the last.
    for lines_of_both in [lines(&[old.clone(), new.clone()]), lines(&[new.clone(), old.clone()])] {
        let both = import(&app, lines_of_both).await.expect(200).json();
        assert_eq!(both["changed"], 0, "{both}");
    }
    let mut other = new.clone();
    other["summary"] = json!("said in other words");
    let twins = lines(&[new.clone(), other.clone()]);
    assert_eq!(import(&app, twins.clone()).await.expect(200).json()["changed"], 1);
    assert_eq!(import(&app, twins).await.expect(200).json()["changed"], 0, "the same again");
    let shown = app.get(&app.admin, "/v1/admin/advisories/A-1").await.expect(200).json();
    assert_eq!(shown["record"], other);
    assert_eq!(app.ask("SELECT count(*) FROM advisory_records"), ["1"], "what was displaced is removed");
    assert_eq!(app.ask("SELECT count(*) FROM advisory_packages"), ["1"]);
}

#[tokio::test]
async fn what_a_broken_import_left_counts_for_nobody_and_the_next_import_removes_it() {
    let app = TestApp::new().await;
    import(&app, lines(&[advisory("A-1", "2024-01-01T00:00:00Z")])).await.expect(200);
    let left = artifortress::advisories::Record::read(advisory("A-2", "2024-01-01T00:00:00Z").to_string().as_bytes()).unwrap();
    app.store.bookkeep(move |tx| tx.stage_advisories(&[left])).await.unwrap();
    app.get(&app.admin, "/v1/admin/advisories/A-2").await.refused(404, "not_found");
    let id = app.draft(&app.admin, "main", &npm("1.0.0")).await;
    app.set_policy("main", &rule("two", "deny", "context.advisories.count > 1")).await;
    app.publish(&app.admin, "main", &id).await.expect(200);
    let next = import(&app, lines(&[advisory("A-3", "2024-01-01T00:00:00Z")])).await.expect(200).json();
    assert_eq!((&next["changed"], &next["snapshot"]["recordCount"]), (&json!(1), &json!(2)));
    app.get(&app.admin, "/v1/admin/advisories/A-2").await.refused(404, "not_found");
}

#[tokio::test]
async fn the_gate_judges_by_what_the_advisories_say_and_keeps_their_digest() {
    let app = TestApp::new().await;
    let policy = rule("known", "deny", "context.advisories.malicious")
        + &rule(
            "severe",
            "quarantine",
            "context.advisories.maxSeverity.greaterThanOrEqual(decimal(\"7.0\")) && context.advisories.fixAvailable",
        );
    app.set_policy("main", &policy).await;
    let before = app.draft(&app.admin, "main", &npm("0.9.0")).await;
    app.publish(&app.admin, "main", &before).await.expect(200);
    let malware = json!({"id": "MAL-2026-1", "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "npm", "name": "demo"}, "versions": ["3.0.0"]}]});
    let answer = import(&app, lines(&[advisory("A-1", "2024-01-01T00:00:00Z"), malware])).await.expect(200).json();
    let digest = text(&answer["snapshot"], "digest");
    for (version, status) in [("1.0.0", 202), ("2.0.0", 200), ("3.0.0", 403), ("2.0.0-rc.1", 202)] {
        let id = app.draft(&app.admin, "main", &npm(version)).await;
        let answer = app.publish(&app.admin, "main", &id).await.expect(status);
        if status == 202 {
            let list = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={id}")).await.expect(200).json();
            let evaluation = text(&list["items"][0], "evaluationId");
            let stored = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations/{evaluation}")).await.expect(200).text();
            assert!(stored.contains(&digest) && stored.contains("CVE-A-1"), "{stored}");
        }
        drop(answer);
    }
    let mut withdrawn = advisory("A-1", "2025-01-01T00:00:00Z");
    withdrawn["withdrawn"] = json!("2025-01-01T00:00:00Z");
    import(&app, lines(&[withdrawn])).await.expect(200);
    let id = app.draft(&app.admin, "main", &npm("1.1.0")).await;
    app.publish(&app.admin, "main", &id).await.expect(200);
}

#[test]
fn an_import_whose_client_goes_away_in_the_middle_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let many: Vec<Value> = (0..600).map(|number| advisory(&format!("B-{number}"), "2025-01-01T00:00:00Z")).collect();
    let body = lines(&many);
    for head in [
        format!("content-length: {}\r\n\r\n{body}", body.len() + 10),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()),
    ] {
        let mut stream = daemon.connect();
        let request = format!("POST {IMPORTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{head}", daemon.admin());
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    }
    let standing = daemon.call(&daemon.admin(), "GET", "/v1/admin/advisories", b"").unwrap().json();
    assert_eq!(standing["importedAt"], Value::Null);
    let whole = daemon.call(&daemon.admin(), "POST", IMPORTS, body.as_bytes()).unwrap();
    assert_eq!((whole.status, &whole.json()["changed"]), (200, &json!(600)));
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn advisories_are_imported_from_the_command_line_with_a_server_and_without() {
    let directory = tempfile::tempdir().unwrap();
    let good =
        write(directory.path(), "good.jsonl", &lines(&[advisory("A-1", "2024-01-01T00:00:00Z"), advisory("A-2", "2024-01-01T00:00:00Z")]));
    let bad = write(directory.path(), "bad.jsonl", &lines(&[advisory("A-3", "2024-01-01T00:00:00Z"), json!({"id": "A-4"})]));
    typed(directory.path(), &format!("advisories import {good}")).complains(1, &["no server has been started on"]);
    let daemon = Daemon::start(directory.path(), &[]);
    assert!(typed(directory.path(), "advisories status").done().starts_with("no advisories were imported yet"));
    let said = typed(directory.path(), &format!("advisories import {good} {bad}"))
        .complains(1, &["bad.jsonl, line 2", "`modified`", "nothing was imported"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(typed(directory.path(), "advisories status --json").json()["digest"], Value::Null);
    let said = typed(directory.path(), &format!("advisories import {good}")).done();
    assert!(
        said.starts_with("2 records read: 2 changed, 0 known already, 0 older than what is known\n2 advisory records in force: sha256:"),
        "{said}"
    );
    let shown = typed(directory.path(), "advisories show A-1 --json").json();
    assert_eq!(shown["advisoryId"], "A-1");
    typed(directory.path(), "advisories show A-9").complains(1, &["advisory A-9 was not found"]);
    let standing = typed(directory.path(), "advisories status --json").json();
    daemon.stop();
    assert_eq!(typed(directory.path(), "advisories status --json").json(), standing, "without a server the same");
    let said = typed(directory.path(), &format!("advisories import --json {good}")).json();
    assert_eq!((&said["changed"], &said["snapshot"]), (&json!(0), &standing));
    typed(directory.path(), &format!("advisories import {good} {bad}")).complains(1, &["bad.jsonl, line 2"]);
    typed(directory.path(), "advisories show A-9").complains(1, &["advisory A-9 was not found"]);
    let more = write(directory.path(), "more.json", &advisory("A-5", "2024-01-01T00:00:00Z").to_string());
    assert_eq!(
        typed(directory.path(), &format!("advisories import --json {more}")).json()["snapshot"]["importedBySubject"],
        "system:command-line"
    );
    let shown = typed(directory.path(), "advisories status").done();
    assert!(shown.contains("advisories     3") && shown.contains("npm            3"), "{shown}");
    typed(directory.path(), "verify").done();
    typed(directory.path(), "advisories import").complains(2, &["FILE"]);
}
