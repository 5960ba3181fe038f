//! Opening SQLite. Invariant: every connection has foreign keys on, double-quoted strings off and a busy timeout; readers
//! cannot write; the writer commits with `synchronous=FULL` into a WAL.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::error::{Code, Error};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the one writing connection of `path`, creating the file with mode 0600.
pub(super) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    create_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    harden(&connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 1000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(connection)
}

/// Which file lies at `path`: its device and its number there; `None` when there is none.
pub(super) fn file_at(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Opens a connection to `path` that cannot write.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let path = Path::new(path);
    let connection = Connection::open_with_flags(path, flags)?;
    harden(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// Opens a connection to a database that nobody writes: SQLite then makes no file beside it and takes no lock.
pub(super) fn open_untouched(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let address: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let connection = Connection::open_with_flags(format!("file:{address}?immutable=1"), flags)?;
    harden(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// Opens a new file, mode 0600, for a copy. It has no journal: a copy that is cut short is thrown away.
pub(super) fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    create_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    Ok(connection)
}

fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Else a statement that compares with a range is planned anew each time other values are bound to it, for a plan that is the same.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON;
         PRAGMA recursive_triggers = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -2048;
         PRAGMA mmap_size = 0;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )
}

/// SQLite would create the file readable by everybody; failing here is found by the open that follows.
fn create_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let created = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    drop(created);
}

impl From<rusqlite::Error> for Error {
    /// What a trigger refused is the client's fault and says so; a full disk is 507; a busy database 503; the rest internal.
    fn from(cause: rusqlite::Error) -> Error {
        let rusqlite::Error::SqliteFailure(failure, text) = &cause else {
            return Error::internal("using the database", cause);
        };
        match (failure.code, text.as_deref()) {
            (ErrorCode::ConstraintViolation, Some("version_sealed")) => Error::new(
                Code::VersionSealed,
                "this version left the draft state; its files and manifest never change again; publish a new version instead",
            )
            .because(cause),
            (ErrorCode::ConstraintViolation, Some("illegal_step")) => {
                Error::conflict("the state of this version does not permit that; read it again").because(cause)
            }
            (ErrorCode::DiskFull, _) => disk_full().because(cause),
            (ErrorCode::SystemIoFailure, _) if failure.extended_code == ffi::SQLITE_IOERR_WRITE => disk_full().because(cause),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => {
                Error::new(Code::Unavailable, "the database is busy; try again in a moment").because(cause)
            }
            _ => Error::internal("using the database", cause),
        }
    }
}

fn disk_full() -> Error {
    Error::new(Code::InsufficientStorage, "the disk is full; nothing was changed; free some space and try again")
}
