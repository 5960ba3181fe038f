//! Why a decision was made, and what would make it another. Invariant: a function of input and policies alone; every change that is said
//! to stop a rule was tried on the engine, nothing is guessed from the text of a rule.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::catalogue::{self, Fact, Kind};
use super::document::Document;
use super::engine::Engine;
use super::evaluate::failure;
use super::verdict::{Outcome, PolicyInForce};
use crate::domain::advisory::Severity;
use crate::domain::candidate::{Decision, PolicyLevel, Reason};
use crate::domain::time::Time;
use crate::domain::waiver::FiringPart;
use crate::error::Result;

mod words;

/// Changes tried for one rule.
const TRIES_LIMIT: usize = 400;
/// Changes listed for one rule.
const CHANGES_LIMIT: usize = 20;
/// Items of a set that are shown.
const ITEMS_SHOWN: usize = 10;
/// Ages: the fact, the moment it counts from, and how many milliseconds its unit has.
const AGES: [(&str, &str, i64); 4] = [
    ("ageSeconds", "publishedAt", 1_000),
    ("ageDays", "publishedAt", 86_400_000),
    ("firstSeenAgeSeconds", "firstSeenAt", 1_000),
    ("firstSeenAgeDays", "firstSeenAt", 86_400_000),
];

/// Why a decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Everything that fired.
    pub rules: Vec<Explained>,
    /// All of it in sentences.
    pub words: Vec<String>,
}

/// Why one rule fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The rule as it was recorded.
    #[serde(flatten)]
    pub reason: Reason,
    /// Whether it decided.
    pub part: FiringPart,
    /// The line of its policy that it begins at; `None` for the server's own reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The facts it asks for, with the values they had.
    pub facts: Vec<Valued>,
    /// Single changes after any of which it does not fire.
    pub would_not_fire_if: Vec<Change>,
    /// When it stops firing by itself, if nothing but the time changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stops_at: Option<Time>,
}

/// A fact and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Valued {
    /// Its path, such as `context.ageDays`.
    pub fact: String,
    /// What it was.
    pub value: Value,
}

/// A change of one fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path, such as `context.ageDays`.
    pub fact: String,
    /// What it would be.
    pub value: Value,
    /// Whether that alone makes the decision allow.
    pub allows: bool,
}

struct Asking<'a> {
    engine: &'a dyn Engine,
    input: Value,
    policies: &'a [PolicyInForce],
    facts: Vec<Fact>,
}

/// Explains what these policies say of a recorded input. It may take some hundred evaluations, and blocks.
///
/// # Errors
/// `policy_error` when the input cannot be read or evaluated.
pub fn explain(engine: &dyn Engine, input: &str, policies: &[PolicyInForce]) -> Result<Explanation> {
    let outcome = engine.replay(input, policies)?;
    let read = serde_json::from_str(input).map_err(|cause| failure("a recorded question", cause))?;
    let asking = Asking { engine, input: read, policies, facts: catalogue::facts()? };
    let parts =
        [(FiringPart::Enforced, &outcome.reasons), (FiringPart::Observed, &outcome.observed), (FiringPart::Waived, &outcome.waived)];
    let fired = parts.into_iter().flat_map(|(part, reasons)| reasons.iter().map(move |reason| (part, reason)));
    let rules: Vec<Explained> = fired.map(|(part, reason)| asking.explained(part, reason)).collect();
    let words = words::of(outcome.decision, &rules);
    Ok(Explanation { decision: outcome.decision, rules, words })
}

impl Asking<'_> {
    fn explained(&self, part: FiringPart, reason: &Reason) -> Explained {
        let stands_in = reason.policy.and_then(|wanted| self.policies.iter().find(|(level, _)| *level == wanted));
        let mut explained =
            Explained { reason: reason.clone(), part, line: None, facts: Vec::new(), would_not_fire_if: Vec::new(), stops_at: None };
        let Some((level, document)) = stands_in else { return explained };
        let rule = Fired { asking: self, level: *level, document, id: &reason.rule, literals: literals(document, &reason.rule) };
        explained.line = document.rule(&reason.rule).map(|rule| rule.line);
        let mentioned: Vec<&String> = document.mentions(&reason.rule).into_iter().flat_map(|mentions| mentions.facts()).collect();
        explained.facts = mentioned.iter().map(|path| Valued { fact: (*path).clone(), value: shown(&self.value(path)) }).collect();
        explained.would_not_fire_if = rule.changes(&mentioned);
        explained.stops_at = if mentioned.iter().any(|path| AGES.iter().any(|(age, _, _)| path.strip_prefix("context.") == Some(age))) {
            rule.stops_at()
        } else {
            None
        };
        explained
    }

    /// The value of what a rule asks for.
    fn value(&self, path: &str) -> Value {
        let pointer = match path {
            "principal" | "action" | "resource" => format!("/{path}"),
            "resource.kind" => "/repoKind".to_owned(),
            _ => format!("/{}", path.replace('.', "/")),
        };
        self.input.pointer(&pointer).cloned().unwrap_or(Value::Null)
    }

    /// What the policies say with these facts changed; `None` when the engine cannot say.
    fn with(&self, changes: &[(&str, Value)], policies: &[PolicyInForce]) -> Option<Outcome> {
        let mut input = self.input.clone();
        for (path, value) in changes {
            *input.pointer_mut(&format!("/context/{}", path.replace('.', "/")))? = value.clone();
        }
        self.engine.replay(&input.to_string(), policies).ok()
    }
}

/// A rule that fired, with the numbers that stand in it.
struct Fired<'a> {
    asking: &'a Asking<'a>,
    level: PolicyLevel,
    document: &'a std::sync::Arc<Document>,
    id: &'a str,
    literals: Literals,
}

