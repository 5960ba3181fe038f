//! The upload form and the index through the routes.

use std::io::Write;
use std::process::Command;

use md5::Digest as _;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::domain::access::Write as Writing;
use crate::domain::digest::{Digest, hex};
use crate::domain::quarantine::Ballot;
pub(super) use crate::formats::tests::{Answer, TestApp};
use crate::http::Method;

pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// A wheel that Python itself brings: its file name and bytes.
pub(super) fn bundled(name: &str) -> Option<(String, Vec<u8>)> {
    let code = "import ensurepip, os; print(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'))";
    let output = Command::new("python3").args(["-c", code]).output().unwrap();
    let mut places = vec![String::from_utf8(output.stdout).unwrap().trim().to_owned()];
    places.push("/usr/share/python-wheels".to_owned());
    let files = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().map(Result::unwrap);
    let path = files.map(|file| file.path()).find(|path| {
        let file_name = path.file_name().unwrap().to_string_lossy();
        file_name.starts_with(&format!("{name}-")) && file_name.ends_with(".whl")
    })?;
    Some((path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
}

/// A small wheel with these headers beside name and version.
pub(super) fn wheel(name: &str, version: &str, headers: &str) -> (String, Vec<u8>) {
    let module = name.replace('-', "_");
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\nText.\n");
    for (path, text) in
        [(format!("{module}/__init__.py"), "CANARY = 1\n".to_owned()), (format!("{module}-{version}.dist-info/METADATA"), metadata)]
    {
        writer.start_file(path, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    (format!("{module}-{version}-py3-none-any.whl"), writer.finish().unwrap().into_inner())
}

/// The form that twine sends; `more` comes before the file.
pub(super) fn form(name: &str, version: &str, file: &(String, Vec<u8>), more: &[(&str, &str)]) -> Vec<u8> {
    let sha256 = Digest::of(&file.1).hex();
    let md5 = hex(&md5::Md5::digest(&file.1));
    let said = [(":action", "file_upload"), ("protocol_version", "1"), ("metadata_version", "2.1"), ("name", name), ("version", version)];
    let digests = [("sha256_digest", sha256.as_str()), ("md5_digest", md5.as_str()), ("blake2_256_digest", "00")];
    let fields = said.iter().chain(&digests).filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).chain(more);
    let mut body = Vec::new();
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        write!(body, "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").unwrap();
    }
    write!(
        body,
        "--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        file.0
    )
    .unwrap();
    body.extend_from_slice(&file.1);
    body.extend_from_slice(b"\r\n--b--\r\n");
    body
}

impl TestApp {
    pub(super) async fn upload(&self, body: Vec<u8>) -> Answer {
        let answer =
            self.call(Method::POST, "/pypi/main/legacy/", &self.admin, &[("content-type", "multipart/form-data; boundary=b")], body).await;
        assert_eq!(self.staged(), 0, "{}", answer.text());
        answer
    }

    pub(super) async fn publish(&self, name: &str, version: &str, headers: &str) -> Answer {
        let answer = self.upload(form(name, version, &wheel(name, version, headers), &[])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    pub(super) async fn index(&self, uri: &str, token: &str, accept: &str) -> Answer {
        self.call(Method::GET, uri, token, &[("accept", accept)], "").await
    }

    pub(super) async fn index_json(&self, project: &str, token: &str) -> Value {
        let answer = self.index(&format!("/pypi/main/simple/{project}/"), token, JSON).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{}", answer.text());
        answer.json()
    }
}

#[tokio::test]
async fn a_real_wheel_goes_in_and_comes_out_with_its_metadata() {
    let app = TestApp::start().await;
    let file = ("pip-23.2.1-py3-none-any.whl".to_owned(), Vec::new());
    let file = bundled("pip").unwrap_or(file);
    let version = file.0.split('-').nth(1).unwrap().to_owned();
    app.app().registry.put_repo_policy(&app.permit().await, String::new()).await.unwrap();
    let answer = app.upload(form("pip", &version, &file, &[("requires_python", ">=2")])).await;
    assert_eq!((answer.status, answer.json()["state"].clone()), (200, "published".into()), "{}", answer.text());
    assert!(answer.header("artifortress-decision").starts_with("published; pip-"));

    let index = app.index_json("pip", "").await;
    assert_eq!(index["versions"], json!([version]));
    let listed = &index["files"][0];
    assert_eq!((listed["filename"].clone(), listed["yanked"].clone()), (file.0.clone().into(), false.into()));
    assert_eq!((listed["size"].clone(), listed["upload-time"].clone()), (file.1.len().into(), "2026-11-22T12:00:00.000Z".into()));
    assert_ne!(listed["requires-python"], ">=2", "what stands in the wheel counts");
    let uri = format!("/pypi/main/files/pip/{}", file.0);
    let (bytes, metadata) = (app.get(&uri, "").await, app.get(&format!("{uri}.metadata"), "").await);
    assert_eq!(Digest::of(&bytes.body).hex(), listed["hashes"]["sha256"]);
    assert_eq!(bytes.body, file.1);
    assert_eq!(Digest::of(&metadata.body).hex(), listed["core-metadata"]["sha256"]);
    assert!(metadata.text().contains("Name: pip") && metadata.header("content-type").starts_with("text/plain"));
    assert_eq!(app.call(Method::GET, &uri, "", &[("range", "bytes=0-3")], "").await.body, &b"PK\x03\x04"[..]);
    assert_eq!(app.call(Method::GET, &uri, "", &[("if-none-match", bytes.header("etag"))], "").await.status, 304);
}

#[tokio::test]
async fn the_same_file_again_is_a_success_and_another_under_its_name_a_conflict() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "").await;
    let again = app.publish("demo", "1.0", "").await;
    assert_eq!(again.json()["idempotent"], true);
    let other = app.upload(form("demo", "1.0", &wheel("demo", "1.0", "Summary: other\n"), &[])).await;
    assert_eq!(other.status, 409);
    assert!(other.reason.starts_with("File already exists"), "{}", other.reason);
    let respelled = app.upload(form("Demo", "1.0.0", &wheel("demo", "1.0", "Summary: other\n"), &[])).await;
    assert_eq!(respelled.status, 409, "{}", respelled.text());
}

#[tokio::test]
async fn a_held_file_is_listed_with_its_reason_and_nothing_of_its_content() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "Requires-Python: >=3.8\n").await;
    let held = app.publish("demo", "2.0", "Requires-Python: >=3.99\n").await;
    assert_eq!(held.json()["state"], "quarantined");
    assert!(
        held.header("artifortress-decision")
            .starts_with("quarantined; demo-2.0-py3-none-any.whl quarantined: younger than 7 days (rule cooldown)")
    );

    let reader = app.reader.clone();
    let index = app.index_json("demo", &reader).await;
    assert_eq!(index["versions"], json!(["1.0", "2.0"]));
    let (old, new) = (&index["files"][0], &index["files"][1]);
    assert_eq!((old["yanked"].clone(), old["requires-python"].clone()), (false.into(), ">=3.8".into()));
    let mut keys: Vec<&String> = new.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["filename", "hashes", "url", "yanked"]);
    assert_eq!(new["hashes"], json!({}));
    let why = new["yanked"].as_str().unwrap();
    assert!(why.starts_with("demo 2.0 quarantined: younger than 7 days (rule cooldown). Use 1.0 or ask"), "{why}");
    let html = app.index("/pypi/main/simple/demo/", &reader, "text/html").await.text();
    assert!(html.contains("<a href=\"../../files/demo/demo-2.0-py3-none-any.whl\" data-yanked=\"demo 2.0 quarantined: "), "{html}");
    assert!(html.contains("data-requires-python=\"&#62;=3.8\"") && !html.contains("3.99"), "{html}");
    let anybody = app.index_json("demo", "").await["files"][1]["yanked"].as_str().unwrap().to_owned();
    assert!(anybody.contains("the policy holds it for review") && !anybody.contains("cooldown"), "{anybody}");

    for suffix in ["", ".metadata"] {
        for method in [Method::GET, Method::HEAD] {
            let uri = format!("/pypi/main/files/demo/demo-2.0-py3-none-any.whl{suffix}");
            let refused = app.call(method, &uri, &reader, &[], "").await;
            assert_eq!((refused.status, refused.header("cache-control")), (423, "no-store"), "{uri}");
            assert!(
                refused.reason.contains("younger than 7 days (rule cooldown). Use 1.0 or ask: http://registry.test/q/"),
                "{}",
                refused.reason
            );
        }
    }
    let again = app.upload(form("demo", "2.0", &wheel("demo", "2.0", "Requires-Python: >=3.99\n"), &[])).await;
    assert_eq!(again.status, 423, "{}", again.text());
    app.review(Ballot::Release).await;
    let released = app.index_json("demo", "").await;
    assert_eq!((released["files"][1]["yanked"].clone(), released["files"][1]["requires-python"].clone()), (false.into(), ">=3.99".into()));
    assert_eq!(app.get("/pypi/main/files/demo/demo-2.0-py3-none-any.whl", "").await.status, 200);
}

