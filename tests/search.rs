//! Finding packages. Invariant: a hit is what its reader may see at this moment, whatever the index holds and in whatever state its
//! file is; without the index the names still answer, and everything else goes on.

use std::collections::BTreeSet;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Package, TestApp, blob_path, digest_of, items, text, version_path};

/// Searches `main` as the administrator; `more` are further parameters.
async fn find(app: &TestApp, q: &str, more: &str) -> Value {
    let q = utf8_percent_encode(q, NON_ALPHANUMERIC);
    app.get(&app.admin, &format!("/v1/repos/main/search/packages?q={q}{more}")).await.expect(200).json()
}

/// `name version` of each hit, in order.
fn names(found: &Value) -> Vec<String> {
    items(found)
        .iter()
        .map(|hit| {
            let namespace = text(hit, "packageNamespace");
            let slash = if namespace.is_empty() { "" } else { "/" };
            format!("{namespace}{slash}{} {}", text(hit, "packageName"), text(hit, "version"))
        })
        .collect()
}

/// Publishes a version whose manifest says this.
async fn put(app: &TestApp, (package_type, namespace, name, version): (&str, &str, &str, &str), manifest: Value) -> String {
    let draft = json!({"packageType": package_type, "packageNamespace": namespace, "packageName": name, "version": version});
    let made = app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", draft).await.expect(201);
    let id = text(&made.json(), "versionId");
    let path = version_path("main", &id);
    let manifest = app.call("PUT", &format!("{path}/manifest")).token(&app.admin).json(&manifest);
    manifest.send().await.expect(200);
    let digest = app.upload(&app.admin, "main", b"bytes").await;
    let entry = json!({"relativePath": format!("{name}-{version}.tar.gz"), "blobDigest": digest, "sizeBytes": 5});
    app.post(&app.admin, &format!("{path}/entries"), json!({"entries": [entry]})).await.expect(200);
    app.publish(&app.admin, "main", &id).await.expect(200);
    app.clock.advance_ms(1000);
    id
}

/// Small JSON packages of several types.
async fn stocked() -> TestApp {
    let app = TestApp::new().await;
    let said = |text: &str| json!({"summary": text});
    put(&app, ("npm", "", "json", "1.0.0"), said("the exact name, and the oldest")).await;
    put(&app, ("npm", "", "jsonwebtoken", "9.0.0"), said("a name that begins so")).await;
    put(&app, ("nuget", "", "newtonsoft.json", "13.0.1"), said("an inner part of the name")).await;
    put(&app, ("npm", "", "lodash", "4.17.21"), said("utilities")).await;
    put(&app, ("npm", "", "lodash", "7.0.0"), said("utilities")).await;
    put(&app, ("npm", "@babel", "core", "7.23.0"), said("a compiler")).await;
    put(
        &app,
        ("pypi", "", "simple-parser", "2.0"),
        json!({"summary": "reads json, and json again, json", "keywords": ["Größe"], "license": "MIT"}),
    )
    .await;
    put(&app, ("npm", "", "json", "2.0.0"), said("the exact name, and newer")).await;
    app.run_jobs().await;
    app
}

#[tokio::test]
async fn whole_words_prefixes_and_inner_parts_are_found() {
    let app = stocked().await;
    for (q, expected) in [
        ("lod", vec!["lodash 7.0.0", "lodash 4.17.21"]),
        ("LODASH", vec!["lodash 7.0.0", "lodash 4.17.21"]),
        ("babel", vec!["@babel/core 7.23.0"]),
        ("@babel/core", vec!["@babel/core 7.23.0"]),
        ("@babel", vec!["@babel/core 7.23.0"]),
        ("babel/core", vec!["@babel/core 7.23.0"]),
        ("newtonsoft", vec!["newtonsoft.json 13.0.1"]),
        ("newtonsoft json", vec!["newtonsoft.json 13.0.1"]),
        ("7.0", vec!["lodash 7.0.0"]),
        ("lodash 4.17", vec!["lodash 4.17.21"]),
        ("parser", vec!["simple-parser 2.0"]),
        ("grosse", vec![]),
        ("große", vec!["simple-parser 2.0"]),
        ("GRÖSSE", vec![]),
        ("größe", vec!["simple-parser 2.0"]),
        ("groß", vec!["simple-parser 2.0"]),
        ("compil", vec!["@babel/core 7.23.0"]),
        ("license", vec![]),
        ("summary", vec![]),
        ("nothing", vec![]),
    ] {
        let found = find(&app, q, "").await;
        assert_eq!(names(&found), expected, "{q}");
        assert_eq!((&found["query"], &found["degraded"]), (&json!(q), &json!(false)), "{q}");
        assert_eq!(found["totalCount"], expected.len(), "{q}");
    }
    assert!(names(&find(&app, "json", "").await).contains(&"newtonsoft.json 13.0.1".to_owned()));
    app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200);
    for (q, expected) in [
        ("lod", "lodash 7.0.0"),
        ("DASH", "lodash 7.0.0"),
        ("babel", "@babel/core 7.23.0"),
        ("@babel/core", "@babel/core 7.23.0"),
        ("soft.js", "newtonsoft.json 13.0.1"),
        ("json", "json 2.0.0"),
    ] {
        let found = find(&app, q, "").await;
        assert_eq!((names(&found)[0].as_str(), &found["degraded"]), (expected, &json!(true)), "{q}");
    }
}

