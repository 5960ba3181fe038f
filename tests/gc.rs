//! The collector over a whole instance. Invariant: nothing goes that is asked for by nobody's mistake or that anything refers to; a
//! coordinate, a file name and a rejection outlive the bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use artifortress::blobs::hold_for_backup;
use artifortress::blobs::vault::Deletion;
use artifortress::domain::access::{Actor, Write};
use artifortress::domain::digest::Digest;
use artifortress::store::GcPlan;
use serde_json::{Value, json};

use crate::support::{DENY_ALL, HOLD_ALL, Package, TestApp, UploadForm, blob_path, digest_of, items, package, version_path, wheel};

const DAY_MS: i64 = 86_400_000;

impl TestApp {
    async fn collect(&self, request: Value) -> Value {
        self.post(&self.admin, "/v1/admin/gc/runs", request).await.expect(200).json()
    }

    fn file_of(&self, bytes: &[u8]) -> std::path::PathBuf {
        let hex = digest_of(bytes).replace("sha256:", "");
        self.path().join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    async fn taken_back(&self, repo: &str, id: &str, days: u32) {
        let request = json!({"reason": "no longer wanted", "retentionDays": days});
        self.step(&self.admin, repo, id, "tombstone", request).await.expect(200);
    }
}

fn bytes_of(name: &str, version: &str) -> Vec<u8> {
    format!("the bytes of {name} {version}").into_bytes()
}

#[tokio::test]
async fn a_request_that_does_not_say_so_removes_nothing() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.taken_back("main", &id, 1).await;
    app.upload(&app.admin, "main", b"of no use").await;
    app.clock.advance_ms(3 * DAY_MS);
    let before = app.everything().into_iter().filter(|row| !row.starts_with("audit")).collect::<Vec<_>>();
    for request in [json!({}), json!({"graceHours": 0}), json!({"dryRun": true, "batchSize": 1})] {
        let run = app.collect(request).await;
        assert_eq!((&run["dryRun"], &run["state"]), (&json!(true), &json!("completed")));
        assert_eq!((&run["purgedVersions"], &run["removedBlobs"], &run["removedBytes"]), (&json!(1), &json!(2), &json!(30)), "{run}");
    }
    assert_eq!(app.everything().into_iter().filter(|row| !row.starts_with("audit")).collect::<Vec<_>>(), before);
    assert!(app.file_of(b"of no use").exists() && app.file_of(&bytes_of("demo", "1.0")).exists());
    for wrong in [json!({"dryrun": false}), json!({"batchSize": 0}), json!({"graceHours": -1}), json!({"dryRun": "false"})] {
        app.post(&app.admin, "/v1/admin/gc/runs", wrong).await.refused(400, "bad_request");
    }
    // What the plan said is what is done.
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!((&run["purgedVersions"], &run["removedBlobs"], &run["removedBytes"]), (&json!(1), &json!(2), &json!(30)), "{run}");
    let runs = app.get(&app.admin, "/v1/admin/gc/runs").await.expect(200).json();
    assert_eq!(items(&runs).len(), 4);
    let run_path = format!("/v1/admin/gc/runs/{}", run["runId"].as_str().unwrap());
    assert_eq!(app.get(&app.admin, &run_path).await.expect(200).json(), run);
}

