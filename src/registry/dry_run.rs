//! A policy tried on everything that is stored, before it decides anything. Invariant: nothing is written, one trial runs at a time, it
//! takes no place at the gate, and it holds a bounded part of what it looks at in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Registry;
use super::gate::Aside;
use crate::domain::access::{Admin, Operator, Permit};
use crate::domain::candidate::{Decision, PolicyLevel, Reason, waiver_of};
use crate::domain::digest::Digest;
use crate::domain::event::Named;
use crate::domain::lifecycle::State;
use crate::domain::repo::Repo;
use crate::domain::time::Time;
use crate::domain::waiver::FiringPart;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::policy::{Document, Outcome, PolicyInForce};
use crate::store::{Question, Store, SurveyPage, Surveyed};

/// Versions looked at between two returns of the connection.
const PAGE: usize = 200;
/// When to come back while another trial runs.
const RETRY_AFTER_SECONDS: u64 = 10;

/// What a policy is tried on, and the right to do so.
#[derive(Clone)]
pub enum Extent {
    /// One repo.
    Repo(Permit<Admin>),
    /// All repos.
    Instance(Operator),
}

/// A policy to be tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its text.
    pub text: String,
    /// Whose policy it takes the place of.
    pub level: PolicyLevel,
    /// Only on what was first seen or published since then.
    pub since: Option<Time>,
}

/// A version that would be otherwise under the policy that is tried.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which.
    pub named: Named,
    /// What it is.
    pub state: State,
    /// What was decided of it last.
    pub decision: Option<Decision>,
    /// What the policy that is tried decides.
    pub becomes: Decision,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What a trial has come to so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Versions looked at.
    pub judged: u64,
    /// Versions by what is decided of them.
    pub decisions: BTreeMap<Decision, u64>,
    /// How often each rule fired, with its level, what became of it, and what it asks for.
    pub rules: BTreeMap<(String, FiringPart, Decision), u64>,
    /// Visible versions that would be held.
    pub held: u64,
    /// Visible versions that would be denied.
    pub denied: u64,
    /// Held versions that would be released.
    pub released: u64,
    /// Held versions that would be denied.
    pub held_and_denied: u64,
    /// Versions of which the policy could not be evaluated; at the gate, that fails closed.
    pub failed: u64,
}

/// What a trial gives next.
#[derive(Debug)]
pub enum Progress {
    /// Versions that would change, perhaps none, and how many were looked at.
    Page(Vec<Change>, u64),
    /// Nothing more.
    End(Box<Tally>),
}

/// A trial at work. It ends when it is dropped.
pub struct DryRun {
    store: Arc<Store>,
    engine: Aside,
    candidate: Arc<Document>,
    trial: Trial,
    repos: VecDeque<Repo>,
    place: Option<Place>,
    tally: Tally,
    has_ended: bool,
    _only_one: OwnedSemaphorePermit,
}

/// Where in a repo it is, with the policies that decide there.
#[derive(Clone)]
struct Place {
    repo: Repo,
    policies: Arc<[PolicyInForce]>,
    after: Option<crate::domain::id::VersionId>,
}

impl Registry {
    /// Begins to try a policy on what is stored.
    ///
    /// # Errors
    /// `bad_policy` with every fault; `too_many_requests` while another trial runs.
    pub async fn dry_run(&self, extent: &Extent, trial: Trial) -> Result<DryRun> {
        let only_one = self.only_one()?;
        let (candidate, _) = self.gate.check_with_cases(trial.level, trial.text.clone(), String::new()).await?;
        let repos = match extent {
            Extent::Repo(permit) => VecDeque::from([permit.repo().clone()]),
            Extent::Instance(_) => {
                let store = Arc::clone(&self.store);
                hop::run(move || store.repos()).await?.into()
            }
        };
        Ok(DryRun {
            store: Arc::clone(&self.store),
            engine: self.gate.aside(),
            candidate,
            trial,
            repos,
            place: None,
            tally: Tally::default(),
            has_ended: false,
            _only_one: only_one,
        })
    }
}

impl Registry {
    /// The right to look through all that is stored: one at a time, so that everybody else is served meanwhile.
    pub(super) fn only_one(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.trials).try_acquire_owned().map_err(|_| {
            let message = "a policy is being tried on what is stored, or records are being verified; try again when that has ended";
            Error::new(Code::TooManyRequests, message).with("retryAfterSeconds", RETRY_AFTER_SECONDS)
        })
    }
}

