//! What different readers see in each of the forms: both simple pages, the JSON API, and the files.

use serde_json::{Value, json};

use super::sdist_tests::sdist;
use super::tests::{JSON, form, wheel};
use crate::domain::access::Write as Writing;
use crate::domain::name::{Coordinates, PackageName, PackageType};
use crate::domain::quarantine::Ballot;
use crate::formats::tests::{Answer, TestApp};
use crate::http::Method;

/// Holds what is called foo-bar.
const HOLD_BY_NAME: &str = r#"@id("by-name") @decision("quarantine") @message("looked at by hand") forbid (principal, action, resource) when { context.package.name == "foo-bar" };"#;

async fn project(app: &TestApp, path: &str, token: &str) -> Answer {
    app.get(&format!("/pypi/main/pypi/{path}/json"), token).await
}

async fn yank(app: &TestApp, version_id: &Value, reason: &str) {
    let id = version_id.as_str().unwrap().parse().unwrap();
    app.app().registry.yank(&app.permit::<Writing>().await, id, reason).await.unwrap();
}

#[tokio::test]
async fn the_json_api_tells_of_a_project_and_of_each_release() {
    let app = TestApp::start().await;
    let headers = "Requires-Python: >=3.8\nRequires-Dist: attrs>=20\nKeywords: one,two\nProject-URL: Source, http://src.test/x\n\
        Classifier: Topic :: Games\nSummary: It plays\nLicense-Expression: MIT\n";
    app.publish("Demo", "1.0", headers).await;
    let yanked = app.publish("Demo", "1.1", "").await.json()["versionId"].clone();
    yank(&app, &yanked, "breaks on Tuesdays").await;

    let answer = project(&app, "demo", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
    let body = answer.json();
    let info = &body["info"];
    assert_eq!((&info["name"], &info["version"], &info["summary"]), (&json!("Demo"), &json!("1.0"), &json!("It plays")));
    assert_eq!((&info["requires_dist"], &info["requires_python"]), (&json!(["attrs>=20"]), &json!(">=3.8")));
    assert_eq!((&info["keywords"], &info["classifiers"]), (&json!("one,two"), &json!(["Topic :: Games"])));
    assert_eq!((&info["project_urls"], &info["license_expression"]), (&json!({"Source": "http://src.test/x"}), &json!("MIT")));
    assert_eq!((&info["yanked"], &info["author"]), (&json!(false), &Value::Null));
    let file = &body["urls"][0];
    let simple = app.index_json("demo", "").await;
    assert_eq!(file["digests"]["sha256"], simple["files"][0]["hashes"]["sha256"]);
    assert_eq!((&file["packagetype"], &file["python_version"], &file["yanked"]), (&json!("bdist_wheel"), &json!("py3"), &json!(false)));
    assert_eq!((&file["upload_time"], &file["upload_time_iso_8601"]), (&json!("2026-11-22T12:00:00"), &json!("2026-11-22T12:00:00.000Z")));
    let address = file["url"].as_str().unwrap().trim_start_matches("http://registry.test");
    assert_eq!(app.get(address, "").await.body.len(), usize::try_from(file["size"].as_u64().unwrap()).unwrap());

    // Everything that says something of the yanked one says the same.
    let reason = json!("breaks on Tuesdays");
    let release = project(&app, "demo/1.1.0", "").await.json();
    assert_eq!((&release["info"]["version"], &release["info"]["yanked_reason"]), (&json!("1.1"), &reason));
    assert_eq!((&release["urls"][0]["yanked"], &release["urls"][0]["yanked_reason"]), (&json!(true), &reason));
    assert_eq!((&body["releases"]["1.1"][0]["yanked_reason"], &simple["files"][1]["yanked"]), (&reason, &reason));
    assert_eq!(body["releases"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_release_that_is_yanked_as_a_whole_says_so_at_each_of_its_files_in_every_form() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "").await;
    app.publish("demo", "1.1", "").await;
    assert_eq!(app.upload(form("demo", "1.1", &sdist("1.1", ""), &[])).await.status, 200);
    let at = Coordinates::new(PackageName::new(PackageType::pypi(), "", "demo").unwrap(), "1.1").unwrap();
    let permit = app.permit::<Writing>().await;
    for reason in [Some("broken & \"odd\"".to_owned()), None] {
        app.app().registry.yank_release(&permit, &at, reason.clone()).await.unwrap();
        let simple = app.index_json("demo", "").await;
        let html = app.get("/pypi/main/simple/demo/", "").await.text();
        let release = project(&app, "demo/1.1", "").await.json();
        let yanked = reason.map_or(json!(false), Value::from);
        assert_eq!(html.matches("data-yanked=\"broken &#38; &#34;odd&#34;\"").count(), if yanked == false { 0 } else { 2 }, "{html}");
        for number in [1, 2] {
            assert_eq!(simple["files"][number]["yanked"], yanked, "{simple}");
            assert_eq!(release["urls"][number - 1]["yanked"], yanked != false, "{release}");
        }
        assert_eq!(project(&app, "demo", "").await.json()["info"]["version"], if yanked == false { "1.1" } else { "1.0" });
    }
}

#[tokio::test]
async fn the_json_api_finds_any_spelling_and_nothing_that_is_not_there() {
    let app = TestApp::start().await;
    app.publish("Foo.Bar", "1.0", "").await;
    for (path, to) in [("Foo_Bar", "../foo-bar/json"), ("foo..bar/1.0", "../../foo-bar/1.0/json")] {
        let moved = project(&app, path, "").await;
        assert_eq!((moved.status, moved.header("location")), (301, to), "{path}");
    }
    for (path, status) in [("nothing", 404), ("foo-bar/2.0", 404), ("foo-bar/x-y", 400), ("-", 404), ("nothing/1.0", 404)] {
        assert_eq!(project(&app, path, "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_json_api_neither_lists_nor_counts_what_is_held_and_never_calls_it_the_newest() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "").await;
    app.publish("demo", "2.0", "Summary: CANARY of a summary\n").await;
    let publisher = app.token("repo:main:write").await;
    for token in ["", app.reader.as_str(), publisher.as_str(), app.admin.as_str()] {
        let answer = project(&app, "demo", token).await;
        assert!(!answer.text().contains("2.0") && !answer.text().contains("CANARY"), "{}", answer.text());
        assert_eq!(answer.json()["info"]["version"], "1.0");
        let refused = project(&app, "demo/2.0", token).await;
        assert_eq!((refused.status, refused.header("cache-control")), (423, "no-store"), "{}", refused.text());
        assert!(refused.reason.contains("quarantined") && refused.reason.contains("Use 1.0"), "{}", refused.reason);
    }
    let before = project(&app, "demo", "").await.header("etag").to_owned();
    app.review(Ballot::Release).await;
    let after = app.call(Method::GET, "/pypi/main/pypi/demo/json", "", &[("if-none-match", &before)], "").await;
    assert_eq!((after.status, after.json()["info"]["version"].clone()), (200, "2.0".into()));
    assert_eq!(project(&app, "demo/2.0", "").await.status, 200);
    // Nothing but something withheld: it is there, and refused.
    app.publish("only", "2.0", "").await;
    assert_eq!(project(&app, "only", "").await.status, 423);
}

#[tokio::test]
async fn a_rule_about_a_name_and_a_file_name_hold_under_every_spelling() {
    let app = TestApp::start().await;
    app.app().registry.put_repo_policy(&app.permit().await, HOLD_BY_NAME.to_owned()).await.unwrap();
    for (number, spelling) in ["Foo_Bar", "foo.bar", "FOO--BAR"].into_iter().enumerate() {
        let version = format!("1.{number}");
        let answer = app.upload(form(spelling, &version, &wheel(spelling, &version, ""), &[])).await;
        assert_eq!(answer.json()["state"], "quarantined", "{spelling}: {}", answer.text());
    }
    let index = app.index_json("foo-bar", "").await;
    assert_eq!(index["versions"], json!(["1.0", "1.1", "1.2"]));
    for file in index["files"].as_array().unwrap() {
        for project in ["foo-bar", "Foo_Bar"] {
            let uri = format!("/pypi/main/files/{project}/{}", file["filename"].as_str().unwrap());
            assert_eq!(app.get(&uri, "").await.status, 423, "{uri}");
        }
    }
}

#[tokio::test]
async fn what_one_reader_was_shown_is_never_given_to_another_of_other_rights() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "").await;
    app.publish("demo", "2.0", "").await;
    let publisher = app.token("repo:main:write").await;
    let mut tags = Vec::new();
    // Twice, so that the second round is answered from memory.
    for token in [app.reader.as_str(), "", publisher.as_str(), app.reader.as_str(), "", publisher.as_str()] {
        let answer = app.index("/pypi/main/simple/demo/", token, JSON).await;
        let is_told = answer.text().contains("rule cooldown");
        assert_eq!(is_told, !token.is_empty(), "{}", answer.text());
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept, Authorization", "private, no-cache"));
        tags.push(answer.header("etag").to_owned());
        // Who may publish may not therefore read what is held.
        for suffix in ["", ".metadata"] {
            let uri = format!("/pypi/main/files/demo/demo-2.0-py3-none-any.whl{suffix}");
            assert_eq!(app.get(&uri, token).await.status, 423, "{uri}");
        }
    }
    assert_ne!(tags[0], tags[1]);
    assert_eq!(tags[..3], tags[3..]);
    // The tag of one view does not confirm another.
    let other = app.call(Method::GET, "/pypi/main/simple/demo/", "", &[("accept", JSON), ("if-none-match", &tags[0])], "").await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_project_with_files_has_no_status_of_its_own_and_its_time_is_when_it_became_visible_here() {
    let app = TestApp::start().await;
    app.publish("demo", "2.0", "").await;
    let held = app.index_json("demo", "").await;
    assert!(held.get("project-status").is_none() && held["meta"].get("project-status").is_none(), "{held}");
    assert!(held["files"][0].get("upload-time").is_none());
    app.review(Ballot::Release).await;
    assert_eq!(app.index_json("demo", "").await["files"][0]["upload-time"], "2026-11-22T12:00:00.000Z");
}

#[tokio::test]
async fn the_words_of_a_rule_cannot_break_out_of_a_header_or_an_attribute() {
    let app = TestApp::start().await;
    let rule = "@id(\"r\") @decision(\"quarantine\") @message(\"\u{fc}ber \\\"><script>\") forbid (principal, action, resource);";
    app.app().registry.put_repo_policy(&app.permit().await, rule.to_owned()).await.unwrap();
    app.upload(form("demo", "1.0", &wheel("demo", "1.0", ""), &[])).await;
    let refused = app.get("/pypi/main/files/demo/demo-1.0-py3-none-any.whl", &app.reader).await;
    assert_eq!(refused.status, 423);
    assert!(refused.reason.bytes().all(|byte| matches!(byte, b' '..=b'~')) && refused.reason.len() <= 200, "{}", refused.reason);
    let html = app.get("/pypi/main/simple/demo/", &app.reader).await.text();
    assert!(!html.contains("<script>") && html.contains("script&#62;"), "{html}");
}