#[tokio::test]
async fn a_project_of_which_everything_is_held_or_rejected_still_says_why() {
    let app = TestApp::start().await;
    app.publish("demo", "2.0", "").await;
    app.review(Ballot::Reject).await;
    let index = app.index_json("demo", &app.reader).await;
    assert_eq!(index["files"][0]["yanked"], "demo 2.0 rejected: younger than 7 days (rule cooldown). Use another version");
    let refused = app.get("/pypi/main/files/demo/demo-2.0-py3-none-any.whl", "").await;
    assert_eq!(
        (refused.status, refused.json()["state"].clone(), refused.json()["title"].clone()),
        (423, "rejected".into(), "Rejected".into())
    );
}

#[tokio::test]
async fn a_denied_upload_says_why_and_is_not_listed() {
    let app = TestApp::start().await;
    let denied = app.upload(form("demo", "6.6.6", &wheel("demo", "6.6.6", ""), &[])).await;
    assert_eq!((denied.status, denied.json()["code"].clone()), (403, "policy_denied".into()));
    assert!(denied.reason.contains("the number of the beast (rule beast)"), "{}", denied.reason);
    assert_eq!(app.index("/pypi/main/simple/demo/", "", JSON).await.status, 404);
}

#[tokio::test]
async fn html_and_json_say_the_same_and_each_has_its_own_tag() {
    let app = TestApp::start().await;
    app.publish("demo", "1.0", "Requires-Python: >=3.8, <4\n").await;
    let id = app.publish("demo", "1.1", "").await.json()["versionId"].as_str().unwrap().parse().unwrap();
    app.app().registry.yank(&app.permit::<Writing>().await, id, "broken <on> \"Tuesdays\"").await.unwrap();
    app.publish("demo", "2.0", "").await;
    let json = app.index_json("demo", "").await;
    let html = app.index("/pypi/main/simple/demo/", "", "").await.text();
    for file in json["files"].as_array().unwrap() {
        let link = html.lines().find(|line| line.contains(file["filename"].as_str().unwrap())).unwrap();
        assert!(link.contains(file["url"].as_str().unwrap()));
        assert_eq!(
            file["hashes"]["sha256"].as_str().is_some_and(|sha256| link.contains(&format!("#sha256={sha256}"))),
            !file["hashes"]["sha256"].is_null()
        );
        assert_eq!(link.contains("data-core-metadata"), !file["core-metadata"].is_null(), "{link}");
        assert_eq!(link.contains("data-requires-python"), !file["requires-python"].is_null(), "{link}");
        assert_eq!(link.contains("data-yanked"), file["yanked"] != false, "{link}");
    }
    assert_eq!(json["files"][1]["yanked"], "broken <on> \"Tuesdays\"");
    assert!(html.contains("data-yanked=\"broken &#60;on&#62; &#34;Tuesdays&#34;\""), "{html}");
    let mut tags = Vec::new();
    for accept in ["text/html", JSON, "application/vnd.pypi.simple.v1+html"] {
        let answer = app.index("/pypi/main/simple/demo/", "", accept).await;
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept, Authorization", "private, no-cache"));
        let known =
            app.call(Method::GET, "/pypi/main/simple/demo/", "", &[("accept", accept), ("if-none-match", answer.header("etag"))], "").await;
        assert_eq!((known.status, known.body.len(), known.header("vary")), (304, 0, "Accept, Authorization"));
        tags.push(answer.header("etag").to_owned());
    }
    tags.dedup();
    assert_eq!(tags.len(), 3);
    let before = tags[1].clone();
    app.review(Ballot::Release).await;
    let after = app.call(Method::GET, "/pypi/main/simple/demo/", "", &[("accept", JSON), ("if-none-match", &before)], "").await;
    assert_eq!(after.status, 200);
}

