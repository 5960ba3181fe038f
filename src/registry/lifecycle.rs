//! Taking back, protecting, yanking. Invariant: each is one write with its event; coming back goes through `admission`.

use super::Registry;
use crate::domain::access::{Admin, Permit, Write};
use crate::domain::id::VersionId;
use crate::domain::version::{Protection, Version};
use crate::domain::words::check_words;
use crate::error::Result;

impl Registry {
    /// Takes a version back; it may be restored for `retention_days`, the repo's setting unless given.
    ///
    /// # Errors
    /// `artifact_protected`; `conflict` when its state does not permit it.
    pub async fn tombstone(&self, permit: &Permit<Write>, id: VersionId, reason: &str, retention_days: Option<u32>) -> Result<Version> {
        check_words("reason", reason)?;
        let days = retention_days.unwrap_or(permit.repo().settings.retention_days);
        let (writing, reason) = (permit.clone(), reason.to_owned());
        self.store.write(permit, move |tx| tx.tombstone(&writing, &id, &reason, days)).await
    }

    /// Shields a version from being taken back.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn protect(&self, permit: &Permit<Admin>, id: VersionId, mode: Protection, reason: &str) -> Result<Version> {
        check_words("reason", reason)?;
        let (administering, reason) = (permit.clone(), reason.to_owned());
        self.store.write(permit, move |tx| tx.protect(&administering, &id, mode, &reason)).await
    }

    /// Lifts the shield.
    ///
    /// # Errors
    /// `not_found`, also when there is none.
    pub async fn unprotect(&self, permit: &Permit<Admin>, id: VersionId) -> Result<Version> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.unprotect(&administering, &id)).await
    }

    /// Marks a published version as yanked (PEP 592).
    ///
    /// # Errors
    /// `conflict` when it is not published.
    pub async fn yank(&self, permit: &Permit<Write>, id: VersionId, reason: &str) -> Result<Version> {
        check_words("reason", reason)?;
        let (writing, reason) = (permit.clone(), reason.to_owned());
        self.store.write(permit, move |tx| tx.yank(&writing, &id, &reason)).await
    }

    /// Takes that mark away.
    ///
    /// # Errors
    /// `conflict` when it is not published.
    pub async fn unyank(&self, permit: &Permit<Write>, id: VersionId) -> Result<Version> {
        let writing = permit.clone();
        self.store.write(permit, move |tx| tx.unyank(&writing, &id)).await
    }
}
