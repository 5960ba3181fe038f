//! Yanks, owners and search as Cargo asks for them. Invariant: a yank changes one word of a line; what is withheld is neither searched
//! nor taken for more than it is.

use serde_json::{Value, json};

use crate::support::{Crate, HOLD_ALL, Package, Response, TestApp, download_path, rule, text};

const DEMO: &str = "/cargo/main/api/v1/crates/demo";

fn detail(answer: &Response) -> String {
    text(&answer.json()["errors"][0], "detail")
}

async fn ask(app: &TestApp, token: &str, method: &str, path: &str, body: Value) -> Response {
    let call = app.call(method, &format!("{DEMO}{path}")).bare_token(token);
    if body.is_null() { call.send().await } else { call.json(&body).send().await }
}

#[tokio::test]
async fn a_yank_changes_one_word_of_the_line_and_an_unyank_changes_it_back() {
    let app = TestApp::new().await;
    let demo = Crate::new("demo", "1.0.0");
    app.publish_crate(&app.admin, "main", &demo).await.expect(200);
    let before = app.index_lines(&app.admin, "main", "demo").await;
    for _ in 0..2 {
        let done = ask(&app, &app.admin, "DELETE", "/1.0.0/yank", Value::Null).await.expect(200).json();
        assert_eq!(done, json!({"ok": true}));
        let yanked = app.index_lines(&app.admin, "main", "demo").await;
        assert_eq!(yanked, [before[0].replace("\"yanked\":false", "\"yanked\":true")]);
        assert_eq!(app.get(&app.admin, &download_path("main", "demo", "1.0.0")).await.expect(200).bytes, demo.bytes);
    }
    for _ in 0..2 {
        ask(&app, &app.admin, "PUT", "/1.0.0/unyank", Value::Null).await.expect(200);
        assert_eq!(app.index_lines(&app.admin, "main", "demo").await, before);
    }
    let reader = app.issue("reader", &["repo:main:read"]).await;
    ask(&app, &reader, "DELETE", "/1.0.0/yank", Value::Null).await.expect(403);
    ask(&app, "", "DELETE", "/1.0.0/yank", Value::Null).await.expect(401);
    for missing in ["/2.0.0/yank", "/no-version/yank"] {
        assert!(!detail(&ask(&app, &app.admin, "DELETE", missing, Value::Null).await.expect(404)).is_empty());
    }
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await, before);
}

#[tokio::test]
async fn a_yank_outlives_a_hold_and_never_opens_one() {
    let app = TestApp::new().await;
    app.publish_crate(&app.admin, "main", &Crate::new("demo", "1.0.0")).await.expect(200);
    ask(&app, &app.admin, "DELETE", "/1.0.0/yank", Value::Null).await.expect(200);
    let yanked = app.index_lines(&app.admin, "main", "demo").await;
    let id = app.ask("SELECT version_id FROM versions")[0].clone();
    let item = text(&app.hold(&app.admin, "main", &id).await.json(), "quarantineId");
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await, yanked);
    // Whatever becomes of an unyank now, the bytes stay closed and the line yanked.
    ask(&app, &app.admin, "PUT", "/1.0.0/unyank", Value::Null).await;
    assert_eq!(app.index_lines(&app.admin, "main", "demo").await, yanked);
    app.get(&app.admin, &download_path("main", "demo", "1.0.0")).await.expect(423);
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    app.get(&app.admin, &download_path("main", "demo", "1.0.0")).await.expect(200);
}

