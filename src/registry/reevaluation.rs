//! Judging again what is visible or held, by the server itself. Invariant: the gate decides as for anybody, with the question asked
//! before and the facts of now; when it cannot say, everything stays as it is.

use std::sync::Arc;

use super::Registry;
use super::admission::{ROUNDS, too_restless};
use super::inspection::all_read;
use crate::domain::access::Actor;
use crate::domain::id::VersionId;
use crate::domain::time::Time;
use crate::error::Result;
use crate::hop;
use crate::store::{Case, Question, Reevaluated};

/// Who judges again.
const POLICY: &str = "policy";

/// What came of judging a version again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reevaluation {
    /// What was done.
    pub outcome: Reevaluated,
    /// When the verdict changes by itself.
    pub next_change: Option<Time>,
}

impl Registry {
    /// Judges a version again; `None` when there is nothing the policy could do with it: a draft, something rejected or taken back,
    /// or a hold by hand.
    ///
    /// # Errors
    /// `policy_timeout` and `policy_error`; then nothing has changed.
    pub async fn reevaluate(&self, id: VersionId) -> Result<Option<Reevaluation>> {
        let actor = Actor::system(POLICY);
        for _ in 0..ROUNDS {
            let store = Arc::clone(&self.store);
            let found = hop::run(move || {
                let Some(case) = store.find_case(&id)? else { return Ok(None) };
                let unread = store.case_dossier(&case)?.unread();
                Ok(Some((case, unread)))
            });
            let Some((case, unread)) = found.await? else { return Ok(None) };
            let case = Arc::new(case);
            let read = self.inspect(&case.named.repo, unread).await;
            self.recorded(&actor, &case.named, case.asked.action, read).await?;
            let deadline = self.gate.deadline();
            let (store, known) = (Arc::clone(&self.store), Arc::clone(&case));
            let judged = self.gate.evaluate(deadline, &case.named, self.again(&case), move || all_read(store.case_dossier(&known)?)).await;
            if judged.is_err() {
                self.store.metrics().gate.reevaluated("failed");
            }
            let verdict = self.recorded(&actor, &case.named, case.asked.action, judged).await?;
            let next_change = verdict.next_change();
            if case.is_settled_by(&verdict) {
                return Ok(Some(self.counted(Reevaluated::Unchanged, next_change)));
            }
            let outcome = self.store.write(&actor, move |tx| tx.reevaluate(&case, &verdict)).await?;
            if outcome != Reevaluated::Stale {
                return Ok(Some(self.counted(outcome, next_change)));
            }
        }
        Err(too_restless())
    }

    fn again(&self, case: &Case) -> Question {
        let asked = case.asked.clone();
        Question {
            action: asked.action,
            subject: asked.subject,
            roles: asked.roles,
            token_id: asked.token_id,
            asked_at: self.store.clock().now(),
            hint: asked.hint,
        }
    }

    fn counted(&self, outcome: Reevaluated, next_change: Option<Time>) -> Reevaluation {
        self.store.metrics().gate.reevaluated(match outcome {
            Reevaluated::Unchanged | Reevaluated::Stale => "unchanged",
            Reevaluated::Recorded => "recorded",
            Reevaluated::Released => "released",
            Reevaluated::Held => "held",
        });
        Reevaluation { outcome, next_change }
    }
}
