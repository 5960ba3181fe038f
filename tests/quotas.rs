//! Quotas over a whole instance. Invariant: what has no room leaves nothing behind, whoever brings it and however; the counters are exact,
//! which the end of every test checks.

use artifortress::domain::access::Write;
use artifortress::error::Code;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::{
    Crate, DENY_ALL, Package, TestApp, UploadForm, blob_path, digest_of, npm_document, npm_tarball, package, version_path, wheel,
};

impl TestApp {
    async fn quota(&self, path: &str, quota: Value) -> Value {
        self.call("PUT", path).token(&self.admin).json(&quota).send().await.expect(200).json()
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.path().join("staging")).unwrap().count()
    }
}

const MAIN: &str = "/v1/repos/main/quota";
const INSTANCE: &str = "/v1/admin/quota";

#[tokio::test]
async fn bytes_count_once_for_each_repo_and_once_for_the_instance() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    app.upload(&app.admin, "main", b"12345").await;
    app.upload(&app.admin, "main", b"12345").await;
    app.upload(&app.admin, "other", b"12345").await;
    app.upload(&app.admin, "other", b"678").await;
    let used = async |path: &str| app.get(&app.admin, path).await.expect(200).json()["usedBytes"].clone();
    assert_eq!((used(MAIN).await, used("/v1/repos/other/quota").await, used(INSTANCE).await), (json!(5), json!(8), json!(8)));
    let reader = app.issue("bob", &["repo:main:admin"]).await;
    app.get(&reader, MAIN).await.expect(200);
    app.call("PUT", MAIN).token(&reader).json(&json!({})).send().await.refused(403, "forbidden");
    app.get(&reader, INSTANCE).await.refused(403, "forbidden");
    app.call("PUT", "/v1/repos/none/quota").token(&app.admin).json(&json!({})).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn an_upload_without_room_is_refused_before_its_bytes_and_while_they_come() {
    let app = TestApp::new().await;
    app.upload(&app.admin, "main", b"12345").await;
    for (path, of) in [(MAIN, "main"), (INSTANCE, "instance")] {
        app.quota(path, json!({"maxBytes": 10})).await;
        let big = blob_path("main", &digest_of(b"123456"));
        let refused = app.call("PUT", &big).token(&app.admin).body("123456").send().await.refused(413, "too_large");
        assert_eq!((&refused["quotaOf"], &refused["limit"], &refused["quota"]), (&json!(of), &json!(10), &json!("bytes")));
        // Nobody said how many would come.
        let permit = app.permit::<Write>(&app.admin, "main").await;
        let pieces = futures_util::stream::iter((0..6).map(|_| Ok(Bytes::from_static(b"x"))));
        let error = app.registry().receive(&permit, pieces).await.err().unwrap();
        assert_eq!(error.code(), Code::TooLarge, "{error}");
        // A session says it at the start, or is stopped on its way.
        let sessions = "/v1/repos/main/uploads";
        app.post(&app.admin, sessions, json!({"expectedLength": 6})).await.refused(413, "too_large");
        let id = app.post(&app.admin, sessions, json!({})).await.expect(201).json()["uploadId"].as_str().unwrap().to_owned();
        let part = app.call("PATCH", &format!("{sessions}/{id}")).token(&app.admin).header("content-range", "bytes 0-5/*");
        part.body("123456").send().await.refused(413, "too_large");
        app.call("DELETE", &format!("{sessions}/{id}")).token(&app.admin).send().await;
        assert_eq!((app.staged(), app.ask("SELECT count(*) FROM blobs")), (0, vec!["1".to_owned()]));
        // What is there already needs no room, and what fits to the byte fits.
        app.upload(&app.admin, "main", b"12345").await;
        app.quota(path, json!({})).await;
    }
    app.quota(MAIN, json!({"maxBytes": 10})).await;
    app.upload(&app.admin, "main", b"67890").await;
    assert_eq!(app.get(&app.admin, MAIN).await.json()["nearlyFull"], true);
}

