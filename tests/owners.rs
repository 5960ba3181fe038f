//! Who publishes a package. Invariant: with a list of owners nobody but those on it and the repo's administrators changes anything of the
//! package, by whatever way; without one everybody who may write in the repo does.

use artifortress::domain::access::{Permit, Read, Write};
use artifortress::domain::name::{Coordinates, Subject};
use artifortress::error::Code;
use serde_json::{Value, json};

use crate::support::{Package, Response, TestApp, UploadForm, items, package, version_of, version_path, wheel};

const DEMO: &str = "/v1/repos/main/owners?packageType=npm&name=demo";

fn npm(version: &str) -> Package {
    Package { package_type: "npm".to_owned(), ..Package::generic("demo", version) }
}

async fn owner(app: &TestApp, token: &str, method: &str, subject: &str) -> Response {
    app.call(method, &format!("{DEMO}&subject={subject}")).token(token).send().await
}

fn owners(answer: &Value) -> Vec<String> {
    answer["owners"].as_array().unwrap().iter().map(|owner| owner.as_str().unwrap().to_owned()).collect()
}

/// An instance in which ann owns demo, of which 1.0.0 is published; with her token and that of bob, who may write.
async fn started() -> (TestApp, String, String, String) {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    let permit = app.permit::<Write>(&ann, "main").await;
    let id = version_of(&app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), b"one", &["latest", "old"]).await.unwrap());
    owner(&app, &ann, "PUT", "ann").await.expect(200);
    (app, ann, bob, id)
}

#[tokio::test]
async fn whoever_is_no_owner_is_refused_by_every_way_and_told_whom_to_ask() {
    let (app, ann, bob, id) = started().await;
    app.create_repo("source", json!({})).await;
    let other = app.published("source", &npm("3.0.0")).await;
    let draft = app.draft(&ann, "main", &npm("2.0.0")).await;
    let taken_back = app.published("main", &npm("0.9.0")).await;
    app.tombstone(&ann, "main", &taken_back).await.expect(200);
    let promoter = app.issue("bob", &["repo:source:promote", "repo:main:write"]).await;
    let digest = app.upload(&bob, "main", b"other").await;
    let before = app.everything();
    let (v1, tags) =
        (|id: &str, verb: &str| format!("{}/{verb}", version_path("main", id)), "/v1/repos/main/tags?packageType=npm&name=demo");
    let entries = json!({"entries": [{"relativePath": "x", "blobDigest": digest, "sizeBytes": 5}]});
    let reason = json!({"reason": "mine"});
    let ways = [
        ("POST", "/v1/repos/main/packages/versions/drafts".to_owned(), npm("2.1.0").draft_request()),
        ("POST", v1(&draft, "entries"), entries),
        ("DELETE", v1(&draft, "entries/demo.bin"), json!({})),
        ("PUT", v1(&draft, "manifest"), json!({"name": "demo"})),
        ("POST", v1(&draft, "publish"), json!({})),
        ("POST", v1(&id, "tombstone"), reason.clone()),
        ("POST", v1(&taken_back, "restore"), json!({})),
        ("PUT", v1(&id, "yank"), reason.clone()),
        ("DELETE", v1(&id, "yank"), json!({})),
        ("PUT", format!("{tags}&tag=next"), json!({"version": "1.0.0"})),
        ("DELETE", format!("{tags}&tag=old"), json!({})),
        ("PUT", format!("{DEMO}&subject=bob"), json!({})),
        ("DELETE", format!("{DEMO}&subject=ann"), json!({})),
        ("POST", format!("{}/promote", version_path("source", &other)), json!({"targetRepo": "main"})),
    ];
    for (method, path, request) in ways {
        let refusal = app.call(method, &path).token(&promoter).json(&request).send().await.refused(403, "forbidden");
        assert!(refusal["message"].as_str().unwrap().contains("ask one of them to do it or to add you: ann"), "{method} {path}: {refusal}");
    }
    let permit = app.permit::<Write>(&bob, "main").await;
    let refused = app.registry().yank_release(&permit, &at("1.0.0"), Some("mine".to_owned())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    assert_eq!(app.everything(), before, "a refused way changed something");
    let refused = app.deposit(&permit, (&package("npm", "demo"), "2.2.0"), b"other", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    app.publish(&ann, "main", &draft).await.expect(200);
}

#[tokio::test]
async fn the_protocols_refuse_whoever_is_no_owner_too_and_keep_nothing() {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    let file = |token: &str, path: &str, bytes: &'static [u8]| app.call("PUT", &format!("/files/main/{path}")).token(token).body(bytes);
    file(&ann, "tool/1.0/tool.bin?publish", b"one").send().await;
    let wheels = [wheel("demo", "1.0", "", "a demo", "one"), wheel("demo", "1.1", "", "a demo", "two")];
    app.send_form(&ann, &UploadForm::of("demo", "1.0", &wheels[0])).await.expect(200);
    for (package_type, name) in [("generic", "tool"), ("pypi", "demo")] {
        let path = format!("/v1/repos/main/owners?packageType={package_type}&name={name}&subject=ann");
        app.call("PUT", &path).token(&ann).send().await.expect(200);
    }
    let state = || app.ask("SELECT name || version || state FROM version_rows ORDER BY version_id");
    let before = state();
    assert_eq!(before, ["tool1.0published", "demo1.0published"]);
    let refused = file(&bob, "tool/2.0/tool.bin", b"two").send().await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("ann"), "{}", refused.text());
    let refused = app.send_form(&bob, &UploadForm::of("demo", "1.1", &wheels[1])).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("ann"), "{}", refused.text());
    assert_eq!(state(), before);
    app.send_form(&ann, &UploadForm::of("demo", "1.1", &wheels[1])).await.expect(200);
}

