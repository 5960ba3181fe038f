//! Background work. Invariant: it stops when told to. The relay and the workers come with the next change.

use std::sync::Arc;

use crate::blobs::Blobs;
use crate::store::{QueueLimits, Store};

/// How the queue is worked.
#[derive(Debug, Clone, Copy)]
pub struct JobSettings {
    /// Workers side by side.
    pub workers: usize,
    /// Batches, leases, attempts, delays.
    pub limits: QueueLimits,
}

/// The running tasks.
pub struct Jobs;

impl Jobs {
    /// Starts them.
    #[must_use]
    pub fn start(_store: Arc<Store>, _blobs: Blobs, _settings: JobSettings) -> Jobs {
        Jobs
    }

    /// Stops them.
    #[allow(clippy::unused_async, reason = "waits for the tasks once there are any")]
    pub async fn stop(self) {}
}
