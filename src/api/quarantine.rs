//! Holds and their review over HTTP. Invariant: everything here takes the role `promote`; held bytes go out as an attachment
//! that no browser runs and no cache keeps, after the look was written down.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::evaluations::EvaluationBody;
use super::wire::{PageBody, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Promote, Role, Signed};
use crate::domain::candidate::Reason;
use crate::domain::digest::Digest;
use crate::domain::download::FetchedBy;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::HeldFrom;
use crate::domain::name::{PackageType, RelativePath, RepoKey, Subject};
use crate::domain::quarantine::{Ballot, QuarantineItem, QuarantineStatus, Vote};
use crate::domain::time::Time;
use crate::domain::version::{File, Version};
use crate::domain::visibility::Held;
use crate::error::{Code, Error, Result};
use crate::http::{Cache, HeaderValue, Reply, Request, Routes, header};
use crate::quarantine::{ListedHold, Reviewed};

/// Bytes of the body of a vote or a hold.
const WORDS_LIMIT_BYTES: u64 = 16 * 1024;

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/quarantine", "/v1/quarantine", list_all)
        .get("/v1/repos/{repoKey}/quarantine", "/v1/repos/main/quarantine", list)
        .get("/v1/repos/{repoKey}/quarantine/{quarantineId}", "/v1/repos/main/quarantine/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", show)
        .get(
            "/v1/repos/{repoKey}/quarantine/{quarantineId}/files/{*path}",
            "/v1/repos/main/quarantine/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/files/demo-1.0.tar.gz",
            inspect,
        )
        .post(
            "/v1/repos/{repoKey}/quarantine/{quarantineId}/release",
            "/v1/repos/main/quarantine/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/release",
            release,
        )
        .post(
            "/v1/repos/{repoKey}/quarantine/{quarantineId}/reject",
            "/v1/repos/main/quarantine/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/reject",
            reject,
        )
        .post(
            "/v1/repos/{repoKey}/versions/{versionId}/quarantine",
            "/v1/repos/main/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/quarantine",
            hold,
        )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    status: Option<QuarantineStatus>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VoteRequest {
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HoldRequest {
    reason: String,
}

#[derive(Serialize)]
struct VoteBody {
    subject: Subject,
    vote: Ballot,
    comment: Option<String>,
    at: Time,
}

impl From<Vote> for VoteBody {
    fn from(vote: Vote) -> VoteBody {
        VoteBody { subject: vote.subject, vote: vote.ballot, comment: vote.comment, at: vote.at }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody {
    quarantine_id: QuarantineId,
    repo_key: RepoKey,
    version_id: VersionId,
    package_type: PackageType,
    package_namespace: String,
    package_name: String,
    version: String,
    purl: String,
    status: QuarantineStatus,
    held_from: HeldFrom,
    content_digest: Digest,
    evaluation_id: Option<EvaluationId>,
    reasons: Vec<Reason>,
    created_at: Time,
    opens_at: Option<Time>,
    created_by_subject: Subject,
    resolved_at: Option<Time>,
    resolved_by_subject: Option<Subject>,
    comment: Option<String>,
    votes: Vec<VoteBody>,
}

impl ItemBody {
    fn new(item: QuarantineItem, version: &Held<Version>) -> ItemBody {
        let package = version.coordinates.package();
        let (resolved_at, resolved_by_subject, comment) = match item.resolution {
            Some(resolution) => (Some(resolution.at), Some(resolution.by), resolution.comment),
            None => (None, None, None),
        };
        ItemBody {
            quarantine_id: item.id,
            repo_key: item.repo,
            version_id: item.version_id,
            package_type: package.package_type().clone(),
            package_namespace: package.namespace().to_owned(),
            package_name: package.name().to_owned(),
            version: version.coordinates.version().to_owned(),
            purl: version.coordinates.purl(),
            status: item.status,
            held_from: item.held_from,
            content_digest: item.content_digest,
            evaluation_id: item.evaluation_id,
            reasons: item.reasons,
            created_at: item.created_at,
            opens_at: item.opens_at.filter(|_| item.status == QuarantineStatus::Quarantined),
            created_by_subject: item.created_by,
            resolved_at,
            resolved_by_subject,
            comment,
            votes: item.votes.into_iter().map(VoteBody::from).collect(),
        }
    }
}

impl From<ListedHold> for ItemBody {
    fn from(hold: ListedHold) -> ItemBody {
        ItemBody::new(hold.item, &hold.version)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryBody {
    relative_path: RelativePath,
    blob_digest: Digest,
    size_bytes: u64,
    media_type: Option<String>,
}

impl From<&File> for EntryBody {
    fn from(file: &File) -> EntryBody {
        EntryBody {
            relative_path: file.path.clone(),
            blob_digest: file.digest,
            size_bytes: file.size_bytes,
            media_type: file.media_type.clone(),
        }
    }
}

#[derive(Serialize)]
struct ReviewedBody {
    #[serde(flatten)]
    item: ItemBody,
    entries: Vec<EntryBody>,
    evaluation: Option<EvaluationBody>,
    #[serde(rename = "fetchedBy")]
    fetched_by: FetchedBy,
}

impl From<Reviewed> for ReviewedBody {
    fn from(reviewed: Reviewed) -> ReviewedBody {
        ReviewedBody {
            item: ItemBody::new(reviewed.item, &reviewed.release.version()),
            entries: reviewed.release.files.iter().map(EntryBody::from).collect(),
            evaluation: reviewed.evaluation.map(EvaluationBody::from),
            fetched_by: reviewed.fetched_by,
        }
    }
}

async fn list(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let query: ListQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let page = app.run(move |app| app.review.list(&[permit], query.status, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, ItemBody::from))
}

async fn list_all(app: Arc<App>, signed: Signed, request: Request) -> Result<Reply> {
    let query: ListQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let page = app
        .run(move |app| {
            let caller = signed.caller();
            let permits: Vec<_> = app.registry.readable_repos(caller)?.iter().filter_map(Permit::also::<Promote>).collect();
            if permits.is_empty() && !caller.identity().grants.everywhere().contains(Role::Promote) {
                return Err(Error::new(
                    Code::Forbidden,
                    "this needs the role promote on at least one repo; ask its administrator for a binding or a token",
                ));
            }
            app.review.list(&permits, query.status, limit, query.cursor.as_deref())
        })
        .await?;
    Reply::ok(&PageBody::of(page, ItemBody::from))
}

async fn show(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: QuarantineId = request.param_as("quarantineId")?;
    let reviewed = app.run(move |app| app.review.get(&permit, &id)).await?;
    Reply::ok(&ReviewedBody::from(reviewed))
}

async fn inspect(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: QuarantineId = request.param_as("quarantineId")?;
    let path: RelativePath = request.param_as("path")?;
    let opened = app.review.inspect(&permit, id, path).await?;
    let disposition = attachment(opened.file.path.file_name());
    Reply::stream("application/octet-stream", opened.size_bytes, opened.chunks)
        .with_cache(Cache::NoStore)
        .with_header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"))
        .with_text(header::CONTENT_DISPOSITION, &disposition)
}

async fn release(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    vote(app, permit, request, Ballot::Release).await
}

async fn reject(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    vote(app, permit, request, Ballot::Reject).await
}

async fn vote(app: Arc<App>, permit: Permit<Promote>, mut request: Request, ballot: Ballot) -> Result<Reply> {
    let id: QuarantineId = request.param_as("quarantineId")?;
    let bytes = request.body.read_bounded(WORDS_LIMIT_BYTES).await?;
    let said: VoteRequest = if bytes.is_empty() { VoteRequest::default() } else { crate::http::json::parse(&bytes)? };
    let hold = app.review.vote(&permit, id, ballot, said.comment).await?;
    Reply::ok(&ItemBody::from(hold))
}

async fn hold(app: Arc<App>, permit: Permit<Promote>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let said: HoldRequest = request.body.read_json(WORDS_LIMIT_BYTES).await?;
    let hold = app.review.hold(&permit, id, &said.reason).await?;
    let location = format!("/v1/repos/{}/quarantine/{}", hold.item.repo, hold.item.id);
    Reply::created(&ItemBody::from(hold))?.with_text(header::LOCATION, &location)
}

/// What RFC 8187 lets stand bare in an extended parameter.
const BARE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `Content-Disposition` for a file of this name (RFC 6266): a plain form in which everything doubtful is an underscore, and
/// the exact name percent-encoded.
fn attachment(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, BARE))
}

#[cfg(test)]
pub(in crate::api) mod tests;

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn no_file_name_gets_out_of_its_quotes() {
        assert_eq!(attachment("demo-1.0.tar.gz"), "attachment; filename=\"demo-1.0.tar.gz\"; filename*=UTF-8''demo-1.0.tar.gz");
        assert_eq!(attachment("a\"; x=\"b.html"), "attachment; filename=\"a___x__b.html\"; filename*=UTF-8''a%22%3B%20x%3D%22b.html");
        assert_eq!(attachment("ü%41.py"), "attachment; filename=\"__41.py\"; filename*=UTF-8''%C3%BC%2541.py");
    }
}
