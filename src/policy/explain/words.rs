//! An explanation in sentences. Invariant: it says nothing that the explanation does not have.

use serde_json::Value;

use super::Explained;
use crate::domain::candidate::{Decision, PolicyLevel, orders};
use crate::domain::waiver::FiringPart;

/// All of it, a sentence or two for each rule.
pub(super) fn of(decision: Decision, rules: &[Explained]) -> Vec<String> {
    let counts = rules.iter().filter(|rule| rule.part == FiringPart::Enforced).count();
    let head = match (decision, counts) {
        (Decision::Allow, _) => "It may become visible: no rule that decides fired.".to_owned(),
        (Decision::Quarantine, 1) => "It is held, for one reason.".to_owned(),
        (Decision::Deny, 1) => "It is denied, for one reason.".to_owned(),
        (Decision::Quarantine, several) => format!("It is held, for {several} reasons; all of them must go."),
        (Decision::Deny, several) => format!("It is denied, for {several} reasons; all of them must go."),
    };
    std::iter::once(head).chain(rules.iter().map(rule)).collect()
}

fn rule(explained: &Explained) -> String {
    let reason = &explained.reason;
    let Some(level) = reason.policy else { return servers_own(explained) };
    let whose = match level {
        PolicyLevel::Instance => "the instance's policy",
        PolicyLevel::Repo => "the repo's policy",
    };
    let line = explained.line.map_or_else(String::new, |line| format!(", line {line}"));
    let does = match (explained.part, reason.decision) {
        (FiringPart::Enforced, Decision::Deny) => "denies it",
        (FiringPart::Enforced, Decision::Quarantine | Decision::Allow) => "holds it",
        (FiringPart::Observed, _) => "fires, but is only watched",
        (FiringPart::Waived, _) => "fires, but is waived",
    };
    let mut said = vec![format!("The rule {} ({whose}{line}) {does}: {}.", reason.rule, reason.message)];
    let facts: Vec<String> = explained.facts.iter().map(|fact| format!("{} is {}", fact.fact, value(&fact.value))).collect();
    if !facts.is_empty() {
        said.push(format!("It asks: {}.", facts.join(", ")));
    }
    let changes: Vec<String> = explained
        .would_not_fire_if
        .iter()
        .map(|change| {
            let allows = if change.allows { " (which alone allows it)" } else { "" };
            // The empty text stands for any other: nobody would name a package so.
            let other = if change.value == "" { "something else".to_owned() } else { value(&change.value) };
            format!("{} were {other}{allows}", change.fact)
        })
        .collect();
    said.push(match changes.is_empty() {
        false => format!("It would not fire if {}.", changes.join(", or if ")),
        true => "No change of a single fact stops it.".to_owned(),
    });
    said.extend(explained.stops_at.map(|moment| format!("By itself it stops firing at {moment}.")));
    said.join(" ")
}

fn servers_own(explained: &Explained) -> String {
    let reason = &explained.reason;
    let lifted = match reason.rule.as_str() {
        orders::RESERVED => "It is published by those whom the reservation names, or after that is removed.",
        orders::FREEZE => "It is judged again when the freeze is lifted.",
        orders::CANARY => "It is never let in: it proves the gate.",
        _ => "A reviewer may release what is held.",
    };
    format!("The server itself says {}: {}. {lifted}", reason.rule, reason.message)
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Null => "unknown".to_owned(),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