#[tokio::test]
async fn owners_are_listed_added_and_removed_in_words_that_cargo_prints() {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    app.publish_crate(&ann, "main", &Crate::new("demo", "1.0.0")).await.expect(200);
    assert_eq!(ask(&app, &bob, "GET", "/owners", Value::Null).await.expect(200).json(), json!({"users": []}));
    let added = ask(&app, &ann, "PUT", "/owners", json!({"users": ["carol"]})).await.expect(200).json();
    assert_eq!(added, json!({"ok": true, "msg": "demo is published by ann, carol and the administrators of the repo"}));
    let listed = ask(&app, &bob, "GET", "/owners", Value::Null).await.expect(200).json();
    let user = |id: u32, login: &str| json!({"id": id, "login": login, "name": null});
    assert_eq!(listed, json!({"users": [user(1, "ann"), user(2, "carol")]}));
    for (method, path, body) in [
        ("PUT", "/owners", json!({"users": ["bob"]})),
        ("DELETE", "/owners", json!({"users": ["ann"]})),
        ("DELETE", "/1.0.0/yank", Value::Null),
    ] {
        assert!(detail(&ask(&app, &bob, method, path, body).await.expect(403)).contains("ann, carol"));
    }
    let refused = app.publish_crate(&bob, "main", &Crate::new("demo", "2.0.0")).await.expect(403);
    assert!(detail(&refused).contains("ann, carol"), "{}", detail(&refused));
    ask(&app, &ann, "DELETE", "/owners", json!({"users": ["carol"]})).await.expect(200);
    ask(&app, &ann, "DELETE", "/owners", json!({"users": ["carol"]})).await.expect(404);
    let emptied = ask(&app, &app.admin, "DELETE", "/owners", json!({"users": ["ann"]})).await.expect(200).json();
    assert_eq!(emptied["msg"], "demo has no owners now; everybody who may write in the repo publishes it");
    for bad in [json!({"users": ["no body"]}), json!({"users": "ann"}), json!({})] {
        ask(&app, &ann, "PUT", "/owners", bad).await.expect(400);
    }
    app.publish_crate(&bob, "main", &Crate::new("demo", "2.0.0")).await.expect(200);
}

#[tokio::test]
async fn owners_of_what_a_reader_may_not_know_of_are_not_told() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    assert_eq!(ask(&app, &reader, "GET", "/owners", Value::Null).await.expect(200).json(), json!({"users": []}));
    ask(&app, "", "GET", "/owners", Value::Null).await.expect(401);
}

#[tokio::test]
async fn a_search_gives_each_crate_once_and_nothing_that_is_withheld() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("hold", "quarantine", "context.package.version like \"2*\" || context.package.name == \"tool-held\""))
        .await;
    for (name, version) in
        [("tool-one", "1.0.0"), ("tool-one", "1.2.0"), ("tool-one", "2.0.0"), ("tool_two", "0.1.0"), ("tool-held", "1.0.0")]
    {
        let what = Crate::new(name, version).saying("description", json!(format!("What {name} {version} does")));
        app.publish_crate(&app.admin, "main", &what).await.expect(200);
    }
    let pypi = Package { package_type: "pypi".to_owned(), name: "tool-three".to_owned(), ..Package::generic("tool", "1.0") };
    app.published("main", &pypi).await;
    app.run_jobs().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let find = async |query: &str| app.get(&reader, &format!("/cargo/main/api/v1/crates?{query}")).await;
    let found = find("q=tool&per_page=10&sort=new").await.expect(200).json();
    let hit =
        |name: &str, version: &str| json!({"name": name, "max_version": version, "description": format!("What {name} {version} does")});
    let mut crates = found["crates"].as_array().unwrap().clone();
    crates.sort_by_key(Value::to_string);
    assert_eq!((crates, &found["meta"]), (vec![hit("tool-one", "1.2.0"), hit("tool_two", "0.1.0")], &json!({"total": 2})));
    let first = find("q=tool&per_page=1").await.expect(200).json();
    let second = find("q=tool&per_page=1&page=2").await.expect(200).json();
    assert_eq!((first["crates"].as_array().unwrap().len(), &first["meta"]["total"]), (1, &json!(2)));
    assert_ne!(first["crates"], second["crates"]);
    assert_eq!(find("q=tool&page=99999999999").await.expect(200).json()["crates"], json!([]));
    assert_eq!(find("q=held").await.expect(200).json(), json!({"crates": [], "meta": {"total": 0}}));
    for bad in ["q=", "", "q=a&per_page=x"] {
        assert!(!detail(&find(bad).await.expect(400)).is_empty());
    }
}
