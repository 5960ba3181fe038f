//! The pool of readers. Invariant: a connection that comes back inside a transaction is thrown away, so that no forgotten
//! read pins the WAL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::connection;
use crate::error::{Error, Result};

/// Makes read-only connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
}

/// One borrowed read-only connection.
pub(super) type Reader = r2d2::PooledConnection<Readers>;

impl r2d2::ManageConnection for Readers {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> Result<Connection, rusqlite::Error> {
        connection::open_reader(&self.path)
    }

    fn is_valid(&self, _connection: &mut Connection) -> Result<(), rusqlite::Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_autocommit()
    }
}

/// Opens a pool of up to `size` readers of `path`, the first of them at once.
pub(super) fn open(path: &Path, size: u32) -> Result<r2d2::Pool<Readers>> {
    r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .test_on_check_out(false)
        .connection_timeout(Duration::from_secs(5))
        .idle_timeout(None)
        .max_lifetime(None)
        .build(Readers { path: path.to_owned() })
        .map_err(|cause| Error::internal("opening the readers of the database", cause))
}
