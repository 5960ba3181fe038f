//! The language behind one trait. Invariant: whatever implements `Engine`, a `Verdict` comes from `CedarEngine`; another
//! implementation can delay or refuse, but not invent one.

use std::sync::Arc;

use cedar_policy::{Schema, Validator};

use super::context::Names;
use super::document::{self, Document};
use super::due::Outlook;
use super::evaluate::{decide, failure};
use super::facts::Clocks;
use super::input::Input;
use super::scan;
use super::schema::SCHEMA;
use super::verdict::{Outcome, PolicyInForce, Verdict, policy_digest};
use crate::domain::candidate::{Candidate, Decision};
use crate::error::{Error, Result};

/// A policy language and its evaluation. It is given to whoever asks the gate through a constructor, so that tests can put
/// a slow or failing one in its place.
pub trait Engine: Send + Sync {
    /// The engine's name and version, recorded with every evaluation.
    fn version(&self) -> &str;

    /// Checks a policy text.
    ///
    /// # Errors
    /// `bad_policy` whose member `faults` lists every fault with line, column, message and help.
    fn check(&self, text: &str) -> Result<Document>;

    /// Reads a text that passed the check of the program that stored it, which may have been an earlier one.
    ///
    /// # Errors
    /// `bad_policy` when nothing can be evaluated by it any more.
    fn read_stored(&self, text: &str) -> Result<Document> {
        self.check(text)
    }

    /// Evaluates the policies in force for one candidate. It takes no more than some milliseconds, but it blocks.
    ///
    /// # Errors
    /// `policy_error` with `failClosed: true` when any rule could not be evaluated.
    fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> Result<Verdict>;

    /// Adds to a verdict when it will be another one by itself. A verdict that is only shown needs none of that.
    fn foresee(&self, policies: &[PolicyInForce], candidate: &Candidate, verdict: Verdict) -> Verdict;

    /// Evaluates a stored input ([`Verdict::input`]) again.
    ///
    /// # Errors
    /// `policy_error` when the input cannot be read or evaluated.
    fn replay(&self, input: &str, policies: &[PolicyInForce]) -> Result<Outcome>;
}

/// Cedar, validated strictly against [`SCHEMA`].
#[derive(Debug)]
pub struct CedarEngine {
    validator: Validator,
    names: Names,
    version: String,
}

impl CedarEngine {
    /// Parses the schema, once.
    ///
    /// # Errors
    /// `internal` when the embedded schema is faulty.
    pub fn new() -> Result<CedarEngine> {
        let (schema, _warnings) =
            Schema::from_cedarschema_str(SCHEMA).map_err(|cause| Error::internal("parsing the policy schema", cause.to_string()))?;
        let names = Names::parse().map_err(|cause| Error::internal("parsing the names of the policy schema", cause))?;
        let version = format!("cedar-{}/input-{}", cedar_policy::get_sdk_version(), super::input::INPUT_VERSION);
        Ok(CedarEngine { validator: Validator::new(schema), names, version })
    }

    fn outcome(&self, input: &Input, policies: &[PolicyInForce]) -> Result<Outcome> {
        let asked = self.names.ask(input, None).map_err(|cause| failure(&input.context.package.purl, cause))?;
        decide(input, &asked, policies)
    }
}

/// Runs `work` where there is stack for the deepest of these policies.
fn with_stack<T>(policies: &[PolicyInForce], work: impl FnOnce() -> T) -> T {
    scan::with_stack_for(policies.iter().map(|(_, document)| document.depth()).max().unwrap_or(0), work)
}

impl Engine for CedarEngine {
    fn version(&self) -> &str {
        &self.version
    }

    fn check(&self, text: &str) -> Result<Document> {
        document::check(text, &self.validator)
    }

    fn read_stored(&self, text: &str) -> Result<Document> {
        document::read_stored(text, &self.validator)
    }

    fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> Result<Verdict> {
        with_stack(policies, || {
            let input = Input::of(candidate);
            let text = input.write().map_err(|cause| failure(&input.context.package.purl, cause))?;
            let outcome = self.outcome(&input, policies)?;
            Ok(Verdict::new(candidate, &input, text, outcome, (policy_digest(policies), &self.version)))
        })
    }

    fn foresee(&self, policies: &[PolicyInForce], candidate: &Candidate, verdict: Verdict) -> Verdict {
        let waivers_count = !verdict.waived().is_empty()
            || policies.iter().flat_map(|(_, document)| document.all_mentions()).any(|mentions| mentions.has("context.waivers"));
        let waiver_ends = candidate.waivers_end_at.filter(|end| waivers_count && *end > candidate.asked_at);
        let is_timed = policies.iter().any(|(_, document)| !document.timed().is_empty());
        if !is_timed {
            return verdict.changing(waiver_ends);
        }
        let depth = policies.iter().map(|(_, document)| document.depth()).max().unwrap_or(0);
        let mut outlook = Outlook {
            names: &self.names,
            policies,
            input: Input::of(candidate),
            clocks: Clocks::of(candidate),
            asked_at: candidate.asked_at,
        };
        let is_held = verdict.decision() == Decision::Quarantine;
        let (opens_at, other_rules) = scan::with_stack_for(depth, || {
            let allows = |input: &Input| self.outcome(input, policies).is_ok_and(|outcome| outcome.decision == Decision::Allow);
            (is_held.then(|| outlook.first_moment(allows)).flatten(), outlook.next_change())
        });
        verdict.changing(other_rules.into_iter().chain(waiver_ends).min()).opening(opens_at)
    }

    fn replay(&self, input: &str, policies: &[PolicyInForce]) -> Result<Outcome> {
        with_stack(policies, || {
            let input = Input::read(input).map_err(|cause| failure("the stored input, which cannot be read", cause))?;
            self.outcome(&input, policies)
        })
    }
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn version(&self) -> &str {
        (**self).version()
    }

    fn check(&self, text: &str) -> Result<Document> {
        (**self).check(text)
    }

    fn read_stored(&self, text: &str) -> Result<Document> {
        (**self).read_stored(text)
    }

    fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> Result<Verdict> {
        (**self).evaluate(policies, candidate)
    }

    fn foresee(&self, policies: &[PolicyInForce], candidate: &Candidate, verdict: Verdict) -> Verdict {
        (**self).foresee(policies, candidate, verdict)
    }

    fn replay(&self, input: &str, policies: &[PolicyInForce]) -> Result<Outcome> {
        (**self).replay(input, policies)
    }
}
