//! Moving the log of `state.db` into the database. Invariant: it happens when SQLite itself would do it, after the commit that makes
//! the log long, and is counted; a checkpoint that fails fails no commit.

use std::ffi::c_int;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use crate::clock::Stopwatch;
use crate::metrics::{Checkpoint, Metrics};

/// Pages of the log after which a commit moves them into the database: SQLite's own measure.
const LONG_LOG_PAGES: c_int = 1_000;

/// Has the commits of this connection do their checkpoints in sight, in place of SQLite's own.
pub(super) fn watch(connection: &mut Connection, metrics: &Arc<Metrics>) -> rusqlite::Result<()> {
    let metrics = Arc::clone(metrics);
    connection.wal_hook(Some(move |wal: &mut Wal, pages: c_int| {
        if pages >= LONG_LOG_PAGES {
            let watch = Stopwatch::start();
            let how = match wal.checkpoint_v2(CheckpointMode::PASSIVE) {
                Ok((in_log, moved)) if moved >= in_log => Checkpoint::Complete,
                Ok((in_log, moved)) => Checkpoint::Partial(u64::try_from(in_log - moved).unwrap_or(0)),
                Err(cause) => {
                    tracing::debug!(%cause, "a checkpoint could not be done; the next commit tries again");
                    Checkpoint::Failed
                }
            };
            metrics.sqlite.checkpointed(how, watch.elapsed());
        }
        Ok(())
    }))
}
