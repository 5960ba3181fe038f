//! Policies: check, store, list. Invariant: a text is stored only after it was checked against the schema, and never edited
//! in place; one that fails its own cases is not stored; checking takes its time on the blocking pool, a few texts at once.

use std::sync::Arc;

use super::Registry;
use super::admission::{ROUNDS, too_restless};
use crate::domain::access::{Acting, Admin, Operator, Permit, Signed};
use crate::domain::candidate::PolicyLevel;
use crate::domain::event::Event;
use crate::domain::name::RepoKey;
use crate::error::{Error, Result};
use crate::hop;
use crate::policy::{Document, Rule};
use crate::store::{Done, ListedRevision, NewPolicy, Page, PolicyRevision};

/// A stored policy with its rules.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The revision.
    pub revision: PolicyRevision,
    /// Its rules, in the order of the text; `None` when this version's engine refuses a text that an older one took.
    pub rules: Option<Vec<Rule>>,
    /// How many cases it passed, where they were tried just now.
    pub case_count: Option<usize>,
}

/// A policy that somebody wants to store.
#[derive(Debug, Clone)]
pub struct OfferedPolicy {
    /// The text.
    pub text: String,
    /// Its cases; an empty text for none, `None` to keep those of the newest revision.
    pub cases: Option<String>,
    /// The newest revision as far as the sender knows, 0 for none; anything but that is refused.
    pub expected_revision: Option<u64>,
}

impl From<String> for OfferedPolicy {
    /// A text alone: the cases of the newest revision stay.
    fn from(text: String) -> OfferedPolicy {
        OfferedPolicy { text, cases: None, expected_revision: None }
    }
}

impl Registry {
    /// Checks a policy text and its cases without storing them.
    ///
    /// # Errors
    /// `bad_policy` with every fault or every failing case.
    pub async fn check_policy(&self, _caller: &Signed, text: String, cases: Option<String>) -> Result<(Arc<Document>, usize)> {
        self.gate.check_with_cases(PolicyLevel::Instance, text, cases.unwrap_or_default()).await
    }

    /// Stores the instance's policy.
    ///
    /// # Errors
    /// `bad_policy` with every fault or every failing case; `conflict` when it is not based on the newest revision as it said.
    pub async fn put_instance_policy(&self, operator: &Operator, offered: impl Into<OfferedPolicy>) -> Result<StoredPolicy> {
        self.put_policy(operator, None, offered.into()).await
    }

    /// Stores a repo's policy; its rules add to the instance's.
    ///
    /// # Errors
    /// As for the instance's.
    pub async fn put_repo_policy(&self, permit: &Permit<Admin>, offered: impl Into<OfferedPolicy>) -> Result<StoredPolicy> {
        self.put_policy(permit, Some(permit.repo_key().clone()), offered.into()).await
    }

    async fn put_policy(&self, actor: &impl Acting, repo: Option<RepoKey>, offered: OfferedPolicy) -> Result<StoredPolicy> {
        let level = if repo.is_some() { PolicyLevel::Repo } else { PolicyLevel::Instance };
        for _ in 0..ROUNDS {
            let (store, key) = (Arc::clone(&self.store), repo.clone());
            let newest = hop::run(move || store.policy(key.as_ref())).await?;
            let after = newest.as_ref().map_or(0, |newest| newest.revision);
            if let Some(expected) = offered.expected_revision.filter(|expected| *expected != after) {
                return Err(moved(expected, after));
            }
            let kept = newest.and_then(|newest| newest.cases).filter(|_| offered.cases.is_none());
            let cases = kept.clone().or_else(|| offered.cases.clone()).filter(|cases| !cases.trim().is_empty());
            let checked = self.gate.check_with_cases(level, offered.text.clone(), cases.clone().unwrap_or_default()).await;
            let (document, case_count) = checked.map_err(|refusal| if kept.is_some() { of_kept_cases(refusal, after) } else { refusal })?;
            let (checked, key) = (Arc::clone(&document), repo.clone());
            let stored = self.store.write(actor, move |tx| put(tx, key.as_ref(), after, &checked, cases.as_deref())).await?;
            if let Some(revision) = stored {
                self.gate.remember(&document);
                return Ok(StoredPolicy { revision, rules: Some(document.rules().to_vec()), case_count: Some(case_count) });
            }
        }
        Err(too_restless())
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
        Ok(StoredPolicy { revision, rules, case_count: None })
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

fn put(
    tx: &mut crate::store::Write<'_>,
    repo: Option<&RepoKey>,
    after: u64,
    document: &Document,
    cases: Option<&str>,
) -> Result<Done<Option<PolicyRevision>>> {
    let policy = NewPolicy { digest: document.digest(), text: document.text(), cases };
    let Some((revision, is_new)) = tx.add_policy(repo, after, policy)? else { return Ok(Done::unchanged(None)) };
    if !is_new {
        return Ok(Done::unchanged(Some(revision)));
    }
    let event = Event::PolicyUpdated { repo: repo.cloned(), revision: revision.revision, digest: revision.digest };
    Ok(Done::new(Some(revision), event))
}

fn moved(expected: u64, found: u64) -> Error {
    let is = |revision: u64| if revision == 0 { "there is none".to_owned() } else { format!("the newest revision is {revision}") };
    Error::conflict(format!("{} and not {expected}; read the policy again, and send the change with its revision", is(found)))
        .with("revision", found)
}

/// A refusal for cases that were not sent, but kept.
fn of_kept_cases(refusal: Error, revision: u64) -> Error {
    if !refusal.members().contains_key("cases") {
        return refusal;
    }
    let advice = "these cases are kept from revision";
    let drop = "send cases with the policy to replace them, or empty ones to drop them";
    let message = format!("{}; {advice} {revision}: {drop}", refusal.message());
    refusal
        .members()
        .iter()
        .fold(Error::new(refusal.code(), message), |error, (name, value)| error.with(name, value.clone()))
        .with("casesOfRevision", revision)
}
