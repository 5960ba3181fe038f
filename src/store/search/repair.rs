//! The derived index of an instance that nobody serves. Invariant: a file that is damaged is removed and nothing else; the next start fills a
//! new one from the catalogue.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::store::connection;

/// Removes the index when it is damaged; the next start makes a new one. Returns what was wrong with it.
///
/// # Errors
/// Internal, when it cannot be removed.
pub fn repair_index(directory: &Path) -> Result<Option<String>> {
    let path = directory.join("search.db");
    if !path.exists() {
        return Ok(None);
    }
    let fault = match connection::open_writer(&path).and_then(|connection| first_fault(&connection)) {
        Ok(None) => return Ok(None),
        Ok(Some(fault)) => fault,
        Err(cause) => cause.to_string(),
    };
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let name = PathBuf::from(name);
        match std::fs::remove_file(&name) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(Error::internal(format!("removing {}", name.display()), cause));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(Some(fault))
}

/// SQLite looks into the words too: its check asks the tables of FTS5 for theirs.
fn first_fault(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let line: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(Some(line).filter(|line| line != "ok"))
}
