//! The schema against the code. Invariant: every list of words in a CHECK is an enum's list, the triggers allow what
//! `State::after` allows and nothing else, and what is written once cannot be changed by SQL either.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifortress::clock::FixedClock;
use artifortress::domain::access::Role;
use artifortress::domain::advisory::ScanStatus;
use artifortress::domain::candidate::{Action, Decision, DecisionSource};
use artifortress::domain::lifecycle::{HeldFrom, State, Step};
use artifortress::domain::outbox::OutboxKind;
use artifortress::domain::quarantine::{Ballot, QuarantineStatus};
use artifortress::domain::repo::RepoKind;
use artifortress::domain::space::GcRunState;
use artifortress::domain::time::Time;
use artifortress::domain::version::Protection;
use artifortress::domain::waiver::{FiringPart, WaiverScope};
use artifortress::domain::webhook::DeliveryOutcome;
use artifortress::error::Result;
use artifortress::store::{Expectation, JobKind, JobState, OutboxState, Store, StoreOptions, UploadState};
use rusqlite::{Connection, params};

/// The files of `schema/`, in order.
fn migrations() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A database with the first `count` migrations, as an older program left it.
fn database_at(path: &Path, count: usize) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    for (index, file) in migrations().iter().take(count).enumerate() {
        connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        connection.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap()).unwrap();
    }
    connection
}

fn database() -> Connection {
    database_at(Path::new(":memory:"), usize::MAX)
}

fn open(directory: &Path) -> Result<Store> {
    Store::open(&StoreOptions::at(directory), Arc::new(FixedClock::at(Time::from_unix_ms(1_800_000_000_000))))
}

fn schema_text(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat_' ORDER BY name")
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn user_version(connection: &Connection) -> i64 {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// What each list of words in a CHECK must be.
fn enums() -> BTreeMap<&'static str, Vec<String>> {
    let takes_back = |state: &&State| state.after(Step::Tombstone, None).is_some();
    BTreeMap::from([
        ("repos.kind", texts(RepoKind::ALL)),
        ("bindings.role", texts(Role::ALL)),
        ("uploads.state", texts(UploadState::ALL)),
        ("versions.state", texts(State::ALL)),
        ("versions.protection", texts(Protection::ALL)),
        ("versions.tombstoned_from", State::ALL.iter().filter(takes_back).map(ToString::to_string).collect()),
        ("quarantine_items.status", texts(QuarantineStatus::ALL)),
        ("quarantine_items.held_from", texts(HeldFrom::ALL)),
        ("quarantine_votes.ballot", texts(Ballot::ALL)),
        ("evaluations.action", texts(Action::ALL)),
        ("evaluations.decision", texts(Decision::ALL)),
        ("evaluations.decision_source", texts(DecisionSource::ALL)),
        ("outbox.kind", texts(OutboxKind::ALL)),
        ("outbox.state", texts(OutboxState::ALL)),
        ("deliveries.outcome", texts(DeliveryOutcome::ALL)),
        ("scan_findings.status", texts(ScanStatus::ALL)),
        ("waivers.scope", texts(WaiverScope::ALL)),
        ("waivers.covers", Decision::ALL.iter().filter(|decision| **decision > Decision::Allow).map(ToString::to_string).collect()),
        ("rule_firings.part", texts(FiringPart::ALL)),
        ("rule_firings.decision", Decision::ALL.iter().filter(|decision| **decision > Decision::Allow).map(ToString::to_string).collect()),
        ("jobs.kind", texts(JobKind::ALL)),
        ("jobs.expectation", texts(Expectation::ALL)),
        ("jobs.state", texts(JobState::ALL)),
        ("gc_runs.state", texts(GcRunState::ALL)),
    ])
}

/// Every `column IN ('a', 'b')` that stands right after `CHECK (`, with its words.
fn check_lists(sql: &str) -> Vec<(String, Vec<String>)> {
    let flat = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let lists = flat.split("CHECK (").skip(1).filter_map(|rest| {
        let (column, list) = rest.split_once(" IN (")?;
        let list = list.split_once(')')?.0;
        let plain = column.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (plain && list.contains('\''))
            .then(|| (column.to_owned(), list.split(',').map(|word| word.trim().trim_matches('\'').to_owned()).collect()))
    });
    lists.collect()
}

#[test]
fn every_list_of_words_in_a_check_is_the_list_of_its_enum() {
    let connection = database();
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL").unwrap();
    let tables: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut expected = enums();
    for (table, sql) in tables {
        for (column, mut words) in check_lists(&sql) {
            let key = format!("{table}.{column}");
            let mut known =
                expected.remove(key.as_str()).unwrap_or_else(|| panic!("{key} has a list of words that no enum stands for here"));
            known.sort();
            words.sort();
            assert_eq!(words, known, "{key}");
        }
    }
    assert!(expected.is_empty(), "these columns have no CHECK list any more: {:?}", expected.keys());
}

fn insert_version(connection: &Connection, id: &str, state: State, taken_from: &str) {
    connection
        .execute(
            "INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by, published_at,
                 content_digest, tombstoned_at, restorable_until, tombstoned_from)
             VALUES (?1, 1, 'main', ?1, ?1, '', ?2, 1, 'ann', 1, 'sha256:00', 1, 1, ?3)",
            params![id, state.as_str(), taken_from],
        )
        .unwrap();
}

