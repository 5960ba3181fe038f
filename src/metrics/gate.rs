//! The policy gate. Invariant: rules are counted by what became of them and whose they are, never by name.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::quick;
use super::work::ByOutcome;
use crate::domain::candidate::{Action, Decision, PolicyLevel};
use crate::domain::waiver::FiringPart;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    action: &'static str,
    decision: &'static str,
}

/// Whose the reasons are that no policy gives.
const SERVER: &str = "server";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fired {
    part: &'static str,
    policy: &'static str,
}

/// Decisions of the policy gate.
#[derive(Debug)]
pub struct Gate {
    decisions: Family<Decided, Counter>,
    reevaluations: Family<ByOutcome, Counter>,
    duration: Histogram,
    firings: Family<Fired, Counter>,
    canaries_refused: Counter,
    canary_refused_at: Gauge<f64, AtomicU64>,
}

impl Gate {
    pub(super) fn register(registry: &mut Registry) -> Gate {
        let group = Gate {
            decisions: Family::default(),
            reevaluations: Family::default(),
            duration: quick(),
            canaries_refused: Counter::default(),
            canary_refused_at: Gauge::default(),
            firings: Family::default(),
        };
        let failures = ["timeout", "error"].into_iter();
        let decisions: Vec<&'static str> = Decision::ALL.iter().map(|decision| decision.as_str()).chain(failures).collect();
        for action in Action::ALL {
            for decision in &decisions {
                drop(group.decisions.get_or_create(&Decided { action: action.as_str(), decision }));
            }
        }
        for outcome in ["unchanged", "recorded", "released", "held", "failed"] {
            drop(group.reevaluations.get_or_create(&ByOutcome { outcome }));
        }
        registry.register("gate_reevaluations", "Versions judged again, by what became of them", group.reevaluations.clone());
        registry.register("gate_decisions", "What the policy gate decided, or that it failed closed", group.decisions.clone());
        registry.register_with_unit(
            "gate_evaluation_duration",
            "Gathering the input of a decision and evaluating it, waiting for a slot included",
            Unit::Seconds,
            group.duration.clone(),
        );
        for part in FiringPart::ALL {
            for policy in PolicyLevel::ALL.iter().map(|level| level.as_str()).chain([SERVER]) {
                drop(group.firings.get_or_create(&Fired { part: part.as_str(), policy }));
            }
        }
        registry.register("gate_rule_firings", "Rules that fired, by whether they decided and whose they are", group.firings.clone());
        registry.register("gate_canaries_refused", "Canary packages that the policy gate refused", group.canaries_refused.clone());
        registry.register_with_unit(
            "gate_canary_refused_timestamp",
            "When the policy gate last refused a canary package, as seconds since 1970; 0 before that",
            Unit::Seconds,
            group.canary_refused_at.clone(),
        );
        group
    }

    /// A rule has fired.
    pub fn fired(&self, part: FiringPart, policy: Option<PolicyLevel>) {
        self.firings.get_or_create(&Fired { part: part.as_str(), policy: policy.map_or(SERVER, PolicyLevel::as_str) }).inc();
    }

    /// A version was judged again: `unchanged`, `recorded`, `released`, `held` or `failed`.
    pub fn reevaluated(&self, outcome: &'static str) {
        self.reevaluations.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// The gate has refused the canary at this moment, in seconds since 1970.
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    pub fn refused_canary(&self, at_seconds: i64) {
        self.canaries_refused.inc();
        self.canary_refused_at.set(at_seconds as f64);
    }

    /// The gate has answered a question about `action`: a decision, `timeout` or `error`.
    pub fn decided(&self, action: &'static str, decision: &'static str, elapsed: Duration) {
        self.decisions.get_or_create(&Decided { action, decision }).inc();
        self.duration.observe(elapsed.as_secs_f64());
    }
}
