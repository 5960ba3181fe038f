//! Tests of the decisions: strictness, levels, modes, waivers, hints, failures, and what a verdict carries.

use std::sync::Arc;

use super::engine::{CedarEngine, Engine};
use super::input::Input;
use super::input::tests::{candidate, with_manifest};
use super::verdict::{PolicyInForce, Verdict, policy_digest};
use crate::domain::access::{Role, Roles};
use crate::domain::candidate::{Action, Candidate, Decision, DecisionSource, PolicyLevel, Reason};
use crate::domain::digest::Digest;
use crate::domain::version::File;
use crate::error::Code;

fn engine() -> CedarEngine {
    CedarEngine::new().unwrap()
}

fn policy(level: PolicyLevel, text: &str) -> PolicyInForce {
    (level, Arc::new(engine().check(text).unwrap()))
}

fn rule(id: &str, more: &str, condition: &str) -> String {
    format!("@id(\"{id}\") {more} @message(\"{id} fired\") forbid (principal, action, resource) when {{ {condition} }};\n")
}

fn ask(text: &str, candidate: &Candidate) -> Verdict {
    engine().evaluate(&[policy(PolicyLevel::Repo, text)], candidate).unwrap()
}

fn fires(condition: &str, candidate: &Candidate) -> bool {
    ask(&rule("r", "", condition), candidate).decision() == Decision::Deny
}

fn ids(reasons: &[Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.rule.as_str()).collect()
}

fn demo() -> Candidate {
    candidate("pypi", "demo", "1.0")
}

#[test]
fn without_a_policy_everything_is_allowed_by_default() {
    let verdict = engine().evaluate(&[], &demo()).unwrap();
    assert_eq!((verdict.decision(), verdict.source()), (Decision::Allow, DecisionSource::DefaultAllow));
    assert!(verdict.reasons().is_empty());
    assert_eq!(verdict.policy_digest(), policy_digest(&[]));
}

#[test]
fn every_rule_that_fires_is_a_reason_and_the_strictest_decides() {
    let quarantine = "@decision(\"quarantine\")";
    let repo = [
        rule("q2", quarantine, "true"),
        rule("d2", "", "true"),
        rule("not", "", "!context.hosted"),
        rule("q1", quarantine, "true"),
        rule("d1", "", "true"),
    ];
    let policies = [policy(PolicyLevel::Repo, &repo.concat()), policy(PolicyLevel::Instance, &rule("z", quarantine, "true"))];
    let verdict = engine().evaluate(&policies, &demo()).unwrap();
    assert_eq!((verdict.decision(), verdict.source()), (Decision::Deny, DecisionSource::Policy));
    assert_eq!(ids(verdict.reasons()), ["d1", "d2", "z", "q1", "q2"]);
    assert_eq!(
        verdict.reasons()[2],
        Reason { rule: "z".to_owned(), decision: Decision::Quarantine, message: "z fired".to_owned(), policy: verdict.reasons()[2].policy }
    );
    let milder = engine().evaluate(&policies[1..], &demo()).unwrap();
    assert_eq!(milder.decision(), Decision::Quarantine);
}

#[test]
fn a_policy_that_is_too_long_to_be_evaluated_at_a_stretch_is_evaluated_whole() {
    let fires = |number: usize| matches!(number, 0 | 15 | 16 | 99 | 499);
    let text: String =
        (0..500).map(|number| rule(&format!("r{number:03}"), "", if fires(number) { "true" } else { "!context.hosted" })).collect();
    assert_eq!(ids(ask(&text, &demo()).reasons()), ["r000", "r015", "r016", "r099", "r499"]);
}

#[test]
fn one_id_at_both_levels_gives_two_reasons() {
    let policies = [policy(PolicyLevel::Instance, &rule("same", "", "true")), policy(PolicyLevel::Repo, &rule("same", "", "true"))];
    assert_eq!(ids(engine().evaluate(&policies, &demo()).unwrap().reasons()), ["same", "same"]);
}

#[test]
fn a_rule_in_observe_mode_is_recorded_and_decides_nothing() {
    let verdict = ask(&rule("seen", "@mode(\"observe\")", "true"), &demo());
    assert_eq!((verdict.decision(), verdict.source()), (Decision::Allow, DecisionSource::DefaultAllow));
    assert_eq!(ids(verdict.observed()), ["seen"]);
}

