//! `/v1/admin/advisories`: advisories over HTTP. Invariant: they are for who runs the instance; an import is a stream of lines of any
//! length, and its answer says what counts now.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{AdvisorySnapshot, ImportReport, StoredAdvisory};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/admin/advisories", "/v1/admin/advisories", status)
        .post("/v1/admin/advisories/imports", "/v1/admin/advisories/imports", import)
        .get("/v1/admin/advisories/{advisoryId}", "/v1/admin/advisories/GHSA-35jh-r3h4-6jhm", show)
}

/// What the last import left in force; before the first, nothing: null and 0.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotBody {
    digest: Option<Digest>,
    record_count: u64,
    changed_count: u64,
    newest_modified_at: Option<Time>,
    ecosystems: BTreeMap<String, u64>,
    imported_at: Option<Time>,
    imported_by_subject: Option<String>,
}

/// What an import did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportBody {
    read: u64,
    changed: u64,
    unchanged: u64,
    older: u64,
    uncertain: u64,
    uncertain_ids: Vec<String>,
    snapshot: SnapshotBody,
}

/// One advisory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoryBody {
    advisory_id: String,
    digest: Digest,
    modified_at: Time,
    withdrawn_at: Option<Time>,
    packages: Vec<PackageBody>,
    /// The record in the OSV format.
    record: Box<RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PackageBody {
    ecosystem: String,
    name_key: String,
}

impl From<Option<AdvisorySnapshot>> for SnapshotBody {
    fn from(snapshot: Option<AdvisorySnapshot>) -> SnapshotBody {
        let Some(snapshot) = snapshot else { return SnapshotBody::default() };
        SnapshotBody {
            digest: Some(snapshot.digest),
            record_count: snapshot.record_count,
            changed_count: snapshot.changed_count,
            newest_modified_at: Some(snapshot.newest_modified),
            ecosystems: snapshot.ecosystems,
            imported_at: Some(snapshot.imported_at),
            imported_by_subject: Some(snapshot.imported_by.to_string()),
        }
    }
}

impl From<ImportReport> for ImportBody {
    fn from(report: ImportReport) -> ImportBody {
        ImportBody {
            read: report.read,
            changed: report.changed,
            unchanged: report.unchanged,
            older: report.older,
            uncertain: report.uncertain,
            uncertain_ids: report.uncertain_ids,
            snapshot: SnapshotBody::from(report.snapshot),
        }
    }
}

impl AdvisoryBody {
    /// An advisory as it is sent.
    ///
    /// # Errors
    /// Internal when the stored record is no JSON.
    pub fn new(advisory: StoredAdvisory) -> Result<AdvisoryBody> {
        let package = |(ecosystem, name_key)| PackageBody { ecosystem, name_key };
        Ok(AdvisoryBody {
            advisory_id: advisory.id,
            digest: advisory.digest,
            modified_at: advisory.modified,
            withdrawn_at: advisory.withdrawn,
            packages: advisory.packages.into_iter().map(package).collect(),
            record: RawValue::from_string(advisory.record).map_err(|cause| Error::internal("writing an advisory", cause))?,
        })
    }
}

async fn status(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    let snapshot = app.registry.advisories(&operator).find_snapshot().await?;
    Reply::ok(&SnapshotBody::from(snapshot))
}

async fn show(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let advisory = app.registry.advisories(&operator).advisory(request.param("advisoryId")?).await?;
    Reply::ok(&AdvisoryBody::new(advisory)?)
}

async fn import(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let mut body = request.body;
    body.set_limit(app.config.http.advisories_limit_bytes)?;
    let report = app.registry.advisories(&operator).import(&operator, body.into_data_stream()).await?;
    Reply::ok(&ImportBody::from(report))
}
