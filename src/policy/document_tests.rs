//! Tests of what policy texts are refused, where, and with which advice.

use std::sync::Arc;
use std::thread;

use super::input::tests::candidate;
use super::{CedarEngine, Document, Engine, Fault, Mode, RULE_LIMIT, TEXT_LIMIT_BYTES};
use crate::domain::candidate::{Decision, PolicyLevel};
use crate::error::{Code, Result};

fn check(text: &str) -> Result<Document> {
    CedarEngine::new().unwrap().check(text)
}

/// The faults as a client sees them.
fn faults(text: &str) -> Vec<Fault> {
    let error = check(text).expect_err(text);
    assert_eq!(error.code(), Code::BadPolicy);
    let listed = error.members()["faults"].as_array().unwrap().iter();
    listed
        .map(|fault| Fault {
            line: usize::try_from(fault["line"].as_u64().unwrap()).unwrap(),
            column: usize::try_from(fault["column"].as_u64().unwrap()).unwrap(),
            message: fault["message"].as_str().unwrap().to_owned(),
            help: fault["help"].as_str().map(str::to_owned),
            file: None,
        })
        .collect()
}

/// The only fault: place, and what its message and help must contain.
fn assert_fault(text: &str, place: (usize, usize), message: &str, help: &str) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    assert_eq!((found[0].line, found[0].column), place, "{text}: {found:?}");
    assert!(found[0].message.contains(message), "{text}: {found:?}");
    assert!(found[0].help.as_deref().unwrap_or_default().contains(help), "{text}: {found:?}");
}

fn rule_when(condition: &str) -> String {
    format!("@id(\"a\") forbid (principal, action, resource) when {{ {condition} }};")
}

#[test]
fn a_rule_of_the_contract_is_accepted_and_described() {
    let text = "// seven days\n@id(\"cooldown\") @decision(\"quarantine\") @message(\"published less than 7 days ago\")\nforbid (principal, action, resource) when { context.ageDays < 7 } unless { context.package.name like \"acme-*\" };\n\n@id(\"b\")\n@mode(\"observe\") forbid (principal in Group::\"admin\", action in [Action::\"publish\", Action::\"import\"], resource == Repo::\"main\") when { resource.kind == \"local\" };";
    let document = check(text).unwrap();
    assert_eq!(document.text(), text);
    let [cooldown, observed] = document.rules() else { panic!("{:?}", document.rules()) };
    assert_eq!(
        (cooldown.id.as_str(), cooldown.decision, cooldown.mode, cooldown.line),
        ("cooldown", Decision::Quarantine, Mode::Enforce, 3)
    );
    assert_eq!(cooldown.message, "published less than 7 days ago");
    assert_eq!((observed.id.as_str(), observed.decision, observed.mode, observed.line), ("b", Decision::Deny, Mode::Observe, 6));
    assert!(check("").unwrap().rules().is_empty());
    assert!(check("// only a comment").unwrap().rules().is_empty());
}

#[test]
fn an_unknown_fact_is_refused_once_with_the_nearest_name() {
    assert_fault(&rule_when("context.agDays < 7"), (1, 54), "attribute `agDays` in context not found", "did you mean `ageDays`?");
    assert_fault(&rule_when("\n  context.licences.unknown"), (2, 3), "`licences`", "did you mean `licenses`?");
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    assert_fault(&rule_when("context.ageDays < \"7\""), (1, 72), "expected Long but saw String", "");
    assert_fault(&rule_when("context.files.extensions == \"exe\""), (1, 54), "", "");
}

#[test]
fn a_place_is_counted_in_characters_and_survives_what_stands_before() {
    assert_fault("// äöü\r\n/* */", (2, 1), "", "");
    assert_fault("@id(\"a\") @message(\"äöü\") forbid (principal, action, resource) when { context.x };", (1, 70), "`x`", "");
    let second = format!("{}\n   {}", rule_when("context.hosted"), rule_when("context.hostd").replace("\"a\"", "\"b\""));
    assert_fault(&second, (2, 57), "`hostd`", "did you mean `hosted`?");
}