impl DryRun {
    /// The digest of the policy that is tried.
    #[must_use]
    pub fn policy_digest(&self) -> Digest {
        self.candidate.digest()
    }

    /// Looks at the next versions; `None` after the end.
    ///
    /// # Errors
    /// Internal when the store fails; `policy_error` when a stored policy cannot be read.
    pub async fn next(&mut self) -> Result<Option<Progress>> {
        if self.has_ended {
            return Ok(None);
        }
        let Some(place) = self.place().await? else {
            self.has_ended = true;
            return Ok(Some(Progress::End(Box::new(std::mem::take(&mut self.tally)))));
        };
        let (store, engine, since) = (Arc::clone(&self.store), self.engine.clone(), self.trial.since);
        let mut tally = std::mem::take(&mut self.tally);
        let at = place.clone();
        let (changes, tally, last) = hop::run(move || {
            let page = SurveyPage { repo: &at.repo, after: at.after, since, limit: PAGE };
            let (asked_at, mut changes) = (store.clock().now(), Vec::new());
            let last = store.survey(page, |surveyed| {
                changes.extend(judge(&engine, &at.policies, surveyed, asked_at, &mut tally));
                Ok(())
            })?;
            Ok((changes, tally, last))
        })
        .await?;
        self.place = last.map(|last| Place { after: Some(last), ..place });
        let judged = tally.judged;
        self.tally = tally;
        Ok(Some(Progress::Page(changes, judged)))
    }

    /// Where to go on: in the repo looked at, or in the next one.
    async fn place(&mut self) -> Result<Option<Place>> {
        if let Some(place) = self.place.take() {
            return Ok(Some(place));
        }
        let Some(repo) = self.repos.pop_front() else { return Ok(None) };
        let (store, engine, key) = (Arc::clone(&self.store), self.engine.clone(), repo.key.clone());
        let stored = hop::run(move || engine.in_force(&store.policies_in_force(&key)?)).await?;
        let others = stored.into_iter().filter(|(level, _)| *level != self.trial.level);
        let policies: Arc<[PolicyInForce]> = others.chain([(self.trial.level, Arc::clone(&self.candidate))]).collect();
        Ok(Some(Place { repo, policies, after: None }))
    }
}

/// Judges one version, counts it, and gives it back if it would change.
fn judge(engine: &Aside, policies: &[PolicyInForce], surveyed: Surveyed, asked_at: Time, tally: &mut Tally) -> Option<Change> {
    let Surveyed { named, state, is_held_by_hand, decision, asked, dossier } = surveyed;
    tally.judged += 1;
    let question =
        Question { action: asked.action, subject: asked.subject, roles: asked.roles, token_id: asked.token_id, asked_at, hint: asked.hint };
    let judged = dossier.into_candidate(question).and_then(|candidate| engine.evaluate(policies, &candidate));
    let outcome = match judged {
        Ok(verdict) => verdict.outcome().clone(),
        Err(error) => {
            tracing::warn!(version = %named.version_id, ?error, "a policy that is tried cannot be evaluated");
            tally.failed += 1;
            return None;
        }
    };
    tally.count(&outcome);
    let counter = match (state, outcome.decision) {
        (State::Published, Decision::Quarantine) => &mut tally.held,
        (State::Published, Decision::Deny) => &mut tally.denied,
        (State::Quarantined, Decision::Allow) if !is_held_by_hand => &mut tally.released,
        (State::Quarantined, Decision::Deny) if decision != Some(Decision::Deny) => &mut tally.held_and_denied,
        (State::Published | State::Quarantined | State::Draft | State::Rejected | State::Tombstoned, _) => return None,
    };
    *counter += 1;
    Some(Change { named, state, decision, becomes: outcome.decision, reasons: outcome.reasons })
}

impl Tally {
    /// Versions that would change.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.held + self.denied + self.released + self.held_and_denied
    }

    fn count(&mut self, outcome: &Outcome) {
        *self.decisions.entry(outcome.decision).or_default() += 1;
        let parts =
            [(FiringPart::Enforced, &outcome.reasons), (FiringPart::Observed, &outcome.observed), (FiringPart::Waived, &outcome.waived)];
        for (part, reasons) in parts {
            for reason in reasons {
                *self.rules.entry((waiver_of(reason.policy, &reason.rule), part, reason.decision)).or_default() += 1;
            }
        }
    }
}
