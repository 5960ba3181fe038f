//! Reading. Invariant: held content is blocked or absent on every surface, released content comes back byte for byte, rejected
//! content never; a hold that was acknowledged is in force for the very next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{Package, TestApp, blob_path, digest_of, items, text, version_path};

const BYTES: &[u8] = b"the bytes of demo 1.0";

/// Every address at which a reader finds the version, its manifest or its bytes.
fn surfaces(id: &str) -> Vec<String> {
    vec![
        version_path("main", id),
        format!("{}/manifest", version_path("main", id)),
        blob_path("main", &digest_of(BYTES)),
        "/v1/repos/main/packages".to_owned(),
        "/v1/repos/main/packages/generic/demo".to_owned(),
        "/v1/repos/main/packages/versions?packageType=generic&name=demo".to_owned(),
        "/v1/repos/main/packages/versions/resolve?packageType=generic&name=demo&version=1.0".to_owned(),
        "/v1/repos/main/packages/versions/resolve?packageType=generic&name=demo&version=latest".to_owned(),
        "/v1/repos/main/search/packages?q=demo".to_owned(),
        "/v1/search?q=demo".to_owned(),
        "/files/main/demo/1.0/demo.bin".to_owned(),
    ]
}

fn demo() -> Package {
    Package::generic("demo", "1.0").manifest(&json!({"summary": "demo", "b": 1, "a": [2]}))
}

/// What a reader gets at every surface: the status and the body without what changes with each request.
async fn everything_seen(app: &TestApp, token: &str, id: &str) -> Vec<(u16, String)> {
    let mut seen = Vec::new();
    for path in surfaces(id) {
        let answer = app.get(token, &path).await;
        // A search says what it searched for.
        seen.push((answer.status, answer.text().replace("\"query\":\"demo\",", "")));
    }
    seen
}

#[tokio::test]
async fn held_is_blocked_released_is_byte_identical_rejected_is_blocked_for_good() {
    for fate in ["release", "reject"] {
        let app = TestApp::new().await;
        let reader = app.issue("ann", &["repo:main:read"]).await;
        let id = app.published("main", &demo()).await;
        app.run_jobs().await;
        let before = everything_seen(&app, &reader, &id).await;
        for ((status, body), path) in before.iter().zip(surfaces(&id)) {
            assert_eq!(*status, 200, "{path}: {body}");
            assert!(path.contains("blobs") || path.contains("files") || body.contains("demo"), "{path} does not show it: {body}");
        }
        let held = app.hold(&app.admin, "main", &id).await;
        let item = text(&held.json(), "quarantineId");
        for round in 0..2 {
            for ((status, body), path) in everything_seen(&app, &reader, &id).await.into_iter().zip(surfaces(&id)) {
                let listed = status == 200 && !body.contains(&id) && !body.contains("\"demo\"");
                assert!(listed || status == 423 || status == 404, "round {round}, {path}: {status} {body}");
                assert!(!body.contains("the bytes of") && !body.contains("\"a\":[2]"), "round {round}, {path}: {body}");
            }
            app.run_jobs().await;
        }
        app.vote(&app.admin, "main", &item, fate).await.expect(200);
        app.run_jobs().await;
        let after = everything_seen(&app, &reader, &id).await;
        if fate == "release" {
            assert_eq!(after, before);
        } else {
            assert!(
                after.iter().all(|(status, body)| (*status != 200 || !body.contains("\"demo\"")) && !body.contains("the bytes of")),
                "{after:?}"
            );
        }
        app.store.flush_notes().await.unwrap();
        assert!(app.ask("SELECT action FROM audit").contains(&"read.blocked".to_owned()), "blocked reads leave no trace");
    }
}

