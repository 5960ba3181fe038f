//! The gate: gathers what is known of a version and has the policies in force evaluate it. Invariant: it answers within its
//! budget or fails closed; a slow evaluation keeps its own slot and nobody else's thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::slots::Slots;
use crate::clock::{Stopwatch, deadline_after_ms};
use crate::domain::candidate::{Candidate, PolicyLevel, orders};
use crate::domain::digest::Digest;
use crate::domain::event::Named;
use crate::domain::waiver::FiringPart;
use crate::error::{Code, Error, Result};
use crate::hop::{self, Yielding};
use crate::metrics::Metrics;
use crate::policy::{Cases, Document, Engine, PolicyInForce, Verdict, refusal_of};
use crate::store::{Dossier, PolicyRevision, PolicySnapshot, Question};

/// Policy texts checked at once: a text may take its check a second of a core.
const CONCURRENT_CHECKS: usize = 2;
/// Checked policies kept in memory.
const DOCUMENTS_KEPT: usize = 256;

/// What an evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Milliseconds for gathering and evaluating together, waiting for a slot included.
    pub budget_ms: u64,
    /// Evaluations at once.
    pub concurrent: usize,
    /// Evaluations at once of one repo, so that a slow policy holds up its own repo alone.
    pub concurrent_per_repo: usize,
}

/// The engine behind its deadline.
pub struct Gate {
    shared: Arc<Shared>,
    slots: Arc<Slots>,
    threads: Yielding,
    checks: Arc<Semaphore>,
    budget_ms: u64,
    metrics: Arc<Metrics>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    documents: Mutex<HashMap<Digest, Arc<Document>>>,
}

