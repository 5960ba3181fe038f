//! Recorded decisions proven and explained: one, a stretch, all, with a server and without. Invariant: a record is proven to the byte or the
//! member that differs is named, and a verification changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::command_line::{publish, typed};
use crate::support::{Daemon, HOLD_ALL, Package, TestApp, digest_of, items, rule, text};

const EVALUATIONS: &str = "/v1/repos/main/policy/evaluations";

/// The newest evaluation of a version.
async fn newest(app: &TestApp, version: &str) -> String {
    let listed = app.get(&app.admin, &format!("{EVALUATIONS}?versionId={version}")).await.expect(200).json();
    text(&items(&listed)[0], "evaluationId")
}

async fn verified(app: &TestApp, path: &str, body: Value) -> Value {
    let answer = app.post(&app.admin, path, body).await.expect(200).json();
    assert_eq!(answer["complete"], true);
    answer
}

/// Changes a record, as somebody with the file could.
fn forge(directory: &Path, change: &str) {
    let connection = Connection::open(directory.join("state.db")).unwrap();
    connection.execute_batch("DROP TRIGGER evaluations_fixed_update;").unwrap();
    assert_eq!(connection.execute(change, []).unwrap(), 1, "{change}");
}

#[tokio::test]
async fn a_record_is_proven_and_what_would_be_decided_today_is_told_beside_it() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("young", "quarantine", "context.ageDays > 300")).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let path = format!("{EVALUATIONS}/{}/verify", newest(&app, &id).await);
    app.set_policy("main", "").await;
    let policy = rule("all", "deny", "context.hosted").replace("@decision", "@mode(\"observe\") @decision");
    app.set_policy("main", &policy).await;
    app.run_jobs().await;
    let before = app.everything();
    let proof = app.post(&app.admin, &path, json!({})).await.expect(200).json();
    assert_eq!((&proof["matches"], &proof["mismatches"], proof.get("today")), (&json!(true), &json!([]), None));
    assert_eq!((&proof["sameInput"], &proof["samePolicies"], &proof["sameEngine"]), (&json!(true), &json!(true), &json!(true)));
    let same = app.post(&app.admin, &format!("{path}?today=true"), json!({})).await.expect(200).json();
    assert_eq!(app.everything(), before);
    assert_eq!((&same["today"]["decision"], &same["today"]["differs"]), (&json!("allow"), &json!(false)));
    app.clock.advance_ms(400 * 86_400_000);
    app.set_policy("main", &rule("old", "quarantine", "context.ageDays > 300")).await;
    let drifted = app.post(&app.admin, &format!("{path}?today=true"), json!({})).await.expect(200).json();
    assert_eq!(
        (&drifted["matches"], &drifted["today"]["decision"], &drifted["today"]["differs"]),
        (&json!(true), &json!("quarantine"), &json!(true))
    );
    app.set_policy("main", "").await;
    app.run_jobs().await;
    app.post(&app.admin, &format!("{path}?yesterday=true"), json!({})).await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_forged_record_is_found_and_the_member_named() {
    for (change, member) in [
        ("SET decision = 'allow'", "decision"),
        ("SET decision_source = 'default_allow'", "decisionSource"),
        ("SET reasons = replace(reasons, 'everything', 'nothing')", "reasons"),
        ("SET reasons = reasons || ' '", "reasons"),
        ("SET observed = '[ ]'", "observed"),
        ("SET input = replace(input, '\"hosted\":true', '\"hosted\":false')", "inputDigest"),
        ("SET repo_revision = 0", "policyDigest"),
        ("SET advisory_digest = input_digest", "advisoryDigest"),
        ("SET content_digest = input_digest", "contentDigest"),
        ("SET action = 'restore'", "action"),
    ] {
        let app = TestApp::new().await;
        app.set_policy("main", HOLD_ALL).await;
        let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
        app.publish(&app.admin, "main", &id).await.expect(202);
        let evaluation = newest(&app, &id).await;
        forge(app.path(), &format!("UPDATE evaluations {change}"));
        let proof = app.post(&app.admin, &format!("{EVALUATIONS}/{evaluation}/verify"), json!({})).await.expect(200).json();
        assert_eq!(proof["matches"], false, "{change}");
        let members: Vec<&str> = proof["mismatches"].as_array().unwrap().iter().map(|one| one["member"].as_str().unwrap()).collect();
        assert!(members.contains(&member), "{change}: {members:?}");
        let all = verified(&app, &format!("{EVALUATIONS}/verify"), json!({})).await;
        assert_eq!((&all["summary"]["mismatched"], items(&all).len()), (&json!(1), 1), "{change}");
        std::mem::forget(app);
    }
}

