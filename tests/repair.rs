//! `verify --repair`. Invariant: it removes what nothing names and what can be made anew, nothing else, and nothing at all where a server
//! runs, a backup is under way, or the catalogue itself is at fault.

use std::path::{Path, PathBuf};

use artifortress::blobs::hold_for_backup;
use rusqlite::Connection;

use crate::support::{Daemon, digest_of};

/// An instance with two releases that was stopped cleanly, and its data directory.
fn stopped() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    for name in ["one", "two"] {
        let path = format!("/files/main/{name}/1.0/{name}.txt?publish");
        assert_eq!(daemon.call(&admin, "PUT", &path, name.as_bytes()).unwrap().status, 200);
    }
    daemon.stop();
    let data = directory.path().join("data");
    (directory, data)
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let done = Daemon::run(directory, arguments);
    (done.status.code(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

/// Puts a blob there that no row names.
fn orphan(data: &Path) -> PathBuf {
    let hex = digest_of(b"nobody's").replace("sha256:", "");
    let shard = data.join("blobs/sha256").join(&hex[..2]);
    std::fs::create_dir_all(&shard).unwrap();
    std::fs::write(shard.join(&hex), "nobody's").unwrap();
    shard.join(hex)
}

#[test]
fn orphans_and_a_damaged_index_are_removed_and_the_next_start_makes_the_index_anew() {
    let (directory, data) = stopped();
    let orphan = orphan(&data);
    let index = data.join("search.db");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[8192..12288].fill(0xab);
    std::fs::write(&index, bytes).unwrap();
    let (code, said) = run(directory.path(), &["verify", "--blobs"]);
    assert!(code == Some(0) && orphan.exists() && index.exists(), "without --repair nothing changes: {said}");
    let (code, said) = run(directory.path(), &["verify", "--blobs", "--repair"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("removed 1 blob that nothing names") && said.contains("removed the search index"), "{said}");
    assert!(!orphan.exists() && !index.exists());
    let (_, said) = run(directory.path(), &["verify", "--repair"]);
    assert!(said.contains("no blob is there that nothing names"), "{said}");
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    let found = || daemon.call(&admin, "GET", "/v1/repos/main/search/packages?q=two", b"").unwrap().json();
    let is_complete =
        |found: &serde_json::Value| found["degraded"] == false && found["items"].as_array().is_some_and(|items| items.len() == 1);
    let waited = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        is_complete(&found())
    });
    assert!(waited, "{}", found());
    let bytes = daemon.call(&admin, "GET", "/files/main/one/1.0/one.txt", b"").unwrap().bytes;
    assert_eq!(bytes, b"one");
}

#[test]
fn nothing_is_repaired_beside_a_server_during_a_backup_or_by_a_faulty_catalogue() {
    let (directory, data) = stopped();
    let orphan = orphan(&data);
    let daemon = Daemon::start(directory.path(), &[]);
    let (code, said) = run(directory.path(), &["verify", "--repair"]);
    assert!(code == Some(1) && said.contains("another artifortress (process"), "{said}");
    daemon.stop();
    let hold = hold_for_backup(&data).unwrap();
    let (code, said) = run(directory.path(), &["verify", "--repair"]);
    assert!(code == Some(1) && said.contains("a backup is under way"), "{said}");
    drop(hold);
    let state = Connection::open(data.join("state.db")).unwrap();
    state.execute_batch("UPDATE blobs SET size_bytes = size_bytes + 1").unwrap();
    drop(state);
    let (code, said) = run(directory.path(), &["verify", "--repair"]);
    assert!(code == Some(1) && said.contains("nothing was repaired"), "{said}");
    assert!(orphan.exists());
    let empty = tempfile::tempdir().unwrap();
    let (code, said) = run(empty.path(), &["verify", "--repair"]);
    assert!(code == Some(1) && said.contains("there is no database"), "{said}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn a_blob_that_is_missing_or_changed_is_named_and_cannot_be_repaired() {
    let (directory, data) = stopped();
    let path = |bytes: &[u8]| {
        let hex = digest_of(bytes).replace("sha256:", "");
        data.join("blobs/sha256").join(&hex[..2]).join(&hex)
    };
    std::fs::remove_file(path(b"one")).unwrap();
    std::fs::remove_file(path(b"two")).unwrap();
    std::fs::write(path(b"two"), "TWO").unwrap();
    let (code, said) = run(directory.path(), &["verify", "--blobs", "--repair"]);
    assert!(code == Some(1) && said.contains("its file is missing") && said.contains(&digest_of(b"TWO")), "{said}");
    assert!(said.contains("2 faults found, and left as they are") && path(b"two").exists(), "{said}");
}
