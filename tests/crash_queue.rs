//! The queue under power cuts, and at rest. Invariant: two workers and ten publishers at once, cut off by SIGKILL at any moment,
//! lose nothing that was acknowledged and leave nothing undone; a daemon with nothing to do does nothing.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{Daemon, blob_path, digest_of, version_path};

const CUTS: usize = 10;
const PUBLISHERS: usize = 10;
/// Short leases, so that what a cut left behind is taken up soon, and small batches, so that a cut hits several.
const SETTINGS: [(&str, &str); 6] = [
    ("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000"),
    ("ARTIFORTRESS_JOBS__WORKERS", "2"),
    ("ARTIFORTRESS_JOBS__BATCH", "5"),
    ("ARTIFORTRESS_JOBS__LEASE_SECONDS", "1"),
    ("ARTIFORTRESS_JOBS__BACKOFF_SECONDS", "1"),
    ("ARTIFORTRESS_JOBS__MAX_ATTEMPTS", "50"),
];

/// Every version's one file.
const BYTES: &[u8] = b"the bytes";

/// Puts the file of every version there.
fn upload(daemon: &Daemon, admin: &str) {
    let uploaded = daemon.call(admin, "PUT", &blob_path("main", &digest_of(BYTES)), BYTES).unwrap();
    assert!(uploaded.status == 201 || uploaded.status == 200, "{:?}", uploaded.json());
}

/// Publishes one version and gives its id; `None` once the daemon is gone.
fn publish(daemon: &Daemon, admin: &str, name: &str) -> Option<String> {
    let request = json!({"packageType": "generic", "packageName": name, "version": "1.0"});
    let draft = daemon.post(admin, "/v1/repos/main/packages/versions/drafts", &request).ok()?;
    assert_eq!(draft.status, 201, "{:?}", draft.json());
    let id = draft.json()["versionId"].as_str()?.to_owned();
    let path = version_path("main", &id);
    let entry = json!({"entries": [{"relativePath": "a.bin", "blobDigest": digest_of(BYTES), "sizeBytes": BYTES.len()}]});
    let filled = daemon.post(admin, &format!("{path}/entries"), &entry).ok()?;
    assert_eq!(filled.status, 200, "{:?}", filled.json());
    let published = daemon.post(admin, &format!("{path}/publish"), &json!({})).ok()?;
    assert_eq!(published.status, 200, "{:?}", published.json());
    Some(id)
}

/// A number below `limit` that differs from run to run.
fn random_below(limit: u64) -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() % limit
}

/// Runs the publishers until the daemon is killed, a random moment after some answers.
fn load_until_killed(directory: &Path, round: usize, acknowledged: &Mutex<BTreeSet<String>>) {
    let daemon = Daemon::start(directory, &SETTINGS);
    let (daemon, admin, stop) = (&daemon, &daemon.admin(), &AtomicBool::new(false));
    upload(daemon, admin);
    let before = acknowledged.lock().unwrap().len();
    let (answers, pause_ms) = (random_below(12), random_below(60));
    println!("cut {round}: {pause_ms} ms after {answers} answers");
    std::thread::scope(|scope| {
        let work = |publisher: usize| {
            for number in 0.. {
                let published = publish(daemon, admin, &format!("demo-{round}-{publisher}-{number}"));
                let Some(id) = published else { return };
                acknowledged.lock().unwrap().insert(id);
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        };
        let publishers: Vec<_> = (0..PUBLISHERS).map(|publisher| scope.spawn(move || work(publisher))).collect();
        // Before the cut a publisher ends by a failed assertion alone.
        while !publishers.iter().any(std::thread::ScopedJoinHandle::is_finished)
            && acknowledged.lock().unwrap().len() < before + usize::try_from(answers).unwrap()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(pause_ms));
        daemon.signal_kill();
        stop.store(true, Ordering::SeqCst);
    });
}