#[tokio::test]
async fn projects_are_found_under_any_spelling_and_named_by_one() {
    let app = TestApp::start().await;
    app.publish("Foo.Bar", "1.0", "").await;
    for (uri, to) in [
        ("/pypi/main/simple/Foo.Bar/?format=text/html", "../foo-bar/?format=text/html"),
        ("/pypi/main/simple/foo__bar/", "../foo-bar/"),
        ("/pypi/main/simple/foo-bar", "foo-bar/"),
        ("/pypi/main/simple/Foo_Bar", "foo-bar/"),
        ("/pypi/main/simple", "simple/"),
    ] {
        let moved = app.get(uri, "").await;
        assert_eq!((moved.status, moved.header("location")), (301, to), "{uri}");
    }
    let uri = format!("/pypi/main/simple/?format={JSON}");
    assert_eq!(app.get(&uri, "").await.json()["projects"], json!([{"name": "foo-bar"}]));
    assert!(app.get("/pypi/main/simple/", "").await.text().contains("<a href=\"foo-bar/\">foo-bar</a>"));
    assert_eq!(app.get("/pypi/main/simple/foo-bar/?format=xml", "").await.status, 400);
    for missing in
        ["/pypi/main/simple/nothing/", "/pypi/main/simple/-/", "/pypi/main/files/foo-bar/nothing.whl", "/pypi/main/files/-/a.whl"]
    {
        assert_eq!(app.get(missing, "").await.status, 404, "{missing}");
    }
    let file = app.get("/pypi/main/files/FOO_bar/Foo.Bar-1.0-py3-none-any.whl", "").await;
    assert_eq!(file.status, 200);
}

