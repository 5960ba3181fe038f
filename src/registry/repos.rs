//! Repos, their settings and bindings. Invariant: only an administrator of the repo changes them, and each change counts
//! from the next request.

use std::sync::Arc;

use super::Registry;
use crate::domain::access::{Admin, Caller, Operator, Permit, Read, Roles};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::repo::{Repo, RepoChange, RepoKind, RepoSettings};
use crate::error::{Error, Result};
use crate::store::Page;

/// Versions taken back in one transaction when a repo is emptied.
const EMPTY_BATCH: u32 = 200;

impl Registry {
    /// Creates a repo. This version serves local repos only.
    ///
    /// # Errors
    /// `conflict` when the key is taken; `bad_request` for a kind that is not served yet.
    pub async fn create_repo(&self, operator: &Operator, key: RepoKey, kind: RepoKind, settings: RepoSettings) -> Result<Repo> {
        if kind != RepoKind::Local {
            return Err(Error::bad_request(format!("repos of kind {kind} are not served by this version; create a local one")));
        }
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.create_repo(&proof, &key, kind, &settings)).await
    }

    /// The repos that the caller may read, with its permit for each.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn readable_repos(&self, caller: &Caller) -> Result<Vec<Permit<Read>>> {
        Ok(self.store.repos()?.into_iter().filter_map(|repo| caller.permit::<Read>(&Arc::new(repo)).ok()).collect())
    }

    /// Changes some of a repo's settings.
    ///
    /// # Errors
    /// `not_found` when it was deleted meanwhile.
    pub async fn update_repo(&self, permit: &Permit<Admin>, change: RepoChange) -> Result<Repo> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.update_repo(&administering, &change)).await
    }

    /// Deletes a repo that holds nothing.
    ///
    /// # Errors
    /// `conflict` when it holds versions that are not tombstones.
    pub async fn delete_repo(&self, permit: &Permit<Admin>) -> Result<()> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.delete_repo(&administering)).await
    }

    /// Takes everything in a repo back, then deletes it.
    ///
    /// # Errors
    /// `conflict` when a version is held; `artifact_protected`.
    pub async fn empty_and_delete_repo(&self, permit: &Permit<Admin>) -> Result<()> {
        loop {
            let administering = permit.clone();
            let taken = self.store.write(permit, move |tx| tx.empty_repo(&administering, EMPTY_BATCH)).await?;
            if taken == 0 {
                return self.delete_repo(permit).await;
            }
        }
    }

    /// One page of a repo's bindings, by subject.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn bindings(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<(Subject, Roles)>> {
        self.store.bindings(permit, limit, cursor)
    }

    /// Sets a subject's roles on a repo.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn set_binding(&self, permit: &Permit<Admin>, subject: Subject, roles: Roles) -> Result<()> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.set_binding(&administering, &subject, roles)).await
    }

    /// Takes a subject's roles on a repo away.
    ///
    /// # Errors
    /// `not_found` when it had none.
    pub async fn remove_binding(&self, permit: &Permit<Admin>, subject: Subject) -> Result<()> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.remove_binding(&administering, &subject)).await
    }
}
