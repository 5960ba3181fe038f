//! `/v1/repos`: repos, their settings, who may do what in them. Invariant: a repo that the caller may not read is not listed,
//! and is refused like one that does not exist.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery, cut_page};
use crate::app::App;
use crate::domain::access::{Admin, Caller, Operator, Permit, Read, Role, Roles};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::repo::{Repo, RepoChange, RepoKind, RepoSettings};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes, header};

/// The longest retention of a tombstone, in days.
pub(super) const RETENTION_LIMIT_DAYS: u32 = 36_500;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/repos", "/v1/repos", list)
        .post("/v1/repos", "/v1/repos", create)
        .get("/v1/repos/{repoKey}", "/v1/repos/main", show)
        .patch("/v1/repos/{repoKey}", "/v1/repos/main", change)
        .delete("/v1/repos/{repoKey}", "/v1/repos/main", delete)
        .get("/v1/repos/{repoKey}/bindings", "/v1/repos/main/bindings", list_bindings)
        .put("/v1/repos/{repoKey}/bindings/{subject}", "/v1/repos/main/bindings/alice", set_binding)
        .delete("/v1/repos/{repoKey}/bindings/{subject}", "/v1/repos/main/bindings/alice", remove_binding)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepoBody {
    repo_key: RepoKey,
    kind: RepoKind,
    anonymous_read: bool,
    require_dual_control: bool,
    retention_days: u32,
    created_at: Time,
    updated_at: Time,
    /// The caller's own roles here.
    roles: Vec<Role>,
}

impl RepoBody {
    fn new(repo: &Repo, roles: Roles) -> RepoBody {
        RepoBody {
            repo_key: repo.key.clone(),
            kind: repo.kind,
            anonymous_read: repo.settings.anonymous_read,
            require_dual_control: repo.settings.require_dual_control,
            retention_days: repo.settings.retention_days,
            created_at: repo.created_at,
            updated_at: repo.updated_at,
            roles: roles.iter().collect(),
        }
    }
}

async fn list(app: Arc<App>, caller: Caller, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let permits = app.run(move |app| app.registry.readable_repos(&caller)).await?;
    let after = query.cursor.unwrap_or_default();
    let rest = permits.into_iter().filter(|permit| permit.repo_key().as_str() > after.as_str());
    let page = cut_page(rest, limit, |permit| permit.repo_key().to_string());
    Reply::ok(&PageBody::of(page, |permit| RepoBody::new(permit.repo(), permit.roles())))
}

async fn show(_app: Arc<App>, permit: Permit<Read>, _request: Request) -> Result<Reply> {
    Reply::ok(&RepoBody::new(permit.repo(), permit.roles()))
}

/// The settings of a repo, all of them optional.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangeRequest {
    anonymous_read: Option<bool>,
    require_dual_control: Option<bool>,
    retention_days: Option<u32>,
    upstreams: Option<IgnoredAny>,
    members: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateRequest {
    repo_key: RepoKey,
    kind: Option<RepoKind>,
    anonymous_read: Option<bool>,
    require_dual_control: Option<bool>,
    retention_days: Option<u32>,
    upstreams: Option<IgnoredAny>,
    members: Option<IgnoredAny>,
}

impl ChangeRequest {
    fn checked(self) -> Result<RepoChange> {
        for (member, given, kind) in [("upstreams", self.upstreams.is_some(), "remote"), ("members", self.members.is_some(), "virtual")] {
            if given {
                return Err(Error::bad_request(format!(
                    "{member} belongs to {kind} repos, which this version does not serve; leave it out"
                )));
            }
        }
        if self.retention_days.is_some_and(|days| days > RETENTION_LIMIT_DAYS) {
            return Err(Error::bad_request(format!("retentionDays must be 0 to {RETENTION_LIMIT_DAYS}")));
        }
        Ok(RepoChange {
            anonymous_read: self.anonymous_read,
            require_dual_control: self.require_dual_control,
            retention_days: self.retention_days,
        })
    }
}

async fn create(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let CreateRequest { repo_key, kind, anonymous_read, require_dual_control, retention_days, upstreams, members } = request.json().await?;
    let kind = kind.unwrap_or(RepoKind::Local);
    let asked = ChangeRequest { anonymous_read, require_dual_control, retention_days, upstreams, members }.checked()?;
    let usual = RepoSettings::default();
    let settings = RepoSettings {
        anonymous_read: asked.anonymous_read.unwrap_or(usual.anonymous_read),
        require_dual_control: asked.require_dual_control.unwrap_or(usual.require_dual_control),
        retention_days: asked.retention_days.unwrap_or(usual.retention_days),
    };
    let repo = app.registry.create_repo(&operator, repo_key, kind, settings).await?;
    let roles = operator.caller().roles_on(&repo);
    Reply::created(&RepoBody::new(&repo, roles))?.with_text(header::LOCATION, &format!("/v1/repos/{}", repo.key))
}

async fn change(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let change = request.json::<ChangeRequest>().await?.checked()?;
    if change == RepoChange::default() {
        return Err(Error::bad_request("name at least one of anonymousRead, requireDualControl, retentionDays"));
    }
    let repo = app.registry.update_repo(&permit, change).await?;
    Reply::ok(&RepoBody::new(&repo, permit.roles()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteQuery {
    #[serde(default)]
    force: bool,
}

async fn delete(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let DeleteQuery { force } = request.query()?;
    if force {
        app.registry.empty_and_delete_repo(&permit).await?;
    } else {
        app.registry.delete_repo(&permit).await?;
    }
    Ok(Reply::no_content())
}

#[derive(Serialize)]
struct BindingBody {
    subject: Subject,
    roles: Vec<Role>,
}

async fn list_bindings(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.bindings(&permit, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, |(subject, roles)| BindingBody { subject, roles: roles.iter().collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingRequest {
    roles: Vec<Role>,
}

async fn set_binding(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let subject: Subject = request.param_as("subject")?;
    let BindingRequest { roles } = request.json().await?;
    if roles.is_empty() {
        return Err(Error::bad_request("roles must name at least one role; DELETE the binding to take all away"));
    }
    let roles: Roles = roles.into_iter().collect();
    app.registry.set_binding(&permit, subject.clone(), roles).await?;
    Reply::ok(&BindingBody { subject, roles: roles.iter().collect() })
}

async fn remove_binding(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    app.registry.remove_binding(&permit, request.param_as("subject")?).await?;
    Ok(Reply::no_content())
}

#[cfg(test)]
mod tests {
    use super::super::quarantine::tests::Instance;

    #[tokio::test]
    async fn a_scope_ends_with_its_repo_and_does_not_open_the_next_of_that_key() {
        let instance = Instance::start().await;
        let create =
            async |key: &str| instance.call("POST", "/v1/repos", &instance.admin, format!("{{\"repoKey\":\"{key}\"}}")).await.status;
        assert_eq!((create("team").await, create("team-2").await), (201, 201));
        let token = instance.token("robot", &["repo:team:write", "repo:team-2:read"]).await;
        let status = async |path: &str| instance.call("GET", path, &token, "").await.status;
        assert_eq!(status("/v1/repos/team").await, 200);
        assert_eq!(instance.call("DELETE", "/v1/repos/team", &instance.admin, "").await.status, 204);
        assert_eq!(create("team").await, 201);
        assert_eq!((status("/v1/repos/team").await, status("/v1/repos/team-2").await), (404, 200));
        assert_eq!(instance.get("/v1/auth/whoami", &token).await["scopes"], serde_json::json!(["repo:team-2:read"]));
        instance.end();
    }
}
