//! A whole store in a temporary directory with a fixed clock, for the tests of this room; and the orderly start and end.

mod reference;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use rusqlite::{Connection, params};

use super::*;
use crate::clock::{Clock as _, FixedClock};
use crate::domain::access::{Caller, Grants, Identity, Operator, Permit, Promote, Read, Write};
use crate::domain::candidate::{Action, Decision, Reason};
use crate::domain::coordinates::Coordinates;
use crate::domain::event::Event;
use crate::domain::id::{QuarantineId, RequestId, TokenId, VersionId};
use crate::domain::name::{PackageName, PackageType};
use crate::domain::quarantine::Ballot;
use crate::domain::repo::{Repo, RepoKind, RepoSettings};
use crate::policy::{CedarEngine, Engine as _};
use crate::registry::{Gate, GateLimits, InspectionLimits, Inspector};
use crate::store::{Admission, Done, JobFilter, JobRow, Note, OutboxFilter, OutboxRow, Question, SearchPage, SearchQuery, StoreOptions};

pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) clock: Arc<FixedClock>,
    pub(super) store: Arc<Store>,
    pub(super) registry: Arc<Registry>,
    pub(super) blobs: Blobs,
    pub(super) operator: Operator,
    pub(super) permit: Permit<Write>,
    pub(super) settings: JobSettings,
}

fn engine() -> &'static CedarEngine {
    static ENGINE: OnceLock<CedarEngine> = OnceLock::new();
    ENGINE.get_or_init(|| CedarEngine::new().unwrap())
}

fn open(directory: &std::path::Path, clock: &Arc<FixedClock>) -> Arc<Store> {
    let clock: Arc<dyn crate::clock::Clock> = Arc::<FixedClock>::clone(clock);
    Arc::new(Store::open(&StoreOptions::at(directory), clock).unwrap())
}

fn registry_of(store: &Arc<Store>, blobs: &Blobs) -> Arc<Registry> {
    let limits = GateLimits { budget_ms: 30_000, concurrent: 2, concurrent_per_repo: 2 };
    let gate = Gate::new(Arc::new(CedarEngine::new().unwrap()), limits, Arc::clone(store.metrics()));
    let inspector = Inspector::new(InspectionLimits { timeout_ms: 30_000, concurrent: 2 });
    Arc::new(Registry::new(Arc::clone(store), blobs.clone(), gate, inspector, DAY_MS))
}

