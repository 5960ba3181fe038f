//! Waivers over HTTP. Invariant: one that a person makes has an end, and says for what it is and which rule of which policy.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Decision, PolicyLevel};
use crate::domain::digest::Digest;
use crate::domain::id::{QuarantineId, VersionId, WaiverId};
use crate::domain::name::{PackageName, PackageType, RepoKey, Subject};
use crate::domain::time::Time;
use crate::domain::version_range::VersionRange;
use crate::domain::waiver::{WaiverReach, WaiverScope, WaiverState};
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes, header};
use crate::registry::{Approval, ListedWaiver, WaiverFilter, WaiverRequest, WaiverTarget};

/// Days ahead that count as soon when `within` is not given.
const SOON_DAYS: u32 = 7;
/// Days ahead that `within` may name.
const WITHIN_LIMIT_DAYS: u32 = 3_650;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    let one = "/v1/repos/main/waivers/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
    Routes::new()
        .get("/v1/repos/{repoKey}/waivers", "/v1/repos/main/waivers", list)
        .post("/v1/repos/{repoKey}/waivers", "/v1/repos/main/waivers", add)
        .get("/v1/repos/{repoKey}/waivers/{waiverId}", one, show)
        .post(
            "/v1/repos/{repoKey}/waivers/{waiverId}/approve",
            "/v1/repos/main/waivers/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/approve",
            approve,
        )
        .post("/v1/repos/{repoKey}/waivers/{waiverId}/revoke", "/v1/repos/main/waivers/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/revoke", revoke)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WaiverBody {
    waiver_id: WaiverId,
    repo_key: RepoKey,
    state: WaiverState,
    scope: WaiverScope,
    package_type: PackageType,
    package_namespace: String,
    package_name: String,
    version_id: Option<VersionId>,
    content_digest: Option<Digest>,
    version_range: Option<String>,
    rule: String,
    /// `null` for an order of the server.
    policy: Option<PolicyLevel>,
    covers: Decision,
    reason: String,
    /// The hold whose release wrote it; `null` for one that a person made.
    quarantine_id: Option<QuarantineId>,
    created_at: Time,
    created_by_subject: Subject,
    expires_at: Option<Time>,
    needs_approval: bool,
    approved_at: Option<Time>,
    approved_by_subject: Option<Subject>,
    revoked_at: Option<Time>,
    revoked_by_subject: Option<Subject>,
    /// Whether an evaluation was ever helped by it.
    used: bool,
    /// Whether the newest evaluation of each version that it has would be the same without it.
    unneeded: bool,
}

