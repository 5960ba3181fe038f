//! Policies over HTTP. Invariant: the body of a request is the policy text itself, or JSON with the text and its cases, bounded and
//! UTF-8; a text with faults, or one that fails its cases, is refused with all of them and changes nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Admin, Operator, Permit, Signed};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes, header};
use crate::policy::{CASES_LIMIT_BYTES, Rule, TEXT_LIMIT_BYTES};
use crate::registry::{ListedRevision, OfferedPolicy, StoredPolicy};

/// Both texts as JSON, in which a line break takes two bytes.
const OFFERED_LIMIT_BYTES: u64 = 2 * (TEXT_LIMIT_BYTES + CASES_LIMIT_BYTES) as u64;

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
    /// How many cases were tried just now, all with success.
    #[serde(skip_serializing_if = "Option::is_none")]
    cases_passed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<String>,
}

impl PolicyBody {
    /// A policy without its text, for whoever has just sent that.
    fn stored(policy: StoredPolicy) -> PolicyBody {
        PolicyBody { text: None, cases: None, ..PolicyBody::whole(policy) }
    }

    fn whole(StoredPolicy { revision, rules, case_count }: StoredPolicy) -> PolicyBody {
        PolicyBody {
            repo_key: revision.repo,
            policy_digest: revision.digest,
            revision: revision.revision,
            rules,
            created_at: revision.created_at,
            created_by_subject: revision.created_by,
            cases_passed: case_count,
            text: Some(revision.text),
            cases: revision.cases,
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
    cases_passed: usize,
}

/// A policy with its cases, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfferedBody {
    text: String,
    cases: Option<String>,
    expected_revision: Option<u64>,
}

/// JSON when the request says that it is, else the text itself.
async fn offered(request: &mut Request) -> Result<OfferedPolicy> {
    let is_json = request.header_text(header::CONTENT_TYPE).is_some_and(|media| media.trim_start().starts_with("application/json"));
    if is_json {
        let OfferedBody { text, cases, expected_revision } = request.body.read_json(OFFERED_LIMIT_BYTES).await?;
        return Ok(OfferedPolicy { text, cases, expected_revision });
    }
    let bytes = request.body.read_bounded(TEXT_LIMIT_BYTES as u64).await?;
    let text = String::from_utf8(bytes.into()).map_err(|fault| {
        let end = fault.utf8_error().valid_up_to();
        Error::bad_request(format!("the policy is not UTF-8 at byte {end}; send it as UTF-8 text"))
    })?;
    Ok(OfferedPolicy::from(text))
}

fn revision_number(request: &Request) -> Result<u64> {
    let text = request.param("revision")?;
    text.parse().map_err(|_| Error::bad_request("a revision is a whole number: 1, 2, 3, …"))
}

async fn put_of_instance(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let offered = offered(&mut request).await?;
    Reply::ok(&PolicyBody::stored(app.registry.put_instance_policy(&operator, offered).await?))
}

async fn put_of_repo(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let offered = offered(&mut request).await?;
    Reply::ok(&PolicyBody::stored(app.registry.put_repo_policy(&permit, offered).await?))
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
    let OfferedPolicy { text, cases, expected_revision: _ } = offered(&mut request).await?;
    let (document, cases_passed) = app.registry.check_policy(&signed, text, cases).await?;
    Reply::ok(&CheckBody { ok: true, policy_digest: document.digest(), rules: document.rules(), cases_passed })
}
