//! `/v1/repos/{repoKey}/blobs/{digest}`: bytes by their digest. Invariant: a digest alone opens nothing; bytes go out for a file of
//! a visible version, and only while no version that links them is held.

use std::sync::Arc;

use futures_util::stream;
use http_body_util::BodyExt;
use serde::Serialize;

use crate::app::App;
use crate::domain::access::{Permit, Read, Write};
use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::http::{Method, Reply, Request, Routes};
use crate::serve;

const PATTERN: &str = "/v1/repos/{repoKey}/blobs/{digest}";
const EXAMPLE: &str = "/v1/repos/main/blobs/sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new().put(PATTERN, EXAMPLE, put).get(PATTERN, EXAMPLE, get)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlobBody {
    digest: Digest,
    size_bytes: u64,
}

async fn put(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let digest: Digest = request.param_as("digest")?;
    let mut body = request.body;
    body.set_limit(app.config.http.upload_limit_bytes)?;
    app.registry.room_for(&permit, &digest).await?.check(body.announced_bytes().unwrap_or(0))?;
    let (digest, size_bytes) = app.registry.put_blob(&permit, digest, body.into_data_stream()).await?;
    Reply::created(&BlobBody { digest, size_bytes })
}

/// What there is under a digest for this caller.
enum Found {
    /// A visible file.
    File(Box<serve::Opened>),
    /// Bytes that the caller uploaded and nothing visible links yet: it may learn that they are there.
    Staged { size_bytes: u64 },
}

/// Answers HEAD too.
async fn get(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let digest: Digest = request.param_as("digest")?;
    let look = if request.method() == Method::HEAD { look_with_staged } else { look_visible };
    let found = app.run(move |app| look(app, &permit, &digest)).await?;
    match found {
        Found::File(opened) => serve::reply(&app, &request, *opened),
        Found::Staged { size_bytes } => Ok(Reply::stream(serve::OCTET_STREAM, size_bytes, stream::empty())),
    }
}

fn look_visible(app: &App, permit: &Permit<Read>, digest: &Digest) -> Result<Found> {
    app.registry.blob(permit, digest).map(|file| Found::File(Box::new(serve::Opened::of(app, file))))
}

fn look_with_staged(app: &App, permit: &Permit<Read>, digest: &Digest) -> Result<Found> {
    let absent = |error: &Error| error.code() == Code::NotFound;
    match look_visible(app, permit, digest) {
        Err(error) if absent(&error) => app.registry.staged_blob_size(permit, digest).map(|size_bytes| Found::Staged { size_bytes }),
        found => found,
    }
}
