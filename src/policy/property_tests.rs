//! Properties over random candidates, rules and manifests: the same question always has the same answer, nothing panics,
//! and a stored input evaluates to the same again.

use std::sync::Arc;

use proptest::prelude::*;

use super::engine::{CedarEngine, Engine};
use super::input::tests::{candidate, with_manifest};
use super::verdict::PolicyInForce;
use crate::domain::access::{Role, Roles};
use crate::domain::candidate::{Action, Candidate, Decision, PolicyLevel};
use crate::domain::digest::Digest;
use crate::domain::repo::RepoKind;
use crate::domain::time::Time;
use crate::domain::version::File;

const CONDITIONS: &[&str] = &[
    "true",
    "context.ageDays < 7",
    "context.ageSeconds > 1000000000 || !context.ageKnown",
    "context.files.count > 2 && context.files.largestBytes > 1000",
    "context.files.totalBytes == 1000000000000000",
    "context.package.name like \"*a*\"",
    "context.package.nameAsWritten != context.package.name",
    "context.package.purl like \"pkg:npm/*\"",
    "context.licenses.unknown || context.licenses.copyleft",
    "context.licenses.ids.containsAny([\"MIT\", \"GPL-3.0-only\"])",
    "context.requires.contains(\"left-pad\")",
    "context.files.extensions.containsAny([\"exe\", \"tar.gz\"])",
    "principal in Group::\"admin\"",
    "action == Action::\"fetch\" && !context.hosted",
    "resource.kind == \"remote\"",
];

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let names = prop_oneof!["[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}[a-z0-9]", "\\PC{1,30}"];
    let files = proptest::collection::vec(
        (
            0_u32..6,
            prop_oneof![Just("exe"), Just("tar.gz"), Just("Ünï"), Just("x")],
            prop_oneof![Just(u64::MAX), any::<u64>(), 0_u64..5000],
        ),
        0..6,
    );
    let manifest = prop_oneof![
        Just(None),
        Just(Some(r#"{"license":"MIT","dependencies":{"left-pad":"1"}}"#.to_owned())),
        Just(Some(r#"{"license":"GPL-3.0+","requires_dist":["Left_Pad>1"]}"#.to_owned())),
        "\\PC{0,60}".prop_map(Some),
    ];
    let whence = (0_usize..5, 0_usize..3, 0_u8..16, proptest::option::of("[a-z]{1,8}"));
    let times = (any::<i64>(), any::<i64>(), proptest::option::of(any::<i64>()));
    let review = (proptest::option::of(0_usize..3), proptest::collection::vec(0_usize..CONDITIONS.len(), 0..4));
    (prop_oneof![Just("pypi"), Just("npm"), Just("generic")], names, files, manifest, (whence, times, review)).prop_map(
        |(package_type, name, files, manifest, ((action, kind, roles, upstream), (seen, asked, published), (hint, waived)))| {
            let version = if package_type == "npm" { "1.0.0" } else { "1.0" };
            let usable = crate::domain::name::PackageName::new(package_type.parse().unwrap(), "", &name).is_ok();
            let mut candidate = if usable { candidate(package_type, &name, version) } else { candidate("generic", "fallback", "1.0") };
            let template = candidate.files[0].clone();
            candidate.files = files
                .into_iter()
                .enumerate()
                .map(|(index, (digest, extension, size_bytes))| File {
                    path: format!("f{index}.{extension}").parse().unwrap(),
                    digest: Digest::of(&digest.to_be_bytes()),
                    size_bytes,
                    ..template.clone()
                })
                .collect();
            candidate.action = Action::ALL[action];
            candidate.repo_kind = RepoKind::ALL[kind];
            candidate.roles =
                Role::ALL.iter().enumerate().filter(|(bit, _)| roles & (1 << bit) != 0).map(|(_, role)| *role).collect::<Roles>();
            candidate.upstream = upstream;
            candidate.first_seen_at = Time::from_unix_ms(seen);
            candidate.asked_at = Time::from_unix_ms(asked);
            candidate.published_upstream_at = published.map(Time::from_unix_ms);
            candidate.hint = hint.map(|index| Decision::ALL[index]);
            candidate.waived_rules = waived.into_iter().map(|index| format!("instance/r{index}")).collect();
            match manifest {
                Some(json) => with_manifest(candidate, &json),
                None => candidate,
            }
        },
    )
}

/// Rules in some order: which condition, whether it holds or denies, and whether it only observes.
fn text_of(rules: &[(usize, bool, bool)]) -> String {
    rules
        .iter()
        .map(|(index, holds, observes)| {
            let decision = if *holds { "@decision(\"quarantine\")" } else { "" };
            let mode = if *observes { "@mode(\"observe\")" } else { "" };
            format!("@id(\"r{index}\") {decision} {mode} forbid (principal, action, resource) when {{ {} }};\n", CONDITIONS[*index])
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_question_has_the_same_answer_in_any_order_and_again_later(
        candidate in any_candidate(),
        modes in proptest::collection::vec((any::<bool>(), any::<bool>()), CONDITIONS.len()),
        order in Just((0..CONDITIONS.len()).collect::<Vec<usize>>()).prop_shuffle(),
        count in 0..CONDITIONS.len(),
    ) {
        let engine = CedarEngine::new().unwrap();
        let mut rules: Vec<(usize, bool, bool)> = order.into_iter().take(count).map(|index| (index, modes[index].0, modes[index].1)).collect();
        let shuffled: PolicyInForce = (PolicyLevel::Repo, Arc::new(engine.check(&text_of(&rules)).unwrap()));
        rules.sort_unstable();
        let sorted: PolicyInForce = (PolicyLevel::Repo, Arc::new(engine.check(&text_of(&rules)).unwrap()));
        let mut turned = candidate.clone();
        turned.files.reverse();
        turned.waived_rules.reverse();

        let one = engine.evaluate(std::slice::from_ref(&shuffled), &candidate).unwrap();
        let other = engine.evaluate(std::slice::from_ref(&sorted), &turned).unwrap();
        prop_assert_eq!(one.decision(), other.decision());
        prop_assert_eq!(one.source(), other.source());
        prop_assert_eq!(one.reasons(), other.reasons());
        prop_assert_eq!(one.input_digest(), other.input_digest());

        let strictest = one.reasons().iter().map(|reason| reason.decision).max().unwrap_or(Decision::Allow);
        prop_assert_eq!(one.decision(), strictest);
        prop_assert!(one.reasons().is_sorted_by(|a, b| a.decision >= b.decision));
        prop_assert!(candidate.hint.is_none_or(|hint| one.decision() >= hint));

        let again = engine.replay(one.input(), std::slice::from_ref(&shuffled)).unwrap();
        prop_assert_eq!(again.decision, one.decision());
        prop_assert_eq!(again.source, one.source());
        prop_assert_eq!(again.reasons.as_slice(), one.reasons());
        prop_assert_eq!(again.observed.as_slice(), one.observed());
        prop_assert_eq!(again.waived.as_slice(), one.waived());
    }

    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC{0,200}", rule in "[a-z(){}\\[\\]\"@;.,:&|!<>=0-9 *-]{0,120}") {
        let engine = CedarEngine::new().unwrap();
        let _ = engine.check(&text);
        let _ = engine.check(&format!("@id(\"a\") forbid (principal, action, resource) when {{ {rule} }};"));
    }

    #[test]
    fn no_manifest_makes_the_evaluation_fail(license in "[A-Za-z0-9 ()/+.:-]{0,60}", value in "\\PC{0,40}", package_type in prop_oneof![Just("npm"), Just("cargo"), Just("pypi")]) {
        let engine = CedarEngine::new().unwrap();
        let asked = || candidate(package_type, "demo", "1.0.0");
        for json in [
            serde_json::json!({"license": license, "requires_dist": [value], "classifiers": [value], "deps": [{"name": value}]}).to_string(),
            serde_json::json!({"license": {"type": license}, "licenses": [license, {"type": value}], "dependencies": {value.clone(): value}}).to_string(),
            format!("{{\"license\":{license},\"dependencies\":{value}}}"),
        ] {
            prop_assert_eq!(engine.evaluate(&[], &with_manifest(asked(), &json)).unwrap().decision(), Decision::Allow);
        }
    }
}
