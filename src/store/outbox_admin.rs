//! The outbox as people see and correct it. Invariant: what a person does to an event is audited, and only one that was given up can be
//! sent again: a delivered event is never delivered twice.

use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Deserialize;

use super::Store;
use super::outbox::{OutboxRow, OutboxState, read};
use super::rows::{self, Page};
use super::write::{Done, Write};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::name::RepoKey;
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// Which events to list; what is not given restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct OutboxFilter {
    /// Only in this state.
    pub state: Option<OutboxState>,
    /// Only of this kind.
    pub kind: Option<OutboxKind>,
    /// Only about this repo, as their payloads say.
    pub repo: Option<RepoKey>,
    /// Only with this code of what was wrong.
    pub error: Option<String>,
    /// Only of then or later, as their ids tell.
    pub since: Option<Time>,
    /// Only of then or earlier, as their ids tell.
    pub until: Option<Time>,
    /// Only looked at again before then.
    pub due_before: Option<Time>,
}

/// What a payload says of its repo; a malformed one says nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    repo_key: Option<RepoKey>,
}

impl OutboxFilter {
    /// Whether an event passes what the index has not asked yet.
    fn passes(&self, event: &OutboxRow) -> bool {
        let is_about =
            |repo: &RepoKey| serde_json::from_str::<About>(&event.payload).is_ok_and(|about| about.repo_key.as_ref() == Some(repo));
        self.kind.is_none_or(|kind| event.kind == kind)
            && self.error.as_ref().is_none_or(|error| event.last_error.as_ref() == Some(error))
            && self.due_before.is_none_or(|before| event.due_at < before)
            && self.repo.as_ref().is_none_or(is_about)
    }
}

impl Store {
    /// One page of events, newest first. A page may have fewer events than asked for and a cursor all the same.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn outbox(&self, _proof: &Operator, filter: &OutboxFilter, limit: usize, cursor: Option<&str>) -> Result<Page<OutboxRow>> {
        let before: i64 = match cursor {
            Some(text) => text.parse().map_err(|_| rows::bad_cursor())?,
            None => i64::MAX,
        };
        let connection = self.connection()?;
        let first = match filter.since {
            None => Some(i64::MIN),
            Some(since) => first_seq_since(&connection, since)?,
        };
        let last = match filter.until {
            None => Some(i64::MAX),
            Some(until) => last_seq_until(&connection, until)?,
        };
        let (Some(first), Some(last)) = (first, last) else { return Ok(Page { items: Vec::new(), next_cursor: None }) };
        let mut statement = connection.prepare_cached(match filter.state {
            Some(_) => {
                "SELECT * FROM outbox INDEXED BY outbox_by_state WHERE state = :state AND seq < :before AND seq BETWEEN :first AND :last
                 ORDER BY seq DESC LIMIT :walk"
            }
            None => {
                "SELECT * FROM outbox WHERE :state IS NULL AND seq < :before AND seq BETWEEN :first AND :last
                 ORDER BY seq DESC LIMIT :walk"
            }
        })?;
        let found = statement.query_map(
            named_params! {
                ":state": filter.state.map(OutboxState::as_str), ":before": before, ":first": first, ":last": last,
                ":walk": Page::<OutboxRow>::walk_limit(),
            },
            read,
        )?;
        Page::walk(found, limit, |event| filter.passes(event), |event| event.seq.to_string())
    }

    /// One event.
    ///
    /// # Errors
    /// `not_found`.
    pub fn outbox_event(&self, _proof: &Operator, id: &EventId) -> Result<OutboxRow> {
        find(&*self.connection()?, id)
    }
}

/// The place of the first event of `since` or later.
fn first_seq_since(connection: &Connection, since: Time) -> Result<Option<i64>> {
    let found = connection
        .prepare_cached("SELECT seq FROM outbox WHERE event_id >= :from ORDER BY event_id LIMIT 1")?
        .query_row(named_params! {":from": rows::first_id_at(since)}, |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The place of the last event of `until` or earlier.
fn last_seq_until(connection: &Connection, until: Time) -> Result<Option<i64>> {
    let found = connection
        .prepare_cached("SELECT seq FROM outbox WHERE event_id < :to ORDER BY event_id DESC LIMIT 1")?
        .query_row(named_params! {":to": rows::first_id_at(until.plus_ms(1))}, |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn find(connection: &Connection, id: &EventId) -> Result<OutboxRow> {
    connection
        .prepare_cached("SELECT * FROM outbox WHERE event_id = :id")?
        .query_row(named_params! {":id": id.to_string()}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("event {id}")))
}

impl Write<'_> {
    /// Has the relay look at a dead event again, with all its attempts.
    ///
    /// # Errors
    /// `not_found`; `conflict` unless it is dead.
    pub fn retry_event(&mut self, _proof: &Operator, id: &EventId) -> Result<Done<OutboxRow>> {
        let state = find(self.connection(), id)?.state;
        if state != OutboxState::Dead {
            let message = format!("event {id} is {state}; only a dead one can be sent again");
            return Err(Error::conflict(message).with("status", state.as_str()));
        }
        self.connection()
            .prepare_cached("UPDATE outbox SET state = :pending, attempts = 0, due_at = :now WHERE event_id = :id")?
            .execute(named_params! {":pending": OutboxState::Pending.as_str(), ":now": self.now().unix_ms(), ":id": id.to_string()})?;
        Ok(Done::new(find(self.connection(), id)?, Event::OutboxEventRetried { event_id: *id }))
    }
}
