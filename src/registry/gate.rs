//! The gate: gathers what is known of a version and has the policies in force evaluate it. Invariant: it answers within its
//! budget or fails closed; a slow evaluation keeps its own slot and nobody else's thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::domain::digest::Digest;
use crate::domain::event::Named;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::policy::{Document, Engine, PolicyInForce, Verdict};
use crate::store::{Dossier, PolicySnapshot, Question};

/// Checked policies kept in memory.
const DOCUMENTS_KEPT: usize = 256;

/// What an evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Milliseconds for gathering and evaluating together, waiting for a slot included.
    pub budget_ms: u64,
    /// Evaluations at once.
    pub concurrent: usize,
}

/// The engine behind its deadline.
pub struct Gate {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    budget_ms: u64,
}

struct Shared {
    engine: Arc<dyn Engine>,
    documents: Mutex<HashMap<Digest, Arc<Document>>>,
}

impl Gate {
    /// A gate that asks `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, limits: GateLimits) -> Gate {
        let shared = Shared { engine, documents: Mutex::default() };
        Gate { shared: Arc::new(shared), slots: Arc::new(Semaphore::new(limits.concurrent.max(1))), budget_ms: limits.budget_ms }
    }

    /// The budget in milliseconds.
    #[must_use]
    pub fn budget_ms(&self) -> u64 {
        self.budget_ms
    }

    /// Gathers by `gather` and evaluates, within the budget.
    ///
    /// # Errors
    /// What `gather` returns; `policy_timeout` past the budget; `policy_error` when the engine cannot say.
    pub(super) async fn judge<F>(&self, named: &Named, question: Question, gather: F) -> Result<Verdict>
    where
        F: FnOnce() -> Result<Dossier> + Send + 'static,
    {
        let action = question.action;
        let (shared, slots) = (Arc::clone(&self.shared), Arc::clone(&self.slots));
        let work = async move {
            let slot = slots.acquire_owned().await.map_err(|cause| Error::internal("waiting for a slot of the gate", cause))?;
            hop::run(move || {
                // The slot is given back when the work ends, also when nobody waits for it any more.
                let _slot = slot;
                let dossier = gather()?;
                let policies = shared.in_force(dossier.policies())?;
                shared.engine.evaluate(&policies, &dossier.into_candidate(question)).map_err(failed_closed)
            })
            .await
        };
        match tokio::time::timeout(Duration::from_millis(self.budget_ms), work).await {
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

    /// Checks a policy text.
    ///
    /// # Errors
    /// `bad_policy` with every fault.
    pub(super) fn check(&self, text: &str) -> Result<Document> {
        self.shared.engine.check(text)
    }

    /// Evaluates a stored input again.
    ///
    /// # Errors
    /// `policy_error`.
    pub(super) fn replay(&self, input: &str, snapshot: &PolicySnapshot) -> Result<crate::policy::Outcome> {
        let policies = self.shared.in_force(snapshot)?;
        self.shared.engine.replay(input, &policies)
    }
}

impl Shared {
    /// The checked policies of a snapshot; each text is parsed once and shared.
    fn in_force(&self, snapshot: &PolicySnapshot) -> Result<Vec<PolicyInForce>> {
        snapshot
            .iter()
            .map(|(level, revision)| {
                let known = self.documents.lock().unwrap_or_else(PoisonError::into_inner).get(&revision.digest).cloned();
                let document = match known {
                    Some(document) => document,
                    None => self.parse(&revision.text, revision.digest)?,
                };
                Ok((level, document))
            })
            .collect()
    }

    /// A stored policy that this program refuses fails closed; it was checked by an older one.
    fn parse(&self, text: &str, digest: Digest) -> Result<Arc<Document>> {
        let document = self.engine.check(text).map_err(|error| {
            failed_closed(Error::new(Code::PolicyError, "the stored policy cannot be read by this version; an administrator must store it again").because(error))
        })?;
        let document = Arc::new(document);
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.len() >= DOCUMENTS_KEPT {
            documents.clear();
        }
        documents.insert(digest, Arc::clone(&document));
        Ok(document)
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
