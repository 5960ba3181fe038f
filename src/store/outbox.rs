//! The outbox and its relay. Invariant: an event is written with the change it tells of, delivered once, and handled on
//! its own, in the order of commits whatever the clock says: a malformed neighbour holds nobody back, is tried again later, and
//! ends `dead`, kept and listed.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::Deserialize;

use super::deliveries::Happened;
use super::jobs::{Expectation, JobKind, NewJob};
use super::rows;
use super::sweeps::SweepScope;
use super::write::{Bookkeeping, Write};
use crate::domain::event::PackageKey;
use crate::domain::id::{EventId, VersionId};
use crate::domain::lifecycle::text_enum;
use crate::domain::name::RepoKey;
use crate::domain::outbox::{OutboxEntry, OutboxKind};
use crate::domain::time::Time;
use crate::error::Result;

/// Milliseconds until a malformed event is looked at again.
const MALFORMED_DELAY_MS: i64 = 300_000;
/// What is written beside a malformed event.
const MALFORMED_CODE: &str = "event_without_version_id";
/// Looks at a malformed event before it is dead.
const MALFORMED_ATTEMPTS: u64 = 5;

text_enum! {
    /// Where an event stands.
    OutboxState "outbox state" {
        /// Waiting for the relay.
        Pending "pending",
        /// Handed on.
        Delivered "delivered",
        /// Given up; kept for people to look at.
        Dead "dead",
    }
}

/// One event as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the order of commits.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: OutboxKind,
    /// Its payload as written; bytes that are no UTF-8 are replaced.
    pub payload: String,
    /// Where it stands.
    pub state: OutboxState,
    /// How often the relay looked at it.
    pub attempts: u64,
    /// When it is looked at next.
    pub due_at: Time,
    /// When it happened.
    pub created_at: Time,
    /// When it was handed on.
    pub delivered_at: Option<Time>,
    /// What was wrong with it.
    pub last_error: Option<String>,
}

/// What one round of the relay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayReport {
    /// Events handed on.
    pub delivered: usize,
    /// Malformed events put off.
    pub requeued: usize,
    /// Events given up.
    pub dead: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionPayload {
    version_id: VersionId,
    visible: bool,
}

/// Writes an event into the transaction of the change it tells of.
pub(super) fn append(write: &Write<'_>, entry: &OutboxEntry) -> Result<()> {
    write
        .connection()
        .prepare_cached(
            "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at)
             VALUES (:id, :kind, :payload, :state, 0, :now, :now)",
        )?
        .execute(named_params! {
            ":id": EventId::new(write.uuid()).to_string(), ":kind": entry.kind.as_str(), ":payload": entry.payload.to_string(),
            ":state": OutboxState::Pending.as_str(), ":now": write.now().unix_ms(),
        })?;
    Ok(())
}

/// A row of the table.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        seq: rows::unsigned(row, "seq")?,
        id: rows::parse(row, "event_id")?,
        kind: rows::parse(row, "kind")?,
        // A payload that is not even text is shown as far as it can be: whoever looks for it must be able to see it.
        payload: String::from_utf8_lossy(row.get_ref("payload")?.as_bytes()?).into_owned(),
        state: rows::parse(row, "state")?,
        attempts: rows::unsigned(row, "attempts")?,
        due_at: rows::time(row, "due_at")?,
        created_at: rows::time(row, "created_at")?,
        delivered_at: rows::time_optional(row, "delivered_at")?,
        last_error: row.get("last_error")?,
    })
}

/// Events of one round that the relay looks at, as far as it needs them.
struct Due {
    seq: i64,
    id: Option<EventId>,
    at: Time,
    kind: OutboxKind,
    payload: Vec<u8>,
    attempts: u64,
}

fn read_due(row: &Row<'_>) -> rusqlite::Result<Due> {
    // Bytes, so that a payload which is not even text is one malformed event and not the end of the round.
    let payload = row.get_ref("payload")?.as_bytes()?.to_vec();
    Ok(Due {
        seq: row.get("seq")?,
        id: row.get::<_, String>("event_id")?.parse().ok(),
        at: rows::time(row, "created_at")?,
        kind: rows::parse(row, "kind")?,
        payload,
        attempts: rows::unsigned(row, "attempts")?,
    })
}

