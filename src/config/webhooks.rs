//! `[webhooks]`: how others are told. Invariant: without a setting, a repo's webhook reaches no private address.

use super::reader::Reader;

/// `[webhooks]`: how others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Webhooks {
    /// Milliseconds to connect to a receiver.
    pub connect_timeout_ms: u64,
    /// Milliseconds for one attempt, redirects and answer included.
    pub timeout_ms: u64,
    /// Requests at once of one batch of jobs.
    pub concurrent: usize,
    /// Requests at once to one receiver.
    pub concurrent_per_receiver: usize,
    /// Webhooks of one repo, or of the instance.
    pub max_per_repo: u32,
    /// Deliveries kept in the history of one webhook; those that are not over are kept beyond it.
    pub keep_deliveries: u32,
    /// Days a delivery is kept in the history.
    pub keep_days: u32,
    /// Whether webhooks of repos, and redirects, may lead to private addresses.
    pub allow_private_addresses: bool,
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        Webhooks {
            connect_timeout_ms: 5_000,
            timeout_ms: 10_000,
            concurrent: 8,
            concurrent_per_receiver: 2,
            max_per_repo: 20,
            keep_deliveries: 1_000,
            keep_days: 30,
            allow_private_addresses: false,
        }
    }
}

impl Webhooks {
    pub(super) fn read(reader: &mut Reader) -> Webhooks {
        let default = Webhooks::default();
        Webhooks {
            connect_timeout_ms: reader.number("webhooks.connect_timeout_ms", default.connect_timeout_ms, &(100..=60_000)),
            timeout_ms: reader.number("webhooks.timeout_ms", default.timeout_ms, &(100..=60_000)),
            concurrent: reader.number("webhooks.concurrent", default.concurrent, &(1..=256)),
            concurrent_per_receiver: reader.number("webhooks.concurrent_per_receiver", default.concurrent_per_receiver, &(1..=256)),
            max_per_repo: reader.number("webhooks.max_per_repo", default.max_per_repo, &(1..=1_000)),
            keep_deliveries: reader.number("webhooks.keep_deliveries", default.keep_deliveries, &(1..=100_000)),
            keep_days: reader.number("webhooks.keep_days", default.keep_days, &(1..=3_650)),
            allow_private_addresses: reader.find("webhooks.allow_private_addresses").unwrap_or(default.allow_private_addresses),
        }
    }
}
