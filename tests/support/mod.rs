//! The test application: a whole instance in a temporary directory, called in process, with a clock that stands still.
//! Invariant: what a test sets up it reaches through the API; dropping the application asserts that no job is left live and
//! that the database is sound.

pub mod activation;
mod cargo_bench;
mod client_run;
pub mod clients;
mod crates;
mod daemon;
mod engine;
mod node;
mod npm;
mod pypi;
mod receiver;
mod snapshots;
mod steps;
mod verbs;

use std::path::Path;
use std::sync::Arc;

use artifortress::access::bootstrap;
use artifortress::app::App;
use artifortress::blobs::Blobs;
use artifortress::clock::{Clock, FixedClock, SystemClock};
use artifortress::config::Config;
use artifortress::domain::digest::Digest;
use artifortress::http::{HeaderMap, Router};
use artifortress::jobs::{self, JobSettings};
use artifortress::policy::Engine;
use artifortress::registry::Registry;
use artifortress::routes;
use artifortress::store::{self, Store, StoreOptions};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

pub use cargo_bench::{CargoBench, library, locked, publish, user};
pub use client_run::{Client, Ended};
pub use clients::{Readers, Served};
pub use crates::{Crate, download_path, index_path, tarball};
pub use daemon::Daemon;
pub use engine::{Mood, MoodyEngine};
pub use node::{Machine, Tool};
pub use npm::{npm_document, npm_tarball};
pub use pypi::{UploadForm, wheel};
pub use receiver::{Answer, Received, Receiver};
pub use steps::{DENY_ALL, HOLD_ALL, Package, blob_path, rule, version_path};
pub use verbs::{package, version_of};

/// When every test begins.
pub const START: &str = "2026-06-01T12:00:00.000Z";

/// The `sha256:…` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// An instance. `admin` is the token of the first start.
pub struct TestApp {
    directory: tempfile::TempDir,
    pub clock: Arc<FixedClock>,
    pub store: Arc<Store>,
    pub blobs: Blobs,
    pub engine: Arc<MoodyEngine>,
    pub router: Arc<Router<App>>,
    pub admin: String,
    job_settings: JobSettings,
}

impl TestApp {
    /// An instance with the default settings.
    pub async fn new() -> TestApp {
        TestApp::with(|_| {}).await
    }

    /// An instance whose settings `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> TestApp {
        let clock = Arc::new(FixedClock::at(START.parse().unwrap()));
        TestApp::put_together(Arc::clone(&clock), clock, change).await
    }

    /// An instance on the machine's own clock, for background work that really runs; moving `clock` does nothing.
    pub async fn on_real_time() -> TestApp {
        let idle = Arc::new(FixedClock::at(START.parse().unwrap()));
        TestApp::put_together(idle, Arc::new(SystemClock), |_| {}).await
    }

    async fn put_together(clock: Arc<FixedClock>, shared: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> TestApp {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path());
        // A loaded machine must not turn a decision into a timeout; tests of the budget set their own.
        config.policy.evaluation_timeout_ms = 30_000;
        change(&mut config);
        let store = Arc::new(Store::open(&StoreOptions::at(directory.path()), Arc::clone(&shared)).unwrap());
        let blobs = Blobs::open_dir(directory.path()).unwrap().limited_to(config.http.upload_limit_bytes);
        let first = bootstrap(&store, directory.path(), None, false).await.unwrap().expect("a first start makes a token");
        let engine = MoodyEngine::new();
        let job_settings = JobSettings::of(&config);
        let app = App::new(config, shared, &store, &blobs, Arc::clone(&engine) as Arc<dyn Engine>);
        let router = Arc::new(Router::new(Arc::new(app), routes::table()).unwrap());
        TestApp { directory, clock, store, blobs, engine, router, admin: first.secret.reveal().to_owned(), job_settings }
    }

    /// The verbs, for background work.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.router.app().registry
    }

    /// Where it keeps everything.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Begins a call of `method` at `path`, without credentials yet.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(&self.router, method, path)
    }

    /// The same instance as it would be with nothing in memory yet.
    pub fn with_empty_memory(&self) -> EmptyMemory {
        let settings = self.router.app().config.clone();
        let clock = Arc::clone(&self.router.app().clock);
        let app = App::new(settings, clock, &self.store, &self.blobs, Arc::clone(&self.engine) as Arc<dyn Engine>);
        EmptyMemory(Arc::new(Router::new(Arc::new(app), routes::table()).unwrap()))
    }

    /// A GET as somebody.
    pub async fn get(&self, token: &str, path: &str) -> Response {
        self.call("GET", path).token(token).send().await
    }

    /// A POST of JSON as somebody.
    pub async fn post(&self, token: &str, path: &str, json: Value) -> Response {
        self.call("POST", path).token(token).json(&json).send().await
    }

    /// Runs background work until there is nothing due.
    pub async fn run_jobs(&self) {
        jobs::run_until_quiet(&self.store, self.registry(), &self.job_settings).await.unwrap();
    }

    /// Writes who fetched what.
    pub async fn flush_downloads(&self) {
        self.store.flush_downloads(self.job_settings.downloads_per_version).await.unwrap();
    }

    /// Asks the database itself, to look at effects that the API does not show: the first column of each row as text. The
    /// connection cannot write.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(self.path().join("state.db"), flags).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        rows.map(|value| match value.unwrap() {
            rusqlite::types::Value::Null => String::new(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Real(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
        })
        .collect()
    }

    /// A mark in the audit trail and the outbox: what comes after it is an effect of what a test does next.
    pub fn mark(&self) -> Mark {
        let newest = |table: &str| self.ask(&format!("SELECT coalesce(max(seq), 0) FROM {table}"))[0].clone();
        Mark { audit: newest("audit"), outbox: newest("outbox") }
    }

    /// The audit actions since `mark`, in order.
    pub fn audit_since(&self, mark: &Mark) -> Vec<String> {
        self.ask(&format!("SELECT action FROM audit WHERE seq > {} ORDER BY seq", mark.audit))
    }

    /// The kinds of outbox events since `mark`, in order.
    pub fn events_since(&self, mark: &Mark) -> Vec<String> {
        self.ask(&format!("SELECT kind FROM outbox WHERE seq > {} ORDER BY seq", mark.outbox))
    }

    /// Every row of everything that a mutation could touch: equal before and after means that nothing was written.
    pub fn everything(&self) -> Vec<String> {
        let tables =
            ["versions", "entries", "manifests", "policies", "quarantine_items", "quarantine_votes", "evaluations", "waivers", "outbox"];
        let more = [
            "tokens",
            "repos",
            "bindings",
            "blobs",
            "repo_blobs",
            "uploads",
            "audit",
            "webhooks",
            "deliveries",
            "reservations",
            "freezes",
            "scan_findings",
            "advisories",
            "package_tags",
            "wanted_tags",
            "package_owners",
        ];
        tables.iter().chain(&more).flat_map(|table| self.dump(table)).collect()
    }

    fn dump(&self, table: &str) -> Vec<String> {
        let columns = self.ask(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        self.ask(&format!("SELECT '{table}: ' || {} FROM {table} ORDER BY 1", quoted.join(" || ',' || ")))
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.engine.set(Mood::Sound);
        if std::thread::panicking() {
            return;
        }
        let (store, registry, settings) = (Arc::clone(&self.store), Arc::clone(self.registry()), self.job_settings);
        let quiet = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                store.flush_notes().await.unwrap();
                jobs::run_until_quiet(&store, &registry, &settings).await.unwrap();
            });
        });
        quiet.join().expect("the jobs ran until there was nothing due");
        // The job that removes finished work always waits for its next round, and a re-evaluation for its time.
        let live = self.ask("SELECT kind || ' ' || subject_id || ' ' || state || ' ' || coalesce(last_error, '') FROM jobs WHERE state IN ('pending', 'processing', 'failed') AND NOT (kind IN ('prune', 'reevaluate') AND state = 'pending')");
        assert!(live.is_empty(), "jobs are left: {live:?}");
        let report = store::check(self.path()).unwrap();
        assert!(report.faults.is_empty(), "the database is not sound: {:#?}", report.faults);
    }
}