impl Fired<'_> {
    /// Whether the rule fires with these facts changed.
    fn fires_with(&self, changes: &[(&str, Value)]) -> Option<bool> {
        let alone: [PolicyInForce; 1] = [(self.level, std::sync::Arc::clone(self.document))];
        let outcome = self.asking.with(changes, &alone)?;
        let fired = [outcome.reasons, outcome.observed, outcome.waived];
        Some(fired.iter().flatten().any(|reason| reason.rule == self.id && reason.policy == Some(self.level)))
    }

    /// For each fact the smallest change after which the rule does not fire.
    fn changes(&self, mentioned: &[&String]) -> Vec<Change> {
        let mut found = Vec::new();
        let mut tries = 0;
        for path in mentioned.iter().filter_map(|path| path.strip_prefix("context.")) {
            let Some(fact) = self.asking.facts.iter().find(|fact| fact.path == path) else { continue };
            let now = self.asking.value(&format!("context.{path}"));
            for value in self.literals.candidates(fact.kind, &now) {
                tries += 1;
                if tries > TRIES_LIMIT || found.len() == CHANGES_LIMIT {
                    return found;
                }
                if self.fires_with(&[(path, value.clone())]) == Some(false) {
                    let outcome = self.asking.with(&[(path, value.clone())], self.asking.policies);
                    let allows = outcome.is_some_and(|outcome| outcome.decision == Decision::Allow);
                    found.push(Change { fact: format!("context.{path}"), value, allows });
                    break;
                }
            }
        }
        found
    }

    /// The first moment at which it does not fire, all ages being those of that moment.
    fn stops_at(&self) -> Option<Time> {
        let time = |path: &str| self.asking.value(path).as_str().and_then(|text| text.parse::<Time>().ok());
        let asked_at = self.asking.input.get("askedAt").and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok())?;
        let mut moments = BTreeSet::new();
        for (_, origin, unit_ms) in AGES {
            let Some(origin) = time(&format!("context.{origin}")) else { continue };
            for number in &self.literals.longs {
                for count in [*number, number.saturating_add(1)] {
                    let moment = origin.plus_ms(count.saturating_mul(unit_ms));
                    moments.extend((moment > asked_at).then_some(moment));
                }
            }
        }
        moments.into_iter().take(TRIES_LIMIT).find(|moment| {
            let ages = AGES.iter().filter_map(|(fact, origin, unit_ms)| {
                let seconds = moment.seconds_since(time(&format!("context.{origin}"))?);
                Some((*fact, json!(seconds / (unit_ms / 1_000))))
            });
            self.fires_with(&ages.collect::<Vec<_>>()) == Some(false)
        })
    }
}

/// The numbers and texts that stand in a rule.
#[derive(Debug, Default)]
struct Literals {
    longs: BTreeSet<i64>,
    decimals: BTreeSet<Severity>,
    texts: BTreeSet<String>,
}

/// Reads them out of the rule in the engine's JSON form.
fn literals(document: &Document, id: &str) -> Literals {
    let mut found = Literals::default();
    let rule = document.policy(id).and_then(|policy| policy.to_json().ok());
    if let Some(conditions) = rule.as_ref().and_then(|rule| rule.get("conditions")) {
        found.collect(conditions);
    }
    found
}

impl Literals {
    fn collect(&mut self, node: &Value) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(members) => members.iter().for_each(|(_, member)| self.collect(member)),
            Value::Number(number) => self.longs.extend(number.as_i64()),
            Value::String(text) => {
                self.decimals.extend(text.parse::<Severity>().ok());
                self.texts.insert(text.clone());
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Values to try in the place of `now`, the nearest first.
    fn candidates(&self, kind: Kind, now: &Value) -> Vec<Value> {
        match kind {
            Kind::Bool => now.as_bool().map(|now| json!(!now)).into_iter().collect(),
            Kind::Texts => vec![json!([])],
            Kind::Text => [String::new()].iter().chain(&self.texts).filter(|text| now != *text).map(|text| json!(text)).collect(),
            Kind::Moment => Vec::new(),
            Kind::Long => {
                let now = now.as_i64().unwrap_or(0);
                let mut tried: Vec<i64> = self
                    .longs
                    .iter()
                    .flat_map(|number| [number.saturating_sub(1), *number, number.saturating_add(1)])
                    .filter(|number| *number != now)
                    .collect();
                tried.sort_unstable_by_key(|number| number.abs_diff(now));
                tried.dedup();
                tried.into_iter().map(|number| json!(number)).collect()
            }
            Kind::Decimal => {
                let now = now.as_str().and_then(|text| text.parse::<Severity>().ok()).unwrap_or_default();
                let around = |severity: &Severity| {
                    let tenths = severity.tenths();
                    [tenths.saturating_sub(1), tenths, tenths.saturating_add(1)].map(Severity::from_tenths)
                };
                let mut tried: Vec<Severity> = self.decimals.iter().flat_map(around).filter(|severity| *severity != now).collect();
                tried.sort_unstable_by_key(|severity| severity.tenths().abs_diff(now.tenths()));
                tried.dedup();
                tried.into_iter().map(|severity| json!(severity)).collect()
            }
        }
    }
}

/// A value as it is shown: the first items of a long set.
fn shown(value: &Value) -> Value {
    match value.as_array() {
        Some(items) if items.len() > ITEMS_SHOWN => {
            let more = format!("… and {} more", items.len() - ITEMS_SHOWN);
            Value::Array(items.iter().take(ITEMS_SHOWN).cloned().chain([json!(more)]).collect())
        }
        Some(_) | None => value.clone(),
    }
}

#[cfg(test)]
mod tests;
