//! How far a rebuild has come, as the index file itself says. Invariant: it is written in the transaction of what it tells of.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::store::rows;

/// The last version that the rebuild of this file has looked at; `None` when it is not being filled.
pub(super) fn cursor(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached("SELECT after FROM rebuild")?.query_row([], |row| row.get("after")).optional()
}

/// Says in the open transaction how far the rebuild has come.
pub(super) fn set_cursor(connection: &Connection, after: &str, indexed: usize) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE rebuild SET after = :after, indexed = indexed + :indexed WHERE only_row = 1")?
        .execute(named_params! {":after": after, ":indexed": rows::stored(indexed as u64)})?;
    Ok(())
}

/// Says in the open transaction how many versions the rebuild that begins will index.
pub(super) fn set_total(connection: &Connection, total: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE rebuild SET total = :total WHERE only_row = 1")?
        .execute(named_params! {":total": rows::stored(total)})?;
    Ok(())
}
