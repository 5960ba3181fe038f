//! `/v1/repos/{repoKey}/uploads`: resumable uploads. Invariant: a part is taken at the very offset where the session stands and
//! has exactly the bytes that its `Content-Range` names; what arrived before a break stays.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Body, Reply, Request, Routes, header};
use crate::registry::{Upload, UploadStart, UploadState};

const EXAMPLE: &str = "/v1/repos/main/uploads/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .post("/v1/repos/{repoKey}/uploads", "/v1/repos/main/uploads", begin)
        .get("/v1/repos/{repoKey}/uploads/{uploadId}", EXAMPLE, show)
        .patch("/v1/repos/{repoKey}/uploads/{uploadId}", EXAMPLE, append)
        .delete("/v1/repos/{repoKey}/uploads/{uploadId}", EXAMPLE, abort)
        .post("/v1/repos/{repoKey}/uploads/{uploadId}/commit", "/v1/repos/main/uploads/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/commit", commit)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionBody {
    upload_id: UploadId,
    repo_key: RepoKey,
    state: UploadState,
    /// Bytes received; absent once the session has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    expected_digest: Option<Digest>,
    expected_length: Option<u64>,
    /// The blob that the session became.
    digest: Option<Digest>,
    created_at: Time,
    created_by_subject: String,
    expires_at: Time,
}

impl SessionBody {
    fn new(upload: Upload, offset: u64) -> SessionBody {
        SessionBody {
            upload_id: upload.id,
            repo_key: upload.repo,
            state: upload.state,
            offset: (upload.state == UploadState::Open).then_some(offset),
            expected_digest: upload.expected_digest,
            expected_length: upload.expected_length,
            digest: upload.digest,
            created_at: upload.created_at,
            created_by_subject: upload.created_by.to_string(),
            expires_at: upload.expires_at,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DedupedBody {
    deduped: bool,
    digest: Digest,
    size_bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BeginRequest {
    expected_digest: Option<Digest>,
    expected_length: Option<u64>,
}

async fn begin(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let asked: BeginRequest = request.json().await?;
    let limit = app.config.http.upload_limit_bytes;
    if asked.expected_length.is_some_and(|length| length > limit) {
        return Err(Error::too_large("expectedLength, in bytes,", limit));
    }
    match app.registry.begin_upload(&permit, asked.expected_digest, asked.expected_length).await? {
        UploadStart::Deduplicated { digest, size_bytes } => Reply::ok(&DedupedBody { deduped: true, digest, size_bytes }),
        UploadStart::Session(upload) => {
            let location = format!("/v1/repos/{}/uploads/{}", upload.repo, upload.id);
            Reply::created(&SessionBody::new(upload, 0))?.with_text(header::LOCATION, &location)
        }
    }
}

async fn show(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let (upload, offset) = app.registry.upload(&permit, request.param_as("uploadId")?).await?;
    Reply::ok(&SessionBody::new(upload, offset))
}

async fn append(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let id: UploadId = request.param_as("uploadId")?;
    let part = Part::read(request.header_text(header::CONTENT_RANGE))?;
    let limit = app.config.http.upload_limit_bytes;
    if part.end() > limit {
        return Err(Error::too_large("this upload, in bytes,", limit));
    }
    let mut body = request.body;
    if body.announced_bytes().is_some_and(|length| length != part.length_bytes) {
        return Err(Error::bad_request(format!("Content-Range names {} bytes, the body has another length", part.length_bytes)));
    }
    body.set_limit(limit)?;
    let (upload, _) = app.registry.upload(&permit, id).await?;
    part.check(&upload)?;
    app.registry.room(&permit).await?.check(part.end())?;
    let offset = app.registry.append_upload(&permit, id, part.first, exactly(part.length_bytes, body)).await?;
    Reply::ok(&SessionBody::new(upload, offset))
}

/// The bytes of a body that must have `length_bytes`; more or fewer end in an error after those that were right.
fn exactly(length_bytes: u64, body: Body) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold((body.into_data_stream(), length_bytes), move |(mut chunks, rest)| async move {
        let wrong = |what: &str| {
            Error::bad_request(format!(
                "the body has {what} than the {length_bytes} bytes that Content-Range names; ask for the offset and go on from there"
            ))
        };
        match chunks.try_next().await? {
            Some(chunk) => match rest.checked_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) {
                Some(rest) => Ok(Some((chunk, (chunks, rest)))),
                None => Err(wrong("more")),
            },
            None if rest > 0 => Err(wrong("fewer")),
            None => Ok(None),
        }
    })
}

/// A part of an upload, as `Content-Range` of a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    first: u64,
    length_bytes: u64,
    /// The size of the whole; `None` where the client does not know it yet.
    total_bytes: Option<u64>,
}

impl Part {
    /// Reads `bytes first-last/total`, with `*` for an unknown total (RFC 9110, section 14.4), or `first-last` alone.
    fn read(header: Option<&str>) -> Result<Part> {
        let Some(text) = header else {
            return Err(Error::bad_request(
                "the header Content-Range is missing; send it as `bytes first-last/total`, with * for a total not known yet",
            ));
        };
        Part::parse(text.trim()).ok_or_else(|| {
            Error::bad_request("Content-Range must be `bytes first-last/total` with whole numbers, first <= last < total, or * as total")
        })
    }

