//! The router called in process, with a small program behind it that the tests of the server use too.

use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::clock::FixedClock;
use crate::domain::access::{Grants, Identity, Operator, Permit, Read, Roles, Scope, Signed, Write, unauthorized};
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::domain::repo::{RepoKind, RepoSettings};
use crate::domain::time::Time;
use crate::http::conditional::EntityTag;
use crate::http::reply::Cache;

/// A program with two repos, `open` and `closed`, and tokens that are the scopes they carry.
pub(in crate::http) struct App {
    clock: FixedClock,
    limits: HttpLimits,
    served: Mutex<Vec<String>>,
    pub(in crate::http) gate: tokio::sync::Notify,
    pub(in crate::http) entered: tokio::sync::Notify,
}

impl Application for App {
    async fn authenticate(&self, authorization: Option<&HeaderValue>, request_id: RequestId) -> Result<Caller> {
        let token = match authorization.map(|value| value.to_str().unwrap_or_default()) {
            None => None,
            Some(text) => Some(text.strip_prefix("Bearer ").and_then(|scope| scope.parse::<Scope>().ok()).ok_or_else(unauthorized)?),
        };
        let identity = match token {
            None => Identity {
                subject: Subject::anonymous(),
                token_id: None,
                expires_at: None,
                grants: Grants { scopes: None, bindings: Some(vec![]) },
            },
            Some(scope) => Identity {
                subject: "alice".parse()?,
                token_id: Some(TokenId::new(uuid::Uuid::nil())),
                expires_at: None,
                grants: Grants { scopes: Some(vec![scope]), bindings: None },
            },
        };
        Ok(Caller::new(Arc::new(identity), request_id))
    }

