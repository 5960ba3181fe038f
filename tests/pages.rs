//! Rendered indexes that are kept against ones that are rendered anew. Invariant: after each acknowledged operation every reader is sent
//! exactly what a fresh rendering gives, under a tag that changes when the bytes change and then only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{DENY_ALL, HOLD_ALL, Response, TestApp, UploadForm, rule, text, version_path, wheel};

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const DAY_MS: i64 = 86_400_000;
const PROJECTS: [&str; 2] = ["demo", "other"];
const REPOS: [&str; 2] = ["main", "prod"];

#[derive(Debug, Clone, Copy)]
enum Op {
    Upload { project: usize, version: usize },
    Hold(usize),
    Vote(usize, &'static str),
    Yank(usize, &'static str),
    Tombstone(usize),
    Restore(usize),
    Promote(usize),
    Policy(usize),
    Freeze,
    Lift,
    Advisories,
    Anonymous(bool),
    Days(i64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let number = 0..1000_usize;
    let op = prop_oneof![
        6 => (0..PROJECTS.len(), 0..4_usize).prop_map(|(project, version)| Op::Upload { project, version }),
        3 => number.clone().prop_map(Op::Hold),
        3 => (number.clone(), prop_oneof![Just("release"), Just("release"), Just("reject")]).prop_map(|(item, ballot)| Op::Vote(item, ballot)),
        3 => (number.clone(), prop_oneof![Just("PUT"), Just("DELETE")]).prop_map(|(version, method)| Op::Yank(version, method)),
        2 => number.clone().prop_map(Op::Tombstone),
        2 => number.clone().prop_map(Op::Restore),
        2 => number.clone().prop_map(Op::Promote),
        3 => (0..4_usize).prop_map(Op::Policy),
        1 => Just(Op::Freeze),
        1 => Just(Op::Lift),
        1 => Just(Op::Advisories),
        1 => any::<bool>().prop_map(Op::Anonymous),
        2 => (1..9_i64).prop_map(Op::Days),
    ];
    proptest::collection::vec(op, 10..32)
}

struct World {
    app: TestApp,
    /// Nobody, and somebody.
    readers: [String; 2],
    /// What was sent last to whom, where: the bytes and their tag.
    sent: HashMap<(usize, String, &'static str), (Vec<u8>, String)>,
}

impl World {
    async fn new() -> World {
        let app = TestApp::new().await;
        app.create_repo("prod", json!({})).await;
        for repo in REPOS {
            anonymous_read(&app, repo, true).await;
        }
        let reader = app.issue("ann", &["repo:main:read", "repo:prod:read"]).await;
        World { readers: [String::new(), reader], app, sent: HashMap::new() }
    }

    /// Does one thing; whether it is refused does not matter here.
    async fn step(&mut self, op: Op) {
        let app = &self.app;
        let nth = |sql: &str, number: usize| {
            let rows = app.ask(sql);
            if rows.is_empty() { (String::new(), String::new()) } else { split(&rows[number % rows.len()]) }
        };
        let version = |number| nth("SELECT repo_key || ' ' || version_id FROM versions ORDER BY version_id", number);
        match op {
            Op::Upload { project, version } => drop(upload(app, PROJECTS[project], &format!("{version}.0")).await),
            Op::Hold(number) => {
                let (repo, id) = version(number);
                drop(app.hold(&app.admin, &repo, &id).await);
            }
            Op::Vote(number, ballot) => {
                let items = "SELECT repo_key || ' ' || quarantine_id FROM quarantine_items ORDER BY quarantine_id";
                let (repo, item) = nth(items, number);
                drop(app.vote(&app.admin, &repo, &item, ballot).await);
            }
            Op::Yank(number, method) => {
                let (repo, id) = version(number);
                let path = format!("{}/yank", version_path(&repo, &id));
                drop(app.call(method, &path).token(&app.admin).json(&json!({"reason": "it is broken"})).send().await);
            }
            Op::Tombstone(number) => {
                let (repo, id) = version(number);
                drop(app.tombstone(&app.admin, &repo, &id).await);
            }
            Op::Restore(number) => {
                let (repo, id) = version(number);
                drop(app.step(&app.admin, &repo, &id, "restore", json!({})).await);
            }
            Op::Promote(number) => {
                let (repo, id) = version(number);
                drop(app.step(&app.admin, &repo, &id, "promote", json!({"targetRepo": "prod"})).await);
            }
            Op::Policy(which) => {
                let cooldown = rule("cooldown", "quarantine", "context.ageDays < 7");
                app.set_policy("main", ["", HOLD_ALL, DENY_ALL, &cooldown][which]).await;
            }
            Op::Freeze => {
                let freeze = json!({"packageType": "*", "after": "2026-06-01T00:00:00Z", "reason": "attack"});
                drop(app.post(&app.admin, "/v1/freezes", freeze).await);
            }
            Op::Lift => {
                for id in app.ask("SELECT freeze_id FROM freezes WHERE lifted_at IS NULL") {
                    app.call("DELETE", &format!("/v1/freezes/{id}")).token(&app.admin).send().await;
                }
            }
            Op::Advisories => {
                let record = json!({"id": "PYSEC-2026-1", "modified": "2026-06-01T00:00:00Z", "summary": "bad",
                    "affected": [{"package": {"ecosystem": "PyPI", "name": "demo"}, "versions": ["1.0"]}]});
                let path = "/v1/admin/advisories/imports";
                app.call("POST", path).token(&app.admin).body(format!("{record}\n")).send().await.expect(200);
            }
            Op::Anonymous(may_read) => anonymous_read(app, "main", may_read).await,
            Op::Days(days) => app.clock.advance_ms(days * DAY_MS),
        }
    }

    /// Every reader is sent what a rendering gives that knows nothing from before.
    async fn check(&mut self, after: &str) {
        let fresh = self.app.with_empty_memory();
        for (number, reader) in self.readers.iter().enumerate() {
            for path in REPOS.iter().flat_map(|repo| paths(repo)) {
                for form in [JSON, "text/html"] {
                    let kept = self.app.call("GET", &path).token(reader).header("accept", form).send().await;
                    let anew = fresh.call("GET", &path).token(reader).header("accept", form).send().await;
                    assert_eq!(kept.status, anew.status, "{path} of {reader:?} after {after}");
                    if kept.status != 200 {
                        continue;
                    }
                    assert_eq!(kept.text(), anew.text(), "{path} of {reader:?} after {after}");
                    assert_eq!(kept.header("etag"), anew.header("etag"), "{path} of {reader:?} after {after}");
                    let now = (kept.bytes.to_vec(), kept.header("etag").to_owned());
                    let before = self.sent.insert((number, path.clone(), form), now.clone());
                    if let Some(before) = before {
                        assert_eq!(before.0 == now.0, before.1 == now.1, "the tag of {path} after {after}");
                    }
                }
            }
        }
    }
}

fn split(row: &str) -> (String, String) {
    let (repo, id) = row.split_once(' ').unwrap();
    (repo.to_owned(), id.to_owned())
}

fn paths(repo: &str) -> Vec<String> {
    let projects = PROJECTS.iter().map(|project| format!("/pypi/{repo}/simple/{project}/"));
    std::iter::once(format!("/pypi/{repo}/simple/")).chain(projects).collect()
}

async fn anonymous_read(app: &TestApp, repo: &str, may_read: bool) {
    let request = json!({"anonymousRead": may_read});
    app.call("PATCH", &format!("/v1/repos/{repo}")).token(&app.admin).json(&request).send().await.expect(200);
}

/// One distribution to `main`; gives the answer and the file's name.
async fn upload(app: &TestApp, project: &str, version: &str) -> (Response, String) {
    let file = wheel(project, version, "Requires-Python: >=3.9", "text", &format!("NAME = '{project} {version}'\n"));
    (app.send_form(&app.admin, &UploadForm::of(project, version, &file)).await, file.0)
}

fn hits(app: &TestApp) -> u64 {
    let text = app.store.metrics().encode().unwrap();
    text.lines().find_map(|line| line.strip_prefix("artifortress_pages_hits_total ")).unwrap().parse().unwrap()
}

#[test]
fn after_any_operation_every_reader_is_sent_what_a_fresh_rendering_gives() {
    let config = Config { cases: 6, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let run = |ops: Vec<Op>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let first = [Op::Upload { project: 0, version: 1 }, Op::Upload { project: 1, version: 1 }];
            for op in first.into_iter().chain(ops) {
                world.step(op).await;
                world.check(&format!("{op:?}")).await;
                // What the server does of itself, such as judging again, is no exception.
                world.app.run_jobs().await;
                world.check(&format!("{op:?} and the jobs")).await;
            }
            assert!(hits(&world.app) > 100, "the memory was not tried");
        });
        Ok(())
    };
    TestRunner::new(config).run(&ops(), run).unwrap_or_else(|fault| panic!("{fault}"));
}

#[tokio::test]
async fn who_has_no_credentials_is_never_sent_the_page_of_those_who_have() {
    let app = TestApp::new().await;
    anonymous_read(&app, "main", true).await;
    let (answer, _) = upload(&app, "demo", "1.0").await;
    let id = text(&answer.expect(200).json(), "versionId");
    let policy = r#"@id("secret-name") @decision("quarantine") @message("words for colleagues") forbid (principal, action, resource);"#;
    app.set_policy("main", policy).await;
    app.run_jobs().await;
    assert_eq!(app.state("main", &id).await, "quarantined");
    let reader = app.issue("ann", &["repo:main:read"]).await;
    let path = "/pypi/main/simple/demo/";
    for form in [JSON, "text/html"] {
        let mut tags = Vec::new();
        for token in [reader.as_str(), "", reader.as_str(), ""] {
            let page = app.call("GET", path).token(token).header("accept", form).send().await.expect(200);
            assert_eq!(page.text().contains("words for colleagues"), !token.is_empty(), "{}", page.text());
            assert_eq!(page.text().contains("secret-name"), !token.is_empty(), "{}", page.text());
            assert_eq!((page.header("vary"), page.header("cache-control")), ("Accept, Authorization", "private, no-cache"));
            tags.push(page.header("etag").to_owned());
        }
        assert!(tags[0] == tags[2] && tags[1] == tags[3] && tags[0] != tags[1], "{tags:?}");
        // What somebody with credentials was told is no answer for anybody else.
        let other = app.call("GET", path).header("accept", form).header("if-none-match", &tags[0]).send().await;
        assert_eq!(other.expect(200).header("etag"), tags[1]);
        let same = app.call("HEAD", path).header("accept", form).header("if-none-match", &tags[1]).send().await.expect(304);
        assert!(same.bytes.is_empty());
    }
    anonymous_read(&app, "main", false).await;
    assert_eq!(app.call("GET", path).header("accept", JSON).send().await.status, 401, "a kept page opens no repo");
}

/// What a publisher has been told of its files, in the order in which it was told.
#[derive(Default)]
struct Told {
    published: Mutex<Vec<String>>,
    held: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_begins_after_an_acknowledgement_sees_what_was_acknowledged() {
    const FILES: usize = 24;
    let app = Arc::new(TestApp::new().await);
    let (told, is_over, reads) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (app, told, is_over, reads) = (Arc::clone(&app), Arc::clone(&told), Arc::clone(&is_over), Arc::clone(&reads));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    read(&app, &told).await;
                    reads.fetch_add(1, Ordering::SeqCst);
                    // What comes out of memory never waits, and others want their turn.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let publishers: Vec<_> = (0..2)
        .map(|publisher| {
            let (app, told) = (Arc::clone(&app), Arc::clone(&told));
            tokio::spawn(async move {
                for number in 0..FILES / 2 {
                    let (answer, file) = upload(&app, "demo", &format!("{publisher}.{number}")).await;
                    let id = text(&answer.expect(200).json(), "versionId");
                    told.published.lock().unwrap().push(file.clone());
                    read(&app, &told).await;
                    app.hold(&app.admin, "main", &id).await.expect(201);
                    told.held.lock().unwrap().push(file);
                    read(&app, &told).await;
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(reads.load(Ordering::SeqCst) > FILES && hits(&app) > 0);
}

/// Reads the page; what had been told before must be in it.
async fn read(app: &TestApp, told: &Told) {
    let held = told.held.lock().unwrap().clone();
    let published = told.published.lock().unwrap().clone();
    let page = app.call("GET", "/pypi/main/simple/demo/").token(&app.admin).header("accept", JSON).send().await;
    if published.is_empty() && page.status == 404 {
        return;
    }
    let page = page.expect(200).json();
    let files: HashMap<&str, &Value> =
        page["files"].as_array().unwrap().iter().map(|file| (file["filename"].as_str().unwrap(), file)).collect();
    for name in &published {
        assert!(files.contains_key(name.as_str()), "{name} was acknowledged and is not listed");
    }
    for name in &held {
        assert_eq!(files[name.as_str()]["hashes"], json!({}), "the hold of {name} was acknowledged and it is shown");
    }
}
