//! Publishing and reading through the routes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::Digest as _;

use super::tarball::tests::packed;
use crate::domain::access::Write as Writing;
use crate::domain::digest::hex;
use crate::domain::name::{PackageName, PackageType};
use crate::domain::quarantine::Ballot;
use crate::formats::tests::{Answer, TestApp};
use crate::http::Method;

const INSTALL: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";

/// A tarball whose one file beside `package.json` holds `text`.
pub(super) fn tarball(name: &str, version: &str, text: &str) -> Vec<u8> {
    let manifest = json!({"name": name, "version": version}).to_string();
    packed(&[("package/package.json", &manifest), ("package/index.js", text)])
}

/// The document that npm sends.
pub(super) fn document(name: &str, version: &str, tarball: &[u8], more: Value) -> Value {
    let file_name = format!("{name}-{version}.tgz");
    let integrity = format!("sha512-{}", STANDARD.encode(sha2::Sha512::digest(tarball)));
    let shasum = hex(&sha1::Sha1::digest(tarball));
    let mut manifest = json!({"name": name, "version": version, "_id": format!("{name}@{version}"), "readme": format!("# {name}"),
        "dist": {"integrity": integrity, "shasum": shasum, "tarball": format!("http://registry.test/npm/main/{name}/-/{file_name}")}});
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"_id": name, "name": name, "dist-tags": {"latest": version}, "versions": {version: manifest}, "access": null,
        "_attachments": {file_name: {"content_type": "application/octet-stream", "data": STANDARD.encode(tarball), "length": tarball.len()}}})
}

impl TestApp {
    async fn put_json(&self, uri: &str, body: &Value) -> Answer {
        let answer = self.call(Method::PUT, uri, &self.admin, &[("content-type", "application/json")], body.to_string()).await;
        assert_eq!(self.staged(), 0, "{}", answer.text());
        answer
    }

    async fn npm_publish(&self, name: &str, version: &str, more: Value) -> Answer {
        let body = document(name, version, &tarball(name, version, "1"), more);
        self.put_json(&format!("/npm/main/{}", name.replace('/', "%2f")), &body).await
    }

    async fn published(&self, name: &str, version: &str, more: Value) {
        let answer = self.npm_publish(name, version, more).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    async fn packument(&self, name: &str, token: &str) -> Value {
        let answer = self.get(&format!("/npm/main/{name}"), token).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
        answer.json()
    }
}

#[tokio::test]
async fn a_published_version_is_listed_with_its_digests_and_comes_out_as_it_went_in() {
    let app = TestApp::start().await;
    let bytes = tarball("demo", "1.0.0", "content");
    let more = json!({"description": "words", "dependencies": {"left": "^1"}, "scripts": {"test": "x"}, "zero": 1e2});
    let body = document("demo", "1.0.0", &bytes, more);
    let answer = app.put_json("/npm/main/demo", &body).await;
    assert_eq!(
        (answer.status, answer.json()["state"].clone(), answer.header("npm-notice")),
        (201, "published".into(), ""),
        "{}",
        answer.text()
    );

    let full = app.packument("demo", &app.reader).await;
    let version = &full["versions"]["1.0.0"];
    let dist = &body["versions"]["1.0.0"]["dist"];
    assert_eq!((&version["dist"]["integrity"], &version["dist"]["shasum"]), (&dist["integrity"], &dist["shasum"]));
    assert_eq!((&version["dist"]["fileCount"], &version["dependencies"]), (&json!(2), &json!({"left": "^1"})));
    assert_eq!(version["dist"]["tarball"], "http://registry.test/npm/main/demo/-/demo-1.0.0.tgz");
    assert_eq!(
        (&full["dist-tags"], &full["readme"], &full["description"]),
        (&json!({"latest": "1.0.0"}), &json!("# demo"), &json!("words"))
    );
    assert_eq!((&version["readme"], &version["_npmUser"]["name"]), (&Value::Null, &full["maintainers"][0]["name"]));
    let time = json!("2026-11-22T12:00:00.000Z");
    assert_eq!(full["time"], json!({"created": time, "modified": time, "1.0.0": time}));
    assert!(full["_rev"].as_str().unwrap().starts_with("1-"));
    assert!(app.get("/npm/main/demo", "").await.text().contains("\"zero\":100.0"), "the publisher's own text of a member");
    assert_eq!(app.packument("demo", "").await["maintainers"], Value::Null, "who publishes is told to those who are known");

    let short = app.call(Method::GET, "/npm/main/demo", "", &[("accept", INSTALL)], "").await;
    assert_eq!(short.header("content-type"), "application/vnd.npm.install-v1+json");
    let short = short.json();
    assert_eq!(short["versions"]["1.0.0"]["dist"], version["dist"]);
    assert_eq!((&short["versions"]["1.0.0"]["scripts"], &short["readme"], &short["time"]), (&Value::Null, &Value::Null, &full["time"]));

    let file = app.get("/npm/main/demo/-/demo-1.0.0.tgz", "").await;
    assert_eq!((file.status, &file.body[..]), (200, &bytes[..]));
    assert_eq!(app.call(Method::GET, "/npm/main/demo/-/demo-1.0.0.tgz", "", &[("range", "bytes=0-1")], "").await.body, &b"\x1f\x8b"[..]);
    let head = app.call(Method::HEAD, "/npm/main/demo/-/demo-1.0.0.tgz", "", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, bytes.len().to_string().as_str()));
    for missing in [
        "/npm/main/demo/-/demo-1.0.1.tgz",
        "/npm/main/demo/-/other-1.0.0.tgz",
        "/npm/main/demo/2.0.0",
        "/npm/main/none",
        "/npm/main/demo/beta",
    ] {
        assert_eq!(app.get(missing, "").await.status, 404, "{missing}");
    }
    assert_eq!(app.get("/npm/main/demo/latest", "").await.json()["version"], "1.0.0");
    assert_eq!(app.get("/npm/main/demo/1.0.0", "").await.json()["dist"], version["dist"]);
}