#[test]
fn a_waiver_drops_the_hold_of_that_rule_only_and_never_a_denial() {
    let text = [
        rule("hold", "@decision(\"quarantine\")", "true"),
        rule("other", "@decision(\"quarantine\")", "true"),
        rule("no", "", "context.package.name == \"bad\""),
    ]
    .concat();
    let mut held = demo();
    held.waived_rules = vec!["repo/hold".to_owned(), "repo/no".to_owned()];
    let verdict = ask(&text, &held);
    assert_eq!((ids(verdict.reasons()), ids(verdict.waived())), (vec!["other"], vec!["hold"]));
    held.waived_rules.push("repo/other".to_owned());
    let released = ask(&text, &held);
    assert_eq!((released.decision(), released.source()), (Decision::Allow, DecisionSource::DefaultAllow));
    assert_eq!(ids(released.waived()), ["hold", "other"]);
    let mut bad = candidate("pypi", "bad", "1.0");
    bad.waived_rules = held.waived_rules;
    assert_eq!(ask(&text, &bad).decision(), Decision::Deny);
}

#[test]
fn a_waiver_of_the_repos_rule_does_not_cover_the_instances_rule_of_the_same_name() {
    let mut held = demo();
    for (waiver, decision) in [("repo/hold", Decision::Allow), ("instance/hold", Decision::Quarantine), ("hold", Decision::Quarantine)] {
        held.waived_rules = vec![waiver.to_owned()];
        assert_eq!(ask(&rule("hold", "@decision(\"quarantine\")", "true"), &held).decision(), decision, "{waiver}");
    }
}

#[test]
fn a_hint_can_only_tighten() {
    let quarantine = rule("q", "@decision(\"quarantine\")", "true");
    let with = |hint: Option<Decision>, text: &str| {
        let mut candidate = demo();
        candidate.hint = hint;
        let verdict = ask(text, &candidate);
        (verdict.decision(), verdict.source(), ids(verdict.reasons()).join(" "))
    };
    assert_eq!(with(Some(Decision::Allow), &quarantine), (Decision::Quarantine, DecisionSource::Policy, "q".to_owned()));
    assert_eq!(with(Some(Decision::Quarantine), &quarantine), (Decision::Quarantine, DecisionSource::Policy, "q".to_owned()));
    assert_eq!(with(Some(Decision::Deny), &quarantine), (Decision::Deny, DecisionSource::HintDeny, "hint q".to_owned()));
    assert_eq!(with(Some(Decision::Quarantine), ""), (Decision::Quarantine, DecisionSource::HintQuarantine, "hint".to_owned()));
    assert_eq!(with(Some(Decision::Allow), ""), (Decision::Allow, DecisionSource::DefaultAllow, String::new()));
    assert_eq!(with(None, ""), (Decision::Allow, DecisionSource::DefaultAllow, String::new()));
    let mut released = demo();
    released.hint = Some(Decision::Quarantine);
    released.waived_rules = vec!["hint".to_owned()];
    assert_eq!(ask("", &released).decision(), Decision::Allow);
    released.hint = Some(Decision::Deny);
    assert_eq!(ask("", &released).decision(), Decision::Deny);
}

#[test]
fn a_rule_that_cannot_be_evaluated_fails_closed_even_when_another_decides() {
    let overflow = rule("big", "@mode(\"observe\")", "context.files.totalBytes + 1 > 0");
    let text = overflow + &rule("no", "", "true");
    let mut large = demo();
    large.files[0].size_bytes = 1 << 40;
    // No fact is so large; an input that somebody tampered with may say so.
    let input = Input::of(&large).write().unwrap().replace("1099511627776", "9223372036854775807");
    let error = engine().replay(&input, &[policy(PolicyLevel::Repo, &text)]).unwrap_err();
    assert_eq!(error.code(), Code::PolicyError);
    assert_eq!(error.members()["failClosed"], true);
    assert!(error.message().contains("pkg:pypi/demo@1.0"), "{error}");
    assert!(!error.message().contains("overflow"), "{error}");
    assert!(error.cause().unwrap().to_string().contains("overflow"));
}

