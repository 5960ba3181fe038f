//! Policies: check, store, list. Invariant: a text is stored only after it was checked against the schema, and never edited
//! in place; checking takes its time on the blocking pool, a few texts at once.

use std::sync::Arc;

use super::Registry;
use crate::domain::access::{Admin, Operator, Permit, Signed};
use crate::domain::event::Event;
use crate::domain::name::RepoKey;
use crate::error::{Error, Result};
use crate::policy::{Document, Rule};
use crate::store::{Done, ListedRevision, Page, PolicyRevision};

/// A stored policy with its rules.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The revision.
    pub revision: PolicyRevision,
    /// Its rules, in the order of the text; `None` when this version's engine refuses a text that an older one took.
    pub rules: Option<Vec<Rule>>,
}

impl Registry {
    /// Checks a policy text without storing it.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub async fn check_policy(&self, _caller: &Signed, text: String) -> Result<Arc<Document>> {
        self.gate.check(text).await
    }

    /// Stores the instance's policy.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub async fn put_instance_policy(&self, operator: &Operator, text: String) -> Result<StoredPolicy> {
        let document = self.gate.check(text).await?;
        let checked = Arc::clone(&document);
        let revision = self.store.write(operator, move |tx| put(tx, None, &checked)).await?;
        Ok(self.taken(revision, &document))
    }

    /// Stores a repo's policy; its rules add to the instance's.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub async fn put_repo_policy(&self, permit: &Permit<Admin>, text: String) -> Result<StoredPolicy> {
        let document = self.gate.check(text).await?;
        let (checked, repo) = (Arc::clone(&document), permit.repo_key().clone());
        let revision = self.store.write(permit, move |tx| put(tx, Some(&repo), &checked)).await?;
        Ok(self.taken(revision, &document))
    }

    fn taken(&self, revision: PolicyRevision, document: &Arc<Document>) -> StoredPolicy {
        self.gate.remember(document);
        StoredPolicy { revision, rules: Some(document.rules().to_vec()) }
    }

    /// The instance's policy: the newest, or the revision of this number. Blocks.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub fn instance_policy(&self, _operator: &Operator, number: Option<u64>) -> Result<StoredPolicy> {
        self.stored_policy(None, number)
    }

    /// A repo's own policy: the newest, or the revision of this number. Blocks.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub fn repo_policy(&self, permit: &Permit<Admin>, number: Option<u64>) -> Result<StoredPolicy> {
        self.stored_policy(Some(permit.repo_key()), number)
    }

    fn stored_policy(&self, repo: Option<&RepoKey>, number: Option<u64>) -> Result<StoredPolicy> {
        let found = match number {
            Some(number) => self.store.policy_revision(repo, number)?,
            None => self.store.policy(repo)?,
        };
        let revision = found.ok_or_else(|| match (repo, number) {
            (None, None) => Error::not_found("a policy of the instance"),
            (Some(key), None) => Error::not_found(format!("a policy of repo {key}")),
            (None, Some(number)) => Error::not_found(format!("revision {number} of the instance's policy")),
            (Some(key), Some(number)) => Error::not_found(format!("revision {number} of the policy of repo {key}")),
        })?;
        let rules = match self.gate.document(&revision) {
            Ok(document) => Some(document.rules().to_vec()),
            Err(cause) => {
                tracing::warn!(?cause, revision = revision.revision, "a stored policy is refused by this version's engine");
                None
            }
        };
        Ok(StoredPolicy { revision, rules })
    }

    /// One page of the revisions of the instance's policy, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn instance_policy_revisions(&self, _operator: &Operator, limit: usize, cursor: Option<&str>) -> Result<Page<ListedRevision>> {
        self.store.policy_revisions(None, limit, cursor)
    }

    /// One page of the revisions of a repo's policy, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn repo_policy_revisions(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<ListedRevision>> {
        self.store.policy_revisions(Some(permit.repo_key()), limit, cursor)
    }
}

fn put(tx: &mut crate::store::Write<'_>, repo: Option<&RepoKey>, document: &Document) -> Result<Done<PolicyRevision>> {
    let (revision, is_new) = tx.add_policy(repo, document.digest(), document.text())?;
    if !is_new {
        return Ok(Done::unchanged(revision));
    }
    let event = Event::PolicyUpdated { repo: repo.cloned(), revision: revision.revision, digest: revision.digest };
    Ok(Done::new(revision, event))
}
