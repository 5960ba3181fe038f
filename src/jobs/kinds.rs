//! What each kind of job is: when it may run, what it waits for, what does its work. Invariant: every match here names every kind,
//! so a new one does not compile until it has its file.

use std::sync::Arc;

use super::{JobSettings, index_version, prune};
use crate::store::{JobKind, LeasedJob, Outcome, Store};

/// What the work of jobs may use.
#[derive(Clone)]
pub(super) struct Tools {
    /// The catalogue, its index and its queue.
    pub(super) store: Arc<Store>,
    /// How long finished work is kept, in milliseconds.
    pub(super) keep_finished_ms: i64,
}

impl Tools {
    /// The tools for the work on this store.
    pub(super) fn new(store: &Arc<Store>, settings: &JobSettings) -> Tools {
        Tools { store: Arc::clone(store), keep_finished_ms: settings.keep_finished_ms }
    }
}

/// Jobs of one lane never wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Work on this machine's own disk.
    Disk,
    /// Work that waits for other machines.
    Network,
}

impl Lane {
    /// Every lane.
    pub(super) const ALL: [Lane; 2] = [Lane::Disk, Lane::Network];
}

/// What the jobs of a kind wait for.
pub(super) fn lane(kind: JobKind) -> Lane {
    match kind {
        JobKind::SearchIndex | JobKind::Prune => Lane::Disk,
        JobKind::Webhook => Lane::Network,
    }
}

/// Whether jobs of a kind may be claimed now; those that may not wait and lose no attempts.
pub(super) fn may_run(kind: JobKind, tools: &Tools) -> bool {
    match kind {
        JobKind::SearchIndex => !tools.store.search_index().is_paused(),
        JobKind::Prune => true,
        // Nothing does these yet.
        JobKind::Webhook => false,
    }
}

/// Does the work of jobs of one kind and says how each ended, in their order.
pub(super) async fn run(kind: JobKind, tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    match kind {
        JobKind::SearchIndex => index_version::run(&tools.store, jobs).await,
        JobKind::Prune => prune::run(tools, jobs).await,
        JobKind::Webhook => Vec::new(),
    }
}
