//! What happens before a schema is changed. Invariant: a database is copied whole before the first migration touches it, so that the program
//! that wrote it can be gone back to; looking at what would happen changes nothing.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{connection, copies, migrate};
use crate::error::{Error, Result};

/// What a start would do to the database of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePlan {
    /// There is none; it would be made.
    New,
    /// It is as this program has it.
    Current {
        /// The schema.
        schema: usize,
    },
    /// It would be copied and then brought forward.
    Upgrade {
        /// The schema that it has.
        from: usize,
        /// The schema that it would have.
        to: usize,
        /// Where the copy would lie.
        copy: PathBuf,
        /// About how many bytes that takes.
        copy_bytes: u64,
    },
    /// A newer program wrote it, and this one would refuse it.
    Newer {
        /// The schema that it has.
        found: usize,
        /// The newest that this program knows.
        newest: usize,
    },
}

impl UpgradePlan {
    /// Whether a start would be refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, UpgradePlan::Newer { .. })
    }
}

impl fmt::Display for UpgradePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradePlan::New => f.write_str("there is no database yet; a start makes one"),
            UpgradePlan::Current { schema } => {
                write!(f, "the database has schema {schema}, which is this program's; a start changes nothing")
            }
            UpgradePlan::Upgrade { from, to, copy, copy_bytes } => write!(
                f,
                "the database has schema {from}; a start copies it to {} ({copy_bytes} bytes) and then brings it to schema {to}",
                copy.display()
            ),
            UpgradePlan::Newer { found, newest } => {
                write!(f, "the database has schema {found}, this program knows up to {newest}; a start is refused and changes nothing")
            }
        }
    }
}

/// Says what a start would do to the database in `directory`, which may be in use.
///
/// # Errors
/// Internal, when it cannot be read.
pub fn plan_of_upgrade(directory: &Path) -> Result<UpgradePlan> {
    let path = directory.join("state.db");
    let size_bytes = match std::fs::metadata(&path) {
        Ok(file) => file.len(),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(UpgradePlan::New),
        Err(cause) => return Err(Error::internal(format!("looking at {}", path.display()), cause)),
    };
    let log_bytes = std::fs::metadata(directory.join("state.db-wal")).map_or(0, |file| file.len());
    // Without a log the file is all there is, and need not even be locked.
    let connection = if log_bytes > 0 { connection::open_reader(&path)? } else { connection::open_untouched(&path)? };
    let (found, newest) = (migrate::version_of(&connection)?, migrate::newest(migrate::STATE));
    Ok(match found {
        0 => UpgradePlan::New,
        schema if schema == newest => UpgradePlan::Current { schema },
        from if from < newest => {
            UpgradePlan::Upgrade { from, to: newest, copy: copy_path(directory), copy_bytes: size_bytes.saturating_add(log_bytes) }
        }
        found => UpgradePlan::Newer { found, newest },
    })
}

/// The copy of before this program's schema, such as `state.db.before-0009`.
fn copy_path(directory: &Path) -> PathBuf {
    directory.join(format!("state.db.before-{:04}", migrate::newest(migrate::STATE)))
}

/// Copies a database of an earlier schema beside itself. What an upgrade that was cut off has copied is kept: it is the older of the two.
///
/// # Errors
/// `insufficient_storage`; internal. The database is untouched then.
pub(super) fn keep_copy(source: &Connection, directory: &Path) -> Result<()> {
    let found = migrate::version_of(source)?;
    if found == 0 || found >= migrate::newest(migrate::STATE) {
        return Ok(());
    }
    let path = copy_path(directory);
    if schema_of(&path).is_some_and(|kept| kept < found) {
        return Ok(());
    }
    let doing = |cause| Error::internal(format!("copying the database to {} before its upgrade", path.display()), cause);
    let unfinished = path.with_extension("unfinished");
    match std::fs::remove_file(&unfinished) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(doing(cause)),
        Ok(()) | Err(_) => {}
    }
    copies::copy(source, &unfinished, &mut |_, _| {})?;
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(doing)?;
    std::fs::rename(&unfinished, &path).and_then(|()| File::open(directory)?.sync_all()).map_err(doing)?;
    tracing::info!(schema = found, copy = %path.display(), "the database was copied before its upgrade");
    Ok(())
}

/// The schema of a copy; `None` when there is none that can be read.
fn schema_of(path: &Path) -> Option<usize> {
    if !path.exists() {
        return None;
    }
    connection::open_untouched(path).and_then(|copy| migrate::version_of(&copy)).ok().filter(|schema| *schema > 0)
}
