//! A whole application in a temporary directory, its routes called in process: for the tests of the formats.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::access::{TokenRequest, bootstrap};
use crate::app::App;
use crate::blobs::Blobs;
use crate::clock::FixedClock;
use crate::config::Config;
use crate::domain::access::{Caller, Duty, Permit, Promote, Signed};
use crate::domain::id::RequestId;
use crate::domain::quarantine::{Ballot, QuarantineStatus};
use crate::http::{Application as _, HeaderMap, HeaderValue, Method, Router};
use crate::policy::CedarEngine;
use crate::store::{Store, StoreOptions};

/// Holds every version that is called 2 or begins with 2, and denies 6.6.6.
pub(super) const POLICY: &str = r#"
@id("cooldown") @decision("quarantine") @message("younger than 7 days")
forbid (principal, action, resource) when { context.package.version like "2*" };
@id("beast") @message("the number of the beast")
forbid (principal, action, resource) when { context.package.version == "6.6.6" };
"#;

/// The application with its first administrator.
pub(super) struct TestApp {
    pub(super) router: Arc<Router<App>>,
    /// The administrator's token.
    pub(super) admin: String,
    /// A token that may read `main`.
    pub(super) reader: String,
    directory: tempfile::TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) reason: String,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl TestApp {
    /// An application whose repo `main` anybody may read, with [`POLICY`] in force there.
    pub(super) async fn start() -> TestApp {
        TestApp::start_with(Config::in_directory).await
    }

    /// The same with other settings.
    pub(super) async fn start_with(settings: impl FnOnce(&std::path::Path) -> Config) -> TestApp {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at("2026-11-22T12:00:00Z".parse().unwrap()));
        let store = Arc::new(Store::open(&StoreOptions::at(directory.path()), clock.clone()).unwrap());
        let blobs = Blobs::open_dir(directory.path()).unwrap();
        let admin = bootstrap(&store, directory.path(), None, true).await.unwrap().unwrap().secret.reveal().to_owned();
        let app = App::new(settings(directory.path()), clock, &store, &blobs, Arc::new(CedarEngine::new().unwrap()));
        let router = Arc::new(Router::new(Arc::new(app), super::routes()).unwrap());
        let mut app = TestApp { router, admin, reader: String::new(), directory };
        app.app().registry.put_repo_policy(&app.permit().await, POLICY.to_owned()).await.unwrap();
        app.reader = app.token("repo:main:read").await;
        app
    }

    pub(super) fn app(&self) -> &Arc<App> {
        self.router.app()
    }

    async fn caller(&self) -> Caller {
        let header = HeaderValue::try_from(format!("Bearer {}", self.admin)).unwrap();
        self.app().authenticate(Some(&header), RequestId::new(self.app().clock.uuid())).await.unwrap()
    }

    /// The administrator's permit on `main`.
    pub(super) async fn permit<D: Duty>(&self) -> Permit<D> {
        let repo = self.app().find_repo(&"main".parse().unwrap()).await.unwrap().unwrap();
        self.caller().await.permit(&repo).unwrap()
    }

    /// A new token with one scope.
    pub(super) async fn token(&self, scope: &str) -> String {
        let request = TokenRequest { subject: "somebody".parse().unwrap(), scopes: Some(vec![scope.parse().unwrap()]), expires_at: None, note: None };
        let issued = self.app().tokens.issue(&Signed::new(self.caller().await).unwrap(), request).await.unwrap();
        issued.secret.reveal().to_owned()
    }

    /// Decides everything that is held in `main`.
    pub(super) async fn review(&self, ballot: Ballot) {
        let permit: Permit<Promote> = self.permit().await;
        let (app, asked) = (self.app(), permit.clone());
        let held = app.run(move |app| app.review.list(&[asked], Some(QuarantineStatus::Quarantined), 100, None)).await.unwrap();
        assert!(!held.items.is_empty(), "nothing is held");
        for reviewed in held.items {
            app.review.vote(&permit, reviewed.item.id, ballot, None).await.unwrap();
        }
    }

    /// One request; a token of "" is none.
    pub(super) async fn call(&self, method: Method, uri: &str, token: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = ::http::Request::builder().method(method).uri(uri).header("host", "registry.test");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.handle(request.body(Full::new(body.into())).unwrap()).await;
        let reason = response.extensions().get::<hyper::ext::ReasonPhrase>().map(|phrase| String::from_utf8(phrase.as_bytes().to_vec()).unwrap());
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, reason: reason.unwrap_or_default(), body }
    }

    /// A GET without headers.
    pub(super) async fn get(&self, uri: &str, token: &str) -> Answer {
        self.call(Method::GET, uri, token, &[], Bytes::new()).await
    }

    /// Uploads in progress that nobody cleaned up.
    pub(super) fn staged(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("staging")).unwrap().count()
    }
}

#[tokio::test]
async fn the_routes_of_the_formats_form_a_table() {
    let app = TestApp::start().await;
    assert!(app.router.routes().iter().count() > 10);
}

#[tokio::test]
async fn every_refusal_is_one_problem_that_nobody_stores() {
    let app = TestApp::start().await;
    for (method, uri, token, status) in [
        (Method::GET, "/files/main/none/1.0/a", "", 404),
        (Method::GET, "/pypi/main/simple/none/", "", 404),
        (Method::GET, "/pypi/other/simple/none/", "", 401),
        (Method::POST, "/pypi/main/legacy/", "", 401),
        (Method::POST, "/pypi/main/legacy/", app.reader.as_str(), 403),
        (Method::DELETE, "/pypi/main/simple/", "", 405),
        (Method::GET, "/files/main/a%00b/1.0/a", "", 400),
    ] {
        let answer = app.call(method, uri, token, &[], Bytes::new()).await;
        assert_eq!(answer.status, status, "{uri}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["status"], status);
        assert!(!answer.reason.is_empty());
        assert_eq!(status == 401, answer.header("www-authenticate").starts_with("Basic"), "{uri}");
    }
}