#[tokio::test]
async fn the_exact_name_comes_first_then_names_that_begin_so_then_relevance_and_the_newest_of_equals() {
    let app = stocked().await;
    let found = names(&find(&app, "json", "").await);
    assert_eq!(found[..3], ["json 2.0.0", "json 1.0.0", "jsonwebtoken 9.0.0"], "{found:?}");
    assert_eq!(found[3..], ["newtonsoft.json 13.0.1", "simple-parser 2.0"], "a name counts for more than a description");
    assert_eq!(names(&find(&app, "JSON", "").await), found);
}

#[tokio::test]
async fn a_search_is_of_one_type_if_asked_and_of_every_repo_that_the_caller_may_read() {
    let app = stocked().await;
    assert_eq!(names(&find(&app, "json", "&type=nuget").await), ["newtonsoft.json 13.0.1"]);
    let none = find(&app, "json", "&type=cargo").await;
    assert_eq!((items(&none).len(), &none["totalCount"]), (0, &json!(0)));
    app.get(&app.admin, "/v1/repos/main/search/packages?q=json&type=NPM").await.refused(400, "bad_request");
    app.create_repo("other", json!({})).await;
    app.published("other", &Package::generic("json", "3.0")).await;
    app.run_jobs().await;
    let count = async |token: &str| app.get(token, "/v1/search?q=json").await.expect(200).json()["totalCount"].as_u64().unwrap();
    assert_eq!(count(&app.admin).await, 6);
    assert_eq!(count(&app.issue("ann", &["repo:other:read"]).await).await, 1);
    assert_eq!(count(&app.issue("ben", &["repo:main:read"]).await).await, 5);
    app.get("", "/v1/search?q=json").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_or_doubles_with_and_without_the_index() {
    let app = TestApp::new().await;
    for number in 0..23 {
        let name = ["demo", "demo-more", "other.demo"][number % 3];
        put(&app, ("npm", "", name, &format!("{number}.0.0")), json!({})).await;
    }
    app.run_jobs().await;
    for degraded in [false, true] {
        if degraded {
            app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200);
        }
        let whole = find(&app, "demo", "&limit=200").await;
        assert_eq!((&whole["degraded"], &whole["totalCount"], &whole["nextCursor"]), (&json!(degraded), &json!(23), &Value::Null));
        let (mut found, mut cursor) = (Vec::new(), String::new());
        let mut pages = 0;
        loop {
            let page = find(&app, "demo", &format!("&limit=5{cursor}")).await;
            assert_eq!(page["totalCount"], 23);
            found.extend(items(&page));
            pages += 1;
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((pages, found.clone()), (5, items(&whole)));
        assert_eq!(found.iter().map(|hit| text(hit, "versionId")).collect::<BTreeSet<_>>().len(), 23);
    }
}

#[tokio::test]
async fn no_sign_of_a_query_language_means_anything_and_none_fails() {
    let app = stocked().await;
    for degraded in [false, true] {
        if degraded {
            app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200);
        }
        for (q, count) in [
            ("lodash OR json", 0),
            ("lodash NOT json", 0),
            ("name:lodash", 0),
            ("{name version}:lodash", 0),
            ("NEAR(lodash utilities)", 0),
            ("\"\"", 0),
            ("\\", 0),
            ("%", 0),
            ("_", 0),
            ("'", 0),
            ("l%h", 0),
        ] {
            assert_eq!(find(&app, q, "").await["totalCount"], count, "{q}, degraded: {degraded}");
        }
        for sign in ["\"", "OR", "AND", "NOT", "*", "NEAR(", ":", "^", "-", "+", "(", ")", "{", "}", ",", ".", "/", ";--", "日本", "🦀"]
        {
            for q in [
                sign.to_owned(),
                format!("lodash {sign}"),
                format!("{sign} lodash"),
                format!("{sign}lodash"),
                format!("lodash{sign}"),
                sign.repeat(16),
            ] {
                let found = find(&app, &q, "").await;
                assert_eq!((&found["query"], &found["degraded"]), (&json!(q), &json!(degraded)));
                assert!(found["totalCount"].as_u64().unwrap() >= items(&found).len() as u64, "{q}: {found}");
            }
        }
    }
    for q in ["", "%20", "%09", "a%00b", &"a".repeat(201), "a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q"] {
        app.get(&app.admin, &format!("/v1/repos/main/search/packages?q={q}")).await.refused(400, "bad_request");
    }
}

