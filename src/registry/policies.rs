//! Policies: check, store, list, and evaluate again what was decided. Invariant: a text is stored only after it was
//! checked against the schema, and never edited in place.

use super::Registry;
use crate::domain::access::{Admin, Operator, Permit, Promote};
use crate::domain::event::Event;
use crate::domain::id::EvaluationId;
use crate::domain::name::RepoKey;
use crate::error::{Error, Result};
use crate::policy::{Document, Outcome, Rule};
use crate::store::{Done, Evaluation, EvaluationFilter, Page, PolicyRevision, PolicySnapshot};

/// A stored policy with its rules.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The revision.
    pub revision: PolicyRevision,
    /// Its rules, in the order of the text.
    pub rules: Vec<Rule>,
}

/// What came of evaluating a stored input again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The recorded evaluation.
    pub evaluation: Evaluation,
    /// What the engine says now of the same input under the same policies.
    pub outcome: Outcome,
    /// Whether it says the same.
    pub matches: bool,
}

impl Registry {
    /// Checks a policy text without storing it.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub fn check_policy(&self, text: &str) -> Result<Document> {
        self.gate.check(text)
    }

    /// Stores the instance's policy.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub async fn put_instance_policy(&self, operator: &Operator, text: String) -> Result<StoredPolicy> {
        let document = self.gate.check(&text)?;
        let revision = self.store.write(operator, move |tx| put(tx, None, &document)).await?;
        self.with_rules(revision)
    }

    /// Stores a repo's policy; its rules add to the instance's.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub async fn put_repo_policy(&self, permit: &Permit<Admin>, text: String) -> Result<StoredPolicy> {
        let document = self.gate.check(&text)?;
        let repo = permit.repo_key().clone();
        let revision = self.store.write(permit, move |tx| put(tx, Some(&repo), &document)).await?;
        self.with_rules(revision)
    }

    fn with_rules(&self, revision: PolicyRevision) -> Result<StoredPolicy> {
        let rules = self.gate.check(&revision.text)?.rules().to_vec();
        Ok(StoredPolicy { revision, rules })
    }

    /// The instance's policy.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub fn instance_policy(&self, _operator: &Operator) -> Result<StoredPolicy> {
        let revision = self.store.policy(None)?.ok_or_else(|| Error::not_found("an instance policy"))?;
        self.with_rules(revision)
    }

    /// A repo's own policy.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub fn repo_policy(&self, permit: &Permit<Admin>) -> Result<StoredPolicy> {
        let key = permit.repo_key();
        let revision = self.store.policy(Some(key))?.ok_or_else(|| Error::not_found(format!("a policy of repo {key}")))?;
        self.with_rules(revision)
    }

    /// One page of the revisions of the instance's policy, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn instance_policy_revisions(&self, _operator: &Operator, limit: usize, cursor: Option<&str>) -> Result<Page<PolicyRevision>> {
        self.store.policy_revisions(None, limit, cursor)
    }

    /// One page of the revisions of a repo's policy, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn repo_policy_revisions(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<PolicyRevision>> {
        self.store.policy_revisions(Some(permit.repo_key()), limit, cursor)
    }

    /// A recorded evaluation.
    ///
    /// # Errors
    /// `not_found`.
    pub fn evaluation(&self, permit: &Permit<Promote>, id: &EvaluationId) -> Result<Evaluation> {
        self.store.review(permit)?.evaluation(id)
    }

    /// One page of a repo's evaluations, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn evaluations(&self, permit: &Permit<Promote>, filter: &EvaluationFilter, limit: usize, cursor: Option<&str>) -> Result<Page<Evaluation>> {
        self.store.review(permit)?.evaluations(filter, limit, cursor)
    }

    /// Evaluates a recorded input again, under the policies it was judged by.
    ///
    /// # Errors
    /// `not_found`; `policy_error` when this version's engine cannot read the input.
    pub fn verify_evaluation(&self, permit: &Permit<Promote>, id: &EvaluationId) -> Result<Replay> {
        let view = self.store.review(permit)?;
        let evaluation = view.evaluation(id)?;
        let snapshot = view.policies_of(&evaluation)?.into_iter().fold(PolicySnapshot::default(), PolicySnapshot::with);
        let outcome = self.gate.replay(&evaluation.input, &snapshot)?;
        let same_input = crate::domain::digest::Digest::of(evaluation.input.as_bytes()) == evaluation.input_digest;
        let same_policies = crate::policy::digest_of_policies(&snapshot.digests()) == evaluation.policy_digest;
        let matches = same_input && same_policies && outcome.decision == evaluation.decision && outcome.source == evaluation.source && outcome.reasons == evaluation.reasons;
        Ok(Replay { evaluation, outcome, matches })
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
