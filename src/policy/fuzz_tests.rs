//! Random policies over random inputs, both made from the schema: what is accepted evaluates, and stricter rules never loosen.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::engine::{CedarEngine, Engine};
use super::input::tests::candidate;
use super::verdict::PolicyInForce;
use crate::domain::advisory::{AdvisoryFindings, ScanFinding, ScanStatus, Severity};
use crate::domain::candidate::{Candidate, Decision, Knowledge, PolicyLevel, Previous, Reason, orders};
use crate::domain::contents::{ContentFormat, Contents, Unreadable};
use crate::domain::time::Time;

/// Every fact with the name of its type: `context.ageDays` and `Long`, `context.files.extensions` and `Set`, …
fn facts() -> Vec<(String, String)> {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(super::SCHEMA).unwrap();
    let json = fragment.to_json_value().unwrap();
    let types = json[""]["commonTypes"].clone();
    let mut found = Vec::new();
    add_facts(&types, &types["Facts"], "context", &mut found);
    found
}

fn add_facts(types: &Value, record: &Value, path: &str, found: &mut Vec<(String, String)>) {
    for (name, attribute) in record["attributes"].as_object().unwrap() {
        let path = format!("{path}.{name}");
        let kind = match attribute["type"].as_str().unwrap() {
            "EntityOrCommon" => attribute["name"].as_str().unwrap(),
            other => other,
        };
        match types.get(kind) {
            Some(inner) => add_facts(types, inner, &path, found),
            None => found.push((path, kind.to_owned())),
        }
    }
}

fn leaf() -> impl Strategy<Value = String> {
    let facts = facts();
    assert!(facts.len() > 80, "the schema was not understood: {facts:?}");
    let number = prop_oneof![-5_i64..400, any::<i64>()];
    let text = "[a-z@/.*-]{0,8}";
    (proptest::sample::select(facts), number, text, 0_usize..6, 0_u8..=100).prop_map(|((path, kind), number, text, operator, tenths)| {
        let comparison = ["<", "<=", ">", ">=", "==", "!="][operator];
        match kind.as_str() {
            "Bool" | "__cedar::Bool" | "Boolean" => path,
            "Long" | "__cedar::Long" if operator % 2 == 0 => format!("{path} {comparison} {number}"),
            "Long" | "__cedar::Long" => {
                let factor = if tenths % 4 == 0 { number } else { number % 1000 };
                format!("{path} * {factor} - {tenths} {comparison} {number}")
            }
            "String" | "__cedar::String" if operator < 3 => format!("{path} like \"{text}\""),
            "String" | "__cedar::String" => format!("{path} == \"{}\"", text.replace('*', "")),
            "Set" => format!("{path}.containsAny([\"{}\", \"b\"])", text.replace('*', "")),
            "decimal" | "__cedar::decimal" => format!("{path}.greaterThan(decimal(\"{}.{}\"))", tenths / 10, tenths % 10),
            "datetime" | "__cedar::datetime" => format!("{path} {} datetime(\"20{:02}-01-01\")", ["<", ">="][operator % 2], tenths % 100),
            other => panic!("no expressions are made of facts of the type {other}"),
        }
    })
}

fn condition() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn contents() -> impl Strategy<Value = Contents> {
    let names = || proptest::collection::btree_set("[a-z.]{1,8}", 0..4);
    let causes = proptest::option::of(proptest::sample::select(Unreadable::ALL));
    (proptest::sample::select(ContentFormat::ALL), causes, any::<u64>(), names(), names(), (any::<bool>(), any::<u64>())).prop_map(
        |(format, unreadable, bytes, install_scripts, build_scripts, (flag, binary_count))| Contents {
            format,
            unreadable,
            entry_count: bytes,
            unpacked_bytes: bytes,
            requires: install_scripts.clone(),
            binaries: build_scripts.clone(),
            install_scripts,
            build_scripts,
            is_proc_macro: flag,
            binary_count,
            license_terms: vec!["MIT".to_owned()],
            classifiers: Vec::new(),
            requires_complete: flag,
        },
    )
}

fn knowledge() -> impl Strategy<Value = Knowledge> {
    let scan = ("[a-z]{1,4}", proptest::sample::select(ScanStatus::ALL), 0_u8..=100).prop_map(|(scanner, status, tenths)| ScanFinding {
        scanner,
        status,
        severity: Severity::from_tenths(tenths),
        ids: ["X-1".to_owned()].into(),
    });
    let order = proptest::sample::select(vec![
        (orders::FREEZE, Decision::Quarantine),
        (orders::RESERVED, Decision::Deny),
        (orders::CANARY, Decision::Deny),
    ])
    .prop_map(|(rule, decision)| Reason { rule: rule.to_owned(), decision, message: "ordered".to_owned(), policy: None });
    let previous = proptest::option::of((any::<u64>(), "[a-z]{1,5}", proptest::option::of(contents())));
    let found = (any::<u64>(), any::<bool>(), 0_u8..=100);
    (
        proptest::option::of(contents()),
        previous,
        found,
        proptest::collection::vec(scan, 0..3),
        proptest::collection::vec(order, 0..3),
        any::<bool>(),
    )
        .prop_map(|(contents, previous, (count, flag, tenths), scans, orders, has_built_distribution)| Knowledge {
            contents,
            previous: previous.map(|(total_bytes, publisher, contents)| Previous {
                version: "0.9".to_owned(),
                publisher,
                total_bytes,
                manifest: None,
                contents,
            }),
            has_built_distribution,
            advisories: AdvisoryFindings {
                known: flag,
                count,
                is_malicious: flag,
                max_severity: Severity::from_tenths(tenths),
                ids: ["CVE-1".to_owned()].into(),
                ..AdvisoryFindings::default()
            },
            scans,
            orders,
            ..Knowledge::default()
        })
}

