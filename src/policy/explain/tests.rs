//! What explanations must say. Invariant: whatever is said to stop a rule does.

use std::sync::Arc;

use super::*;
use crate::policy::CedarEngine;
use crate::policy::input::Input;
use crate::policy::input::tests::{candidate, with_manifest};

fn explained(policy: &str, manifest: &str) -> Explanation {
    let engine = CedarEngine::new().unwrap();
    let policies: Vec<PolicyInForce> = vec![(PolicyLevel::Repo, Arc::new(engine.check(policy).unwrap()))];
    let mut candidate = with_manifest(candidate("npm", "demo", "1.0.0"), manifest);
    candidate.asked_at = candidate.first_seen_at.plus_days(3);
    candidate.known.advisories.max_severity = Severity::from_tenths(75);
    candidate.known.advisories.is_fix_available = true;
    explain(&engine, &Input::of(&candidate).write().unwrap(), &policies).unwrap()
}

fn changes(explained: &Explained) -> Vec<(String, Value, bool)> {
    explained.would_not_fire_if.iter().map(|change| (change.fact.clone(), change.value.clone(), change.allows)).collect()
}

const YOUNG: &str = "@id(\"young\") @decision(\"quarantine\") @message(\"too young\") forbid (principal, action, resource) when { context.ageDays < 7 && context.hosted };";

#[test]
fn an_age_rule_is_explained_with_its_facts_and_the_moment_at_which_it_ends() {
    let found = explained(YOUNG, "{}");
    let [rule] = found.rules.as_slice() else { panic!("{found:?}") };
    let facts: Vec<(&str, &Value)> = rule.facts.iter().map(|fact| (fact.fact.as_str(), &fact.value)).collect();
    assert_eq!(facts, [("context.ageDays", &json!(3)), ("context.hosted", &json!(true))]);
    assert_eq!(changes(rule), [("context.ageDays".to_owned(), json!(7), true), ("context.hosted".to_owned(), json!(false), true)]);
    let seen = candidate("npm", "demo", "1.0.0").first_seen_at;
    assert_eq!((rule.stops_at, rule.line), (Some(seen.plus_days(7)), Some(1)));
    assert_eq!(found.words[0], "It is held, for one reason.");
    assert!(found.words[1].contains("context.ageDays is 3") && found.words[1].contains("context.ageDays were 7 (which alone allows it)"));
    assert!(found.words[1].contains("By itself it stops firing at"), "{:?}", found.words);
}

#[test]
fn numbers_scores_sets_and_texts_are_moved_just_across_what_they_are_compared_with() {
    let policy = "@id(\"severe\") forbid (principal, action, resource) when { context.advisories.maxSeverity.greaterThanOrEqual(decimal(\"7.0\")) && context.advisories.fixAvailable };\n\
        @id(\"needs\") forbid (principal, action, resource) when { context.requires.contains(\"left\") && context.requiresCount > 0 };\n\
        @id(\"named\") @mode(\"observe\") forbid (principal, action, resource) when { context.package.name == \"demo\" };";
    let found = explained(policy, r#"{"dependencies":{"left":"1"}}"#);
    let rule = |id: &str| found.rules.iter().find(|rule| rule.reason.rule == id).unwrap();
    let severe = changes(rule("severe"));
    assert!(severe.contains(&("context.advisories.maxSeverity".to_owned(), json!("6.9"), false)), "{severe:?}");
    assert!(severe.contains(&("context.advisories.fixAvailable".to_owned(), json!(false), false)));
    let needs = changes(rule("needs"));
    assert_eq!(needs, [("context.requires".to_owned(), json!([]), false), ("context.requiresCount".to_owned(), json!(0), false)]);
    assert_eq!(changes(rule("named")), [("context.package.name".to_owned(), json!(""), false)]);
    assert_eq!(rule("named").part, FiringPart::Observed);
    assert!(found.words[0].contains("2 reasons"), "{:?}", found.words);
    assert!(found.words.iter().any(|said| said.contains("if context.package.name were something else")), "{:?}", found.words);
}

#[test]
fn a_rule_that_no_single_change_stops_says_so_and_a_decision_without_rules_is_explained_too() {
    let found = explained("@id(\"all\") forbid (principal, action, resource);", "{}");
    assert!(found.rules[0].would_not_fire_if.is_empty() && found.rules[0].stops_at.is_none());
    assert!(found.words[1].contains("No change of a single fact stops it."));
    let nothing = explained("", "{}");
    assert_eq!((nothing.decision, nothing.words.len()), (Decision::Allow, 1));
}
