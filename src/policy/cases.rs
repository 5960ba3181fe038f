//! Examples kept beside a policy: a question with its facts, and what the policy must say. Invariant: a case is evaluated by the engine
//! like any other question, and a policy that fails one of its own cases says which, what was expected and what came.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::document::Document;
use super::engine::Engine;
use super::fault::Fault;
use super::verdict::{Outcome, PolicyInForce};
use crate::domain::candidate::{Decision, PolicyLevel, Reason};
use crate::error::{Code, Error, Result};

mod asked;
mod written;

/// Bytes that the cases of a policy may have.
pub const CASES_LIMIT_BYTES: usize = 256 * 1024;
/// Cases that a policy may have.
pub const CASES_LIMIT: usize = 1_000;
/// Failing cases that a refusal lists.
const FAILING_LIMIT: usize = 100;

/// The examples of one policy, read and ready to be tried.
#[derive(Debug)]
pub struct Cases {
    text: String,
    cases: Vec<Case>,
}

/// One example.
#[derive(Debug)]
struct Case {
    name: String,
    line: usize,
    input: String,
    expected: Expected,
}

/// What an example expects; what it does not say may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// The decision.
    pub decision: Decision,
    /// Exactly the rules that decide or would have but for a stricter one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<BTreeSet<String>>,
    /// Exactly the rules on observation that fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<BTreeSet<String>>,
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Got {
    /// The decision.
    pub decision: Decision,
    /// The enforced rules that fired.
    pub rules: BTreeSet<String>,
    /// The rules on observation that fired.
    pub observed: BTreeSet<String>,
}

/// What became of one example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// The line of the cases that it begins at, from 1.
    pub line: usize,
    /// Whether the policy said what was expected.
    pub passed: bool,
    /// What was expected.
    pub expected: Expected,
    /// What the policy said.
    pub got: Got,
}

impl Cases {
    /// Reads cases; an empty text has none.
    ///
    /// # Errors
    /// `bad_policy` with every fault in the member `faults`, each with `file: "cases"`.
    pub fn read(text: &str) -> Result<Cases> {
        Ok(Cases { cases: written::read(text)?, text: text.to_owned() })
    }

    /// The text, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cases.len()
    }

    /// Tries each on `document` alone, as a policy of this level.
    ///
    /// # Errors
    /// `policy_error` when the engine cannot evaluate one.
    pub fn try_on(&self, engine: &dyn Engine, level: PolicyLevel, document: &Arc<Document>) -> Result<Vec<Tried>> {
        let policies: [PolicyInForce; 1] = [(level, Arc::clone(document))];
        self.cases.iter().map(|case| case.tried(engine.replay(&case.input, &policies)?)).collect()
    }
}

impl Case {
    fn tried(&self, outcome: Outcome) -> Result<Tried> {
        let names = |reasons: &[Reason]| reasons.iter().map(|reason| reason.rule.clone()).collect::<BTreeSet<String>>();
        let got = Got { decision: outcome.decision, rules: names(&outcome.reasons), observed: names(&outcome.observed) };
        let Expected { decision, rules, observed } = &self.expected;
        let is_as = |wanted: &Option<BTreeSet<String>>, got: &BTreeSet<String>| wanted.as_ref().is_none_or(|wanted| wanted == got);
        let passed = *decision == got.decision && is_as(rules, &got.rules) && is_as(observed, &got.observed);
        Ok(Tried { name: self.name.clone(), line: self.line, passed, expected: self.expected.clone(), got })
    }
}

impl Tried {
    /// What is wrong, in words; what came is named only as far as something was expected of it.
    #[must_use]
    pub fn difference(&self) -> String {
        let words = |decision: Decision, rules: Option<&BTreeSet<String>>, observed: Option<&BTreeSet<String>>| {
            let list = |names: &BTreeSet<String>| match names.is_empty() {
                true => "none".to_owned(),
                false => names.iter().cloned().collect::<Vec<_>>().join(", "),
            };
            let rules = rules.map(|rules| format!(", rules {}", list(rules))).unwrap_or_default();
            let observed = observed.map(|observed| format!(", observed {}", list(observed))).unwrap_or_default();
            format!("{decision}{rules}{observed}")
        };
        let Expected { decision, rules, observed } = &self.expected;
        let got = words(self.got.decision, Some(&self.got.rules), observed.as_ref().map(|_| &self.got.observed));
        format!("expected {}; got {got}", words(*decision, rules.as_ref(), observed.as_ref()))
    }

    fn fault(&self) -> Fault {
        let message = format!("the case \"{}\" fails: {}", self.name, self.difference());
        Fault { line: self.line, column: 1, message, help: None, file: Some("cases") }
    }
}

/// The refusal of a policy that fails these of its cases; `None` when all passed.
#[must_use]
pub fn refusal_of(tried: &[Tried]) -> Option<Error> {
    let failing: Vec<&Tried> = tried.iter().filter(|case| !case.passed).collect();
    let first = failing.first()?;
    let listed: Vec<&Tried> = failing.iter().take(FAILING_LIMIT).copied().collect();
    let faults: Vec<Fault> = listed.iter().map(|case| case.fault()).collect();
    let message = format!(
        "the policy fails {} of its {} cases; the first is \"{}\" in line {}: {}",
        failing.len(),
        tried.len(),
        first.name,
        first.line,
        first.difference()
    );
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
    Some(
        Error::new(Code::BadPolicy, message)
            .with("faults", json(serde_json::to_value(faults)))
            .with("cases", json(serde_json::to_value(listed))),
    )
}

#[cfg(test)]
mod tests;
