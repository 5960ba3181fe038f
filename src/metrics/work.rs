//! The gate, the outbox, the jobs and the search. Invariant: every kind, state and outcome is a word of an enum of this program.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{quick, slow};
use crate::domain::candidate::{Action, Decision};

/// A number that is set, not counted.
type Level = Gauge<u64, AtomicU64>;
/// A time in seconds that is set.
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    action: &'static str,
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindAndState {
    kind: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMode {
    mode: &'static str,
}

/// Decisions of the policy gate.
#[derive(Debug)]
pub struct Gate {
    decisions: Family<Decided, Counter>,
    reevaluations: Family<ByOutcome, Counter>,
    duration: Histogram,
    canaries_refused: Counter,
    canary_refused_at: Seconds,
}

impl Gate {
    pub(super) fn register(registry: &mut Registry) -> Gate {
        let group = Gate {
            decisions: Family::default(),
            reevaluations: Family::default(),
            duration: quick(),
            canaries_refused: Counter::default(),
            canary_refused_at: Seconds::default(),
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
        registry.register("gate_canaries_refused", "Canary packages that the policy gate refused", group.canaries_refused.clone());
        registry.register_with_unit(
            "gate_canary_refused_timestamp",
            "When the policy gate last refused a canary package, as seconds since 1970; 0 before that",
            Unit::Seconds,
            group.canary_refused_at.clone(),
        );
        group
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

/// The relay of the outbox.
#[derive(Debug)]
pub struct Outbox {
    relayed: Family<ByOutcome, Counter>,
}

impl Outbox {
    pub(super) fn register(registry: &mut Registry) -> Outbox {
        let group = Outbox { relayed: Family::default() };
        for outcome in ["delivered", "requeued", "dead"] {
            drop(group.relayed.get_or_create(&ByOutcome { outcome }));
        }
        registry.register("outbox_relayed", "Events that the relay looked at, by what became of them", group.relayed.clone());
        group
    }

    /// The relay has looked at some events.
    pub fn relayed(&self, delivered: usize, requeued: usize, dead: usize) {
        for (outcome, count) in [("delivered", delivered), ("requeued", requeued), ("dead", dead)] {
            self.relayed.get_or_create(&ByOutcome { outcome }).inc_by(count as u64);
        }
    }
}

/// How an attempt at a job ended, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Done.
    Completed,
    /// It will be tried again.
    Failed,
    /// Given up.
    Dead,
    /// What it needs is not there; no fault of the job.
    Postponed,
    /// Somebody else had its lease when it was done.
    Lost,
}

impl JobEnd {
    const ALL: [JobEnd; 5] = [JobEnd::Completed, JobEnd::Failed, JobEnd::Dead, JobEnd::Postponed, JobEnd::Lost];

    const fn as_str(self) -> &'static str {
        match self {
            JobEnd::Completed => "completed",
            JobEnd::Failed => "failed",
            JobEnd::Dead => "dead",
            JobEnd::Postponed => "postponed",
            JobEnd::Lost => "lost",
        }
    }
}

/// Finished attempts at jobs.
#[derive(Debug)]
pub struct Jobs {
    attempts: Family<JobOutcome, Counter>,
    batch_duration: Family<ByKind, Histogram, fn() -> Histogram>,
}

impl Jobs {
    pub(super) fn register(registry: &mut Registry) -> Jobs {
        let group = Jobs { attempts: Family::default(), batch_duration: Family::new_with_constructor(slow) };
        registry.register("job_attempts", "Attempts at jobs that ended, by kind and outcome", group.attempts.clone());
        registry.register_with_unit(
            "job_batch_duration",
            "The work of one batch of jobs of a kind",
            Unit::Seconds,
            group.batch_duration.clone(),
        );
        group
    }

    /// Makes the series of a kind, at 0: an alert on a first failure needs something to compare it with.
    pub fn expect(&self, kind: &'static str) {
        for end in JobEnd::ALL {
            drop(self.attempts.get_or_create(&JobOutcome { kind, outcome: end.as_str() }));
        }
    }

    /// An attempt at a job has ended.
    pub fn ended(&self, kind: &'static str, end: JobEnd) {
        self.attempts.get_or_create(&JobOutcome { kind, outcome: end.as_str() }).inc();
    }

    /// The work of a batch is done.
    pub fn worked(&self, kind: &'static str, elapsed: Duration) {
        self.batch_duration.get_or_create(&ByKind { kind }).observe(elapsed.as_secs_f64());
    }
}

/// Attempts to tell webhooks.
#[derive(Debug)]
pub struct Webhooks {
    attempts: Family<ByOutcome, Counter>,
    duration: Histogram,
}

impl Webhooks {
    /// How an attempt may end. A status is counted by its class: which one it is, is the receiver's choice.
    const OUTCOMES: [&'static str; 13] = [
        "delivered",
        "http_3xx",
        "http_4xx",
        "http_5xx",
        "timed_out",
        "connect_failed",
        "tls_failed",
        "name_unknown",
        "address_refused",
        "redirect_refused",
        "too_many_redirects",
        "no_answer",
        "other",
    ];

    pub(super) fn register(registry: &mut Registry) -> Webhooks {
        let group = Webhooks { attempts: Family::default(), duration: slow() };
        for outcome in Webhooks::OUTCOMES {
            drop(group.attempts.get_or_create(&ByOutcome { outcome }));
        }
        registry.register("webhook_attempts", "Attempts to tell webhooks by how they ended", group.attempts.clone());
        registry.register_with_unit(
            "webhook_attempt_duration",
            "One attempt to tell a webhook, redirects and answer included",
            Unit::Seconds,
            group.duration.clone(),
        );
        group
    }

    /// An attempt has ended with this status, if there was an answer, and this code, if it was no delivery.
    pub fn attempted(&self, status: Option<u16>, error: Option<&str>, duration_ms: u64) {
        let outcome = match (error, status) {
            (None, _) => "delivered",
            (Some(code), status) => Webhooks::OUTCOMES.into_iter().find(|known| *known == code).unwrap_or(match status {
                Some(300..=399) => "http_3xx",
                Some(400..=499) => "http_4xx",
                Some(500..=599) => "http_5xx",
                Some(_) | None => "other",
            }),
        };
        self.attempts.get_or_create(&ByOutcome { outcome }).inc();
        self.duration.observe(Duration::from_millis(duration_ms).as_secs_f64());
    }
}

/// Queries of the search.
#[derive(Debug)]
pub struct Search {
    duration: Family<ByMode, Histogram, fn() -> Histogram>,
}

impl Search {
    pub(super) fn register(registry: &mut Registry) -> Search {
        let group = Search { duration: Family::new_with_constructor(quick) };
        for mode in ["index", "degraded"] {
            drop(group.duration.get_or_create(&ByMode { mode }));
        }
        registry.register_with_unit(
            "search_query_duration",
            "Queries answered by the index or, degraded, by the catalogue",
            Unit::Seconds,
            group.duration.clone(),
        );
        group
    }

    /// The index has answered a query.
    pub fn answered_by_index(&self, elapsed: Duration) {
        self.duration.get_or_create(&ByMode { mode: "index" }).observe(elapsed.as_secs_f64());
    }

    /// The catalogue has answered a query in place of the index.
    pub fn answered_degraded(&self, elapsed: Duration) {
        self.duration.get_or_create(&ByMode { mode: "degraded" }).observe(elapsed.as_secs_f64());
    }
}

/// What waits. Each is looked up before a scrape, and counted up to a limit only.
#[derive(Debug, Default)]
pub struct Backlog {
    jobs: Family<KindAndState, Level>,
    outbox: Family<ByState, Level>,
    index_states: Family<ByState, Level>,
    /// 1 when what waits could be looked up, 0 when the other gauges here are of an earlier time.
    pub database_readable: Level,
    /// Age of the oldest pending event.
    pub outbox_oldest_pending_age: Seconds,
    /// How long the job that waits longest is late.
    pub jobs_oldest_due_age: Seconds,
    /// Jobs whose lease is over.
    pub jobs_stale: Level,
    /// Holds that wait for a reviewer.
    pub holds_open: Level,
    /// Writes that wait for the writer.
    pub writer_queue_length: Level,
    /// Documents in the index; not a number while it cannot say.
    pub search_documents: Seconds,
    /// How far the index is behind.
    pub search_freshness_lag: Seconds,
    /// Versions that the rebuild under way has indexed.
    pub search_rebuild_indexed: Level,
    /// Versions that it has to enqueue.
    pub search_rebuild_versions: Level,
}

impl Backlog {
    pub(super) fn register(registry: &mut Registry) -> Backlog {
        let group = Backlog::default();
        let capped = |what: &str| format!("{what}; counted up to 10000 of each series");
        registry.register(
            "database_readable",
            "1 when the backlog could be looked up for this scrape, 0 when its gauges are those of an earlier one",
            group.database_readable.clone(),
        );
        registry.register("jobs", capped("Jobs by kind and state"), group.jobs.clone());
        registry.register("outbox_events", capped("Events that wait or were given up"), group.outbox.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str, gauge: &Seconds| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        seconds(registry, "outbox_oldest_pending_age", "Age of the oldest pending event, 0 without one", &group.outbox_oldest_pending_age);
        seconds(registry, "jobs_oldest_due_age", "How long the job that waits longest is late, 0 without one", &group.jobs_oldest_due_age);
        registry.register("jobs_stale", "Jobs whose worker did not finish within its lease", group.jobs_stale.clone());
        registry.register("holds_open", capped("Holds that wait for a reviewer"), group.holds_open.clone());
        registry.register("writer_queue_length", "Writes that wait for the writer", group.writer_queue_length.clone());
        registry.register("search_index_state", "1 for the state that the search index is in", group.index_states.clone());
        registry.register(
            "search_documents",
            "Versions in the search index, NaN while it cannot say; looked up every half minute at most",
            group.search_documents.clone(),
        );
        seconds(
            registry,
            "search_freshness_lag",
            "Age of the oldest event or index job that is not done, 0 without one",
            &group.search_freshness_lag,
        );
        registry.register("search_rebuild_indexed", "Versions indexed by the rebuild under way", group.search_rebuild_indexed.clone());
        registry.register(
            "search_rebuild_versions",
            "Versions to be indexed by the rebuild under way",
            group.search_rebuild_versions.clone(),
        );
        group
    }

    /// So many jobs of a kind are in a state.
    pub fn set_jobs(&self, kind: &'static str, state: &'static str, count: u64) {
        self.jobs.get_or_create(&KindAndState { kind, state }).set(count);
    }

    /// So many events are in a state.
    pub fn set_events(&self, state: &'static str, count: u64) {
        self.outbox.get_or_create(&ByState { state }).set(count);
    }

    /// The index is in `present`, one of `all`.
    pub fn set_index_state(&self, all: &[&'static str], present: &'static str) {
        for state in all {
            self.index_states.get_or_create(&ByState { state }).set(u64::from(*state == present));
        }
    }
}
