//! Recorded policy decisions: make one on request, list them, evaluate a stored input again. Invariant: a replay uses the
//! input and the policies as they were recorded, never as they are now.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Registry;
use super::admission::{ROUNDS, too_restless};
use super::gate::Aside;
use super::inspection::all_read;
use super::proof::Proof;
use super::verifying::{AskToday, Finding, Stretch, Verified, Verifying};
use crate::domain::access::{Operator, Permit, Promote};
use crate::domain::candidate::{Action, Decision};
use crate::domain::id::{EvaluationId, VersionId};
use crate::domain::repo::Repo;
use crate::domain::time::Time;
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::hop;
use crate::policy::{Asked, Explanation, Outcome, explain};
use crate::store::{Evaluation, EvaluationFilter, Page, PolicySnapshot, Question, RecordedEvaluation, Store};

/// What somebody asks the gate.
#[derive(Debug, Clone)]
pub struct EvaluationRequest {
    /// Which version.
    pub version_id: VersionId,
    /// For which way in: publish or promote.
    pub action: Action,
    /// An external scanner's verdict; it can only tighten.
    pub hint: Option<Decision>,
    /// Why it is asked.
    pub reason: String,
    /// The engine that must answer, if that matters to who asks.
    pub engine_version: Option<String>,
}

/// Whether today's verdict is wanted beside the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// It is.
    Told,
    /// It is not.
    Untold,
}

/// Which records are verified, and the right to do so.
#[derive(Clone)]
pub enum WhichRecords {
    /// Those of one repo.
    Repo(Permit<Promote>),
    /// Those of all repos.
    Everywhere(Operator),
}

/// A verification of many records at work. It ends when it is dropped.
pub struct Checking {
    store: Arc<Store>,
    engine: Aside,
    drift: Drift,
    /// What is left to be looked at; taken while it is looked at.
    verifying: Option<Verifying>,
    _only_one: OwnedSemaphorePermit,
}

impl Registry {
    /// Evaluates a version because somebody asks; one that the policy quarantines is held.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for another action than publish and promote; `conflict` when another engine is asked for;
    /// `policy_timeout` and `policy_error`, fail closed.
    pub async fn evaluate(&self, permit: &Permit<Promote>, request: EvaluationRequest) -> Result<Evaluation> {
        self.check_request(&request)?;
        let EvaluationRequest { version_id: id, action, hint, reason, engine_version: _ } = request;
        for _ in 0..ROUNDS {
            let (store, asked) = (Arc::clone(&self.store), permit.clone());
            let repo: Repo = permit.repo().clone();
            let into = repo.clone();
            let seen = hop::run(move || store.review(&asked)?.dossier(&id, &into).map(|dossier| (dossier.named(), dossier.unread())));
            let (named, unread) = seen.await?;
            let read = self.inspect(permit.repo_key(), unread).await;
            self.recorded(permit, &named, action, read).await?;
            let deadline = self.gate.deadline();
            let question = self.question(permit, permit.roles(), action, hint);
            let (store, asked) = (Arc::clone(&self.store), permit.clone());
            let judged = self.gate.judge(deadline, &named, question, move || all_read(store.review(&asked)?.dossier(&id, &repo)?)).await;
            let verdict = self.recorded(permit, &named, action, judged).await?;
            let (reviewing, reason) = (permit.clone(), reason.clone());
            let evaluated = self.store.write(permit, move |tx| tx.evaluate(&reviewing, &verdict, &reason)).await?;
            if let Some(evaluation_id) = evaluated {
                let (store, asked) = (Arc::clone(&self.store), permit.clone());
                return hop::run(move || store.review(&asked)?.evaluation(&evaluation_id)).await;
            }
        }
        Err(too_restless())
    }

