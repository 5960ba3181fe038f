//! Reports of external scanners over HTTP. Invariant: only who may review a repo reports and reads them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::domain::access::{Permit, Promote};
use crate::domain::advisory::{ScanFinding, ScanStatus, Severity};
use crate::domain::digest::Digest;
use crate::domain::finding::Finding;
use crate::domain::id::VersionId;
use crate::domain::name::Subject;
use crate::domain::time::Time;
use crate::error::Result;
use crate::http::{Reply, Request, Routes};

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    let of_version = "/v1/repos/main/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/findings";
    let of_scanner = "/v1/repos/main/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/findings/scanner";
    Routes::new()
        .get("/v1/repos/{repoKey}/versions/{versionId}/findings", of_version, list)
        .put("/v1/repos/{repoKey}/versions/{versionId}/findings/{scanner}", of_scanner, report)
        .delete("/v1/repos/{repoKey}/versions/{versionId}/findings/{scanner}", of_scanner, remove)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingBody {
    #[serde(flatten)]
    said: ScanFinding,
    content_digest: Digest,
    reported_at: Time,
    reported_by_subject: Subject,
}

impl From<Finding> for FindingBody {
    fn from(finding: Finding) -> FindingBody {
        FindingBody {
            said: finding.said,
            content_digest: finding.content_digest,
            reported_at: finding.reported_at,
            reported_by_subject: finding.reported_by,
        }
    }
}

/// One content has few scanners: the list is always whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingsBody {
    content_digest: Digest,
    items: Vec<FindingBody>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReportRequest {
    status: ScanStatus,
    severity: Option<Severity>,
    #[serde(default)]
    ids: BTreeSet<String>,
    content_digest: Option<Digest>,
}

async fn list(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let (content_digest, findings) = app.run(move |app| app.registry.findings(&permit, &id)).await?;
    let items = findings.into_iter().map(FindingBody::from).collect();
    Reply::ok(&FindingsBody { content_digest, items, next_cursor: None })
}

async fn report(app: Arc<App>, permit: Permit<Promote>, mut request: Request) -> Result<Reply> {
    let (id, scanner): (VersionId, _) = (request.param_as("versionId")?, request.param("scanner")?);
    let asked: ReportRequest = request.json().await?;
    let said = ScanFinding { scanner, status: asked.status, severity: asked.severity.unwrap_or_default(), ids: asked.ids };
    let finding = app.registry.report_scan(&permit, id, said, asked.content_digest).await?;
    Reply::ok(&FindingBody::from(finding))
}

async fn remove(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let (id, scanner): (VersionId, _) = (request.param_as("versionId")?, request.param("scanner")?);
    app.registry.remove_scan(&permit, id, scanner).await?;
    Ok(Reply::no_content())
}
