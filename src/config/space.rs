//! `[gc]` and `[retention]`: what is removed without being asked for each time. Invariant: nothing is, unless an operator says how often.

use super::reader::Reader;

/// Hours of a year.
const YEAR_HOURS: u32 = 8_760;

/// `[gc]` and `[retention]`: what is removed by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Hours from one collection to the next; 0 for none that nobody asks for. What a collection removes never comes back, so the first
    /// one is for a person who has looked at its plan.
    pub gc_every_hours: u32,
    /// Hours for which a collection by the clock keeps bytes that nothing refers to.
    pub gc_grace_hours: u32,
    /// Hours from one application of the repos' rules of retention to the next; 0 for none that nobody asks for.
    pub retention_every_hours: u32,
}

impl Default for Space {
    fn default() -> Space {
        Space { gc_every_hours: 0, gc_grace_hours: 24, retention_every_hours: 0 }
    }
}

impl Space {
    pub(super) fn read(reader: &mut Reader) -> Space {
        let default = Space::default();
        Space {
            gc_every_hours: reader.number("gc.every_hours", default.gc_every_hours, &(0..=YEAR_HOURS)),
            gc_grace_hours: reader.number("gc.grace_hours", default.gc_grace_hours, &(0..=YEAR_HOURS)),
            retention_every_hours: reader.number("retention.every_hours", default.retention_every_hours, &(0..=YEAR_HOURS)),
        }
    }
}