#[tokio::test]
async fn what_is_withheld_never_appears_however_stale_the_index_is() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(app.published("main", &Package::generic("demo", &format!("{number}.0"))).await);
    }
    app.run_jobs().await;
    app.draft(&app.admin, "main", &Package::generic("demo", "9.0")).await;
    app.hold(&app.admin, "main", &ids[1]).await;
    let item = text(&app.hold(&app.admin, "main", &ids[2]).await.json(), "quarantineId");
    app.vote(&app.admin, "main", &item, "reject").await.expect(200);
    app.tombstone(&app.admin, "main", &ids[3]).await.expect(200);
    let item = text(&app.hold(&app.admin, "main", &ids[4]).await.json(), "quarantineId");
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    // No job has run since: the index still holds all six.
    let stale: i64 =
        Connection::open(app.path().join("search.db")).unwrap().query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
    assert_eq!(stale, 6);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let expected = BTreeSet::from([ids[0].clone(), ids[4].clone(), ids[5].clone()]);
    for step in ["stale", "paused", "filled"] {
        match step {
            "paused" => drop(app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200)),
            "filled" => {
                app.post(&app.admin, "/v1/admin/search/resume", json!({})).await.expect(200);
                app.run_jobs().await;
            }
            _ => {}
        }
        for token in [&app.admin, &reader] {
            for path in [
                "/v1/repos/main/search/packages?q=demo",
                "/v1/search?q=demo",
                "/v1/search?q=demo&limit=2",
                "/v1/search?q=demo&type=generic",
            ] {
                let found = app.get(token, path).await.expect(200).json();
                let shown: BTreeSet<String> = items(&found).iter().map(|hit| text(hit, "versionId")).collect();
                assert_eq!(found["totalCount"], 3, "{step} {path}: {found}");
                assert!(shown.is_subset(&expected) && shown.len() == if path.contains("limit") { 2 } else { 3 }, "{step} {path}: {found}");
                assert_eq!(found["degraded"], step == "paused", "{step}");
            }
        }
    }
}

/// What befalls the index while the instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Deleted,
    Emptied,
    Truncated,
    Halved,
    Noise,
    Foreign,
    Directory,
    Locked,
    Paused,
    Rebuilding,
}

impl Damage {
    const ALL: [Damage; 10] = [
        Damage::Deleted,
        Damage::Emptied,
        Damage::Truncated,
        Damage::Halved,
        Damage::Noise,
        Damage::Foreign,
        Damage::Directory,
        Damage::Locked,
        Damage::Paused,
        Damage::Rebuilding,
    ];

    /// Does it; gives the connection that holds a lock.
    async fn befall(self, app: &TestApp) -> Option<Connection> {
        let path = index_path(app);
        let cut = |bytes| std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        match self {
            Damage::Deleted => std::fs::remove_file(&path).unwrap(),
            Damage::Emptied => cut(0),
            Damage::Truncated => cut(1000),
            Damage::Halved => cut(std::fs::metadata(&path).unwrap().len() / 2),
            Damage::Noise => std::fs::write(&path, vec![0xa5; 200_000]).unwrap(),
            Damage::Foreign => {
                std::fs::remove_file(&path).unwrap();
                Connection::open(&path).unwrap().execute_batch("CREATE TABLE words (name TEXT); PRAGMA user_version = 1").unwrap();
            }
            Damage::Directory => {
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
            }
            Damage::Locked => {
                let stranger = Connection::open(&path).unwrap();
                stranger.execute_batch("BEGIN EXCLUSIVE").unwrap();
                return Some(stranger);
            }
            Damage::Paused => drop(app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200)),
            Damage::Rebuilding => {
                app.post(&app.admin, "/v1/admin/search/rebuild", json!({})).await.expect(202);
                // As far as the jobs come before they work on the first version.
                assert!(app.store.begin_rebuild(app.store.search_index().generation()).await.is_ok());
            }
        }
        None
    }

    /// Takes away what only a person can.
    async fn end(self, app: &TestApp, stranger: Option<Connection>) {
        drop(stranger);
        if self == Damage::Directory {
            std::fs::remove_dir(index_path(app)).unwrap();
        }
        if self == Damage::Paused {
            app.post(&app.admin, "/v1/admin/search/resume", json!({})).await.expect(200);
        }
        // Jobs that were put off are due again.
        app.clock.advance_ms(3_600_000);
    }
}

