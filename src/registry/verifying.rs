//! Many recorded decisions held against their inputs, one after the other. Invariant: every record of the stretch is looked at, one that
//! cannot be judged again counts as a failure, and what is in memory is a page.

use std::collections::VecDeque;
use std::sync::Arc;

use super::proof::Proof;
use crate::domain::id::EvaluationId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::error::{Code, Error, Result};
use crate::policy::{Engine, Outcome, PolicyInForce};
use crate::store::{Evaluation, Ledger, LedgerPage, PolicySnapshot, RecordedEvaluation};

/// Records read at once.
const PAGE: usize = 50;

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    /// The repos; taken one after the other.
    pub repos: VecDeque<RepoKey>,
    /// None that is older.
    pub since: Option<Time>,
    /// None that is younger.
    pub until: Option<Time>,
}

/// What a verification has come to so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records looked at.
    pub checked: u64,
    /// Those that are proven.
    pub matched: u64,
    /// Those that are not what their input comes to.
    pub mismatched: u64,
    /// Those that this engine cannot judge again.
    pub failed: u64,
    /// Those that would be decided otherwise today, where that was asked for.
    pub drifted: u64,
}

/// A record that is to be told of.
#[derive(Debug)]
pub enum Finding {
    /// It is not what its input comes to, or would be decided otherwise today.
    Proof(Box<Proof>),
    /// It cannot be judged again.
    Failed(EvaluationId, RepoKey, String),
}

/// Which policies: the repo, the instance's revision, the repo's own.
type Revisions = (RepoKey, u64, u64);

/// A verification at work.
#[derive(Debug)]
pub struct Verifying {
    stretch: Stretch,
    after: Option<(i64, String)>,
    /// The policies of the record before: the next one mostly has the same.
    policies: Option<(Revisions, PolicySnapshot, Arc<[PolicyInForce]>)>,
    tally: Verified,
}

/// What says today's verdict on a record.
pub type AskToday<'a> = &'a dyn Fn(&RecordedEvaluation) -> Option<Outcome>;

impl Verifying {
    /// Begins at the first record.
    #[must_use]
    pub fn new(stretch: Stretch) -> Verifying {
        Verifying { stretch, after: None, policies: None, tally: Verified::default() }
    }

    /// What it has come to.
    #[must_use]
    pub fn tally(&self) -> Verified {
        self.tally
    }

    /// Looks at the next records; `None` at the end. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next(&mut self, ledger: &Ledger, engine: &dyn Engine, today: Option<AskToday<'_>>) -> Result<Option<Vec<Finding>>> {
        let Some(repo) = self.stretch.repos.front().cloned() else { return Ok(None) };
        let since = self.stretch.since.map_or(i64::MIN, Time::unix_ms);
        let after = self.after.take().unwrap_or((since, String::new()));
        let recorded = ledger.page(&LedgerPage { repo, after, until: self.stretch.until, limit: PAGE })?;
        match recorded.last() {
            Some(last) => self.after = Some((last.evaluation.evaluated_at.unix_ms(), last.evaluation.id.to_string())),
            None => drop(self.stretch.repos.pop_front()),
        }
        let mut findings = Vec::new();
        for recorded in recorded {
            findings.extend(self.check(ledger, engine, recorded, today)?);
        }
        Ok(Some(findings))
    }

    fn check(
        &mut self,
        ledger: &Ledger,
        engine: &dyn Engine,
        recorded: RecordedEvaluation,
        today: Option<AskToday<'_>>,
    ) -> Result<Option<Finding>> {
        self.tally.checked += 1;
        let (id, repo) = (recorded.evaluation.id, recorded.evaluation.repo.clone());
        let verdict_of_today = today.and_then(|today| today(&recorded));
        let proof = match self.policies_of(ledger, engine, &recorded.evaluation) {
            Ok((snapshot, policies)) => prove(engine, recorded, &snapshot, &policies),
            Err(error) => Err(error),
        };
        let proof = match proof {
            Ok(proof) => proof.with_today(verdict_of_today),
            Err(error) if error.code() == Code::PolicyError || error.code() == Code::BadPolicy => {
                self.tally.failed += 1;
                return Ok(Some(Finding::Failed(id, repo, because(&error))));
            }
            Err(error) => return Err(error),
        };
        let has_drifted = proof.today.as_ref().is_some_and(|today| today.differs);
        self.tally.drifted += u64::from(has_drifted);
        let counter = if proof.matches() { &mut self.tally.matched } else { &mut self.tally.mismatched };
        *counter += 1;
        Ok((!proof.matches() || has_drifted).then(|| Finding::Proof(Box::new(proof))))
    }

    fn policies_of(
        &mut self,
        ledger: &Ledger,
        engine: &dyn Engine,
        evaluation: &Evaluation,
    ) -> Result<(PolicySnapshot, Arc<[PolicyInForce]>)> {
        let key = (evaluation.repo.clone(), evaluation.instance_revision, evaluation.repo_revision);
        if let Some((_, snapshot, policies)) = self.policies.as_ref().filter(|(known, _, _)| *known == key) {
            return Ok((snapshot.clone(), Arc::clone(policies)));
        }
        let snapshot = ledger.policies_of(evaluation)?;
        let policies = parsed(engine, &snapshot)?;
        self.policies = Some((key, snapshot.clone(), Arc::clone(&policies)));
        Ok((snapshot, policies))
    }
}

/// The policies of a snapshot, checked.
///
/// # Errors
/// `bad_policy` for a text that this engine refuses.
pub fn parsed(engine: &dyn Engine, snapshot: &PolicySnapshot) -> Result<Arc<[PolicyInForce]>> {
    snapshot.iter().map(|(level, revision)| Ok((level, Arc::new(engine.check(&revision.text)?)))).collect()
}

/// Judges a recorded input again and holds the record against it. Blocks.
///
/// # Errors
/// `policy_error` when this engine cannot judge it.
pub fn prove(engine: &dyn Engine, recorded: RecordedEvaluation, snapshot: &PolicySnapshot, policies: &[PolicyInForce]) -> Result<Proof> {
    let outcome = engine.replay(&recorded.input, policies)?;
    Proof::of(recorded, snapshot, outcome, engine.version())
}

/// Why a record cannot be judged again: who verifies may read the cause.
fn because(error: &Error) -> String {
    error.cause().map_or_else(|| error.to_string(), ToString::to_string)
}