/// A place in the audit trail and the outbox.
pub struct Mark {
    audit: String,
    outbox: String,
}

/// An instance beside another one, on the same data.
pub struct EmptyMemory(Arc<Router<App>>);

impl EmptyMemory {
    /// Begins a call of `method` at `path`, without credentials yet.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(&self.0, method, path)
    }
}

/// A request being put together.
pub struct Call {
    router: Arc<Router<App>>,
    request: http::request::Builder,
    body: Bytes,
}

impl Call {
    fn new(router: &Arc<Router<App>>, method: &str, path: &str) -> Call {
        let request = http::Request::builder().method(method).uri(path).header("host", "registry.test");
        Call { router: Arc::clone(router), request: request.header("user-agent", "tests"), body: Bytes::new() }
    }

    /// With this token; an empty one sends no credentials.
    pub fn token(self, token: &str) -> Call {
        if token.is_empty() { self } else { self.header("authorization", &format!("Bearer {token}")) }
    }

    /// With this header.
    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.request = self.request.header(name, value);
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = body.into();
        self
    }

    /// With this JSON as body.
    pub fn json(self, json: &Value) -> Call {
        self.header("content-type", "application/json").body(json.to_string())
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Response {
        let length = self.body.len().to_string();
        let request = self.request.header("content-length", length).body(Full::new(self.body)).unwrap();
        let what = format!("{} {}", request.method(), request.uri());
        let (parts, body) = self.router.handle(request).await.into_parts();
        let reason =
            parts.extensions.get::<hyper::ext::ReasonPhrase>().map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
        let bytes = body.collect().await.expect("the whole answer").to_bytes();
        Response { what, status: parts.status.as_u16(), reason: reason.unwrap_or_default(), headers: parts.headers, bytes }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Response {
    what: String,
    pub status: u16,
    pub reason: String,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Response {
    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{}: {}", self.what, String::from_utf8_lossy(&self.bytes));
        self
    }

    /// Asserts the status and the code of a refusal.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        let answer = self.expect(status);
        let body = answer.json();
        assert_eq!(body["error"], code, "{}: {body}", answer.what);
        assert!(body["message"].as_str().is_some_and(|message| message.len() > 10), "{}: a refusal without words: {body}", answer.what);
        assert_eq!(answer.header("x-request-id"), body["requestId"].as_str().unwrap(), "{}", answer.what);
        assert_eq!(answer.header("cache-control"), "no-store", "{}: a refusal may be cached", answer.what);
        body
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|fault| panic!("{} answered {} with no JSON ({fault}): {:?}", self.what, self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A member that must be a text.
#[track_caller]
pub fn text(json: &Value, member: &str) -> String {
    json[member].as_str().unwrap_or_else(|| panic!("no text {member} in {json}")).to_owned()
}

/// The items of a list.
#[track_caller]
pub fn items(json: &Value) -> Vec<Value> {
    json["items"].as_array().unwrap_or_else(|| panic!("no items in {json}")).clone()
}
