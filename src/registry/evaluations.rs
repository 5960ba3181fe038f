//! Recorded policy decisions: make one on request, list them, evaluate a stored input again. Invariant: a replay uses the
//! input and the policies as they were recorded, never as they are now.

use std::sync::Arc;

use super::Registry;
use super::admission::{ROUNDS, too_restless};
use super::inspection::all_read;
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Action, Decision};
use crate::domain::digest::Digest;
use crate::domain::id::{EvaluationId, VersionId};
use crate::domain::repo::Repo;
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::hop;
use crate::policy::{Outcome, digest_of_policies};
use crate::store::{Evaluation, EvaluationFilter, Page, PolicySnapshot, RecordedEvaluation};

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

/// What came of evaluating a stored input again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The recorded evaluation.
    pub evaluation: Evaluation,
    /// What the engine says now of the same input under the same policies.
    pub outcome: Outcome,
    /// The engine that says so.
    pub engine_version: String,
    /// Whether the input still has its recorded digest.
    pub same_input: bool,
    /// Whether the policies still have their recorded digest.
    pub same_policies: bool,
    /// Whether all is the same: input, policies, decision and reasons.
    pub matches: bool,
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

    /// Evaluates a recorded input again, under the policies it was judged by.
    ///
    /// # Errors
    /// `not_found`; `policy_error` when this version's engine cannot read the input; `policy_timeout`.
    pub async fn verify_evaluation(&self, permit: &Permit<Promote>, id: EvaluationId) -> Result<Replay> {
        let (store, asked) = (Arc::clone(&self.store), permit.clone());
        // The connection is given back before the engine works: it is one of few.
        let (RecordedEvaluation { evaluation, input }, snapshot) = hop::run(move || {
            let view = store.review(&asked)?;
            let recorded = view.recorded(&id)?;
            let snapshot = view.policies_of(&recorded.evaluation)?.into_iter().fold(PolicySnapshot::default(), PolicySnapshot::with);
            Ok((recorded, snapshot))
        })
        .await?;
        let same_input = Digest::of(input.as_bytes()) == evaluation.input_digest;
        let same_policies = digest_of_policies(&snapshot.digests()) == evaluation.policy_digest;
        let outcome = self.gate.replay(input, snapshot).await?;
        let same_outcome =
            outcome.decision == evaluation.decision && outcome.source == evaluation.source && outcome.reasons == evaluation.reasons;
        let matches = same_input && same_policies && same_outcome;
        Ok(Replay { evaluation, outcome, engine_version: self.gate.engine_version().to_owned(), same_input, same_policies, matches })
    }
}