#[test]
fn names_of_actions_groups_and_types_are_checked() {
    assert_fault(
        "@id(\"a\") forbid (principal, action == Action::\"publsh\", resource);",
        (1, 39),
        "unrecognized action",
        "Action::\"publish\"",
    );
    assert_fault("@id(\"a\") forbid (principal in Group::\"amdin\", action, resource);", (1, 31), "Group::\"amdin\"", "\"admin\"");
    assert_fault("@id(\"a\") forbid (principal, action, resource is Repos);", (1, 49), "`Repos`", "`Repo`");
}

#[test]
fn a_permit_is_refused_with_the_hint_to_use_unless() {
    assert_fault("@id(\"a\") permit (principal, action, resource);", (1, 10), "cannot permit", "unless");
    assert_fault("@id(\"a\") @decision(\"allow\") forbid (principal, action, resource);", (1, 10), "cannot allow", "unless");
}

#[test]
fn a_template_is_refused() {
    assert_fault("@id(\"a\") forbid (principal == ?principal, action, resource);", (1, 31), "template", "slot");
}

#[test]
fn a_rule_that_can_never_fire_is_refused() {
    assert_fault(&rule_when("false"), (1, 1), "impossible", "");
    assert_fault(&rule_when("context.hosted && !context.hosted && false"), (1, 1), "impossible", "");
}

#[test]
fn ids_are_required_well_formed_unique_and_not_the_servers_own() {
    let rule = "forbid (principal, action, resource);";
    assert_fault(rule, (1, 1), "no @id", "@id(\"");
    for id in ["", "a b", "é", &"a".repeat(65), "a\\n"] {
        assert_fault(&format!("@id(\"{id}\") {rule}"), (1, 1), "not well formed", "1 to 64");
    }
    assert_fault(&format!("@id {rule}"), (1, 1), "not well formed", "");
    for id in ["manual", "hint"] {
        assert_fault(&format!("@id(\"{id}\") {rule}"), (1, 1), "server's own", "another");
    }
    assert_fault(&format!("@id(\"a\") {rule}\n@decision(\"deny\") @id(\"a\") {rule}"), (2, 19), "twice", "line 1");
    assert!(check(&format!("@id(\"{}\") {rule}", "A.z_-9".repeat(10))).is_ok());
}

#[test]
fn annotations_are_checked_with_a_suggestion() {
    let rule = "forbid (principal, action, resource);";
    assert_fault(&format!("@id(\"a\") @descision(\"deny\") {rule}"), (1, 10), "@descision is unknown", "did you mean decision?");
    assert_fault(&format!("@id(\"a\") @decision(\"quarantene\") {rule}"), (1, 10), "quarantene", "did you mean quarantine?");
    assert_fault(&format!("@id(\"a\") @mode(\"observed\") {rule}"), (1, 10), "observed", "did you mean observe?");
    assert_fault(&format!("@id(\"a\") @message(\"{}\") {rule}", "m".repeat(513)), (1, 10), "too long", "512");
    assert_fault(&format!("@id(\"a\") @message(\"x\\ny\") {rule}"), (1, 10), "control", "one line");
    assert_fault(&format!("@id(\"a\") @message(\"x\\u{{202e}}y\") {rule}"), (1, 10), "control", "one line");
}

#[test]
fn every_fault_of_a_text_is_reported_in_order() {
    let text = "@id(\"a\") forbid (principal, action, resource) when { context.ageDays < };\npermit (principal, action, resource);\n@id(\"c\") forbid (principal, action, resource) when { context.nothing };\n@x(\"y\") forbid";
    let places: Vec<(usize, usize)> = faults(text).iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(places, [(1, 72), (2, 1), (2, 1), (3, 54), (4, 15)]);
}

#[test]
fn characters_that_mislead_a_reader_are_refused_and_their_escapes_are_not() {
    assert_fault(&rule_when("context.package.name like \"*\u{202e}*\""), (1, 82), "U+202E", "escape");
    assert!(faults("\u{0}").iter().any(|fault| fault.message.contains("U+0000")));
    assert!(check(&rule_when("context.package.name like \"*\\u{202e}*\" || context.package.name == \"r\\u{430}y\"")).is_ok());
}