impl World {
    pub(super) async fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let store = open(directory.path(), &clock);
        let grants = Grants { scopes: Some(vec!["repo:*:admin".parse().unwrap()]), bindings: None };
        let subject = "alice".parse().unwrap();
        let identity = Identity { subject, token_id: Some(TokenId::new(clock.uuid())), expires_at: None, grants };
        let caller = Caller::new(Arc::new(identity), RequestId::new(clock.uuid()));
        let operator = Operator::new(caller.clone()).unwrap();
        let proof = operator.clone();
        let create =
            move |tx: &mut crate::store::Write<'_>| tx.create_repo(&proof, &"main".parse()?, RepoKind::Local, &RepoSettings::default());
        let repo: Repo = store.write(&operator, create).await.unwrap();
        let permit = caller.permit(&Arc::new(repo)).unwrap();
        let blobs = Blobs::open_dir(directory.path()).unwrap();
        let registry = registry_of(&store, &blobs);
        World { directory, clock, store, registry, blobs, operator, permit, settings: JobSettings::default() }
    }

    /// Ends the process and starts another on the same directory.
    pub(super) fn restart(self) -> World {
        let World { directory, clock, store, registry, blobs, operator, permit, settings } = self;
        drop(registry);
        drop(Arc::into_inner(store).expect("somebody holds the store"));
        let store = open(directory.path(), &clock);
        let registry = registry_of(&store, &blobs);
        World { directory, clock, store, registry, blobs, operator, permit, settings }
    }

    /// A second connection, for what no client can do.
    pub(super) fn raw(&self) -> Connection {
        let connection = Connection::open(self.directory.path().join("state.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        connection
    }

    pub(super) fn index_path(&self) -> std::path::PathBuf {
        self.directory.path().join("search.db")
    }

    pub(super) async fn draft(&self, name: &str, version: &str) -> VersionId {
        let package = PackageName::new(PackageType::generic(), "", name).unwrap();
        let at = Coordinates::new(package, version).unwrap();
        let permit = self.permit.clone();
        let manifest = serde_json::json!({"description": format!("the words of {name}")}).to_string();
        let work = move |tx: &mut crate::store::Write<'_>| {
            let (draft, _) = tx.draft(&permit, &at)?;
            let (named, digest) = tx.put_manifest(&permit, &draft.id, manifest.as_bytes())?;
            Ok(Done::new(draft.id, Event::DraftCreated { version: named.clone() }).and(Event::ManifestSet { version: named, digest }))
        };
        self.store.write(&self.permit, work).await.unwrap()
    }

    pub(super) async fn publish_draft(&self, id: VersionId) {
        self.admit(id, Action::Publish).await;
    }

    pub(super) async fn admit(&self, id: VersionId, action: Action) {
        let dossier = self.store.author(&self.permit).unwrap().dossier(&id).unwrap();
        let question = Question {
            action,
            subject: "alice".parse().unwrap(),
            roles: self.permit.roles(),
            token_id: None,
            asked_at: self.clock.now(),
            hint: None,
        };
        let verdict = engine().evaluate(&[], &dossier.into_candidate(question).unwrap()).unwrap();
        let permit = self.permit.clone();
        let admission = self.store.write(&self.permit, move |tx| tx.admit(&permit, &verdict)).await.unwrap();
        assert!(matches!(admission, Admission::Published { .. }), "{admission:?}");
    }

    pub(super) async fn publish(&self, name: &str, version: &str) -> VersionId {
        let id = self.draft(name, version).await;
        self.publish_draft(id).await;
        id
    }

    /// Holds a published version by hand.
    pub(super) async fn hold(&self, id: VersionId) {
        self.hold_item(id).await;
    }

    pub(super) async fn hold_item(&self, id: VersionId) -> QuarantineId {
        let permit: Permit<Promote> = self.permit.also().unwrap();
        let proof = permit.clone();
        let reason = Reason { rule: "manual".to_owned(), decision: Decision::Quarantine, message: "looks odd".to_owned(), policy: None };
        self.store.write(&permit, move |tx| tx.hold(&proof, &id, &reason)).await.unwrap().id
    }

    pub(super) async fn vote(&self, item: QuarantineId, ballot: Ballot) {
        let permit: Permit<Promote> = self.permit.also().unwrap();
        let proof = permit.clone();
        self.store.write(&permit, move |tx| tx.vote(&proof, &item, ballot, None)).await.unwrap();
    }

    pub(super) async fn tombstone(&self, id: VersionId) {
        let permit = self.permit.clone();
        self.store.write(&self.permit, move |tx| tx.tombstone(&permit, &id, "a mistake", 30)).await.unwrap();
    }

    pub(super) async fn quiet(&self) {
        run_until_quiet(&self.store, &self.registry, &self.settings).await.unwrap();
    }

    pub(super) fn jobs(&self) -> Vec<JobRow> {
        let mut jobs = self.store.jobs(&self.operator, &JobFilter::default(), 5_000, None).unwrap().items;
        jobs.reverse();
        jobs
    }

    /// State, attempts and last error of the one job there is about `id`.
    pub(super) fn job(&self, id: &VersionId) -> (&'static str, u64, Option<String>) {
        let mut jobs = self.jobs();
        jobs.retain(|job| job.subject_id == id.to_string());
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        (jobs[0].state.as_str(), jobs[0].attempts, jobs[0].last_error.clone())
    }

    pub(super) fn events(&self) -> Vec<OutboxRow> {
        let mut events = self.store.outbox(&self.operator, &OutboxFilter::default(), 5_000, None).unwrap().items;
        events.reverse();
        events
    }

    /// Writes an event as a damaged or foreign program might.
    pub(super) fn insert_event(&self, number: u8, payload: &str) {
        self.insert_event_as(&format!("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}"), payload);
    }

    /// The same under any id.
    fn insert_event_row(&self, payload: &str) {
        self.insert_event_as(&self.clock.uuid().to_string(), payload);
    }

    fn insert_event_as(&self, id: &str, payload: &str) {
        let insert = "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at)
                      VALUES (?1, 'version.published', CAST(?2 AS TEXT), 'pending', 0, ?3, ?3)";
        self.raw().execute(insert, params![id, payload, self.clock.now().unix_ms()]).unwrap();
    }

    /// The whole outbox in the words of the model.
    fn event_rows(&self) -> BTreeMap<u64, reference::Event> {
        let read = |event: OutboxRow| {
            let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
            let about = payload["versionId"].as_str().map(|id| (id.to_owned(), payload["visible"] == true));
            let (due_at, delivered_at) = (event.due_at.unix_ms(), event.delivered_at.map(crate::domain::time::Time::unix_ms));
            (event.seq, reference::Event { about, state: event.state, attempts: event.attempts, due_at, delivered_at })
        };
        self.events().into_iter().map(read).collect()
    }

    /// The whole queue in the words of the model.
    fn job_rows(catalogue: &Connection) -> BTreeMap<reference::Key, reference::Job> {
        let mut statement = catalogue.prepare_cached("SELECT * FROM jobs").unwrap();
        let text = |row: &rusqlite::Row<'_>, column: &str| row.get::<_, Option<String>>(column).unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            let job = reference::Job {
                id: text(row, "job_id").map(|id| id.parse().unwrap()),
                state: text(row, "state").unwrap().parse().unwrap(),
                expectation: text(row, "expectation").map(|text| text.parse().unwrap()),
                attempts: u64::try_from(row.get::<_, i64>("attempts")?).unwrap(),
                due_at: row.get("due_at")?,
                lease: text(row, "lease_token").map(|token| token.parse().unwrap()),
                last_error: text(row, "last_error"),
                updated_at: row.get("updated_at")?,
            };
            Ok(((text(row, "kind").unwrap().parse().unwrap(), text(row, "subject_id").unwrap()), job))
        };
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    /// The versions in the index file itself.
    fn indexed(index: &Connection) -> BTreeSet<String> {
        let mut statement = index.prepare_cached("SELECT version_id FROM documents").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub(super) fn search(&self, text: &str) -> SearchPage {
        let reading: Permit<Read> = self.permit.reading();
        let query = SearchQuery { text: text.to_owned(), package_type: None, namespace: None, limit: 100, offset: 0 };
        self.store.search(&[reading], &query).unwrap()
    }

    /// Adds a job as only a damaged or foreign program would.
    pub(super) fn insert_job(&self, subject_id: &str) {
        let insert =
            "INSERT INTO jobs (job_id, kind, subject_id, expectation, state, attempts, max_attempts, due_at, created_at, updated_at)
                      VALUES ('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c99', 'search_index', ?1, 'visible', 'pending', 0, 5, 0, 0, 0)";
        self.raw().execute(insert, params![subject_id]).unwrap();
    }

    /// Whether the index, not the catalogue, finds this many versions by a word of their description.
    pub(super) fn index_finds(&self, count: u64) -> bool {
        let page = self.search("words");
        !page.degraded && page.total_count == count && page.items.len() as u64 == count
    }
}

