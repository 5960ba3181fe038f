//! Answers. Invariant: `Cache-Control` is always set, and a body of stated length has exactly that length or breaks off visibly.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use super::conditional::EntityTag;
use super::range::ByteRange;
use super::request::Request;
use crate::domain::id::RequestId;
use crate::error::{Error, Result};

/// How long an answer may be kept, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// By nobody: what the JSON API answers, and every refusal.
    NoStore,
    /// By the client, which asks again each time whether it still holds: content that a hold can withdraw.
    Revalidate,
    /// By the client, for this many seconds.
    PrivateSeconds(u32),
    /// By everybody for a year: assets whose address changes with their content.
    Immutable,
}

impl Cache {
    fn header_value(self) -> HeaderValue {
        match self {
            Cache::NoStore => HeaderValue::from_static("no-store"),
            Cache::Revalidate => HeaderValue::from_static("private, no-cache"),
            Cache::PrivateSeconds(seconds) => {
                HeaderValue::try_from(format!("private, max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-store"))
            }
            Cache::Immutable => HeaderValue::from_static("public, max-age=31536000, immutable"),
        }
    }
}

/// An answer on its way to a client.
#[derive(Debug)]
pub struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ReplyBody,
    pub(super) reason: Option<ReasonPhrase>,
}