#[test]
fn a_rule_on_which_the_engine_could_fail_is_refused_when_it_is_stored() {
    let refused = [
        "context.files.totalBytes * context.files.count > 0",
        "context.files.totalBytes * 9223372036854775807 > 0",
        "9223372036854775807 + context.files.count > 0",
        "-(-9223372036854775808) > context.files.count",
        "context.ageDays * context.ageDays * context.ageDays * context.ageDays < 7",
        "(if context.hosted then Repo::\"main\" else resource).kind == \"local\"",
        "Repo::\"other\".kind == \"local\"",
        "context.publishedAt.offset(duration(\"1d\")) < datetime(\"2026-01-01\")",
    ];
    for condition in refused {
        let error = engine().check(&rule("r", "", condition)).unwrap_err();
        assert_eq!(error.code(), Code::BadPolicy, "{condition}");
    }
    let taken = [
        "context.files.totalBytes * 1024 > 0",
        "context.files.totalBytes - context.previous.totalBytes > 1000000",
        "-context.ageDays < 0",
        "context.publishedAt.durationSince(context.firstSeenAt) > duration(\"1d\")",
        "{ \"a\": context.ageDays }.a < 7",
        "context.repo.kind == resource.kind",
    ];
    for condition in taken {
        if let Err(error) = engine().check(&rule("r", "", condition)) {
            panic!("{condition}: {error} {:?}", error.members());
        }
    }
}

#[test]
fn a_rule_that_an_earlier_program_stored_is_evaluated_although_it_would_not_be_stored_now() {
    let text = rule("r", "", "context.files.totalBytes * context.files.count > 0");
    assert!(engine().check(&text).is_err());
    let stored = engine().read_stored(&text).unwrap();
    assert_eq!((stored.text(), stored.rules().len()), (text.as_str(), 1));
    assert!(engine().read_stored("permit (principal, action, resource);").is_err());
}

#[test]
fn principal_action_and_resource_can_be_matched() {
    let mut promoted = demo();
    promoted.action = Action::Promote;
    promoted.roles = Roles::of(Role::Promote);
    assert!(fires("action == Action::\"promote\" && principal in Group::\"promote\" && principal in Group::\"read\"", &promoted));
    assert!(!fires("principal in Group::\"write\" || principal in Group::\"admin\"", &promoted));
    assert!(fires("principal == Subject::\"builder\" && resource == Repo::\"main\" && resource.kind == \"local\"", &promoted));
    assert!(fires("action in [Action::\"publish\", Action::\"import\"]", &demo()));
}

#[test]
fn another_spelling_of_a_name_cannot_dodge_a_rule() {
    for name in ["evil-package", "Evil_Package", "evil.-_package"] {
        assert!(fires("context.package.name == \"evil-package\"", &candidate("pypi", name, "1.0")), "{name}");
    }
}

#[test]
fn facts_of_the_manifest_reach_the_rules() {
    let npm = with_manifest(
        candidate("npm", "demo", "1.0.0"),
        r#"{"license":"GPL-3.0","scripts":{"postinstall":"x"},"dependencies":{"@Scope/Left":"1"}}"#,
    );
    assert!(fires("context.licenses.copyleft && context.licenses.ids.contains(\"GPL-3.0-only\") && !context.licenses.unknown", &npm));
    assert!(fires("context.manifest.installScripts && context.requires.contains(\"@scope/left\") && context.requiresCount == 1", &npm));
    assert!(fires("!context.manifest.present && context.licenses.unknown && context.requires.isEmpty()", &demo()));
    assert!(fires("context.files.extensions.containsAll([\"gz\", \"tar.gz\"])", &demo()));
}

