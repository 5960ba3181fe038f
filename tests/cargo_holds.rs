//! Crates that are held, rejected or denied. Invariant: the index keeps their lines and says yanked; no way to their bytes is open, and
//! every refusal says why in the form that Cargo shows and nobody stores.

use serde_json::{Value, json};

use crate::support::{Crate, Response, TestApp, download_path, index_path, items, rule, tarball, text};

/// Holds versions 2 and later, denies 6.6.6.
fn policy() -> String {
    rule("cooldown", "quarantine", "context.package.version like \"2*\"") + &rule("beast", "deny", "context.package.version == \"6.6.6\"")
}

async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.set_policy("main", &policy()).await;
    app
}

fn detail(answer: &Response) -> String {
    text(&answer.json()["errors"][0], "detail")
}

async fn only_item(app: &TestApp) -> String {
    let held = app.get(&app.admin, "/v1/repos/main/quarantine?status=quarantined").await.expect(200).json();
    assert_eq!(items(&held).len(), 1, "{held}");
    text(&items(&held)[0], "quarantineId")
}

#[tokio::test]
async fn a_held_crate_is_listed_as_yanked_and_its_line_changes_in_nothing_else_ever() {
    let app = app().await;
    let held =
        Crate::new("demo", "2.0.0").saying("deps", json!([{"name": "a", "version_req": "^1"}])).saying("description", json!("words"));
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0")).await.expect(200);
    let warnings = app.publish_crate(&app.admin, "main", &held).await.expect(200).json();
    let said = warnings["warnings"]["other"][0].as_str().unwrap().to_owned();
    assert!(said.starts_with("demo 2.0.0 quarantined: rule cooldown fired (rule cooldown)") && said.len() <= 200, "{said}");

    let reader = app.issue("reader", &["repo:main:read"]).await;
    let path = index_path("main", "demo");
    let while_held = app.get(&reader, &path).await.expect(200);
    let lines: Vec<String> = while_held.text().lines().map(str::to_owned).collect();
    let yanked = |line: &String| serde_json::from_str::<Value>(line).unwrap()["yanked"].clone();
    assert_eq!(lines.iter().map(yanked).collect::<Vec<_>>(), [json!(false), json!(true)]);
    app.clock.advance_ms(86_400_000);
    app.vote(&app.admin, "main", &only_item(&app).await, "release").await.expect(200);
    let fresh = app.call("GET", &path).token(&reader).header("if-none-match", while_held.header("etag")).send().await.expect(200);
    let released: Vec<String> = fresh.text().lines().map(str::to_owned).collect();
    assert_eq!(released, [lines[0].clone(), lines[1].replace("\"yanked\":true", "\"yanked\":false")]);
    assert_eq!(app.get(&reader, &download_path("main", "demo", "2.0.0")).await.expect(200).bytes, held.bytes);

    let id = app.ask("SELECT version_id FROM versions WHERE version = '2.0.0'")[0].clone();
    app.hold(&app.admin, "main", &id).await;
    assert_eq!(app.index_lines(&reader, "main", "demo").await, lines, "held again, the same line again");
    let stale = app.call("GET", &path).token(&reader).header("if-none-match", fresh.header("etag")).send().await;
    assert_eq!(stale.status, 200, "what was known of before the hold does not count");
    app.vote(&app.admin, "main", &only_item(&app).await, "reject").await.expect(200);
    assert_eq!(app.index_lines(&reader, "main", "demo").await, lines, "rejected, the same line still");
}