#[tokio::test]
async fn all_records_of_a_stretch_are_verified_one_after_the_other() {
    const COUNT: u64 = 120;
    let app = TestApp::new().await;
    app.create_repo("other", json!({})).await;
    for number in 0..COUNT {
        app.published(if number % 2 == 0 { "main" } else { "other" }, &Package::generic(&format!("p{number}"), "1.0")).await;
        app.clock.advance_ms(1000);
    }
    app.run_jobs().await;
    let before = app.everything();
    let proven = |count: u64| json!({"checked": count, "matched": count, "mismatched": 0, "failed": 0, "drifted": 0});
    assert_eq!(verified(&app, &format!("{EVALUATIONS}/verify"), json!({})).await["summary"], proven(COUNT / 2));
    assert_eq!(verified(&app, "/v1/policy/evaluations/verify", json!({})).await["summary"], proven(COUNT));
    let stretch = json!({"since": "2026-06-01T12:00:10.000Z", "until": "2026-06-01T12:00:19.000Z", "today": true});
    assert_eq!(verified(&app, "/v1/policy/evaluations/verify", stretch).await["summary"], proven(10));
    let whole = app.call("POST", "/v1/policy/evaluations/verify").token(&app.admin).send().await.expect(200).json();
    assert_eq!(whole["summary"], proven(COUNT), "without a body");
    assert_eq!(app.everything(), before);
}

#[tokio::test]
async fn a_decision_is_explained_in_words_that_hold() {
    let app = TestApp::new().await;
    app.set_policy("main", &rule("young", "quarantine", "context.ageDays < 7 && context.hosted")).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    app.publish(&app.admin, "main", &id).await.expect(202);
    let explained = app.get(&app.admin, &format!("{EVALUATIONS}/{}/explain", newest(&app, &id).await)).await.expect(200).json();
    let young = &explained["rules"][0];
    assert_eq!((&explained["decision"], &young["rule"], &young["part"]), (&json!("quarantine"), &json!("young"), &json!("enforced")));
    assert_eq!(young["facts"], json!([{"fact": "context.ageDays", "value": 0}, {"fact": "context.hosted", "value": true}]));
    assert_eq!(young["wouldNotFireIf"][0], json!({"fact": "context.ageDays", "value": 7, "allows": true}));
    assert_eq!(young["stopsAt"], "2026-06-08T12:00:00.000Z");
    assert!(explained["words"][1].as_str().unwrap().contains("By itself it stops firing at 2026-06-08T12:00:00.000Z"), "{explained}");
}

/// Every file under a directory with its digest.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(path, digest)| (format!("{name}/{path}"), digest)));
        } else {
            found.insert(name, digest_of(&std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

#[test]
fn the_commands_show_explain_and_verify_with_a_server_and_without_and_change_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let policy = directory.path().join("hold.cedar");
    std::fs::write(&policy, HOLD_ALL).unwrap();
    publish(&daemon, "first");
    typed(directory.path(), &format!("policy put {} --repo main", policy.display())).done();
    publish(&daemon, "second");
    let listed = typed(directory.path(), "evaluations list --decision quarantine --json").json();
    let id = text(&items(&listed)[0], "evaluationId");
    let shown = typed(directory.path(), "evaluations list").done();
    assert!(shown.contains(&id) && shown.contains("quarantine") && shown.contains("hold-all"), "{shown}");
    assert_eq!(typed(directory.path(), &format!("evaluations show {id}")).json()["input"]["resource"], "main");
    let explained = typed(directory.path(), &format!("evaluations explain {id}")).done();
    assert!(explained.contains("It is held, for one reason.") && explained.contains("The rule hold-all"), "{explained}");
    assert!(typed(directory.path(), &format!("evaluations verify {id}")).done().contains("is proven: quarantine, to the byte"));
    assert!(typed(directory.path(), &format!("evaluations verify {id} --today")).done().contains("today it would be the same"));
    let all = typed(directory.path(), "evaluations verify --all").done();
    let count = all.split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(count >= 2 && all.contains(&format!("{count} records checked: {count} proven")), "{all}");
    let document = typed(directory.path(), "evaluations verify --repo main --json").json();
    assert_eq!((&document["complete"], &document["summary"]["mismatched"]), (&json!(true), &json!(0)));
    typed(directory.path(), "evaluations verify").complains(2, &["<ID>"]);
    daemon.stop();

    let data = directory.path().join("data");
    let before = files(&data);
    let offline = typed(directory.path(), "evaluations verify --all").done();
    assert!(
        offline.contains(&format!("{count} records checked: {count} proven (by cedar-")) && offline.contains("without a server"),
        "{offline}"
    );
    assert!(typed(directory.path(), &format!("evaluations verify {id}")).done().contains("is proven"));
    typed(directory.path(), &format!("evaluations verify {id} --today")).complains(1, &["today's verdicts need one"]);
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(data.join("state.db"), copy.join("state.db")).unwrap();
    let of_copy = files(&copy);
    let line = format!("evaluations verify --repo main --json --data-dir {}", copy.display());
    assert_eq!(typed(directory.path(), &line).json()["summary"]["failed"], 0);
    assert_eq!((files(&data), files(&copy)), (before, of_copy), "no byte has changed, and no file was made");

    forge(&copy, &format!("UPDATE evaluations SET reasons = replace(reasons, 'everything', 'nothing') WHERE evaluation_id = '{id}'"));
    let forged = typed(directory.path(), &line.replace(" --json", ""));
    assert_eq!(forged.code, Some(1));
    assert!(
        forged.output.contains("reasons is recorded as") && forged.output.contains("1 not what their inputs come to"),
        "{}",
        forged.output
    );
    std::fs::write(copy.join("state.db-wal"), b"changes").unwrap();
    typed(directory.path(), &line).complains(1, &["state.db-wal", "has changes that state.db lacks"]);
}
