//! Background work. Invariant: whatever happens to this process, an event is handed on once, a job is worked on by whoever holds
//! its lease, and nothing that waits is forgotten; while nothing waits, nothing runs.
//!
//! How to add a kind of job
//! * its name: a variant of `store::JobKind`, and its text in the CHECK of a new migration of the table `jobs`.
//! * what asks for it: a row of `task_of` in `store/outbox.rs`, for the kind of event.
//! * its work: a file here with `run(&Tools, &[LeasedJob]) -> Vec<Outcome>`, which can run twice; `kinds.rs` then does not compile until
//!   it says when such jobs may run, in which lane, and calls it.
//! * work without a queue, by time: a loop in `housekeeping.rs` that waits for a bell or for hours, never for moments.

mod dispatcher;
mod housekeeping;
mod index_version;
mod kinds;
mod prune;
mod rebuild;
mod reevaluate;
mod relay;
mod space;
mod sweep;
#[cfg(test)]
mod tests;
mod webhook;
mod worker;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blobs::Blobs;
use crate::config::{Config, Space, Webhooks};
use crate::error::Result;
use crate::registry::Registry;
use crate::store::{QueueLimits, Store};
use kinds::{Keep, Lane, Tools};
use webhook::Sender;
use worker::Worker;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// How the queue is worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSettings {
    /// Batches that are worked on side by side.
    pub workers: usize,
    /// Batches, leases, attempts, delays.
    pub limits: QueueLimits,
    /// How webhooks are told.
    pub webhooks: Webhooks,
    /// How long delivered events and finished jobs are kept, in milliseconds.
    pub keep_finished_ms: i64,
    /// Fetchers kept for one version.
    pub downloads_per_version: u32,
    /// How long a fetcher is kept, in milliseconds.
    pub keep_downloads_ms: i64,
    /// Versions that one sweep judges again in a second, at most.
    pub reevaluations_per_second: u32,
    /// What is removed by the clock.
    pub space: Space,
}

impl JobSettings {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> JobSettings {
        let jobs = &config.jobs;
        let limits = QueueLimits {
            batch: jobs.batch as usize,
            lease_ms: i64::from(jobs.lease_seconds) * 1000,
            max_attempts: jobs.max_attempts,
            backoff_ms: i64::from(jobs.backoff_seconds) * 1000,
        };
        let keep_finished_ms = i64::from(jobs.keep_finished_days) * DAY_MS;
        JobSettings {
            workers: jobs.workers,
            limits,
            webhooks: config.webhooks,
            keep_finished_ms,
            downloads_per_version: config.downloads.per_version,
            keep_downloads_ms: i64::from(config.downloads.keep_days) * DAY_MS,
            reevaluations_per_second: jobs.reevaluations_per_second,
            space: config.space,
        }
    }

    /// A worker of `store`, until `stop` is cancelled.
    fn worker(&self, store: &Arc<Store>, registry: &Arc<Registry>, stop: CancellationToken) -> Worker {
        Worker::new(self.tools(store, registry, stop), self.limits)
    }

    fn tools(&self, store: &Arc<Store>, registry: &Arc<Registry>, stop: CancellationToken) -> Tools {
        let sender = Arc::new(Sender::new(self.webhooks, self.limits.lease_ms));
        let keep = Keep {
            finished_ms: self.keep_finished_ms,
            deliveries_ms: i64::from(self.webhooks.keep_days) * DAY_MS,
            downloads_ms: self.keep_downloads_ms,
            downloads_per_version: self.downloads_per_version,
        };
        Tools {
            store: Arc::clone(store),
            registry: Arc::clone(registry),
            reevaluations_per_second: self.reevaluations_per_second,
            lease_ms: self.limits.lease_ms,
            sender,
            keep,
            stop,
        }
    }
}

