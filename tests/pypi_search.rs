//! The search that `pip search` asks for. Invariant: it finds what is visible, and answers everything else with a fault in words.

use serde_json::json;

use crate::support::{Response, Served, TestApp, UploadForm, rule, wheel};

fn call_of(method: &str, text: &str) -> String {
    format!(
        "<methodCall><methodName>{method}</methodName><params><param><value><struct><member><name>name</name>\
         <value>{text}</value></member></struct></value></param></params></methodCall>"
    )
}

async fn post(app: &TestApp, body: String) -> Response {
    app.call("POST", "/pypi/main/pypi").header("content-type", "text/xml").body(body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_by_xml_rpc_finds_what_is_visible_and_every_other_method_is_a_fault() {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.set_policy("main", &rule("held", "quarantine", "context.package.name == \"demo-held\"")).await;
    for (name, summary) in [("demo-lib", "It plays <loud>"), ("demo-held", "It waits")] {
        let file = wheel(name, "1.0", &format!("Summary: {summary}"), "", "");
        app.send_form(&app.admin, &UploadForm::of(name, "1.0", &file)).await.expect(200);
    }
    app.run_jobs().await;
    let found = post(&app, call_of("search", "demo")).await.expect(200);
    assert_eq!((found.header("content-type"), found.header("cache-control")), ("text/xml; charset=utf-8", "no-store"));
    let text = found.text();
    assert!(text.contains("<string>demo-lib</string>") && text.contains("<string>1.0</string>"), "{text}");
    assert!(text.contains("It plays &#60;loud&#62;") && !text.contains("demo-held") && !text.contains("waits"), "{text}");
    for (body, says) in [
        (call_of("package_releases", "demo"), "no method package_releases"),
        (call_of("search", ""), "faultString"),
        ("no xml".to_owned(), "no whole call"),
    ] {
        let fault = post(&app, body).await.expect(200);
        assert!(fault.text().contains("<fault>") && fault.text().contains(says), "{says}: {}", fault.text());
    }
    post(&app, "x".repeat(100_000)).await.expect(413);
}

#[test]
fn pip_search_finds_a_project() {
    let served = Served::start();
    let venv = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin");
    let client = served.client("pip", &format!("{}:/usr/bin:/bin", venv.display()));
    let (name, bytes) = crate::clients::wheel("demo-lib", "1.0", "");
    client.write(&name, bytes);
    let (token, to) = (served.writer("main").secret, served.url("/pypi/main/legacy/"));
    client.run("uv", &["publish", "--no-config", "--publish-url", &to, "--token", &token, &name]).well();
    let index = served.url_of("__token__", &token, "/pypi/main/pypi");
    // The index is filled behind the publish.
    let found = (0..100).find_map(|_| {
        let ended = client.run("python", &["-m", "pip", "search", "--disable-pip-version-check", "--index", &index, "demo"]);
        (ended.status == Some(0)).then_some(ended)
    });
    found.expect("the index has it").says(&["demo-lib (1.0)"]);
}