#[tokio::test]
async fn no_way_to_the_bytes_of_what_is_withheld_is_open_and_the_reason_is_told() {
    let app = app().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.publish_crate(&app.admin, "main", &Crate::new("de-mo", "1.0.0")).await.expect(200);
    let held = Crate::new("de-mo", "2.0.0");
    app.publish_crate(&app.admin, "main", &held).await.expect(200);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    for word in ["quarantined", "rejected"] {
        if word == "rejected" {
            app.vote(&app.admin, "main", &only_item(&app).await, "reject").await.expect(200);
        }
        for (token, names_rule) in [("", false), (reader.as_str(), true)] {
            for name in ["de-mo", "de_mo", "DE-MO"] {
                let path = download_path("main", name, "2.0.0");
                for (header, value) in [("accept", "*/*"), ("range", "bytes=0-1"), ("if-none-match", "*"), ("if-range", "\"x\"")] {
                    for method in ["GET", "HEAD"] {
                        let refused = app.call(method, &path).bare_token(token).header(header, value).send().await.expect(423);
                        assert_eq!((refused.header("cache-control"), refused.header("etag")), ("no-store", ""), "{method} {path}");
                        assert!(refused.reason.starts_with(&format!("{name} 2.0.0 {word}: ")), "{}", refused.reason);
                    }
                }
                let said = detail(&app.call("GET", &path).bare_token(token).send().await);
                assert!(said.contains("1.0.0") && said.is_ascii() && said.len() <= 200, "{said}");
                assert_eq!(said.contains("cooldown"), names_rule, "{said}");
            }
        }
        let again = app.publish_crate(&app.admin, "main", &held).await.expect(423);
        assert!(detail(&again).starts_with(&format!("de-mo 2.0.0 {word}: ")), "{}", detail(&again));
    }
}

#[tokio::test]
async fn a_denied_crate_leaves_nothing_but_the_decision() {
    let app = app().await;
    let refused = app.publish_crate(&app.admin, "main", &Crate::new("de-mo", "6.6.6")).await.expect(403);
    assert!(detail(&refused).contains("rule beast fired (rule beast)"), "{}", refused.text());
    assert_eq!(refused.header("cache-control"), "no-store");
    assert_eq!(app.ask("SELECT count(*) FROM versions"), ["0"]);
    assert_eq!(app.ask("SELECT count(*) FROM evaluations WHERE decision = 'deny'"), ["1"]);
    app.get(&app.admin, &index_path("main", "de-mo")).await.expect(404);
    app.get(&app.admin, &download_path("main", "de-mo", "6.6.6")).await.expect(404);
    // Not even its spelling is left.
    app.publish_crate(&app.admin, "main", &Crate::new("De_mo", "1.0.0")).await.expect(200);
    app.publish_crate(&app.admin, "main", &Crate::new("de-mo", "1.1.0")).await.expect(409);
    app.set_policy("main", "").await;
    app.publish_crate(&app.admin, "main", &Crate::new("De_mo", "6.6.6")).await.expect(200);
}

#[tokio::test]
async fn the_index_of_a_crate_whose_last_good_version_is_held_stays_with_its_lines() {
    let app = app().await;
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "2.0.0")).await.expect(200);
    let lines = app.index_lines(&app.admin, "main", "demo").await;
    assert!(lines.len() == 1 && lines[0].contains("\"yanked\":true"), "{lines:?}");
    let refused = app.get(&app.admin, &download_path("main", "demo", "2.0.0")).await.expect(423);
    assert!(!detail(&refused).contains("Use "), "there is nothing to use instead: {}", detail(&refused));
    app.vote(&app.admin, "main", &only_item(&app).await, "reject").await.expect(200);
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await, lines);
}

#[tokio::test]
async fn the_index_is_the_same_to_everybody_who_may_read_it_and_closed_to_everybody_else() {
    let app = app().await;
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0")).await.expect(200);
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "2.0.0")).await.expect(200);
    let path = index_path("main", "demo");
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let stranger = app.issue("stranger", &["repo:other:read"]).await;
    let seen = app.get(&app.admin, &path).await.expect(200);
    assert_eq!((app.get(&reader, &path).await.expect(200).bytes, seen.header("cache-control")), (seen.bytes.clone(), "private, no-cache"));
    app.get(&stranger, &path).await.expect(404);
    app.get("", &path).await.expect(401);
    app.call("GET", &path).header("if-none-match", seen.header("etag")).send().await.expect(401);
    let known = app.call("GET", &path).token(&reader).header("if-none-match", seen.header("etag")).send().await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
    let head = app.call("HEAD", &path).token(&reader).send().await.expect(200);
    assert_eq!((head.header("etag"), head.bytes.len()), (seen.header("etag"), 0));
}