#[tokio::test]
async fn a_scoped_package_has_one_address_in_two_spellings() {
    let app = TestApp::start().await;
    app.published("@team/demo", "1.0.0", json!({})).await;
    let body = document("@team/demo", "1.1.0", &tarball("@team/demo", "1.1.0", "1"), json!({}));
    assert_eq!(app.put_json("/npm/main/@team/demo", &body).await.status, 201);
    let (one, other) = (app.packument("@team%2fdemo", "").await, app.packument("@team/demo", "").await);
    assert_eq!(one, other);
    assert_eq!((&one["name"], &one["dist-tags"]["latest"]), (&json!("@team/demo"), &json!("1.1.0")));
    assert_eq!(one["versions"]["1.0.0"]["dist"]["tarball"], "http://registry.test/npm/main/@team/demo/-/demo-1.0.0.tgz");
    for uri in [
        "/npm/main/@team/demo/-/demo-1.0.0.tgz",
        "/npm/main/@team%2fdemo/-/demo-1.0.0.tgz",
        "/npm/main/@team/demo/1.0.0",
        "/npm/main/@team%2Fdemo/latest",
    ] {
        assert_eq!(app.get(uri, "").await.status, 200, "{uri}");
    }
}

#[tokio::test]
async fn what_is_held_stands_apart_with_one_sentence_and_no_tag_names_it() {
    let app = TestApp::start().await;
    app.published("demo", "1.0.0", json!({})).await;
    app.published("demo", "1.1.0", json!({})).await;
    let held = app.npm_publish("demo", "2.0.0", json!({"description": "canary"})).await;
    assert_eq!((held.status, held.json()["state"].clone()), (201, "quarantined".into()), "{}", held.text());
    let notice = held.header("npm-notice").to_owned();
    assert!(
        notice.starts_with("demo 2.0.0 quarantined: younger than 7 days (rule cooldown).") && notice.contains("http://registry.test/q/"),
        "{notice}"
    );

    let full = app.packument("demo", &app.reader).await;
    let versions: Vec<&str> = full["versions"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((versions, &full["dist-tags"]), (vec!["1.0.0", "1.1.0"], &json!({"latest": "1.1.0"})));
    assert_eq!(full["time"].as_object().unwrap().len(), 5, "times are complete");
    let restricted = &full["policyRestrictions"];
    let message = restricted["message"].as_str().unwrap();
    assert!(
        message.starts_with("demo 2.0.0 quarantined: younger than 7 days (rule cooldown)") && message.contains("Use 1.1.0 or ask"),
        "{message}"
    );
    let expected =
        json!({"2.0.0": {"name": "demo", "version": "2.0.0", "dist": {"tarball": "http://registry.test/npm/main/demo/-/demo-2.0.0.tgz"}}});
    assert_eq!(restricted["versions"], expected);
    let short = app.call(Method::GET, "/npm/main/demo", "", &[("accept", INSTALL)], "").await;
    assert!(short.text().contains("the policy holds it for review") && !short.text().contains("cooldown"), "{}", short.text());
    assert_eq!(short.json()["policyRestrictions"]["versions"], expected);

    for uri in ["/npm/main/demo/-/demo-2.0.0.tgz", "/npm/main/demo/2.0.0"] {
        for method in [Method::GET, Method::HEAD] {
            let refused = app.call(method.clone(), uri, &app.reader, &[], "").await;
            assert_eq!((refused.status, refused.header("cache-control")), (403, "no-store"), "{uri}");
            assert!(refused.header("npm-notice").starts_with("demo 2.0.0 quarantined: younger than 7 days"), "{uri}");
            assert_eq!(method == Method::HEAD, refused.body.is_empty());
        }
    }
    assert_eq!(app.get("/npm/main/demo/latest", "").await.json()["version"], "1.1.0");
    assert_eq!(app.npm_publish("demo", "2.1.0", json!({})).await.status, 201);
    let message = app.packument("demo", "").await["policyRestrictions"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("demo 2.1.0 ") && message.ends_with(" (and 1 more)"), "{message}");

    app.review(Ballot::Release).await;
    let full = app.packument("demo", "").await;
    assert_eq!((full["dist-tags"]["latest"].clone(), full["policyRestrictions"].clone()), ("2.1.0".into(), Value::Null));
}

#[tokio::test]
async fn a_package_of_which_all_is_withheld_still_has_its_document() {
    let app = TestApp::start().await;
    for (version, ballot) in [("2.0.0", Ballot::Reject), ("2.1.0", Ballot::Release)] {
        assert_eq!(app.npm_publish("demo", version, json!({})).await.status, 201);
        let full = app.packument("demo", "").await;
        assert_eq!((&full["versions"], &full["dist-tags"]), (&json!({}), &json!({})));
        assert!(full["policyRestrictions"]["versions"][version].is_object());
        app.review(ballot).await;
    }
    let full = app.packument("demo", &app.reader).await;
    assert_eq!(full["dist-tags"], json!({"latest": "2.1.0"}));
    assert!(full["policyRestrictions"]["message"].as_str().unwrap().starts_with("demo 2.0.0 rejected: "), "{full}");
}

#[tokio::test]
async fn a_denied_publish_says_why_and_leaves_no_version() {
    let app = TestApp::start().await;
    let denied = app.npm_publish("demo", "6.6.6", json!({})).await;
    assert_eq!(denied.status, 403);
    assert!(denied.json()["error"].as_str().unwrap().contains("the number of the beast (rule beast)"), "{}", denied.text());
    assert!(denied.header("npm-notice").contains("the number of the beast"), "{:?}", denied.headers);
    assert_eq!(app.get("/npm/main/demo", &app.admin).await.status, 404);
}

#[tokio::test]
async fn the_same_bytes_again_are_a_success_and_others_a_conflict() {
    let app = TestApp::start().await;
    app.published("demo", "1.0.0", json!({})).await;
    let again = app.npm_publish("demo", "1.0.0", json!({})).await;
    assert_eq!((again.status, again.json()["idempotent"].clone()), (200, true.into()), "{}", again.text());
    let other = document("demo", "1.0.0", &tarball("demo", "1.0.0", "other"), json!({}));
    let refused = app.put_json("/npm/main/demo", &other).await;
    assert_eq!(refused.status, 409);
    assert!(refused.json()["error"].as_str().unwrap().starts_with("You cannot publish over the previously published version 1.0.0"));
    let spelled = app.npm_publish("Demo", "1.1.0", json!({})).await;
    assert!(spelled.status == 409 && spelled.text().contains("is spelled demo here"), "{}", spelled.text());
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_before_anything_is_kept() {
    let app = TestApp::start().await;
    let good = document("demo", "1.0.0", &tarball("demo", "1.0.0", "1"), json!({}));
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        body
    };
    let other_inside = document("demo", "1.0.0", &tarball("evil", "1.0.0", "1"), json!({}));
    let renamed = document("Demo", "1.0.0", &tarball("Demo", "1.0.0", "1"), json!({}));
    let with_v = document("demo", "v1.0.0", &tarball("demo", "1.0.0", "1"), json!({}));
    for (uri, body, status, words) in [
        ("/npm/main/other", good.clone(), 400, "was sent to the address of other"),
        ("/npm/main/demo", changed("/name", json!("other")), 400, "of the package other"),
        ("/npm/main/demo", changed("/versions/1.0.0/name", json!("other")), 400, "the manifest in the document says other"),
        ("/npm/main/demo", changed("/versions/1.0.0/version", json!("1.0.1")), 400, "the manifest in the document says demo 1.0.1"),
        ("/npm/main/demo", changed("/versions/1.0.0/dist/shasum", json!("00")), 409, "shasum"),
        ("/npm/main/demo", changed("/versions/1.0.0/dist/integrity", json!("sha512-AAAA")), 409, "integrity"),
        ("/npm/main/demo", changed("/_attachments/demo-1.0.0.tgz/length", json!(7)), 409, "the document says 7"),
        ("/npm/main/demo", changed("/_attachments/demo-1.0.0.tgz/data", json!("")), 400, "is empty"),
        ("/npm/main/demo", changed("/_attachments/demo-1.0.0.tgz/data", json!("x x")), 400, "base64"),
        ("/npm/main/demo", changed("/versions", json!({})), 400, "belongs to no version"),
        ("/npm/main/demo", other_inside, 400, "says evil 1.0.0, but it is published as demo 1.0.0"),
        ("/npm/main/Demo", renamed, 400, "no capital letters"),
        ("/npm/main/demo", with_v, 400, "without the v"),
        ("/npm/main/demo", changed("/dist-tags", json!({"1.0": "1.0.0"})), 400, "reads as a version"),
        ("/npm/main/@x", good.clone(), 400, "scope without a name"),
        ("/npm/main/demo", json!({"name": "demo"}), 404, "was not found"),
    ] {
        let refused = app.put_json(uri, &body).await;
        assert_eq!(refused.status, status, "{words}: {}", refused.text());
        assert!(refused.json()["error"].as_str().unwrap().contains(words), "{words}: {}", refused.text());
    }
    assert_eq!(app.get("/npm/main/demo", &app.admin).await.status, 404);
}

#[tokio::test]
async fn deprecating_marks_versions_and_unpublishing_takes_them_back() {
    let app = TestApp::start().await;
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        app.published("demo", version, json!({})).await;
    }
    let mut full = app.packument("demo", &app.admin).await;
    full["versions"]["1.1.0"]["deprecated"] = json!("use 1.2.0");
    full["versions"].as_object_mut().unwrap().remove("1.2.0");
    let before = full["_rev"].clone();
    assert_eq!(app.put_json("/npm/main/demo", &full).await.status, 201);
    let marked = app.packument("demo", &app.admin).await;
    assert_eq!(marked["versions"]["1.1.0"]["deprecated"], "use 1.2.0");
    assert!(marked["versions"]["1.2.0"].is_object() && marked["_rev"] != before, "what is left out stays");
    let mut cleared = marked.clone();
    cleared["versions"]["1.1.0"]["deprecated"] = json!("");
    assert_eq!(app.put_json(&format!("/npm/main/demo/-rev/{}", marked["_rev"].as_str().unwrap()), &cleared).await.status, 201);
    assert_eq!(app.packument("demo", "").await["versions"]["1.1.0"]["deprecated"], Value::Null);

    let uri = "/npm/main/demo/-/demo-1.2.0.tgz/-rev/1-x";
    assert_eq!(app.call(Method::DELETE, uri, &app.reader, &[], "").await.status, 403);
    assert_eq!(app.call(Method::DELETE, uri, &app.admin, &[], "").await.status, 201);
    let left = app.packument("demo", &app.admin).await;
    assert_eq!((left["versions"]["1.2.0"].clone(), left["dist-tags"]["latest"].clone()), (Value::Null, "1.1.0".into()));
    let again = app.npm_publish("demo", "1.2.0", json!({})).await;
    assert!(again.status == 409 && again.text().contains("was taken back"), "{}", again.text());

    let stale = app.call(Method::DELETE, &format!("/npm/main/demo/-rev/{}", before.as_str().unwrap()), &app.admin, &[], "").await;
    assert!(stale.status == 409 && stale.text().contains("has changed since"), "{}", stale.text());
    let package = PackageName::new(PackageType::npm(), "", "demo").unwrap();
    let listed = app.app().registry.visible_versions(&app.permit::<Writing>().await.reading(), &package).unwrap();
    let id = listed[0].id;
    let admin = app.permit().await;
    app.app().registry.protect(&admin, id, crate::domain::version::Protection::LegalHold, "a case").await.unwrap();
    let current = format!("/npm/main/demo/-rev/{}", left["_rev"].as_str().unwrap());
    let protected = app.call(Method::DELETE, &current, &app.admin, &[], "").await;
    assert!(protected.status == 403 && protected.text().contains("is protected"), "{} {}", protected.status, protected.text());
    app.app().registry.unprotect(&admin, id).await.unwrap();
    assert_eq!(app.call(Method::DELETE, &current, &app.admin, &[], "").await.status, 201);
    assert_eq!(app.get("/npm/main/demo", &app.admin).await.status, 404);
}

