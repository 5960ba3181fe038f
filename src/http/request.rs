//! One request as a handler sees it. Invariant: what comes out of a path or a query is decoded UTF-8 without control characters.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ::http::header::{self, HeaderName};
use ::http::request::Parts;
use ::http::uri::Authority;
use ::http::{HeaderMap, Method};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::body::Body;
use super::forwarded::Forwarded;
use super::json;
use super::limits::HttpLimits;
use crate::domain::access::Caller;
use crate::domain::id::RequestId;
use crate::error::{Error, Result};

/// Where a connection comes from, put into each of its requests by the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Whose connection it is, if the system knows.
    pub(super) peer: Option<IpAddr>,
    /// How it came.
    pub(super) scheme: Scheme,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In the open.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As addresses begin.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The head of a request: method, address, headers, and what the route's pattern found in the path.
#[derive(Debug)]
pub struct Head {
    parts: Parts,
    params: Vec<(String, String)>,
    public_url: Option<String>,
    forwarded: Forwarded,
}

impl Head {
    /// A head without path parameters yet. `public_url` is the configured address of the server, if there is one.
    #[must_use]
    pub fn new(parts: Parts, public_url: Option<String>) -> Head {
        Head { parts, params: Vec::new(), public_url, forwarded: Forwarded::default() }
    }

    /// The same head with the parameters of its path, still percent-encoded.
    #[must_use]
    pub(super) fn with_params(mut self, params: Vec<(String, String)>) -> Head {
        self.params = params;
        self
    }

    /// The same head with what proxies in `trusted` say of it.
    #[must_use]
    pub(super) fn believing(mut self, trusted: &[IpNet]) -> Head {
        self.forwarded = Forwarded::of(&self.parts.headers, self.origin(), trusted);
        self
    }

    /// The method as sent: HEAD stays HEAD.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path as sent: percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string as sent, without the question mark; empty when there is none.
    #[must_use]
    pub fn query_text(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The address that the request comes from: that of the connection, or what a proxy that is believed says. `None` for a request made
    /// in this process.
    #[must_use]
    pub fn peer_address(&self) -> Option<IpAddr> {
        self.forwarded.client.or_else(|| self.origin().and_then(|origin| origin.peer))
    }

    fn origin(&self) -> Option<&Origin> {
        self.parts.extensions.get::<Origin>()
    }

    /// The first header of this name, if it is there and visible ASCII.
    #[must_use]
    pub fn header_text(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The part of the path that the pattern names `name`, as sent: percent-encoded. `None` when the pattern does not name it.
    #[must_use]
    pub fn raw_param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The part of the path that the pattern names `name`, decoded.
    ///
    /// # Errors
    /// `bad_request` when it is not UTF-8 or holds a control character; internal when the pattern does not name it.
    pub fn param(&self, name: &str) -> Result<String> {
        let raw =
            self.raw_param(name).ok_or_else(|| Error::internal("reading a path parameter", format!("the pattern has no {{{name}}}")))?;
        let refuse = |why: &str| Error::bad_request(format!("the part `{name}` of the address {why}"));
        let text = percent_decode_str(raw).decode_utf8().map_err(|_| refuse("does not decode to UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(refuse("holds a control character"));
        }
        Ok(text.into_owned())
    }

    /// The address under which the client reached this server, such as `http://localhost:8466`: no slash at the end.
    /// A configured public address comes first, then what a proxy that is believed says, then `Host`.
    ///
    /// # Errors
    /// `bad_request` when that host is missing, given twice or no plain host and port.
    pub fn base_url(&self) -> Result<String> {
        if let Some(public_url) = &self.public_url {
            return Ok(public_url.trim_end_matches('/').to_owned());
        }
        let of_connection = self.origin().map_or(Scheme::Http, |origin| origin.scheme);
        let scheme = self.forwarded.scheme.unwrap_or(of_connection).as_str();
        let refuse = || Error::bad_request("the header `Host` must be given once, as a host name or address with an optional port");
        if let Some(host) = &self.forwarded.host {
            let refuse =
                || Error::bad_request("the host that the proxy says the client named must be a host name or address with an optional port");
            return checked_authority(host).map(|host| format!("{scheme}://{host}")).ok_or_else(refuse);
        }
        if let Some(authority) = self.parts.uri.authority() {
            return checked_authority(authority.as_str()).map(|host| format!("{scheme}://{host}")).ok_or_else(refuse);
        }
        let mut hosts = self.parts.headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(refuse()) };
        let host = host.to_str().ok().and_then(checked_authority).ok_or_else(refuse)?;
        Ok(format!("{scheme}://{host}"))
    }
}

/// The text itself when it is a host with an optional port (RFC 9110, section 7.2) and holds nothing that HTML or JSON would have to escape.
fn checked_authority(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    let authority: Authority = text.parse().ok()?;
    let port_fits = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
    (plain && port_fits && !authority.host().is_empty()).then_some(text)
}

/// One request: its head, who makes it, and its body.
#[derive(Debug)]
pub struct Request {
    head: Arc<Head>,
    caller: Caller,
    limits: HttpLimits,
    /// The body, read once.
    pub body: Body,
}

impl Request {
    /// A request made by `caller`.
    #[must_use]
    pub fn new(head: Arc<Head>, caller: Caller, body: Body, limits: HttpLimits) -> Request {
        Request { head, caller, limits, body }
    }

    /// The head; it can be kept while the body is read.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// Who makes the request; without credentials, nobody by name.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The id of this request, sent as `X-Request-Id` and written into the log and the audit.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.caller.request_id()
    }

    /// The limits of the transport.
    #[must_use]
    pub fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    /// The method as sent: HEAD stays HEAD.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The path as sent: percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The first header of this name, if it is there and visible ASCII.
    #[must_use]
    pub fn header_text(&self, name: HeaderName) -> Option<&str> {
        self.head.header_text(name)
    }

    /// A decoded part of the path; see `Head::param`.
    ///
    /// # Errors
    /// `bad_request` when it is not UTF-8 or holds a control character.
    pub fn param(&self, name: &str) -> Result<String> {
        self.head.param(name)
    }

    /// A decoded part of the path read as `T`, such as an id.
    ///
    /// # Errors
    /// As `param`, and what `T` says of a text that it refuses.
    pub fn param_as<T: FromStr<Err = Error>>(&self, name: &str) -> Result<T> {
        self.head.param(name)?.parse()
    }

    /// The query string read as the struct `T`, whose fields are the parameters known.
    ///
    /// # Errors
    /// `bad_request` naming the parameter that is unknown (with `deny_unknown_fields` on `T`), missing or wrong.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        json::parse_query(self.head.query_text())
    }