/// Waits until the queue has nothing left but the job that always waits.
fn settled(daemon: &Daemon, admin: &str) {
    let mut left = Vec::new();
    for _ in 0..600 {
        let lists = ["outbox?state=pending", "jobs?kind=search_index&state=pending", "jobs?kind=search_index&state=processing"];
        let lists = lists.iter().chain(&["jobs?kind=search_index&state=failed"]);
        left = lists.map(|list| daemon.call(admin, "GET", &format!("/v1/admin/{list}"), b"").unwrap().json()["items"].clone()).collect();
        let summary = daemon.call(admin, "GET", "/v1/admin/ops/summary", b"").unwrap().json();
        if left.iter().all(|items| items.as_array().is_some_and(Vec::is_empty)) && summary["search"]["state"] == "ready" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the queue is never done: {left:?}");
}

/// The first column of each row of a database that is in use.
fn ask(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn two_workers_and_ten_publishers_under_power_cuts_lose_nothing_and_leave_nothing_undone() {
    let directory = tempfile::tempdir().unwrap();
    let acknowledged = Mutex::new(BTreeSet::new());
    for round in 0..CUTS {
        load_until_killed(directory.path(), round, &acknowledged);
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    let daemon = Daemon::start(directory.path(), &SETTINGS);
    let admin = daemon.admin();
    settled(&daemon, &admin);
    let (state, index) = (directory.path().join("data/state.db"), directory.path().join("data/search.db"));
    let published: BTreeSet<String> = ask(&state, "SELECT version_id FROM versions WHERE state = 'published'").into_iter().collect();
    assert!(acknowledged.is_subset(&published), "lost: {:?}", acknowledged.difference(&published));
    let subjects = ask(&state, "SELECT subject_id FROM jobs WHERE kind = 'search_index'");
    assert_eq!(subjects.len(), subjects.iter().collect::<BTreeSet<_>>().len(), "two jobs for one version");
    assert_eq!(
        ask(&state, "SELECT job_id || ' ' || attempts || ' ' || state FROM jobs WHERE kind = 'search_index' AND state <> 'completed'"),
        [""; 0]
    );
    assert_eq!(ask(&state, "SELECT event_id FROM outbox WHERE state <> 'delivered' OR attempts <> 1"), [""; 0]);
    assert_eq!(ask(&index, "SELECT version_id FROM documents").into_iter().collect::<BTreeSet<_>>(), published);
    let found = daemon.call(&admin, "GET", "/v1/repos/main/search/packages?q=demo", b"").unwrap().json();
    assert_eq!((found["totalCount"].as_u64(), &found["degraded"]), (Some(published.len() as u64), &Value::Bool(false)), "{found}");
    println!("{CUTS} cuts, {} versions acknowledged, {} published", acknowledged.len(), published.len());
    daemon.kill();
    let verified = Daemon::run(directory.path(), &["verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// How often the threads of a process gave up the processor: each wait in a system call is one.
fn switches(daemon: &Daemon) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.process_id())).unwrap();
    let of_task = |path: std::path::PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::trim).map(str::to_owned));
        line.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    tasks.map(|task| of_task(task.unwrap().path())).sum()
}

#[test]
fn an_idle_daemon_makes_no_system_calls() {
    const WINDOW: Duration = Duration::from_secs(4);
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &SETTINGS);
    let admin = daemon.admin();
    upload(&daemon, &admin);
    publish(&daemon, &admin, "demo").unwrap();
    settled(&daemon, &admin);
    let mut seen = Vec::new();
    // Something that was put off for a while, such as the stamp of the token, may fall into one stretch, or two; what polls
    // every four seconds or more often falls into each.
    for _ in 0..4 {
        let before = switches(&daemon);
        assert!(before > 0, "the system does not count");
        std::thread::sleep(WINDOW);
        seen.push(switches(&daemon) - before);
        if seen.last() == Some(&0) {
            return;
        }
    }
    panic!("the daemon never rests: its threads woke this often in {} s each: {seen:?}", WINDOW.as_secs());
}