fn index_path(app: &TestApp) -> PathBuf {
    app.path().join("search.db")
}

/// Publishes, reads, holds, reviews and looks at the audit trail; gives the two new versions, of which the second is held.
async fn everything_else_works(app: &TestApp, damage: Damage) -> [String; 2] {
    let package = Package::generic("fresh", "1.0");
    let first = app.published("main", &package).await;
    let path = blob_path("main", &digest_of(&package.files[0].1));
    assert_eq!(app.get(&app.admin, &path).await.expect(200).bytes, package.files[0].1, "{damage:?}");
    let (second, item) = app.held_by_hand("main", &Package::generic("fresh", "2.0")).await;
    app.get(&app.admin, &blob_path("main", &digest_of(b"the bytes of fresh 2.0"))).await.refused(423, "quarantined_blob");
    app.get(&app.admin, &format!("/v1/repos/main/quarantine/{item}")).await.expect(200);
    app.vote(&app.admin, "main", &item, "release").await.expect(200);
    assert_eq!(app.state("main", &second).await, "published");
    app.hold(&app.admin, "main", &second).await;
    let audited = app.get(&app.admin, "/v1/audit?action=quarantine.released").await.expect(200).json();
    assert_eq!(items(&audited).len(), 1, "{damage:?}");
    let status = app.get(&app.admin, "/v1/admin/search/status").await.expect(200).json();
    assert!(status["state"].is_string(), "{damage:?}: {status}");
    app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200);
    [first, second]
}

#[tokio::test]
async fn whatever_befalls_the_index_names_are_found_nothing_else_notices_and_it_heals_by_itself() {
    for damage in Damage::ALL {
        let app = TestApp::new().await;
        let old = app.published("main", &Package::generic("well-known", "1.0")).await;
        app.run_jobs().await;
        assert_eq!(find(&app, "known", "").await["degraded"], false);
        let stranger = damage.befall(&app).await;
        // A lock keeps writers out of the index; whoever asks it is not in their way.
        let degraded = json!(damage != Damage::Locked);
        let shown = |found: &Value| items(found).iter().map(|hit| text(hit, "versionId")).collect::<Vec<_>>();
        let found = find(&app, "well", "").await;
        assert_eq!((shown(&found), &found["degraded"], &found["totalCount"]), (vec![old.clone()], &degraded, &json!(1)), "{damage:?}");
        let [first, second] = everything_else_works(&app, damage).await;
        let found = find(&app, "fresh", "").await;
        assert!(!shown(&found).contains(&second), "{damage:?}: what is held is shown");
        if damage != Damage::Locked {
            assert_eq!((shown(&found), &found["degraded"]), (vec![first.clone()], &json!(true)), "{damage:?}");
        }
        if matches!(damage, Damage::Directory | Damage::Locked | Damage::Paused) {
            // While it lasts, the jobs try in vain and lose nothing by it; the catalogue knows what the index could not be told.
            app.run_jobs().await;
            let found = find(&app, "fresh", "").await;
            assert_eq!((shown(&found), &found["degraded"]), (vec![first.clone()], &json!(true)), "{damage:?}");
            assert_eq!(app.ask("SELECT count(*) FROM jobs WHERE state = 'dead'"), ["0"]);
        }
        damage.end(&app, stranger).await;
        app.run_jobs().await;
        for (q, id) in [("well", &old), ("fresh", &first)] {
            let found = find(&app, q, "").await;
            assert_eq!((shown(&found), &found["degraded"]), (vec![id.clone()], &json!(false)), "{damage:?}");
        }
        let status = app.get(&app.admin, "/v1/admin/search/status").await.expect(200).json();
        assert_eq!(
            (&status["state"], &status["documents"], &status["jobs"]["dead"]),
            (&json!("ready"), &json!(2), &json!(0)),
            "{damage:?}"
        );
    }
}
