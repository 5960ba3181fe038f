//! Whether this instance can do its work now. Invariant: the answer comes within a stated time, also when the writer hangs.

use std::time::Duration;

use super::Registry;
use crate::hop;

/// Milliseconds within which the writer must take and commit a write that changes nothing.
const WRITER_TIMEOUT_MS: u64 = 2_000;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether the writer begins and commits transactions.
    pub writer: bool,
    /// Whether the data directory can be written to and has room.
    pub disk: bool,
}

impl Registry {
    /// Asks the writer for a commit and looks at the disk.
    pub async fn health(&self) -> Health {
        let blobs = self.blobs.clone();
        let commit = tokio::time::timeout(Duration::from_millis(WRITER_TIMEOUT_MS), self.store.bookkeep(|_| Ok(())));
        let (commit, room) = tokio::join!(commit, hop::run(move || blobs.has_room()));
        Health { writer: matches!(commit, Ok(Ok(()))), disk: matches!(room, Ok(true)) }
    }
}
