//! Power cuts under the collector. Invariant: after SIGKILL at any moment of a collection, with publishes beside it, every row has its
//! bytes, what was visible is, and the next collection leaves nothing that no row knows.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, blob_path, digest_of, version_path};

const ROUNDS: u64 = 10;

/// Uploads bytes that nothing refers to, and publishes a few versions of which every other one is taken back for no time.
fn fill(daemon: &Daemon, admin: &str, round: u64) -> Option<()> {
    for number in 0..25 {
        let bytes = format!("of no use {round} {number}");
        daemon.call(admin, "PUT", &blob_path("main", &digest_of(bytes.as_bytes())), bytes.as_bytes()).ok()?;
    }
    for number in 0..6 {
        let path = format!("/files/main/demo-{round}/1.{number}/a.bin?publish");
        let bytes = format!("wanted {round} {number}");
        let answer = daemon.call(admin, "PUT", &path, bytes.as_bytes()).ok()?;
        let id = answer.json()["versionId"].as_str().map(str::to_owned);
        if let Some(id) = id.filter(|_| number % 2 == 0) {
            let taken = json!({"reason": "no longer wanted", "retentionDays": 0});
            daemon.post(admin, &format!("{}/tombstone", version_path("main", &id)), &taken).ok()?;
        }
    }
    Some(())
}

/// Collects, and publishes what the collector would take, until the daemon is killed.
fn collect_until_killed(directory: &Path, round: u64) {
    let daemon = Daemon::start(directory, &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000")]);
    let admin = daemon.admin();
    fill(&daemon, &admin, round).expect("the daemon runs");
    std::thread::scope(|scope| {
        let (daemon, admin) = (&daemon, &admin);
        scope.spawn(move || {
            let request = json!({"dryRun": false, "graceHours": 0, "batchSize": 2});
            while daemon.post(admin, "/v1/admin/gc/runs", &request).is_ok() {}
        });
        scope.spawn(move || {
            for number in 0.. {
                let path = format!("/files/main/late-{round}/1.{number}/a.bin?publish");
                // The very bytes that are being collected.
                let bytes = format!("of no use {round} {}", number % 25);
                if daemon.call(admin, "PUT", &path, bytes.as_bytes()).is_err() {
                    return;
                }
            }
        });
        std::thread::sleep(Duration::from_millis(20 + round * 23 % 180));
        daemon.signal_kill();
    });
}

#[test]
fn collections_that_are_cut_off_lose_nothing_and_the_next_one_does_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        collect_until_killed(directory.path(), round);
        let verified = Daemon::run(directory.path(), &["verify", "--blobs"]);
        assert_eq!(verified.status.code(), Some(0), "after cut {round}: {}", String::from_utf8_lossy(&verified.stderr));
    }
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    let run = daemon.post(&admin, "/v1/admin/gc/runs", &json!({"dryRun": false, "graceHours": 0})).unwrap().json();
    assert_eq!(run["state"], "completed", "{run}");
    let found = daemon.call(&admin, "GET", "/v1/admin/reconcile/blobs?sample=1000", b"").unwrap().json();
    assert_eq!((&found["sound"], &found["orphans"]["count"]), (&json!(true), &json!(0)), "{found}");
    for round in 0..ROUNDS {
        for number in [1, 3, 5] {
            let answer = daemon.call(&admin, "GET", &format!("/files/main/demo-{round}/1.{number}/a.bin"), b"").unwrap();
            assert_eq!((answer.status, answer.bytes), (200, format!("wanted {round} {number}").into_bytes()));
        }
    }
    daemon.stop();
}
