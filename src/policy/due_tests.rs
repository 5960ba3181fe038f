//! Tests of when an answer changes by itself, against asking at every second.

use std::sync::Arc;

use proptest::prelude::*;

use super::engine::{CedarEngine, Engine};
use super::input::tests::candidate;
use super::verdict::{Outcome, PolicyInForce};
use crate::domain::candidate::{Candidate, PolicyLevel};
use crate::domain::time::Time;

const DAY_MS: i64 = 86_400_000;

fn engine() -> CedarEngine {
    CedarEngine::new().unwrap()
}

fn policies(engine: &CedarEngine, conditions: &[&str]) -> Vec<PolicyInForce> {
    let rule = |(index, condition): (usize, &&str)| {
        format!("@id(\"r{index}\") @decision(\"quarantine\") forbid (principal, action, resource) when {{ {condition} }};\n")
    };
    let text: String = conditions.iter().enumerate().map(rule).collect();
    vec![(PolicyLevel::Repo, Arc::new(engine.check(&text).unwrap()))]
}

fn asked_at(candidate: &Candidate, moment: Time) -> Candidate {
    Candidate { asked_at: moment, ..candidate.clone() }
}

fn outcome(engine: &CedarEngine, policies: &[PolicyInForce], candidate: &Candidate, moment: Time) -> Outcome {
    engine.evaluate(policies, &asked_at(candidate, moment)).unwrap().outcome().clone()
}

fn next_change(engine: &CedarEngine, policies: &[PolicyInForce], candidate: &Candidate) -> Option<Time> {
    engine.foresee(policies, candidate, engine.evaluate(policies, candidate).unwrap()).next_change()
}

/// What a single rule says of a package that was first seen `seen_days` ago and published a day before that.
fn days_until(condition: &str, seen_days: i64) -> Option<f64> {
    let engine = engine();
    let mut candidate = candidate("pypi", "demo", "1.0");
    candidate.upstream = Some("python".to_owned());
    candidate.first_seen_at = candidate.asked_at.plus_days(-seen_days);
    candidate.published_upstream_at = Some(candidate.first_seen_at.plus_days(-1));
    let found = next_change(&engine, &policies(&engine, &[condition]), &candidate)?;
    #[allow(clippy::cast_precision_loss, reason = "some years of milliseconds fit")]
    let days = (found.unix_ms() - candidate.asked_at.unix_ms()) as f64 / DAY_MS as f64;
    Some(days)
}

#[test]
fn an_age_rule_changes_when_the_age_is_reached_by_its_own_clock() {
    assert_eq!(days_until("context.ageDays < 7", 2), Some(4.0));
    assert_eq!(days_until("context.firstSeenAgeDays < 7", 2), Some(5.0));
    assert_eq!(days_until("context.ageDays <= 7", 2), Some(5.0));
    assert_eq!(days_until("7 > context.ageDays", 2), Some(4.0));
    assert_eq!(days_until("context.ageSeconds < 604800", 2), Some(4.0));
    assert_eq!(days_until("context.firstSeenAgeDays == 7", 2), Some(5.0));
    assert_eq!(days_until("context.firstSeenAgeDays == 7", 7), Some(1.0));
}

#[test]
fn what_time_cannot_change_has_no_such_moment() {
    for condition in [
        "context.ageDays < 7 && context.package.name == \"other\"",
        "context.ageDays < 2",
        "context.hosted",
        "context.ageDays < 9223372036854775807",
        "context.ageSeconds != -1",
    ] {
        assert_eq!(days_until(condition, 3), None, "{condition}");
    }
}

#[test]
fn an_irregular_rule_is_found_to_the_second_and_looked_at_again_when_nothing_changes() {
    assert_eq!(days_until("context.ageDays * 2 < 14", 2), Some(4.0));
    assert_eq!(days_until("context.ageSeconds - context.firstSeenAgeSeconds + context.ageSeconds < 388800", 2), Some(0.5));
    assert_eq!(days_until("context.ageDays - context.firstSeenAgeDays > 5", 2), Some(400.0));
}

#[test]
fn rules_on_observation_count_and_the_earliest_of_several_wins() {
    let engine = engine();
    let candidate = candidate("pypi", "demo", "1.0");
    let observed = "@id(\"o\") @mode(\"observe\") forbid (principal, action, resource) when { context.ageDays >= 3 };";
    let mut both = policies(&engine, &["context.ageDays < 7"]);
    both.push((PolicyLevel::Instance, Arc::new(engine.check(observed).unwrap())));
    assert_eq!(next_change(&engine, &both, &candidate), Some(candidate.asked_at.plus_days(3)));
}

fn condition() -> impl Strategy<Value = String> {
    let fact = prop_oneof![Just("context.ageSeconds"), Just("context.firstSeenAgeSeconds")];
    let operator = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
    let one = (fact, operator, -2_i64..40).prop_map(|(fact, operator, number)| format!("{fact} {operator} {number}"));
    let irregular = (0_i64..40).prop_map(|number| format!("context.ageSeconds * 2 - context.firstSeenAgeSeconds > {number}"));
    let any = prop_oneof![6 => one, 1 => irregular];
    (any.clone(), any, 0_u8..3).prop_map(|(one, other, join)| match join {
        0 => one,
        1 => format!("{one} && {other}"),
        _ => format!("{one} || !({other})"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_moment_of_change_is_the_one_that_asking_every_second_finds(
        conditions in proptest::collection::vec(condition(), 1..4),
        seen_ms in -3_000_i64..30_000,
        published in proptest::option::of(-3_000_i64..30_000),
    ) {
        let engine = engine();
        let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
        let policies = policies(&engine, &conditions);
        let mut candidate = candidate("pypi", "demo", "1.0");
        candidate.first_seen_at = candidate.asked_at.plus_ms(-seen_ms);
        candidate.published_upstream_at = published.map(|ms| candidate.asked_at.plus_ms(-ms));
        let now = outcome(&engine, &policies, &candidate, candidate.asked_at);
        let irregular = conditions.iter().any(|condition| condition.contains('*'));
        let found = next_change(&engine, &policies, &candidate);
        if let Some(found) = found.filter(|_| !irregular || found < Some(candidate.asked_at.plus_days(100))) {
            prop_assert_ne!(&outcome(&engine, &policies, &candidate, found), &now);
            prop_assert_eq!(&outcome(&engine, &policies, &candidate, found.plus_ms(-1)), &now);
        }
        if !irregular {
            // Within a minute everything has happened that these numbers can make happen; the clocks tick at their own milliseconds.
            let origins = [candidate.first_seen_at, candidate.published_upstream_at.unwrap_or(candidate.first_seen_at)];
            let mut ticks: Vec<Time> = origins.iter().flat_map(|origin| (0..120).map(|second| origin.plus_ms(second * 1000))).collect();
            ticks.sort_unstable();
            let differs = |moment: &Time| *moment > candidate.asked_at && outcome(&engine, &policies, &candidate, *moment) != now;
            prop_assert_eq!(found, ticks.into_iter().find(differs));
        }
    }
}
