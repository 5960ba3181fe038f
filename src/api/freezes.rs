//! Freezes over HTTP, of a repo and of the instance by the same handlers. Invariant: the proof a handler takes says whose they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Admin, Operator, Permit};
use crate::domain::freeze::{Freeze, type_or_every, type_text};
use crate::domain::id::FreezeId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::owner::Owner;
use crate::domain::time::Time;
use crate::domain::words::check_words;
use crate::error::Result;
use crate::http::{Reply, Request, Routes, header};
use crate::registry::NewFreeze;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    type Tenant = Permit<Admin>;
    let (of_repo, of_instance) =
        ("/v1/repos/main/freezes/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", "/v1/freezes/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55");
    Routes::new()
        .get("/v1/repos/{repoKey}/freezes", "/v1/repos/main/freezes", list::<Tenant>)
        .post("/v1/repos/{repoKey}/freezes", "/v1/repos/main/freezes", set::<Tenant>)
        .get("/v1/repos/{repoKey}/freezes/{freezeId}", of_repo, show::<Tenant>)
        .delete("/v1/repos/{repoKey}/freezes/{freezeId}", of_repo, lift::<Tenant>)
        .get("/v1/freezes", "/v1/freezes", list::<Operator>)
        .post("/v1/freezes", "/v1/freezes", set::<Operator>)
        .get("/v1/freezes/{freezeId}", of_instance, show::<Operator>)
        .delete("/v1/freezes/{freezeId}", of_instance, lift::<Operator>)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FreezeBody {
    freeze_id: FreezeId,
    /// `null` for one of the instance.
    repo_key: Option<RepoKey>,
    /// `*` for every type.
    package_type: String,
    after: Time,
    reason: String,
    created_at: Time,
    created_by_subject: Subject,
    lifted_at: Option<Time>,
    lifted_by_subject: Option<Subject>,
}

impl From<Freeze> for FreezeBody {
    fn from(freeze: Freeze) -> FreezeBody {
        let (lifted_at, lifted_by_subject) = freeze.lifted.unzip();
        FreezeBody {
            freeze_id: freeze.id,
            repo_key: freeze.repo,
            package_type: type_text(freeze.package_type.as_ref()).to_owned(),
            after: freeze.after,
            reason: freeze.reason,
            created_at: freeze.created_at,
            created_by_subject: freeze.created_by,
            lifted_at,
            lifted_by_subject,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetRequest {
    package_type: String,
    after: String,
    reason: String,
}

async fn list<P: Into<Owner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let owner: Owner = proof.into();
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.freezes(&owner, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, FreezeBody::from))
}

async fn set<P: Into<Owner>>(app: Arc<App>, proof: P, mut request: Request) -> Result<Reply> {
    let owner: Owner = proof.into();
    let asked: SetRequest = request.json().await?;
    check_words("reason", &asked.reason)?;
    let new = NewFreeze { package_type: type_or_every(&asked.package_type)?, after: asked.after.parse()?, reason: asked.reason };
    let freeze = app.registry.set_freeze(&owner, new).await?;
    let location = match &freeze.repo {
        Some(repo) => format!("/v1/repos/{repo}/freezes/{}", freeze.id),
        None => format!("/v1/freezes/{}", freeze.id),
    };
    Reply::created(&FreezeBody::from(freeze))?.with_text(header::LOCATION, &location)
}

async fn show<P: Into<Owner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let (owner, id): (Owner, FreezeId) = (proof.into(), request.param_as("freezeId")?);
    let freeze = app.run(move |app| app.registry.freeze(&owner, &id)).await?;
    Reply::ok(&FreezeBody::from(freeze))
}

/// The freeze stays on record, so it is answered as it is now.
async fn lift<P: Into<Owner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let freeze = app.registry.lift_freeze(&proof.into(), request.param_as("freezeId")?).await?;
    Reply::ok(&FreezeBody::from(freeze))
}