#[tokio::test]
async fn what_is_inside_a_crate_is_judged_and_not_what_its_form_says() {
    let app = TestApp::new().await;
    let builds = rule("builds", "quarantine", "context.contents.readable && context.scripts.build");
    let needs = rule("needs", "deny", "context.requiresComplete && context.requires.contains(\"bad-lib\")");
    app.set_policy("main", &(builds + &needs)).await;
    let files = |more: &str| {
        let manifest = format!("[package]\nname = \"demo\"\nversion = \"1.0.0\"\n{more}");
        vec![("demo-1.0.0/Cargo.toml".to_owned(), manifest), ("demo-1.0.0/build.rs".to_owned(), "fn main() {}".to_owned())]
    };
    let packed = |more: &str| {
        let files = files(more);
        let files: Vec<(String, &str)> = files.iter().map(|(path, content)| (path.clone(), content.as_str())).collect();
        Crate { bytes: tarball(&files), ..Crate::new("demo", "1.0.0") }
    };
    for hidden in [
        packed("[dependencies]\nbad_lib = \"1\"\n"),
        Crate::new("demo", "1.0.0").saying("deps", json!([{"name": "bad_lib", "version_req": "1"}])),
    ] {
        assert!(detail(&app.publish_crate(&app.admin, "main", &hidden).await.expect(403)).contains("rule needs fired"));
    }
    let renamed = json!([{"name": "bad_lib", "version_req": "1", "explicit_name_in_toml": "good"}]);
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0").saying("deps", renamed)).await.expect(403);
    let held = app.publish_crate(&app.admin, "main", &packed("")).await.expect(200).json();
    assert!(held["warnings"]["other"][0].as_str().unwrap().contains("rule builds fired"), "{held}");
}

#[tokio::test]
async fn a_reserved_name_and_a_crate_that_is_too_large_are_refused_before_anything_is_kept() {
    let app = TestApp::with(|config| config.http.upload_limit_bytes = 8192).await;
    let reserved = json!({"pattern": "cargo:acme-*", "publishers": ["alice"], "reason": "names of our own"});
    app.post(&app.admin, "/v1/repos/main/reservations", reserved).await.expect(201);
    let (ben, alice) = (app.issue("ben", &["repo:main:write"]).await, app.issue("alice", &["repo:main:write"]).await);
    for name in ["acme-lib", "acme_lib", "Acme_Lib"] {
        let refused = app.publish_crate(&ben, "main", &Crate::new(name, "1.0.0")).await.expect(403);
        assert!(detail(&refused).contains("reserved"), "{}", detail(&refused));
    }
    app.publish_crate(&alice, "main", &Crate::new("acme_lib", "1.0.0")).await.expect(200);
    let large = Crate::with_source("large", "1.0.0", &"// padding\n".repeat(1000));
    let refused = app.publish_crate(&ben, "main", &large).await.expect(413);
    assert!(detail(&refused).contains("8192"), "{}", detail(&refused));
    assert_eq!(std::fs::read_dir(app.path().join("staging")).unwrap().count(), 0);
    assert_eq!(app.ask("SELECT count(*) FROM versions"), ["1"]);
}

#[tokio::test]
async fn what_cargo_shows_is_one_line_of_ascii_without_what_reviewers_say_among_themselves() {
    let app = TestApp::new().await;
    let words = rule("odd", "quarantine", "true").replace("rule odd fired", "zur\u{fc}ckgehalten {\\\"errors\\\":[]}");
    app.set_policy("main", &words).await;
    let held = app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0")).await.expect(200).json();
    let said = held["warnings"]["other"][0].as_str().unwrap();
    assert!(said.bytes().all(|byte| matches!(byte, b' '..=b'~')) && said.len() <= 200, "{said:?}");
    app.vote(&app.admin, "main", &only_item(&app).await, "reject").await.expect(200);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let refused = app.get(&reader, &download_path("main", "demo", "1.0.0")).await.expect(423);
    for said in [detail(&refused), refused.reason.clone()] {
        assert!(said.bytes().all(|byte| matches!(byte, b' '..=b'~')) && said.len() <= 200, "{said:?}");
        assert!(!said.contains("looked at"), "the comment of the vote: {said}");
    }
    assert!(!refused.text().contains("looked at"));
}
