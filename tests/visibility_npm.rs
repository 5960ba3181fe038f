//! The sweep over what came in as npm publishes. Invariant: of a version that is held or rejected the package's document shows its name and
//! why, to readers and to anybody; nothing of its manifest, its readme or its tarball, and no digest of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::{HOLD_ALL, TestApp, digest_of, npm_document, npm_tarball, text};
use crate::visibility::{CANARY, Withheld, sweep};

const INSTALL: &str = "application/vnd.npm.install-v1+json";

/// Publishes a version that has the canary wherever a version can have one; it must be held.
async fn publish(app: &TestApp, name: &str) -> (Withheld, Vec<u8>) {
    let manifest = json!({"name": name, "version": "1.0.0", "description": CANARY}).to_string();
    let tarball = npm_tarball(&[("package.json", &manifest), ("index.js", &format!("'{CANARY} of {name}'"))]);
    let said = json!({"description": CANARY, "readme": CANARY, "keywords": [CANARY], "license": CANARY, "homepage": format!("http://{CANARY}.test/"),
        "author": {"name": CANARY}, "repository": CANARY, "bugs": CANARY, "main": CANARY, "bin": {CANARY: CANARY}, "engines": {"node": CANARY},
        "os": [CANARY], "scripts": {"postinstall": CANARY}, "dependencies": {CANARY: CANARY}, CANARY: CANARY, "funding": CANARY});
    let mut document = npm_document(name, "1.0.0", &tarball, &said);
    document["readme"] = json!(CANARY);
    document["dist-tags"] = json!({"latest": "1.0.0", "next": "1.0.0"});
    let path = format!("/npm/main/{}", name.replace('/', "%2f"));
    let answer = app.call("PUT", &path).token(&app.admin).json(&document).send().await.expect(201).json();
    assert_eq!(answer["state"], "quarantined", "{answer}");
    let version_id = text(&answer, "versionId");
    let manifest_digest = app.ask(&format!("SELECT digest FROM manifests WHERE version_id = '{version_id}'")).remove(0);
    let digest = digest_of(&tarball);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sha512 = STANDARD.encode(sha2::Sha512::digest(&tarball));
    let mut secrets = vec![sha512.to_lowercase(), hex(&sha1::Sha1::digest(&tarball))];
    secrets.extend([&digest, &manifest_digest].map(|digest| digest.trim_start_matches("sha256:").to_owned()));
    let bare = name.rsplit('/').next().unwrap();
    let withheld = Withheld {
        package_type: "npm",
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        file: format!("{bare}-1.0.0.tgz"),
        version_id,
        quarantine_id: text(&answer, "quarantineId"),
        evaluation_id: text(&answer, "evaluationId"),
        digest,
        secrets,
    };
    (withheld, tarball)
}

