//! Whole versions brought at once. Invariant: a deposit that is denied leaves its evaluation and no draft, one that was not decided not
//! even that, unless somebody had drafted there before by other means; the draft of one that broke off is emptied before it is filled
//! again.

use std::collections::BTreeSet;

use rusqlite::named_params;

use super::drafts::NewEntry;
use super::steps::Admission;
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Permit, Write as Writing};
use crate::domain::candidate::content_digest;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::mark::TagName;
use crate::domain::name::Coordinates;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::policy::Verdict;

/// A whole version that somebody brings.
#[derive(Debug, Clone)]
pub struct NewDeposit {
    /// Which version.
    pub coordinates: Coordinates,
    /// Its files.
    pub entries: Vec<NewEntry>,
    /// Its manifest, a JSON object.
    pub manifest: Option<Vec<u8>>,
    /// Tags that it is to get when it leaves the state of a draft.
    pub tags: BTreeSet<TagName>,
}

/// What was brought, as a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deposited {
    /// The draft.
    pub version_id: VersionId,
    /// The digest of its content.
    pub content: Digest,
}

impl Write<'_> {
    /// Makes a draft of a whole version.
    ///
    /// # Errors
    /// `not_found` when the repo was deleted meanwhile; those of [`Write::draft`], [`Write::put_entries`], [`Write::put_manifest`] and
    /// [`Write::want_tags`].
    pub fn deposit(&mut self, permit: &Permit<Writing>, new: &NewDeposit) -> Result<Done<Deposited>> {
        self.repo(permit.repo_key())?;
        let (version, reused) = self.draft(permit, &new.coordinates)?;
        let id = version.id;
        if reused {
            self.empty_deposit(&id)?;
        } else {
            self.connection()
                .prepare_cached("UPDATE versions SET is_deposit = 1 WHERE version_id = :id")?
                .execute(named_params! {":id": id.to_string()})?;
        }
        self.want_tags(&version, &new.tags)?;
        let named = self.put_entries(permit, &id, &new.entries)?;
        let manifest = match &new.manifest {
            Some(bytes) => Some(self.put_manifest(permit, &id, bytes)?.1),
            None => versions::manifest(self.connection(), &id)?.map(|manifest| manifest.digest),
        };
        let content = content_digest(&versions::files(self.connection(), &id)?, manifest.as_ref());
        let drafted = if reused { Event::DraftReused { version: named.clone() } } else { Event::DraftCreated { version: named.clone() } };
        let first_path = new.entries.first().map(|entry| entry.path.to_string()).unwrap_or_default();
        let filled = Event::EntriesSet { version: named.clone(), count: new.entries.len(), first_path };
        let described = manifest.filter(|_| new.manifest.is_some()).map(|digest| Event::ManifestSet { version: named, digest });
        Ok(Done::new(Deposited { version_id: id, content }, drafted).and(filled).and_all(described))
    }

    /// Takes out of the draft what an earlier deposit put into it; another draft is left as it is.
    fn empty_deposit(&self, id: &VersionId) -> Result<()> {
        if self.is_deposit(id)? {
            self.empty_draft(id)?;
        }
        Ok(())
    }

    fn is_deposit(&self, id: &VersionId) -> Result<bool> {
        let found = self
            .connection()
            .prepare_cached("SELECT is_deposit FROM versions WHERE version_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, |row| row.get(0))?;
        Ok(found)
    }

    /// Lets a deposit through the gate as the verdict says. The draft of one that is denied is removed, if a deposit made it.
    ///
    /// # Errors
    /// As for [`Write::admit`]; `conflict` when the draft holds something else by now than was brought.
    pub fn admit_deposit(&mut self, permit: &Permit<Writing>, deposited: &Deposited, verdict: &Verdict) -> Result<Done<Admission>> {
        let version = self.owned(permit, &deposited.version_id)?.content;
        if verdict.content_digest() != deposited.content {
            return Err(Error::conflict(format!(
                "another upload of {} with other bytes came in between; one of them counts, look at what is there now or publish a new version",
                version.coordinates
            )));
        }
        let done = self.admit(permit, verdict)?;
        match done.value() {
            Admission::Denied { .. } => self.remove_own_draft(&version, "denied by policy").map(|event| done.and_all(event)),
            Admission::Published { .. } | Admission::AlreadyPublished { .. } | Admission::Quarantined { .. } | Admission::Stale => Ok(done),
        }
    }

    /// Removes the draft of a deposit that was not decided: its publisher is told so and brings it again. What holds something else by
    /// now, or was decided meanwhile, is left as it is.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn withdraw_deposit(&mut self, permit: &Permit<Writing>, deposited: &Deposited) -> Result<Done<()>> {
        let Some(found) = versions::find(self.connection(), permit.repo_key(), &deposited.version_id)? else {
            return Ok(Done::unchanged(()));
        };
        let release = found.complete(self.connection())?.content;
        let holds = content_digest(&release.files, release.manifest.as_ref().map(|manifest| &manifest.digest));
        if release.version.state != State::Draft || holds != deposited.content {
            return Ok(Done::unchanged(()));
        }
        let removed = self.remove_own_draft(&release.version, "not decided")?;
        Ok(Done::all((), removed.into_iter().collect()))
    }

    /// Removes a draft, if a deposit made it.
    fn remove_own_draft(&self, version: &Version, reason: &str) -> Result<Option<Event>> {
        if !self.is_deposit(&version.id)? || !self.remove_draft(version)? {
            return Ok(None);
        }
        Ok(Some(Event::DraftRemoved { version: versions::named(version), reason: reason.to_owned() }))
    }
}