fn with_package(connection: &Connection) {
    let digest = format!("sha256:{}", "0".repeat(64));
    connection
        .execute_batch(&format!(
            "INSERT INTO repos VALUES ('main', 'local', 0, 0, 30, 1, 1, NULL);
             INSERT INTO packages VALUES (1, 'main', 'generic', '', 'demo', '', 'demo');
             INSERT INTO blobs VALUES ('{digest}', 1, 1);"
        ))
        .unwrap();
}

/// What SQLite says when a trigger refuses, or `ok`.
fn outcome(result: rusqlite::Result<usize>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(rusqlite::Error::SqliteFailure(_, Some(text))) => text,
        Err(other) => other.to_string(),
    }
}

#[test]
fn the_trigger_on_states_allows_exactly_the_steps_of_the_code() {
    for from in State::ALL {
        for to in State::ALL.iter().filter(|to| *to != from) {
            let connection = database();
            with_package(&connection);
            insert_version(&connection, "v", *from, "published");
            let origins = HeldFrom::ALL.iter().map(|origin| Some(*origin)).chain([None]);
            let legal =
                origins.flat_map(|origin| Step::ALL.iter().map(move |step| from.after(*step, origin))).any(|after| after == Some(*to));
            let found = outcome(connection.execute("UPDATE versions SET state = ?1 WHERE version_id = 'v'", [to.as_str()]));
            assert_eq!(found, if legal { "ok" } else { "illegal_step" }, "{from} to {to}");
        }
    }
}

#[test]
fn a_tombstone_of_a_rejected_version_leads_nowhere() {
    for to in [State::Published, State::Quarantined, State::Draft, State::Rejected] {
        let connection = database();
        with_package(&connection);
        insert_version(&connection, "v", State::Tombstoned, "rejected");
        let found = outcome(connection.execute("UPDATE versions SET state = ?1 WHERE version_id = 'v'", [to.as_str()]));
        assert_eq!(found, "illegal_step", "{to}");
    }
}

/// Takes the draft `v` to `state` by legal steps.
fn bring_to(connection: &Connection, state: State) {
    let path: &[State] = match state {
        State::Draft => &[],
        State::Published => &[State::Published],
        State::Quarantined => &[State::Quarantined],
        State::Rejected => &[State::Quarantined, State::Rejected],
        State::Tombstoned => &[State::Published, State::Tombstoned],
    };
    for step in path {
        connection.execute("UPDATE versions SET state = ?1 WHERE version_id = 'v'", [step.as_str()]).unwrap();
    }
}