impl Reply {
    /// An answer without a body, `no-store`.
    #[must_use]
    pub fn empty(status: StatusCode) -> Reply {
        let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, Cache::NoStore.header_value())]);
        Reply { status, headers, body: ReplyBody::empty(), reason: None }
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Reply {
        Reply::empty(StatusCode::NO_CONTENT)
    }

    /// 200 with JSON.
    ///
    /// # Errors
    /// Internal, when `value` cannot be written as JSON.
    pub fn ok(value: &impl Serialize) -> Result<Reply> {
        Reply::json(StatusCode::OK, value)
    }

    /// 201 with JSON.
    ///
    /// # Errors
    /// As `ok`.
    pub fn created(value: &impl Serialize) -> Result<Reply> {
        Reply::json(StatusCode::CREATED, value)
    }

    /// 202 with JSON: taken, but not done; a hold.
    ///
    /// # Errors
    /// As `ok`.
    pub fn accepted(value: &impl Serialize) -> Result<Reply> {
        Reply::json(StatusCode::ACCEPTED, value)
    }

    /// JSON under any status, for protocols that prescribe one.
    ///
    /// # Errors
    /// As `ok`.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Reply> {
        let text = serde_json::to_vec(value).map_err(|cause| Error::internal("writing an answer as JSON", cause))?;
        Ok(Reply::bytes("application/json", text).with_status(status))
    }

    /// 200 with bytes of this media type.
    #[must_use]
    pub fn bytes(media_type: &'static str, bytes: impl Into<Bytes>) -> Reply {
        let mut reply = Reply::empty(StatusCode::OK);
        reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        reply.body = ReplyBody::full(bytes.into());
        reply
    }

    /// 200 with a body of exactly `size_bytes`, produced while it is sent. A producer that gives more or less breaks the connection.
    pub fn stream(media_type: &'static str, size_bytes: u64, chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Reply {
        let mut reply = Reply::bytes(media_type, Bytes::new());
        reply.body = ReplyBody::stream(Some(size_bytes), chunks);
        reply
    }

    /// 200 with a body whose length is not known beforehand, sent in chunks.
    pub fn stream_of_unknown_length(media_type: &'static str, chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Reply {
        let mut reply = Reply::bytes(media_type, Bytes::new());
        reply.body = ReplyBody::stream(None, chunks);
        reply
    }

    /// 206 with one range of content; `chunks` gives exactly the range's bytes.
    ///
    /// # Errors
    /// None in practice: a range is digits.
    pub fn partial(
        media_type: &'static str,
        range: ByteRange,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<Reply> {
        Reply::stream(media_type, range.length_bytes, chunks)
            .with_status(StatusCode::PARTIAL_CONTENT)
            .with_text(header::CONTENT_RANGE, &range.content_range())
    }

    /// The reply of `build` with `tag` and `cache`, or 304 when the client of a GET or HEAD already has that content; `build` is not run then.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn conditional(request: &Request, tag: &EntityTag, cache: Cache, build: impl FnOnce() -> Result<Reply>) -> Result<Reply> {
        match Reply::not_modified(request, tag, cache)? {
            Some(reply) => Ok(reply),
            None => build()?.with_tag(tag, cache),
        }
    }

    /// 304 when the client of a GET or HEAD already has the content of `tag`, so that it need not even be opened.
    ///
    /// # Errors
    /// None in practice: a tag is visible ASCII.
    pub fn not_modified(request: &Request, tag: &EntityTag, cache: Cache) -> Result<Option<Reply>> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let known = reads && tag.is_known_to(request.headers());
        known.then(|| Reply::empty(StatusCode::NOT_MODIFIED).with_tag(tag, cache)).transpose()
    }

    /// The same with `ETag` and a rule for caches.
    ///
    /// # Errors
    /// None in practice: a tag is visible ASCII.
    pub fn with_tag(self, tag: &EntityTag, cache: Cache) -> Result<Reply> {
        Ok(self.with_cache(cache).with_header(header::ETAG, tag.header_value()?))
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    /// The same with a header set, in place of an earlier one of that name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.insert(name, value);
        self
    }

    /// The same with one more header of a name that may be repeated.
    #[must_use]
    pub fn and_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.append(name, value);
        self
    }

    /// The same with a header set from text.
    ///
    /// # Errors
    /// Internal, when the text cannot stand in a header: visible ASCII and spaces can. Encode what comes from clients.
    pub fn with_text(self, name: HeaderName, text: &str) -> Result<Reply> {
        let value = HeaderValue::from_str(text).map_err(|cause| Error::internal(format!("writing the header {name}"), cause))?;
        Ok(self.with_header(name, value))
    }

    /// The same with this media type, for types known only at run time; one that no header can hold becomes `application/octet-stream`.
    #[must_use]
    pub fn with_media_type(self, media_type: &str) -> Reply {
        let value = HeaderValue::from_str(media_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        self.with_header(header::CONTENT_TYPE, value)
    }

    /// The same with another rule for caches.
    #[must_use]
    pub fn with_cache(self, cache: Cache) -> Reply {
        self.with_header(header::CACHE_CONTROL, cache.header_value())
    }

    /// The same with a reason phrase in the status line, which some clients show in place of the body.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<ReasonPhrase>) -> Reply {
        self.reason = reason;
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The reply as hyper sends it. A HEAD keeps every header, the length too, and loses the body.
    pub(crate) fn into_response(mut self, method: &Method, request_id: RequestId) -> ::http::Response<ReplyBody> {
        let bodiless = self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED;
        if bodiless {
            self.body = ReplyBody::empty();
        } else if let Some(length) = self.body.rest_bytes() {
            self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if method == Method::HEAD {
            self.body = ReplyBody::empty();
        }
        self.body.request_id = Some(request_id);
        let mut response = ::http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// The body of an answer.
pub struct ReplyBody {
    source: Source,
    request_id: Option<RequestId>,
}

enum Source {
    Full(Option<Bytes>),
    Stream { chunks: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>, rest_bytes: Option<u64> },
}

impl ReplyBody {
    /// No body.
    #[must_use]
    pub fn empty() -> ReplyBody {
        ReplyBody::full(Bytes::new())
    }

    /// A body in memory.
    #[must_use]
    pub fn full(bytes: Bytes) -> ReplyBody {
        ReplyBody { source: Source::Full(Some(bytes).filter(|bytes| !bytes.is_empty())), request_id: None }
    }

    /// A body produced while it is sent, of exactly `size_bytes` where that is known.
    pub fn stream(size_bytes: Option<u64>, chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> ReplyBody {
        ReplyBody { source: Source::Stream { chunks: chunks.boxed(), rest_bytes: size_bytes }, request_id: None }
    }

    /// How many bytes are still to come, where that is known.
    #[must_use]
    pub fn rest_bytes(&self) -> Option<u64> {
        match &self.source {
            Source::Full(bytes) => Some(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX))),
            Source::Stream { rest_bytes, .. } => *rest_bytes,
        }
    }

    /// Logs why an answer breaks off; its status has been sent, so this is all that can be done.
    fn broken(&self, error: Error) -> Error {
        let request_id = self.request_id.map(|id| id.to_string()).unwrap_or_default();
        tracing::error!(%request_id, ?error, "an answer broke off in the middle");
        error
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyBody").field("rest_bytes", &self.rest_bytes()).finish_non_exhaustive()
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        let (chunk, rest) = match &mut body.source {
            Source::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Stream { chunks, rest_bytes } => (std::task::ready!(chunks.as_mut().poll_next(context)), rest_bytes),
        };
        let wrong_length = |what: &str| Error::internal("sending an answer", format!("its producer gave {what} than announced"));
        Poll::Ready(match (chunk, rest) {
            (Some(Ok(chunk)), Some(rest)) => match rest.checked_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) {
                Some(left) => {
                    *rest = left;
                    Some(Ok(Frame::data(chunk)))
                }
                None => Some(Err(body.broken(wrong_length("more")))),
            },
            (Some(Ok(chunk)), None) => Some(Ok(Frame::data(chunk))),
            (Some(Err(error)), _) => Some(Err(body.broken(error))),
            (None, Some(rest)) if *rest > 0 => Some(Err(body.broken(wrong_length("less")))),
            (None, _) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest_bytes() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest_bytes().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn chunks(pieces: &'static [&'static str]) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        futures_util::stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))))
    }

    async fn sent(size_bytes: u64, pieces: &'static [&'static str]) -> Result<Bytes> {
        Ok(Reply::stream("text/plain", size_bytes, chunks(pieces)).body.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn a_stream_has_exactly_the_length_it_announced() {
        assert_eq!(sent(6, &["abc", "def"]).await.unwrap(), "abcdef");
        assert!(sent(7, &["abc", "def"]).await.is_err());
        assert!(sent(5, &["abc", "def"]).await.is_err());
    }

    #[tokio::test]
    async fn a_head_keeps_the_length_and_loses_the_body() {
        let id = RequestId::new(uuid::Uuid::nil());
        let response = Reply::stream("text/plain", 6, chunks(&["abcdef"])).into_response(&Method::HEAD, id);
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "6");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 0);
        let none = Reply::no_content().into_response(&Method::GET, id);
        assert!(!none.headers().contains_key(header::CONTENT_LENGTH));
    }

    #[test]
    fn json_is_not_stored_and_ends_without_a_newline() {
        let reply = Reply::created(&serde_json::json!({"a": 1})).unwrap();
        assert_eq!(reply.status(), StatusCode::CREATED);
        assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(reply.body.rest_bytes(), Some(7));
    }

    #[test]
    fn text_that_could_split_a_header_is_refused() {
        assert!(Reply::no_content().with_text(header::LOCATION, "/a\r\nSet-Cookie: x").is_err());
        assert_eq!(Reply::no_content().with_media_type("a\nb").headers()[header::CONTENT_TYPE], "application/octet-stream");
    }
}
