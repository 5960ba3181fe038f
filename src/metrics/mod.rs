//! What this process counts, for `GET /metrics`. Invariant: a label has one of a few values that this program knows beforehand (a
//! route's pattern, a state, a kind), never a name, an address, a token or a path, so that the number of series is bounded.
//!
//! How to add a family
//! * its group is the file of its subject: `requests`, `gate`, `work` (outbox, jobs, webhooks, search), `storage`, `space`, `pages`, `process`.
//! * a field with a sentence as help text in the group's `register`; base units (seconds, bytes) as suffix, no `_total`: counters get it.
//! * what is counted as it happens: a method of the group, called where it happens; what stands in the database or on the disk: a
//!   gauge, set in `store/measure.rs` before each scrape, by a query that an index answers and a limit bounds.
//! * `tests/metrics.rs` lists every family.

mod gate;
mod pages;
mod process;
mod requests;
mod space;
mod storage;
mod work;

use prometheus_client::encoding::text;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use gate::Gate;
pub use pages::Pages;
pub use process::Process;
pub use requests::Requests;
pub use space::Space;
pub use storage::{Blobs, Checkpoint, Sqlite, WriteEnd, Writer};
pub use work::{Backlog, JobEnd, Jobs, Outbox, Search, Webhooks};

use crate::domain::time::Time;
use crate::error::{Error, Result};

/// The media type of what [`Metrics::encode`] writes.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every family, in groups. Made once for each store and shared; counting never blocks.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests and connections.
    pub requests: Requests,
    /// Decisions of the policy gate.
    pub gate: Gate,
    /// The one writer of the database.
    pub writer: Writer,
    /// The files of SQLite.
    pub sqlite: Sqlite,
    /// The relay of the outbox.
    pub outbox: Outbox,
    /// Finished jobs.
    pub jobs: Jobs,
    /// What webhooks are told.
    pub webhooks: Webhooks,
    /// Queries of the search.
    pub search: Search,
    /// Bytes in and out, and the disk.
    pub blobs: Blobs,
    /// Space in use and freed.
    pub space: Space,
    /// Rendered indexes in memory.
    pub pages: Pages,
    /// What waits; set before each scrape.
    pub backlog: Backlog,
    /// The process itself; set before each scrape.
    pub process: Process,
}

impl Metrics {
    /// All families, every one at its beginning; the process began at `started_at`.
    #[must_use]
    pub fn new(started_at: Time) -> Metrics {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("artifortress");
        own.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let requests = Requests::register(own);
        let gate = Gate::register(own);
        let writer = Writer::register(own);
        let sqlite = Sqlite::register(own);
        let outbox = Outbox::register(own);
        let jobs = Jobs::register(own);
        let webhooks = Webhooks::register(own);
        let search = Search::register(own);
        let blobs = Blobs::register(own);
        let space = Space::register(own);
        let pages = Pages::register(own);
        let backlog = Backlog::register(own);
        let lines = process::register_log(own);
        let process = Process::register(registry.sub_registry_with_prefix("process"), lines, started_at);
        Metrics { registry, requests, gate, writer, sqlite, outbox, jobs, webhooks, search, blobs, space, pages, backlog, process }
    }

    /// Everything in the text format of OpenMetrics, which Prometheus reads.
    ///
    /// # Errors
    /// Internal, when a family cannot be written.
    pub fn encode(&self) -> Result<String> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).map_err(|cause| Error::internal("writing the metrics", cause))?;
        Ok(text)
    }
}

impl Default for Metrics {
    /// Metrics that nobody reads: for parts that stand alone.
    fn default() -> Metrics {
        Metrics::new(Time::from_unix_ms(0))
    }
}

/// A histogram of what takes from a tenth of a millisecond to some seconds: statements, evaluations.
fn quick() -> Histogram {
    Histogram::new([0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5])
}

/// A histogram of what takes from a millisecond to minutes: requests, batches.
fn slow() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}
