//! From a question and the policies to an outcome. Invariant: the strictest rule decides, whatever the order of the rules;
//! anything the engine could not evaluate is `policy_error`, because the engine itself skips an erring rule.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Decision as CedarDecision, Entities, PolicySet, Request};

use super::document::Document;
use super::input::Input;
use super::rule::{Mode, Rule};
use super::verdict::{Outcome, PolicyInForce};
use crate::domain::candidate::{Decision, DecisionSource, PolicyLevel, Reason, waiver_of};
use crate::error::{Code, Error, Result};

const HINT_RULE: &str = "hint";

/// A `policy_error` about `what`; the cause is for the log.
pub(super) fn failure(what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        Code::PolicyError,
        format!("the policy could not be evaluated for {what}, so nothing was changed; an administrator finds the cause in the log"),
    )
    .with("failClosed", true)
    .because(cause)
}

/// Which list a fired rule goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Counts,
    Observed,
    Waived,
}

/// Orders reasons: strictest first, then the server's own, the instance's and the repo's, then by rule.
type Key = (std::cmp::Reverse<Decision>, Option<PolicyLevel>, String);

/// Evaluates all policies and joins what they say.
pub(super) fn decide(input: &Input, asked: &(Request, Entities), policies: &[PolicyInForce]) -> Result<Outcome> {
    let mut counts = BTreeMap::new();
    let mut observed = BTreeMap::new();
    let mut waived = BTreeMap::new();
    for (level, document) in policies {
        for rule in fired(input, asked, document)? {
            let list = match part_of(*level, rule, input) {
                Part::Counts => &mut counts,
                Part::Observed => &mut observed,
                Part::Waived => &mut waived,
            };
            let key: Key = (std::cmp::Reverse(rule.decision), Some(*level), rule.id.clone());
            list.insert(
                key,
                Reason { rule: rule.id.clone(), decision: rule.decision, message: rule.message.clone(), policy: Some(*level) },
            );
        }
    }
    for order in &input.orders {
        let is_waived = order.decision == Decision::Quarantine && input.waived_rules.contains(&order.waiver());
        let list = if is_waived { &mut waived } else { &mut counts };
        list.insert((std::cmp::Reverse(order.decision), None, order.rule.clone()), order.clone());
    }
    let ordered = |list: BTreeMap<Key, Reason>| list.into_values().collect::<Vec<Reason>>();
    let mut outcome = Outcome {
        decision: Decision::Allow,
        source: DecisionSource::DefaultAllow,
        reasons: ordered(counts),
        observed: ordered(observed),
        waived: ordered(waived),
    };
    if let Some(strictest) = outcome.reasons.first() {
        outcome.decision = strictest.decision;
        outcome.source = DecisionSource::Policy;
    }
    apply_hint(&mut outcome, input);
    Ok(outcome)
}

fn part_of(level: PolicyLevel, rule: &Rule, input: &Input) -> Part {
    let waiver = waiver_of(Some(level), &rule.id);
    // A waiver of a rule that holds does not cover the same rule once it denies.
    let is_waived =
        input.waived_denials.contains(&waiver) || (rule.decision == Decision::Quarantine && input.waived_rules.contains(&waiver));
    match rule.mode {
        Mode::Observe => Part::Observed,
        Mode::Enforce if is_waived => Part::Waived,
        Mode::Enforce => Part::Counts,
    }
}

/// The rules of one document that fired. Between two groups of rules it stands aside: no request waits for somebody's long policy.
fn fired<'a>(input: &Input, asked: &(Request, Entities), document: &'a Document) -> Result<Vec<&'a Rule>> {
    let mut rules = Vec::new();
    for (number, group) in document.groups().iter().enumerate() {
        if number > 0 {
            std::thread::yield_now();
        }
        rules.extend(fired_of(input, asked, document, group)?);
    }
    Ok(rules)
}

/// Cedar lists every satisfied `forbid` as determining.
fn fired_of<'a>(
    input: &Input,
    (request, entities): &(Request, Entities),
    document: &'a Document,
    group: &PolicySet,
) -> Result<Vec<&'a Rule>> {
    let response = Authorizer::new().is_authorized(request, group, entities);
    let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
    if !errors.is_empty() {
        return Err(failure(&input.context.package.purl, errors.join("; ")));
    }
    let mut rules = Vec::new();
    for id in response.diagnostics().reason() {
        let id: &str = id.as_ref();
        match (response.decision(), document.rule(id)) {
            (CedarDecision::Deny, Some(rule)) => rules.push(rule),
            (CedarDecision::Allow, None) => {}
            (CedarDecision::Deny, None) | (CedarDecision::Allow, Some(_)) => {
                return Err(failure(
                    &input.context.package.purl,
                    format!("the engine gave the policy {id} as the reason of the opposite decision"),
                ));
            }
        }
    }
    if response.decision() == CedarDecision::Deny && rules.is_empty() {
        return Err(failure(&input.context.package.purl, "the engine denied without a rule"));
    }
    Ok(rules)
}

/// An external scanner's word can only tighten. A reviewer's waiver covers its quarantine like that of a rule.
fn apply_hint(outcome: &mut Outcome, input: &Input) {
    let Some(hint) = input.hint.filter(|hint| *hint > outcome.decision) else { return };
    let reason = Reason { rule: HINT_RULE.to_owned(), decision: hint, message: format!("the caller asked for {hint}"), policy: None };
    match hint {
        Decision::Quarantine if input.waived_rules.contains(HINT_RULE) => outcome.waived.push(reason),
        Decision::Quarantine | Decision::Deny => {
            outcome.decision = hint;
            outcome.source = if hint == Decision::Deny { DecisionSource::HintDeny } else { DecisionSource::HintQuarantine };
            // It is stricter than every rule that fired.
            outcome.reasons.insert(0, reason);
        }
        Decision::Allow => {}
    }
}
