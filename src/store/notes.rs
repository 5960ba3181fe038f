//! Refusals worth remembering that change nothing: failed logins and blocked reads. Invariant: a reader never waits for
//! the writer; equal notes within a moment become one audit row with a count, and none is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Store;
use super::write::Done;
use crate::domain::access::{Acting, Actor};
use crate::domain::event::Event;
use crate::domain::id::QuarantineId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::id::TokenId;
use crate::error::Result;

/// Different notes kept before a flush is forced on the one who adds the next.
const KEPT_LIMIT: usize = 4096;

/// A refusal to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Note {
    /// Credentials that were not accepted, and why.
    AuthenticationFailed {
        /// Why, without any part of the credentials.
        reason: String,
    },
    /// A read of something held or rejected.
    ReadBlocked {
        /// The repo.
        repo: RepoKey,
        /// What was asked for: a version id, digest or path.
        resource: String,
        /// The hold.
        quarantine_id: Option<QuarantineId>,
    },
}

impl Note {
    fn event(&self, count: u64) -> Event {
        match self.clone() {
            Note::AuthenticationFailed { reason } => Event::AuthenticationFailed { reason, count },
            Note::ReadBlocked { repo, resource, quarantine_id } => Event::ReadBlocked { repo, resource, quarantine_id, count },
        }
    }
}

type Key = (Subject, Option<TokenId>, Note);

/// Notes waiting for the next flush: the first actor (with its request) and how often.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: Mutex<HashMap<Key, (Actor, u64)>>,
}

impl Store {
    /// Remembers a refusal; it is on disk after the next [`Store::flush_notes`]. Returns whether a flush is due now
    /// because too many different notes wait.
    pub fn note(&self, by: &impl Acting, note: Note) -> bool {
        let actor = by.actor();
        let mut waiting = self.notes.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (actor.subject.clone(), actor.token_id, note);
        waiting.entry(key).or_insert((actor, 0)).1 += 1;
        waiting.len() >= KEPT_LIMIT
    }

    /// Writes what was noted since the last flush.
    ///
    /// # Errors
    /// As for [`Store::write`]; the notes then wait for the next flush.
    pub async fn flush_notes(&self) -> Result<()> {
        let taken = std::mem::take(&mut *self.notes.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let taken: Vec<_> = taken.into_iter().collect();
        let mut failed = None;
        for group in taken.chunks(64) {
            let writes = group.iter().map(|((_, _, note), (actor, count))| {
                let event = note.event(*count);
                self.write(actor, move |_| Ok(Done::new((), event)))
            });
            let results = futures_util::future::join_all(writes).await;
            for (result, (key, (actor, count))) in results.into_iter().zip(group) {
                let Err(error) = result else { continue };
                let mut waiting = self.notes.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.entry(key.clone()).or_insert_with(|| (actor.clone(), 0)).1 += count;
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
