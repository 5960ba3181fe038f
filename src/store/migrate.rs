//! Schema migrations. Invariant: `schema/*.sql` are applied in order, each in its own transaction with its
//! `user_version`; a database newer than the binary is refused and not touched.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Code, Error, Result};

/// The migrations of `state.db`, in order; the number of a file is its place here.
pub(super) const STATE: &[&str] = &[
    include_str!("../../schema/0001_identity.sql"),
    include_str!("../../schema/0002_versions.sql"),
    include_str!("../../schema/0003_gate.sql"),
    include_str!("../../schema/0004_events.sql"),
    include_str!("../../schema/0005_queue.sql"),
    include_str!("../../schema/0006_webhooks.sql"),
    include_str!("../../schema/0007_policy_engine.sql"),
    include_str!("../../schema/0008_client_marks.sql"),
    include_str!("../../schema/0009_openings.sql"),
    include_str!("../../schema/0010_space.sql"),
    include_str!("../../schema/0011_long_rows.sql"),
];

/// The migrations of `search.db`.
pub(super) const SEARCH: &[&str] =
    &[include_str!("../../schema/search/0001_documents.sql"), include_str!("../../schema/search/0002_texts.sql")];

/// The schema version that this binary writes.
pub(super) fn newest(migrations: &[&str]) -> usize {
    migrations.len()
}

/// The schema version of a database.
pub(super) fn version_of(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| usize::try_from(version).unwrap_or(usize::MAX))
}

/// Applies what is missing. Twice is harmless.
///
/// # Errors
/// `unavailable` when the database is newer than this binary; the database is untouched then.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let found = version_of(connection)?;
    refuse_newer(found, migrations)?;
    for (index, sql) in migrations.iter().enumerate().skip(found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses a database that a newer program wrote.
pub(super) fn refuse_newer(found: usize, migrations: &[&str]) -> Result<()> {
    let newest = newest(migrations);
    if found <= newest {
        return Ok(());
    }
    let message =
        format!("the database has schema {found}, this program knows up to {newest}; start a newer artifortress, nothing was changed");
    Err(Error::new(Code::Unavailable, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_every_earlier_schema_the_newest_is_reached_and_twice_is_harmless() {
        for start in 0..=STATE.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &STATE[..start]).unwrap();
            assert_eq!(version_of(&connection).unwrap(), start);
            migrate(&mut connection, STATE).unwrap();
            migrate(&mut connection, STATE).unwrap();
            assert_eq!(version_of(&connection).unwrap(), STATE.len());
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_untouched() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        let error = migrate(&mut connection, STATE).unwrap_err();
        assert!(error.message().contains("schema 999"), "{error}");
        assert_eq!(version_of(&connection).unwrap(), 999);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}