#[tokio::test]
async fn a_purged_tombstone_keeps_its_coordinate_its_evaluations_and_its_trail_and_loses_its_bytes() {
    let app = TestApp::new().await;
    let demo = Package::generic("demo", "1.0").manifest(&json!({"name": "demo"}));
    let id = app.published("main", &demo).await;
    let shared = app.published("main", &Package::generic("other", "1.0").file("shared.bin", b"shared")).await;
    let gone = app.published("main", &Package::generic("gone", "1.0").file("shared.bin", b"shared")).await;
    app.taken_back("main", &id, 2).await;
    app.taken_back("main", &gone, 2).await;
    app.clock.advance_ms(2 * DAY_MS);
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!(run["purgedVersions"], 0, "its last day is not over: {run}");
    app.clock.advance_ms(1);
    let mark = app.mark();
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!((&run["purgedVersions"], &run["removedBlobs"]), (&json!(2), &json!(2)), "{run}");
    let audited = app.audit_since(&mark);
    assert_eq!(audited.iter().filter(|action| *action == "package.version.purged").count(), 2, "{audited:?}");
    assert!(audited.iter().any(|action| action == "gc.run"));
    assert!(!app.file_of(&bytes_of("demo", "1.0")).exists());
    assert!(app.file_of(b"shared").exists(), "another version has it");
    app.get(&app.admin, &blob_path("main", &digest_of(b"shared"))).await.expect(200);
    let seen = app.get(&app.admin, &version_path("main", &id)).await.expect(200).json();
    assert_eq!(seen["state"], "tombstoned");
    assert!(seen.to_string().contains("purgedAt"), "{seen}");
    app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", demo.draft_request()).await.refused(409, "conflict");
    let refused = app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(409, "conflict");
    assert!(refused["message"].as_str().unwrap().contains("removed for good"), "{refused}");
    assert_eq!(app.ask(&format!("SELECT count(*) FROM evaluations WHERE version_id = '{id}'")), ["1"]);
    // The clock set back does not bring it back either.
    app.clock.advance_ms(-DAY_MS);
    app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(409, "conflict");
    assert_eq!(app.state("main", &shared).await, "published");
    app.clock.advance_ms(2 * DAY_MS);
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!((&run["purgedVersions"], &run["removedBlobs"]), (&json!(0), &json!(0)), "twice is harmless: {run}");
}

#[tokio::test]
async fn a_rejection_outlives_the_bytes() {
    let app = TestApp::new().await;
    let bad = Package::generic("bad", "1.0");
    let (id, item) = app.held("main", &bad).await;
    let reviewer = app.issue("ann", &["repo:main:promote"]).await;
    app.vote(&reviewer, "main", &item, "reject").await.expect(200);
    app.set_policy("main", "").await;
    app.taken_back("main", &id, 0).await;
    app.clock.advance_ms(2 * DAY_MS);
    assert_eq!(app.collect(json!({"dryRun": false})).await["purgedVersions"], 1);
    app.post(&app.admin, "/v1/repos/main/packages/versions/drafts", bad.draft_request()).await.refused(409, "conflict");
    app.step(&app.admin, "main", &id, "restore", json!({})).await.refused(409, "conflict");
    // The same bytes under another name are another version, yet the blob by its digest stays what it was: rejected.
    let same = Package::generic("fresh", "1.0").without_files().file("a.bin", &bytes_of("bad", "1.0"));
    app.published("main", &same).await;
    app.get(&app.admin, &blob_path("main", &digest_of(&bytes_of("bad", "1.0")))).await.refused(423, "quarantined_blob");
}

#[tokio::test]
async fn a_file_name_stays_spent_after_its_bytes_are_gone() {
    let app = TestApp::new().await;
    let file = wheel("demo", "1.0", "", "", "one = 1");
    let sent = async |form: &UploadForm| app.send_form(&app.admin, form).await;
    sent(&UploadForm::of("demo", "1.0", &file)).await.expect(200);
    let id = app.ask("SELECT version_id FROM versions")[0].clone();
    app.taken_back("main", &id, 0).await;
    app.clock.advance_ms(2 * DAY_MS);
    assert_eq!(app.collect(json!({"dryRun": false})).await["purgedVersions"], 1);
    let other = wheel("demo", "1.0", "", "", "two = 2");
    assert_eq!(other.0, file.0);
    assert_eq!(sent(&UploadForm::of("demo", "1.0", &other)).await.status, 409);
    assert_eq!(app.ask("SELECT path FROM purged_entries WHERE path LIKE '%.whl'"), [file.0]);
}

#[tokio::test]
async fn what_nothing_refers_to_goes_after_its_grace_which_every_upload_renews() {
    let app = TestApp::new().await;
    app.upload(&app.admin, "main", b"left").await;
    app.upload(&app.admin, "main", b"sent again").await;
    app.clock.advance_ms(DAY_MS - 1);
    app.upload(&app.admin, "main", b"sent again").await;
    assert_eq!(app.collect(json!({"dryRun": false})).await["removedBlobs"], 0);
    app.clock.advance_ms(2);
    assert_eq!(app.collect(json!({"dryRun": false})).await["removedBlobs"], 1);
    assert!(!app.file_of(b"left").exists() && app.file_of(b"sent again").exists());
    // One that was taken can come again.
    let id = app.published("main", &Package::generic("demo", "1.0").file("left.bin", b"left")).await;
    app.get(&app.admin, &blob_path("main", &digest_of(b"left"))).await.expect(200);
    assert_eq!(app.state("main", &id).await, "published");
}