impl Gate {
    /// A gate that asks `engine` and counts what it decides.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, limits: GateLimits, metrics: Arc<Metrics>) -> Gate {
        let shared = Shared { engine, documents: Mutex::default() };
        Gate {
            shared: Arc::new(shared),
            slots: Arc::new(Slots::new(limits.concurrent, limits.concurrent_per_repo)),
            threads: Yielding::start("evaluation", limits.concurrent),
            checks: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
            budget_ms: limits.budget_ms,
            metrics,
        }
    }

    /// The budget in milliseconds.
    #[must_use]
    pub fn budget_ms(&self) -> u64 {
        self.budget_ms
    }

    /// The engine and its version, as recorded with every evaluation.
    #[must_use]
    pub fn engine_version(&self) -> &str {
        self.shared.engine.version()
    }

    /// When an answer to a question that begins now is due.
    pub(super) fn deadline(&self) -> Instant {
        deadline_after_ms(self.budget_ms)
    }

    /// Gathers by `gather` and evaluates, until `deadline`.
    ///
    /// # Errors
    /// What `gather` returns; `policy_timeout` past the budget; `policy_error` when the engine cannot say.
    pub(super) async fn judge<F>(&self, deadline: Instant, named: &Named, question: Question, gather: F) -> Result<Verdict>
    where
        F: FnOnce() -> Result<Dossier> + Send + 'static,
    {
        let (action, watch) = (question.action, Stopwatch::start());
        let judged = self.evaluate(deadline, named, question, gather).await;
        let decision = match &judged {
            Ok(verdict) => {
                self.count_firings(verdict);
                verdict.decision().as_str()
            }
            Err(error) if error.code() == Code::PolicyTimeout => "timeout",
            Err(error) if error.code() == Code::PolicyError => "error",
            // There was nothing to judge.
            Err(_) => return judged,
        };
        self.metrics.gate.decided(action.as_str(), decision, watch.elapsed());
        if let Ok(verdict) = &judged
            && verdict.reasons().iter().any(|reason| reason.rule == orders::CANARY)
        {
            self.metrics.gate.refused_canary(verdict.evaluated_at().unix_ms() / 1000);
        }
        judged
    }

    fn count_firings(&self, verdict: &Verdict) {
        let parts =
            [(FiringPart::Enforced, verdict.reasons()), (FiringPart::Observed, verdict.observed()), (FiringPart::Waived, verdict.waived())];
        for (part, reasons) in parts {
            reasons.iter().for_each(|reason| self.metrics.gate.fired(part, reason.policy));
        }
    }

    /// The same without counting it as a decision: nobody waits for the answer.
    ///
    /// # Errors
    /// As for [`Gate::judge`].
    pub(super) async fn evaluate<F>(&self, deadline: Instant, named: &Named, question: Question, gather: F) -> Result<Verdict>
    where
        F: FnOnce() -> Result<Dossier> + Send + 'static,
    {
        let action = question.action;
        let (shared, slots, repo) = (Arc::clone(&self.shared), Arc::clone(&self.slots), named.repo.clone());
        let threads = self.threads.clone();
        let work = async move {
            let slot = slots.acquire(Some(&repo)).await?;
            // The slot is given back when the work ends, also when nobody waits for it any more.
            threads
                .run(move || {
                    let _slot = slot;
                    let dossier = gather()?;
                    let policies = shared.in_force(dossier.policies())?;
                    let candidate = dossier.into_candidate(question)?;
                    let verdict = shared.engine.evaluate(&policies, &candidate).map_err(failed_closed)?;
                    Ok(shared.engine.foresee(&policies, &candidate, verdict))
                })
                .await
        };
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Err(error)) if error.code() == Code::PolicyError => Err(error.with("action", action.as_str())),
            Ok(result) => result,
            Err(_) => Err(Error::new(
                Code::PolicyTimeout,
                format!("the policy on {} could not be evaluated within {} ms; nothing was changed; try again", named.purl, self.budget_ms),
            )
            .with("action", action.as_str())
            .with("failClosed", true)
            .with("timeoutMs", self.budget_ms)),
        }
    }

    /// Checks a policy text and tries it on its cases, a few at once, on the blocking pool; tells how many cases there are.
    ///
    /// # Errors
    /// `bad_policy` with every fault of either text, or with every case that the policy fails.
    pub(super) async fn check_with_cases(&self, level: PolicyLevel, text: String, cases: String) -> Result<(Arc<Document>, usize)> {
        let slot = Arc::clone(&self.checks).acquire_owned().await.map_err(|cause| Error::internal("waiting to check a policy", cause))?;
        let shared = Arc::clone(&self.shared);
        hop::run(move || {
            let _slot = slot;
            let document = Arc::new(shared.engine.check(&text)?);
            let tried = Cases::read(&cases)?.try_on(&*shared.engine, level, &document)?;
            refusal_of(&tried).map_or(Ok((document, tried.len())), Err)
        })
        .await
    }

    /// The engine for work that lets nothing in, and therefore takes no place at the gate.
    pub(super) fn aside(&self) -> Aside {
        Aside(Arc::clone(&self.shared))
    }

    /// Keeps a checked policy at hand, so that the first evaluation under it need not parse it.
    pub(super) fn remember(&self, document: &Arc<Document>) {
        self.shared.remember(document);
    }

    /// A stored policy, parsed. Blocks.
    ///
    /// # Errors
    /// `policy_error` when this version's engine refuses it; its cause has the faults.
    pub(super) fn document(&self, revision: &PolicyRevision) -> Result<Arc<Document>> {
        self.shared.document(revision)
    }

    /// Evaluates a stored input again, in a slot and within the budget like any other evaluation.
    ///
    /// # Errors
    /// `policy_timeout` past the budget; `policy_error`.
    pub(super) async fn replay(&self, input: String, snapshot: PolicySnapshot) -> Result<crate::policy::Outcome> {
        let (shared, slots) = (Arc::clone(&self.shared), Arc::clone(&self.slots));
        let work = async move {
            let slot = slots.acquire(None).await?;
            hop::run(move || {
                let _slot = slot;
                let policies = shared.in_force(&snapshot)?;
                shared.engine.replay(&input, &policies).map_err(failed_closed)
            })
            .await
        };
        let late = |_| {
            Error::new(
                Code::PolicyTimeout,
                format!("the stored input could not be evaluated again within {} ms; try again", self.budget_ms),
            )
        };
        tokio::time::timeout(Duration::from_millis(self.budget_ms), work)
            .await
            .unwrap_or_else(|elapsed| Err(late(elapsed).with("failClosed", true).with("timeoutMs", self.budget_ms)))
    }
}

/// The engine beside the gate. Its calls block.
#[derive(Clone)]
pub(super) struct Aside(Arc<Shared>);

impl Aside {
    /// The checked policies of a snapshot.
    ///
    /// # Errors
    /// `policy_error` when this version's engine refuses a stored text.
    pub(super) fn in_force(&self, snapshot: &PolicySnapshot) -> Result<Vec<PolicyInForce>> {
        self.0.in_force(snapshot)
    }

    /// What these policies say of a candidate; nothing is counted.
    ///
    /// # Errors
    /// `policy_error`.
    pub(super) fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> Result<Verdict> {
        self.0.engine.evaluate(policies, candidate)
    }

    /// The engine itself.
    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }
}

impl Shared {
    /// The checked policies of a snapshot; each text is parsed once and shared.
    fn in_force(&self, snapshot: &PolicySnapshot) -> Result<Vec<PolicyInForce>> {
        snapshot.iter().map(|(level, revision)| Ok((level, self.document(revision)?))).collect()
    }