impl Bookkeeping<'_> {
    /// Hands on up to `batch` due events, oldest first, each on its own.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn relay(&mut self, batch: usize, max_attempts: u32) -> Result<RelayReport> {
        let mut report = RelayReport::default();
        self.catch_up_events()?;
        for event in self.due_events(batch)? {
            match tasks_of(&event) {
                Ok(tasks) => {
                    self.ask_for(&tasks, max_attempts)?;
                    let happened = Happened { id: event.id, kind: event.kind, at: event.at, payload: &event.payload };
                    self.fan_out(&happened, max_attempts)?;
                    self.set_delivered(event.seq)?;
                    report.delivered += 1;
                }
                Err(Malformed) if event.attempts + 1 >= MALFORMED_ATTEMPTS => {
                    self.put_off(&event, OutboxState::Dead)?;
                    report.dead += 1;
                }
                Err(Malformed) => {
                    self.put_off(&event, OutboxState::Pending)?;
                    report.requeued += 1;
                }
            }
        }
        Ok(report)
    }

    fn ask_for(&mut self, tasks: &Tasks, max_attempts: u32) -> Result<()> {
        match tasks {
            Tasks::Index(version_id, expectation) => {
                let subject_id = &version_id.to_string();
                self.enqueue(&NewJob { kind: JobKind::SearchIndex, subject_id, expectation: Some(*expectation), max_attempts })
            }
            Tasks::Sweep(scopes) => scopes.iter().try_for_each(|scope| self.ask_sweep(scope)),
        }
    }

    /// Makes events due that were put off for longer than any delay: the clock was set back since, by days perhaps.
    fn catch_up_events(&self) -> Result<()> {
        let now = self.now();
        self.connection()
            .prepare_cached(
                "UPDATE outbox INDEXED BY outbox_put_off SET due_at = :now WHERE state = 'pending' AND attempts > 0 AND due_at > :latest",
            )?
            .execute(named_params! {":now": now.unix_ms(), ":latest": now.plus_ms(MALFORMED_DELAY_MS).unix_ms()})?;
        Ok(())
    }

    /// Events nobody has looked at, in the order of commits: the newest event of a version is the last one relayed, also when
    /// the clock was set back between them. Then those that were put off and are due again.
    fn due_events(&self, batch: usize) -> Result<Vec<Due>> {
        let connection = self.connection();
        let mut fresh = connection.prepare_cached(
            "SELECT seq, event_id, kind, payload, attempts, created_at FROM outbox INDEXED BY outbox_fresh WHERE state = 'pending' AND attempts = 0
             ORDER BY seq LIMIT :batch",
        )?;
        let mut due =
            fresh.query_map(named_params! {":batch": rows::stored(batch as u64)}, read_due)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut put_off = connection.prepare_cached(
            "SELECT seq, event_id, kind, payload, attempts, created_at FROM outbox INDEXED BY outbox_put_off WHERE state = 'pending' AND attempts > 0
                 AND due_at <= :now ORDER BY due_at, seq LIMIT :room",
        )?;
        let room = rows::stored(batch.saturating_sub(due.len()) as u64);
        for event in put_off.query_map(named_params! {":now": self.now().unix_ms(), ":room": room}, read_due)? {
            due.push(event?);
        }
        Ok(due)
    }

    fn set_delivered(&self, seq: i64) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE outbox SET state = :delivered, attempts = attempts + 1, delivered_at = :now WHERE seq = :seq AND state = 'pending'",
            )?
            .execute(named_params! {":delivered": OutboxState::Delivered.as_str(), ":now": self.now().unix_ms(), ":seq": seq})?;
        Ok(())
    }

    fn put_off(&self, event: &Due, state: OutboxState) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE outbox SET state = :state, attempts = attempts + 1, due_at = :due, last_error = :error WHERE seq = :seq")?
            .execute(named_params! {
                ":state": state.as_str(), ":due": self.now().plus_ms(MALFORMED_DELAY_MS).unix_ms(), ":error": MALFORMED_CODE, ":seq": event.seq,
            })?;
        Ok(())
    }
}

/// The event names no version; a fault of the event, never of the disk.
struct Malformed;

/// What an event asks for.
enum Tasks {
    /// A version to be indexed, and what should be found of it.
    Index(VersionId, Expectation),
    /// Versions to be judged again.
    Sweep(Vec<SweepScope>),
}

/// Packages that an event names before all versions are judged again in one walk.
pub(super) const PACKAGES_LIMIT: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyPayload {
    repo_key: Option<RepoKey>,
}

/// The packages of which advisories changed, by their normalised names; without the member it may be any.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdvisoriesPayload {
    packages: Option<Vec<PackageKey>>,
}

fn tasks_of(event: &Due) -> Result<Tasks, Malformed> {
    match event.kind {
        OutboxKind::VersionPublished
        | OutboxKind::VersionQuarantined
        | OutboxKind::VersionReleased
        | OutboxKind::VersionRejected
        | OutboxKind::VersionTombstoned
        | OutboxKind::VersionRestored => {
            let payload: VersionPayload = serde_json::from_slice(&event.payload).map_err(|_| Malformed)?;
            let expectation = if payload.visible { Expectation::Visible } else { Expectation::Hidden };
            Ok(Tasks::Index(payload.version_id, expectation))
        }
        OutboxKind::PolicyChanged => {
            let payload: PolicyPayload = serde_json::from_slice(&event.payload).map_err(|_| Malformed)?;
            Ok(Tasks::Sweep(vec![payload.repo_key.map_or(SweepScope::Instance, SweepScope::Repo)]))
        }
        OutboxKind::AdvisoriesChanged => {
            let payload: AdvisoriesPayload = serde_json::from_slice(&event.payload).map_err(|_| Malformed)?;
            Ok(Tasks::Sweep(match payload.packages {
                Some(packages) if packages.len() <= PACKAGES_LIMIT => packages.into_iter().map(scope).collect(),
                Some(_) | None => vec![SweepScope::Instance],
            }))
        }
    }
}

fn scope(package: PackageKey) -> SweepScope {
    SweepScope::Package { package_type: package.package_type, namespace_key: package.namespace_key, name_key: package.name_key }
}

/// When the relay has something to do: at once for an event it has not looked at, else when one that was put off is due.
pub(super) fn next_event_due(connection: &Connection, now: Time) -> Result<Option<Time>> {
    let is_fresh: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_fresh WHERE state = 'pending' AND attempts = 0)")?
        .query_row([], |row| row.get(0))?;
    if is_fresh {
        return Ok(Some(now));
    }
    let due_at: Option<i64> = connection
        .prepare_cached(
            "SELECT due_at FROM outbox INDEXED BY outbox_put_off WHERE state = 'pending' AND attempts > 0 ORDER BY due_at LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(due_at.map(Time::from_unix_ms))
}