#[test]
fn texts_and_numbers_of_rules_are_bounded() {
    assert_fault(&" ".repeat(TEXT_LIMIT_BYTES + 1), (1, 1), "262145 bytes", "");
    assert!(check(&" ".repeat(TEXT_LIMIT_BYTES)).is_ok());
    let rules = |count: usize| (0..count).map(|n| format!("@id(\"r{n}\")forbid(principal,action,resource);\n")).collect::<String>();
    assert_eq!(check(&rules(RULE_LIMIT)).unwrap().rules().len(), RULE_LIMIT);
    assert_fault(&rules(RULE_LIMIT + 1), (RULE_LIMIT + 1, 1), "more than 500 rules", "set");
    assert_eq!(faults(&";".repeat(TEXT_LIMIT_BYTES)).len(), 100);
}

/// Runs on a stack so small that recursion over the text would overflow it.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap().join().unwrap()
}

#[test]
fn hostile_nesting_is_refused_before_it_can_overflow_the_stack() {
    let deep = [
        rule_when(&"(".repeat(100_000)),
        rule_when(&format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000))),
        rule_when(&format!("{}1{} == 1", "[".repeat(100_000), "]".repeat(100_000))),
        rule_when(&"!".repeat(200_000)),
        rule_when(&format!("{}true", "!".repeat(200_000))),
        rule_when(&format!("{}1 == 1", "-".repeat(200_000))),
        rule_when(&format!("context{}", ".a".repeat(100_000))),
        rule_when(&format!("context{}", "[\"a\"]".repeat(50_000))),
        rule_when(&format!("context has a{}", ".a".repeat(100_000))),
        rule_when(&format!("{}true", "true && ".repeat(30_000))),
        rule_when(&format!("{}true", "true||".repeat(40_000))),
        rule_when(&format!("1{} > 0", " + 1".repeat(50_000))),
        rule_when(&format!("1{}", " < 1".repeat(50_000))),
        rule_when(&format!("{}true", "if true then true else ".repeat(10_000))),
        rule_when(&format!("{}1{}", "{a:".repeat(50_000), "}".repeat(50_000))),
        rule_when(&format!("a{}", "(1)".repeat(50_000))),
        rule_when(&format!("{}\"a\"", "A::".repeat(60_000))),
        format!("@id(\"a\") forbid (principal, action, resource){};", " when { true }".repeat(15_000)),
        "@a ".repeat(60_000),
        "\"".repeat(200_001),
        ")".repeat(200_000),
    ];
    for text in deep {
        let start: String = text.chars().take(120).collect();
        assert!(on_a_small_stack(move || check(&text).is_err()), "{start}");
    }
}

#[test]
fn the_deepest_rules_that_are_accepted_evaluate_and_are_freed_on_a_small_stack() {
    let depth = 240;
    let texts = [
        rule_when(&format!("{}context.hosted{}", "(".repeat(depth), ")".repeat(depth))),
        rule_when(&format!("{}context.hosted", "context.package.name like \"x*\" || ".repeat(depth))),
        rule_when(&format!("{}context.hosted", "context.package.name != \"x\" && ".repeat(depth))),
        rule_when(&format!("1{} > 0", " + context.files.count".repeat(depth))),
        rule_when(&format!("{}context.hosted{}", "if context.hosted then (".repeat(depth / 4), ") else false".repeat(depth / 4))),
        rule_when(&format!("{0}1{1} == {0}1{1}", "[".repeat(depth / 2), "]".repeat(depth / 2))),
    ];
    for text in texts {
        on_a_small_stack(move || {
            let engine = CedarEngine::new().unwrap();
            let document = Arc::new(engine.check(&text).unwrap());
            let verdict = engine.evaluate(&[(PolicyLevel::Repo, document)], &candidate("pypi", "demo", "1.0")).unwrap();
            assert_eq!(verdict.decision(), Decision::Deny);
        });
    }
}

#[test]
fn conditions_nested_in_conditions_are_checked_in_reasonable_time() {
    // A checker that looked at a nested part twice would need 2^50 steps for these.
    let nested = |open: &str, close: &str| rule_when(&format!("{}context.hosted{}", open.repeat(50), close.repeat(50)));
    assert!(check(&nested("if (", ") then context.hosted else context.ageKnown")).is_ok());
    assert!(check(&nested("if context.hosted then (", ") else context.ageKnown")).is_ok());
    assert!(check(&nested("if context.hosted then context.ageKnown else (", ")")).is_ok());
    assert!(check(&nested("(context.ageKnown || (", ") && context.ageKnown)")).is_ok());
    assert!(check(&nested("!(context.ageKnown == (", "))")).is_ok());
}
