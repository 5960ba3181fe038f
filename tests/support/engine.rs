//! The engine of the tests: Cedar, which can be made to hang or to fail. Invariant: whatever it decides, Cedar decided.

use std::sync::{Arc, Condvar, Mutex};

use artifortress::domain::candidate::Candidate;
use artifortress::error::{Error, Result};
use artifortress::policy::{CedarEngine, Document, Engine, Outcome, PolicyInForce, Verdict};

/// How the engine behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It evaluates.
    Sound,
    /// It does not answer until its mood changes.
    Stuck,
    /// It does not answer what is asked of this repo.
    StuckFor(&'static str),
    /// It fails.
    Failing,
}

impl Mood {
    fn is_stuck_for(self, candidate: &Candidate) -> bool {
        match self {
            Mood::Stuck => true,
            Mood::StuckFor(repo) => candidate.repo.as_str() == repo,
            Mood::Sound | Mood::Failing => false,
        }
    }
}

/// Cedar with a mood.
pub struct MoodyEngine {
    cedar: CedarEngine,
    mood: Mutex<(Mood, u64)>,
    changed: Condvar,
}

impl MoodyEngine {
    /// A sound one.
    pub fn new() -> Arc<MoodyEngine> {
        Arc::new(MoodyEngine { cedar: CedarEngine::new().unwrap(), mood: Mutex::new((Mood::Sound, 0)), changed: Condvar::new() })
    }

    /// Changes the mood; those who were stuck go on.
    pub fn set(&self, mood: Mood) {
        self.mood.lock().unwrap().0 = mood;
        self.changed.notify_all();
    }

    /// How many evaluations were asked for.
    pub fn asked(&self) -> u64 {
        self.mood.lock().unwrap().1
    }

    /// Blocks until `count` evaluations were asked for.
    pub fn wait_until_asked(&self, count: u64) {
        let mood = self.mood.lock().unwrap();
        drop(self.changed.wait_while(mood, |(_, asked)| *asked < count).unwrap());
    }
}

impl Engine for MoodyEngine {
    fn version(&self) -> &str {
        self.cedar.version()
    }

    fn check(&self, text: &str) -> Result<Document> {
        self.cedar.check(text)
    }

    fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> Result<Verdict> {
        let mut mood = self.mood.lock().unwrap();
        mood.1 += 1;
        self.changed.notify_all();
        let mood = self.changed.wait_while(mood, |(mood, _)| mood.is_stuck_for(candidate)).unwrap();
        if mood.0 == Mood::Failing {
            return Err(Error::internal("evaluating", "a secret of the evaluator"));
        }
        drop(mood);
        self.cedar.evaluate(policies, candidate)
    }

    fn foresee(&self, policies: &[PolicyInForce], candidate: &Candidate, verdict: Verdict) -> Verdict {
        self.cedar.foresee(policies, candidate, verdict)
    }

    fn replay(&self, input: &str, policies: &[PolicyInForce]) -> Result<Outcome> {
        self.cedar.replay(input, policies)
    }
}
