//! What rules did: how often each decided, and how often it would have. Invariant: it only reads.

use super::Registry;
use crate::domain::access::{Operator, Permit, Promote};
use crate::domain::time::Time;
use crate::domain::waiver::FiringPart;
use crate::error::Result;
use crate::store::{FIRINGS_LIMIT, Firings};

/// How far back is counted when nobody says.
const USUAL_DAYS: i64 = 7;
/// Observed rules that a summary names.
const SUMMARY_LIMIT: usize = 10;

impl Registry {
    /// What fired in a repo since the day of `since`, or in the last seven days. Blocks.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn firings(&self, permit: &Permit<Promote>, since: Option<Time>) -> Result<Firings> {
        self.store.firings(permit, self.since(since))
    }

    /// The same over all repos. Blocks.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn firings_everywhere(&self, operator: &Operator, since: Option<Time>) -> Result<Firings> {
        self.store.firings_everywhere(operator, self.since(since), None, FIRINGS_LIMIT)
    }

    /// What would have been stopped in the last seven days, if the rules on observation decided; the most frequent ones. Blocks.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn observed_lately(&self, operator: &Operator) -> Result<Firings> {
        self.store.firings_everywhere(operator, self.since(None), Some(FiringPart::Observed), SUMMARY_LIMIT)
    }

    fn since(&self, since: Option<Time>) -> Time {
        since.unwrap_or_else(|| self.store.clock().now().plus_days(-USUAL_DAYS))
    }
}
