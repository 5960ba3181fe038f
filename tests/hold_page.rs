//! The page of a hold, `/q/{quarantineId}`. Invariant: it tells those who may read the repo why something is held, those without credentials
//! the kind of reason only, and nobody else anything; it runs nothing and holds nothing of the content.

use base64::Engine as _;
use serde_json::json;
use sha2::Digest as _;

use crate::support::{Package, TestApp};

const HOLD: &str = "@id(\"cooldown\") @decision(\"quarantine\") @message(\"younger than 7 days\")
forbid (principal, action, resource) when { context.ageDays < 7 && context.package.version == \"2.0\" };";

/// An instance with a held demo 2.0 beside a visible demo 1.0, and the address of the hold's page.
async fn held() -> (TestApp, String, String) {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD).await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "2.0")).await;
    let answer = app.publish(&app.admin, "main", &id).await.expect(202).json();
    let item = crate::support::text(&answer, "quarantineId");
    (app, format!("/q/{item}"), item)
}

async fn open_to_all(app: &TestApp, open: bool) {
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": open})).send().await.expect(200);
}

#[tokio::test]
async fn the_page_says_what_is_held_why_until_when_and_what_to_do() {
    let (app, page, item) = held().await;
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let html = app.get(&reader, &page).await.expect(200).text();
    for part in [
        "Quarantined",
        "<h1>demo 2.0</h1>",
        "pkg:generic/demo@2.0",
        "younger than 7 days",
        "(rule cooldown)",
        "<dt>Opens</dt>",
        "<dd>1.0, ",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(html.contains(&format!("artifortress quarantine release {item} --repo main --comment TEXT --server http://")), "{html}");
}

#[tokio::test]
async fn without_credentials_only_the_kind_of_reason_is_told_and_only_where_anybody_may_read() {
    let (app, page, _) = held().await;
    open_to_all(&app, true).await;
    let html = app.get("", &page).await.expect(200).text();
    assert!(html.contains("the policy holds it for review") && html.contains("With a token"), "{html}");
    assert!(!html.contains("cooldown") && !html.contains("younger"), "{html}");
    open_to_all(&app, false).await;
    let refused = app.get("", &page).await.expect(401);
    assert!(refused.header("www-authenticate").starts_with("Basic") && !refused.text().contains("demo"), "{}", refused.text());
}

#[tokio::test]
async fn who_may_not_read_the_repo_is_told_the_same_as_of_a_hold_that_is_not_there() {
    let (app, page, item) = held().await;
    open_to_all(&app, false).await;
    let stranger = app.issue("eve", &["repo:other:admin"]).await;
    let nothing = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
    for (token, status) in [(stranger.as_str(), 404), ("", 401)] {
        let shown = async |path: &str, id: &str| {
            let answer = app.get(token, path).await.expect(status);
            let request = answer.header("x-request-id").to_owned();
            answer.text().replace(&request, "").replace(id, "")
        };
        assert_eq!(shown(&page, &item).await, shown(&format!("/q/{nothing}"), nothing).await);
    }
    app.get(&app.admin, "/q/x").await.expect(400);
}

#[tokio::test]
async fn a_hold_that_ended_says_how_and_leads_to_the_one_after_it() {
    let (app, page, item) = held().await;
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    app.run_jobs().await;
    let html = app.get(&app.admin, &page).await.expect(200).text();
    assert!(html.contains("Released") && html.contains("can be fetched") && !html.contains("quarantine release"), "{html}");
    let version = app.ask("SELECT version_id FROM quarantine_items").remove(0);
    let again = app.post(&app.admin, &format!("/v1/repos/main/versions/{version}/quarantine"), json!({"reason": "Bob suspects it"})).await;
    let again = crate::support::text(&again.expect(201).json(), "quarantineId");
    let html = app.get(&app.admin, &page).await.expect(200).text();
    assert!(html.contains(&format!("href=\"/q/{again}\"")), "{html}");
    app.vote(&app.admin, "main", &again, "reject").await.expect(200);
    let html = app.get(&app.admin, &format!("/q/{again}")).await.expect(200).text();
    assert!(html.contains("Rejected") && html.contains("for good") && !html.contains("quarantine release"), "{html}");
}

#[tokio::test]
async fn the_browser_is_told_to_run_and_load_nothing_but_the_style_sheet_of_that_page() {
    let (app, page, _) = held().await;
    for (path, status) in [(page.as_str(), 200), ("/q/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", 404)] {
        let answer = app.get(&app.admin, path).await.expect(status);
        let html = answer.text();
        let style = html.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
        let policy = answer.header("content-security-policy");
        assert_eq!(
            policy,
            format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
        );
        assert_eq!((answer.header("cache-control"), answer.header("referrer-policy")), ("no-store", "no-referrer"));
        assert!(!html.contains("<script") && !html.contains(" style=") && !html.contains(" on"), "{html}");
    }
}

#[tokio::test]
async fn what_a_publisher_wrote_is_text_on_the_page() {
    let app = TestApp::new().await;
    let policy = "@id(\"x\") @decision(\"quarantine\") @message(\"<script>alert(1)</script> & \\\"\")
forbid (principal, action, resource);";
    app.set_policy("main", policy).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let answer = app.publish(&app.admin, "main", &id).await.expect(202).json();
    let html = app.get(&app.admin, &format!("/q/{}", crate::support::text(&answer, "quarantineId"))).await.expect(200).text();
    assert!(!html.contains("<script>") && html.contains("&#60;script&#62;"), "{html}");
}
