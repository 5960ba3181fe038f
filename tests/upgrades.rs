//! Upgrades from every earlier schema. Invariant: each is kept as a fixture with rows in it; all of them arrive, the copy that is made first
//! is what was there, and a newer schema is refused and not touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifortress::access::Secret;
use artifortress::clock::FixedClock;
use artifortress::error::{Code, Result};
use artifortress::store::{self, Store, StoreOptions, UpgradePlan};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::support::{Daemon, blob_path, digest_of};

fn fixture(schema: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/schemas/{schema:04}.sql"))
}

/// Makes the database of a fixture in a directory.
fn database_of(schema: usize, directory: &Path) {
    let path = fixture(schema);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is missing: write the rows of schema {schema} into scripts/schemas.py and run it", path.display()));
    let connection = Connection::open(directory.join("state.db")).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(&text).unwrap();
}

fn open(directory: &Path) -> Result<Store> {
    Store::open(&StoreOptions::at(directory), Arc::new(FixedClock::at("2026-06-01T12:00:00.000Z".parse().unwrap())))
}

type Rows = Vec<BTreeMap<String, Value>>;

/// Every row of every table, by the names of its columns.
fn contents(path: &Path) -> BTreeMap<String, Rows> {
    let connection = Connection::open(path).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::<String, _>::unwrap)
        .collect();
    let read = |table: &str| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let rows = statement.query_map([], |row| {
            names.iter().enumerate().map(|(index, name)| Ok((name.clone(), row.get(index)?))).collect::<rusqlite::Result<BTreeMap<_, _>>>()
        });
        rows.unwrap().map(Result::unwrap).collect::<Rows>()
    };
    tables.into_iter().map(|table| (table.clone(), read(&table))).collect()
}

fn version_of(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Whether a row of before is among those of after, in the columns that it had. Waivers were taken apart once (0007) and only counted.
fn arrived(table: &str, before: &Rows, after: &Rows) -> bool {
    let is_same =
        |old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>| old.iter().all(|(name, value)| new.get(name) == Some(value));
    match table {
        "waivers" => before.len() == after.len(),
        _ => before.len() == after.len() && before.iter().all(|old| after.iter().any(|new| is_same(old, new))),
    }
}

#[test]
fn every_earlier_schema_is_brought_forward_with_every_row_and_its_copy_is_what_was_there() {
    let newest = store::newest_schema();
    let mut rows = 0;
    for schema in 1..newest {
        let directory = tempfile::tempdir().unwrap();
        database_of(schema, directory.path());
        let path = directory.path().join("state.db");
        let before = contents(&path);
        rows += before.values().map(Vec::len).sum::<usize>();
        let copy = directory.path().join(format!("state.db.before-{newest:04}"));
        let plan = store::plan_of_upgrade(directory.path()).unwrap();
        let UpgradePlan::Upgrade { from, to, copy: planned, .. } = &plan else { panic!("{plan}") };
        assert_eq!((*from, *to, planned), (schema, newest, &copy));
        assert!(!copy.exists() && version_of(&path) == i64::try_from(schema).unwrap(), "looking changes nothing");
        drop(open(directory.path()).unwrap());
        let after = contents(&path);
        for (table, old) in &before {
            assert!(arrived(table, old, &after[table]), "schema {schema}, table {table}: {old:?} became {:?}", after[table]);
        }
        assert_eq!(store::check(directory.path()).unwrap().faults, Vec::<String>::new(), "schema {schema}");
        assert_eq!(version_of(&copy), i64::try_from(schema).unwrap());
        assert_eq!(contents(&copy), before, "the copy of schema {schema}");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(store::plan_of_upgrade(directory.path()).unwrap(), UpgradePlan::Current { schema: newest });
        let modified = std::fs::metadata(&copy).unwrap().modified().unwrap();
        drop(open(directory.path()).unwrap());
        assert_eq!(std::fs::metadata(&copy).unwrap().modified().unwrap(), modified, "a second start copies nothing");
    }
    println!("{rows} rows in {} schemas", newest - 1);
    assert!(rows > 300);
}

#[test]
fn what_an_earlier_program_published_is_served_and_reviewed_after_the_upgrade() {
    let token = Secret::from_random([7; 32]);
    for schema in 4..store::newest_schema() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        database_of(schema, &data);
        let versions = ["0.1", "1.0", "2.0", "3.0", "4.0", "5.0"].map(|version| format!("the bytes of demo {version}"));
        for bytes in &versions {
            let hex = digest_of(bytes.as_bytes()).replace("sha256:", "");
            std::fs::create_dir_all(data.join("blobs/sha256").join(&hex[..2])).unwrap();
            std::fs::write(data.join("blobs/sha256").join(&hex[..2]).join(hex), bytes).unwrap();
        }
        let daemon = Daemon::start(directory.path(), &[]);
        let get = |path: &str| daemon.call(token.reveal(), "GET", path, b"").unwrap();
        let statuses = versions.each_ref().map(|bytes| get(&blob_path("main", &digest_of(bytes.as_bytes()))).status);
        // Taken back, published, held, rejected, a draft, released.
        assert_eq!([statuses[1], statuses[2], statuses[3], statuses[5]], [200, 423, 423, 200], "schema {schema}");
        let holds = get("/v1/repos/main/quarantine?status=quarantined").json()["items"].as_array().unwrap().len();
        assert_eq!(holds, 1, "schema {schema}");
        assert_eq!(daemon.call(Secret::from_random([8; 32]).reveal(), "GET", "/v1/auth/whoami", b"").unwrap().status, 401);
        daemon.stop();
        let verified = Daemon::run(directory.path(), &["verify", "--blobs"]);
        assert_eq!(verified.status.code(), Some(0), "schema {schema}: {verified:?}");
    }
}

