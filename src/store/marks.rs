//! Marks that leave a version's content alone: protection, legal hold, yank. Invariant: a legal hold is lifted by an
//! administrator only, and no mark changes what a reader may see.

use rusqlite::named_params;

use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Admin, Permit, Write as Writing};
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::Coordinates;
use crate::domain::version::{Protection, Version};
use crate::error::{Error, Result};

impl Write<'_> {
    /// Shields a version from being taken back.
    ///
    /// # Errors
    /// `not_found`.
    pub fn protect(&mut self, permit: &Permit<Admin>, id: &VersionId, mode: Protection, reason: &str) -> Result<Done<Version>> {
        self.found(permit.repo_key(), id)?;
        self.connection()
            .prepare_cached("UPDATE versions SET protection = :mode, protection_reason = :reason WHERE version_id = :id")?
            .execute(named_params! {":mode": mode.as_str(), ":reason": reason, ":id": id.to_string()})?;
        let version = self.found(permit.repo_key(), id)?.content;
        let event = Event::ProtectionSet { version: versions::named(&version), mode: mode.to_string(), reason: reason.to_owned() };
        Ok(Done::new(version, event))
    }

    /// Lifts the shield.
    ///
    /// # Errors
    /// `not_found`, also when there is none.
    pub fn unprotect(&mut self, permit: &Permit<Admin>, id: &VersionId) -> Result<Done<Version>> {
        if self.found(permit.repo_key(), id)?.content.protection.is_none() {
            return Err(Error::not_found(format!("a protection of version {id}")));
        }
        self.connection()
            .prepare_cached("UPDATE versions SET protection = NULL, protection_reason = NULL WHERE version_id = :id")?
            .execute(named_params! {":id": id.to_string()})?;
        let version = self.found(permit.repo_key(), id)?.content;
        let event = Event::ProtectionLifted { version: versions::named(&version) };
        Ok(Done::new(version, event))
    }

    /// Marks a published version as yanked (PEP 592): installers skip it unless it is asked for by its exact version.
    ///
    /// # Errors
    /// `conflict` when it is not published.
    pub fn yank(&mut self, permit: &Permit<Writing>, id: &VersionId, reason: &str) -> Result<Done<Version>> {
        self.check_published(permit, id)?;
        self.set_yanked(id, Some(reason))?;
        let version = self.found(permit.repo_key(), id)?.content;
        let event = Event::Yanked { version: versions::named(&version), reason: reason.to_owned() };
        Ok(Done::new(version, event))
    }

    /// Takes the mark away.
    ///
    /// # Errors
    /// `conflict` when it is not published.
    pub fn unyank(&mut self, permit: &Permit<Writing>, id: &VersionId) -> Result<Done<Version>> {
        self.check_published(permit, id)?;
        self.set_yanked(id, None)?;
        let version = self.found(permit.repo_key(), id)?.content;
        let event = Event::Unyanked { version: versions::named(&version) };
        Ok(Done::new(version, event))
    }

    /// Yanks every sealed distribution of a release for this reason, also what is held, so that it is yanked once it opens; without a
    /// reason the mark is taken away. What is so already stays as it is.
    ///
    /// # Errors
    /// `not_found` when there is no such release, or all of it was taken back; `forbidden`.
    pub fn yank_release(&mut self, permit: &Permit<Writing>, at: &Coordinates, reason: Option<&str>) -> Result<Done<()>> {
        self.may_publish(permit, at.package())?;
        let sealed = versions::sealed_of_release(self.connection(), permit.repo_key(), at)?;
        if sealed.iter().all(|version| version.state == State::Tombstoned) {
            return Err(Error::not_found(at));
        }
        let mut events = Vec::new();
        for version in sealed.iter().filter(|version| version.yanked_reason.as_deref() != reason) {
            self.set_yanked(&version.id, reason)?;
            let version = versions::named(version);
            events.push(match reason {
                Some(reason) => Event::Yanked { version, reason: reason.to_owned() },
                None => Event::Unyanked { version },
            });
        }
        Ok(Done::all((), events))
    }

    fn check_published(&self, permit: &Permit<Writing>, id: &VersionId) -> Result<()> {
        let version = self.owned(permit, id)?.content;
        if version.state == State::Published {
            return Ok(());
        }
        Err(Error::conflict(format!("{} is {}; only a published version is yanked", version.coordinates, version.state)))
    }

    fn set_yanked(&self, id: &VersionId, reason: Option<&str>) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE versions SET yanked_reason = :reason WHERE version_id = :id")?
            .execute(named_params! {":reason": reason, ":id": id.to_string()})?;
        Ok(())
    }
}
