//! An index that the system does not let be written, on the real binary. Invariant: the catalogue answers meanwhile, publishing and
//! reading go on, and the index catches up by itself once it can be written again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, blob_path, digest_of, version_path};

/// Publishes one version of a package.
fn publish(daemon: &Daemon, admin: &str, name: &str) {
    let bytes = format!("the bytes of {name}");
    let digest = digest_of(bytes.as_bytes());
    assert_eq!(daemon.call(admin, "PUT", &blob_path("main", &digest), bytes.as_bytes()).unwrap().status, 201);
    let request = json!({"packageType": "generic", "packageName": name, "version": "1.0"});
    let draft = daemon.post(admin, "/v1/repos/main/packages/versions/drafts", &request).unwrap().json();
    let path = version_path("main", draft["versionId"].as_str().unwrap());
    let entry = json!({"entries": [{"relativePath": "a.bin", "blobDigest": digest, "sizeBytes": bytes.len()}]});
    assert_eq!(daemon.post(admin, &format!("{path}/entries"), &entry).unwrap().status, 200);
    assert_eq!(daemon.post(admin, &format!("{path}/publish"), &json!({})).unwrap().status, 200);
    assert_eq!(daemon.call(admin, "GET", &blob_path("main", &digest), b"").unwrap().bytes, bytes.as_bytes());
}

fn search(daemon: &Daemon, admin: &str, q: &str) -> Value {
    let answer = daemon.call(admin, "GET", &format!("/v1/search?q={q}"), b"").unwrap();
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Searches until the answer is of the index or of the catalogue, as wanted; always for something that must be found.
fn until_degraded_is(daemon: &Daemon, admin: &str, q: &str, degraded: bool) {
    let mut found = Value::Null;
    for _ in 0..600 {
        found = search(daemon, admin, q);
        if found["degraded"] == degraded && found["totalCount"] == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{q}: {found}; the log says {}", daemon.log());
}

fn set_mode(directory: &Path, mode: u32) {
    for name in ["search.db", "search.db-wal", "search.db-shm"] {
        let path = directory.join("data").join(name);
        if path.exists() {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn an_index_that_is_read_only_at_the_start_is_waited_for_and_then_caught_up_with() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_unprivileged(directory.path());
    let admin = daemon.admin();
    publish(&daemon, &admin, "before");
    until_degraded_is(&daemon, &admin, "before", false);
    daemon.kill();
    set_mode(directory.path(), 0o400);
    let daemon = Daemon::start_unprivileged(directory.path());
    // Perhaps before the index is looked at: what is opened then must not keep it from being written later.
    search(&daemon, &admin, "before");
    publish(&daemon, &admin, "meanwhile");
    until_degraded_is(&daemon, &admin, "meanwhile", true);
    assert_eq!(search(&daemon, &admin, "before")["totalCount"], 1);
    let status = daemon.call(&admin, "GET", "/v1/admin/search/status", b"").unwrap().json();
    assert_eq!((&status["state"], &status["jobs"]["dead"]), (&json!("unavailable"), &json!(0)), "{status}");
    set_mode(directory.path(), 0o600);
    until_degraded_is(&daemon, &admin, "meanwhile", false);
    until_degraded_is(&daemon, &admin, "before", false);
    daemon.kill();
    let checked = Daemon::run(directory.path(), &["verify"]);
    assert!(checked.status.success(), "{checked:?}");
}