fn asked() -> impl Strategy<Value = Candidate> {
    let times = (any::<i64>(), any::<i64>(), proptest::option::of(any::<i64>()));
    let waived = proptest::collection::vec((0_usize..4, any::<bool>()), 0..4);
    (proptest::sample::select(vec!["pypi", "npm", "cargo", "generic"]), knowledge(), times, waived).prop_map(
        |(package_type, known, (seen, asked, published), waived)| {
            let mut candidate = candidate(package_type, "demo", "1.0.0");
            candidate.known = known;
            candidate.first_seen_at = Time::from_unix_ms(seen);
            candidate.asked_at = Time::from_unix_ms(asked);
            candidate.published_upstream_at = published.map(Time::from_unix_ms);
            for (index, denies) in waived {
                let list = if denies { &mut candidate.waived_denials } else { &mut candidate.waived_rules };
                list.push(format!("repo/r{index}"));
            }
            candidate
        },
    )
}

fn rules(conditions: &[(String, bool, bool)]) -> String {
    let mut text = String::new();
    for (index, (condition, holds, observes)) in conditions.iter().enumerate() {
        let decision = if *holds { "quarantine" } else { "deny" };
        let mode = if *observes { "observe" } else { "enforce" };
        text += &format!(
            "@id(\"r{index}\") @decision(\"{decision}\") @mode(\"{mode}\") forbid (principal, action, resource) when {{ {condition} }};\n"
        );
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_policy_evaluates_on_every_input_and_a_further_rule_never_loosens(
        conditions in proptest::collection::vec((condition(), any::<bool>(), any::<bool>()), 0..4),
        further in (condition(), any::<bool>(), any::<bool>()),
        candidate in asked(),
    ) {
        let engine = CedarEngine::new().unwrap();
        let mut all = conditions;
        let policy = |text: &str| engine.check(text).ok().map(|document| -> PolicyInForce { (PolicyLevel::Repo, Arc::new(document)) });
        // A random rule may be impossible, or compute too large a number; such a text is refused and asks nothing.
        if let Some(policy_before) = policy(&rules(&all)) {
            let before = engine.evaluate(std::slice::from_ref(&policy_before), &candidate).unwrap();
            all.push(further);
            if let Some(policy_after) = policy(&rules(&all)) {
                let after = engine.evaluate(std::slice::from_ref(&policy_after), &candidate).unwrap();
                prop_assert!(after.decision() >= before.decision(), "{} loosened {}", rules(&all), before.decision());
                for reason in before.reasons() {
                    prop_assert!(after.reasons().contains(reason));
                }
            }
        }
    }

    #[test]
    fn the_order_of_facts_and_the_time_zones_of_times_change_nothing(
        conditions in proptest::collection::vec((condition(), any::<bool>(), any::<bool>()), 0..4),
        candidate in asked(),
        offset_minutes in -14 * 60_i64..=14 * 60,
    ) {
        let engine = CedarEngine::new().unwrap();
        let Ok(document) = engine.check(&rules(&conditions)) else { return Ok(()) };
        let policy: PolicyInForce = (PolicyLevel::Instance, Arc::new(document));
        let mut turned = candidate.clone();
        turned.known.scans.reverse();
        turned.known.orders.reverse();
        turned.waived_rules.reverse();
        turned.waived_denials.reverse();
        turned.published_upstream_at = turned.published_upstream_at.map(|time| elsewhere(time, offset_minutes));
        turned.first_seen_at = elsewhere(turned.first_seen_at, offset_minutes);
        let one = engine.evaluate(std::slice::from_ref(&policy), &candidate).unwrap();
        let other = engine.evaluate(std::slice::from_ref(&policy), &turned).unwrap();
        prop_assert_eq!(one.outcome(), other.outcome());
        prop_assert_eq!(one.input(), other.input());
    }
}

/// The same moment, written in another time zone and read again.
fn elsewhere(time: Time, offset_minutes: i64) -> Time {
    let local = Time::from_unix_ms(time.unix_ms().saturating_add(offset_minutes * 60_000));
    // Not at the ends of time, where the local clock would show a year that has no four digits.
    if local.unix_ms() - time.unix_ms() != offset_minutes * 60_000 {
        return time;
    }
    let (sign, minutes) = if offset_minutes < 0 { ('-', -offset_minutes) } else { ('+', offset_minutes) };
    let text = format!("{}{sign}{:02}:{:02}", local.to_string().trim_end_matches('Z'), minutes / 60, minutes % 60);
    let read: Time = text.parse().unwrap();
    assert_eq!(read, time, "{text}");
    read
}
