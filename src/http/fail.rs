//! Refusals on the wire. Invariant: an internal cause goes to the log under the request id and never to the client; no refusal is cached.

use ::http::StatusCode;
use ::http::header::{self, HeaderValue};
use hyper::ext::ReasonPhrase;
use serde_json::{Map, Value, json};

use super::reply::{Cache, Reply};
use super::request::Head;
use crate::domain::id::RequestId;
use crate::error::{Code, Error};

/// The most characters of a reason phrase.
const REASON_LIMIT_CHARACTERS: usize = 200;

/// What a dialect may look at beside the error.
#[derive(Debug, Clone, Copy)]
pub struct FailContext<'a> {
    /// The id of the request, for the body.
    pub request_id: RequestId,
    /// The head of the request, for addresses and content negotiation.
    pub head: &'a Head,
}

/// How a protocol words a refusal: status, body, media type, reason phrase. Headers that every refusal needs (`WWW-Authenticate`,
/// `Retry-After`, `Content-Range`, `Allow`, `Cache-Control`) are added afterwards where the dialect set none.
pub type Dialect = fn(&Error, &FailContext<'_>) -> Reply;

/// The status of the JSON API for this error.
#[must_use]
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The JSON API's own dialect: `{"error", "message", "requestId"}` and the members of the error.
#[must_use]
pub fn json(error: &Error, context: &FailContext<'_>) -> Reply {
    let mut body: Map<String, Value> = error.members().clone();
    body.insert("error".to_owned(), error.code().as_str().into());
    body.insert("message".to_owned(), error.message().into());
    body.insert("requestId".to_owned(), context.request_id.to_string().into());
    Reply::bytes("application/json", Value::Object(body).to_string()).with_status(status(error))
}

/// `text` as a reason phrase (RFC 9112, section 4): one line of visible ASCII, at most 200 characters; `None` when nothing is left.
/// Line breaks become spaces, other characters question marks.
#[must_use]
pub fn reason_phrase(text: &str) -> Option<ReasonPhrase> {
    let line: String = text
        .trim()
        .chars()
        .filter(|letter| *letter != '\r')
        .take(REASON_LIMIT_CHARACTERS)
        .map(|letter| match letter {
            ' '..='~' => letter,
            letter if letter.is_whitespace() => ' ',
            _ => '?',
        })
        .collect();
    if line.is_empty() { None } else { ReasonPhrase::try_from(line).ok() }
}

/// The reply that refuses with `error`, in `dialect`, complete with its headers; what the operator needs goes to the log.
pub(super) fn reply(error: &Error, dialect: Dialect, context: &FailContext<'_>) -> Reply {
    log(error, context);
    complete(dialect(error, context), error)
}

fn log(error: &Error, context: &FailContext<'_>) {
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    // A field named `message` would take the place of the line's own words, and would be written without escapes.
    let (request_id, code, told) = (context.request_id, error.code().as_str(), error.message());
    if error.code().status() >= 500 {
        tracing::error!(%request_id, code, told, cause, "request failed");
    } else if !cause.is_empty() {
        tracing::debug!(%request_id, code, told, cause, "request refused");
    }
}

/// Adds the headers that this status needs, where the dialect set none of that name.
fn complete(mut reply: Reply, error: &Error) -> Reply {
    let absent = |reply: &Reply, name| !reply.headers().contains_key(name);
    if reply.status == StatusCode::UNAUTHORIZED && absent(&reply, header::WWW_AUTHENTICATE) {
        reply = reply
            .and_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"artifortress\""))
            .and_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"artifortress\""));
    }
    let retry = reply.status == StatusCode::TOO_MANY_REQUESTS || reply.status == StatusCode::SERVICE_UNAVAILABLE;
    if retry && absent(&reply, header::RETRY_AFTER) {
        let seconds = error.members().get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(1);
        reply = reply.with_header(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if reply.status == StatusCode::RANGE_NOT_SATISFIABLE && absent(&reply, header::CONTENT_RANGE) {
        let size = error.members().get("sizeBytes").and_then(Value::as_u64);
        if let Some(value) = size.and_then(|size| HeaderValue::try_from(format!("bytes */{size}")).ok()) {
            reply = reply.with_header(header::CONTENT_RANGE, value);
        }
    }
    if reply.status == StatusCode::METHOD_NOT_ALLOWED && absent(&reply, header::ALLOW) {
        let methods: Vec<&str> =
            error.members().get("allow").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if let Ok(value) = HeaderValue::try_from(methods.join(", ")) {
            reply = reply.with_header(header::ALLOW, value);
        }
    }
    reply.with_cache(Cache::NoStore)
}

/// The 404 for an address that no route has.
pub(super) fn no_such_address() -> Error {
    Error::new(Code::NotFound, "there is nothing at this address; check its spelling")
}

/// The 405 for a verb that the address does not have.
pub(super) fn wrong_method(method: &str, allowed: &[&str]) -> Error {
    let message = format!("{method} is not possible at this address; possible: {}", allowed.join(", "));
    Error::new(Code::MethodNotAllowed, message).with("allow", json!(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: &Error) -> (Reply, Value) {
        let (parts, ()) = ::http::Request::new(()).into_parts();
        let head = Head::new(parts, None);
        let context = FailContext { request_id: RequestId::new(uuid::Uuid::nil()), head: &head };
        let reply = reply(error, json, &context);
        (reply, serde_json::from_str(&json_text(error, &context)).unwrap())
    }

    fn json_text(error: &Error, context: &FailContext<'_>) -> String {
        let response = json(error, context).into_response(&::http::Method::GET, context.request_id);
        let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
        String::from_utf8(body.unwrap().unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_body_has_code_message_request_id_and_members_but_no_cause() {
        let (reply, body) = refused(&Error::conflict("taken").with("state", "published").because("row 7"));
        assert_eq!(reply.status(), StatusCode::CONFLICT);
        assert_eq!(
            body,
            json!({"error": "conflict", "message": "taken", "requestId": "00000000-0000-0000-0000-000000000000", "state": "published"})
        );
        let (_, body) = refused(&Error::conflict("taken").with("error", "other"));
        assert_eq!(body["error"], "conflict");
    }

    #[test]
    fn every_status_brings_the_header_it_needs() {
        let (reply, _) = refused(&crate::domain::access::unauthorized());
        let challenges: Vec<_> = reply.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
        assert!(challenges[0].to_str().unwrap().starts_with("Basic realm=\"artifortress\""));
        assert_eq!(challenges.len(), 2);
        assert_eq!(refused(&Error::new(Code::Unavailable, "later")).0.headers()[header::RETRY_AFTER], "1");
        assert_eq!(refused(&Error::new(Code::TooManyRequests, "later").with("retryAfterSeconds", 7)).0.headers()[header::RETRY_AFTER], "7");
        assert_eq!(refused(&Error::new(Code::InvalidRange, "no").with("sizeBytes", 10)).0.headers()[header::CONTENT_RANGE], "bytes */10");
        assert_eq!(refused(&wrong_method("PUT", &["GET", "HEAD"])).0.headers()[header::ALLOW], "GET, HEAD");
        for code in Code::ALL {
            assert_eq!(refused(&Error::new(*code, "x")).0.headers()[header::CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn a_reason_phrase_is_one_short_ascii_line() {
        let phrase = |text: &str| reason_phrase(text).map(|phrase| String::from_utf8(phrase.as_bytes().to_vec()).unwrap());
        assert_eq!(phrase("held\r\nSet-Cookie: a=b").unwrap(), "held Set-Cookie: a=b");
        assert_eq!(phrase("zurückgehalten\u{0}").unwrap(), "zur?ckgehalten?");
        assert_eq!(phrase(&"x".repeat(500)).unwrap().len(), 200);
        assert_eq!(phrase(" \r\n"), None);
    }
}
