//! What the server itself remembers across restarts, by name. Invariant: these are facts about background work, never about
//! what a reader may see; their values are texts that only the code which owns the name understands.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::write::Bookkeeping;
use crate::error::Result;

/// Present from the order to rebuild the search index until its new file lies on disk; each order has its own value. The name is older
/// than that meaning: an earlier program kept its cursor there, and then a rebuild is due as well.
pub(super) const REBUILD_ORDERED: &str = "search.rebuild.after";
/// Present while the search index is paused.
pub(super) const SEARCH_PAUSED: &str = "search.paused";

/// The value of a setting.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<String>> {
    let found = connection
        .prepare_cached("SELECT value FROM settings WHERE name = :name")?
        .query_row(named_params! {":name": name}, |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Writes a setting, whether or not it was there.
pub(super) fn set(connection: &Connection, name: &str, value: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute(named_params! {":name": name, ":value": value})?;
    Ok(())
}

/// Removes a setting; harmless when there is none.
pub(super) fn clear(connection: &Connection, name: &str) -> Result<()> {
    connection.prepare_cached("DELETE FROM settings WHERE name = :name")?.execute(named_params! {":name": name})?;
    Ok(())
}

impl Bookkeeping<'_> {
    /// The value of a setting.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_setting(&self, name: &str) -> Result<Option<String>> {
        find(self.connection(), name)
    }

    /// Writes a setting, whether or not it was there.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        set(self.connection(), name, value)
    }

    /// Removes a setting; harmless when there is none.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn clear_setting(&mut self, name: &str) -> Result<()> {
        clear(self.connection(), name)
    }
}
