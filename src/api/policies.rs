//! Policies over HTTP. Invariant: the body of a request is the policy text itself, bounded and UTF-8; a text with faults is
//! refused with all of them and changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Admin, Operator, Permit, Signed};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::policy::{Rule, TEXT_LIMIT_BYTES};
use crate::registry::{ListedRevision, StoredPolicy};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .put("/v1/policy", "/v1/policy", put_of_instance)
        .get("/v1/policy", "/v1/policy", of_instance)
        .get("/v1/policy/versions", "/v1/policy/versions", revisions_of_instance)
        .get("/v1/policy/versions/{revision}", "/v1/policy/versions/1", revision_of_instance)
        .post("/v1/policy/check", "/v1/policy/check", check)
        .put("/v1/repos/{repoKey}/policy", "/v1/repos/main/policy", put_of_repo)
        .get("/v1/repos/{repoKey}/policy", "/v1/repos/main/policy", of_repo)
        .get("/v1/repos/{repoKey}/policy/versions", "/v1/repos/main/policy/versions", revisions_of_repo)
        .get("/v1/repos/{repoKey}/policy/versions/{revision}", "/v1/repos/main/policy/versions/1", revision_of_repo)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    repo_key: Option<RepoKey>,
    policy_digest: Digest,
    revision: u64,
    /// `null` for a text that an older engine took and this one refuses.
    rules: Option<Vec<Rule>>,
    created_at: Time,
    created_by_subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl PolicyBody {
    /// A policy without its text, for whoever has just sent that.
    fn stored(policy: StoredPolicy) -> PolicyBody {
        PolicyBody { text: None, ..PolicyBody::whole(policy) }
    }

    fn whole(StoredPolicy { revision, rules }: StoredPolicy) -> PolicyBody {
        PolicyBody {
            repo_key: revision.repo,
            policy_digest: revision.digest,
            revision: revision.revision,
            rules,
            created_at: revision.created_at,
            created_by_subject: revision.created_by,
            text: Some(revision.text),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevisionBody {
    policy_digest: Digest,
    revision: u64,
    created_at: Time,
    created_by_subject: Subject,
}

impl From<ListedRevision> for RevisionBody {
    fn from(listed: ListedRevision) -> RevisionBody {
        RevisionBody {
            policy_digest: listed.digest,
            revision: listed.revision,
            created_at: listed.created_at,
            created_by_subject: listed.created_by,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckBody<'a> {
    ok: bool,
    policy_digest: Digest,
    rules: &'a [Rule],
}

async fn policy_text(request: &mut Request) -> Result<String> {
    let bytes = request.body.read_bounded(TEXT_LIMIT_BYTES as u64).await?;
    String::from_utf8(bytes.into()).map_err(|fault| {
        let end = fault.utf8_error().valid_up_to();
        Error::bad_request(format!("the policy is not UTF-8 at byte {end}; send it as UTF-8 text"))
    })
}

fn revision_number(request: &Request) -> Result<u64> {
    let text = request.param("revision")?;
    text.parse().map_err(|_| Error::bad_request("a revision is a whole number: 1, 2, 3, …"))
}

async fn put_of_instance(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let text = policy_text(&mut request).await?;
    Reply::ok(&PolicyBody::stored(app.registry.put_instance_policy(&operator, text).await?))
}

async fn put_of_repo(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let text = policy_text(&mut request).await?;
    Reply::ok(&PolicyBody::stored(app.registry.put_repo_policy(&permit, text).await?))
}

async fn of_instance(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    let policy = app.run(move |app| app.registry.instance_policy(&operator, None)).await?;
    Reply::ok(&PolicyBody::whole(policy))
}

async fn of_repo(app: Arc<App>, permit: Permit<Admin>, _request: Request) -> Result<Reply> {
    let policy = app.run(move |app| app.registry.repo_policy(&permit, None)).await?;
    Reply::ok(&PolicyBody::whole(policy))
}

async fn revision_of_instance(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let number = revision_number(&request)?;
    let policy = app.run(move |app| app.registry.instance_policy(&operator, Some(number))).await?;
    Reply::ok(&PolicyBody::whole(policy))
}

async fn revision_of_repo(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let number = revision_number(&request)?;
    let policy = app.run(move |app| app.registry.repo_policy(&permit, Some(number))).await?;
    Reply::ok(&PolicyBody::whole(policy))
}

async fn revisions_of_instance(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.instance_policy_revisions(&operator, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, RevisionBody::from))
}

async fn revisions_of_repo(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.repo_policy_revisions(&permit, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, RevisionBody::from))
}

async fn check(app: Arc<App>, signed: Signed, mut request: Request) -> Result<Reply> {
    let text = policy_text(&mut request).await?;
    let document = app.registry.check_policy(&signed, text).await?;
    Reply::ok(&CheckBody { ok: true, policy_digest: document.digest(), rules: document.rules() })
}