#[test]
fn the_context_has_exactly_the_shape_of_the_schema() {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(super::SCHEMA).unwrap();
    let names = super::context::Names::parse().unwrap();
    for action in Action::ALL {
        let mut asked = with_manifest(demo(), r#"{"license":"MIT","requires_dist":["a"]}"#);
        asked.action = *action;
        asked.roles = Roles::of(Role::Admin);
        let input = Input::of(&asked);
        assert!(names.ask(&input, Some(&schema)).is_ok(), "{action}");
        let context = serde_json::to_value(&input.context).unwrap();
        let uid: cedar_policy::EntityUid = format!("Action::\"{action}\"").parse().unwrap();
        cedar_policy::Context::from_json_value(context, Some((&schema, &uid))).unwrap();
    }
}

#[test]
fn a_verdict_is_bound_to_content_policy_and_moment() {
    let asked = demo();
    let policies = [policy(PolicyLevel::Repo, &rule("r", "", "true"))];
    let verdict = engine().evaluate(&policies, &asked).unwrap();
    assert_eq!(verdict.content_digest(), asked.content_digest());
    assert_eq!(
        (verdict.action(), verdict.repo(), verdict.version_id(), verdict.evaluated_at()),
        (Action::Publish, &asked.repo, asked.version_id, asked.asked_at)
    );
    assert_eq!(verdict.policy_digest(), policy_digest(&policies));
    assert_eq!(verdict.input_digest(), Digest::of(verdict.input().as_bytes()));
    assert!(verdict.engine_version().starts_with("cedar-4."));
}

#[test]
fn the_policy_digest_depends_on_level_and_text_but_not_on_order() {
    let (instance, repo) = (policy(PolicyLevel::Instance, ""), policy(PolicyLevel::Repo, "// x"));
    let moved = (PolicyLevel::Repo, Arc::clone(&instance.1));
    let digests = [
        policy_digest(&[]),
        policy_digest(std::slice::from_ref(&instance)),
        policy_digest(&[moved]),
        policy_digest(&[instance.clone(), repo.clone()]),
    ];
    for (index, digest) in digests.iter().enumerate() {
        assert!(!digests[..index].contains(digest));
    }
    assert_eq!(policy_digest(&[repo.clone(), instance.clone()]), policy_digest(&[instance, repo]));
}

#[test]
fn an_input_that_cannot_be_read_again_is_a_policy_error() {
    for text in ["", "null", "{}", "[]", "{\"inputVersion\":1}", "{\"inputVersion\":9}"] {
        assert_eq!(engine().replay(text, &[]).unwrap_err().code(), Code::PolicyError, "{text}");
    }
}

#[test]
fn a_hundred_thousand_files_are_evaluated_and_cut_digests_are_flagged() {
    let mut large = candidate("generic", "demo", "1");
    let template = large.files[0].clone();
    large.files = (0_u32..100_000)
        .map(|n| File { path: format!("d/{n}.e{}", n % 2000).parse().unwrap(), digest: Digest::of(&n.to_be_bytes()), ..template.clone() })
        .collect();
    assert!(fires("context.files.count == 100000 && !context.files.digestsComplete && !context.files.extensionsComplete", &large));
    let verdict = ask("", &large);
    assert!(verdict.input().len() < 1024 * 1024);
    assert_eq!(engine().replay(verdict.input(), &[]).unwrap().decision, Decision::Allow);
}

/// An engine put in the place of the real one, as the gate's tests do.
struct Refusing(CedarEngine);

impl Engine for Refusing {
    fn version(&self) -> &str {
        self.0.version()
    }

    fn check(&self, text: &str) -> crate::error::Result<super::Document> {
        self.0.check(text)
    }

    fn evaluate(&self, policies: &[PolicyInForce], candidate: &Candidate) -> crate::error::Result<Verdict> {
        if candidate.action == Action::Publish {
            Err(crate::error::Error::new(Code::PolicyError, "refused"))
        } else {
            self.0.evaluate(policies, candidate)
        }
    }

    fn foresee(&self, _policies: &[PolicyInForce], _candidate: &Candidate, verdict: Verdict) -> Verdict {
        verdict
    }

    fn replay(&self, input: &str, policies: &[PolicyInForce]) -> crate::error::Result<super::Outcome> {
        self.0.replay(input, policies)
    }
}

#[test]
fn another_engine_can_stand_in_but_a_verdict_comes_from_the_real_one() {
    let injected: Arc<dyn Engine> = Arc::new(Refusing(engine()));
    assert!(injected.evaluate(&[], &demo()).is_err());
    let mut promoted = demo();
    promoted.action = Action::Promote;
    assert_eq!(injected.evaluate(&[], &promoted).unwrap().decision(), Decision::Allow);
}
