//! What readers leave behind and change nothing by: failed logins, blocked reads, the use of tokens. Invariant: a reader never
//! waits for the writer; equal notes within a moment become one audit row with a count, and none is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Store;
use super::write::Done;
use crate::domain::access::{Acting, Actor};
use crate::domain::event::Event;
use crate::domain::id::QuarantineId;
use crate::domain::id::TokenId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::Result;

/// Different notes kept; beyond them, further ones are only counted by kind and repo.
const KEPT_LIMIT: usize = 4096;

/// Stamps written in one transaction.
const STAMPS_LIMIT: usize = 1000;

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
    fn without_details(self) -> Note {
        match self {
            Note::AuthenticationFailed { .. } => {
                Note::AuthenticationFailed { reason: "too many different failures to tell apart".to_owned() }
            }
            Note::ReadBlocked { repo, .. } => {
                Note::ReadBlocked { repo, resource: "too many different resources to tell apart".to_owned(), quarantine_id: None }
            }
        }
    }

    fn event(&self, count: u64) -> Event {
        match self.clone() {
            Note::AuthenticationFailed { reason } => Event::AuthenticationFailed { reason, count },
            Note::ReadBlocked { repo, resource, quarantine_id } => Event::ReadBlocked { repo, resource, quarantine_id, count },
        }
    }
}

type Key = (Subject, Option<TokenId>, Note);

/// What waits for the next flush: notes with their first actor (and its request) and how often, and when tokens were last
/// used. Each has a bell for the one task that flushes it, so that an idle process looks at neither.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: Mutex<HashMap<Key, (Actor, u64)>>,
    noted: Notify,
    /// At most one for each token there is: only tokens that were found are stamped.
    used: Mutex<HashMap<TokenId, Time>>,
    token_used: Notify,
}

impl Notes {
    /// Counts a note. Its memory is bounded while the disk is full, too: what is new beyond the limit is counted without its
    /// details.
    fn add(&self, actor: Actor, note: Note, count: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (actor.subject.clone(), actor.token_id, note);
        let mut actor = actor;
        if waiting.len() >= KEPT_LIMIT && !waiting.contains_key(&key) {
            actor = Actor::system("notes");
            key = (actor.subject.clone(), None, key.2.without_details());
        }
        let entry = waiting.entry(key).or_insert((actor, 0));
        entry.1 = entry.1.saturating_add(count);
        self.noted.notify_one();
    }
}

impl Store {
    /// Remembers a refusal; it is on disk after the next [`Store::flush_notes`].
    pub fn note(&self, by: &impl Acting, note: Note) {
        self.notes.add(by.actor(), note, 1);
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
            for (result, ((_, _, note), (actor, count))) in results.into_iter().zip(group) {
                let Err(error) = result else { continue };
                self.notes.add(actor.clone(), note.clone(), *count);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Waits until something was noted. One task waits at a time; what was noted before it came is not missed.
    pub async fn noted(&self) {
        self.notes.noted.notified().await;
    }

    /// Remembers when a token was last used; it is on disk after the next [`Store::flush_token_use`]. Never waits for the
    /// writer.
    pub fn note_token_use(&self, token: TokenId, at: Time) {
        let mut used = self.notes.used.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = used.entry(token).or_insert(at);
        *latest = at.max(*latest);
        self.notes.token_used.notify_one();
    }

    /// Waits until a token was used. One task waits at a time; what was used before it came is not missed.
    pub async fn token_used(&self) {
        self.notes.token_used.notified().await;
    }

    /// Writes when tokens were last used since the last flush.
    ///
    /// # Errors
    /// As for [`Store::bookkeep`]; the stamps then wait for the next flush.
    pub async fn flush_token_use(&self) -> Result<()> {
        let taken: Vec<(TokenId, Time)> =
            std::mem::take(&mut *self.notes.used.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
        for group in taken.chunks(STAMPS_LIMIT) {
            let stamps = group.to_vec();
            let written = self.bookkeep(move |books| books.stamp_tokens(&stamps)).await;
            if let Err(error) = written {
                // Those already written are stamped once more, to the same time.
                taken.iter().for_each(|(token, at)| self.note_token_use(*token, *at));
                return Err(error);
            }
        }
        Ok(())
    }
}