#[tokio::test]
async fn two_uploads_that_fit_alone_do_not_fit_together() {
    let app = TestApp::new().await;
    app.quota(MAIN, json!({"maxBytes": 6})).await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    let source = |bytes: &'static [u8]| futures_util::stream::iter([Ok(Bytes::from_static(bytes))]);
    let first = app.registry().receive(&permit, source(b"1234")).await.unwrap();
    let second = app.registry().receive(&permit, source(b"5678")).await.unwrap();
    app.registry().accept(&permit, first).await.unwrap();
    assert_eq!(app.registry().accept(&permit, second).await.unwrap_err().code(), Code::TooLarge);
    assert_eq!(app.get(&app.admin, MAIN).await.json()["usedBytes"], 4);
    let found = app.get(&app.admin, "/v1/admin/reconcile/blobs").await.expect(200).json();
    assert_eq!(found["orphans"]["count"], 0, "the bytes that had no room are gone: {found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_says_what_the_quota_is_in_the_words_its_clients_show() {
    let app = TestApp::new().await;
    app.quota(MAIN, json!({"maxBytes": 10})).await;
    let words = "the quota of repo main is used up: 10 bytes";
    let put = app.call("PUT", "/files/main/demo/1.0/a.bin?publish").token(&app.admin).body(vec![b'x'; 11]).send().await.expect(413);
    assert!(put.json()["detail"].as_str().unwrap().starts_with(words) && put.reason.starts_with(words), "{} {}", put.reason, put.text());
    let form = app.send_form(&app.admin, &UploadForm::of("demo", "1.0", &wheel("demo", "1.0", "", "", "one = 1"))).await.expect(413);
    assert!(form.reason.starts_with(words), "{}", form.reason);
    let manifest = json!({"name": "demo", "version": "1.0.0"});
    let document = npm_document("demo", "1.0.0", &npm_tarball(&[("package.json", &manifest.to_string())]), &json!({}));
    let npm = app.call("PUT", "/npm/main/demo").token(&app.admin).json(&document).send().await.expect(413);
    assert!(npm.json()["error"].as_str().unwrap().starts_with(words), "{}", npm.text());
    let cargo = app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0")).await.expect(413);
    assert!(cargo.json()["errors"][0]["detail"].as_str().unwrap().starts_with(words), "{}", cargo.text());
    assert_eq!(
        (app.staged(), app.ask("SELECT count(*) FROM versions"), app.ask("SELECT count(*) FROM blobs")),
        (0, vec!["0".to_owned()], vec!["0".to_owned()])
    );
}

#[tokio::test]
async fn versions_count_until_they_are_taken_back_and_a_restore_counts_again() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let first = app.published("main", &Package::generic("a", "1.0")).await;
    app.quota(MAIN, json!({"maxVersions": 2})).await;
    app.published("main", &Package::generic("b", "1.0")).await;
    let drafts = "/v1/repos/main/packages/versions/drafts";
    let refused = app.post(&app.admin, drafts, Package::generic("c", "1.0").draft_request()).await.refused(413, "too_large");
    assert_eq!(refused["quota"], "versions");
    assert_eq!(app.ask("SELECT count(*) FROM packages WHERE name = 'c'"), ["0"], "nothing is half there");
    // Promotion is a way in as every other.
    let there = app.published("other", &Package::generic("d", "1.0")).await;
    app.step(&app.admin, "other", &there, "promote", json!({"targetRepo": "main"})).await.refused(413, "too_large");
    app.tombstone(&app.admin, "main", &first).await.expect(200);
    app.step(&app.admin, "other", &there, "promote", json!({"targetRepo": "main"})).await.expect(200);
    app.step(&app.admin, "main", &first, "restore", json!({})).await.refused(413, "too_large");
    assert_eq!(app.state("main", &first).await, "tombstoned");
    app.quota(MAIN, json!({"maxVersions": 3})).await;
    app.step(&app.admin, "main", &first, "restore", json!({})).await.expect(200);
    // The bytes of a version without room are not left behind.
    app.call("PUT", "/files/main/e/1.0/a.bin?publish").token(&app.admin).body("left behind").send().await.expect(413);
    let form = UploadForm::of("demo", "1.0", &wheel("demo", "1.0", "", "", "one = 1"));
    app.send_form(&app.admin, &form).await.expect(413);
    let found = app.get(&app.admin, "/v1/admin/reconcile/blobs").await.expect(200).json();
    assert_eq!((&found["orphans"]["count"], app.staged()), (&json!(0), 0), "{found}");
    // A denied publish leaves nothing that counts.
    app.quota(MAIN, json!({"maxVersions": 4})).await;
    app.set_policy("main", DENY_ALL).await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    for _ in 0..3 {
        let error = app.deposit(&permit, (&package("generic", "denied"), "1.0"), b"denied", &[]).await.unwrap_err();
        assert_eq!(error.code(), Code::PolicyDenied);
    }
    assert_eq!(app.get(&app.admin, MAIN).await.json()["usedVersions"], 3);
}

#[tokio::test]
async fn a_promotion_needs_room_for_bytes_and_status_names_what_is_nearly_full() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    let id = app.published("other", &Package::generic("demo", "1.0")).await;
    app.quota(MAIN, json!({"maxBytes": 20})).await;
    app.step(&app.admin, "other", &id, "promote", json!({"targetRepo": "main"})).await.refused(413, "too_large");
    assert_eq!(app.get(&app.admin, MAIN).await.json()["usedBytes"], 0);
    app.quota(MAIN, json!({"maxBytes": 23})).await;
    app.step(&app.admin, "other", &id, "promote", json!({"targetRepo": "main"})).await.expect(200);
    app.quota(INSTANCE, json!({"maxVersions": 2})).await;
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    let full: Vec<&Value> = summary["nearlyFullQuotas"].as_array().unwrap().iter().map(|quota| &quota["repoKey"]).collect();
    assert_eq!(full, [&Value::Null, &json!("main")], "{summary}");
    app.get(&app.admin, &version_path("other", &id)).await.expect(200);
}
