//! What a write may do and must return. Invariant: a change of the catalogue returns `Done<T>` with at least one `Event`;
//! audit rows and outbox events follow from it in the same transaction. A write without one is refused.

use rusqlite::{Connection, named_params};

use super::writer::Effects;
use super::{audit, outbox};
use crate::clock::Clock;
use crate::domain::access::Actor;
use crate::domain::event::Event;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// An open write transaction, with the actor and the moment of everything in it. The tables' files add its methods.
pub struct Write<'tx> {
    connection: &'tx Connection,
    clock: &'tx dyn Clock,
    actor: Actor,
    now: Time,
    changes_before: u64,
}

/// The result of a write together with what happened.
#[must_use]
pub struct Done<T> {
    value: T,
    events: Vec<Event>,
}

impl<T> Done<T> {
    /// A value and the first thing that happened.
    pub fn new(value: T, event: Event) -> Done<T> {
        Done { value, events: vec![event] }
    }

    /// A further thing that happened.
    pub fn and(mut self, event: Event) -> Done<T> {
        self.events.push(event);
        self
    }

    /// Further things that happened.
    pub fn and_all(mut self, events: impl IntoIterator<Item = Event>) -> Done<T> {
        self.events.extend(events);
        self
    }

    /// A value and whatever happened; nothing, for a write that found nothing to change.
    pub(super) fn all(value: T, events: Vec<Event>) -> Done<T> {
        Done { value, events }
    }

    /// The value.
    pub(super) fn value(&self) -> &T {
        &self.value
    }

    /// The happenings alone.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// The same happenings with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Done<U> {
        Done { value: change(self.value), events: self.events }
    }

    /// A value for a write that found nothing to change; the writer checks that it changed nothing.
    pub fn unchanged(value: T) -> Done<T> {
        Done { value, events: Vec::new() }
    }
}

impl<'tx> Write<'tx> {
    pub(super) fn new(connection: &'tx Connection, clock: &'tx dyn Clock, actor: Actor) -> Result<Write<'tx>> {
        Ok(Write { connection, clock, actor, now: clock.now(), changes_before: connection.total_changes() })
    }

    /// The moment of this write; every time it stores is this one.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Who writes.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// A new `UUIDv7`.
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        self.clock.uuid()
    }

    pub(super) fn connection(&self) -> &'tx Connection {
        self.connection
    }

    /// Writes the audit rows and outbox events of `done` and gives back its value.
    pub(super) fn record<T>(&mut self, done: Done<T>, effects: &mut Effects) -> Result<T> {
        if done.events.is_empty() && self.connection.total_changes() != self.changes_before {
            return Err(Error::internal("recording a write", "it changed rows and named no event"));
        }
        for event in done.events {
            audit::append(self, &event.audit())?;
            let told = event.outbox();
            if let Some(entry) = &told {
                outbox::append(self, entry)?;
            }
            let sweep = if let Event::Exception(said) = &event { said.wants_sweep() } else { None };
            effects.wakes_queue |= told.is_some() || sweep.is_some();
            if let Some(scope) = sweep {
                self.judge_again(scope)?;
            }
            effects.add(event);
        }
        Ok(done.value)
    }
}

/// An open transaction on the queue's own tables: the one kind of write without events.
pub struct Bookkeeping<'tx> {
    connection: &'tx Connection,
    clock: &'tx dyn Clock,
    now: Time,
    enqueued: bool,
}

impl<'tx> Bookkeeping<'tx> {
    pub(super) fn new(connection: &'tx Connection, clock: &'tx dyn Clock) -> Bookkeeping<'tx> {
        Bookkeeping { connection, clock, now: clock.now(), enqueued: false }
    }

    /// The moment of this transaction.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    pub(super) fn connection(&self) -> &'tx Connection {
        self.connection
    }

    pub(super) fn uuid(&self) -> uuid::Uuid {
        self.clock.uuid()
    }

    pub(super) fn mark_enqueued(&mut self) {
        self.enqueued = true;
    }

    pub(super) fn enqueued(&self) -> bool {
        self.enqueued
    }

    /// Notes when tokens were last used; times only move forward.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn stamp_tokens(&mut self, used: &[(crate::domain::id::TokenId, Time)]) -> Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO token_use (token_id, last_used_at) SELECT token_id, :used_at FROM tokens WHERE token_id = :token_id
             ON CONFLICT (token_id) DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at)",
        )?;
        for (token_id, used_at) in used {
            statement.execute(named_params! {":token_id": token_id.to_string(), ":used_at": used_at.unix_ms()})?;
        }
        Ok(())
    }
}