#[tokio::test]
async fn an_orderly_end_finishes_the_batch_and_writes_what_was_noted() {
    let world = World::new().await;
    let token = world.operator.caller().identity().token_id.unwrap();
    let insert =
        "INSERT INTO tokens (token_id, secret_sha256, subject, created_at, created_by) VALUES (?1, zeroblob(32), 'alice', 0, 'alice')";
    world.raw().execute(insert, params![token.to_string()]).unwrap();
    // The first index is there, so that filling it does not ask for the version once more.
    world.quiet().await;
    let jobs = Jobs::start(Arc::clone(&world.store), &world.registry, world.blobs.clone(), world.settings);
    let id = world.publish("demo", "1.0").await;
    let mut wakes = world.store.queue_wakes();
    while world.jobs().iter().all(|job| job.state.as_str() != "completed") {
        // Each commit that touches the queue is heard; the last step of a batch is not one of them.
        drop(tokio::time::timeout(std::time::Duration::from_millis(20), wakes.changed()).await);
    }
    world.store.note(&world.operator, Note::AuthenticationFailed { reason: "unknown token".to_owned() });
    world.store.note_token_use(token, world.clock.now());
    jobs.stop().await;
    assert_eq!(world.job(&id), ("completed", 1, None));
    assert!(world.index_finds(1));
    let failed: i64 = world.raw().query_row("SELECT count(*) FROM audit WHERE action = 'auth.failed'", [], |row| row.get(0)).unwrap();
    assert_eq!(failed, 1);
    assert_eq!(world.store.find_token(&token).unwrap().unwrap().last_used_at, Some(world.clock.now()));
    assert_eq!(Arc::strong_count(&world.registry), 1, "a task outlived the end");
}

#[tokio::test]
async fn drain_once_relays_and_works_a_single_batch() {
    let mut world = World::new().await;
    world.settings.limits.batch = 1;
    let first = world.publish("one", "1.0").await;
    let second = world.publish("two", "1.0").await;
    drain_once(&world.store, &world.registry, &world.settings).await.unwrap();
    assert_eq!(world.job(&first).0, "completed");
    assert_eq!(world.job(&second).0, "pending");
}
