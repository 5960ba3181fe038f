//! Space over HTTP: collections, the database against the disk, quotas. Invariant: a request that does not say `"dryRun": false` removes
//! nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Operator, Permit, Write};
use crate::domain::digest::Digest;
use crate::domain::id::GcRunId;
use crate::domain::name::RepoKey;
use crate::domain::space::{Allotment, GcRunState, Quota};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Faulty, GcPlan, GcRun, Reconciliation};

/// The longest grace, in hours.
const GRACE_LIMIT_HOURS: u32 = 8_760;
/// Rows of one transaction at most: publishes wait for it.
const BATCH_LIMIT: u32 = 1_000;
/// Blobs that one comparison hashes when nothing is said, and at most.
const SAMPLE_DEFAULT: u64 = 20;
const SAMPLE_LIMIT: u64 = 1_000;

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/admin/gc/runs", "/v1/admin/gc/runs", runs)
        .post("/v1/admin/gc/runs", "/v1/admin/gc/runs", collect)
        .get("/v1/admin/gc/runs/{runId}", "/v1/admin/gc/runs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", run)
        .get("/v1/admin/reconcile/blobs", "/v1/admin/reconcile/blobs", reconcile)
        .get("/v1/admin/quota", "/v1/admin/quota", instance_quota)
        .put("/v1/admin/quota", "/v1/admin/quota", set_instance_quota)
        .get("/v1/repos/{repoKey}/quota", "/v1/repos/main/quota", repo_quota)
        .put("/v1/repos/{repoKey}/quota", "/v1/repos/main/quota", set_repo_quota)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct CollectRequest {
    dry_run: bool,
    grace_hours: u32,
    batch_size: u32,
}

impl Default for CollectRequest {
    fn default() -> CollectRequest {
        CollectRequest { dry_run: true, grace_hours: 24, batch_size: 200 }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunBody {
    run_id: GcRunId,
    dry_run: bool,
    grace_hours: u32,
    batch_size: u32,
    state: GcRunState,
    started_at: Time,
    started_by_subject: String,
    finished_at: Option<Time>,
    purged_versions: u64,
    removed_blobs: u64,
    removed_bytes: u64,
    orphan_files: u64,
    orphan_bytes: u64,
    error: Option<String>,
}

impl From<GcRun> for RunBody {
    fn from(run: GcRun) -> RunBody {
        RunBody {
            run_id: run.id,
            dry_run: run.plan.dry_run,
            grace_hours: run.plan.grace_hours,
            batch_size: run.plan.batch_size,
            state: run.state,
            started_at: run.started_at,
            started_by_subject: run.started_by.to_string(),
            finished_at: run.finished_at,
            purged_versions: run.tally.purged_versions,
            removed_blobs: run.tally.removed_blobs,
            removed_bytes: run.tally.removed_bytes,
            orphan_files: run.tally.orphan_files,
            orphan_bytes: run.tally.orphan_bytes,
            error: run.error,
        }
    }
}

/// A run that still goes on is answered as it stands, with `state` `running`; the list shows its end.
async fn collect(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let CollectRequest { dry_run, grace_hours, batch_size } = request.json().await?;
    if grace_hours > GRACE_LIMIT_HOURS {
        return Err(Error::bad_request(format!("graceHours must be 0 to {GRACE_LIMIT_HOURS}")));
    }
    if !(1..=BATCH_LIMIT).contains(&batch_size) {
        return Err(Error::bad_request(format!("batchSize must be 1 to {BATCH_LIMIT}")));
    }
    let run = app.registry.collect(&operator, GcPlan { dry_run, grace_hours, batch_size }).await?;
    Reply::ok(&RunBody::from(run))
}

async fn runs(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.collections(&operator, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, RunBody::from))
}

async fn run(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: GcRunId = request.param_as("runId")?;
    Reply::ok(&RunBody::from(app.run(move |app| app.registry.collection(&operator, &id)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReconcileQuery {
    sample: Option<u64>,
}

#[derive(Serialize)]
struct FaultyBody {
    count: u64,
    first: Vec<Digest>,
}

impl From<Faulty> for FaultyBody {
    fn from(faulty: Faulty) -> FaultyBody {
        FaultyBody { count: faulty.count, first: faulty.first }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReconciliationBody {
    sound: bool,
    blobs: u64,
    bytes: u64,
    missing: FaultyBody,
    damaged: FaultyBody,
    orphans: FaultyBody,
    sampled: u64,
}

impl From<Reconciliation> for ReconciliationBody {
    fn from(found: Reconciliation) -> ReconciliationBody {
        ReconciliationBody {
            sound: found.missing.count == 0 && found.damaged.count == 0,
            blobs: found.blobs,
            bytes: found.bytes,
            missing: found.missing.into(),
            damaged: found.damaged.into(),
            orphans: found.orphans.into(),
            sampled: found.sampled,
        }
    }
}

async fn reconcile(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let ReconcileQuery { sample } = request.query()?;
    let sample = sample.unwrap_or(SAMPLE_DEFAULT);
    if sample > SAMPLE_LIMIT {
        return Err(Error::bad_request(format!("sample must be 0 to {SAMPLE_LIMIT}; `artifortress verify --blobs` hashes all")));
    }
    Reply::ok(&ReconciliationBody::from(app.registry.reconcile(&operator, sample).await?))
}

/// What is used, and of how much.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AllotmentBody {
    used_bytes: u64,
    used_blobs: u64,
    used_versions: u64,
    max_bytes: Option<u64>,
    max_versions: Option<u64>,
    nearly_full: bool,
}

impl From<Allotment> for AllotmentBody {
    fn from(allotment: Allotment) -> AllotmentBody {
        AllotmentBody {
            used_bytes: allotment.usage.blob_bytes,
            used_blobs: allotment.usage.blob_count,
            used_versions: allotment.usage.version_count,
            max_bytes: allotment.quota.max_bytes,
            max_versions: allotment.quota.max_versions,
            nearly_full: allotment.is_nearly_full(),
        }
    }
}

/// Both limits; what is left out or null is without limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct QuotaRequest {
    max_bytes: Option<u64>,
    max_versions: Option<u64>,
}

async fn instance_quota(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Reply::ok(&AllotmentBody::from(app.run(move |app| app.registry.allotment_of_instance(&operator)).await?))
}

async fn set_instance_quota(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    set(&app, &operator, None, request).await
}

async fn repo_quota(app: Arc<App>, permit: Permit<Write>, _request: Request) -> Result<Reply> {
    Reply::ok(&AllotmentBody::from(app.run(move |app| app.registry.allotment(&permit.reading())).await?))
}

/// A repo's quota is for who runs the instance: its administrators are those whom it bounds.
async fn set_repo_quota(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let repo: RepoKey = request.param_as("repoKey")?;
    set(&app, &operator, Some(repo), request).await
}

async fn set(app: &App, operator: &Operator, repo: Option<RepoKey>, mut request: Request) -> Result<Reply> {
    let QuotaRequest { max_bytes, max_versions } = request.json().await?;
    let within = |limit: Option<u64>| limit.is_none_or(|limit| i64::try_from(limit).is_ok());
    if !within(max_bytes) || !within(max_versions) {
        return Err(Error::bad_request("maxBytes and maxVersions must be below 2^63; leave out what has no limit"));
    }
    Reply::ok(&AllotmentBody::from(app.registry.set_quota(operator, repo, Quota { max_bytes, max_versions }).await?))
}