    fn document(&self, revision: &PolicyRevision) -> Result<Arc<Document>> {
        let known = self.documents.lock().unwrap_or_else(PoisonError::into_inner).get(&revision.digest).cloned();
        match known {
            Some(document) => Ok(document),
            None => self.parse(revision),
        }
    }

    /// A stored policy that this program cannot read fails closed; it was checked by an older one.
    fn parse(&self, revision: &PolicyRevision) -> Result<Arc<Document>> {
        let document = self.engine.read_stored(&revision.text).map_err(|error| {
            let whose = revision.repo.as_ref().map_or_else(|| "the instance".to_owned(), |repo| format!("repo {repo}"));
            let message = format!(
                "the policy of {whose} was stored by an earlier version and cannot be read by this one; an administrator must correct it, \
                 as `policy check` says, and store it again"
            );
            failed_closed(Error::new(Code::PolicyError, message).because(error))
        })?;
        let document = Arc::new(document);
        self.remember(&document);
        Ok(document)
    }

    fn remember(&self, document: &Arc<Document>) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.len() >= DOCUMENTS_KEPT {
            documents.clear();
        }
        documents.insert(document.digest(), Arc::clone(document));
    }
}

/// Whatever an engine fails with, the gate stays shut and says so by one code.
fn failed_closed(error: Error) -> Error {
    let shut = if error.code() == Code::PolicyError {
        error
    } else {
        Error::new(Code::PolicyError, "the policy could not be evaluated; nothing was changed; the log has the cause").because(error)
    };
    shut.with("failClosed", true)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::policy::Outcome;

    /// An engine that answers only when the test has ended.
    struct Stuck(Mutex<mpsc::Receiver<()>>);

    impl Stuck {
        fn wait<T>(&self) -> Result<T> {
            let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
            assert!(ended.is_err(), "nothing is ever sent");
            Err(Error::new(Code::PolicyError, "the test has ended"))
        }
    }

    impl Engine for Stuck {
        fn version(&self) -> &'static str {
            "stuck"
        }

        fn check(&self, _text: &str) -> Result<Document> {
            self.wait()
        }

        fn evaluate(&self, _policies: &[PolicyInForce], _candidate: &Candidate) -> Result<Verdict> {
            self.wait()
        }

        fn foresee(&self, _policies: &[PolicyInForce], _candidate: &Candidate, verdict: Verdict) -> Verdict {
            verdict
        }

        fn replay(&self, _input: &str, _policies: &[PolicyInForce]) -> Result<Outcome> {
            self.wait()
        }
    }

    #[tokio::test]
    async fn however_many_replay_on_a_stuck_engine_they_time_out_and_hold_no_more_threads_than_there_are_slots() {
        let (end, ended) = mpsc::channel();
        let gate = Gate::new(
            Arc::new(Stuck(Mutex::new(ended))),
            GateLimits { budget_ms: 20, concurrent: 2, concurrent_per_repo: 1 },
            Arc::default(),
        );
        let replays = (0..200).map(|_| gate.replay(String::new(), PolicySnapshot::default()));
        for outcome in futures_util::future::join_all(replays).await {
            assert_eq!(outcome.unwrap_err().code(), Code::PolicyTimeout);
        }
        assert_eq!(gate.slots.free(), 0);
        drop(end);
    }

    #[test]
    fn a_stored_policy_that_cannot_be_read_any_more_says_whose_it_is_and_what_to_do() {
        let gate = Gate::new(
            Arc::new(crate::policy::CedarEngine::new().unwrap()),
            GateLimits { budget_ms: 20, concurrent: 2, concurrent_per_repo: 1 },
            Arc::default(),
        );
        let text = "forbid (principal, action, resource) when { context.wasOnceAFact };";
        for (repo, whose) in [(None, "policy of the instance"), (Some("main"), "policy of repo main")] {
            let revision = PolicyRevision {
                repo: repo.map(|key| key.parse().unwrap()),
                revision: 1,
                digest: Digest::of(text.as_bytes()),
                text: text.to_owned(),
                cases: None,
                created_at: "2026-06-01T12:00:00Z".parse().unwrap(),
                created_by: "ann".parse().unwrap(),
            };
            let error = gate.document(&revision).unwrap_err();
            assert_eq!(error.code(), Code::PolicyError);
            assert!(error.message().contains(whose) && error.message().contains("policy check"), "{error}");
            assert!(!error.message().contains("wasOnceAFact"), "a publisher need not read the policy");
        }
    }
}