#[test]
fn a_newer_schema_is_refused_by_everything_and_not_a_byte_of_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    drop(open(&data).unwrap());
    let path = data.join("state.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let before = std::fs::read(&path).unwrap();
    let plan = store::plan_of_upgrade(&data).unwrap();
    assert!(plan.is_refused() && plan.to_string().contains("schema 999"), "{plan}");
    let error = open(&data).err().unwrap();
    assert!(error.code() == Code::Unavailable && error.message().contains("schema 999"), "{error}");
    let archive = directory.path().join("a");
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["backup", archive.to_str().unwrap()], &["verify", "--repair"]] {
        let done = Daemon::run(directory.path(), arguments);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("999"), "{arguments:?}: {done:?}");
    }
    assert!(!archive.exists());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let copies = std::fs::read_dir(&data).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains("before"));
    assert_eq!(copies.count(), 0);
}

#[test]
fn an_upgrade_that_was_cut_off_keeps_the_first_copy_and_one_after_a_way_back_makes_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let newest = store::newest_schema();
    let (path, copy) = (directory.path().join("state.db"), directory.path().join(format!("state.db.before-{newest:04}")));
    database_of(6, directory.path());
    drop(open(directory.path()).unwrap());
    let first = std::fs::read(&copy).unwrap();
    // As if the power had been cut between two migrations.
    std::fs::remove_file(&path).unwrap();
    database_of(7, directory.path());
    drop(open(directory.path()).unwrap());
    assert_eq!(std::fs::read(&copy).unwrap(), first);
    // The copy was put back, and the older program worked on it.
    std::fs::rename(&copy, &path).unwrap();
    let older = Connection::open(&path).unwrap();
    older.execute_batch("UPDATE repos SET retention_days = 31").unwrap();
    drop(older);
    std::fs::write(&copy, first).unwrap();
    drop(open(directory.path()).unwrap());
    let days: i64 = Connection::open(&copy).unwrap().query_row("SELECT min(retention_days) FROM repos", [], |row| row.get(0)).unwrap();
    assert_eq!(days, 31, "the copy is of the state that was left");
}

#[test]
fn an_archive_of_an_earlier_schema_is_restored_into_the_newest_and_taking_it_migrates_nothing() {
    for schema in 4..store::newest_schema() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        database_of(schema, &data);
        for version in ["0.1", "1.0", "2.0", "3.0", "4.0", "5.0"] {
            let bytes = format!("the bytes of demo {version}");
            let hex = digest_of(bytes.as_bytes()).replace("sha256:", "");
            std::fs::create_dir_all(data.join("blobs/sha256").join(&hex[..2])).unwrap();
            std::fs::write(data.join("blobs/sha256").join(&hex[..2]).join(hex), bytes).unwrap();
        }
        let archive = directory.path().join("a").to_str().unwrap().to_owned();
        let done = Daemon::run(directory.path(), &["backup", &archive]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(version_of(&data.join("state.db")), i64::try_from(schema).unwrap());
        let target = tempfile::tempdir().unwrap();
        let done = Daemon::run(target.path(), &["restore", &archive]);
        assert_eq!(done.status.code(), Some(0), "schema {schema}: {done:?}");
        assert!(String::from_utf8_lossy(&done.stdout).contains(&format!("its schema {schema} was brought to")), "{done:?}");
        let verified = Daemon::run(target.path(), &["verify", "--blobs"]);
        assert_eq!(verified.status.code(), Some(0), "schema {schema}: {verified:?}");
    }
}
