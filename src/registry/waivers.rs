//! Waivers: exceptions from rules, with an end. Invariant: a rule that holds is waived by who may review, one that denies by who may set the
//! policy that it stands in; the server's own orders that protect names are waived by nobody.

use std::sync::Arc;

use super::Registry;
use crate::domain::access::{Admin, Operator, Permit, Promote};
use crate::domain::candidate::{Decision, PolicyLevel, orders, waiver_of};
use crate::domain::digest::Digest;
use crate::domain::id::WaiverId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::domain::waiver::Waiver;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{Approval, ListedWaiver, NewWaiver, Page, WaiverFilter, WaiverTarget};

/// What somebody wants to be waived.
#[derive(Debug, Clone)]
pub struct WaiverRequest {
    /// For what.
    pub target: WaiverTarget,
    /// The rule's `@id`.
    pub rule: String,
    /// Whose policy it stands in; `None` for an order of the server.
    pub policy: Option<PolicyLevel>,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub expires_at: Time,
    /// Days that it may last.
    pub max_days: u32,
    /// Who must approve it, whatever the repo asks for.
    pub approval: Approval,
}

/// A rule as it was found, and in what.
struct FoundRule {
    covers: Decision,
    found_in: Vec<(PolicyLevel, Digest)>,
}

impl Registry {
    /// Makes a waiver.
    ///
    /// # Errors
    /// `bad_request` for what cannot be waived or an end that is too far; `not_found` for a rule or a version that is not there; `forbidden`
    /// for a rule that denies and whose policy the caller may not set.
    pub async fn add_waiver(&self, permit: &Permit<Promote>, request: WaiverRequest) -> Result<ListedWaiver> {
        let found = self.find_rule(permit.repo_key(), request.policy, &request.rule).await?;
        check_right(permit, request.policy, found.covers)?;
        let latest = self.store.clock().now().plus_days(i64::from(request.max_days));
        let new = NewWaiver {
            target: request.target,
            rule: waiver_of(request.policy, &request.rule),
            covers: found.covers,
            found_in: found.found_in,
            reason: request.reason,
            expires_at: request.expires_at,
            latest,
            approval: request.approval,
        };
        let reviewing = permit.clone();
        let waiver = self.store.write(permit, move |tx| tx.add_waiver(&reviewing, &new)).await?;
        self.listed(permit, waiver).await
    }

    /// What the rule asks for in the policies in force.
    async fn find_rule(&self, repo: &RepoKey, level: Option<PolicyLevel>, rule: &str) -> Result<FoundRule> {
        let (store, key) = (Arc::clone(&self.store), repo.clone());
        let (instance, own) = hop::run(move || Ok((store.policy(None)?, store.policy(Some(&key))?))).await?;
        let instance = instance.map(|revision| (PolicyLevel::Instance, revision));
        let in_force: Vec<_> = instance.into_iter().chain(own.map(|revision| (PolicyLevel::Repo, revision))).collect();
        let found_in = in_force.iter().map(|(level, revision)| (*level, revision.digest)).collect();
        let Some(wanted) = level else { return Ok(FoundRule { covers: order_covers(rule)?, found_in }) };
        let missing = || Error::not_found(format!("a rule {rule} in the policy of the {wanted}"));
        let (_, revision) = in_force.iter().find(|(level, _)| *level == wanted).ok_or_else(missing)?;
        let document = self.gate.document(revision)?;
        let found = document.rules().iter().find(|found| found.id == rule).ok_or_else(missing)?;
        Ok(FoundRule { covers: found.decision, found_in })
    }

    /// Approves another's waiver, which counts from now on.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it waits for nobody; `forbidden` for its author, for whoever brought what it is for, and for a rule
    /// that denies and whose policy the caller may not set.
    pub async fn approve_waiver(&self, permit: &Permit<Promote>, id: WaiverId) -> Result<ListedWaiver> {
        let listed = self.waiver_of(permit, id).await?;
        check_right(permit, listed.waiver.level(), listed.waiver.covers)?;
        let reviewing = permit.clone();
        let waiver = self.store.write(permit, move |tx| tx.approve_waiver(&reviewing, &id)).await?;
        self.listed(permit, waiver).await
    }

    /// Takes a waiver back: whoever may review may be stricter.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it was taken back before.
    pub async fn revoke_waiver(&self, permit: &Permit<Promote>, id: WaiverId) -> Result<ListedWaiver> {
        let reviewing = permit.clone();
        let waiver = self.store.write(permit, move |tx| tx.revoke_waiver(&reviewing, &id)).await?;
        self.listed(permit, waiver).await
    }

    async fn waiver_of(&self, permit: &Permit<Promote>, id: WaiverId) -> Result<ListedWaiver> {
        let (store, asked, now) = (Arc::clone(&self.store), permit.clone(), self.store.clock().now());
        hop::run(move || store.review(&asked)?.waiver(&id, now)).await
    }

    async fn listed(&self, permit: &Permit<Promote>, waiver: Waiver) -> Result<ListedWaiver> {
        self.waiver_of(permit, waiver.id).await
    }

    /// One waiver. Blocks.
    ///
    /// # Errors
    /// `not_found`.
    pub fn waiver(&self, permit: &Permit<Promote>, id: &WaiverId) -> Result<ListedWaiver> {
        self.store.review(permit)?.waiver(id, self.store.clock().now())
    }

    /// One page of a repo's waivers, newest first. Blocks.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn waivers(
        &self,
        permit: &Permit<Promote>,
        filter: WaiverFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedWaiver>> {
        self.store.review(permit)?.waivers(filter, self.store.clock().now(), limit, cursor)
    }
}

/// What an order of the server asks for, if it can be waived.
fn order_covers(rule: &str) -> Result<Decision> {
    match rule {
        orders::FREEZE => Ok(Decision::Quarantine),
        orders::RESERVED => Err(Error::bad_request(
            "a reserved name is not waived; have the publisher named in the reservation, or the reservation deleted",
        )),
        orders::CANARY => Err(Error::bad_request("the package that proves the gate is never let in")),
        _ => Err(Error::bad_request(format!(
            "name the policy that the rule {rule} stands in: instance or repo; without one only {} is waived, and what a person or a scanner \
             holds is released by its review",
            orders::FREEZE
        ))),
    }
}

/// Whoever may review may waive what would be held for review; a denial is waived by who could take the rule out of its policy.
fn check_right(permit: &Permit<Promote>, level: Option<PolicyLevel>, covers: Decision) -> Result<()> {
    match (covers, level) {
        (Decision::Allow | Decision::Quarantine, _) => Ok(()),
        (Decision::Deny, Some(PolicyLevel::Repo) | None) => match permit.also::<Admin>() {
            Some(_) => Ok(()),
            None => Err(Error::new(Code::Forbidden, "a rule that denies is waived by an administrator of the repo; ask one")),
        },
        (Decision::Deny, Some(PolicyLevel::Instance)) => match Operator::new(permit.caller().clone()) {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = "a rule by which the instance denies is waived by who runs the instance: this needs the scope repo:*:admin";
                Err(Error::new(Code::Forbidden, message))
            }
        },
    }
}