#[tokio::test]
async fn the_bytes_of_a_denied_publish_go_and_those_of_drafts_and_held_versions_stay() {
    let app = TestApp::new().await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    app.set_policy("main", DENY_ALL).await;
    app.deposit(&permit, (&package("generic", "denied"), "1.0"), b"denied", &[]).await.unwrap_err();
    app.draft(&app.admin, "main", &Package::generic("draft", "1.0")).await;
    app.set_policy("main", "").await;
    app.held("main", &Package::generic("held", "1.0")).await;
    app.clock.advance_ms(40 * DAY_MS);
    let run = app.collect(json!({"dryRun": false, "graceHours": 0})).await;
    assert_eq!((&run["removedBlobs"], &run["removedBytes"]), (&json!(1), &json!(6)), "{run}");
    assert!(app.file_of(&bytes_of("draft", "1.0")).exists() && app.file_of(&bytes_of("held", "1.0")).exists());
}

#[tokio::test]
async fn a_legal_hold_keeps_a_tombstone_for_ever() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.taken_back("main", &id, 0).await;
    let path = format!("{}/protection", version_path("main", &id));
    let hold = json!({"mode": "legal_hold", "reason": "a case"});
    app.call("PUT", &path).token(&app.admin).json(&hold).send().await.expect(200);
    app.clock.advance_ms(400 * DAY_MS);
    let run = app.collect(json!({"dryRun": false, "graceHours": 0})).await;
    assert_eq!((&run["purgedVersions"], &run["removedBlobs"]), (&json!(0), &json!(0)), "{run}");
    assert!(app.file_of(&bytes_of("demo", "1.0")).exists());
    app.call("DELETE", &path).token(&app.admin).send().await;
    assert_eq!(app.collect(json!({"dryRun": false})).await["purgedVersions"], 1);
}

#[tokio::test]
async fn a_file_that_no_row_knows_goes_once_it_is_old() {
    let app = TestApp::new().await;
    let (path, young) = (app.file_of(b"orphan"), app.file_of(b"young orphan"));
    for (path, bytes) in [(&path, &b"orphan"[..]), (&young, &b"young orphan"[..])] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(app.store.clock().now().unix_ms()).unwrap());
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(start - Duration::from_secs(25 * 3600)).unwrap();
    std::fs::File::options().write(true).open(&young).unwrap().set_modified(start - Duration::from_secs(3600)).unwrap();
    let found = app.get(&app.admin, "/v1/admin/reconcile/blobs").await.expect(200).json();
    assert_eq!((&found["orphans"]["count"], &found["sound"]), (&json!(2), &json!(true)), "{found}");
    assert_eq!(app.collect(json!({})).await["orphanFiles"], 1);
    assert!(path.exists());
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!((&run["orphanFiles"], &run["orphanBytes"]), (&json!(1), &json!(6)), "{run}");
    assert!(!path.exists() && young.exists());
}

#[tokio::test]
async fn comparing_with_the_disk_finds_what_is_missing_and_what_is_damaged() {
    let app = TestApp::new().await;
    for name in ["a", "b", "c"] {
        app.published("main", &Package::generic(name, "1.0")).await;
    }
    let sound = app.get(&app.admin, "/v1/admin/reconcile/blobs?sample=10").await.expect(200).json();
    assert_eq!((&sound["blobs"], &sound["sampled"], &sound["sound"]), (&json!(3), &json!(3), &json!(true)), "{sound}");
    let (missing, changed) = (app.file_of(&bytes_of("a", "1.0")), app.file_of(&bytes_of("b", "1.0")));
    std::fs::remove_file(missing).unwrap();
    std::fs::remove_file(&changed).unwrap();
    std::fs::write(&changed, bytes_of("x", "1.0")).unwrap();
    let mark = app.mark();
    let found = app.get(&app.admin, "/v1/admin/reconcile/blobs?sample=10").await.expect(200).json();
    assert_eq!(found["missing"]["first"], json!([digest_of(&bytes_of("a", "1.0"))]), "{found}");
    assert_eq!(found["damaged"]["first"], json!([digest_of(&bytes_of("b", "1.0"))]), "{found}");
    assert_eq!(app.audit_since(&mark), ["reconcile.run"]);
    app.get(&app.admin, "/v1/admin/reconcile/blobs?sample=1001").await.refused(400, "bad_request");
}

