//! Quotas and rules of retention. Invariant: what has no room is refused before its bytes are taken in where their number is known, else
//! while they come; what a rule takes back is what its plan has shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Registry;
use crate::domain::access::{Acting, Actor, Admin, Operator, Permit, Read, Write};
use crate::domain::digest::Digest;
use crate::domain::name::RepoKey;
use crate::domain::retention::RetentionRule;
use crate::domain::space::{Allotment, Quota, no_room_for_bytes};
use crate::error::{Error, Result};
use crate::hop;
use crate::store::Leaving;

/// Versions that one plan names, about.
const PLAN_LIMIT: usize = 10_000;
/// Versions that are taken back in one transaction, about.
const RETIRE_BATCH: usize = 200;

/// What a rule no longer keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// The rule.
    pub rule: RetentionRule,
    /// sha256 over the rule and the versions.
    pub digest: Digest,
    /// The versions.
    pub items: Vec<Leaving>,
    /// Whether there may be more, for the next plan.
    pub more: bool,
}

/// How many bytes may still come, and what is said to those that may not.
#[derive(Debug)]
pub struct Room {
    bounds: Vec<(Option<RepoKey>, Allotment)>,
}

impl Room {
    /// Whether so many bytes fit.
    ///
    /// # Errors
    /// `too_large` in the words of the quota.
    pub fn check(&self, bytes: u64) -> Result<()> {
        for (repo, allotment) in &self.bounds {
            if allotment.left_bytes().is_some_and(|left| bytes > left) {
                return Err(no_room_for_bytes(repo.as_ref(), allotment));
            }
        }
        Ok(())
    }
}

impl Registry {
    /// The room that an upload into this repo has now. The write that gives the repo its bytes asks again.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn room(&self, permit: &Permit<Write>) -> Result<Room> {
        let (store, repo) = (Arc::clone(&self.store), permit.repo_key().clone());
        hop::run(move || Ok(Room { bounds: store.bounds_of_upload(&repo)?.into() })).await
    }

    /// The same for bytes that are known by their digest: those that the repo has already need no room.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn room_for(&self, permit: &Permit<Write>, digest: &Digest) -> Result<Room> {
        let (store, asked, digest) = (Arc::clone(&self.store), permit.clone(), *digest);
        let known = hop::run(move || store.author(&asked)?.blob_size(&digest)).await?;
        if known.is_some() { Ok(Room { bounds: Vec::new() }) } else { self.room(permit).await }
    }

    /// What a repo uses and may use.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn allotment(&self, permit: &Permit<Read>) -> Result<Allotment> {
        self.store.allotment(permit)
    }

    /// What the instance uses and may use.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn allotment_of_instance(&self, operator: &Operator) -> Result<Allotment> {
        self.store.allotment_of(operator, None)
    }

    /// Those that have used nine tenths of a limit; the instance as `None`.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn nearly_full(&self, operator: &Operator) -> Result<Vec<(Option<RepoKey>, Allotment)>> {
        self.store.nearly_full(operator)
    }

    /// Sets what a repo, or for `None` the instance, may use.
    ///
    /// # Errors
    /// `not_found` for a repo that is not there.
    pub async fn set_quota(&self, operator: &Operator, repo: Option<RepoKey>, quota: Quota) -> Result<Allotment> {
        let proof = operator.clone();
        self.store.write(operator, move |tx| tx.set_quota(&proof, repo.as_ref(), &quota)).await
    }

    /// The rule of a repo.
    ///
    /// # Errors
    /// `not_found` when it has none.
    pub fn retention_rule(&self, permit: &Permit<Admin>) -> Result<RetentionRule> {
        rule_of(permit.repo_key(), self.store.retention_rule(permit.repo_key())?)
    }

    /// Sets the rule of a repo, or takes it away.
    ///
    /// # Errors
    /// `not_found` when the repo was deleted meanwhile.
    pub async fn set_retention(&self, permit: &Permit<Admin>, rule: Option<RetentionRule>) -> Result<()> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.set_retention(&administering, rule.as_ref())).await
    }

    /// What the rule of a repo would take back now.
    ///
    /// # Errors
    /// `not_found` when it has none.
    pub fn plan_retention(&self, permit: &Permit<Admin>) -> Result<RetentionPlan> {
        self.plan_retention_of(permit.repo_key())
    }

    fn plan_retention_of(&self, repo: &RepoKey) -> Result<RetentionPlan> {
        let rule = rule_of(repo, self.store.retention_rule(repo)?)?;
        let (items, more) = self.store.no_longer_kept(repo, &rule, PLAN_LIMIT)?;
        let mut hash = Sha256::new();
        hash.update(format!("artifortress retention 1 {repo} {:?} {:?} {:?}", rule.keep_last, rule.keep_days, rule.keep_downloaded_days));
        for leaving in &items {
            hash.update(leaving.version_id.to_string());
        }
        Ok(RetentionPlan { rule, digest: Digest::from_bytes(hash.finalize().into()), items, more })
    }

    /// Takes back what the plan with this digest has shown; of those versions each is asked about again in the transaction that takes it
    /// back. Returns how many were.
    ///
    /// # Errors
    /// `conflict` when there is another plan now; `not_found` when the repo has no rule.
    pub async fn apply_retention(self: &Arc<Self>, permit: &Permit<Admin>, shown: Digest) -> Result<u64> {
        let (registry, repo) = (Arc::clone(self), permit.repo_key().clone());
        let plan = hop::run(move || registry.plan_retention_of(&repo)).await?;
        if plan.digest != shown {
            let message = "the plan is another one by now; look at the new one, then apply that";
            return Err(Error::conflict(message).with("planDigest", plan.digest.to_string()));
        }
        self.retire(permit, permit.repo_key(), &plan).await
    }

    /// Takes back what the rules of all repos no longer keep: for the schedule.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn apply_every_retention(self: &Arc<Self>) -> Result<u64> {
        let (actor, registry) = (Actor::system("retention"), Arc::clone(self));
        let mut count = 0;
        for repo in hop::run(move || registry.store.repos_with_retention()).await? {
            let (registry, of) = (Arc::clone(self), repo.clone());
            let plan = hop::run(move || registry.plan_retention_of(&of)).await?;
            count += self.retire(&actor, &repo, &plan).await?;
        }
        Ok(count)
    }

    async fn retire(&self, actor: &impl Acting, repo: &RepoKey, plan: &RetentionPlan) -> Result<u64> {
        let mut count = 0;
        for batch in plan.items.chunks(RETIRE_BATCH) {
            let repo = repo.clone();
            let packages: BTreeSet<i64> = batch.iter().map(|leaving| leaving.package).collect();
            let planned = batch.iter().map(|leaving| leaving.version_id).collect();
            count += self.store.write(actor, move |tx| tx.retire(&repo, &packages, &planned)).await?;
        }
        Ok(count)
    }
}

fn rule_of(repo: &RepoKey, found: Option<RetentionRule>) -> Result<RetentionRule> {
    found.ok_or_else(|| Error::not_found(format!("a rule of retention of repo {repo}")))
}
