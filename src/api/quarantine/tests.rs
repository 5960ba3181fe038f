//! The flows of review through the routes, in process. Invariant: every test ends on a database whose own check finds nothing.

use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::*;
use crate::blobs::Blobs;
use crate::clock::FixedClock;
use crate::config::Config;
use crate::domain::access::{Operator, Scope, Write};
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::repo::{RepoKind, RepoSettings};
use crate::http::{Application, Router};
use crate::policy::CedarEngine;
use crate::registry::{Admitted, Deposit};
use crate::store::{NewEntry, Store, StoreOptions};

/// A policy that holds whatever is called `held…` and denies whatever is called `denied…`.
pub(in crate::api) const POLICY: &str = "
@id(\"look\") @decision(\"quarantine\") @message(\"look at it first\")
forbid (principal, action, resource) when { context.package.name like \"held*\" };
@id(\"never\") @message(\"not here\")
forbid (principal, action, resource) when { context.package.name like \"denied*\" };";

/// An instance in a temporary directory with the repos `main` and `dual`, the latter under dual control.
pub(in crate::api) struct Instance {
    directory: tempfile::TempDir,
    pub(in crate::api) clock: Arc<FixedClock>,
    pub(in crate::api) app: Arc<App>,
    pub(in crate::api) store: Arc<Store>,
    router: Router<App>,
    pub(in crate::api) admin: String,
}

pub(in crate::api) struct Answer {
    pub(in crate::api) status: u16,
    pub(in crate::api) headers: crate::http::HeaderMap,
    pub(in crate::api) text: String,
}

impl Answer {
    pub(in crate::api) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

impl Instance {
    pub(in crate::api) async fn start() -> Instance {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Time::from_unix_ms(1_800_000_000_000)));
        let store = Arc::new(Store::open(&StoreOptions::at(directory.path()), clock.clone()).unwrap());
        let blobs = Blobs::open_dir(directory.path()).unwrap();
        let first = crate::access::bootstrap(&store, directory.path(), None, false).await.unwrap().unwrap();
        let mut config = Config::in_directory(directory.path());
        // What is tested is not speed, and the machine may be busy.
        config.policy.evaluation_timeout_ms = 60_000;
        let app = Arc::new(App::new(config, clock.clone(), &store, &blobs, Arc::new(CedarEngine::new().unwrap())));
        let router = Router::new(Arc::clone(&app), crate::api::routes()).unwrap();
        let instance = Instance { directory, clock, app, store, router, admin: first.secret.reveal().to_owned() };
        let operator = Operator::new(instance.caller(&instance.admin).await).unwrap();
        let settings = RepoSettings { require_dual_control: true, ..RepoSettings::default() };
        instance.app.registry.create_repo(&operator, "dual".parse().unwrap(), RepoKind::Local, settings).await.unwrap();
        let stored = instance.call("PUT", "/v1/policy", &instance.admin, POLICY).await;
        assert_eq!(stored.status, 200, "{}", stored.text);
        instance
    }

    async fn caller(&self, token: &str) -> crate::domain::access::Caller {
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        self.app.authenticate(Some(&header), crate::domain::id::RequestId::new(uuid::Uuid::nil())).await.unwrap()
    }

    /// A token of `subject` with these scopes.
    pub(in crate::api) async fn token(&self, subject: &str, scopes: &[&str]) -> String {
        let signed = Signed::new(self.caller(&self.admin).await).unwrap();
        let scopes: Vec<Scope> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let request = crate::access::TokenRequest { subject: subject.parse().unwrap(), scopes: Some(scopes), expires_at: None, note: None };
        self.app.tokens.issue(&signed, request).await.unwrap().secret.reveal().to_owned()
    }

    pub(in crate::api) async fn call(&self, method: &str, path: &str, token: &str, body: impl ToString) -> Answer {
        let mut builder = ::http::Request::builder().method(method).uri(path);
        if !token.is_empty() {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::new(bytes::Bytes::from(body.to_string()));
        let (parts, body) = self.router.handle(builder.body(body).unwrap()).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(in crate::api) async fn get(&self, path: &str, token: &str) -> Value {
        let answer = self.call("GET", path, token, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// Publishes `name` 1.0 with one file of these bytes.
    pub(in crate::api) async fn publish(&self, repo: &str, name: &str, token: &str, content: &'static str) -> Result<Admitted> {
        let repo = self.app.find_repo(&repo.parse().unwrap()).await.unwrap().unwrap();
        let permit: Permit<Write> = self.caller(token).await.permit(&repo).unwrap();
        let digest = Digest::of(content.as_bytes());
        let source = futures_util::stream::iter([Ok(bytes::Bytes::from_static(content.as_bytes()))]);
        let (digest, size_bytes) = self.app.registry.put_blob(&permit, digest, source).await.unwrap();
        let entry = NewEntry {
            path: "dir/the file.txt".parse().unwrap(),
            digest,
            size_bytes,
            media_type: Some("text/html".to_owned()),
            sha1: None,
        };
        let coordinates = Coordinates::new(PackageName::new(PackageType::generic(), "", name).unwrap(), "1.0").unwrap();
        self.app.registry.deposit(&permit, Deposit { coordinates, entries: vec![entry], manifest: None, tags: Vec::new() }).await
    }

    /// Publishes something that the policy holds: its version and its hold.
    pub(in crate::api) async fn hold(&self, repo: &str, name: &str, token: &str) -> (VersionId, QuarantineId) {
        match self.publish(repo, name, token, "held bytes").await.unwrap() {
            Admitted::Quarantined { version_id, quarantine_id, .. } => (version_id, quarantine_id),
            other @ (Admitted::Published { .. } | Admitted::AlreadyPublished { .. }) => panic!("not held: {other:?}"),
        }
    }

    pub(in crate::api) fn end(self) {
        let report = crate::store::check(self.directory.path()).unwrap();
        assert_eq!(report.faults, Vec::<String>::new());
    }
}

const REVIEW_ALL: &[&str] = &["repo:*:promote"];

#[tokio::test]
async fn a_release_publishes_what_was_held_and_a_second_resolution_says_who_was_first() {
    let instance = Instance::start().await;
    let reviewer = instance.token("rae", REVIEW_ALL).await;
    let (_, id) = instance.hold("main", "held-one", &instance.admin).await;
    let at = format!("/v1/repos/main/quarantine/{id}");
    let listed = instance.get("/v1/repos/main/quarantine?status=quarantined", &reviewer).await;
    assert_eq!(listed["items"][0]["quarantineId"], json!(id));
    assert_eq!((&listed["items"][0]["packageName"], &listed["items"][0]["heldFrom"]), (&json!("held-one"), &json!("publish")));
    let item = instance.get(&at, &reviewer).await;
    assert_eq!((&item["reasons"][0]["rule"], &item["entries"][0]["relativePath"]), (&json!("look"), &json!("dir/the file.txt")));
    assert_eq!((&item["evaluation"]["decision"], &item["evaluation"]["quarantined"]), (&json!("quarantine"), &json!(true)));

    instance.clock.advance_ms(1000);
    let released = instance.call("POST", &format!("{at}/release"), &reviewer, r#"{"comment":"looks good"}"#).await;
    assert_eq!(released.status, 200, "{}", released.text);
    let released = released.json();
    assert_eq!(
        (&released["status"], &released["resolvedBySubject"], &released["comment"]),
        (&json!("released"), &json!("rae"), &json!("looks good"))
    );
    assert_eq!(
        released["votes"],
        json!([{"subject": "rae", "vote": "release", "comment": "looks good", "at": "2027-01-15T08:00:01.000Z"}])
    );
    for verb in ["release", "reject"] {
        let again = instance.call("POST", &format!("{at}/{verb}"), &instance.admin, "").await;
        assert_eq!(
            (again.status, &again.json()["error"], &again.json()["resolvedBySubject"]),
            (409, &json!("quarantine_resolved"), &json!("rae"))
        );
        assert_eq!((&again.json()["status"], &again.json()["resolvedAt"]), (&json!("released"), &json!("2027-01-15T08:00:01.000Z")));
    }
    let again = instance.publish("main", "held-one", &instance.admin, "held bytes").await;
    assert!(again.is_err(), "a published coordinate is spent");
    let found = instance.get("/v1/search?q=held-one", &reviewer).await;
    assert_eq!((&found["totalCount"], &found["items"][0]["packageName"]), (&json!(1), &json!("held-one")));
    instance.end();
}

#[tokio::test]
async fn only_who_may_promote_reviews_and_what_is_strange_is_refused() {
    let instance = Instance::start().await;
    let (_, id) = instance.hold("main", "held-one", &instance.admin).await;
    let writer = instance.token("wim", &["repo:main:write"]).await;
    let elsewhere = instance.token("else", &["repo:dual:promote"]).await;
    let at = format!("/v1/repos/main/quarantine/{id}");
    let list = "/v1/repos/main/quarantine";
    for (method, path) in [
        ("GET", list.to_owned()),
        ("GET", at.clone()),
        ("GET", format!("{at}/files/dir/the%20file.txt")),
        ("POST", format!("{at}/release")),
        ("POST", format!("{at}/reject")),
    ] {
        assert_eq!(instance.call(method, &path, "", "").await.status, 401, "{path}");
        assert_eq!(instance.call(method, &path, &writer, "").await.status, 403, "{path}");
        assert_eq!(instance.call(method, &path, &elsewhere, "").await.status, 404, "{path}");
    }
    assert_eq!(instance.call("GET", "/v1/quarantine", "", "").await.status, 401);
    assert_eq!(instance.call("GET", "/v1/quarantine", &writer, "").await.status, 403);
    assert_eq!(instance.get("/v1/quarantine", &elsewhere).await["items"], json!([]));
    for (path, body) in [
        (format!("{list}?status=open"), ""),
        (format!("{list}?state=released"), ""),
        (format!("{list}?limit=0"), ""),
        (format!("{list}?cursor=x"), ""),
    ] {
        assert_eq!(instance.call("GET", &path, &instance.admin, body).await.status, 400, "{path}");
    }
    for body in ["{\"reason\":\"x\"}", "[]", "{\"comment\":\"\"}", "{\"comment\":\"a\\u0000b\"}"] {
        assert_eq!(instance.call("POST", &format!("{at}/release"), &instance.admin, body).await.status, 400, "{body}");
    }
    assert_eq!(instance.get(&at, &instance.admin).await["votes"], json!([]), "a refused vote is none");
    instance.end();
}

#[tokio::test]
async fn dual_control_takes_two_others_and_one_rejection() {
    let instance = Instance::start().await;
    let uploader = instance.token("una", &["repo:dual:write", "repo:dual:promote"]).await;
    let (rae, rob) = (instance.token("rae", REVIEW_ALL).await, instance.token("rob", REVIEW_ALL).await);
    let rae_again = instance.token("rae", REVIEW_ALL).await;
    let (_, first) = instance.hold("dual", "held-one", &uploader).await;
    let release = format!("/v1/repos/dual/quarantine/{first}/release");
    assert_eq!(instance.call("POST", &release, &uploader, "").await.status, 403);
    let voted = instance.call("POST", &release, &rae, "{}").await;
    assert_eq!((voted.status, &voted.json()["status"]), (200, &json!("quarantined")));
    assert_eq!(
        instance.call("POST", &release, &rae_again, "").await.json()["error"],
        "conflict",
        "one subject, one vote, whatever the token"
    );
    let settled = instance.call("POST", &release, &rob, "").await.json();
    assert_eq!((&settled["status"], settled["votes"].as_array().unwrap().len()), (&json!("released"), 2));

    let (_, second) = instance.hold("dual", "held-two", &uploader).await;
    let at = format!("/v1/repos/dual/quarantine/{second}");
    assert_eq!(instance.call("POST", &format!("{at}/release"), &rae, "").await.status, 200);
    let rejected = instance.call("POST", &format!("{at}/reject"), &rae, r#"{"comment":"I looked again"}"#).await;
    assert_eq!((rejected.status, &rejected.json()["status"]), (200, &json!("rejected")), "{}", rejected.text);
    assert_eq!(rejected.json()["votes"].as_array().unwrap().len(), 2, "both votes are kept");
    assert_eq!(instance.call("POST", &format!("{at}/release"), &rob, "").await.json()["error"], "quarantine_resolved");
    instance.end();
}

#[tokio::test]
async fn who_put_files_into_a_draft_does_not_release_it_under_dual_control() {
    let instance = Instance::start().await;
    let una = instance.token("una", &["repo:dual:write"]).await;
    let both = instance.token("bo", &["repo:dual:write", "repo:dual:promote"]).await;
    let repo = instance.app.find_repo(&"dual".parse().unwrap()).await.unwrap().unwrap();
    let permit: Permit<Write> = instance.caller(&una).await.permit(&repo).unwrap();
    let helper: Permit<Write> = instance.caller(&both).await.permit(&repo).unwrap();
    let coordinates = Coordinates::new(PackageName::new(PackageType::generic(), "", "held-draft").unwrap(), "1.0").unwrap();
    let (draft, _) = instance.app.registry.draft(&permit, coordinates).await.unwrap();
    let source = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"smuggled"))]);
    let (digest, size_bytes) = instance.app.registry.put_blob(&helper, Digest::of(b"smuggled"), source).await.unwrap();
    let entry = NewEntry { path: "a".parse().unwrap(), digest, size_bytes, media_type: None, sha1: None };
    instance.app.registry.put_entries(&helper, draft.id, vec![entry]).await.unwrap();
    let Admitted::Quarantined { quarantine_id, .. } = instance.app.registry.publish(&permit, draft.id, None).await.unwrap() else {
        panic!("not held")
    };
    let release = format!("/v1/repos/dual/quarantine/{quarantine_id}/release");
    assert_eq!(instance.call("POST", &release, &both, "").await.status, 403);
    instance.end();
}

#[tokio::test]
async fn who_uploaded_the_original_does_not_release_its_copy_however_far_it_was_promoted() {
    let instance = Instance::start().await;
    let una = instance.token("una", &["repo:*:write", "repo:*:promote"]).await;
    let pia = instance.token("pia", &["repo:*:write", "repo:*:promote"]).await;
    let rae = instance.token("rae", REVIEW_ALL).await;
    assert_eq!(instance.call("POST", "/v1/repos", &instance.admin, r#"{"repoKey":"between"}"#).await.status, 201);
    let Admitted::Published { version_id, .. } = instance.publish("main", "fine", &una, "fine bytes").await.unwrap() else {
        panic!("held")
    };
    let mut at = format!("/v1/repos/main/packages/versions/{version_id}");
    for target in ["between", "dual"] {
        let promoted = instance.call("POST", &format!("{at}/promote"), &pia, json!({"targetRepo": target})).await;
        assert_eq!(promoted.status, 200, "{}", promoted.text);
        at = format!("/v1/repos/{target}/packages/versions/{}", promoted.json()["versionId"].as_str().unwrap());
    }
    let hold = at.replace("packages/versions", "versions") + "/quarantine";
    let held = instance.call("POST", &hold, &rae, r#"{"reason":"a report from outside"}"#).await.json();
    let release = format!("/v1/repos/dual/quarantine/{}/release", held["quarantineId"].as_str().unwrap());
    for (token, status) in [(&una, 403), (&pia, 403), (&rae, 200)] {
        assert_eq!(instance.call("POST", &release, token, "").await.status, status);
    }
    instance.end();
}

#[tokio::test]
async fn held_bytes_are_an_attachment_and_the_look_is_audited() {
    let instance = Instance::start().await;
    let reviewer = instance.token("rae", REVIEW_ALL).await;
    let (version, id) = instance.hold("main", "held-one", &instance.admin).await;
    let at = format!("/v1/repos/main/quarantine/{id}/files");
    let file = instance.call("GET", &format!("{at}/dir/the%20file.txt"), &reviewer, "").await;
    assert_eq!((file.status, file.text.as_str()), (200, "held bytes"));
    assert_eq!(file.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"the_file.txt\"; filename*=UTF-8''the%20file.txt");
    assert_eq!(file.headers[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(
        (&file.headers[header::CACHE_CONTROL], &file.headers[header::X_CONTENT_TYPE_OPTIONS]),
        (&HeaderValue::from_static("no-store"), &HeaderValue::from_static("nosniff"))
    );
    assert_eq!(instance.call("GET", &format!("{at}/other"), &reviewer, "").await.status, 404);
    assert_eq!(instance.call("GET", &format!("{at}/..%2Fx"), &reviewer, "").await.status, 400);
    let audit = instance.get(&format!("/v1/audit?action=quarantine.inspected&actor=rae&resource={version}"), &instance.admin).await;
    assert_eq!((audit["items"].as_array().unwrap().len(), &audit["items"][0]["details"]["path"]), (1, &json!("dir/the file.txt")));
    instance.end();
}

#[tokio::test]
async fn a_hold_by_hand_takes_a_version_out_of_view_and_a_release_brings_it_back() {
    let instance = Instance::start().await;
    let Admitted::Published { version_id, .. } = instance.publish("main", "fine", &instance.admin, "fine bytes").await.unwrap() else {
        panic!("held")
    };
    let hold = format!("/v1/repos/main/versions/{version_id}/quarantine");
    assert_eq!(instance.call("POST", &hold, &instance.admin, "").await.status, 400);
    let held = instance.call("POST", &hold, &instance.admin, r#"{"reason":"a report from outside"}"#).await;
    assert_eq!(held.status, 201, "{}", held.text);
    let item = held.json();
    assert_eq!(
        (&item["heldFrom"], &item["reasons"][0]["rule"], &item["evaluationId"]),
        (&json!("published"), &json!("manual"), &Value::Null)
    );
    let at = held.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(instance.get(at, &instance.admin).await["quarantineId"], item["quarantineId"]);
    assert_eq!(instance.get("/v1/search?q=fine", &instance.admin).await["totalCount"], 0);
    assert_eq!(instance.call("POST", &hold, &instance.admin, r#"{"reason":"again"}"#).await.status, 409);
    assert_eq!(instance.call("POST", &format!("{at}/release"), &instance.admin, "").await.status, 200);
    assert_eq!(instance.get("/v1/search?q=fine", &instance.admin).await["totalCount"], 1);
    instance.end();
}

#[tokio::test]
async fn the_list_over_all_repos_pages_through_each_item_once_and_filters_exactly() {
    let instance = Instance::start().await;
    let mut all = Vec::new();
    for round in 0..3 {
        for repo in ["main", "dual"] {
            instance.clock.advance_ms(round % 2);
            let (_, id) = instance.hold(repo, &format!("held-{round}"), &instance.admin).await;
            all.push((repo, id));
        }
    }
    let reviewer = instance.token("rae", REVIEW_ALL).await;
    assert_eq!(instance.call("POST", &format!("/v1/repos/main/quarantine/{}/reject", all[0].1), &reviewer, "").await.status, 200);
    let collect = async |path: &str, token: &str| {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = instance.get(&format!("{path}limit=2{cursor}"), token).await;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["quarantineId"].as_str().unwrap().to_owned()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return seen,
            }
        }
    };
    let newest_first = |pick: &dyn Fn(&(&str, QuarantineId)) -> bool| {
        all.iter().rev().filter(|item| pick(item)).map(|item| item.1.to_string()).collect::<Vec<_>>()
    };
    let main_only = instance.token("max", &["repo:main:promote"]).await;
    assert_eq!(collect("/v1/quarantine?", &reviewer).await, newest_first(&|_| true));
    assert_eq!(collect("/v1/quarantine?", &main_only).await, newest_first(&|item| item.0 == "main"));
    assert_eq!(collect("/v1/quarantine?status=quarantined&", &reviewer).await, newest_first(&|item| item.1 != all[0].1));
    assert_eq!(collect("/v1/quarantine?status=rejected&", &reviewer).await, newest_first(&|item| item.1 == all[0].1));
    assert_eq!(collect("/v1/repos/dual/quarantine?", &reviewer).await, newest_first(&|item| item.0 == "dual"));
    instance.end();
}
