//! The HTTP client of the commands. Invariant: every answer is bounded in time and size, is JSON or is refused in words, and no redirect
//! takes the token anywhere else.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

use super::connection::Connection;
use super::failure::Failure;
use super::fields::{count, list, text, words};
use crate::error::Code;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long sending a long body may take, its answer included: six hours.
const SENDING_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// The longest answer that is read; a full page of any list is far below it.
const ANSWER_LIMIT_BYTES: usize = 16 << 20;
/// How much is read of an answer that matters only for whether it is a refusal.
const TRIAL_LIMIT_BYTES: usize = 1 << 20;

/// An answer: a JSON document, as it came and as read.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether the server did what was asked.
    pub(super) is_success: bool,
    status: u16,
    /// The document as it came.
    pub(super) text: String,
    /// What it says.
    pub(super) json: Value,
}

impl Answer {
    /// Whether it is the refusal with this code, as the API or a protocol's own route says it.
    pub(super) fn is(&self, code: Code) -> bool {
        let said = |pointer: &str| text(&self.json, pointer).is_some_and(|said| said == code.as_str());
        self.status == code.status() && (said("/error") || said("/code"))
    }
}

/// A request whose answer may be a refusal.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// The verb.
    pub(super) method: Method,
    /// What the body is.
    pub(super) content_type: &'a str,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    connection: Connection,
}

impl Client {
    /// A client for this connection. Proxies that the environment names are not for servers on this machine.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub(super) fn new(connection: Connection) -> Result<Client, Failure> {
        // Only the first call counts, and it can only be this one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder()
            .user_agent(concat!("artifortress/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT);
        let builder = if connection.is_local { builder.no_proxy() } else { builder };
        let builder = match &connection.place.socket {
            Some(path) => builder.unix_socket(path.as_path()),
            None => builder,
        };
        let builder = match &connection.authorities {
            Some(authorities) => builder.tls_certs_only(authorities.iter().cloned()),
            None => builder,
        };
        let http = builder.build().map_err(|fault| Failure::Failed(format!("cannot set up the HTTP client: {}", causes(&fault))))?;
        Ok(Client { http, connection })
    }

    /// Reads something.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(Method::GET, path, query)).await?)
    }

