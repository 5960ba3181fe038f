//! What each kind of job is: when it may run, what it waits for, what does its work. Invariant: every match here names every kind,
//! so a new one does not compile until it has its file.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::webhook::{self, Sender};
use super::{index_version, prune, reevaluate, sweep};
use crate::registry::Registry;
use crate::store::{JobKind, LeasedJob, Outcome, Store};

/// What the work of jobs may use.
#[derive(Clone)]
pub(super) struct Tools {
    /// The catalogue, its index and its queue.
    pub(super) store: Arc<Store>,
    /// The gate, which judges again.
    pub(super) registry: Arc<Registry>,
    /// Versions judged again in one second by one sweep, at most.
    pub(super) reevaluations_per_second: u32,
    /// How long a claim lasts, in milliseconds.
    pub(super) lease_ms: i64,
    /// Requests to webhooks.
    pub(super) sender: Arc<Sender>,
    /// How long finished work is kept.
    pub(super) keep: Keep,
    /// The order to stop: what has begun is finished, what has not waits for the next start.
    pub(super) stop: CancellationToken,
}

/// How long finished work is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keep {
    /// Delivered events and finished jobs, in milliseconds.
    pub(super) finished_ms: i64,
    /// What webhooks were sent, in milliseconds.
    pub(super) deliveries_ms: i64,
    /// Who fetched a version, in milliseconds since the last time.
    pub(super) downloads_ms: i64,
    /// Fetchers of one version.
    pub(super) downloads_per_version: u32,
}

/// Jobs of one lane never wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Work on this machine's own disk.
    Disk,
    /// Versions whose time has come.
    Gate,
    /// Walks through many versions, which nobody waits for.
    Sweeps,
    /// Work that waits for other machines.
    Network,
}

impl Lane {
    /// Every lane.
    pub(super) const ALL: [Lane; 4] = [Lane::Disk, Lane::Gate, Lane::Sweeps, Lane::Network];
}

/// What the jobs of a kind wait for.
pub(super) fn lane(kind: JobKind) -> Lane {
    match kind {
        JobKind::SearchIndex | JobKind::Prune => Lane::Disk,
        JobKind::Reevaluate => Lane::Gate,
        JobKind::Sweep => Lane::Sweeps,
        JobKind::Webhook => Lane::Network,
    }
}

/// Whether jobs of a kind may be claimed now; those that may not wait and lose no attempts.
pub(super) fn may_run(kind: JobKind, tools: &Tools) -> bool {
    match kind {
        JobKind::SearchIndex => !tools.store.search_index().is_paused(),
        JobKind::Webhook | JobKind::Prune | JobKind::Reevaluate | JobKind::Sweep => true,
    }
}

/// Does the work of jobs of one kind and says how each ended, in their order.
pub(super) async fn run(kind: JobKind, tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    match kind {
        JobKind::SearchIndex => index_version::run(&tools.store, jobs).await,
        JobKind::Webhook => webhook::run(tools, jobs).await,
        JobKind::Prune => prune::run(tools, jobs).await,
        JobKind::Reevaluate => reevaluate::run(tools, jobs).await,
        JobKind::Sweep => sweep::run(tools, jobs).await,
    }
}