/// Tables that hold a part of a version, each with a way to insert, change and delete a row.
const PARTS: &[(&str, [&str; 4])] = &[
    (
        "entries",
        [
            "INSERT INTO entries (version_id, path_key, path, digest, size_bytes) SELECT 'v', 'a', 'a', digest, 1 FROM blobs",
            "INSERT INTO entries (version_id, path_key, path, digest, size_bytes) SELECT 'v', 'b', 'b', digest, 1 FROM blobs",
            "UPDATE entries SET size_bytes = 2 WHERE version_id = 'v' AND path_key = 'a'",
            "DELETE FROM entries WHERE version_id = 'v' AND path_key = 'a'",
        ],
    ),
    (
        "manifests",
        [
            "INSERT INTO manifests VALUES ('v', 'x', x'7b7d')",
            "INSERT INTO manifests VALUES ('v', 'y', x'7b7d') ON CONFLICT (version_id) DO UPDATE SET digest = excluded.digest",
            "UPDATE manifests SET digest = 'z' WHERE version_id = 'v'",
            "DELETE FROM manifests WHERE version_id = 'v'",
        ],
    ),
];

#[test]
fn a_sealed_version_cannot_be_changed_in_any_table_that_holds_a_part_of_it() {
    for state in State::ALL {
        for (table, [first, insert, update, delete]) in PARTS {
            for change in [insert, update, delete] {
                let connection = database();
                with_package(&connection);
                insert_version(&connection, "v", State::Draft, "published");
                connection.execute(first, []).unwrap();
                bring_to(&connection, *state);
                let expected = if state.is_sealed() { "version_sealed" } else { "ok" };
                assert_eq!(outcome(connection.execute(change, [])), expected, "{table}, {state}: {change}");
            }
        }
    }
}

#[test]
fn a_sealed_version_keeps_its_identity_and_its_content_digest() {
    for state in State::ALL {
        let connection = database();
        with_package(&connection);
        insert_version(&connection, "v", State::Draft, "published");
        bring_to(&connection, *state);
        for column in ["version", "version_key", "created_by", "distribution"] {
            let found = outcome(connection.execute(&format!("UPDATE versions SET {column} = 'other' WHERE version_id = 'v'"), []));
            assert_eq!(found, "version_sealed", "{state}, {column}");
        }
        if state.is_sealed() {
            assert_eq!(outcome(connection.execute("UPDATE versions SET content_digest = 'sha256:11'", [])), "version_sealed", "{state}");
            assert_eq!(outcome(connection.execute("DELETE FROM versions", [])), "version_sealed", "{state}");
        }
    }
}

/// Tables whose rows are written once, each with a row and a change of it.
const WRITTEN_ONCE: &[(&str, &str, &str)] = &[
    ("policies", "INSERT INTO policies VALUES ('', 1, 'd', 1, 'ann', 't', NULL)", "UPDATE policies SET text = 'u'"),
    (
        "evaluations",
        "INSERT INTO evaluations VALUES ('e', 'main', 'v', 'publish', 'allow', 'policy', '[]', '[]', '[]', '', 'x', 'd', 0, 0, 'd', 'c', 1, 'ann', NULL, NULL, '{}')",
        "UPDATE evaluations SET decision = 'deny'",
    ),
    (
        "quarantine_items",
        "INSERT INTO quarantine_items VALUES ('q', 'main', 'v', 'rejected', 'publish', 'c', NULL, '[]', 1, 'ann', 2, 'bob', NULL, NULL)",
        "UPDATE quarantine_items SET status = 'released'",
    ),
    (
        "quarantine_votes",
        "INSERT INTO quarantine_votes VALUES ('q', 'bob', 'release', NULL, 1)",
        "UPDATE quarantine_votes SET ballot = 'reject'",
    ),
    ("purged_entries", "INSERT INTO purged_entries VALUES ('v', 'a', 'a', 'd', 1, NULL, NULL)", "UPDATE purged_entries SET path_key = 'b'"),
    (
        "waivers",
        "INSERT INTO waivers VALUES ('w', 'main', 'content', 'npm', '', 'demo', 'v', 'c', NULL, 'rule', 'quarantine', '', 'q', 1, 'ann', NULL, 0,
             NULL, NULL, NULL, NULL)",
        "UPDATE waivers SET rule = 'other'",
    ),
    (
        "audit",
        "INSERT INTO audit VALUES (1, 'a', 1, 'ann', NULL, 'x', 'y', 'z', NULL, '{}', zeroblob(32))",
        "UPDATE audit SET actor = 'bob'",
    ),
];

