//! What the collector freed, and what is used. Invariant: no label names a repo, so that the number of series is bounded.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Level = Gauge<u64, AtomicU64>;

/// Space in use and freed.
#[derive(Debug)]
pub struct Space {
    runs: Counter,
    files: Counter,
    bytes: Counter,
    stored_bytes: Level,
    stored_blobs: Level,
    nearly_full: Level,
}

impl Space {
    pub(super) fn register(registry: &mut Registry) -> Space {
        let group = Space {
            runs: Counter::default(),
            files: Counter::default(),
            bytes: Counter::default(),
            stored_bytes: Level::default(),
            stored_blobs: Level::default(),
            nearly_full: Level::default(),
        };
        registry.register("gc_runs", "Collections that ended, trials left out", group.runs.clone());
        registry.register("gc_removed_files", "Files that collections removed", group.files.clone());
        registry.register_with_unit("gc_removed", "Bytes that collections removed", Unit::Bytes, group.bytes.clone());
        registry.register_with_unit("stored", "Bytes of all blobs that the database knows", Unit::Bytes, group.stored_bytes.clone());
        registry.register("stored_blobs", "Blobs that the database knows", group.stored_blobs.clone());
        registry.register("quotas_nearly_full", "Quotas of which nine tenths are used, counted up to twenty", group.nearly_full.clone());
        group
    }

    /// A collection ended and removed so much.
    pub fn collected(&self, files: u64, bytes: u64) {
        self.runs.inc();
        self.files.inc_by(files);
        self.bytes.inc_by(bytes);
    }

    /// So much is stored, and so many quotas are nearly used up.
    pub fn set_stored(&self, blobs: u64, bytes: u64, nearly_full: u64) {
        self.stored_blobs.set(blobs);
        self.stored_bytes.set(bytes);
        self.nearly_full.set(nearly_full);
    }
}
