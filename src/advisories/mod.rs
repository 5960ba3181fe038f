//! Advisories: records in the OSV format, read strictly, and what they say of one version. Invariant: pure, and never in a version's
//! favour: a version or a bound that cannot be read by its ecosystem's rules cannot be excluded, so it matches.
//!
//! How to add
//! * an ecosystem: its line in `ecosystem.rs`, and its order in `domain/order.rs`; without a real order it must not be added.
//! * a mark of malware or of a mere notice: `record.rs`. A way to state a severity: `severity.rs`.
//! * a container of records: `source/`, told by its first bytes.

mod claim;
mod concern;
mod details;
mod ecosystem;
mod findings;
mod matching;
mod osv;
mod range_text;
mod record;
mod severity;

pub use claim::{Claim, Entry, Kind, Range, RangeEvent};
pub use concern::{Concern, concerns};
pub use details::Details;
pub use ecosystem::{Ecosystem, package_key};
pub use findings::{IDS_LIMIT, findings};
pub use record::{RECORD_LIMIT_BYTES, Record};

#[cfg(test)]
mod tests;
