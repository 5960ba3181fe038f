//! Copies of `state.db` at one moment. Invariant: a copy is made by SQLite's online backup inside one read transaction, so it is what one
//! commit left, whoever writes meanwhile in whichever process; the file copied from is never written.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{audit, check, connection, migrate};
use crate::clock::Clock;
use crate::domain::access::Actor;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::error::{Code, Error, Result};

use super::write::{Done, Write};
use super::writer::Effects;

/// Pages that are copied between two reports of progress: 16 MiB.
const PAGES_AT_ONCE: i32 = 4096;

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedDatabase {
    /// Its schema.
    pub schema: usize,
    /// Every blob that it names, with its size in bytes, in the order of the digests.
    pub blobs: Vec<(Digest, u64)>,
}

/// The schema that this program writes.
#[must_use]
pub fn newest_schema() -> usize {
    migrate::newest(migrate::STATE)
}

/// Copies the database in `directory`, which may be in use, to a new file `target`, and looks at what the copy names. The copy is not synced:
/// whoever goes on with it after a power cut compares its digest.
///
/// # Errors
/// `not_found` when there is no database; `unavailable` when it is newer than this program; `insufficient_storage`; internal.
pub fn copy_database(directory: &Path, target: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<CopiedDatabase> {
    let source = check::open(directory)?;
    copy(&source, target, progress)?;
    let copy = connection::open_untouched(target)?;
    let schema = known_schema(&copy)?;
    Ok(CopiedDatabase { schema, blobs: check::blobs(&copy)? })
}

/// Copies what `source` reads to a new file, mode 0600, which is not synced.
pub(super) fn copy(source: &Connection, target: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let mut written = connection::open_copy(target)?;
    // The transaction holds the moment: nothing that is committed after this read is seen by any step.
    source.execute_batch("BEGIN")?;
    migrate::version_of(source)?;
    let copied = step_through(source, &mut written, progress);
    source.execute_batch("COMMIT")?;
    copied?;
    written.close().map_err(|(_, cause)| cause.into())
}

fn step_through(source: &Connection, written: &mut Connection, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let backup = Backup::new(source, written)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE)?;
        let now = backup.progress();
        let total = u64::try_from(now.pagecount).unwrap_or(0);
        progress(total.saturating_sub(u64::try_from(now.remaining).unwrap_or(0)), total);
        if step == StepResult::Done {
            return Ok(());
        }
        // Nobody else uses the copy, and a reader of a database with a log waits for nobody.
        if step != StepResult::More {
            return Err(Error::new(Code::Unavailable, "the database is busy; try again in a moment"));
        }
    }
}

/// Migrates the database of a directory that no server has ever served, and leaves it in one file.
///
/// # Errors
/// `unavailable` when it is newer than this program; internal.
pub fn migrate_copy(directory: &Path) -> Result<()> {
    let mut connection = connection::open_writer(&directory.join("state.db"))?;
    migrate::migrate(&mut connection, migrate::STATE)?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    connection.close().map_err(|(_, cause)| cause.into())
}

/// Writes one event into the audit trail of a database that nobody serves, whatever its schema is, and changes nothing else.
///
/// # Errors
/// As for [`copy_database`].
pub fn record_alone(directory: &Path, clock: &dyn Clock, actor: Actor, event: Event) -> Result<()> {
    drop(check::open(directory)?);
    let connection = connection::open_writer(&directory.join("state.db"))?;
    known_schema(&connection)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // What is not committed is undone when the connection is dropped.
    Write::new(&connection, clock, actor)?.record(Done::new((), event), &mut Effects::default())?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// The number of rows of an unbroken audit chain, of a database of any schema that nobody uses.
///
/// # Errors
/// `conflict` with the first fault of the chain.
pub fn intact_trail(database: &Path) -> Result<u64> {
    let connection = connection::open_untouched(database)?;
    let mut first = None;
    let rows = audit::verify_chain(&connection, |fault| {
        first.get_or_insert(fault);
    })?;
    match first {
        None => Ok(rows),
        Some(fault) => Err(Error::conflict(format!("the audit trail is broken at row {}: {}", fault.seq, fault.what))),
    }
}

fn known_schema(connection: &Connection) -> Result<usize> {
    let schema = migrate::version_of(connection)?;
    migrate::refuse_newer(schema, migrate::STATE)?;
    Ok(schema)
}
