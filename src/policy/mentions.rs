//! Which facts a rule asks about, and how it asks about time. Invariant: every fact that can change what the rule says is
//! listed; a use of time that is not a plain comparison with a number makes the rule irregular, never unseen.

use std::collections::BTreeSet;

use serde_json::Value;

/// Operators whose truth about one number changes only around the number it is compared with.
const COMPARISONS: &[&str] = &["<", "<=", ">", ">=", "==", "!="];

/// A fact that grows by itself while nothing else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimeFact {
    /// `context.ageSeconds`.
    AgeSeconds,
    /// `context.ageDays`.
    AgeDays,
    /// `context.firstSeenAgeSeconds`.
    FirstSeenAgeSeconds,
    /// `context.firstSeenAgeDays`.
    FirstSeenAgeDays,
}

impl TimeFact {
    const ALL: [TimeFact; 4] = [TimeFact::AgeSeconds, TimeFact::AgeDays, TimeFact::FirstSeenAgeSeconds, TimeFact::FirstSeenAgeDays];

    fn path(self) -> &'static str {
        match self {
            TimeFact::AgeSeconds => "context.ageSeconds",
            TimeFact::AgeDays => "context.ageDays",
            TimeFact::FirstSeenAgeSeconds => "context.firstSeenAgeSeconds",
            TimeFact::FirstSeenAgeDays => "context.firstSeenAgeDays",
        }
    }

    fn at(path: &str) -> Option<TimeFact> {
        TimeFact::ALL.into_iter().find(|fact| fact.path() == path)
    }
}

/// What one rule asks about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mentions {
    facts: BTreeSet<String>,
    comparisons: BTreeSet<(TimeFact, i64)>,
    irregular_in_time: bool,
}

impl Mentions {
    /// Reads a rule in the engine's JSON form.
    pub(super) fn of(rule: &Value) -> Mentions {
        let mut mentions = Mentions::default();
        for scope in ["principal", "action", "resource"] {
            if rule.get(scope).and_then(|scope| scope.get("op")).and_then(Value::as_str) != Some("All") {
                mentions.facts.insert(scope.to_owned());
            }
        }
        for condition in rule.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            mentions.walk(condition.get("body").unwrap_or(&Value::Null));
        }
        mentions
    }

    /// The paths of its facts, such as `context.package.name`, `principal`, `resource.kind`. Where a record is used as a whole,
    /// its path alone is listed.
    #[must_use]
    pub fn facts(&self) -> &BTreeSet<String> {
        &self.facts
    }

    /// Whether it asks about the fact at `path`, about a part of it, or about a record that it is a part of.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.facts.iter().any(|fact| within(fact, path) || within(path, fact))
    }

    /// Whether the same facts can give another answer later.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        self.irregular_in_time || !self.comparisons.is_empty()
    }

    /// Whether it uses time in a way from which the moments of change cannot be read.
    #[must_use]
    pub fn is_irregular_in_time(&self) -> bool {
        self.irregular_in_time
    }

    /// Every comparison of time with a number.
    pub(super) fn comparisons(&self) -> &BTreeSet<(TimeFact, i64)> {
        &self.comparisons
    }

    /// Looks through an expression, or through whatever holds expressions.
    fn walk(&mut self, node: &Value) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => members.iter().for_each(|(operator, operands)| self.expression(operator, operands, node)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn expression(&mut self, operator: &str, operands: &Value, node: &Value) {
        match operator {
            "Value" => {}
            "Var" | "." => match path_of(node) {
                Some(path) => self.mention(path),
                None => self.walk(operands.get("left").unwrap_or(&Value::Null)),
            },
            "has" => self.presence(operands),
            // The keys of a record are names, not operators.
            "Record" => operands.as_object().into_iter().flat_map(|members| members.values()).for_each(|value| self.walk(value)),
            _ if COMPARISONS.contains(&operator) => self.comparison(operands),
            _ => self.walk(operands),
        }
    }

    /// A fact used as such. Whoever uses all of the context, or time in whatever way, can make anything of it.
    fn mention(&mut self, path: String) {
        self.irregular_in_time |= path == "context" || TimeFact::at(&path).is_some();
        self.facts.insert(path);
    }

    /// A test whether a fact is there: every fact always is, so time plays no part in it.
    fn presence(&mut self, operands: &Value) {
        let left = operands.get("left").unwrap_or(&Value::Null);
        let Some(mut path) = path_of(left) else { return self.walk(left) };
        let attribute = operands.get("attr").unwrap_or(&Value::Null);
        let names = attribute.as_array().map_or(std::slice::from_ref(attribute), Vec::as_slice);
        for name in names.iter().filter_map(Value::as_str) {
            path = format!("{path}.{name}");
        }
        self.facts.insert(path);
    }

    fn comparison(&mut self, operands: &Value) {
        let side = |name: &str| operands.get(name).unwrap_or(&Value::Null);
        let (left, right) = (side("left"), side("right"));
        for (fact, number) in [(left, right), (right, left)] {
            if let (Some(path), Some(number)) = (path_of(fact), integer(number))
                && let Some(fact) = TimeFact::at(&path)
            {
                self.comparisons.insert((fact, number));
                self.facts.insert(path);
                return;
            }
        }
        self.walk(left);
        self.walk(right);
    }
}

