//! The instance at a glance over HTTP. Invariant: it is for who runs the instance, tells no path of the machine;
//! ages are whole seconds, counts stop at `countLimit`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::firings::FiringBody;
use super::space::AllotmentBody;
use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::name::RepoKey;
use crate::domain::space::Allotment;
use crate::domain::time::Time;
use crate::error::Result;
use crate::http::{Reply, Request, Routes};
use crate::registry::{COUNT_LIMIT, DiskSpace, Firings, JobState, OpsSummary, SweepRow};

pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/v1/admin/ops/summary", "/v1/admin/ops/summary", summary)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutboxSummary {
    pending: u64,
    dead: u64,
    oldest_pending_at: Option<Time>,
    oldest_pending_age_seconds: Option<i64>,
    delivered_last_hour: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RebuildSummary {
    indexed: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SearchSummary {
    state: &'static str,
    documents: Option<u64>,
    /// 0 when the index has everything.
    freshness_lag_seconds: i64,
    rebuild: Option<RebuildSummary>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriterSummary {
    queued: u64,
    queue_limit: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiskSummary {
    free_bytes: u64,
    size_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseSummary {
    size_bytes: u64,
    wal_bytes: u64,
}

/// What rules on observation would have stopped in the last days.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObservedSummary {
    since: Time,
    rules: Vec<FiringBody>,
    complete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SweepSummary {
    scope: String,
    judged: u64,
    changed: u64,
    failed: u64,
    asked_at: Time,
}

impl From<SweepRow> for SweepSummary {
    fn from(sweep: SweepRow) -> SweepSummary {
        let SweepRow { scope, generation: _, cursor: _, judged, changed, failed, asked_at } = sweep;
        SweepSummary { scope, judged, changed, failed, asked_at }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotaSummary {
    repo_key: Option<RepoKey>,
    #[serde(flatten)]
    allotment: AllotmentBody,
}

type ByState = BTreeMap<&'static str, u64>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryBody {
    at: Time,
    version: &'static str,
    started_at: Time,
    uptime_seconds: i64,
    count_limit: u64,
    outbox: OutboxSummary,
    jobs: ByState,
    jobs_by_kind: BTreeMap<&'static str, ByState>,
    next_job_due_at: Option<Time>,
    /// `null` when no job is late.
    oldest_due_job_age_seconds: Option<i64>,
    stale_jobs: u64,
    open_holds: u64,
    /// Re-evaluations of many versions that run, the oldest first.
    sweeps: Vec<SweepSummary>,
    search: SearchSummary,
    writer: WriterSummary,
    /// Quotas of which nine tenths are used; `repoKey` is `null` for the instance's.
    nearly_full_quotas: Vec<QuotaSummary>,
    disk: Option<DiskSummary>,
    databases: BTreeMap<&'static str, DatabaseSummary>,
    would_have_stopped: ObservedSummary,
}

impl SummaryBody {
    fn new(summary: OpsSummary, disk: Option<DiskSpace>, observed: Firings, full: Vec<(Option<RepoKey>, Allotment)>) -> SummaryBody {
        let age = |since: Time| summary.at.seconds_since(since);
        let mut jobs: ByState = JobState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        let mut jobs_by_kind: BTreeMap<&'static str, ByState> = BTreeMap::new();
        for (kind, state, count) in &summary.jobs {
            // One that was made for a later time waits, and is no backlog for that.
            if !(kind.waits_for_its_time() && *state == JobState::Pending) {
                *jobs.entry(state.as_str()).or_default() += count;
            }
            jobs_by_kind.entry(kind.as_str()).or_default().insert(state.as_str(), *count);
        }
        SummaryBody {
            at: summary.at,
            version: env!("CARGO_PKG_VERSION"),
            started_at: summary.opened_at,
            uptime_seconds: age(summary.opened_at),
            count_limit: COUNT_LIMIT,
            outbox: OutboxSummary {
                pending: summary.outbox.pending,
                dead: summary.outbox.dead,
                oldest_pending_at: summary.outbox.oldest_pending,
                oldest_pending_age_seconds: summary.outbox.oldest_pending.map(age),
                delivered_last_hour: summary.outbox.delivered_last_hour,
            },
            jobs,
            jobs_by_kind,
            next_job_due_at: summary.next_job_due,
            oldest_due_job_age_seconds: summary.next_job_due.filter(|due_at| *due_at <= summary.at).map(age),
            stale_jobs: summary.stale_jobs,
            open_holds: summary.open_holds,
            sweeps: summary.sweeps.into_iter().map(SweepSummary::from).collect(),
            search: SearchSummary {
                state: summary.search.state.as_str(),
                documents: summary.search.documents,
                freshness_lag_seconds: summary.search_behind_since.map_or(0, age),
                rebuild: summary.search.rebuild.as_ref().map(|rebuild| RebuildSummary { indexed: rebuild.indexed, total: rebuild.total }),
            },
            writer: WriterSummary { queued: summary.writer_queued, queue_limit: summary.writer_queue_limit },
            nearly_full_quotas: full
                .into_iter()
                .map(|(repo_key, allotment)| QuotaSummary { repo_key, allotment: allotment.into() })
                .collect(),
            disk: disk.map(|disk| DiskSummary { free_bytes: disk.free_bytes, size_bytes: disk.size_bytes }),
            databases: summary
                .databases
                .iter()
                .map(|files| (files.name, DatabaseSummary { size_bytes: files.size_bytes, wal_bytes: files.wal_bytes }))
                .collect(),
            would_have_stopped: ObservedSummary {
                since: observed.since,
                rules: observed.items.into_iter().map(FiringBody::from).collect(),
                complete: observed.is_complete,
            },
        }
    }
}

async fn summary(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    let gathered = app.run(move |app| {
        let registry = &app.registry;
        Ok((registry.ops_summary(&operator)?, registry.observed_lately(&operator)?, registry.nearly_full(&operator)?))
    });
    let ((summary, disk), observed, full) = gathered.await?;
    Reply::ok(&SummaryBody::new(summary, disk, observed, full))
}
