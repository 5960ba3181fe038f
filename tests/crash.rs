//! Power cuts. Invariant: after SIGKILL under load, again and again, everything that was acknowledged is there, nothing is half
//! there, and the background work catches up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, HOLD_ALL, blob_path, digest_of, version_path};

const ROUNDS: usize = 20;
const PUBLISHERS: usize = 4;

/// What a publisher was told: the version's id with its state and bytes.
type Acknowledged = Mutex<BTreeMap<String, (&'static str, String)>>;

/// Publishes one version; what was acknowledged is noted after each answer. Gives `None` once the daemon is gone.
fn publish_one(daemon: &Daemon, admin: &str, repo: &str, name: &str, acknowledged: &Acknowledged) -> Option<()> {
    let bytes = format!("the bytes of {name}");
    let digest = digest_of(bytes.as_bytes());
    let uploaded = daemon.call(admin, "PUT", &blob_path(repo, &digest), bytes.as_bytes()).ok()?;
    assert!(uploaded.status == 201 || uploaded.status == 200, "{:?}", uploaded.json());
    let request = json!({"packageType": "generic", "packageName": name, "version": "1.0"});
    let draft = daemon.post(admin, &format!("/v1/repos/{repo}/packages/versions/drafts"), &request).ok()?;
    let id = draft.json()["versionId"].as_str()?.to_owned();
    acknowledged.lock().unwrap().insert(id.clone(), ("draft", bytes.clone()));
    let entry = json!({"entries": [{"relativePath": "a.bin", "blobDigest": digest, "sizeBytes": bytes.len()}]});
    let filled = daemon.post(admin, &format!("{}/entries", version_path(repo, &id)), &entry).ok()?;
    assert_eq!(filled.status, 200, "{:?}", filled.json());
    let published = daemon.post(admin, &format!("{}/publish", version_path(repo, &id)), &json!({})).ok()?;
    let state = match published.status {
        200 => "published",
        202 => "quarantined",
        status => panic!("{status} {:?}", published.json()),
    };
    acknowledged.lock().unwrap().insert(id, (state, bytes));
    Some(())
}

/// Runs publishers against the daemon until it is killed.
fn load_until_killed(directory: &Path, round: usize, acknowledged: &Acknowledged) {
    let daemon = Daemon::start(directory, &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000")]);
    let admin = daemon.admin();
    if round == 0 {
        let repo = daemon.post(&admin, "/v1/repos", &json!({"repoKey": "held"})).unwrap();
        assert_eq!(repo.status, 201, "{:?}", repo.json());
        let policy = daemon.call(&admin, "PUT", "/v1/repos/held/policy", HOLD_ALL.as_bytes()).unwrap();
        assert_eq!(policy.status, 200, "{:?}", policy.json());
    }
    let (daemon, stop) = (&daemon, AtomicBool::new(false));
    let before = acknowledged.lock().unwrap().len();
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (admin, stop) = (&admin, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    let repo = if publisher % 2 == 0 { "main" } else { "held" };
                    let name = format!("demo-{round}-{publisher}-{number}");
                    if stop.load(Ordering::SeqCst) || publish_one(daemon, admin, repo, &name, acknowledged).is_none() {
                        return;
                    }
                }
            });
        }
        // The moment of the cut differs from round to round, and always lies after some answers.
        while acknowledged.lock().unwrap().len() < before + 3 + round % 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis((round as u64 * 7) % 23));
        daemon.signal_kill();
        stop.store(true, Ordering::SeqCst);
    });
}

/// Whether this version is as it was acknowledged; a publish whose answer was cut off may have happened all the same.
fn check_version(daemon: &Daemon, admin: &str, id: &str, state: &str, bytes: &str) -> Result<(), String> {
    for repo in ["main", "held"] {
        let found = daemon.call(admin, "GET", &version_path(repo, id), b"")?;
        if found.status == 404 {
            continue;
        }
        let body = found.json();
        let is = body["state"].as_str().unwrap_or_default();
        if is != state && state != "draft" {
            return Err(format!("{id} was acknowledged as {state} and is {is}"));
        }
        if is == "published" {
            let blob = daemon.call(admin, "GET", &blob_path(repo, &digest_of(bytes.as_bytes())), b"")?;
            if blob.bytes != bytes.as_bytes() {
                return Err(format!("{id}: the bytes are {} {:?}", blob.status, String::from_utf8_lossy(&blob.bytes)));
            }
        }
        return Ok(());
    }
    Err(format!("{id} was acknowledged as {state} and is gone"))
}

#[test]
fn what_was_acknowledged_survives_twenty_power_cuts() {
    let directory = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        load_until_killed(directory.path(), round, &acknowledged);
        let verified = Daemon::run(directory.path(), &["verify", "--blobs"]);
        let words = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert_eq!(verified.status.code(), Some(0), "after cut {round}: {words}");
    }
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    let acknowledged = acknowledged.into_inner().unwrap();
    let faults: Vec<String> =
        acknowledged.iter().filter_map(|(id, (state, bytes))| check_version(&daemon, &admin, id, state, bytes).err()).collect();
    println!("{ROUNDS} cuts, {} versions acknowledged", acknowledged.len());
    assert!(acknowledged.len() >= ROUNDS * 3 && faults.is_empty(), "{}", faults.join("\n"));
    drained(&daemon, &admin);
}

/// Waits until no event is pending and no job waits but those that a lease of before the cut still holds.
fn drained(daemon: &Daemon, admin: &str) {
    let mut left = Value::Null;
    for _ in 0..600 {
        left = daemon.call(admin, "GET", "/v1/admin/outbox?state=pending", b"").unwrap().json()["items"].clone();
        if left.as_array().is_some_and(Vec::is_empty) {
            let waiting = daemon.call(admin, "GET", "/v1/admin/jobs?state=pending&kind=search_index", b"").unwrap().json()["items"].clone();
            if waiting.as_array().is_some_and(Vec::is_empty) {
                return;
            }
            left = waiting;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the background work does not catch up: {left}");
}

#[test]
fn a_second_daemon_on_one_directory_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let second = Daemon::run(directory.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another artifortress"), "{second:?}");
    assert_eq!(daemon.call("", "GET", "/health/live", b"").unwrap().status, 200);
}

#[test]
fn a_broken_database_is_found_by_verify() {
    let directory = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    publish_one(&daemon, &admin, "main", "demo", &acknowledged).unwrap();
    daemon.kill();
    let blob = digest_of(b"the bytes of demo").replace("sha256:", "");
    let path = directory.path().join("data/blobs/sha256").join(&blob[..2]).join(&blob);
    assert_eq!(Daemon::run(directory.path(), &["verify", "--blobs"]).status.code(), Some(0));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "other bytes here!").unwrap();
    let found = Daemon::run(directory.path(), &["verify", "--blobs"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&found.stderr).contains(&blob), "{found:?}");
}
