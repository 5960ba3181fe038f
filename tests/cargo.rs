//! Crates through the routes: publish, index, download, yank, and what is refused. Invariant: the line of a version has the same bytes
//! each time it is asked for, but for `yanked`.

use serde_json::{Value, json};

use crate::support::{Crate, TestApp, digest_of, download_path, index_path, tarball};

fn cksum(what: &Crate) -> String {
    digest_of(&what.bytes).trim_start_matches("sha256:").to_owned()
}

fn detail(answer: &crate::support::Response) -> String {
    let body = answer.json();
    body["errors"][0]["detail"].as_str().unwrap_or_else(|| panic!("no detail in {body}")).to_owned()
}

async fn open(app: &TestApp) {
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
}

#[tokio::test]
async fn a_crate_is_published_listed_and_downloaded() {
    let app = TestApp::new().await;
    let dependency = json!([{"name": "serde", "version_req": "^1", "features": ["derive"], "optional": true, "default_features": false,
        "target": null, "kind": "normal", "explicit_name_in_toml": "other"}]);
    let demo = Crate::new("demo", "1.0.0").saying("deps", dependency).saying("features", json!({"x": ["dep:other"]}));
    let answer = app.publish_crate(&app.admin, "main", &demo).await.expect(200).json();
    assert_eq!(answer, json!({"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}}));
    let expected = format!(
        "{}{}{}",
        r#"{"name":"demo","vers":"1.0.0","deps":[{"name":"other","req":"^1","features":["derive"],"optional":true,"default_features":false,"target":null,"kind":"normal","registry":null,"package":"serde"}],"cksum":""#,
        cksum(&demo),
        r#"","features":{},"features2":{"x":["dep:other"]},"yanked":false,"links":null,"pubtime":"2026-06-01T12:00:00Z","v":2}"#
    );
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await.concat(), expected);
    app.clock.advance_ms(86_400_000);
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await.concat(), expected, "the time of publishing stays");

    let path = download_path("main", "demo", "1.0.0");
    let whole = app.get(&app.admin, &path).await.expect(200);
    assert_eq!((&whole.bytes[..], whole.header("content-type")), (&demo.bytes[..], "application/gzip"));
    let part = app.call("GET", &path).token(&app.admin).header("range", "bytes=1-3").send().await.expect(206);
    assert_eq!(part.bytes, demo.bytes[1..4]);
    let head = app.call("HEAD", &path).token(&app.admin).send().await.expect(200);
    assert_eq!((head.header("content-length"), head.bytes.len()), (demo.bytes.len().to_string().as_str(), 0));
}

#[tokio::test]
async fn the_settings_say_where_everything_is_and_a_private_repo_asks_for_the_token() {
    let app = TestApp::new().await;
    app.create_repo("open", json!({"anonymousRead": true})).await;
    let open = app.get("", "/cargo/open/index/config.json").await.expect(200);
    let api = "http://registry.test/cargo/open";
    assert_eq!(open.json(), json!({"dl": format!("{api}/api/v1/crates"), "api": api}));
    let known = app.call("GET", "/cargo/open/index/config.json").header("if-none-match", open.header("etag")).send().await;
    assert_eq!(known.status, 304);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let private = app.call("GET", "/cargo/main/index/config.json").bare_token(&reader).send().await.expect(200).json();
    assert_eq!(private["auth-required"], true);
    for repo in ["main", "none"] {
        for path in ["index/config.json", "index/de/mo/demo", "api/v1/crates/demo/1.0.0/download"] {
            let asked = app.get("", &format!("/cargo/{repo}/{path}")).await.expect(401);
            assert_eq!(asked.header("www-authenticate"), format!("Cargo login_url=\"http://registry.test/cargo/{repo}/me\""));
            assert!(detail(&asked).contains("token"), "{}", asked.text());
        }
    }
    let me = app.get("", "/cargo/main/me").await.expect(200).text();
    assert!(me.contains("cargo login") && me.contains("token"), "{me}");
}

#[tokio::test]
async fn a_token_without_a_scheme_is_the_same_credential_on_every_route() {
    let app = TestApp::new().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    for path in ["/v1/auth/whoami", "/cargo/main/index/config.json", "/pypi/main/simple/", "/v1/repos/main/packages"] {
        app.call("GET", path).bare_token(&reader).send().await.expect(200);
        app.call("GET", path).bare_token(&reader[1..]).send().await.expect(401);
        app.call("GET", path).bare_token(&format!("{reader} {reader}")).send().await.expect(401);
    }
    app.publish_crate(&reader, "main", &Crate::new("demo", "1.0.0")).await.expect(403);
}

#[tokio::test]
async fn an_index_file_has_one_address() {
    let app = TestApp::new().await;
    for (name, place) in [("a", "1/a"), ("ab", "2/ab"), ("abc", "3/a/abc"), ("Foo_Bar", "fo/o_/foo_bar")] {
        app.publish_crate(&app.admin, "main", &Crate::new(name, "1.0.0")).await.expect(200);
        assert_eq!(index_path("main", &name.to_lowercase()), format!("/cargo/main/index/{place}"));
        let line: Value = serde_json::from_str(&app.index_lines(&app.admin, "main", &name.to_lowercase()).await[0]).unwrap();
        assert_eq!(line["name"], name);
    }
    for place in [
        "fo/o-/foo-bar",
        "Fo/o_/Foo_Bar",
        "fo/o_/Foo_Bar",
        "fo/ob/foo_bar",
        "ab/c/abc",
        "3/b/abc",
        "2/a",
        "1/ab",
        "no/ne/none",
        "%66o/o_/foo_bar",
    ] {
        let path = format!("/cargo/main/index/{place}");
        let answer = app.get(&app.admin, &path).await;
        assert!([404, 400].contains(&answer.status), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn two_spellings_are_one_name_and_only_the_first_is_published() {
    let app = TestApp::new().await;
    app.publish_crate(&app.admin, "main", &Crate::new("Foo_Bar", "1.0.0")).await.expect(200);
    for other in ["foo_bar", "Foo-Bar", "foo-bar"] {
        let refused = app.publish_crate(&app.admin, "main", &Crate::new(other, "2.0.0")).await.expect(409);
        let said = detail(&refused);
        assert!(said.contains(other) && said.contains("publish as Foo_Bar"), "{said}");
        let again = app.publish_crate(&app.admin, "main", &Crate::new(other, "1.0.0")).await.expect(409);
        assert!(detail(&again).contains("crate Foo_Bar@1.0.0 already exists"), "{}", detail(&again));
        app.get(&app.admin, &download_path("main", other, "1.0.0")).await.expect(200);
    }
    let draft = json!({"packageType": "cargo", "packageName": "foo-bar", "version": "3.0.0"});
    app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", draft).await.refused(409, "conflict");
    assert_eq!(app.index_lines(&app.admin, "main", "foo_bar").await.len(), 1);
}

#[tokio::test]
async fn a_version_is_published_once_also_with_the_same_bytes() {
    let app = TestApp::new().await;
    let first = Crate::new("demo", "1.0.0");
    app.publish_crate(&app.admin, "main", &first).await.expect(200);
    for (again, word) in
        [(first.clone(), "with the same content"), (Crate::with_source("demo", "1.0.0", "pub fn other() {}"), "with other content")]
    {
        let refused = app.publish_crate(&app.admin, "main", &again).await.expect(409);
        assert!(detail(&refused).starts_with(&format!("crate demo@1.0.0 already exists {word}")), "{}", detail(&refused));
    }
    let built = Crate::new("demo", "1.0.0+build");
    assert!(detail(&app.publish_crate(&app.admin, "main", &built).await.expect(409)).contains("crate demo@1.0.0 already exists"));
    assert_eq!(app.get(&app.admin, &download_path("main", "demo", "1.0.0")).await.expect(200).bytes, first.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_publishes_at_the_same_time_one_wins_and_the_others_are_told() {
    let app = TestApp::new().await;
    let ben = app.issue("ben", &["repo:main:write"]).await;
    for round in 0..4 {
        let name = format!("race{round}");
        let crates: Vec<Crate> = (0..4).map(|which| Crate::with_source(&name, "1.0.0", &format!("// {which}"))).collect();
        let tokens = [&app.admin, &app.admin, &ben, &ben];
        let calls = crates.iter().zip(tokens).map(|(what, token)| app.publish_crate(token, "main", what));
        let answers = futures_util::future::join_all(calls).await;
        let won: Vec<usize> = (0..4).filter(|which| answers[*which].status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", answers.iter().map(crate::support::Response::text).collect::<Vec<_>>());
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.status, 409, "{}", answer.text());
            assert!(detail(answer).contains(&name), "{}", detail(answer));
        }
        let lines = app.index_lines(&app.admin, "main", &name).await;
        assert!(lines.len() == 1 && lines[0].contains(&cksum(&crates[won[0]])), "{lines:?}");
    }
}

#[tokio::test]
async fn what_a_crate_says_of_itself_counts_and_nothing_else_is_taken() {
    let app = TestApp::new().await;
    let honest = Crate::new("demo", "1.0.0");
    let packed = |path: &str, content: &str| Crate { bytes: tarball(&[(path.to_owned(), content)]), ..honest.clone() };
    let manifest = "[package]\nname = \"demo\"\nversion = \"1.0.0\"\n";
    for (what, word) in [
        (Crate { bytes: Crate::new("other", "1.0.0").bytes, ..honest.clone() }, "another name or version"),
        (Crate { bytes: Crate::new("demo", "1.0.1").bytes, ..honest.clone() }, "another name or version"),
        (packed("demo-1.0.0/Cargo.toml", "[package]\nname = \"other\"\nversion = \"1.0.0\"\n"), "another name or version"),
        (packed("elsewhere/Cargo.toml", manifest), "another name or version"),
        (packed("demo-1.0.0/src/lib.rs", ""), "no Cargo.toml"),
        (packed("demo-1.0.0/Cargo.toml", "no toml ["), "cannot be read"),
        (Crate { bytes: b"no archive".to_vec(), ..honest.clone() }, "no tar archive"),
        (honest.clone().saying("vers", json!("1")), "semantic version"),
        (honest.clone().saying("name", json!("a b")), "packageName"),
        (honest.clone().saying("rust_version", json!("new")), "rust_version"),
        (honest.clone().saying("deps", json!([{"name": "a"}])), "version_req"),
    ] {
        let refused = app.publish_crate(&app.admin, "main", &what).await.expect(400);
        assert!(detail(&refused).contains(word), "{word}: {}", detail(&refused));
    }
    let put = |body: Vec<u8>| app.call("PUT", "/cargo/main/api/v1/crates/new").token(&app.admin).body(body).send();
    let body = honest.body();
    for broken in [Vec::new(), b"{}".to_vec(), body[..body.len() - 1].to_vec(), [body.clone(), vec![0]].concat()] {
        assert!(detail(&put(broken).await.expect(400)).contains("cargo publish"));
    }
    assert!(detail(&put(u32::MAX.to_le_bytes().to_vec()).await.expect(413)).contains("README"));
    assert_eq!(std::fs::read_dir(app.path().join("staging")).unwrap().count(), 0, "nothing is left of them");
    assert_eq!(app.ask("SELECT count(*) FROM versions"), ["0"]);
    app.get(&app.admin, &index_path("main", "demo")).await.expect(404);
    app.publish_crate(&app.admin, "main", &honest).await.expect(200);
}

#[tokio::test]
async fn a_version_from_the_api_is_listed_if_it_is_a_crate_and_breaks_nothing_if_not() {
    let app = TestApp::new().await;
    open(&app).await;
    let demo = Crate::new("demo", "1.0.0");
    let mut package = crate::support::Package { package_type: "cargo".to_owned(), ..crate::support::Package::generic("demo", "1.0.0") };
    package = package.without_files().file("demo-1.0.0.crate", &demo.bytes).manifest(&demo.metadata);
    app.published("main", &package).await;
    let strange = crate::support::Package { version: "2.0.0".to_owned(), manifest: None, ..package.clone() };
    app.published("main", &strange).await;
    let lines = app.index_lines("", "main", "demo").await;
    assert!(lines.len() == 1 && lines[0].contains(&cksum(&demo)), "{lines:?}");
    assert_eq!(app.get("", &download_path("main", "demo", "1.0.0")).await.expect(200).bytes, demo.bytes);
    app.get("", &download_path("main", "demo", "2.0.0")).await.expect(404);
}

#[tokio::test]
async fn a_promoted_crate_has_the_line_that_it_had() {
    let app = TestApp::new().await;
    app.create_repo("stage", json!({})).await;
    app.publish_crate(&app.admin, "stage", &Crate::new("demo", "1.0.0")).await.expect(200);
    let id = app.ask("SELECT version_id FROM versions")[0].clone();
    app.clock.advance_ms(86_400_000);
    app.step(&app.admin, "stage", &id, "promote", json!({"targetRepo": "main"})).await.expect(200);
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await, app.index_lines(&app.admin, "stage", "demo").await);
    app.publish_crate(&app.admin, "stage", &Crate::new("a-b", "1.0.0")).await.expect(200);
    app.publish_crate(&app.admin, "main", &Crate::new("a_b", "2.0.0")).await.expect(200);
    let id = app.ask("SELECT version_id FROM versions JOIN packages USING (package_id) WHERE name = 'a-b'")[0].clone();
    app.step(&app.admin, "stage", &id, "promote", json!({"targetRepo": "main"})).await.refused(409, "conflict");
}
