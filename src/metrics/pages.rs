//! Rendered indexes in memory. Invariant: every request for one is a hit or a miss, and each miss is one rendering.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Rendered indexes in memory.
#[derive(Debug)]
pub struct Pages {
    hits: Counter,
    misses: Counter,
    evictions: Counter,
    kept: Gauge<u64, AtomicU64>,
}

impl Pages {
    pub(super) fn register(registry: &mut Registry) -> Pages {
        let group = Pages { hits: Counter::default(), misses: Counter::default(), evictions: Counter::default(), kept: Gauge::default() };
        registry.register("pages_hits", "Indexes answered from memory, or by what another request was rendering", group.hits.clone());
        registry.register("pages_misses", "Indexes rendered", group.misses.clone());
        registry.register(
            "pages_evictions",
            "Rendered indexes that left to make room, or were too large to be kept",
            group.evictions.clone(),
        );
        registry.register_with_unit("pages_kept", "Memory that rendered indexes take", Unit::Bytes, group.kept.clone());
        group
    }

    /// A page was answered without rendering it.
    pub fn hit(&self) {
        self.hits.inc();
    }

    /// A page is rendered.
    pub fn missed(&self) {
        self.misses.inc();
    }

    /// A page has left to make room.
    pub fn evicted(&self) {
        self.evictions.inc();
    }

    /// The pages take so many bytes.
    pub fn set_kept(&self, bytes: u64) {
        self.kept.set(bytes);
    }
}
