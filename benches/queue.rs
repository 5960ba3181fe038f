//! Claiming and completing jobs, against a bare loop of the same statements. Invariant: both work on the same tables, indexes,
//! settings and backlog, in one process, in turns; each batch is one commit for the claim and one for the completion.
//!
//! `cargo bench --bench queue -- [--rounds N] [--jobs N] [--batch N]` prints one JSON object a line: name, unit, values, note.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use artifortress::clock::SystemClock;
use artifortress::store::{JobKind, Outcome, QueueLimits, Store, StoreOptions};
use rusqlite::{Connection, named_params};

struct Options {
    rounds: usize,
    jobs: usize,
    batch: usize,
}

impl Options {
    /// From the command line; cargo adds `--bench`.
    fn read() -> Options {
        let mut options = Options { rounds: 7, jobs: 5_000, batch: 50 };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} needs a number"));
            match name.as_str() {
                "--rounds" => options.rounds = value,
                "--jobs" => options.jobs = value,
                "--batch" => options.batch = value,
                _ => panic!("{name} is not known; there are --rounds, --jobs and --batch"),
            }
        }
        assert!(options.rounds > 0 && options.batch > 0 && options.jobs >= options.batch, "nothing to measure");
        options
    }
}

/// A backlog in a database that the store itself made.
fn backlog(jobs: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(&StoreOptions::at(directory.path()), Arc::new(SystemClock)).unwrap());
    let mut connection = Connection::open(directory.path().join("state.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 0..jobs {
        transaction
            .execute(
                "INSERT INTO jobs (job_id, kind, subject_id, expectation, state, attempts, max_attempts, due_at, created_at, updated_at)
                 VALUES (?1, 'search_index', ?1, 'visible', 'pending', 0, 5, ?2, ?2, ?2)",
                rusqlite::params![format!("0190b6f2-7a30-7cc1-b8f4-{number:012x}"), i64::try_from(number).unwrap()],
            )
            .unwrap();
    }
    transaction.commit().unwrap();
    directory
}

/// Jobs per second through the store.
fn through_the_store(directory: &Path, options: &Options) -> f64 {
    let store = Store::open(&StoreOptions::at(directory), Arc::new(SystemClock)).unwrap();
    let limits = QueueLimits { batch: options.batch, lease_ms: 300_000, max_attempts: 5, backoff_ms: 30_000 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let began = Instant::now();
    let done = runtime.block_on(async {
        let mut done = 0;
        loop {
            let claimed = store.bookkeep(move |books| books.claim(&[JobKind::SearchIndex], &limits)).await.unwrap();
            if claimed.is_empty() {
                return done;
            }
            done += claimed.len();
            let finish = store.bookkeep(move |books| {
                for job in &claimed {
                    assert!(books.finish(job, &Outcome::Completed, &limits, 0.0)?);
                }
                Ok(())
            });
            finish.await.unwrap();
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(done, options.jobs);
    rate(options.jobs, seconds)
}

/// The settings of the store's writer.
fn open_bare(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("state.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;
             PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;
             PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )
        .unwrap();
    connection
}

/// Jobs per second with the statements alone: find, take, finish.
fn bare(directory: &Path, options: &Options) -> f64 {
    let connection = open_bare(directory);
    let mut find = connection
        .prepare(
            "SELECT job_id, kind, subject_id, expectation, attempts, max_attempts, due_at FROM jobs INDEXED BY jobs_due
             WHERE state IN ('pending', 'failed', 'processing') AND kind = :kind AND due_at <= :now AND attempts < max_attempts
             ORDER BY due_at, job_id LIMIT :batch",
        )
        .unwrap();
    let mut take = connection
        .prepare(
            "UPDATE jobs SET state = :processing, attempts = attempts + 1, lease_token = :lease, lease_expires_at = :ends, due_at = :ends,
                 updated_at = :now
             WHERE job_id = :id",
        )
        .unwrap();
    let mut finish = connection
        .prepare(
            "UPDATE jobs SET state = :state, due_at = :due, attempts = :attempts, lease_token = NULL, lease_expires_at = NULL,
                 last_error = :error, updated_at = :now
             WHERE job_id = :id AND lease_token = :lease",
        )
        .unwrap();
    let (now, ends, lease) = (1_800_000_000_000_i64, 1_800_000_300_000_i64, "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55");
    let (mut done, began) = (0, Instant::now());
    loop {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let rows =
            find.query_map(named_params! {":kind": "search_index", ":now": now, ":batch": i64::try_from(options.batch).unwrap()}, |row| {
                let texts: (String, String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                let numbers: (i64, i64, i64) = (row.get(4)?, row.get(5)?, row.get(6)?);
                Ok((texts, numbers))
            });
        let claimed: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
        for ((id, ..), _) in &claimed {
            let taken = take.execute(named_params! {":processing": "processing", ":lease": lease, ":ends": ends, ":now": now, ":id": id});
            assert_eq!(taken.unwrap(), 1);
        }
        connection.execute_batch("COMMIT").unwrap();
        if claimed.is_empty() {
            break;
        }
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for ((id, ..), (attempts, ..)) in &claimed {
            let parameters = named_params! {
                ":state": "completed", ":due": now, ":attempts": attempts + 1, ":error": None::<String>, ":now": now, ":id": id, ":lease": lease,
            };
            assert_eq!(finish.execute(parameters).unwrap(), 1);
        }
        connection.execute_batch("COMMIT").unwrap();
        done += claimed.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(done, options.jobs);
    rate(options.jobs, seconds)
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand fit an f64 exactly")]
fn rate(jobs: usize, seconds: f64) -> f64 {
    jobs as f64 / seconds
}

fn say(name: &str, unit: &str, values: &[f64], note: &str) {
    println!("{}", serde_json::json!({"name": name, "unit": unit, "values": values, "note": note}));
}

fn main() {
    let options = Options::read();
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let (first, second) = (backlog(options.jobs), backlog(options.jobs));
        // Whoever comes second may find a warmer or a busier machine: they take turns.
        let (own, other) = if round % 2 == 0 {
            let own = through_the_store(first.path(), &options);
            (own, bare(second.path(), &options))
        } else {
            let other = bare(second.path(), &options);
            (through_the_store(first.path(), &options), other)
        };
        ours.push(own);
        theirs.push(other);
        ratios.push(own / other);
    }
    let note = format!("each value over {} jobs in batches of {}", options.jobs, options.batch);
    say("baseline: the bare statements of claim and completion", "jobs/s", &theirs, &note);
    say("claim and complete jobs", "jobs/s", &ours, &note);
    say("claim and complete against the baseline", "ratio", &ratios, "at least 0.5");
}
