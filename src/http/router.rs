//! From a request to its answer. Invariant: a handler runs only after its route's proof was given, and every request gets exactly one answer.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use ipnet::IpNet;
use tracing::Instrument;

use super::body::{Body, BoxError};
use super::fail::{self, Dialect, FailContext};
use super::limits::HttpLimits;
use super::reply::{Reply, ReplyBody};
use super::request::{Head, Request};
use super::route::{Access, REPO_PARAM, Route, Routes};
use crate::clock::{Clock, Stopwatch};
use crate::domain::access::Caller;
use crate::domain::id::RequestId;
use crate::domain::name::RepoKey;
use crate::domain::repo::Repo;
use crate::error::{Code, Error, Result};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the transport asks of the program behind it.
pub trait Application: Send + Sync + 'static {
    /// Who sent this `Authorization` header; without one, the caller is nobody.
    ///
    /// # Errors
    /// `unauthorized` for credentials that are unknown, expired, revoked or unreadable.
    fn authenticate(&self, authorization: Option<&HeaderValue>, request_id: RequestId) -> impl Future<Output = Result<Caller>> + Send;

    /// The repo of this key, if it exists.
    ///
    /// # Errors
    /// Internal, when it cannot be read.
    fn find_repo(&self, key: &RepoKey) -> impl Future<Output = Result<Option<Arc<Repo>>>> + Send;

    /// Where request ids and times come from.
    fn clock(&self) -> &dyn Clock;

    /// The limits of the transport.
    fn limits(&self) -> &HttpLimits;

    /// The address under which clients know this server, where `Host` does not tell, such as behind a proxy that adds TLS.
    fn public_url(&self) -> Option<&str> {
        None
    }

    /// The networks of proxies whose word on where a request came from is believed.
    fn trusted_proxies(&self) -> &[IpNet] {
        &[]
    }

    /// Told of every request when it comes, for metrics.
    fn begun(&self) {}

    /// Told of every request that had begun after it was answered or given up, for metrics.
    fn served(&self, _served: &Served<'_>) {}

    /// Told of every connection when it was accepted, for metrics.
    fn connected(&self) {}

    /// Told of every connection that was accepted when it has ended, for metrics.
    fn disconnected(&self) {}
}

/// One request that has ended. It names the pattern, never the address, the query or a header.
#[derive(Debug)]
pub struct Served<'a> {
    /// The verb.
    pub method: &'a Method,
    /// The route's pattern; `None` where no route has the address.
    pub pattern: Option<&'static str>,
    /// The status sent; `None` when the client left first.
    pub status: Option<StatusCode>,
    /// From the head of the request to the head of the answer.
    pub elapsed: Duration,
    /// The request.
    pub request_id: RequestId,
    /// Who made it; empty before that was known.
    pub subject: &'a str,
}

/// The table of routes with the program behind it; shared by all connections, and callable in process.
pub struct Router<A> {
    app: Arc<A>,
    table: matchit::Router<Vec<usize>>,
    routes: Routes<A>,
}

struct Found<'r, A> {
    route: Result<&'r Route<A>>,
    dialect: Dialect,
    params: Vec<(String, String)>,
}