#[tokio::test]
async fn bytes_are_nobodys_before_a_version_publishes_them() {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    let digest = app.upload(&ann, "main", BYTES).await;
    let path = blob_path("main", &digest);
    for token in [&ann, &bob, &app.admin] {
        app.get(token, &path).await.refused(404, "not_found");
    }
    assert_eq!(app.call("HEAD", &path).token(&ann).send().await.status, 200);
    assert_eq!(app.call("HEAD", &path).token(&bob).send().await.status, 404);
    app.draft(&ann, "main", &demo()).await;
    app.get(&ann, &path).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_repo_learns_of_bytes_only_by_being_given_them() {
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    app.held("main", &demo()).await;
    let digest = digest_of(BYTES);
    let eve = app.issue("eve", &["repo:other:write"]).await;
    app.get(&eve, &blob_path("other", &digest)).await.refused(404, "not_found");
    assert_eq!(app.call("HEAD", &blob_path("other", &digest)).token(&eve).send().await.status, 404);
    let session = app.post(&eve, "/v1/repos/other/uploads", json!({"expectedDigest": digest})).await.expect(201).json();
    assert_ne!(session["deduped"], true, "the server told that another repo has these bytes");
    let draft = json!({"packageType": "generic", "packageName": "mine", "version": "1.0"});
    let id = text(&app.post(&eve, "/v1/repos/other/packages/versions/drafts", draft).await.expect(201).json(), "versionId");
    let entry = json!({"entries": [{"relativePath": "a", "blobDigest": digest, "sizeBytes": BYTES.len()}]});
    app.post(&eve, &format!("{}/entries", version_path("other", &id)), entry).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_blob_shared_with_something_held_is_blocked_raw_and_served_by_its_own_version() {
    let app = TestApp::new().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let shared = b"a layer that many share";
    let bad = Package::generic("bad", "1.0").without_files().file("layer.bin", shared);
    let good = Package::generic("good", "1.0").without_files().file("layer.bin", shared);
    app.published("main", &good).await;
    let (_, item) = app.held("main", &bad).await;
    let raw = blob_path("main", &digest_of(shared));
    app.get(&reader, &raw).await.refused(423, "quarantined_blob");
    assert_eq!(app.call("HEAD", &raw).token(&reader).send().await.status, 423);
    assert_eq!(app.call("GET", &raw).token(&reader).header("range", "bytes=0-1").send().await.status, 423);
    assert_eq!(app.get(&reader, "/files/main/good/1.0/layer.bin").await.expect(200).bytes, &shared[..]);
    assert_eq!(app.get(&reader, "/files/main/bad/1.0/layer.bin").await.status, 423);
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    assert_eq!(app.get(&reader, &raw).await.expect(200).bytes, &shared[..]);
}

#[tokio::test]
async fn one_range_of_any_legal_form_is_served_and_others_are_not() {
    let app = TestApp::new().await;
    app.published("main", &demo()).await;
    let length = BYTES.len();
    for path in [blob_path("main", &digest_of(BYTES)), "/files/main/demo/1.0/demo.bin".to_owned()] {
        for (range, first, last) in [
            ("bytes=0-3", 0, 3),
            ("bytes=4-", 4, length - 1),
            ("bytes=-5", length - 5, length - 1),
            ("bytes=0-999", 0, length - 1),
            ("bytes=-999", 0, length - 1),
        ] {
            let part = app.call("GET", &path).token(&app.admin).header("range", range).send().await.expect(206);
            assert_eq!(part.bytes, &BYTES[first..=last], "{path} {range}");
            assert_eq!(part.header("content-range"), format!("bytes {first}-{last}/{length}"));
            assert_eq!(part.header("content-length"), (last - first + 1).to_string());
        }
        for range in ["bytes=0-1,3-4", "lines=1-2", "bytes=5-2", "bytes=x"] {
            let whole = app.call("GET", &path).token(&app.admin).header("range", range).send().await;
            assert_eq!((whole.status, whole.bytes.len()), (200, length), "{path} {range}");
        }
        for range in ["bytes=21-", "bytes=1000-2000", "bytes=-0"] {
            let refused = app.call("GET", &path).token(&app.admin).header("range", range).send().await.expect(416);
            assert_eq!(refused.header("content-range"), format!("bytes */{length}"), "{path} {range}");
        }
    }
}

#[tokio::test]
async fn conditions_are_answered_and_a_hold_wins_over_them() {
    let app = TestApp::new().await;
    let id = app.published("main", &demo()).await;
    for path in [blob_path("main", &digest_of(BYTES)), "/files/main/demo/1.0/demo.bin".to_owned()] {
        let whole = app.get(&app.admin, &path).await.expect(200);
        let tag = whole.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", digest_of(BYTES)), "{path}");
        assert_eq!(whole.header("accept-ranges"), "bytes");
        assert!(whole.header("cache-control").contains("no-cache"), "{path}: {}", whole.header("cache-control"));
        for known in [tag.as_str(), "*", &format!("\"other\", {tag}"), &format!("W/{tag}")] {
            let same = app.call("GET", &path).token(&app.admin).header("if-none-match", known).send().await.expect(304);
            assert!(same.bytes.is_empty() && same.header("etag") == tag, "{path} {known}");
        }
        app.call("GET", &path).token(&app.admin).header("if-none-match", "\"other\"").send().await.expect(200);
        let changed = app.call("GET", &path).token(&app.admin).header("range", "bytes=0-3").header("if-range", "\"other\"").send().await;
        assert_eq!((changed.status, changed.bytes.len()), (200, BYTES.len()), "{path}");
        app.call("GET", &path).token(&app.admin).header("range", "bytes=0-3").header("if-range", &tag).send().await.expect(206);
    }
    app.hold(&app.admin, "main", &id).await;
    let tag = format!("\"{}\"", digest_of(BYTES));
    for path in [blob_path("main", &digest_of(BYTES)), "/files/main/demo/1.0/demo.bin".to_owned()] {
        let held = app.call("GET", &path).token(&app.admin).header("if-none-match", &tag).send().await;
        assert_eq!((held.status, held.header("etag"), held.header("cache-control")), (423, "", "no-store"), "{path}");
    }
}

#[tokio::test]
async fn a_head_has_the_headers_of_its_get() {
    let app = TestApp::new().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let id = app.published("main", &demo()).await;
    app.run_jobs().await;
    for state in ["visible", "held"] {
        if state == "held" {
            app.hold(&app.admin, "main", &id).await;
        }
        for path in surfaces(&id) {
            let get = app.get(&reader, &path).await;
            let head = app.call("HEAD", &path).token(&reader).send().await;
            assert!(head.bytes.is_empty(), "{path}");
            assert_eq!(head.status, get.status, "{state} {path}");
            let named = |answer: &crate::support::Response| {
                let mut headers = answer.headers.clone();
                headers.remove("x-request-id");
                headers
            };
            assert_eq!(named(&head), named(&get), "{state} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_in_force_for_the_very_next_request_under_load() {
    let app = TestApp::new().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let busy = Arc::new(AtomicBool::new(true));
    let id = app.published("main", &demo()).await;
    let mut load = Vec::new();
    for path in ["/files/main/demo/1.0/demo.bin".to_owned(), blob_path("main", &digest_of(BYTES)), version_path("main", &id)] {
        for _ in 0..4 {
            let (router, path, reader, busy) = (Arc::clone(&app.router), path.clone(), reader.clone(), Arc::clone(&busy));
            load.push(tokio::spawn(async move {
                while busy.load(Ordering::SeqCst) {
                    let request =
                        http::Request::get(&path).header("authorization", format!("Bearer {reader}")).header("host", "registry.test");
                    let answer = router.handle(request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap()).await;
                    assert!([200, 423].contains(&answer.status().as_u16()));
                    drop(http_body_util::BodyExt::collect(answer.into_body()).await);
                    tokio::task::yield_now().await;
                }
            }));
        }
    }
    for _ in 0..20 {
        let item = text(&app.hold(&app.admin, "main", &id).await.json(), "quarantineId");
        for path in surfaces(&id) {
            let answer = app.get(&reader, &path).await;
            assert!(answer.status != 200 || !answer.text().contains(&id), "{path} shows what is held: {}", answer.text());
            assert!(!answer.text().contains("the bytes of"), "{path}");
        }
        app.vote(&app.admin, "main", &item, "release").await.expect(200);
        assert_eq!(app.get(&reader, "/files/main/demo/1.0/demo.bin").await.expect(200).bytes, BYTES);
    }
    busy.store(false, Ordering::SeqCst);
    for reader in load {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte() {
    let app = TestApp::new().await;
    let odd = "{ \"b\" : 1.0,\n\t\"a\":\"\\u00e9\", \"b2\": 1e3 }";
    let mut package = Package::generic("demo", "1.0");
    package.manifest = Some(odd.to_owned());
    let id = app.published("main", &package).await;
    assert_eq!(app.get(&app.admin, &format!("{}/manifest", version_path("main", &id))).await.expect(200).text(), odd);
}

#[tokio::test]
async fn latest_never_names_what_is_held() {
    let app = TestApp::new().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    let newer = app.published("main", &Package::generic("demo", "2.0")).await;
    let latest = "/v1/repos/main/packages/versions/resolve?packageType=generic&name=demo&version=latest";
    assert_eq!(text(&app.get(&reader, latest).await.expect(200).json(), "version"), "2.0");
    app.hold(&app.admin, "main", &newer).await;
    assert_eq!(text(&app.get(&reader, latest).await.expect(200).json(), "version"), "1.0");
    let list = app.get(&reader, "/v1/repos/main/packages/versions?packageType=generic&name=demo").await.expect(200).json();
    assert_eq!(items(&list).len(), 1);
}

#[tokio::test]
async fn without_credentials_a_refusal_tells_neither_a_rule_nor_a_persons_words() {
    let app = TestApp::new().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let id = app.published("main", &demo()).await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    let hold = format!("/v1/repos/main/versions/{id}/quarantine");
    app.post(&app.admin, &hold, json!({"reason": "words between us reviewers"})).await.expect(201);
    let mut told = 0;
    for path in surfaces(&id) {
        let (stranger, known) = (app.call("GET", &path).send().await, app.get(&reader, &path).await);
        assert_eq!(stranger.status, known.status, "{path}");
        assert!(!stranger.text().contains("between us"), "{path}: {}", stranger.text());
        told += usize::from(known.text().contains("words between us reviewers"));
    }
    assert!(told >= 3, "a reader with a token was told {told} times");
}