#[tokio::test]
async fn a_form_that_contradicts_itself_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let demo = wheel("demo", "1.0", "");
    let renamed = |file_name: &str| (file_name.to_owned(), demo.1.clone());
    let inside = |name: &str, version: &str| ("demo-1.0-py3-none-any.whl".to_owned(), wheel(name, version, "").1);
    for (body, status, says) in [
        (form("demo", "1.0", &demo, &[(":action", "submit")]), 400, "submit"),
        (form("demo", "1.0", &demo, &[("protocol_version", "2")]), 400, "version 2"),
        (form("demo", "1.0", &demo, &[("filetype", "sdist")]), 400, "sdist"),
        (form("demo", "1.0", &demo, &[("name", "")]), 400, "no field name"),
        (form("demo", "1.1", &demo, &[]), 400, "demo 1.1"),
        (form("other", "1.0", &demo, &[]), 400, "other 1.0"),
        (form("demo", "one", &demo, &[]), 400, "PEP 440"),
        (form("demo", "1.0", &renamed("demo-1.0.exe"), &[]), 400, "wheels"),
        (form("demo", "1.0", &renamed("../demo-1.0.tar.gz"), &[]), 400, "file name"),
        (form("demo", "1.0", &inside("evil", "1.0"), &[]), 400, "evil"),
        (form("demo", "1.0", &inside("demo", "2.0"), &[]), 400, "2.0"),
        (form("demo", "1.0", &("demo-1.0-py3-none-any.whl".to_owned(), b"no zip".to_vec()), &[]), 400, "zip"),
        (form("demo", "1.0", &demo, &[("sha256_digest", &"0".repeat(64))]), 409, "not what was announced"),
        (form("demo", "1.0", &demo, &[("sha256_digest", "xyz")]), 400, "digest"),
        (form("demo", "1.0", &demo, &[("md5_digest", &"0".repeat(32))]), 409, "md5"),
        (form("demo", "1.0", &demo, &[("summary", "one"), ("summary", "two")]), 400, "summary"),
        (form("demo", "1.0", &demo, &[("summary", &"x".repeat(200_000))]), 413, "summary"),
    ] {
        let refused = app.upload(body).await;
        assert_eq!(refused.status, status, "{says}: {}", refused.text());
        assert!(refused.text().contains(says), "{says}: {}", refused.text());
    }
    assert_eq!(app.index("/pypi/main/simple/demo/", "", JSON).await.status, 404);
    app.publish("demo", "1.0", "").await;
}

#[tokio::test]
async fn a_broken_form_is_the_clients_fault() {
    let app = TestApp::start().await;
    let whole = form("demo", "1.0", &wheel("demo", "1.0", ""), &[]);
    for cut in [0, 10, whole.len() / 2, whole.len() - 12] {
        assert_eq!(app.upload(whole[..cut].to_vec()).await.status, 400, "cut at {cut}");
    }
    let endless = format!("--b\r\nContent-Disposition: form-data; name=\"{}", "x".repeat(3_000_000));
    assert_eq!(app.upload(endless.into_bytes()).await.status, 400);
    let many = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n".repeat(6000) + "--b--\r\n";
    assert_eq!(app.upload(many.into_bytes()).await.status, 413);
    let two = String::from_utf8_lossy(&form("demo", "1.0", &("demo-1.0.tar.gz".to_owned(), b"x".to_vec()), &[])).replace("--b--", "--b");
    let second = "Content-Disposition: form-data; name=\"content\"; filename=\"b-1.0.tar.gz\"\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(app.upload(format!("{two}{second}").into_bytes()).await.status, 400);
    let plain = app.call(Method::POST, "/pypi/main/legacy", &app.admin, &[("content-type", "application/json")], "{}").await;
    assert_eq!((plain.status, app.staged()), (400, 0));
    assert!(plain.text().contains("multipart/form-data"));
}

#[tokio::test]
async fn the_gate_reads_what_stands_in_the_wheel_and_not_what_the_form_says_of_it() {
    let app = TestApp::start().await;
    let rule = "@id(\"copyleft\") @message(\"copyleft\") forbid (principal, action, resource) when { context.licenses.copyleft };";
    app.app().registry.put_repo_policy(&app.permit().await, rule.to_owned()).await.unwrap();
    let copyleft = wheel("demo", "1.0", "License-Expression: AGPL-3.0-only\n");
    let denied = app.upload(form("demo", "1.0", &copyleft, &[("license_expression", "MIT")])).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    let permissive = wheel("demo", "1.0", "License-Expression: MIT\n");
    assert_eq!(app.upload(form("demo", "1.0", &permissive, &[])).await.status, 200);
}
