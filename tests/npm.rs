//! npm's routes over a whole instance. Invariant: what a publish brings is judged as every other version is, each change has its audit row,
//! and no answer to a read is one that makes a client try again.

use serde_json::{Value, json};

use crate::support::{HOLD_ALL, TestApp, items, npm_document, npm_tarball, rule, text};

fn tarball(name: &str, version: &str, manifest: &Value) -> Vec<u8> {
    let mut said = json!({"name": name, "version": version});
    said.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    npm_tarball(&[("package.json", &said.to_string())])
}

async fn publish(app: &TestApp, token: &str, (name, version): (&str, &str), manifest: &Value) -> crate::support::Response {
    let document = npm_document(name, version, &tarball(name, version, manifest), manifest);
    app.call("PUT", &format!("/npm/main/{}", name.replace('/', "%2f"))).token(token).json(&document).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_is_judged_by_what_stands_in_the_tarball_and_is_in_the_audit() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("scripts", "quarantine", "context.scripts.install")).await;
    let mark = app.mark();
    publish(&app, &app.admin, ("plain", "1.0.0"), &json!({})).await.expect(201);
    let audited = app.audit_since(&mark);
    assert!(["package.version.published", "package.tag.set"].iter().all(|action| audited.iter().any(|row| row == action)), "{audited:?}");
    // The document keeps quiet about what the tarball does.
    let loud = tarball("loud", "1.0.0", &json!({"scripts": {"postinstall": "x"}}));
    let document = npm_document("loud", "1.0.0", &loud, &json!({}));
    let answer = app.call("PUT", "/npm/main/loud").token(&app.admin).json(&document).send().await.expect(201);
    assert_eq!(answer.json()["state"], "quarantined", "{}", answer.text());
    assert!(answer.header("npm-notice").starts_with("loud 1.0.0 quarantined: "), "{}", answer.header("npm-notice"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_spellings_of_one_name_are_one_package_to_the_policy_the_store_and_every_route() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("evil", "quarantine", r#"context.package.namespace == "team" && context.package.name == "demo""#)).await;
    let held = publish(&app, &app.admin, ("@team/demo", "1.0.0"), &json!({})).await.expect(201).json();
    assert_eq!(held["state"], "quarantined");
    for spelled in ["@team/demo", "@team%2fdemo", "@team%2Fdemo", "%40team%2Fdemo", "@Team/Demo", "@TEAM%2fdemo"] {
        let document = app.get(&app.admin, &format!("/npm/main/{spelled}")).await.expect(200).json();
        assert_eq!((&document["name"], &document["versions"]), (&json!("@team/demo"), &json!({})), "{spelled}");
        app.get(&app.admin, &format!("/npm/main/{spelled}/-/demo-1.0.0.tgz")).await.expect(403);
    }
    app.set_policy("main", "").await;
    let other = publish(&app, &app.admin, ("@Team/demo", "1.1.0"), &json!({})).await.expect(409);
    assert!(other.text().contains("is spelled @team/demo here"), "{}", other.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_version_stays_held_whatever_is_published_again_under_its_name() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    publish(&app, &app.admin, ("demo", "1.0.0"), &json!({})).await.expect(201);
    app.set_policy("main", "").await;
    for manifest in [json!({}), json!({"description": "other"})] {
        let refused = publish(&app, &app.admin, ("demo", "1.0.0"), &manifest).await.expect(403);
        assert!(refused.header("npm-notice").starts_with("demo 1.0.0 quarantined: "), "{}", refused.text());
    }
    let unpublished = app.call("DELETE", "/npm/main/demo/-/demo-1.0.0.tgz/-rev/1-x").token(&app.admin).send().await;
    assert_eq!(unpublished.status, 403, "{}", unpublished.text());
    let listed = app.get(&app.admin, "/v1/repos/main/quarantine?status=quarantined").await.expect(200).json();
    assert_eq!(items(&listed).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_owner_publishes_deprecates_tags_and_unpublishes_a_package_that_has_owners() {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    publish(&app, &ann, ("demo", "1.0.0"), &json!({})).await.expect(201);
    let document = app.get(&ann, "/npm/main/demo").await.expect(200).json();
    assert_eq!(document["maintainers"], json!([{"name": "ann"}]));
    let user = app.get(&ann, "/npm/main/-/user/org.couchdb.user:ben").await.expect(200).json();
    assert_eq!(user["name"], "ben");
    let owners = json!({"_id": "demo", "_rev": document["_rev"], "maintainers": [{"name": "ann"}, {"name": "ben", "email": ""}]});
    let path = format!("/npm/main/demo/-rev/{}", text(&document, "_rev"));
    app.call("PUT", &path).token(&ann).json(&owners).send().await.expect(201);
    let document = app.get(&ann, "/npm/main/demo").await.expect(200).json();
    assert_eq!(document["maintainers"], json!([{"name": "ann"}, {"name": "ben"}]));
    publish(&app, &bob, ("demo", "1.1.0"), &json!({})).await.expect(403);
    let mut marked = document.clone();
    marked["versions"]["1.0.0"]["deprecated"] = json!("no");
    for (method, path, body) in [
        ("PUT", "/npm/main/demo", marked),
        ("PUT", "/npm/main/-/package/demo/dist-tags/old", json!("1.0.0")),
        ("DELETE", "/npm/main/demo/-/demo-1.0.0.tgz/-rev/1-x", Value::Null),
    ] {
        let refused = app.call(method, path).token(&bob).json(&body).send().await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
    let left = json!({"_id": "demo", "maintainers": [{"name": "ann"}]});
    app.call("PUT", &path).token(&ann).json(&left).send().await.expect(201);
    assert_eq!(app.get(&ann, "/npm/main/demo").await.json()["maintainers"], json!([{"name": "ann"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_another_package_changes_nothing_at_this_ones_address() {
    let app = TestApp::new().await;
    publish(&app, &app.admin, ("demo", "1.0.0"), &json!({})).await.expect(201);
    let said = |name: &str| json!({"name": name, "versions": {"1.0.0": {"name": name, "version": "1.0.0", "deprecated": "gone"}}});
    for path in ["/npm/main/demo", "/npm/main/demo/-rev/1-a"] {
        let refused = app.call("PUT", path).token(&app.admin).json(&said("other")).send().await.expect(400);
        assert!(refused.text().contains("of the package other"), "{}", refused.text());
    }
    let document = app.get(&app.admin, "/npm/main/demo").await.expect(200).json();
    assert_eq!(document["versions"]["1.0.0"]["deprecated"], Value::Null);
    app.call("PUT", "/npm/main/demo").token(&app.admin).json(&said("demo")).send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_a_package_of_which_everything_is_held_says_so_instead_of_being_absent() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    publish(&app, &app.admin, ("held", "1.0.0"), &json!({})).await.expect(201);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let refused = app.get(&reader, "/npm/main/held/latest").await.expect(403);
    assert!(refused.text().contains("held 1.0.0 quarantined"), "{}", refused.text());
    app.get(&reader, "/npm/main/held/next").await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_finds_what_is_visible_in_the_shape_that_npm_reads() {
    let app = TestApp::new().await;
    publish(&app, &app.admin, ("@team/searchable", "1.0.0"), &json!({"description": "finds things"})).await.expect(201);
    app.set_policy("main", &rule("held", "quarantine", r#"context.package.name == "searchable-held""#)).await;
    publish(&app, &app.admin, ("searchable-held", "1.0.0"), &json!({"description": "finds things"})).await.expect(201);
    app.run_jobs().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let found = app.get(&reader, "/npm/main/-/v1/search?text=searchable&size=20&from=0&quality=0.65").await.expect(200).json();
    assert_eq!((&found["total"], found["objects"].as_array().unwrap().len()), (&json!(1), 1), "{found}");
    let package = &found["objects"][0]["package"];
    let told = [&package["name"], &package["version"], &package["scope"], &package["description"], &package["links"]["npm"]];
    assert_eq!(told, ["@team/searchable", "1.0.0", "team", "finds things", "http://registry.test/npm/main/@team/searchable"]);
    assert!(package["date"].is_string() && package["publisher"]["username"].is_string(), "{package}");
    assert_eq!(app.get(&reader, "/npm/main/-/v1/search?text=").await.expect(200).json()["objects"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_by_the_api_is_served_to_npm_with_the_digest_that_is_known() {
    let app = TestApp::new().await;
    let bytes = tarball("by-api", "1.0.0", &json!({}));
    let package = crate::support::Package {
        package_type: "npm".to_owned(),
        name: "by-api".to_owned(),
        version: "1.0.0".to_owned(),
        files: vec![("dist/other-name.tgz".to_owned(), bytes.clone(), None)],
        manifest: Some(
            json!({"name": "evil", "version": "9.9.9", "dist": {"integrity": "sha512-x", "tarball": "http://evil.test/"}}).to_string(),
        ),
    };
    let id = app.draft(&app.admin, "main", &package).await;
    app.publish(&app.admin, "main", &id).await.expect(200);
    let document = app.get(&app.admin, "/npm/main/by-api").await.expect(200).json();
    let version = &document["versions"]["1.0.0"];
    assert_eq!(
        (&version["name"], &version["version"], &document["dist-tags"]),
        (&json!("by-api"), &json!("1.0.0"), &json!({"latest": "1.0.0"}))
    );
    assert_eq!(version["dist"]["tarball"], "http://registry.test/npm/main/by-api/-/by-api-1.0.0.tgz");
    assert!(version["dist"]["integrity"].as_str().unwrap().starts_with("sha256-"), "{version}");
    assert_eq!(app.get(&app.admin, "/npm/main/by-api/-/by-api-1.0.0.tgz").await.expect(200).bytes, bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_is_answered_from_the_advisories_here_and_not_at_all_without_any() {
    let app = TestApp::new().await;
    let path = "/npm/main/-/npm/v1/security/advisories/bulk";
    let asked = json!({"demo": ["1.0.0", "1.5.0"], "@team/fine": ["1.0.0"], "no name at all": ["1.0.0"]});
    let ask = async |body: Vec<u8>, coding: &str| {
        let call = app.call("POST", path).token(&app.admin).header("content-type", "application/json");
        if coding.is_empty() { call.body(body) } else { call.header("content-encoding", coding).body(body) }.send().await
    };
    let unknown = ask(asked.to_string().into_bytes(), "").await.expect(404);
    assert!(unknown.text().contains("no advisories on npm packages are known here"), "{}", unknown.text());
    let record = json!({"id": "GHSA-1", "modified": "2024-01-01T00:00:00Z", "summary": "it is broken",
        "references": [{"type": "ADVISORY", "url": "https://advisory.example/1"}],
        "affected": [{"package": {"ecosystem": "npm", "name": "demo"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]}]});
    app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, asked.to_string().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let plain = ask(asked.to_string().into_bytes(), "").await.expect(200).json();
    assert_eq!(plain, ask(packed.clone(), "gzip").await.expect(200).json());
    assert_eq!(plain.as_object().unwrap().keys().collect::<Vec<_>>(), ["demo"]);
    let told = &plain["demo"][0];
    let members = [&told["title"], &told["severity"], &told["vulnerable_versions"], &told["url"]];
    assert_eq!(members, ["it is broken (GHSA-1)", "high", "<1.2.0", "https://advisory.example/1"], "{told}");
    assert!(told["id"].is_u64(), "some clients know no other ids: {told}");
    for (body, coding) in [(b"[]".to_vec(), ""), (packed, ""), (b"{}".to_vec(), "gzip")] {
        let refused = ask(body, coding).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
}
