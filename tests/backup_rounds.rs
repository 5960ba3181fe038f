//! Backups beside a server that is published to all the time. Invariant: each one restores to a moment of its own, sound to the last byte,
//! with everything that was acknowledged before it began.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::support::Daemon;

const ROUNDS: usize = 20;
const PUBLISHERS: usize = 4;

/// Publishes one release after the other until it is told to stop, and notes each name once it was acknowledged.
fn publish_on(daemon: &Daemon, publisher: usize, stop: &AtomicBool, acknowledged: &Mutex<BTreeSet<String>>) {
    let admin = daemon.admin();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("demo-{publisher}-{number}");
        // Some are as large as an archive's frames are short of, most are small.
        let bytes = format!("the bytes of {name} ").repeat(if number % 25 == 0 { 50_000 } else { 20 });
        let answer = daemon.call(&admin, "PUT", &format!("/files/main/{name}/1.0/{name}.bin?publish"), bytes.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        acknowledged.lock().unwrap().insert(name);
    }
}

fn names_in(data: &Path) -> BTreeSet<String> {
    let connection = Connection::open(data.join("state.db")).unwrap();
    let mut statement = connection.prepare("SELECT name FROM packages JOIN versions USING (package_id) WHERE state = 'published'").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn sound(directory: &Path, arguments: &[&str]) {
    let done = Daemon::run(directory, arguments);
    assert_eq!(done.status.code(), Some(0), "{arguments:?}: {done:?}");
}

#[test]
fn twenty_backups_under_heavy_publishing_restore_to_what_passes_verify() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let path = |round: usize| directory.path().join(format!("{round}.tar.zst")).to_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (daemon, stop, acknowledged) = (&daemon, &stop, &acknowledged);
            scope.spawn(move || publish_on(daemon, publisher, stop, acknowledged));
        }
        let mut chain: Vec<String> = Vec::new();
        for round in 0..ROUNDS {
            let before = acknowledged.lock().unwrap().clone();
            let archive = path(round);
            // Every fifth stands alone; the others continue the one before.
            if round % 5 == 0 {
                chain.clear();
                sound(directory.path(), &["backup", &archive]);
            } else {
                sound(directory.path(), &["backup", &archive, "--since", &path(round - 1)]);
            }
            chain.push(archive);
            let restored = tempfile::tempdir().unwrap();
            let mut arguments = vec!["restore"];
            arguments.extend(chain.iter().map(String::as_str));
            sound(restored.path(), &arguments);
            sound(restored.path(), &["verify", "--blobs"]);
            let found = names_in(&restored.path().join("data"));
            let lost: Vec<_> = before.difference(&found).collect();
            assert!(lost.is_empty(), "round {round} has lost {lost:?}");
        }
        stop.store(true, Ordering::SeqCst);
    });
    let count = acknowledged.lock().unwrap().len();
    println!("{ROUNDS} backups while {count} versions were published");
    assert!(count > ROUNDS * PUBLISHERS, "{count} versions are no heavy publishing");
    daemon.stop();
    sound(directory.path(), &["verify", "--blobs"]);
}

#[test]
fn a_backup_that_is_killed_again_and_again_ends_sound() {
    const BLOB_BYTES: u64 = 34 << 20;
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("killed");
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    for number in 0..6_u64 {
        // What compression makes nothing of, so that there is time to kill.
        let mut state = number + 1;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32).to_le_bytes()
        });
        let bytes: Vec<u8> = noise.take(usize::try_from(BLOB_BYTES / 8).unwrap()).flatten().collect();
        let answer = daemon.call(&admin, "PUT", &format!("/files/main/large/1.{number}/a.bin?publish"), &bytes).unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json());
    }
    let mut killed = 0;
    while !archive.exists() {
        let mut backup = Daemon::command(directory.path(), &["backup", archive.to_str().unwrap()]).stdout(Stdio::null()).spawn().unwrap();
        // Each try has a little longer than the one before, so that an end comes.
        std::thread::sleep(Duration::from_millis(40 + 40 * killed));
        backup.kill().unwrap();
        if backup.wait().unwrap().signal().is_none() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
    daemon.stop();
    let restored = tempfile::tempdir().unwrap();
    sound(restored.path(), &["restore", archive.to_str().unwrap()]);
    sound(restored.path(), &["verify", "--blobs"]);
    assert_eq!(names_in(&restored.path().join("data")).len(), 1);
}