impl From<ListedWaiver> for WaiverBody {
    fn from(listed: ListedWaiver) -> WaiverBody {
        let waiver = listed.waiver;
        let (approved_at, approved_by_subject) = waiver.approved.clone().unzip();
        let (revoked_at, revoked_by_subject) = waiver.revoked.clone().unzip();
        let (version_id, content_digest, version_range) = match &waiver.reach {
            WaiverReach::Content { version_id, content_digest } => (Some(*version_id), Some(*content_digest), None),
            WaiverReach::Range(range) => (None, None, Some(range.to_string())),
            WaiverReach::Package => (None, None, None),
        };
        WaiverBody {
            waiver_id: waiver.id,
            state: listed.state,
            scope: waiver.reach.scope(),
            package_type: waiver.package.package_type().clone(),
            package_namespace: waiver.package.namespace_key().to_owned(),
            package_name: waiver.package.name_key().to_owned(),
            version_id,
            content_digest,
            version_range,
            rule: waiver.rule_id().to_owned(),
            policy: waiver.level(),
            repo_key: waiver.repo,
            covers: waiver.covers,
            reason: waiver.reason,
            quarantine_id: waiver.quarantine_id,
            created_at: waiver.created_at,
            created_by_subject: waiver.created_by,
            expires_at: waiver.expires_at,
            needs_approval: waiver.needs_approval,
            approved_at,
            approved_by_subject,
            revoked_at,
            revoked_by_subject,
            used: listed.has_helped,
            unneeded: listed.is_unneeded,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddRequest {
    scope: Option<WaiverScope>,
    version_id: Option<VersionId>,
    package_type: Option<PackageType>,
    package_namespace: Option<String>,
    package_name: Option<String>,
    version_range: Option<String>,
    rule: String,
    policy: Option<PolicyLevel>,
    reason: String,
    expires_at: Option<String>,
    ttl_seconds: Option<u32>,
}

impl AddRequest {
    /// For what it is asked; members that say something else are refused, so that nobody gets more or less than meant.
    fn target(&self) -> Result<WaiverTarget> {
        let scope = self.scope.unwrap_or(WaiverScope::Content);
        let has_package = self.package_type.is_some() || self.package_namespace.is_some() || self.package_name.is_some();
        let is_fitting = match scope {
            WaiverScope::Content => self.version_id.is_some() && !has_package && self.version_range.is_none(),
            WaiverScope::Range => self.version_id.is_none() && self.version_range.is_some(),
            WaiverScope::Package => self.version_id.is_none() && self.version_range.is_none(),
        };
        let wanted = match scope {
            WaiverScope::Content => "versionId alone",
            WaiverScope::Range => "packageType, packageName (packageNamespace where it has one) and versionRange",
            WaiverScope::Package => "packageType and packageName (packageNamespace where it has one)",
        };
        let misfit = || Error::bad_request(format!("a waiver of the scope {scope} names {wanted}"));
        if !is_fitting {
            return Err(misfit());
        }
        if let Some(id) = self.version_id {
            return Ok(WaiverTarget::Content(id));
        }
        let (Some(package_type), Some(name)) = (self.package_type.clone(), &self.package_name) else { return Err(misfit()) };
        let package = PackageName::new(package_type, self.package_namespace.as_deref().unwrap_or_default(), name)?;
        match &self.version_range {
            Some(range) => Ok(WaiverTarget::Range(package.clone(), VersionRange::read(&package, range)?)),
            None => Ok(WaiverTarget::Package(package)),
        }
    }

    fn expires_at(&self, now: Time) -> Result<Time> {
        match (&self.expires_at, self.ttl_seconds) {
            (Some(text), None) => text.parse(),
            (None, Some(seconds)) => Ok(now.plus_ms(i64::from(seconds) * 1000)),
            (None, None) | (Some(_), Some(_)) => Err(Error::bad_request("a waiver has an end: give expiresAt or ttlSeconds")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<String>,
    within: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl ListQuery {
    fn filter(&self, now: Time) -> Result<WaiverFilter> {
        let filter = match self.state.as_deref() {
            None => WaiverFilter::All,
            Some("unused") => WaiverFilter::Unused,
            Some("unneeded") => WaiverFilter::Unneeded,
            Some("expiring") => {
                let days = self.within.unwrap_or(SOON_DAYS);
                if days == 0 || days > WITHIN_LIMIT_DAYS {
                    return Err(Error::bad_request(format!("within must be 1 to {WITHIN_LIMIT_DAYS} days")));
                }
                return Ok(WaiverFilter::EndingBefore(now.plus_days(i64::from(days))));
            }
            Some(state) => WaiverFilter::State(state.parse().map_err(|_| {
                Error::bad_request("unknown state; known are active, pending, expiring, expired, revoked, unused, unneeded")
            })?),
        };
        if self.within.is_some() {
            return Err(Error::bad_request("within goes with state=expiring"));
        }
        Ok(filter)
    }
}

async fn list(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let query: ListQuery = request.query()?;
    let (limit, filter) = (page_limit(query.limit)?, query.filter(app.clock.now())?);
    let page = app.run(move |app| app.registry.waivers(&permit, filter, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, WaiverBody::from))
}

async fn add(app: Arc<App>, permit: Permit<Promote>, mut request: Request) -> Result<Reply> {
    let asked: AddRequest = request.json().await?;
    check_words("reason", &asked.reason)?;
    let settings = app.config.waivers;
    let wanted = WaiverRequest {
        target: asked.target()?,
        expires_at: asked.expires_at(app.clock.now())?,
        rule: asked.rule,
        policy: asked.policy,
        reason: asked.reason,
        max_days: settings.max_days,
        approval: if settings.second_person { Approval::Always } else { Approval::AsTheRepoAsks },
    };
    let made = app.registry.add_waiver(&permit, wanted).await?;
    let location = format!("/v1/repos/{}/waivers/{}", made.waiver.repo, made.waiver.id);
    Reply::created(&WaiverBody::from(made))?.with_text(header::LOCATION, &location)
}

async fn show(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: WaiverId = request.param_as("waiverId")?;
    let found = app.run(move |app| app.registry.waiver(&permit, &id)).await?;
    Reply::ok(&WaiverBody::from(found))
}

async fn approve(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    Reply::ok(&WaiverBody::from(app.registry.approve_waiver(&permit, request.param_as("waiverId")?).await?))
}

async fn revoke(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    Reply::ok(&WaiverBody::from(app.registry.revoke_waiver(&permit, request.param_as("waiverId")?).await?))
}