async fn holding() -> TestApp {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.set_policy("main", HOLD_ALL).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_anybody_anything_of_a_published_npm_version_that_is_withheld() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let mut faults = Vec::new();
    for (name, fate) in [("plain-held", "held"), ("@team/plain-rejected", "rejected")] {
        let (withheld, _) = publish(&app, name).await;
        if fate == "rejected" {
            app.vote(&app.admin, "main", &withheld.quarantine_id, "reject").await.expect(200);
        }
        app.run_jobs().await;
        for token in ["", reader.as_str()] {
            let (count, found) = sweep(&app, &withheld, token).await;
            assert!(count > 100, "only {count} calls were made");
            faults.extend(found);
        }
    }
    assert!(faults.is_empty(), "{} leaks:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_names_what_is_withheld_with_the_reason_and_every_way_to_its_bytes_is_refused() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    for (fate, word) in [("held", "quarantined"), ("rejected", "rejected")] {
        let name = format!("@team/plain-{fate}");
        let (withheld, _) = publish(&app, &name).await;
        if fate == "rejected" {
            app.vote(&app.admin, "main", &withheld.quarantine_id, "reject").await.expect(200);
        }
        for (token, accept) in [("", "*/*"), (reader.as_str(), "*/*"), ("", INSTALL), (reader.as_str(), INSTALL)] {
            let document = app.call("GET", &format!("/npm/main/{name}")).token(token).header("accept", accept).send().await.expect(200);
            let document = document.json();
            assert_eq!((&document["versions"], &document["dist-tags"]), (&json!({}), &json!({})), "{document}");
            assert!(text(&document["policyRestrictions"], "message").starts_with(&format!("{name} 1.0.0 {word}: ")), "{document}");
            let restricted = document["policyRestrictions"]["versions"]["1.0.0"].as_object().unwrap();
            assert_eq!(restricted.keys().map(String::as_str).collect::<Vec<_>>(), ["name", "version", "dist"], "and no more");
            assert!(document["time"]["1.0.0"].is_string(), "{document}");
        }
        let file = format!("plain-{fate}-1.0.0.tgz");
        for spelled in [name.clone(), name.replace('/', "%2f"), name.replace('/', "%2F"), name.to_uppercase(), name.replace('@', "%40")] {
            for path in [
                format!("{spelled}/-/{file}"),
                format!("{spelled}/-/{}", file.to_uppercase().replace("TGZ", "tgz")),
                format!("{spelled}/1.0.0"),
            ] {
                for method in ["GET", "HEAD"] {
                    let refused = app.call(method, &format!("/npm/main/{path}")).token(&reader).send().await.expect(403);
                    assert_eq!((refused.header("cache-control"), refused.header("etag")), ("no-store", ""), "{path}");
                    assert!(refused.header("npm-notice").contains(word) && refused.reason.contains(word), "{path}: {}", refused.reason);
                    let part = app.call(method, &format!("/npm/main/{path}")).token(&reader).header("range", "bytes=0-3").send().await;
                    assert_eq!(part.status, 403, "{path}");
                }
            }
            app.get(&reader, &format!("/npm/main/{spelled}/latest")).await.expect(403);
        }
        let tags = app.get(&reader, &format!("/npm/main/-/package/{name}/dist-tags")).await.expect(200).json();
        assert_eq!(tags, json!({}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_the_canary_in_the_npm_version_once_it_is_released() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let (withheld, tarball) = publish(&app, "plain-free").await;
    app.vote(&app.admin, "main", &withheld.quarantine_id, "release").await.expect(200);
    app.run_jobs().await;
    let (_, found) = sweep(&app, &withheld, &reader).await;
    for surface in [
        "/blobs/",
        "/npm/main/plain-free ",
        "/npm/main/plain-free/1.0.0 ",
        "/npm/main/plain-free/-/plain-free-1.0.0.tgz ",
        &withheld.version_id,
    ] {
        assert!(found.iter().any(|line| line.contains(surface)), "the sweep does not reach {surface}: {} finds", found.len());
    }
    assert_eq!(app.get(&reader, "/npm/main/plain-free/-/plain-free-1.0.0.tgz").await.expect(200).bytes, tarball);
    let searched: Value = app.get(&reader, &format!("/v1/search?q={CANARY}")).await.expect(200).json();
    assert_eq!(searched["totalCount"], 1, "its words are searched by now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_kept_for_those_with_credentials_is_never_sent_to_those_without_and_none_outlives_a_hold() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let (withheld, _) = publish(&app, "plain-page").await;
    let read = async |token: &str| app.get(token, "/npm/main/plain-page").await.expect(200);
    for _ in 0..2 {
        assert!(read(&reader).await.text().contains("hold-all"));
        assert!(!read("").await.text().contains("hold-all"), "the rule's name is for those who are known");
    }
    let before = read("").await.header("etag").to_owned();
    app.vote(&app.admin, "main", &withheld.quarantine_id, "release").await.expect(200);
    let known = app.call("GET", "/npm/main/plain-page").header("if-none-match", &before).send().await;
    assert!(known.status == 200 && known.text().contains(CANARY), "an older view is not taken for the newer one");
    let hold = format!("/v1/repos/main/versions/{}/quarantine", withheld.version_id);
    app.post(&app.admin, &hold, json!({"reason": "looks strange"})).await.expect(201);
    let held = app.call("GET", "/npm/main/plain-page").header("if-none-match", known.header("etag")).send().await;
    assert!(held.status == 200 && !held.text().contains(CANARY), "{}", held.text());
}
