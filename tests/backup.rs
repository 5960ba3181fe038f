//! Archives of a whole instance. Invariant: what is restored is the state of one moment, to the byte, or nothing at all.

use std::path::{Path, PathBuf};

use artifortress::backup::{self, Made, Making, Restored};
use artifortress::clock::Clock;
use artifortress::error::{Code, Result};
use artifortress::store;
use serde_json::json;

use crate::support::{Daemon, HOLD_ALL, Package, TestApp, blob_path, digest_of, items, text};

/// Makes the archive `name` beside the instance.
pub fn make(app: &TestApp, directory: &Path, name: &str, since: Option<&str>) -> Result<Made> {
    let since = since.map(|name| directory.join(name));
    let archive = directory.join(name);
    backup::make(&Making { data_dir: app.path(), archive: &archive, since: since.as_deref() }, &*app.clock, &mut |_| {})
}

/// Restores archives into a directory of its own below `directory`.
pub fn restore(directory: &Path, names: &[&str], target: &str) -> Result<Restored> {
    let archives: Vec<PathBuf> = names.iter().map(|name| directory.join(name)).collect();
    backup::restore(&archives, &directory.join(target), &mut |_| {})
}

/// The message of a refusal, after which nothing may be left in the target.
pub fn refused(directory: &Path, names: &[&str]) -> (Code, String) {
    let error = restore(directory, names, "refused").unwrap_err();
    let target = directory.join("refused");
    let left: Vec<_> = std::fs::read_dir(&target).map(|left| left.map(|entry| entry.unwrap().file_name()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?} after {error:?}");
    (error.code(), format!("{error}"))
}

/// Where a restored instance has a blob.
pub fn blob_in(data: &Path, bytes: &[u8]) -> PathBuf {
    let digest = digest_of(bytes).replace("sha256:", "");
    data.join("blobs/sha256").join(&digest[..2]).join(&digest)
}

#[tokio::test]
async fn an_instance_is_restored_to_the_moment_of_its_backup() {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    app.set_policy("main", HOLD_ALL).await;
    app.held("main", &Package::generic("held", "1.0")).await;
    let made = make(&app, directory.path(), "a.tar.zst", None).unwrap();
    assert_eq!((made.made.blob_count, made.earlier_count, made.is_resumed), (1, 0, false));
    app.held("main", &Package::generic("later", "1.0")).await;
    let restored = restore(directory.path(), &["a.tar.zst"], "data").unwrap();
    assert_eq!((restored.versions, restored.blob_count, restored.created_at), (1, 1, app.clock.now().to_string()));
    let data = directory.path().join("data");
    let report = store::check(&data).unwrap();
    assert_eq!((report.versions, report.faults), (1, Vec::<String>::new()));
    assert_eq!(std::fs::read(blob_in(&data, b"the bytes of held 1.0")).unwrap(), b"the bytes of held 1.0");
    assert!(!blob_in(&data, b"the bytes of later 1.0").exists());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // There are webhook secrets in it, and bytes that are held.
    assert_eq!(mode(&directory.path().join("a.tar.zst")), 0o600);
    assert_eq!(mode(&data.join("state.db")), 0o600);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_a_restore_wants_an_empty_directory() {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    make(&app, directory.path(), "a.tar.zst", None).unwrap();
    let before = std::fs::read(directory.path().join("a.tar.zst")).unwrap();
    let error = make(&app, directory.path(), "a.tar.zst", None).unwrap_err();
    assert!(error.message().contains("is there already"), "{error}");
    assert_eq!(std::fs::read(directory.path().join("a.tar.zst")).unwrap(), before);
    let target = directory.path().join("full");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("thesis.txt"), "mine").unwrap();
    let error = restore(directory.path(), &["a.tar.zst"], "full").unwrap_err();
    assert!(error.message().contains("is not empty (thesis.txt"), "{error}");
    let error = backup::restore(&[directory.path().join("a.tar.zst")], app.path(), &mut |_| {}).unwrap_err();
    assert!(error.message().contains("is not empty"), "{error}");
    assert_eq!(std::fs::read_to_string(target.join("thesis.txt")).unwrap(), "mine");
    std::fs::remove_file(target.join("thesis.txt")).unwrap();
    // What a restore that was killed has left is nothing.
    std::fs::create_dir_all(target.join("restoring/blobs")).unwrap();
    restore(directory.path(), &["a.tar.zst"], "full").unwrap();
}

#[tokio::test]
async fn each_archive_of_a_chain_has_what_is_new_and_the_last_moment_is_restored() {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    let publish = async |name: &str| {
        app.published("main", &Package::generic(name, "1.0")).await;
    };
    publish("one").await;
    let first = make(&app, directory.path(), "1", None).unwrap();
    publish("two").await;
    let second = make(&app, directory.path(), "2", Some("1")).unwrap();
    publish("three").await;
    let third = make(&app, directory.path(), "3", Some("2")).unwrap();
    let sizes = [&first, &second, &third].map(|made| (made.made.blob_count, made.earlier_count));
    assert_eq!(sizes, [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(third.made.parent_digest, Some(second.made.manifest_digest));
    for (names, versions) in [(&["1"][..], 1), (&["1", "2"], 2), (&["1", "2", "3"], 3)] {
        let restored = restore(directory.path(), names, &format!("data{versions}")).unwrap();
        assert_eq!((restored.versions, restored.blob_count), (versions, versions));
    }
    make(&app, directory.path(), "other", None).unwrap();
    for (names, words) in [
        (&["2"][..], "continues another one"),
        (&["1", "3"], "does not continue the one given before it"),
        (&["2", "1"], "continues another one"),
        (&["other", "2"], "does not continue"),
        (&["1", "1"], "stands alone"),
        (&["1", "2", "2"], "does not continue"),
    ] {
        let (code, message) = refused(directory.path(), names);
        assert!(code == Code::Conflict && message.contains(words), "{names:?}: {message}");
    }
}

#[tokio::test]
async fn a_backup_that_was_cut_off_is_gone_on_with() {
    const BLOB_BYTES: usize = 65 << 20;
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    let big = |byte: u8| vec![byte; BLOB_BYTES];
    app.published("main", &Package::generic("big", "1.0").without_files().file("a", &big(1)).file("b", &big(2))).await;
    let mut digests = [big(1), big(2)];
    digests.sort_by_key(|bytes| digest_of(bytes));
    let last = blob_in(app.path(), &digests[1]);
    // The process ends where the last blob would be read.
    std::fs::rename(&last, directory.path().join("aside")).unwrap();
    let error = make(&app, directory.path(), "a", None).unwrap_err();
    assert!(error.message().contains("its file is missing"), "{error}");
    std::fs::rename(directory.path().join("aside"), &last).unwrap();
    let partial = directory.path().join("a.partial");
    let journal = std::fs::read_to_string(partial.join("journal")).unwrap();
    let (members, length) = journal.lines().next_back().unwrap().split_once(' ').unwrap();
    assert_eq!(members, "3", "manifest, database and one blob");
    let kept = std::fs::read(partial.join("archive")).unwrap()[..length.parse::<usize>().unwrap()].to_vec();
    app.published("main", &Package::generic("later", "1.0")).await;
    let made = make(&app, directory.path(), "a", None).unwrap();
    assert!(made.is_resumed && !partial.exists());
    assert!(std::fs::read(directory.path().join("a")).unwrap().starts_with(&kept));
    assert_eq!(restore(directory.path(), &["a"], "data").unwrap().versions, 1);
}

#[tokio::test]
async fn what_was_begun_too_long_ago_or_is_damaged_is_begun_anew() {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    app.published("main", &Package::generic("demo", "1.0")).await;
    let blob = blob_in(app.path(), b"the bytes of demo 1.0");
    let cut_off = || {
        std::fs::rename(&blob, directory.path().join("aside")).unwrap();
        make(&app, directory.path(), "a", None).unwrap_err();
        std::fs::rename(directory.path().join("aside"), &blob).unwrap();
    };
    let anew = |what: &str| {
        let made = make(&app, directory.path(), "a", None).unwrap();
        assert!(!made.is_resumed, "{what}");
        assert_eq!(made.created_at, app.clock.now().to_string(), "{what}");
        restore(directory.path(), &["a"], what).unwrap();
        std::fs::remove_file(directory.path().join("a")).unwrap();
    };
    cut_off();
    assert!(make(&app, directory.path(), "a", None).unwrap().is_resumed);
    std::fs::remove_file(directory.path().join("a")).unwrap();
    cut_off();
    app.clock.advance_ms(25 * 3_600_000);
    anew("yesterday's");
    cut_off();
    std::fs::write(directory.path().join("a.partial/state.db"), "SQLite format 3").unwrap();
    anew("another database");
    cut_off();
    std::fs::write(directory.path().join("a.partial/archive"), "").unwrap();
    anew("an archive that was cut short");
    cut_off();
    std::fs::write(directory.path().join("a.partial/journal"), "99999 1\n").unwrap();
    anew("a journal that knows more");
    cut_off();
    std::fs::write(directory.path().join("a.partial/manifest.json"), "{}").unwrap();
    anew("no manifest");
}

#[tokio::test]
async fn a_damaged_blob_ends_a_backup_by_name() {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    app.published("main", &Package::generic("demo", "1.0")).await;
    let blob = blob_in(app.path(), b"the bytes of demo 1.0");
    for (bytes, words) in [(&b"the bytes of demo 1.1"[..], "its content has another digest"), (b"short", "has 5 bytes instead of 21")] {
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, bytes).unwrap();
        let error = make(&app, directory.path(), "a", None).unwrap_err();
        assert!(error.message().contains(words) && error.message().contains(&digest_of(b"the bytes of demo 1.0")), "{error}");
        assert!(!directory.path().join("a").exists());
    }
}

#[test]
fn a_backup_is_in_the_audit_trail_whether_a_server_runs_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    let bytes = b"hello";
    assert_eq!(daemon.call(&admin, "PUT", "/files/main/hello/1.0/hello.txt?publish", bytes).unwrap().status, 200);
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let done = Daemon::run(directory.path(), arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let said = run(&["backup", &file("1")]);
    assert!(said.contains("holds the state of") && said.contains("1 blob"), "{said}");
    daemon.stop();
    let said: serde_json::Value = serde_json::from_str(&run(&["backup", &file("2"), "--since", &file("1"), "--json"])).unwrap();
    assert_eq!((&said["earlierBlobCount"], &said["blobCount"], &said["recorded"]), (&json!(1), &json!(0), &json!(true)));
    run(&["verify", "--blobs"]);
    let daemon = Daemon::start(directory.path(), &[]);
    let rows = items(&daemon.call(&admin, "GET", "/v1/audit?action=backup.created", b"").unwrap().json());
    let actors: Vec<&str> = rows.iter().map(|row| row["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["system:command-line", "admin"]);
    assert_eq!(rows[0]["resourceId"], said["manifestDigest"]);
    assert_eq!(rows[0]["details"]["parentDigest"], rows[1]["resourceId"]);
    // Another directory, on the same day as the accident.
    let other = tempfile::tempdir().unwrap();
    let restored = Daemon::run(other.path(), &["restore", &file("1"), &file("2")]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    let words = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(words.contains("every digest and the audit chain verified"), "{words}");
    assert!(!other.path().join("data/admin-token").exists());
    let again = Daemon::run(other.path(), &["restore", &file("1"), &file("2")]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"), "{again:?}");
    assert_eq!(Daemon::run(other.path(), &["verify", "--blobs"]).status.code(), Some(0));
    let second = Daemon::start(other.path(), &[]);
    let found = second.call(&admin, "GET", &blob_path("main", &digest_of(bytes)), b"").unwrap();
    assert_eq!((found.status, found.bytes.as_slice()), (200, &bytes[..]));
}

#[test]
fn an_archive_that_cannot_be_recorded_stays_and_the_command_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    std::fs::rename(directory.path().join("data/admin-token"), directory.path().join("kept")).unwrap();
    let archive = directory.path().join("a");
    let done = Daemon::run(directory.path(), &["backup", archive.to_str().unwrap()]);
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1));
    assert!(words.contains("is complete, but the audit trail does not say so") && archive.exists(), "{words}");
    drop(daemon);
}

#[tokio::test]
async fn who_may_not_run_the_instance_records_no_backup() {
    let app = TestApp::new().await;
    let made = json!({"manifestDigest": digest_of(b"m"), "databaseDigest": digest_of(b"d"), "blobCount": 1, "archiveBytes": 2});
    let reader = app.issue("bob", &["repo:main:admin"]).await;
    app.post(&reader, "/v1/admin/backup", made.clone()).await.expect(403);
    app.post(&app.admin, "/v1/admin/backup", json!({"manifestDigest": "x"})).await.expect(400);
    let answer = app.post(&app.admin, "/v1/admin/backup", made).await.expect(201);
    assert_eq!(text(&answer.json(), "manifestDigest"), digest_of(b"m"));
    let rows = items(&app.get(&app.admin, "/v1/audit?action=backup.created").await.expect(200).json());
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_restore_that_was_cut_off_is_no_instance_and_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let put = daemon.call(&daemon.admin(), "PUT", "/files/main/hello/1.0/hello.txt?publish", b"hello").unwrap();
    assert_eq!(put.status, 200);
    let archive = directory.path().join("1").to_str().unwrap().to_owned();
    assert_eq!(Daemon::run(directory.path(), &["backup", &archive]).status.code(), Some(0));
    let other = tempfile::tempdir().unwrap();
    assert_eq!(Daemon::run(other.path(), &["restore", &archive]).status.code(), Some(0));
    let data = other.path().join("data");
    let work = data.join("restoring");
    // What a cut between the last two names leaves.
    std::fs::create_dir(&work).unwrap();
    std::fs::rename(data.join("state.db"), work.join("state.db")).unwrap();
    for (arguments, code) in [(&["serve", "--listen", "127.0.0.1:0"][..], 1), (&["serve", "--check", "--listen", "127.0.0.1:0"], 1)] {
        let refused = Daemon::run(other.path(), arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(code) && said.contains("was begun and not ended"), "{arguments:?}: {said}");
    }
    assert_eq!(Daemon::run(other.path(), &["restore", &archive]).status.code(), Some(0));
    assert!(!work.exists());
    assert_eq!(Daemon::run(other.path(), &["verify", "--blobs"]).status.code(), Some(0));
    // Blobs of an instance that has lost its database are nobody's to remove.
    std::fs::create_dir(&work).unwrap();
    std::fs::remove_file(data.join("state.db")).unwrap();
    let refused = Daemon::run(other.path(), &["restore", &archive]);
    assert!(refused.status.code() == Some(1) && String::from_utf8_lossy(&refused.stderr).contains("is not empty"), "{refused:?}");
    assert!(blob_in(&data, b"hello").exists());
}