impl<A: Application> Router<A> {
    /// The router over `routes`.
    ///
    /// # Errors
    /// Internal, naming every fault of the table: a role without `{repoKey}`, two routes for one verb and pattern, patterns that
    /// contradict each other, an example that does not reach its route.
    pub fn new(app: Arc<A>, routes: Routes<A>) -> Result<Router<A>> {
        let mut table = matchit::Router::<Vec<usize>>::new();
        let mut patterns = std::collections::BTreeMap::<&'static str, Vec<usize>>::new();
        let mut faults = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            faults.extend(route.fault().map(|fault| format!("{route:?}: {fault}")));
            let same = patterns.entry(route.pattern()).or_default();
            if same.iter().filter_map(|other| routes.at(*other)).any(|other| other.method() == route.method()) {
                faults.push(format!("{route:?}: there are two of it"));
            }
            same.push(index);
        }
        for (pattern, indexes) in patterns {
            faults.extend(table.insert(pattern, indexes).err().map(|fault| format!("{pattern}: {fault}")));
        }
        for (index, route) in routes.iter().enumerate() {
            let path = route.example().split('?').next().unwrap_or_default();
            if !table.at(path).is_ok_and(|found| found.value.contains(&index)) {
                faults.push(format!("{route:?}: its example {path} does not reach it"));
            }
        }
        if faults.is_empty() {
            Ok(Router { app, table, routes })
        } else {
            Err(Error::internal("building the table of routes", faults.join("; ")))
        }
    }

    /// Every route.
    #[must_use]
    pub fn routes(&self) -> &Routes<A> {
        &self.routes
    }

    /// The program behind the router.
    #[must_use]
    pub fn app(&self) -> &Arc<A> {
        &self.app
    }

    /// Answers one request, from a connection or in process.
    pub async fn handle<B>(&self, request: ::http::Request<B>) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        let request_id = RequestId::new(self.app.clock().uuid());
        let span = tracing::info_span!("request", id = %request_id);
        self.answer(request, request_id).instrument(span).await
    }

    async fn answer<B>(&self, request: ::http::Request<B>, request_id: RequestId) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let mut line = Line::begin(&self.app, parts.method.clone(), request_id);
        let found = self.find(&parts.method, parts.uri.path());
        let head = Head::new(parts, self.app.public_url().map(str::to_owned)).with_params(found.params);
        let head = Arc::new(head.believing(self.app.trusted_proxies()));
        let outcome = match found.route {
            Ok(route) => {
                line.pattern = Some(route.pattern());
                let work = self.run(route, &head, Body::new(body, *self.app.limits()), &mut line);
                AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            }
            Err(refusal) => Err(refusal),
        };
        let context = FailContext { request_id, head: &head };
        let reply = outcome.unwrap_or_else(|error| fail::reply(&error, found.dialect, &context));
        line.status = Some(reply.status());
        finish(reply, head.method(), request_id)
    }

    /// The route for a verb at a path, or the refusal; a HEAD without a route of its own falls to the GET.
    fn find(&self, method: &Method, path: &str) -> Found<'_, A> {
        let Ok(matched) = self.table.at(path) else {
            return Found { route: Err(fail::no_such_address()), dialect: fail::json, params: Vec::new() };
        };
        let here: Vec<&Route<A>> = matched.value.iter().filter_map(|index| self.routes.at(*index)).collect();
        let of = |method: &Method| here.iter().copied().find(|route| route.method() == method);
        let route = of(method).or_else(|| if method == Method::HEAD { of(&Method::GET) } else { None });
        let dialect = route.or(here.first().copied()).map_or(fail::json as Dialect, Route::dialect);
        let params = matched.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let route = route.ok_or_else(|| {
            let mut allowed: Vec<&str> = here.iter().map(|route| route.method().as_str()).collect();
            if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
                allowed.push("HEAD");
            }
            allowed.sort_unstable();
            fail::wrong_method(method.as_str(), &allowed)
        });
        Found { route, dialect, params }
    }

    /// Authenticates, finds the repo of the address where the route's proof is about one, and runs the handler, which proves first.
    async fn run(&self, route: &Route<A>, head: &Arc<Head>, body: Body, line: &mut Line<A>) -> Result<Reply> {
        let caller = self.app.authenticate(head.headers().get(header::AUTHORIZATION), line.request_id).await?;
        caller.identity().subject.as_str().clone_into(&mut line.subject);
        refuse_other_sites(head)?;
        let repo = match route.access() {
            Access::Repo(_) => self.find_repo(head).await?,
            Access::Operator | Access::Signed | Access::Anyone => None,
        };
        let request = Request::new(Arc::clone(head), caller, body, *self.app.limits());
        route.call(Arc::clone(&self.app), repo, request).await
    }

    /// The repo of the address. A key that no repo can have is like one that no repo has.
    async fn find_repo(&self, head: &Head) -> Result<Option<Arc<Repo>>> {
        let key = head.param(REPO_PARAM).ok().and_then(|text| text.parse::<RepoKey>().ok());
        match key {
            Some(key) => self.app.find_repo(&key).await,
            None => Ok(None),
        }
    }
}

impl<A> std::fmt::Debug for Router<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// Browsers remember Basic credentials and send them along when another site's page posts here; they also say so in `Sec-Fetch-Site`.
fn refuse_other_sites(head: &Head) -> Result<()> {
    let reads = matches!(*head.method(), Method::GET | Method::HEAD);
    match head.header_text(SEC_FETCH_SITE) {
        Some("cross-site" | "same-site") if !reads => {
            Err(Error::new(Code::Forbidden, "a page of another site may not change anything here"))
        }
        Some(_) | None => Ok(()),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal("a handler panicked", text.unwrap_or_else(|| "without a message".to_owned()))
}

/// What every response carries.
fn finish(reply: Reply, method: &Method, request_id: RequestId) -> Response<ReplyBody> {
    let id = HeaderValue::try_from(request_id.to_string()).unwrap_or(HeaderValue::from_static("-"));
    reply
        .with_header(X_REQUEST_ID, id)
        .with_header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .into_response(method, request_id)
}

/// The line of the access log for one request; written when it is dropped, so also for clients that left.
struct Line<A: Application> {
    app: Arc<A>,
    began: Stopwatch,
    method: Method,
    pattern: Option<&'static str>,
    status: Option<StatusCode>,
    request_id: RequestId,
    subject: String,
}

impl<A: Application> Line<A> {
    fn begin(app: &Arc<A>, method: Method, request_id: RequestId) -> Line<A> {
        app.begun();
        Line { app: Arc::clone(app), began: Stopwatch::start(), method, pattern: None, status: None, request_id, subject: String::new() }
    }
}

impl<A: Application> Drop for Line<A> {
    fn drop(&mut self) {
        let served = Served {
            method: &self.method,
            pattern: self.pattern,
            status: self.status,
            elapsed: self.began.elapsed(),
            request_id: self.request_id,
            subject: &self.subject,
        };
        let status = served.status.as_ref().map_or("client left", StatusCode::as_str);
        let (route, ms) = (served.pattern.unwrap_or("-"), served.elapsed.as_millis());
        tracing::info!(target: "artifortress::access", method = %served.method, route, status, ms, request_id = %served.request_id, subject = served.subject);
        self.app.served(&served);
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
pub(super) mod tests;