fn at(version: &str) -> Coordinates {
    Coordinates::new(package("npm", "demo"), version).unwrap()
}

#[tokio::test]
async fn the_first_list_has_its_maker_on_it_and_the_last_owner_is_removed_by_an_administrator_alone() {
    let app = TestApp::new().await;
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    owner(&app, &ann, "PUT", "bob").await.refused(404, "not_found");
    let permit = app.permit::<Write>(&ann, "main").await;
    app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), b"one", &[]).await.unwrap();
    let bobs = app.permit::<Write>(&bob, "main").await;
    app.deposit(&bobs, (&package("npm", "demo"), "1.1.0"), b"more", &[]).await.unwrap();
    let mark = app.mark();
    assert_eq!(owners(&owner(&app, &ann, "PUT", "bob").await.expect(200).json()), ["ann", "bob"]);
    assert_eq!(owners(&owner(&app, &ann, "PUT", "bob").await.expect(200).json()), ["ann", "bob"]);
    assert_eq!(owners(&owner(&app, &bob, "DELETE", "ann").await.expect(200).json()), ["bob"]);
    owner(&app, &bob, "DELETE", "ann").await.refused(404, "not_found");
    owner(&app, &bob, "DELETE", "bob").await.refused(409, "conflict");
    owner(&app, &ann, "PUT", "ann").await.refused(403, "forbidden");
    assert_eq!(owners(&owner(&app, &app.admin, "DELETE", "bob").await.expect(200).json()), [""; 0]);
    assert_eq!(app.audit_since(&mark), ["package.owners.changed"; 3]);
    assert!(app.events_since(&mark).is_empty());
    let details: Value =
        serde_json::from_str(&app.ask("SELECT details FROM audit WHERE action = 'package.owners.changed' ORDER BY seq")[1]).unwrap();
    assert_eq!(details, json!({"repoKey": "main", "changed": ["ann"], "owners": ["bob"]}));
    app.deposit(&permit, (&package("npm", "demo"), "1.2.0"), b"again", &[]).await.unwrap();
    owner(&app, &ann, "PUT", "carol%20x").await.refused(400, "bad_request");
}

#[tokio::test]
async fn owners_are_named_to_those_with_credentials_who_may_know_of_the_package() {
    let (app, ann, _, _) = started().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let seen = items(&app.get(&reader, DEMO).await.expect(200).json());
    assert_eq!(seen, [json!({"subject": "ann"})]);
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.get("", DEMO).await.refused(401, "unauthorized");
    // A package of drafts alone is nothing that a reader knows of.
    app.draft(&ann, "main", &Package { name: "secret".to_owned(), ..npm("1.0.0") }).await;
    let secret = DEMO.replace("demo", "secret");
    app.call("PUT", &format!("{secret}&subject=ann")).token(&ann).send().await.expect(200);
    assert!(items(&app.get(&reader, &secret).await.expect(200).json()).is_empty());
    assert_eq!(items(&app.get(&ann, &secret).await.expect(200).json()).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_is_removed_while_the_gate_judges_does_not_publish() {
    let (app, ann, _, _) = started().await;
    owner(&app, &ann, "PUT", "ben").await.expect(200);
    let ben = app.issue("ben", &["repo:main:write"]).await;
    let draft = app.draft(&ben, "main", &npm("2.0.0")).await;
    let already = app.engine.asked();
    app.engine.set(crate::support::Mood::Stuck);
    let running = tokio::spawn(app.call("POST", &format!("{}/publish", version_path("main", &draft))).token(&ben).json(&json!({})).send());
    tokio::task::block_in_place(|| app.engine.wait_until_asked(already + 1));
    owner(&app, &ann, "DELETE", "ben").await.expect(200);
    app.engine.set(crate::support::Mood::Sound);
    running.await.unwrap().refused(403, "forbidden");
    assert_eq!(app.state("main", &draft).await, "draft");
}

#[tokio::test]
async fn of_two_lists_begun_at_once_nobody_is_left_out_by_chance() {
    for _ in 0..8 {
        let app = TestApp::new().await;
        let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
        let permit = app.permit::<Write>(&ann, "main").await;
        app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), b"one", &[]).await.unwrap();
        let (one, other) = tokio::join!(owner(&app, &ann, "PUT", "ann"), owner(&app, &bob, "PUT", "bob"));
        // Who came first owns it; the other one is refused and told so.
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403], "{} {}", one.text(), other.text());
    }
}

