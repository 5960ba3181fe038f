//! Finding packages, one hit each, as npm's and Cargo's searches do. Invariant: a package is found while something of it is visible, by the
//! version that stands for it, with and without the index.

use artifortress::domain::access::{Read, Write};
use artifortress::domain::name::PackageType;
use artifortress::error::Code;
use artifortress::registry::{More, PackagePage};
use serde_json::json;

use crate::support::{Package, TestApp, package, text, version_path};

/// Publishes a version whose manifest says `summary`.
async fn put(app: &TestApp, package_type: &str, name: &str, version: &str, summary: &str) -> String {
    let (namespace, plain) = name.rsplit_once('/').unwrap_or(("", name));
    let new = Package { package_type: package_type.to_owned(), ..Package::generic(plain, version) };
    let mut draft = new.draft_request();
    draft["packageNamespace"] = json!(namespace);
    let id = text(&app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", draft).await.expect(201).json(), "versionId");
    let path = version_path("main", &id);
    app.call("PUT", &format!("{path}/manifest")).token(&app.admin).json(&json!({"description": summary})).send().await.expect(200);
    let digest = app.upload(&app.admin, "main", b"bytes").await;
    let entry = json!({"relativePath": "package.tgz", "blobDigest": digest, "sizeBytes": 5});
    app.post(&app.admin, &format!("{path}/entries"), json!({"entries": [entry]})).await.expect(200);
    app.publish(&app.admin, "main", &id).await.expect(200);
    app.clock.advance_ms(1000);
    id
}

async fn find(app: &TestApp, q: &str, limit: usize, offset: usize) -> PackagePage {
    let permit = app.permit::<Read>(&app.admin, "main").await;
    app.registry().package_search(&permit, &"npm".parse::<PackageType>().unwrap(), q, limit, offset).unwrap()
}

/// `name version: summary` of each hit, in order.
fn told(page: &PackagePage) -> Vec<String> {
    page.items.iter().map(|hit| format!("{}: {}", hit.version.coordinates, hit.summary)).collect()
}

async fn stocked() -> (TestApp, Vec<String>) {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for (name, version, summary) in [
        ("json", "1.10.0", "reads json"),
        ("json", "1.9.0", "read json once"),
        ("json", "2.0.0-rc.1", "will read json"),
        ("jsonwebtoken", "9.0.0", "signs things"),
        ("@acme/tool", "1.0.0", "turns json into gold"),
        ("lodash", "4.17.21", "utilities"),
    ] {
        ids.push(put(&app, "npm", name, version, summary).await);
    }
    put(&app, "pypi", "json", "7.0.0", "another type").await;
    app.run_jobs().await;
    (app, ids)
}

#[tokio::test]
async fn a_package_is_one_hit_with_its_newest_release_by_its_ecosystems_order() {
    let (app, ids) = stocked().await;
    let found = find(&app, "json", 10, 0).await;
    assert_eq!(told(&found), ["json 1.10.0: reads json", "jsonwebtoken 9.0.0: signs things", "@acme/tool 1.0.0: turns json into gold"]);
    assert_eq!((found.total_count, found.more, found.degraded), (3, More::None, false));
    let second = find(&app, "json", 1, 1).await;
    assert_eq!((told(&second), second.total_count), (vec!["jsonwebtoken 9.0.0: signs things".to_owned()], 3));
    assert!(find(&app, "json", 0, 0).await.items.is_empty());
    assert!(find(&app, "json", 10, 1_000_000).await.items.is_empty());
    assert_eq!(told(&find(&app, "lodash 4.17", 10, 0).await), ["lodash 4.17.21: utilities"]);
    // Yanked releases and pre-releases stand for a package only where there is nothing else.
    app.call("PUT", &format!("{}/yank", version_path("main", &ids[0])))
        .token(&app.admin)
        .json(&json!({"reason": "x"}))
        .send()
        .await
        .expect(200);
    assert_eq!(told(&find(&app, "json", 1, 0).await), ["json 1.9.0: read json once"]);
    app.tombstone(&app.admin, "main", &ids[1]).await.expect(200);
    assert_eq!(told(&find(&app, "json", 1, 0).await), ["json 2.0.0-rc.1: will read json"]);
}

#[tokio::test]
async fn what_is_held_is_neither_found_nor_counted_whatever_the_index_holds() {
    let (app, ids) = stocked().await;
    app.hold(&app.admin, "main", &ids[3]).await.expect(201);
    app.hold(&app.admin, "main", &ids[0]).await.expect(201);
    // The jobs that take them out of the index have not run.
    let found = find(&app, "json", 10, 0).await;
    assert_eq!(told(&found), ["json 1.9.0: read json once", "@acme/tool 1.0.0: turns json into gold"]);
    assert_eq!(found.total_count, 2);
}

#[tokio::test]
async fn without_the_index_the_names_still_answer() {
    let (app, ids) = stocked().await;
    app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200);
    app.hold(&app.admin, "main", &ids[3]).await.expect(201);
    let found = find(&app, "json", 10, 0).await;
    assert_eq!((told(&found), found.degraded, found.total_count), (vec!["json 1.10.0: ".to_owned()], true, 1));
    assert_eq!(told(&find(&app, "acme/tool", 10, 0).await), ["@acme/tool 1.0.0: "]);
    app.post(&app.admin, "/v1/admin/search/resume", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_search_is_bounded_and_looks_in_its_own_repo_alone() {
    let (app, _) = stocked().await;
    app.create_repo("other", json!({})).await;
    let permit = app.permit::<Write>(&app.admin, "other").await;
    app.deposit(&permit, (&package("npm", "json-of-another"), "1.0.0"), b"x", &[]).await.unwrap();
    for number in 0..260 {
        let name = format!("many-{number:03}");
        let permit = app.permit::<Write>(&app.admin, "main").await;
        app.deposit(&permit, (&package("npm", &name), "1.0.0"), b"x", &[]).await.unwrap();
    }
    app.run_jobs().await;
    assert_eq!(find(&app, "json", 1_000, 0).await.total_count, 3);
    let found = find(&app, "many", 1_000, 0).await;
    assert_eq!((found.items.len(), found.total_count), (250, 260));
    assert_eq!(find(&app, "many", 1_000, 250).await.items.len(), 10);
    let permit = app.permit::<Read>(&app.admin, "main").await;
    for q in ["", " ", "a\nb", &"x".repeat(201), &"a b c d ".repeat(9)] {
        let found = app.registry().package_search(&permit, &"npm".parse().unwrap(), q, 10, 0);
        assert!(q.starts_with("a b c") || found.unwrap_err().code() == Code::BadRequest, "{q:?}");
    }
}
