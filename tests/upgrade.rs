//! A directory that an earlier program left. Invariant: what waited then is done now, nothing is lost, and the index of another schema is
//! made anew.

use std::path::Path;
use std::sync::Arc;

use artifortress::app::App;
use artifortress::blobs::Blobs;
use artifortress::clock::{Clock, FixedClock};
use artifortress::config::Config;
use artifortress::jobs::{self, JobSettings};
use artifortress::policy::CedarEngine;
use artifortress::store::{self, Store, StoreOptions};
use rusqlite::{Connection, params};

/// The databases of the first schema that was given out: four migrations, and the first index.
fn first_schema(directory: &Path) -> Connection {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let apply = |connection: &Connection, files: &[&str]| {
        for (index, file) in files.iter().enumerate() {
            connection.execute_batch(&std::fs::read_to_string(root.join(file)).unwrap()).unwrap();
            connection.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap()).unwrap();
        }
    };
    let search = Connection::open(directory.join("search.db")).unwrap();
    apply(&search, &["search/0001_documents.sql"]);
    search.pragma_update(None, "application_id", 0x6166_7431).unwrap();
    let state = Connection::open(directory.join("state.db")).unwrap();
    apply(&state, &["0001_identity.sql", "0002_versions.sql", "0003_gate.sql", "0004_events.sql"]);
    state
}

/// A version that is visible, as the first schema holds it.
fn insert_visible(connection: &Connection, id: &str, version: &str) {
    connection
        .execute(
            "INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by, published_at,
                 content_digest)
             VALUES (?1, 1, 'main', ?2, ?2, '', 'published', 1, 'ann', 1, 'sha256:' || lower(hex(zeroblob(32))))",
            params![id, version],
        )
        .unwrap();
}

#[tokio::test]
async fn events_and_jobs_of_an_earlier_schema_are_worked_and_the_index_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let id = |number: u8| format!("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}");
    let old = first_schema(directory.path());
    old.execute_batch(
        "INSERT INTO repos VALUES ('main', 'local', 0, 0, 30, 1, 1, NULL);
         INSERT INTO packages VALUES (1, 'main', 'generic', '', 'demo', '', 'demo');",
    )
    .unwrap();
    for (number, version) in [(1, "1.0"), (2, "2.0"), (3, "3.0")] {
        insert_visible(&old, &id(number), version);
    }
    let lease = id(90);
    for (number, state, lease) in [(1, "completed", None), (2, "processing", Some(&lease)), (4, "dead", None)] {
        old.execute(
            "INSERT INTO jobs VALUES (?1, 'search_index', ?2, 'visible', ?3, 1, 5, 5, ?4, ?5, NULL, 1, 1)",
            params![id(10 + number), id(number), state, lease, lease.map(|_| 5)],
        )
        .unwrap();
    }
    // The payload of that time.
    let payload = format!(r#"{{"versionId":"{}","repoKey":"main","visible":true}}"#, id(3));
    for (number, kind, payload, state, delivered) in [
        (20, "version.published", payload.as_str(), "pending", None),
        (21, "policy.changed", r#"{"repoKey":null,"revision":1}"#, "pending", None),
        (22, "version.published", "{}", "delivered", Some(1)),
    ] {
        old.execute(
            "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at, delivered_at) VALUES (?1, ?2, ?3, ?4, 0, 1, 1, ?5)",
            params![id(number), kind, payload, state, delivered],
        )
        .unwrap();
    }
    drop(old);
    let clock = Arc::new(FixedClock::at("2026-06-01T12:00:00.000Z".parse().unwrap()));
    let shared: Arc<dyn Clock> = clock;
    let clock = Arc::clone(&shared);
    let store = Arc::new(Store::open(&StoreOptions::at(directory.path()), shared).unwrap());
    {
        let config = Config::in_directory(directory.path());
        let blobs = Blobs::open_dir(directory.path()).unwrap();
        let app = App::new(config, clock, &store, &blobs, Arc::new(CedarEngine::new().unwrap()));
        jobs::run_until_quiet(&store, &app.registry, &JobSettings::default()).await.unwrap();
    }
    drop(store);
    let state = Connection::open(directory.path().join("state.db")).unwrap();
    let list = |connection: &Connection, sql: &str| -> Vec<String> {
        connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let jobs = list(&state, "SELECT subject_id || ' ' || state FROM jobs ORDER BY subject_id");
    let mut expected = [(1, "completed"), (2, "completed"), (3, "completed"), (4, "dead")]
        .map(|(number, state)| format!("{} {state}", id(number)))
        .to_vec();
    // The policy changed, so everything was judged again.
    expected.push("instance completed".to_owned());
    assert_eq!(jobs, expected);
    assert_eq!(list(&state, "SELECT DISTINCT state FROM outbox"), ["delivered"]);
    let index = Connection::open(directory.path().join("search.db")).unwrap();
    assert_eq!(list(&index, "SELECT version_id FROM documents ORDER BY version_id"), [id(1), id(2), id(3)]);
    let faults = store::check(directory.path()).unwrap().faults;
    // Versions written by hand have no history; nothing else is wrong.
    assert!(faults.iter().all(|fault| fault.contains("never evaluated") || fault.contains("content")), "{faults:#?}");
}