/// The path that a chain of members spells, if it begins at a variable.
fn path_of(node: &Value) -> Option<String> {
    if let Some(variable) = node.get("Var") {
        return variable.as_str().map(str::to_owned);
    }
    let member = node.get(".")?;
    let name = member.get("attr")?.as_str()?;
    Some(format!("{}.{name}", path_of(member.get("left")?)?))
}

/// The number that a literal is, also a negative one.
fn integer(node: &Value) -> Option<i64> {
    match node.get("neg") {
        Some(operand) => operand.get("arg")?.get("Value")?.as_i64()?.checked_neg(),
        None => node.get("Value")?.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{CedarEngine, Engine};

    fn mentions(scope: &str, condition: &str) -> Mentions {
        let text = format!("@id(\"r\") forbid ({scope}) when {{ {condition} }};");
        CedarEngine::new().unwrap().check(&text).unwrap().mentions("r").unwrap().clone()
    }

    fn of(condition: &str) -> Mentions {
        mentions("principal, action, resource", condition)
    }

    fn facts(condition: &str) -> Vec<String> {
        of(condition).facts().iter().cloned().collect()
    }

    #[test]
    fn the_facts_of_a_rule_are_named_by_their_paths() {
        assert_eq!(facts("context.package.name like \"a*\" && !context.hosted"), ["context.hosted", "context.package.name"]);
        assert_eq!(facts("[\"a\"].contains(context[\"package\"][\"name\"])"), ["context.package.name"]);
        assert_eq!(facts("principal in Group::\"admin\" || resource.kind == \"remote\""), ["principal", "resource.kind"]);
        assert_eq!(facts("if context.files.count > 1 then context.hosted else true"), ["context.files.count", "context.hosted"]);
        assert_eq!(facts("context has ageDays && context.ageDays < 7"), ["context.ageDays"]);
        assert_eq!(facts("{\"a.b\": context.origin} == {\"a.b\": \"x\"}"), ["context.origin"]);
        assert_eq!(facts("true"), Vec::<String>::new());
        let scoped = mentions("principal, action == Action::\"fetch\", resource == Repo::\"main\"", "true");
        assert_eq!(scoped.facts().iter().collect::<Vec<_>>(), ["action", "resource"]);
    }

    #[test]
    fn a_fact_is_asked_about_through_its_parts_and_through_what_it_is_part_of() {
        let whole = of("context.package == context.package && context.files.count > 1");
        assert!(whole.has("context.package.name") && whole.has("context.files") && whole.has("context"));
        assert!(!whole.has("context.file") && !whole.has("context.hosted") && !whole.has("principal"));
    }

    #[test]
    fn comparisons_of_time_with_numbers_are_listed_whichever_side_the_number_is_on() {
        let mentions =
            of("context.ageDays < 7 && 30 >= context.firstSeenAgeDays || !(context.ageSeconds == 60) || context.firstSeenAgeSeconds != -5");
        let expected =
            [(TimeFact::AgeSeconds, 60), (TimeFact::AgeDays, 7), (TimeFact::FirstSeenAgeSeconds, -5), (TimeFact::FirstSeenAgeDays, 30)];
        assert_eq!(mentions.comparisons().iter().copied().collect::<Vec<_>>(), expected);
        assert!(mentions.depends_on_time() && !mentions.is_irregular_in_time());
    }

    #[test]
    fn any_other_use_of_time_makes_a_rule_irregular() {
        for condition in [
            "context.ageDays * 2 < 14",
            "context.ageDays - 1 < 7",
            "[1, 2].contains(context.ageDays)",
            "context.ageDays < context.firstSeenAgeDays",
            "context.ageDays < context.files.count",
            "{days: context.ageDays}.days < 7",
            "(if context.hosted then context.ageDays else 3) < 7",
            "-context.ageDays < -7",
        ] {
            let mentions = of(condition);
            assert!(mentions.is_irregular_in_time() && mentions.depends_on_time(), "{condition}");
        }
        for condition in ["context.files.count * 2 < 14", "context.ageKnown", "context has ageDays", "context.ageDays < 7"] {
            assert!(!of(condition).is_irregular_in_time(), "{condition}");
        }
        assert!(!of("context.ageKnown && context has ageDays").depends_on_time());
    }
}
