//! The audit trail. Invariant: append-only and hash-chained; each row carries the sha256 over its content and its
//! predecessor's hash, so that an edit, a gap or a reorder shows.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use sha2::{Digest as _, Sha256};

use super::rows::{self, Page};
use super::write::Write;
use crate::domain::access::Operator;
use crate::domain::event::AuditEntry;
use crate::domain::id::{AuditId, RequestId, TokenId};
use crate::domain::time::Time;
use crate::error::Result;

/// One row of the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Its id.
    pub id: AuditId,
    /// When.
    pub time: Time,
    /// Who.
    pub actor: String,
    /// By which token.
    pub token_id: Option<TokenId>,
    /// What, such as `package.version.published`.
    pub action: String,
    /// On what kind of thing.
    pub resource_type: String,
    /// On which.
    pub resource_id: String,
    /// In which request.
    pub request_id: Option<RequestId>,
    /// The rest, a JSON object as text.
    pub details: String,
    /// The chain's hash up to and with this row.
    pub hash: [u8; 32],
}

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only this actor.
    pub actor: Option<String>,
    /// Only this resource id.
    pub resource: Option<String>,
    /// Not before.
    pub since: Option<Time>,
    /// Not after.
    pub until: Option<Time>,
}

/// Where the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFault {
    /// The row.
    pub seq: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Appends one row, chained to the newest.
pub(super) fn append(write: &Write<'_>, entry: &AuditEntry) -> Result<()> {
    let connection = write.connection();
    let newest: Option<(u64, [u8; 32])> = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((rows::unsigned(row, "seq")?, row.get("hash")?)))
        .optional()?;
    let (seq, previous) = newest.map_or((1, [0; 32]), |(seq, hash)| (seq + 1, hash));
    let actor = write.actor();
    let mut row = AuditRow {
        seq,
        id: AuditId::new(write.uuid()),
        time: write.now(),
        actor: actor.subject.to_string(),
        token_id: actor.token_id,
        action: entry.action.to_owned(),
        resource_type: entry.resource_type.to_owned(),
        resource_id: entry.resource_id.clone(),
        request_id: actor.request_id,
        details: entry.details.to_string(),
        hash: [0; 32],
    };
    row.hash = chained(&previous, &row);
    connection
        .prepare_cached(
            "INSERT INTO audit (seq, audit_id, time, actor, token_id, action, resource_type, resource_id, request_id, details, hash)
             VALUES (:seq, :audit_id, :time, :actor, :token_id, :action, :resource_type, :resource_id, :request_id, :details, :hash)",
        )?
        .execute(named_params! {
            ":seq": rows::stored(row.seq), ":audit_id": row.id.to_string(), ":time": row.time.unix_ms(), ":actor": row.actor,
            ":token_id": row.token_id.map(|id| id.to_string()), ":action": row.action, ":resource_type": row.resource_type,
            ":resource_id": row.resource_id, ":request_id": row.request_id.map(|id| id.to_string()), ":details": row.details,
            ":hash": row.hash.as_slice(),
        })?;
    Ok(())
}

/// The hash of `row` after a row with hash `previous`; every field is preceded by its length.
fn chained(previous: &[u8; 32], row: &AuditRow) -> [u8; 32] {
    let token_id = row.token_id.map(|id| id.to_string()).unwrap_or_default();
    let request_id = row.request_id.map(|id| id.to_string()).unwrap_or_default();
    let id = row.id.to_string();
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(row.seq.to_be_bytes());
    hash.update(row.time.unix_ms().to_be_bytes());
    let fields = [&id, &row.actor, &token_id, &row.action, &row.resource_type, &row.resource_id, &request_id, &row.details];
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().into()
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: rows::unsigned(row, "seq")?,
        id: rows::parse(row, "audit_id")?,
        time: rows::time(row, "time")?,
        actor: row.get("actor")?,
        token_id: rows::parse_optional(row, "token_id")?,
        action: row.get("action")?,
        resource_type: row.get("resource_type")?,
        resource_id: row.get("resource_id")?,
        request_id: rows::parse_optional(row, "request_id")?,
        details: row.get("details")?,
        hash: row.get("hash")?,
    })
}