#[tokio::test]
async fn a_package_has_a_hundred_owners_at_most_and_loses_them_with_its_repo() {
    let (app, ann, _, _) = started().await;
    let permit = app.permit::<Write>(&ann, "main").await;
    let subjects = |count: usize| (0..count).map(|number| format!("robot-{number}").parse().unwrap()).collect::<Vec<Subject>>();
    let demo = package("npm", "demo");
    assert_eq!(app.registry().add_owners(&permit, &demo, subjects(99)).await.unwrap().len(), 100);
    assert_eq!(app.registry().add_owners(&permit, &demo, subjects(100)).await.unwrap_err().code(), Code::Conflict);
    let reading: Permit<Read> = permit.reading();
    assert_eq!(app.registry().owners(&reading, &demo).unwrap().len(), 100);
    app.call("DELETE", "/v1/repos/main?force=true").token(&app.admin).send().await.expect(204);
    assert_eq!(app.ask("SELECT count(*) FROM package_owners"), ["0"]);
}

#[tokio::test]
async fn a_release_is_yanked_with_all_its_files_and_what_is_held_of_it_and_twice_is_harmless() {
    let app = TestApp::new().await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    let demo = package("npm", "demo");
    let id = version_of(&app.deposit(&permit, (&demo, "1.0.0"), b"one", &[]).await.unwrap());
    let held = version_of(&app.deposit(&permit, (&demo, "2.0.0"), b"two", &[]).await.unwrap());
    app.hold(&app.admin, "main", &held).await.expect(201);
    app.draft(&app.admin, "main", &npm("3.0.0")).await;
    let (mark, registry) = (app.mark(), app.registry());
    for version in ["v1.0.0", "1.0.0", "2.0.0"] {
        registry.yank_release(&permit, &at(version), Some("broken".to_owned())).await.unwrap();
    }
    let yanked = "SELECT version || ' ' || coalesce(yanked_reason, '-') FROM versions ORDER BY version";
    assert_eq!(app.ask(yanked), ["1.0.0 broken", "2.0.0 broken", "3.0.0 -"]);
    registry.yank_release(&permit, &at("1.0.0"), None).await.unwrap();
    registry.yank_release(&permit, &at("1.0.0"), None).await.unwrap();
    assert_eq!(app.ask(yanked)[0], "1.0.0 -");
    assert_eq!(app.audit_since(&mark), ["package.version.yanked", "package.version.yanked", "package.version.unyanked"]);
    app.tombstone(&app.admin, "main", &id).await.expect(200);
    for (version, reason, code) in
        [("1.0.0", "x", Code::NotFound), ("3.0.0", "x", Code::NotFound), ("4.0.0", "x", Code::NotFound), ("2.0.0", "", Code::BadRequest)]
    {
        let refused = registry.yank_release(&permit, &at(version), Some(reason.to_owned())).await.unwrap_err();
        assert_eq!(refused.code(), code, "{version}");
    }
}

#[tokio::test]
async fn a_release_published_file_by_file_is_yanked_with_each_of_its_files() {
    let app = TestApp::new().await;
    for (number, module) in ["one", "two"].iter().enumerate() {
        let (_, bytes) = wheel("demo", "1.0", "", "a demo", module);
        let file = (format!("demo-1.0-{}-py3-none-any.whl", number + 1), bytes);
        let answer = app.send_form(&app.admin, &UploadForm::of("demo", "1.0", &file)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let permit = app.permit::<Write>(&app.admin, "main").await;
    let release = Coordinates::new(package("pypi", "Demo"), "1.0.0").unwrap();
    let yanked = "SELECT coalesce(yanked_reason, '-') FROM versions";
    app.registry().yank_release(&permit, &release, Some("broken".to_owned())).await.unwrap();
    assert_eq!(app.ask(yanked), ["broken", "broken"]);
    app.registry().yank_release(&permit, &release, None).await.unwrap();
    assert_eq!(app.ask(yanked), ["-", "-"]);
}
