//! Rules of retention over HTTP. Invariant: what is applied is what was shown: the request names the digest of the plan.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::repos::RETENTION_LIMIT_DAYS;
use crate::app::App;
use crate::domain::access::{Admin, Permit};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::retention::RetentionRule;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Leaving, RetentionPlan};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/repos/{repoKey}/retention", "/v1/repos/main/retention", show)
        .put("/v1/repos/{repoKey}/retention", "/v1/repos/main/retention", set)
        .delete("/v1/repos/{repoKey}/retention", "/v1/repos/main/retention", remove)
        .get("/v1/repos/{repoKey}/retention/plan", "/v1/repos/main/retention/plan", plan)
        .post("/v1/repos/{repoKey}/retention/apply", "/v1/repos/main/retention/apply", apply)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleBody {
    keep_last: Option<u32>,
    keep_days: Option<u32>,
    keep_downloaded_days: Option<u32>,
}

impl From<RetentionRule> for RuleBody {
    fn from(rule: RetentionRule) -> RuleBody {
        RuleBody { keep_last: rule.keep_last, keep_days: rule.keep_days, keep_downloaded_days: rule.keep_downloaded_days }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeavingBody {
    version_id: VersionId,
    purl: String,
    published_at: Option<Time>,
    size_bytes: u64,
    reason: String,
}

impl From<Leaving> for LeavingBody {
    fn from(leaving: Leaving) -> LeavingBody {
        let Leaving { package: _, version_id, purl, published_at, size_bytes, reason } = leaving;
        LeavingBody { version_id, purl, published_at, size_bytes, reason }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanBody {
    rule: RuleBody,
    plan_digest: Digest,
    versions: usize,
    items: Vec<LeavingBody>,
    /// Whether there may be more once these are gone.
    more: bool,
}

impl From<RetentionPlan> for PlanBody {
    fn from(plan: RetentionPlan) -> PlanBody {
        PlanBody {
            rule: plan.rule.into(),
            plan_digest: plan.digest,
            versions: plan.items.len(),
            items: plan.items.into_iter().map(LeavingBody::from).collect(),
            more: plan.more,
        }
    }
}

async fn show(app: Arc<App>, permit: Permit<Admin>, _request: Request) -> Result<Reply> {
    Reply::ok(&RuleBody::from(app.run(move |app| app.registry.retention_rule(&permit)).await?))
}

async fn set(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let RuleBody { keep_last, keep_days, keep_downloaded_days } = request.json().await?;
    if keep_last.is_none() && keep_days.is_none() {
        return Err(Error::bad_request("a rule names keepLast, keepDays or both; without either it would keep nothing but the newest"));
    }
    if keep_last == Some(0) || keep_downloaded_days == Some(0) {
        return Err(Error::bad_request("keepLast and keepDownloadedDays must be 1 or more; leave out what should not count"));
    }
    if [keep_days, keep_downloaded_days].into_iter().flatten().any(|days| days > RETENTION_LIMIT_DAYS) {
        return Err(Error::bad_request(format!("keepDays and keepDownloadedDays must be at most {RETENTION_LIMIT_DAYS}")));
    }
    let remembered = app.config.downloads.keep_days;
    if keep_downloaded_days.is_some_and(|days| days > remembered) {
        return Err(Error::bad_request(format!(
            "keepDownloadedDays must be at most {remembered}: downloads are remembered for so long (downloads.keep_days)"
        )));
    }
    let rule = RetentionRule { keep_last, keep_days, keep_downloaded_days };
    app.registry.set_retention(&permit, Some(rule)).await?;
    Reply::ok(&RuleBody::from(rule))
}

async fn remove(app: Arc<App>, permit: Permit<Admin>, _request: Request) -> Result<Reply> {
    app.registry.set_retention(&permit, None).await?;
    Ok(Reply::no_content())
}

async fn plan(app: Arc<App>, permit: Permit<Admin>, _request: Request) -> Result<Reply> {
    Reply::ok(&PlanBody::from(app.run(move |app| app.registry.plan_retention(&permit)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ApplyRequest {
    plan_digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliedBody {
    tombstoned: u64,
    restorable_for_days: u32,
}

async fn apply(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let ApplyRequest { plan_digest } = request.json().await?;
    let tombstoned = app.registry.apply_retention(&permit, plan_digest).await?;
    Reply::ok(&AppliedBody { tombstoned, restorable_for_days: permit.repo().settings.retention_days })
}