impl Default for JobSettings {
    /// The defaults of `[jobs]`.
    fn default() -> JobSettings {
        JobSettings {
            workers: 2,
            limits: QueueLimits { batch: 100, lease_ms: 300_000, max_attempts: 5, backoff_ms: 30_000 },
            webhooks: Webhooks::default(),
            keep_finished_ms: 30 * DAY_MS,
            downloads_per_version: 1_000,
            keep_downloads_ms: 90 * DAY_MS,
            reevaluations_per_second: 500,
            space: Space::default(),
        }
    }
}

/// The running background work of one data directory.
pub struct Jobs {
    dispatcher: JoinHandle<()>,
    housekeeping: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    store: Arc<Store>,
    downloads_per_version: u32,
}

impl Jobs {
    /// Starts the relay, the workers and the housekeeping on the present runtime.
    #[must_use]
    pub fn start(store: Arc<Store>, registry: &Arc<Registry>, blobs: Blobs, settings: JobSettings) -> Jobs {
        let stop = CancellationToken::new();
        let worker = settings.worker(&store, registry, stop.clone());
        // From here on, and not from when the task gets its turn, somebody is there to be asked.
        let questions = store.pulse().listen();
        let dispatcher = tokio::spawn(dispatcher::run(worker, settings.workers, questions, stop.clone()));
        let housekeeping = vec![
            tokio::spawn(rebuild::run(Arc::clone(&store), stop.clone())),
            tokio::spawn(prune::ensure(Arc::clone(&store), settings.limits.max_attempts, stop.clone())),
            tokio::spawn(housekeeping::keep_notes(Arc::clone(&store), stop.clone())),
            tokio::spawn(housekeeping::keep_stamps(Arc::clone(&store), stop.clone())),
            tokio::spawn(housekeeping::keep_downloads(Arc::clone(&store), settings.downloads_per_version, stop.clone())),
            tokio::spawn(space::keep_collecting(Arc::clone(&store), Arc::clone(registry), settings.space, stop.clone())),
            tokio::spawn(space::keep_retention(Arc::clone(registry), settings.space, stop.clone())),
            tokio::spawn(housekeeping::keep_uploads(Arc::clone(&store), blobs, stop.clone())),
        ];
        Jobs { dispatcher, housekeeping, stop, store, downloads_per_version: settings.downloads_per_version }
    }

    /// Ends everything in order: batches that were begun are finished, what was noted is written. Call it after the last
    /// request was answered, so that what the requests left behind is written too.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.housekeeping.into_iter().chain([self.dispatcher]) {
            if let Err(cause) = task.await {
                tracing::error!(%cause, "a background task ended badly");
            }
        }
        housekeeping::flush(&self.store, self.downloads_per_version).await;
    }
}

/// Relays what is due and works one batch of jobs. For tests and tools: it does not wait for anything.
///
/// # Errors
/// What the store returns; a failure of a job is written into its row and is no error here.
pub async fn drain_once(store: &Arc<Store>, registry: &Arc<Registry>, settings: &JobSettings) -> Result<()> {
    let worker = settings.worker(store, registry, CancellationToken::new());
    relay::drain(store, worker.limits()).await?;
    let batch = worker.claim(&Lane::ALL).await?;
    worker.run(batch).await
}

/// Relays and works until nothing is due at the clock's time, rebuilding the search index where that is needed. For tests and
/// tools: it never sleeps.
///
/// # Errors
/// What the store returns; a failure of a job is written into its row and is no error here.
pub async fn run_until_quiet(store: &Arc<Store>, registry: &Arc<Registry>, settings: &JobSettings) -> Result<()> {
    let worker = settings.worker(store, registry, CancellationToken::new());
    loop {
        while rebuild::step_or_log(store).await == rebuild::Progress::Made {}
        relay::drain(store, worker.limits()).await?;
        let batch = worker.claim(&Lane::ALL).await?;
        if batch.is_empty() {
            return Ok(());
        }
        worker.run(batch).await?;
    }
}