#[test]
fn what_is_written_once_cannot_be_changed_or_deleted() {
    let connection = database();
    with_package(&connection);
    insert_version(&connection, "v", State::Quarantined, "published");
    for (table, insert, update) in WRITTEN_ONCE {
        connection.execute(insert, []).unwrap();
        assert_eq!(outcome(connection.execute(update, [])), "written_once", "{update}");
        assert_eq!(outcome(connection.execute(&format!("DELETE FROM {table}"), [])), "written_once", "DELETE FROM {table}");
    }
}

/// Tables that tell of a version what is no part of it: what scanners say, who fetched it, what waivers were good for, what names it.
const BESIDE: [&str; 5] = ["scan_findings", "downloads", "waiver_use", "package_tags", "wanted_tags"];

#[test]
fn every_table_about_a_version_is_sealed_or_written_once() {
    let connection = database();
    let mut statement = connection
        .prepare(
            "SELECT tables.name FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND columns.name = 'version_id'",
        )
        .unwrap();
    let tables: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let known: BTreeSet<&str> = PARTS
        .iter()
        .map(|(table, _)| *table)
        .chain(WRITTEN_ONCE.iter().map(|(table, ..)| *table))
        .chain(BESIDE)
        .chain(["versions"])
        .collect();
    for table in tables {
        assert!(known.contains(table.as_str()), "{table} holds something of a version and no test says that it is sealed");
    }
}

#[test]
fn an_item_is_resolved_once_and_its_history_stays() {
    let connection = database();
    with_package(&connection);
    insert_version(&connection, "v", State::Quarantined, "published");
    connection
        .execute(
            "INSERT INTO quarantine_items VALUES ('q', 'main', 'v', 'quarantined', 'publish', 'c', NULL, '[]', 1, 'ann', NULL, NULL, NULL, NULL)",
            [],
        )
        .unwrap();
    for column in ["reasons = '[1]'", "held_from = 'published'", "created_at = 2", "created_by = 'bob'", "content_digest = 'd'"] {
        assert_eq!(outcome(connection.execute(&format!("UPDATE quarantine_items SET {column}"), [])), "written_once", "{column}");
    }
    let second = "INSERT INTO quarantine_items VALUES ('r', 'main', 'v', 'quarantined', 'publish', 'c', NULL, '[]', 1, 'ann', NULL, NULL, NULL, NULL)";
    assert!(outcome(connection.execute(second, [])).contains("UNIQUE"), "a version has two open holds");
    let resolve = "UPDATE quarantine_items SET status = 'released', resolved_at = 2, resolved_by = 'bob'";
    assert_eq!(outcome(connection.execute(resolve, [])), "ok");
    assert_eq!(outcome(connection.execute(resolve, [])), "written_once");
}

#[test]
fn from_an_empty_directory_and_from_every_earlier_schema_the_newest_is_reached_and_twice_is_harmless() {
    let fresh = schema_text(&database());
    for count in 0..=migrations().len() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        drop(database_at(&path, count));
        for round in 1..=2 {
            drop(open(directory.path()).unwrap());
            let connection = Connection::open(&path).unwrap();
            assert_eq!(user_version(&connection), i64::try_from(migrations().len()).unwrap(), "from {count}, round {round}");
            assert_eq!(schema_text(&connection), fresh, "from {count}, round {round}");
        }
    }
}

#[test]
fn a_newer_schema_is_refused_in_words_and_the_file_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    drop(open(directory.path()).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 999; CREATE TABLE of_the_future (x); PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let Err(error) = open(directory.path()) else { panic!("a newer schema was opened") };
    assert!(error.message().contains("schema 999") && error.message().contains("start a newer artifortress"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file changed");
}