    async fn find_repo(&self, key: &RepoKey) -> Result<Option<Arc<Repo>>> {
        let settings = RepoSettings { anonymous_read: key.as_str() == "open", ..RepoSettings::default() };
        let now = self.clock.now();
        let known = ["open", "closed"].contains(&key.as_str());
        Ok(known.then(|| Arc::new(Repo { key: key.clone(), kind: RepoKind::Local, settings, created_at: now, updated_at: now })))
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    fn served(&self, served: &Served<'_>) {
        let status = served.status.map_or(0, |status| status.as_u16());
        self.served.lock().unwrap().push(format!("{} {} {status} {}", served.method, served.pattern.unwrap_or("-"), served.subject));
    }
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Echo {
    word: String,
}

async fn browse(_app: Arc<App>, permit: Permit<Read>, _request: Request) -> Result<Reply> {
    Reply::ok(&json!({"repoKey": permit.repo_key().as_str()}))
}

async fn upload(_app: Arc<App>, _permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let bytes = request.body.read_bounded(100_000).await?;
    Reply::created(&json!({"sizeBytes": bytes.len()}))
}

async fn echo(_app: Arc<App>, _caller: Caller, mut request: Request) -> Result<Reply> {
    Reply::ok(&request.json::<Echo>().await?)
}

async fn find(_app: Arc<App>, _caller: Caller, request: Request) -> Result<Reply> {
    Reply::ok(&request.query::<Echo>()?)
}

async fn file(_app: Arc<App>, _caller: Caller, request: Request) -> Result<Reply> {
    let text = format!("{}|{}", request.param("path")?, request.base_url()?);
    Ok(Reply::bytes("text/plain", text))
}

async fn tagged(_app: Arc<App>, _caller: Caller, request: Request) -> Result<Reply> {
    Reply::conditional(&request, &EntityTag::new("v1")?, Cache::Revalidate, || Ok(Reply::bytes("text/plain", "content")))
}

async fn panics(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    panic!("index out of secret bounds")
}

async fn fails(_app: Arc<App>, _signed: Signed, _request: Request) -> Result<Reply> {
    Err(Error::internal("reading the catalogue", "secret disk fault"))
}

async fn waits(app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    app.entered.notify_one();
    app.gate.notified().await;
    Ok(Reply::bytes("text/plain", "done"))
}

async fn endless(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    let piece = Bytes::from(vec![b'x'; 65_536]);
    Ok(Reply::stream_of_unknown_length("text/plain", futures_util::stream::repeat_with(move || Ok(piece.clone()))))
}

async fn peer(_app: Arc<App>, _caller: Caller, request: Request) -> Result<Reply> {
    let peer = request.head().peer_address().map_or_else(|| "nobody".to_owned(), |peer| peer.to_string());
    Ok(Reply::bytes("text/plain", format!("{peer} {}", request.base_url()?)))
}

async fn operate(_app: Arc<App>, _operator: Operator, _request: Request) -> Result<Reply> {
    Ok(Reply::no_content())
}

fn shouting(error: &Error, _context: &FailContext<'_>) -> Reply {
    Reply::bytes("text/plain", error.code().as_str().to_uppercase())
        .with_status(fail::status(error))
        .with_reason(fail::reason_phrase("held for review"))
}

fn table() -> Routes<App> {
    let shouted = Routes::new().get("/shout/{repoKey}", "/shout/open", browse).with_dialect(shouting);
    Routes::new()
        .get("/v1/repos/{repoKey}", "/v1/repos/open", browse)
        .put("/v1/repos/{repoKey}", "/v1/repos/open", upload)
        .post("/v1/echo", "/v1/echo", echo)
        .get("/v1/find", "/v1/find?word=a", find)
        .get("/files/{*path}", "/files/a/b", file)
        .get("/tagged", "/tagged", tagged)
        .get("/panics", "/panics", panics)
        .get("/fails", "/fails", fails)
        .get("/waits", "/waits", waits)
        .get("/endless", "/endless", endless)
        .get("/peer", "/peer", peer)
        .post("/operate", "/operate", operate)
        .join(shouted)
}

/// A router over the test's program.
pub(in crate::http) fn router(limits: HttpLimits) -> Arc<Router<App>> {
    let clock = FixedClock::at(Time::from_unix_ms(1_800_000_000_000));
    let app = App { clock, limits, served: Mutex::default(), gate: tokio::sync::Notify::new(), entered: tokio::sync::Notify::new() };
    Arc::new(Router::new(Arc::new(app), table()).unwrap())
}

struct Seen {
    status: u16,
    headers: ::http::HeaderMap,
    body: String,
    reason: Option<String>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The answer without what differs between any two requests.
    fn without_ids(&self) -> (u16, Vec<String>, String) {
        let id = self.headers["x-request-id"].to_str().unwrap();
        let mut headers: Vec<_> =
            self.headers.iter().filter(|(name, _)| *name != "x-request-id").map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        (self.status, headers, self.body.replace(id, "ID"))
    }
}

async fn call(router: &Router<App>, method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Seen {
    let mut builder = ::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let response = router.handle(builder.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()).await;
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>().map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
    Seen { status: parts.status.as_u16(), headers: parts.headers, body, reason }
}

const ADMIN: (&str, &str) = ("authorization", "Bearer repo:*:admin");
const READER: (&str, &str) = ("authorization", "Bearer repo:closed:read");
const STRANGER: (&str, &str) = ("authorization", "Bearer repo:elsewhere:admin");

#[tokio::test]
async fn existing_and_absent_repos_look_the_same_to_who_may_not_read() {
    let router = router(HttpLimits::default());
    for method in ["GET", "PUT", "HEAD"] {
        for credentials in [&[][..], &[STRANGER]] {
            let existing = call(&router, method, "/v1/repos/closed", credentials, "").await;
            for absent in ["/v1/repos/absent", "/v1/repos/NOT%20A%00KEY"] {
                let absent = call(&router, method, absent, credentials, "").await;
                assert_eq!(existing.without_ids(), absent.without_ids(), "{method}");
            }
            assert_eq!(existing.status, if credentials.is_empty() { 401 } else { 404 });
        }
    }
}

#[tokio::test]
async fn a_handler_runs_only_with_the_proof_it_asks_for() {
    let router = router(HttpLimits::default());
    for (method, path, credentials, expected) in [
        ("GET", "/v1/repos/open", None, 200),
        ("PUT", "/v1/repos/open", None, 401),
        ("GET", "/v1/repos/closed", Some(READER), 200),
        ("PUT", "/v1/repos/closed", Some(READER), 403),
        ("PUT", "/v1/repos/closed", Some(ADMIN), 201),
        ("GET", "/v1/repos/absent", Some(ADMIN), 404),
        ("POST", "/operate", None, 401),
        ("POST", "/operate", Some(READER), 403),
        ("POST", "/operate", Some(ADMIN), 204),
        ("GET", "/fails", None, 401),
        ("GET", "/tagged", Some(("authorization", "Bearer nonsense")), 401),
    ] {
        let credentials: Vec<_> = credentials.into_iter().collect();
        assert_eq!(call(&router, method, path, &credentials, "").await.status, expected, "{method} {path} {credentials:?}");
    }
}

#[tokio::test]
async fn every_answer_has_its_own_request_id_and_the_body_of_a_refusal_repeats_it() {
    let router = router(HttpLimits::default());
    let refused = call(&router, "GET", "/nowhere", &[], "").await;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (404, Some("not_found")));
    assert_eq!(refused.json()["requestId"], refused.headers["x-request-id"].to_str().unwrap());
    assert_eq!(refused.headers["cache-control"], "no-store");
    let other = call(&router, "GET", "/v1/repos/open", &[], "").await;
    assert_ne!(other.headers["x-request-id"], refused.headers["x-request-id"]);
    assert_eq!(other.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn a_wrong_verb_is_405_with_those_that_work() {
    let router = router(HttpLimits::default());
    let seen = call(&router, "DELETE", "/v1/repos/open", &[], "").await;
    assert_eq!((seen.status, seen.headers["allow"].to_str().unwrap()), (405, "GET, HEAD, PUT"));
    assert_eq!(call(&router, "OPTIONS", "/v1/echo", &[], "").await.headers["allow"], "POST");
    assert_eq!(call(&router, "HEAD", "/v1/echo", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_head_has_the_headers_of_the_get_and_no_body() {
    let router = router(HttpLimits::default());
    for path in ["/v1/repos/open", "/v1/repos/closed", "/nowhere", "/tagged"] {
        let (get, head) = (call(&router, "GET", path, &[], "").await, call(&router, "HEAD", path, &[], "").await);
        assert_eq!((get.without_ids().0, get.without_ids().1), (head.without_ids().0, head.without_ids().1));
        assert_eq!(head.headers["content-length"].to_str().unwrap(), get.body.len().to_string());
        assert_eq!(head.body, "");
    }
}

#[tokio::test]
async fn a_known_tag_is_304_without_a_body() {
    let router = router(HttpLimits::default());
    assert_eq!(call(&router, "GET", "/tagged", &[], "").await.body, "content");
    let seen = call(&router, "GET", "/tagged", &[("if-none-match", "\"v1\"")], "").await;
    assert_eq!((seen.status, seen.body.as_str(), seen.headers["etag"].to_str().unwrap()), (304, "", "\"v1\""));
    assert_eq!(seen.headers["cache-control"], "private, no-cache");
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_the_next_request_is_answered() {
    let router = router(HttpLimits::default());
    for (path, credentials) in [("/panics", &[][..]), ("/fails", &[ADMIN])] {
        let seen = call(&router, "GET", path, credentials, "").await;
        assert_eq!((seen.status, seen.json()["error"].as_str()), (500, Some("internal")));
        assert!(!seen.body.contains("secret"), "{}", seen.body);
    }
    assert_eq!(call(&router, "GET", "/v1/repos/open", &[], "").await.status, 200);
}

#[tokio::test]
async fn bodies_and_queries_are_refused_by_name() {
    let router = router(HttpLimits { json_limit_bytes: 30, ..HttpLimits::default() });
    assert_eq!(call(&router, "POST", "/v1/echo", &[], r#"{"word":"a"}"#).await.body, r#"{"word":"a"}"#);
    assert!(
        call(&router, "POST", "/v1/echo", &[], r#"{"wrd":"a"}"#).await.json()["message"].as_str().unwrap().contains("unknown member `wrd`")
    );
    let large = call(&router, "POST", "/v1/echo", &[], r#"{"word":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#).await;
    assert_eq!((large.status, large.json()["limit"].as_u64()), (413, Some(30)));
    assert_eq!(call(&router, "GET", "/v1/find?word=b%20c", &[], "").await.body, r#"{"word":"b c"}"#);
    assert!(
        call(&router, "GET", "/v1/find?word=b&x=1", &[], "").await.json()["message"].as_str().unwrap().contains("unknown parameter `x`")
    );
}

#[tokio::test]
async fn the_rest_of_a_path_is_taken_literally() {
    let router = router(HttpLimits::default());
    let host = [("host", "localhost:8466")];
    for (path, expected) in [("/files/a//b/../c", "a//b/../c"), ("/files/a%2Fb", "a/b"), ("/files/%2e%2e/x", "../x")] {
        assert_eq!(call(&router, "GET", path, &host, "").await.body, format!("{expected}|http://localhost:8466"));
    }
    assert_eq!(call(&router, "GET", "/files/a%00b", &host, "").await.status, 400);
    assert_eq!(call(&router, "GET", "//files/a", &host, "").await.status, 404);
    assert_eq!(call(&router, "GET", "/files/", &host, "").await.status, 404);
}

#[tokio::test]
async fn a_dialect_words_every_refusal_of_its_group() {
    let router = router(HttpLimits::default());
    for (method, path, body) in [("GET", "/shout/closed", "UNAUTHORIZED"), ("PUT", "/shout/open", "METHOD_NOT_ALLOWED")] {
        let seen = call(&router, method, path, &[], "").await;
        assert_eq!((seen.body.as_str(), seen.reason.as_deref()), (body, Some("held for review")));
        assert_eq!(seen.headers["cache-control"], "no-store");
    }
    assert!(call(&router, "GET", "/shout/closed", &[], "").await.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_page_of_another_site_cannot_change_anything() {
    let router = router(HttpLimits::default());
    assert_eq!(call(&router, "POST", "/operate", &[ADMIN, ("sec-fetch-site", "cross-site")], "").await.status, 403);
    assert_eq!(call(&router, "POST", "/operate", &[ADMIN, ("sec-fetch-site", "same-origin")], "").await.status, 204);
    assert_eq!(call(&router, "GET", "/tagged", &[("sec-fetch-site", "cross-site")], "").await.status, 200);
}

#[tokio::test]
async fn every_request_is_reported_once_without_its_query_also_when_the_client_leaves() {
    let router = router(HttpLimits::default());
    call(&router, "GET", "/v1/find?word=secret", &[ADMIN], "").await;
    call(&router, "GET", "/nowhere/secret", &[], "").await;
    let left = tokio::time::timeout(std::time::Duration::from_millis(10), call(&router, "GET", "/waits", &[], "")).await;
    assert!(left.is_err());
    assert_eq!(*router.app().served.lock().unwrap(), ["GET /v1/find 200 alice", "GET - 404 ", "GET /waits 0 anonymous"]);
}

#[test]
fn a_faulty_table_is_refused_with_every_fault() {
    async fn write(_app: Arc<App>, _permit: Permit<Write>, _request: Request) -> Result<Reply> {
        Ok(Reply::no_content())
    }
    let routes = table().put("/x/{name}", "/x/a", write).get("/tagged", "/tagged", tagged).get("/y", "/elsewhere", tagged).get(
        "/z/{a}{b}",
        "/z/1",
        tagged,
    );
    let app = Arc::clone(router(HttpLimits::default()).app());
    let cause = Router::new(app, routes).unwrap_err().cause().unwrap().to_string();
    for part in [
        "PUT /x/{name} (write): its handler takes",
        "GET /tagged (anyone): there are two",
        "GET /y (anyone): its example /elsewhere",
        "/z/{a}{b}: ",
    ] {
        assert!(cause.contains(part), "{part} in {cause}");
    }
}

#[test]
fn a_handler_can_lend_its_request_across_an_await() {
    fn shared<T: Send + Sync>() {}
    shared::<Request>();
    assert_eq!(Roles::NONE, Roles::default());
}