    /// Changes something.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn post(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(Method::POST, path, &[])).await?)
    }

    /// Changes something, or asks for something, by a JSON body.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn send_json(&self, method: Method, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(method, path, &[]).json(body)).await?)
    }

    /// Asks for something without a body.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn send_empty(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(method, path, query)).await?)
    }

    /// Sends a long body and waits for its answer, however long the server takes to read it.
    ///
    /// # Errors
    /// When nobody answers, when the body breaks off, or with a refusal.
    pub(super) async fn send_long(&self, path: &[&str], body: reqwest::Body) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(Method::POST, path, &[]).timeout(SENDING_TIMEOUT).body(body)).await?)
    }

    /// Changes something by a JSON document.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn send(&self, method: Method, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(method, path, &[]).json(body)).await?)
    }

    /// Takes something away.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.done(self.ask(self.request(Method::DELETE, path, &[])).await?)
    }

    /// Changes something in bulk; `None` when the server is too old to know the address.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn find_post(&self, path: &[&str], body: &Value) -> Result<Option<Answer>, Failure> {
        let answer = self.ask(self.request(Method::POST, path, &[]).json(body)).await?;
        let is_unknown = [Code::NotFound, Code::MethodNotAllowed].iter().any(|code| code.status() == answer.status);
        if is_unknown { Ok(None) } else { self.done(answer).map(Some) }
    }

    /// Reads something that may not be there.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal for another reason.
    pub(super) async fn find(&self, path: &[&str]) -> Result<Option<Answer>, Failure> {
        let answer = self.ask(self.request(Method::GET, path, &[])).await?;
        if answer.is(Code::NotFound) { Ok(None) } else { self.done(answer).map(Some) }
    }

    /// Asks for something whose refusal is an answer, too. One that is no JSON says nothing.
    ///
    /// # Errors
    /// When nobody answers.
    pub(super) async fn try_out(&self, path: &[&str], query: &[(&str, String)], ask: Ask<'_>) -> Result<Answer, Failure> {
        let request = self.request(ask.method, path, query).header(CONTENT_TYPE, ask.content_type).body(ask.body);
        let mut response = request.send().await.map_err(|fault| self.unanswered(&fault))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|fault| self.unanswered(&fault))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > TRIAL_LIMIT_BYTES {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { is_success: status.is_success(), status: status.as_u16(), text, json })
    }

    /// Whether the server can serve, as it says itself: that it cannot is an answer here.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal for another reason, such as the token.
    pub(super) async fn readiness(&self) -> Result<Answer, Failure> {
        let answer = self.ask(self.request(Method::GET, &["health", "ready"], &[])).await?;
        if answer.status == Code::Unavailable.status() { Ok(answer) } else { self.done(answer) }
    }

    /// A request with the token, if there is one.
    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let request = self.http.request(method, self.address(path, query));
        match &self.connection.token {
            Ok(token) => request.header(AUTHORIZATION, token.header.clone()),
            Err(_) => request,
        }
    }

    /// The beginning of an answer that comes in pieces.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn begin(&self, request: RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await.map_err(|fault| self.unanswered(&fault))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let refusal = self.read(response).await?;
        Err(self.refused(&refusal))
    }

    /// Any answer, refusals included.
    async fn ask(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let response = request.send().await.map_err(|fault| self.unanswered(&fault))?;
        self.read(response).await
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, Failure> {
        let status = response.status();
        let moved = status
            .is_redirection()
            .then(|| response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned());
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|fault| self.unanswered(&fault))? {
            if bytes.len() + piece.len() > ANSWER_LIMIT_BYTES {
                return Err(Failure::Failed(format!("the answer of {} is longer than {ANSWER_LIMIT_BYTES} bytes", self.url())));
            }
            bytes.extend_from_slice(&piece);
        }
        if let Some(to) = moved {
            return Err(Failure::Failed(format!("{} sends on to {}; give that server with --server", self.url(), words(&to))));
        }
        // An answer without content says all that it has to say by its status.
        let bytes = if bytes.is_empty() && status.is_success() { b"null".to_vec() } else { bytes };
        let text = String::from_utf8(bytes).ok();
        let read = text.and_then(|text| serde_json::from_str(&text).ok().map(|json| (text, json)));
        let Some((text, json)) = read else {
            let message = format!("{} answered {status}, but not with JSON; is it an artifortress? name another with --server", self.url());
            return Err(Failure::Failed(message));
        };
        Ok(Answer { is_success: status.is_success(), status: status.as_u16(), text, json })
    }

    fn done(&self, answer: Answer) -> Result<Answer, Failure> {
        if answer.is_success { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    fn url(&self) -> String {
        self.connection.place.to_string()
    }

    fn address(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.connection.place.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// What a refusal says, with what to do about the token where it was the token.
    fn refused(&self, answer: &Answer) -> Failure {
        let said =
            text(&answer.json, "/message").unwrap_or_else(|| format!("the server refused with {} and gave no reason", answer.status));
        let request = text(&answer.json, "/requestId").map_or_else(String::new, |id| format!(" (request {id})"));
        let is_of_token = answer.status == Code::Unauthorized.status() || answer.status == Code::Forbidden.status();
        let context = match &self.connection.token {
            _ if !is_of_token => String::new(),
            Ok(token) => format!("the token in {} was refused by {}: ", token.file.display(), self.url()),
            Err(why) => format!("{} wants a token, and none was sent: {why}: ", self.url()),
        };
        Failure::Failed(format!("{context}{said}{request}{}", faults(&answer.json)))
    }

    /// Why there is no answer, in words.
    fn unanswered(&self, fault: &reqwest::Error) -> Failure {
        let (url, advice) = (self.url(), &self.connection.advice);
        Failure::Failed(if is_of_tls(fault) {
            format!(
                "no secure connection to {url}: {}; when its certificate is of your own authority, --ca-file FILE names a file with it; on the server's own machine, \
                 a unix: address in `listen` needs none",
                causes(fault)
            )
        } else if fault.is_timeout() {
            format!("{url} does not answer in time; {advice}")
        } else if fault.is_connect() {
            format!("no server answers at {url} ({}); {advice}", causes(fault))
        } else {
            format!("the connection to {url} broke: {}; try again", causes(fault))
        })
    }
}

/// The faults of a text that was sent, a line each.
fn faults(refusal: &Value) -> String {
    let line = |fault: &Value| {
        let file = text(fault, "/file").map_or_else(String::new, |file| format!("{file} "));
        let help = text(fault, "/help").map_or_else(String::new, |help| format!(" ({help})"));
        let place = format!("line {}, column {}", count(fault, "/line").unwrap_or(0), count(fault, "/column").unwrap_or(0));
        format!("\n  {file}{place}: {}{help}", text(fault, "/message").unwrap_or_default())
    };
    list(refusal, "/faults").iter().map(line).collect()
}

/// Whether TLS failed. An I/O error hides the cause that it wraps from `source`.
fn is_of_tls(fault: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = fault.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    fault.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_of_tls(wrapped)) || fault.source().is_some_and(is_of_tls)
}

/// The innermost cause of a fault, which is the one that says something.
fn causes(fault: &reqwest::Error) -> String {
    let innermost = std::iter::successors(fault.source(), |cause| (*cause).source()).last();
    words(&innermost.map_or_else(|| fault.to_string(), ToString::to_string))
}
