//! The one way by which a visible file becomes a reply. Invariant: bytes go out for a `Visible<File>` alone, and no cache hands
//! them on without asking again, so that a hold takes effect on the next request; who is sent bytes is remembered.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::app::App;
use crate::blobs::serve::Content;
use crate::domain::digest::Digest;
use crate::domain::version::File;
use crate::domain::visibility::Visible;
use crate::error::Result;
use crate::http::{Cache, EntityTag, HeaderName, HeaderValue, Method, Reply, Request, header, range};

/// The media type of a file whose uploader gave none.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// RFC 9530; the same under its older name (RFC 3230), which some clients still look for.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");

/// Uploaded pages must not act in a browser as if they were ours.
const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// A visible file with its bytes.
pub struct Opened {
    file: Visible<File>,
    /// Who has the file already is told so all the same when the bytes cannot be opened.
    content: Result<Content>,
}

impl Opened {
    /// Opens the bytes of a file. Blocks: it belongs where the file is found, since each change of threads takes longer than either.
    #[must_use]
    pub fn of(app: &App, file: Visible<File>) -> Opened {
        let content = app.registry.open(&file);
        Opened { file, content }
    }
}

/// Answers a GET or HEAD with the file that `find` gives, which may block.
///
/// # Errors
/// What `find` returns; as `reply`.
pub async fn found<F>(app: &Arc<App>, request: &Request, find: F) -> Result<Reply>
where
    F: FnOnce(&App) -> Result<Visible<File>> + Send + 'static,
{
    let opened = app.run(move |app| find(app).map(|file| Opened::of(app, file))).await?;
    reply(app, request, opened)
}

/// Answers a GET or HEAD with a visible file: whole, in part (one range, `If-Range`), or 304 when the client has it.
///
/// # Errors
/// `invalid_range`; internal when the bytes are not on disk as the catalogue says.
pub fn reply(app: &Arc<App>, request: &Request, opened: Opened) -> Result<Reply> {
    let file = &opened.file;
    let tag = EntityTag::new(&file.digest.to_string())?;
    if let Some(reply) = Reply::not_modified(request, &tag, Cache::Revalidate)? {
        return Ok(reply);
    }
    let range = range::requested(request.head(), &tag, file.size_bytes)?;
    let content = opened.content?;
    if request.method() != Method::HEAD {
        let address = request.head().peer_address().map(|address| address.to_string());
        app.registry.note_download(request.caller(), file, &address.unwrap_or_default());
    }
    let reply = match range {
        Some(range) => Reply::partial(OCTET_STREAM, range, content.into_stream_of(range.bytes()))?,
        None => Reply::stream(OCTET_STREAM, content.size_bytes(), content.into_stream()),
    };
    let reply = reply
        .with_media_type(file.media_type.as_deref().unwrap_or(OCTET_STREAM))
        .with_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        .with_header(header::CONTENT_SECURITY_POLICY, SANDBOX);
    with_digest(reply, &file.digest)?.with_tag(&tag, Cache::Revalidate)
}

fn with_digest(reply: Reply, digest: &Digest) -> Result<Reply> {
    let encoded = STANDARD.encode(digest.as_bytes());
    reply.with_text(REPR_DIGEST, &format!("sha-256=:{encoded}:"))?.with_text(DIGEST, &format!("sha-256={encoded}"))
}
