//! Plain files through the routes: draft, publish, hold, release, and what never changes.

use serde_json::Value;

use crate::domain::quarantine::Ballot;
use crate::formats::tests::{Answer, TestApp};
use crate::http::Method;

const FILE: &str = "/files/main/tool/1.0/bin/tool";

impl TestApp {
    async fn put(&self, uri: &str, bytes: &'static str) -> Answer {
        self.call(Method::PUT, uri, &self.admin, &[], bytes).await
    }

    async fn post(&self, uri: &str) -> Answer {
        self.call(Method::POST, uri, &self.admin, &[], "").await
    }
}

fn member(answer: &Answer, name: &str) -> Value {
    answer.json()[name].clone()
}

#[tokio::test]
async fn a_draft_is_filled_file_by_file_and_seen_when_it_is_published() {
    let app = TestApp::start().await;
    let put = app.put(FILE, "first").await;
    assert_eq!((put.status, member(&put, "state")), (201, "draft".into()), "{}", put.text());
    assert_eq!(member(&put, "publishUrl"), "http://registry.test/files/main/tool/1.0?publish");
    assert!(put.text().contains("curl") && put.json()["sizeBytes"] == 5);
    assert_eq!(app.get(FILE, "").await.status, 404);
    assert_eq!(app.put(FILE, "second").await.status, 201);
    assert_eq!(app.put("/files/main/tool/1.0/README%20%C3%BC.txt", "read me").await.status, 201);
    let published = app.post("/files/main/tool/1.0?publish").await;
    assert_eq!((published.status, member(&published, "state")), (200, "published".into()), "{}", published.text());
    assert_eq!(app.get(FILE, "").await.text(), "second");
    let again = app.post("/files/main/tool/1.0?publish").await;
    assert_eq!((again.status, member(&again, "idempotent")), (200, true.into()));

    let list = app.get("/files/main/tool/1.0/", "").await;
    assert_eq!(list.status, 200);
    let files = member(&list, "files");
    assert_eq!(files[1]["path"], "README ü.txt");
    assert_eq!(files[1]["url"], "http://registry.test/files/main/tool/1.0/README%20%C3%BC.txt");
    assert_eq!(app.get("/files/main/tool/1.0/README%20%C3%BC.txt", "").await.text(), "read me");
    let known = app.call(Method::GET, "/files/main/tool/1.0/", "", &[("if-none-match", list.header("etag"))], "").await;
    assert_eq!(known.status, 304);
}

#[tokio::test]
async fn one_put_can_publish_and_what_is_published_never_changes() {
    let app = TestApp::start().await;
    let put = app.put("/files/main/tool/1.0/bin/tool?publish", "bytes").await;
    assert_eq!((put.status, member(&put, "state")), (200, "published".into()), "{}", put.text());
    for uri in [FILE, "/files/main/tool/1.0/bin/tool?publish"] {
        let same = app.put(uri, "bytes").await;
        assert_eq!((same.status, member(&same, "idempotent")), (200, true.into()), "{}", same.text());
        let other = app.put(uri, "other").await;
        assert_eq!((other.status, member(&other, "code")), (409, "version_sealed".into()), "{}", other.text());
    }
    let more = app.put("/files/main/tool/1.0/another", "bytes").await;
    assert_eq!((more.status, member(&more, "code")), (409, "version_sealed".into()));
    assert_eq!(app.get(FILE, "").await.text(), "bytes");
    assert_eq!(app.staged(), 0);
}

#[tokio::test]
async fn ranges_and_heads_are_answered() {
    let app = TestApp::start().await;
    app.put("/files/main/tool/1.0/bin/tool?publish", "0123456789").await;
    let part = app.call(Method::GET, FILE, "", &[("range", "bytes=-3")], "").await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "789".to_owned(), "bytes 7-9/10"));
    let head = app.call(Method::HEAD, FILE, "", &[], "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "10", 0));
    assert_eq!(app.call(Method::GET, FILE, "", &[("range", "bytes=10-")], "").await.status, 416);
}

#[tokio::test]
async fn a_held_version_is_locked_with_its_reason_until_it_is_released() {
    let app = TestApp::start().await;
    app.put("/files/main/tool/1.0/bin/tool?publish", "old").await;
    let held = app.put("/files/main/tool/2.0/bin/tool?publish", "canary").await;
    assert_eq!((held.status, member(&held, "state")), (202, "quarantined".into()), "{}", held.text());
    assert!(member(&held, "message").as_str().unwrap().starts_with("tool 2.0 quarantined: younger than 7 days (rule cooldown). Ask"));
    for method in [Method::GET, Method::HEAD] {
        for (token, says) in [
            ("", "the policy holds it for review. Use 1.0 or ask"),
            (app.reader.as_str(), "younger than 7 days (rule cooldown). Use 1.0 or ask"),
        ] {
            let refused = app.call(method.clone(), "/files/main/tool/2.0/bin/tool", token, &[], "").await;
            assert_eq!(refused.status, 423);
            assert!(refused.reason.contains(says), "{}", refused.reason);
            if method == Method::GET {
                assert_eq!(member(&refused, "detail"), refused.reason.as_str());
                assert_eq!((member(&refused, "alternative"), member(&refused, "state")), ("1.0".into(), "held".into()));
                assert_eq!(refused.text().contains("cooldown"), !token.is_empty(), "{}", refused.text());
            }
        }
    }
    assert_eq!(app.get("/files/main/tool/2.0/", "").await.status, 423);
    assert_eq!(app.put("/files/main/tool/2.0/bin/tool", "canary").await.status, 423);
    app.review(Ballot::Release).await;
    assert_eq!(app.get("/files/main/tool/2.0/bin/tool", "").await.text(), "canary");
}

#[tokio::test]
async fn a_denied_version_stays_a_draft_with_the_reason_in_words() {
    let app = TestApp::start().await;
    let denied = app.put("/files/main/tool/6.6.6/bin/tool?publish", "x").await;
    assert_eq!((denied.status, member(&denied, "code"), member(&denied, "state")), (403, "policy_denied".into(), "denied".into()));
    assert!(denied.reason.contains("the number of the beast (rule beast)"), "{}", denied.reason);
    assert_eq!(app.get("/files/main/tool/6.6.6/bin/tool", "").await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_a_byte_is_kept() {
    let app = TestApp::start().await;
    for (method, uri, header, status) in [
        (Method::PUT, "/files/main/tool/1.0/a?publish=no", ("accept", "*/*"), 400),
        (Method::PUT, "/files/main/tool/1.0/a?publsh", ("accept", "*/*"), 400),
        (Method::PUT, "/files/main/tool/1.0/..%2fa", ("accept", "*/*"), 400),
        (Method::PUT, "/files/main/tool/1.0/a", ("content-range", "bytes 1-2/3"), 400),
        (Method::PUT, "/files/main/to%2fol/1.0/a", ("accept", "*/*"), 400),
        (Method::POST, "/files/main/tool/1.0", ("accept", "*/*"), 400),
        (Method::POST, "/files/main/tool/1.0?publish", ("accept", "*/*"), 404),
    ] {
        let refused = app.call(method, uri, &app.admin, &[header], "bytes").await;
        assert_eq!(refused.status, status, "{uri}: {}", refused.text());
    }
    assert_eq!(app.staged(), 0);
    let small = TestApp::start_with(|directory| {
        let mut config = crate::config::Config::in_directory(directory);
        config.http.upload_limit_bytes = 4;
        config
    })
    .await;
    let refused = small.put(FILE, "12345").await;
    assert_eq!((refused.status, member(&refused, "limit")), (413, 4.into()));
}