#[tokio::test]
async fn an_upload_in_any_gap_of_a_collection_keeps_its_bytes() {
    let app = TestApp::new().await;
    let (actor, bytes) = (Actor::system("gc"), b"raced");
    let digest = Digest::of(bytes);
    app.upload(&app.admin, "main", bytes).await;
    app.clock.advance_ms(2 * DAY_MS);
    let now = app.store.clock().now();
    let run = app.store.write(&actor, |tx| tx.begin_gc(&GcPlan { dry_run: false, grace_hours: 0, batch_size: 1 })).await.unwrap().id;
    let is_loose = || app.store.loose_blobs(now, None, 10).unwrap().0.iter().any(|blob| blob.digest == digest && blob.is_free);
    assert!(is_loose());
    // Between the look and the rows: a draft refers to it, so the rows stay.
    let id = app.draft(&app.admin, "main", &Package::generic("late", "1.0").without_files().file("a.bin", bytes)).await;
    assert_eq!(app.store.write(&actor, move |tx| tx.let_go(&run, &[digest], now)).await.unwrap(), []);
    let path = format!("{}/entries/a.bin", version_path("main", &id));
    app.call("DELETE", &path).token(&app.admin).send().await;
    assert!(is_loose());
    // Between the rows and the bytes: the upload writes rows anew, so the bytes stay.
    assert_eq!(app.store.write(&actor, move |tx| tx.let_go(&run, &[digest], now)).await.unwrap(), [digest]);
    app.upload(&app.admin, "main", bytes).await;
    let deletion = app.blobs.vault().delete(digest, || app.store.is_blob_known(&digest)).unwrap();
    assert_eq!(deletion, Deletion::InUse);
    // After the bytes: it is written anew.
    app.clock.advance_ms(2 * DAY_MS);
    let now = app.store.clock().now();
    assert_eq!(app.store.write(&actor, move |tx| tx.let_go(&run, &[digest], now)).await.unwrap(), [digest]);
    assert_eq!(app.blobs.vault().delete(digest, || app.store.is_blob_known(&digest)).unwrap(), Deletion::Deleted);
    app.published("main", &Package::generic("again", "1.0").file("raced.bin", bytes)).await;
    assert_eq!(app.get(&app.admin, &blob_path("main", &digest.to_string())).await.expect(200).bytes, &bytes[..]);
    app.store.write(&actor, move |tx| tx.end_gc(&run, None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collections_without_grace_beside_publishes_of_the_same_bytes_lose_none() {
    let app = Arc::new(TestApp::new().await);
    let publishers = (0..3).map(|publisher| {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            for number in 0..12 {
                let bytes = format!("one of a few: {}", number % 3);
                let name = format!("demo-{publisher}-{number}");
                let permit = app.permit::<Write>(&app.admin, "main").await;
                let outcome = app.deposit(&permit, (&package("generic", &name), "1.0"), bytes.as_bytes(), &[]).await;
                // The bytes were taken between the upload and the draft, without any grace: that is said, and nothing is half there.
                if let Err(error) = outcome {
                    assert!(error.message().contains("upload it to this repo first"), "{error}");
                    continue;
                }
                let id =
                    app.ask(&format!("SELECT version_id FROM versions JOIN packages USING (package_id) WHERE name = '{name}'"))[0].clone();
                app.taken_back("main", &id, 0).await;
                app.clock.advance_ms(1);
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        app.clock.advance_ms(1);
        app.collect(json!({"dryRun": false, "graceHours": 0, "batchSize": 2})).await;
        let missing: Vec<String> = app
            .ask("SELECT digest FROM blobs JOIN entries USING (digest)")
            .into_iter()
            .filter(|digest| {
                let hex = digest.replace("sha256:", "");
                !app.path().join("blobs/sha256").join(&hex[..2]).join(&hex).exists()
                    && app.ask(&format!("SELECT count(*) FROM entries WHERE digest = '{digest}'")) != ["0"]
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let found = app.get(&app.admin, "/v1/admin/reconcile/blobs?sample=100").await.expect(200).json();
    assert_eq!(found["sound"], true, "{found}");
}

#[tokio::test]
async fn nothing_is_removed_while_a_backup_is_made_and_the_run_says_so() {
    let app = TestApp::new().await;
    app.upload(&app.admin, "main", b"of no use").await;
    app.clock.advance_ms(2 * DAY_MS);
    let backup = hold_for_backup(app.path()).unwrap();
    let run = app.collect(json!({"dryRun": false})).await;
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["error"].as_str().unwrap().contains("backup"), "{run}");
    assert_eq!(app.ask("SELECT count(*) FROM blobs"), ["1"]);
    drop(backup);
    assert_eq!(app.collect(json!({"dryRun": false})).await["removedBlobs"], 1);
}

#[tokio::test]
async fn a_run_that_the_server_ended_under_is_called_interrupted_and_the_next_does_the_rest() {
    let app = TestApp::new().await;
    app.upload(&app.admin, "main", b"of no use").await;
    app.clock.advance_ms(2 * DAY_MS);
    let plan = GcPlan { dry_run: false, grace_hours: 24, batch_size: 200 };
    let run = app.store.write(&Actor::system("gc"), move |tx| tx.begin_gc(&plan)).await.unwrap().id;
    // The rows went, the bytes did not.
    let (digest, now) = (Digest::of(b"of no use"), app.store.clock().now());
    app.store.write(&Actor::system("gc"), move |tx| tx.let_go(&run, &[digest], now)).await.unwrap();
    let state = app.get(&app.admin, &format!("/v1/admin/gc/runs/{run}")).await.expect(200).json();
    assert_eq!(state["state"], "interrupted", "{state}");
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.unix_ms()).unwrap());
    let path = app.file_of(b"of no use");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(start - Duration::from_secs(25 * 3600)).unwrap();
    let next = app.collect(json!({"dryRun": false})).await;
    assert_eq!((&next["orphanFiles"], &next["state"]), (&json!(1), &json!("completed")), "{next}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_held_restore_is_no_tombstone_and_is_not_purged() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    app.taken_back("main", &id, 5).await;
    app.set_policy("main", HOLD_ALL).await;
    app.step(&app.admin, "main", &id, "restore", json!({})).await.expect(202);
    app.clock.advance_ms(50 * DAY_MS);
    let run = app.collect(json!({"dryRun": false, "graceHours": 0})).await;
    assert_eq!((&run["purgedVersions"], &run["removedBlobs"]), (&json!(0), &json!(0)), "{run}");
    assert_eq!(app.state("main", &id).await, "quarantined");
}

#[tokio::test]
async fn not_even_sql_purges_what_is_visible_or_shielded_or_brings_back_what_was_purged() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let connection = rusqlite::Connection::open(app.path().join("state.db")).unwrap();
    let changed = |change: &str| {
        let sql = format!("UPDATE versions SET {change} WHERE version_id = '{id}'");
        connection.execute(&sql, []).map_err(|fault| fault.to_string())
    };
    assert!(changed("purged_at = 5").unwrap_err().contains("CHECK"), "it is visible");
    assert!(connection.execute("DELETE FROM entries", []).is_err());
    app.taken_back("main", &id, 0).await;
    changed("protection = 'legal_hold'").unwrap();
    assert_eq!(changed("purged_at = 5").unwrap_err(), "artifact_protected");
    changed("protection = NULL").unwrap();
    app.clock.advance_ms(DAY_MS);
    assert_eq!(app.collect(json!({"dryRun": false})).await["purgedVersions"], 1);
    for change in ["state = 'published'", "state = 'quarantined'", "purged_at = NULL", "purged_at = 6"] {
        assert_eq!(changed(change).unwrap_err(), "illegal_step", "{change}");
    }
    let insert = format!("INSERT INTO entries VALUES ('{id}', 'a', 'a', 'd', 1, NULL, NULL)");
    assert_eq!(connection.execute(&insert, []).unwrap_err().to_string(), "version_sealed", "nothing comes back into it");
}