#[tokio::test]
async fn tags_are_set_listed_and_removed() {
    let app = TestApp::start().await;
    app.published("@a/demo", "1.0.0", json!({})).await;
    app.published("@a/demo", "1.1.0", json!({})).await;
    for (uri, version) in [("/npm/main/-/package/@a%2fdemo/dist-tags/old", "1.0.0"), ("/npm/main/-/package/@a/demo/dist-tags/new", "1.1.0")]
    {
        assert_eq!(app.put_json(uri, &json!(version)).await.status, 201, "{uri}");
    }
    let tags = app.get("/npm/main/-/package/@a/demo/dist-tags", "").await.json();
    assert_eq!(tags, json!({"latest": "1.1.0", "old": "1.0.0", "new": "1.1.0"}));
    assert_eq!(tags, app.packument("@a/demo", "").await["dist-tags"]);
    assert_eq!(app.get("/npm/main/@a/demo/old", "").await.json()["version"], "1.0.0");
    assert_eq!(app.call(Method::DELETE, "/npm/main/-/package/@a/demo/dist-tags/old", &app.admin, &[], "").await.status, 200);
    assert_eq!(app.call(Method::DELETE, "/npm/main/-/package/@a/demo/dist-tags/latest", &app.admin, &[], "").await.status, 400);
    assert_eq!(app.get("/npm/main/-/package/@a/demo/dist-tags", "").await.json(), json!({"latest": "1.1.0", "new": "1.1.0"}));
    assert_eq!(app.put_json("/npm/main/-/package/@a/demo/dist-tags/other", &json!("9.9.9")).await.status, 404);
}