    fn check_request(&self, request: &EvaluationRequest) -> Result<()> {
        match request.action {
            Action::Publish | Action::Promote => {}
            Action::Restore | Action::Fetch | Action::Import => {
                return Err(Error::bad_request(format!("action must be publish or promote; {} is asked by its own route", request.action)));
            }
        }
        check_words("reason", &request.reason)?;
        let own = self.gate.engine_version();
        match &request.engine_version {
            Some(wanted) if wanted != own => {
                Err(Error::conflict(format!("this server's policy engine is {own}; leave policyEngineVersion out or name that one"))
                    .with("policyEngineVersion", own))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A recorded evaluation with its input.
    ///
    /// # Errors
    /// `not_found`.
    pub fn evaluation(&self, permit: &Permit<Promote>, id: &EvaluationId) -> Result<RecordedEvaluation> {
        self.store.review(permit)?.recorded(id)
    }

    /// One page of a repo's evaluations, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn evaluations(
        &self,
        permit: &Permit<Promote>,
        filter: &EvaluationFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Evaluation>> {
        self.store.review(permit)?.evaluations(filter, limit, cursor)
    }

    /// Evaluates a recorded input again, under the policies it was judged by, and holds the record against that.
    ///
    /// # Errors
    /// `not_found`; `policy_error` when this version's engine cannot read the input; `policy_timeout`.
    pub async fn verify_evaluation(&self, permit: &Permit<Promote>, id: EvaluationId, drift: Drift) -> Result<Proof> {
        let (recorded, snapshot) = self.recorded_with_policies(permit, id).await?;
        let outcome = self.gate.replay(recorded.input.clone(), snapshot.clone()).await?;
        let today = match drift {
            Drift::Untold => None,
            Drift::Told => {
                let (store, engine, recorded) = (Arc::clone(&self.store), self.gate.aside(), recorded.clone());
                hop::run(move || Ok(today(&store, &engine, &recorded))).await?
            }
        };
        Ok(Proof::of(recorded, &snapshot, outcome, self.gate.engine_version())?.with_today(today))
    }

    /// Says in words which rule fired on which fact, and what would stop it.
    ///
    /// # Errors
    /// As for a verification.
    pub async fn explain_evaluation(&self, permit: &Permit<Promote>, id: EvaluationId) -> Result<(Evaluation, Explanation)> {
        let (recorded, snapshot) = self.recorded_with_policies(permit, id).await?;
        let engine = self.gate.aside();
        let RecordedEvaluation { evaluation, input, words: _ } = recorded;
        // It asks the engine often: beside the gate, one at a time.
        let slot = self.explanations.acquire().await.map_err(|cause| Error::internal("waiting to explain", cause))?;
        let explained = hop::run(move || explain(engine.engine(), &input, &engine.in_force(&snapshot)?)).await?;
        drop(slot);
        Ok((evaluation, explained))
    }

    /// The connection is given back before the engine works: it is one of few.
    async fn recorded_with_policies(&self, permit: &Permit<Promote>, id: EvaluationId) -> Result<(RecordedEvaluation, PolicySnapshot)> {
        let (store, asked) = (Arc::clone(&self.store), permit.clone());
        hop::run(move || {
            let view = store.review(&asked)?;
            let recorded = view.recorded(&id)?;
            let snapshot = view.policies_of(&recorded.evaluation)?.into_iter().fold(PolicySnapshot::default(), PolicySnapshot::with);
            Ok((recorded, snapshot))
        })
        .await
    }

    /// Begins to verify many records.
    ///
    /// # Errors
    /// `too_many_requests` while another one runs, or a policy is being tried.
    pub async fn verify_evaluations(
        &self,
        which: &WhichRecords,
        since: Option<Time>,
        until: Option<Time>,
        drift: Drift,
    ) -> Result<Checking> {
        let only_one = self.only_one()?;
        let repos = match which {
            WhichRecords::Repo(permit) => [permit.repo_key().clone()].into(),
            WhichRecords::Everywhere(_) => {
                let store = Arc::clone(&self.store);
                hop::run(move || store.ledger()?.repos()).await?
            }
        };
        let verifying = Verifying::new(Stretch { repos, since, until });
        Ok(Checking { store: Arc::clone(&self.store), engine: self.gate.aside(), drift, verifying: Some(verifying), _only_one: only_one })
    }
}

impl Checking {
    /// Looks at the next records, and tells of those that are to be told of; `None` at the end.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn next(&mut self) -> Result<(Option<Vec<Finding>>, Verified)> {
        let Some(mut verifying) = self.verifying.take() else {
            return Err(Error::internal("verifying records", "it was asked again after a failure"));
        };
        let (store, engine, drift) = (Arc::clone(&self.store), self.engine.clone(), self.drift);
        let (found, verifying) = hop::run(move || {
            let ask = |recorded: &RecordedEvaluation| today(&store, &engine, recorded);
            let asked: Option<AskToday<'_>> = if drift == Drift::Told { Some(&ask) } else { None };
            let found = verifying.next(&store.ledger()?, engine.engine(), asked)?;
            Ok((found, verifying))
        })
        .await?;
        let tally = verifying.tally();
        self.verifying = Some(verifying);
        Ok((found, tally))
    }
}

/// What would be decided today of a recorded question, with today's facts and policies; `None` when the version or the repo is gone, or
/// nothing can be said.
fn today(store: &Store, engine: &Aside, recorded: &RecordedEvaluation) -> Option<Outcome> {
    let judged = || -> Result<Option<Outcome>> {
        let Some(repo) = store.find_repo(&recorded.evaluation.repo)? else { return Ok(None) };
        let Some(dossier) = store.find_dossier(&recorded.evaluation.version_id, &repo)? else { return Ok(None) };
        let asked = Asked::read(&recorded.input)?;
        let policies = engine.in_force(dossier.policies())?;
        let question = Question {
            action: asked.action,
            subject: asked.subject,
            roles: asked.roles,
            token_id: asked.token_id,
            asked_at: store.clock().now(),
            hint: asked.hint,
        };
        Ok(Some(engine.evaluate(&policies, &dossier.into_candidate(question)?)?.outcome().clone()))
    };
    judged().unwrap_or_else(|error| {
        tracing::warn!(evaluation = %recorded.evaluation.id, ?error, "today's verdict cannot be said");
        None
    })
}