    /// The body read as JSON of the shape `T`, within the limit for JSON.
    ///
    /// # Errors
    /// As `Body::read_json`.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.body.read_json(self.limits.json_limit_bytes).await
    }

    /// The address under which the client reached this server; see `Head::base_url`.
    ///
    /// # Errors
    /// `bad_request` when `Host` cannot be used.
    pub fn base_url(&self) -> Result<String> {
        self.head.base_url()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(raw: &str, host: &[&str]) -> Head {
        let mut builder = ::http::Request::builder().uri("/a?b=c");
        for host in host {
            builder = builder.header(header::HOST, *host);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        Head::new(parts, None).with_params(vec![("name".to_owned(), raw.to_owned())])
    }

    #[test]
    fn a_path_parameter_is_decoded_and_control_characters_are_refused() {
        assert_eq!(head("%40babel%2Fcore", &[]).param("name").unwrap(), "@babel/core");
        assert_eq!(head("%40babel%2Fcore", &[]).raw_param("name"), Some("%40babel%2Fcore"));
        assert_eq!(head("a+b%20c", &[]).param("name").unwrap(), "a+b c");
        for raw in ["a%00b", "a%0Ab", "%C2%80", "%ff"] {
            let error = head(raw, &[]).param("name").unwrap_err();
            assert!(error.message().contains("`name`"), "{error}");
            assert_eq!(error.code(), crate::error::Code::BadRequest);
        }
        assert_eq!(head("a", &[]).param("other").unwrap_err().code(), crate::error::Code::Internal);
    }

    #[test]
    fn only_a_plain_host_makes_a_base_url() {
        for good in ["localhost", "127.0.0.1:8466", "[::1]:80", "registry.example:443"] {
            assert_eq!(head("", &[good]).base_url().unwrap(), format!("http://{good}"));
        }
        for bad in [&["a/b"][..], &["user@host"], &["a\"b"], &["host:port"], &["<script>"], &["a", "b"], &[]] {
            assert!(head("", bad).base_url().is_err(), "{bad:?}");
        }
    }
}