#[tokio::test]
async fn a_token_is_who_one_is_and_what_one_logs_in_with() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/npm/main/-/ping", "").await.json(), json!({}));
    assert_eq!(app.get("/npm/main/-/whoami", &app.reader).await.json(), json!({"username": "somebody"}));
    assert_eq!(app.get("/npm/main/-/npm/v1/user", &app.reader).await.json()["name"], "somebody");
    assert_eq!(app.get("/npm/main/-/whoami", "").await.status, 401);
    let login = |password: &str| json!({"_id": "org.couchdb.user:ann", "name": "ann", "password": password, "type": "user", "roles": []});
    let uri = "/npm/main/-/user/org.couchdb.user:ann";
    let good = app.call(Method::PUT, uri, "", &[], login(&app.reader).to_string()).await;
    assert_eq!((good.status, good.json()["token"].clone()), (201, app.reader.as_str().into()));
    for bad in ["", "wrong", "a\nb"] {
        let refused = app.call(Method::PUT, uri, "", &[], login(bad).to_string()).await;
        assert_eq!(refused.status, 401, "{bad:?}: {}", refused.text());
    }
    let browser = app.call(Method::POST, "/npm/main/-/v1/login", "", &[], "{}").await;
    assert!(browser.status == 404 && browser.json()["error"].as_str().unwrap().contains("a token as the password"), "{}", browser.text());
}

#[tokio::test]
async fn a_client_that_has_the_view_is_told_so_until_the_view_changes() {
    let app = TestApp::start().await;
    app.published("demo", "1.0.0", json!({})).await;
    let (first, short) =
        (app.get("/npm/main/demo", "").await, app.call(Method::GET, "/npm/main/demo", "", &[("accept", INSTALL)], "").await);
    assert_ne!(first.header("etag"), short.header("etag"));
    assert_eq!((first.header("cache-control"), first.header("vary")), ("private, no-cache", "Accept, Authorization"));
    let known = [("if-none-match", first.header("etag"))];
    assert_eq!(app.call(Method::GET, "/npm/main/demo", "", &known, "").await.status, 304);
    assert_eq!(app.npm_publish("demo", "2.0.0", json!({})).await.status, 201);
    assert_eq!(app.call(Method::GET, "/npm/main/demo", "", &known, "").await.status, 200, "a hold changes the view");
}
