//! What cases must show: the policy's own words, and every fault of a text at its place. Invariant: the starter policy passes its cases.

use super::*;
use crate::policy::CedarEngine;
use crate::policy::{STARTER, STARTER_CASES};

const POLICY: &str = r#"
@id("young") @decision("quarantine") forbid (principal, action, resource) when { context.ageDays < 7 && !context.hosted };
@id("malware") forbid (principal, action, resource) when { context.advisories.malicious };
@id("large") @mode("observe") forbid (principal, action, resource) when { context.files.totalBytes > 1000 };
"#;

fn tried(policy: &str, cases: &str) -> Vec<Tried> {
    let engine = CedarEngine::new().unwrap();
    let document = Arc::new(engine.check(policy).unwrap());
    Cases::read(cases).unwrap().try_on(&engine, PolicyLevel::Instance, &document).unwrap()
}

/// The line, column, message and help of every fault of these cases.
fn faults(cases: &str) -> Vec<(u64, u64, String, String)> {
    let error = Cases::read(cases).unwrap_err();
    assert_eq!(error.code(), Code::BadPolicy);
    let faults = error.members()["faults"].as_array().unwrap();
    faults
        .iter()
        .map(|fault| {
            assert_eq!(fault["file"], "cases");
            let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
            (fault["line"].as_u64().unwrap(), fault["column"].as_u64().unwrap(), text("message"), text("help"))
        })
        .collect()
}

#[test]
fn the_starter_policy_passes_its_own_cases() {
    let tried = tried(STARTER, STARTER_CASES);
    assert!(tried.len() >= 10);
    assert!(refusal_of(&tried).is_none(), "{:#?}", tried.iter().filter(|case| !case.passed).collect::<Vec<_>>());
}

#[test]
fn every_rule_of_the_starter_policy_has_a_case_that_it_fires_in() {
    let fired: BTreeSet<String> =
        tried(STARTER, STARTER_CASES).into_iter().flat_map(|case| case.got.rules.into_iter().chain(case.got.observed)).collect();
    let engine = CedarEngine::new().unwrap();
    let rules: BTreeSet<String> = engine.check(STARTER).unwrap().rules().iter().map(|rule| rule.id.clone()).collect();
    assert_eq!(fired, rules);
}

#[test]
fn a_case_that_the_policy_fails_says_what_was_expected_and_what_came() {
    let cases = "[[case]]\nname = \"a\"\ndecision = \"allow\"\n\n[[case]]\nname = \"b\"\nfacts.advisories.malicious = true\nfacts.files.totalBytes = 2000\ndecision = \"quarantine\"\nrules = [\"young\"]\nobserved = []\n";
    let tried = tried(POLICY, cases);
    assert!(tried[0].passed && !tried[1].passed);
    assert_eq!(tried[1].difference(), "expected quarantine, rules young, observed none; got deny, rules malware, observed large");
    let error = refusal_of(&tried).unwrap();
    assert_eq!(error.code(), Code::BadPolicy);
    assert!(error.message().contains("1 of its 2 cases") && error.message().contains("line 5"), "{error}");
    assert_eq!(error.members()["cases"][0]["got"]["decision"], "deny");
    assert_eq!(error.members()["faults"][0]["line"], 5);
}

#[test]
fn what_follows_from_a_fact_follows_it() {
    let young = POLICY.replace("context.ageDays < 7", "context.ageSeconds < 604800 && context.ageDays < 7");
    let examples = [
        ("facts.origin = 'npm'\nfacts.ageDays = 6", "quarantine"),
        ("facts.origin = 'npm'\nfacts.ageSeconds = 604799", "quarantine"),
        ("facts.hosted = false\nfacts.publishedAt = '2025-12-31T00:00:00Z'", "quarantine"),
        ("facts.origin = 'npm'\nfacts.ageDays = 7", "allow"),
        ("facts.ageDays = 0", "allow"),
    ];
    let cases: String = examples
        .iter()
        .enumerate()
        .map(|(number, (facts, decision))| format!("[[case]]\nname = '{number}'\n{facts}\ndecision = '{decision}'\n"))
        .collect();
    let tried = tried(&young, &cases);
    assert_eq!(tried.len(), 5);
    assert!(refusal_of(&tried).is_none(), "{tried:#?}");
}

#[test]
fn an_unknown_or_wrongly_typed_fact_is_refused_with_its_line() {
    let cases = "[[case]]\nname = \"a\"\ndecision = \"allow\"\nfacts.ageDay = 3\nfacts.advisories.malicious = 1\nfacts.advisories.maxSeverity = \"11\"\nfacts.publishedAt = \"yesterday\"\n[case.facts.files]\nextensions = [1]\n";
    let faults = faults(cases);
    let lines: Vec<u64> = faults.iter().map(|fault| fault.0).collect();
    assert_eq!(lines, [4, 5, 6, 7, 9], "{faults:?}");
    assert_eq!((faults[0].1, faults[0].2.as_str(), faults[0].3.as_str()), (7, "there is no fact ageDay", "did you mean facts.ageDays?"));
    assert_eq!(faults[1].2, "facts.advisories.malicious is a Bool");
    assert!(faults[4].3.contains("[\"MIT\"]"), "{faults:?}");
}

#[test]
fn whatever_else_is_wrong_with_a_text_is_refused_with_its_line() {
    for (cases, line, words) in [
        ("[[case]]\nname = \"a\"\ndecision = \"maybe\"\n", 3, "decision"),
        ("[[case]]\ndecision = \"allow\"\n", 1, "name"),
        ("[[case]]\nname = \"a\"\ndecision = \"allow\"\nrule = []\n", 4, "rule"),
        ("[[case]]\nname = \"a\"\ndecision = \"allow\"\n[[case]]\nname = \"a\"\ndecision = \"allow\"\n", 5, "name of its own"),
        ("[[case]]\nname = \"a\"\npackage = { type = \"N P M\" }\ndecision = \"allow\"\n", 1, ""),
        ("\n\n[[case]\n", 3, ""),
    ] {
        let faults = faults(cases);
        assert_eq!(faults[0].0, line, "{cases}: {faults:?}");
        assert!(faults[0].2.contains(words), "{faults:?}");
    }
    assert_eq!(Cases::read("").unwrap().count(), 0);
    assert!(Cases::read(&"#".repeat(CASES_LIMIT_BYTES + 1)).is_err());
}
