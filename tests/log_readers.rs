//! A second process that ships the log of `state.db`, as Litestream does: it holds a read mark so that no checkpoint passes it, writes its own
//! two tables, and checkpoints itself. Invariant: the server's own checkpoints neither pass the mark nor fail for it, and nothing is lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::support::Daemon;

/// Twice what makes the server move its log into the database.
const LONG_LOG_BYTES: u64 = 8 << 20;

fn publish(daemon: &Daemon, admin: &str, number: usize) {
    let path = format!("/files/main/demo{number}/1.0/a.txt?publish");
    let answer = daemon.call(admin, "PUT", &path, format!("the bytes of {number}").as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.json());
}

fn log_bytes(data: &Path) -> u64 {
    std::fs::metadata(data.join("state.db-wal")).map_or(0, |log| log.len())
}

fn published(connection: &Connection) -> usize {
    let count: i64 = connection.query_row("SELECT count(*) FROM versions WHERE state = 'published'", [], |row| row.get(0)).unwrap();
    usize::try_from(count).unwrap()
}

/// The connection of such a tool, with its tables.
fn shipper(data: &Path) -> Connection {
    let connection = Connection::open(data.join("state.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
        .execute_batch(
            "PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
             CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER);",
        )
        .unwrap();
    connection
}

const MARK: &str = "BEGIN; SELECT count(1) FROM _litestream_seq;";
const BEAT: &str = "INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1";

fn start() -> (tempfile::TempDir, PathBuf, Daemon) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let daemon = Daemon::start(directory.path(), &[]);
    (directory, data, daemon)
}

#[test]
fn a_read_mark_of_another_process_is_not_passed_and_what_lies_behind_it_can_be_copied() {
    let (directory, data, daemon) = start();
    let admin = daemon.admin();
    publish(&daemon, &admin, 0);
    let (reader, beating) = (shipper(&data), shipper(&data));
    reader.execute_batch(MARK).unwrap();
    let marked = published(&reader);
    let mut count = 1;
    while log_bytes(&data) < LONG_LOG_BYTES {
        publish(&daemon, &admin, count);
        count += 1;
        if count % 10 == 0 {
            beating.execute(BEAT, []).unwrap();
        }
        assert!(count < 3_000, "the log does not grow");
    }
    assert_eq!(published(&reader), marked, "the reader's moment stands still");
    let metrics = String::from_utf8(daemon.call(&admin, "GET", "/metrics", b"").unwrap().bytes).unwrap();
    assert!(metrics.contains("checkpoint"), "{metrics}");
    assert_eq!(daemon.call(&admin, "GET", "/health/ready", b"").unwrap().status, 200);
    // What such a tool ships: the database as it was, and the log since. No checkpoint has moved a frame behind the mark.
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(data.join(name), copy.path().join(name)).unwrap();
    }
    let shipped = Connection::open(copy.path().join("state.db")).unwrap();
    let sound: String = shipped.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((sound.as_str(), published(&shipped)), ("ok", count));
    // Released, the next commits move the log into the database and begin it anew.
    reader.execute_batch("COMMIT").unwrap();
    let moved = |_| {
        publish(&daemon, &admin, count);
        count += 1;
        let (busy, in_log, moved): (i64, i64, i64) =
            beating.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        busy == 0 && in_log == moved
    };
    assert!((0..50).any(moved), "the log is never moved");
    // A clean end while somebody reads.
    reader.execute_batch(MARK).unwrap();
    daemon.stop();
    drop((reader, beating));
    let verified = Daemon::run(directory.path(), &["verify", "--blobs"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let state = Connection::open(data.join("state.db")).unwrap();
    assert_eq!(published(&state), count);
}

#[test]
fn checkpoints_and_writes_of_another_process_disturb_no_publish_and_a_power_cut_loses_nothing() {
    let (directory, data, daemon) = start();
    let admin = daemon.admin();
    publish(&daemon, &admin, 0);
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (reader, writer) = (shipper(&data), shipper(&data));
            for mode in ["PASSIVE", "RESTART", "FULL", "TRUNCATE"].iter().cycle() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                reader.execute_batch(MARK).unwrap();
                writer.execute(BEAT, []).unwrap();
                reader.execute_batch("COMMIT").unwrap();
                // Busy is an answer here too: the server may be in the middle of a commit.
                writer.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
        for number in 1..60 {
            publish(&daemon, &admin, number);
        }
        stop.store(true, Ordering::SeqCst);
    });
    daemon.kill();
    println!("{} checkpoints of another process", rounds.load(Ordering::SeqCst));
    assert!(rounds.load(Ordering::SeqCst) > 5);
    let daemon = Daemon::start(directory.path(), &[]);
    assert_eq!(daemon.call(&admin, "GET", "/health/ready", b"").unwrap().status, 200);
    daemon.stop();
    let verified = Daemon::run(directory.path(), &["verify", "--blobs"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert_eq!(published(&Connection::open(data.join("state.db")).unwrap()), 60);
}