    fn parse(text: &str) -> Option<Part> {
        let (range, total) = match text.split_once(' ') {
            Some((unit, rest)) if unit.eq_ignore_ascii_case("bytes") => rest.split_once('/')?,
            Some(_) => return None,
            None => (text, "*"),
        };
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total_bytes = if total == "*" { None } else { Some(number(total)?) };
        let length_bytes = last.checked_sub(first)?.checked_add(1)?;
        let ends_inside = total_bytes.is_none_or(|total| last < total);
        ends_inside.then_some(Part { first, length_bytes, total_bytes })
    }

    fn end(&self) -> u64 {
        self.first.saturating_add(self.length_bytes)
    }

    /// Whether it fits what was announced when the session began.
    fn check(&self, upload: &Upload) -> Result<()> {
        let Some(expected) = upload.expected_length else { return Ok(()) };
        if self.end() > expected || self.total_bytes.is_some_and(|total| total != expected) {
            return Err(Error::bad_request(format!(
                "Content-Range does not fit the expectedLength of {expected} bytes given at the start"
            )));
        }
        Ok(())
    }
}

/// Digits alone: no sign, no space.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitRequest {
    digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommittedBody {
    upload_id: UploadId,
    state: UploadState,
    digest: Digest,
    size_bytes: u64,
}

async fn commit(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let upload_id: UploadId = request.param_as("uploadId")?;
    let CommitRequest { digest } = request.json().await?;
    let (digest, size_bytes) = app.registry.commit_upload(&permit, upload_id, Some(digest)).await?;
    Reply::ok(&CommittedBody { upload_id, state: UploadState::Committed, digest, size_bytes })
}

async fn abort(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let id: UploadId = request.param_as("uploadId")?;
    app.registry.abort_upload(&permit, id).await?;
    let (upload, offset) = app.registry.upload(&permit, id).await?;
    Reply::ok(&SessionBody::new(upload, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_strictly() {
        let part = |first, length_bytes, total_bytes| Some(Part { first, length_bytes, total_bytes });
        assert_eq!(Part::parse("bytes 0-9/10"), part(0, 10, Some(10)));
        assert_eq!(Part::parse("Bytes 5-5/*"), part(5, 1, None));
        assert_eq!(Part::parse("3-7"), part(3, 5, None));
        for wrong in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-9",
            "bytes=0-9/10",
            "items 0-9/10",
            "bytes +0-9/10",
            "bytes 0-/10",
            "bytes -9/10",
            "bytes  0-9/10",
            "0-18446744073709551616",
            "0-18446744073709551615",
            "0-9/10",
        ] {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_body_of_another_length_ends_in_an_error_after_the_bytes_that_were_right() {
        let taken = |length_bytes| async move {
            let chunks = exactly(length_bytes, Body::from_bytes(Bytes::from_static(b"abc")));
            chunks.map_ok(|chunk| chunk.to_vec()).try_concat().await
        };
        assert_eq!(taken(3).await.unwrap(), b"abc");
        assert!(taken(2).await.unwrap_err().message().contains("more"));
        assert!(taken(4).await.unwrap_err().message().contains("fewer"));
    }
}
