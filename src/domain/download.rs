//! Who fetched a version. Invariant: bounded; it tells of bytes that were sent, never what they were.

use serde::Serialize;

use super::name::Subject;
use super::time::Time;

/// How many of them an event names.
pub const FETCHERS_NAMED: usize = 20;

/// Somebody who fetched bytes of a version from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetcher {
    /// Who; `anonymous` without credentials.
    pub subject: Subject,
    /// The client's address, as the server saw it; empty when it saw none.
    pub address: String,
    /// The first time that is remembered.
    pub first_at: Time,
    /// The last time.
    pub last_at: Time,
    /// How often, files and their parts counted one by one.
    pub count: u64,
}

/// Those who fetched a version: how many the log has, and the first named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FetchedBy {
    /// How many the log has.
    pub count: u64,
    /// The last ones who fetched, latest first, at most [`FETCHERS_NAMED`].
    pub latest: Vec<Fetcher>,
}