/// Walks the whole chain and gives every fault to `found`; returns the number of rows.
pub(super) fn verify_chain(connection: &Connection, mut found: impl FnMut(ChainFault)) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare("SELECT * FROM audit ORDER BY seq")?;
    let mut cursor = statement.query([])?;
    let mut previous = [0_u8; 32];
    let mut count = 0_u64;
    while let Some(row) = cursor.next()? {
        count += 1;
        let seq = rows::unsigned(row, "seq")?;
        match read(row) {
            Ok(row) if row.seq != count => {
                found(ChainFault { seq, what: format!("rows {count} to {} are missing", seq.saturating_sub(1)) })
            }
            Ok(row) if row.hash != chained(&previous, &row) => {
                found(ChainFault { seq, what: "its content is not what was written".to_owned() })
            }
            Ok(_) => {}
            Err(cause) => found(ChainFault { seq, what: format!("it cannot be read: {cause}") }),
        }
        previous = row.get("hash")?;
        count = seq;
    }
    let written: Option<i64> =
        connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| row.get(0)).optional()?;
    let written = u64::try_from(written.unwrap_or(0)).unwrap_or(0);
    if written > count {
        found(ChainFault { seq: written, what: format!("rows {} to {written} are missing at the end", count + 1) });
    }
    Ok(count)
}

/// The statement that the narrowest index answers for these filters; each takes all of them.
fn page_statement(filter: &AuditFilter) -> &'static str {
    if filter.resource.is_some() {
        "SELECT * FROM audit WHERE resource_id = :resource AND seq < :before AND (:action IS NULL OR action = :action) AND (:actor IS NULL OR actor = :actor)
           AND (:resource IS NULL OR resource_id = :resource) AND (:since IS NULL OR time >= :since) AND (:until IS NULL OR time <= :until)
         ORDER BY seq DESC LIMIT :limit"
    } else if filter.actor.is_some() {
        "SELECT * FROM audit WHERE actor = :actor AND seq < :before AND (:action IS NULL OR action = :action) AND (:actor IS NULL OR actor = :actor)
           AND (:resource IS NULL OR resource_id = :resource) AND (:since IS NULL OR time >= :since) AND (:until IS NULL OR time <= :until)
         ORDER BY seq DESC LIMIT :limit"
    } else if filter.action.is_some() {
        "SELECT * FROM audit WHERE action = :action AND seq < :before AND (:action IS NULL OR action = :action) AND (:actor IS NULL OR actor = :actor)
           AND (:resource IS NULL OR resource_id = :resource) AND (:since IS NULL OR time >= :since) AND (:until IS NULL OR time <= :until)
         ORDER BY seq DESC LIMIT :limit"
    } else if filter.since.is_some() || filter.until.is_some() {
        // The index over time alone finds the window; only the rows of the page are read.
        "SELECT * FROM audit WHERE seq IN (
             SELECT seq FROM audit INDEXED BY audit_by_time WHERE time BETWEEN coalesce(:since, -9e15) AND coalesce(:until, 9e15)
               AND seq < :before ORDER BY seq DESC LIMIT :limit)
           AND (:action IS NULL OR action = :action) AND (:actor IS NULL OR actor = :actor)
           AND (:resource IS NULL OR resource_id = :resource) AND (:since IS NULL OR time >= :since) AND (:until IS NULL OR time <= :until)
         ORDER BY seq DESC LIMIT :limit"
    } else {
        "SELECT * FROM audit WHERE seq < :before AND (:action IS NULL OR action = :action) AND (:actor IS NULL OR actor = :actor)
           AND (:resource IS NULL OR resource_id = :resource) AND (:since IS NULL OR time >= :since) AND (:until IS NULL OR time <= :until)
         ORDER BY seq DESC LIMIT :limit"
    }
}

impl super::Store {
    /// One page of the trail, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn audit(&self, _proof: &Operator, filter: &AuditFilter, limit: usize, cursor: Option<&str>) -> Result<Page<AuditRow>> {
        let before: i64 = match cursor {
            Some(text) => text.parse().map_err(|_| rows::bad_cursor())?,
            None => i64::MAX,
        };
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(page_statement(filter))?;
        let found = statement.query_map(
            named_params! {":before": before, ":action": filter.action, ":actor": filter.actor, ":resource": filter.resource,
            ":since": filter.since.map(Time::unix_ms), ":until": filter.until.map(Time::unix_ms), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |row| row.seq.to_string()))
    }

    /// Up to `limit` rows after row `after`, oldest first: one piece of an export.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn audit_after(&self, _proof: &Operator, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT * FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit")?;
        let found = statement.query_map(named_params! {":after": rows::stored(after), ":limit": rows::stored(limit as u64)}, read)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
