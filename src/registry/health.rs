//! Whether this instance can do its work now. Invariant: the answer comes within a stated time, also when the writer, the disk or the
//! workers hang.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::hop;
use crate::pulse::Workers;

/// Within this time the writer must take and commit a write that changes nothing, the disk answer, and the workers give a sign of life.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether the writer begins and commits transactions.
    pub writer: bool,
    /// Whether the data directory can be written to, has room, and holds the database that is open.
    pub disk: bool,
    /// How the background work does.
    pub workers: Workers,
}

impl Registry {
    /// Asks the writer for a commit, looks at the disk, and asks the workers for a sign of life.
    pub async fn health(&self) -> Health {
        let (blobs, store) = (self.blobs.clone(), Arc::clone(&self.store));
        let commit = tokio::time::timeout(PATIENCE, self.store.bookkeep(|_| Ok(())));
        let room = tokio::time::timeout(PATIENCE, hop::run(move || Ok(blobs.has_room()? && store.is_in_place())));
        let (commit, room, workers) = tokio::join!(commit, room, self.store.pulse().ask(PATIENCE));
        Health { writer: matches!(commit, Ok(Ok(()))), disk: matches!(room, Ok(Ok(true))), workers }
    }
}
