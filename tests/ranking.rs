//! What is found among thousands of real package names, and in which order. Invariant: the exact name comes first, then names that begin
//! so, then relevance: names before keywords before descriptions, whole words before longer ones before what lies inside a word.

use std::collections::BTreeSet;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::{TestApp, digest_of, items, text, version_path};

/// Publishes at once; so many requests share a commit.
const SIDE_BY_SIDE: usize = 24;

/// A package of the list: type, namespace, name.
type Name = (&'static str, &'static str, &'static str);

/// Real names, one a line after their type.
fn names() -> Vec<Name> {
    let lines = include_str!("data/package_names.txt").lines();
    let names = lines.map(|line| {
        let (package_type, name) = line.split_once(' ').unwrap();
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        (package_type, namespace, name)
    });
    names.collect()
}

/// The one file of every package.
const BYTES: &[u8] = b"bytes";

/// An instance that was given the file.
async fn instance() -> TestApp {
    let app = TestApp::new().await;
    app.upload(&app.admin, "main", BYTES).await;
    app
}

/// What a package says of itself: made up from its name, so that words repeat as they do among real ones.
fn summary((_, _, name): Name) -> String {
    let kinds = [
        "A small library for",
        "Fast and simple",
        "Command line tools around",
        "The client of",
        "Typed helpers that deal with",
        "Yet another",
    ];
    let about: Vec<&str> = name.split(['-', '_', '.']).collect();
    format!("{} {}", kinds[name.len() % kinds.len()], about.join(" and "))
}

async fn publish(app: &TestApp, (package_type, namespace, name): Name, version: &str, manifest: &Value) {
    let draft = json!({"packageType": package_type, "packageNamespace": namespace, "packageName": name, "version": version});
    let made = app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", draft).await.expect(201);
    let path = version_path("main", &text(&made.json(), "versionId"));
    app.call("PUT", &format!("{path}/manifest")).token(&app.admin).json(manifest).send().await.expect(200);
    let entry = json!({"relativePath": format!("{name}-{version}.tar.gz"), "blobDigest": digest_of(BYTES), "sizeBytes": BYTES.len()});
    app.post(&app.admin, &format!("{path}/entries"), json!({"entries": [entry]})).await.expect(200);
    app.post(&app.admin, &format!("{path}/publish"), json!({})).await.expect(200);
}

/// Every name of the list, published through the API.
async fn stocked() -> Arc<TestApp> {
    let app = Arc::new(instance().await);
    let mut publishers = tokio::task::JoinSet::new();
    let names = names();
    assert!(names.len() > 5000, "{} names", names.len());
    for chunk in names.chunks(names.len().div_ceil(SIDE_BY_SIDE)) {
        let (app, chunk) = (Arc::clone(&app), chunk.to_vec());
        publishers.spawn(async move {
            for name in chunk {
                publish(&app, name, "1.0.0", &json!({"summary": summary(name)})).await;
            }
        });
    }
    while let Some(done) = publishers.join_next().await {
        done.unwrap();
    }
    app.run_jobs().await;
    app
}

/// Searches; `more` are further parameters.
async fn search(app: &TestApp, q: &str, more: &str) -> Value {
    let q = utf8_percent_encode(q, NON_ALPHANUMERIC);
    let found = app.get(&app.admin, &format!("/v1/search?q={q}{more}")).await.expect(200).json();
    assert_eq!(found["degraded"], false);
    found
}

fn full_name(hit: &Value) -> String {
    let (namespace, name) = (text(hit, "packageNamespace"), text(hit, "packageName"));
    if namespace.is_empty() { name } else { format!("{namespace}/{name}") }
}

fn full_names(found: &Value) -> Vec<String> {
    items(found).iter().map(full_name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_thousands_of_real_names_the_one_that_was_meant_comes_first() {
    let app = stocked().await;
    exact_names_come_first(&app).await;
    inner_parts_find_their_names(&app).await;
    whole_words_come_before_longer_ones(&app).await;
    filters_leave_out_everything_else(&app).await;
    pages_follow_each_other(&app).await;
    common_words_are_bounded(&app).await;
}

async fn exact_names_come_first(app: &TestApp) {
    for (_, namespace, name) in names().into_iter().step_by(23) {
        let meant = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        for typed in [meant.clone(), meant.to_uppercase(), format!(" {} ", meant.trim_start_matches('@'))] {
            let first = full_names(&search(app, &typed, "&limit=3").await);
            assert!(first.first().is_some_and(|first| first.eq_ignore_ascii_case(&meant)), "{typed}: {first:?}");
        }
    }
    for (typed, expected) in [
        ("lod", ["lodash", "lodash-es", "lodash.get"]),
        ("reques", ["request", "requests", "requests-ntlm"]),
        ("express", ["express", "@types/express", "express-rate-limit"]),
    ] {
        assert_eq!(full_names(&search(app, typed, "&limit=3").await), expected, "{typed}");
    }
}

async fn inner_parts_find_their_names(app: &TestApp) {
    for (_, namespace, name) in names().into_iter().step_by(29) {
        let Some(word) = name.split(|sign: char| !sign.is_alphanumeric()).find(|word| word.is_ascii() && word.len() > 4) else { continue };
        let inner = &word[2..5];
        let found = search(app, inner, "&limit=200").await;
        let meant = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let is_there = full_names(&found).contains(&meant);
        let is_beyond = found["nextCursor"].is_string();
        assert!(is_there || is_beyond, "{inner} does not find {meant}: {found}");
        let page = full_names(&search(app, &format!("{inner} {name}"), "&limit=5").await);
        assert!(page.iter().any(|found| found.ends_with(name)), "{inner} {name}: {page:?}");
    }
}

async fn whole_words_come_before_longer_ones(app: &TestApp) {
    for typed in ["json schema", "schema json", "aws lambda", "http client", "google cloud storage"] {
        let found = full_names(&search(app, typed, "&limit=3").await);
        let words: Vec<&str> = typed.split(' ').collect();
        assert!(!found.is_empty() && words.iter().all(|word| found[0].contains(word)), "{typed}: {found:?}");
    }
    let planted = [
        ("the-zyzzyva", json!({})),
        ("zyzzyvas-are-weevils", json!({})),
        ("intozyzzyvain", json!({})),
        ("by-keyword", json!({"keywords": ["zyzzyva"]})),
        ("by-description", json!({"summary": "about a zyzzyva"})),
        ("by-long-description", json!({"summary": "words ".repeat(400) + "about a zyzzyva"})),
    ];
    for (name, manifest) in &planted {
        publish(app, ("npm", "", name), "1.0.0", manifest).await;
    }
    app.run_jobs().await;
    let found = full_names(&search(app, "zyzzyva", "").await);
    let expected = ["zyzzyvas-are-weevils", "the-zyzzyva", "by-keyword", "by-description", "intozyzzyvain", "by-long-description"];
    assert_eq!(found, expected);
    let hit = items(&search(app, "zyzzyva about", "").await)[0].clone();
    assert_eq!(hit["snippet"], json!([{"text": "about", "matched": true}, {"text": " a "}, {"text": "zyzzyva", "matched": true}]));
}

async fn filters_leave_out_everything_else(app: &TestApp) {
    let found = search(app, "json", "&type=npm&limit=200").await;
    assert!(items(&found).len() > 10 && items(&found).iter().all(|hit| text(hit, "packageType") == "npm"));
    for namespace in ["%40types", "types", "TYPES"] {
        let found = search(app, "node", &format!("&namespace={namespace}&limit=200")).await;
        assert!(items(&found).iter().any(|hit| text(hit, "packageName") == "node"), "{found}");
        assert!(items(&found).iter().all(|hit| text(hit, "packageNamespace") == "@types"), "{found}");
    }
    assert_eq!(search(app, "json", "&repo=main&limit=1").await["totalCount"], search(app, "json", "&limit=1").await["totalCount"]);
    assert_eq!(search(app, "json", "&repo=other").await["totalCount"], 0);
    app.get(&app.admin, "/v1/repos/main/search/packages?q=json&repo=other").await.refused(400, "bad_request");
}

async fn pages_follow_each_other(app: &TestApp) {
    let (mut seen, mut order, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
    let whole = search(app, "aws", "&limit=200").await;
    loop {
        let page = search(app, "aws", &format!("&limit=7{cursor}")).await;
        order.extend(full_names(&page));
        for hit in items(&page) {
            assert!(seen.insert(text(&hit, "versionId")), "twice: {hit}");
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len() as u64, whole["totalCount"].as_u64().unwrap());
    assert_eq!(order[..whole["items"].as_array().unwrap().len().min(order.len())], full_names(&whole)[..]);
}

async fn common_words_are_bounded(app: &TestApp) {
    // Every third summary or so has this word.
    let found = search(app, "and", "&limit=1").await;
    assert_eq!((&found["totalCount"], &found["hasMore"]), (&json!(1000), &json!(true)));
    let found = search(app, "zyzzyva", "&limit=1").await;
    assert_eq!((&found["totalCount"], &found["hasMore"]), (&json!(6), &json!(false)));
}

#[tokio::test]
async fn versions_of_a_package_come_highest_first_by_their_ecosystems_rules() {
    let app = instance().await;
    for (package_type, ascending) in [
        ("npm", ["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.9.0", "1.10.0"]),
        ("pypi", ["1.0.dev3", "1.0a2", "1.0", "1.0.post1", "1!0.1"]),
        ("generic", ["r1", "r9", "r10", "r10.2", "r10.10"]),
    ] {
        // Not in their order: a fix for an old line comes out last.
        for at in [2, 4, 0, 3, 1] {
            publish(&app, (package_type, "", "demo"), ascending[at], &json!({"summary": format!("release {at}")})).await;
            app.clock.advance_ms(1000);
        }
        app.run_jobs().await;
        for q in ["demo", "dem", "emo"] {
            let found = search(&app, q, &format!("&type={package_type}")).await;
            let versions: Vec<String> = items(&found).iter().map(|hit| text(hit, "version")).collect();
            let expected: Vec<&str> = ascending.iter().rev().copied().collect();
            if q == "emo" {
                // Their texts differ, so that relevance parts them; each is there once.
                assert_eq!(BTreeSet::from_iter(versions.iter().map(String::as_str)), BTreeSet::from_iter(expected), "{package_type} {q}");
            } else {
                assert_eq!(versions, expected, "{package_type} {q}");
            }
        }
    }
}

#[tokio::test]
async fn whatever_a_manifest_holds_its_version_is_found() {
    let app = instance().await;
    let long = json!({"description": format!("{} unreached", "word ".repeat(100_000)), "keywords": vec!["key"; 60_000]});
    assert!(long.to_string().len() > 700_000);
    publish(&app, ("npm", "", "long"), "1.0.0", &long).await;
    publish(&app, ("npm", "", "strange"), "1.0.0", &json!({"description": ["a", {"b": 1}], "keywords": {"x": 1}, "summary": 7})).await;
    app.run_jobs().await;
    for (q, expected) in
        [("long", vec!["long"]), ("word", vec!["long"]), ("key", vec!["long"]), ("strange", vec!["strange"]), ("unreached", vec![])]
    {
        assert_eq!(full_names(&search(&app, q, "").await), expected, "{q}");
    }
}
