//! Yanks and owners. Invariant: who may change them is decided where they are written; the answers are what Cargo prints.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::files::coordinates;
use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read, Write};
use crate::domain::name::{PackageName, Subject};
use crate::error::Result;
use crate::http::{Reply, Request};

/// Why a version is yanked: Cargo has no words for it.
const YANKED: &str = "its publisher yanked it";

/// What Cargo takes for success.
#[derive(Serialize)]
struct Done {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<String>,
}

/// DELETE that yanks a version.
pub(super) async fn yank(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    app.registry.yank_release(&permit, &coordinates(&request)?, Some(YANKED.to_owned())).await?;
    Reply::ok(&Done { ok: true, msg: None })
}

/// PUT that takes a yank back.
pub(super) async fn unyank(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    app.registry.yank_release(&permit, &coordinates(&request)?, None).await?;
    Reply::ok(&Done { ok: true, msg: None })
}

/// Who is put on the list of owners or taken off it.
#[derive(Deserialize)]
struct Named {
    users: Vec<Subject>,
}

#[derive(Serialize)]
struct Owners<'a> {
    users: Vec<User<'a>>,
}

/// Cargo wants a number; here it is the place in the list.
#[derive(Serialize)]
struct User<'a> {
    id: usize,
    login: &'a str,
    name: Option<&'a str>,
}

/// GET of the owners of a crate; nobody where everybody who may write in the repo publishes it.
pub(super) async fn owners(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let package = package(&request)?;
    let found = app.run(move |app| app.registry.owners(&permit, &package)).await?;
    let users = found.iter().enumerate().map(|(index, subject)| User { id: index + 1, login: subject.as_str(), name: None });
    Reply::ok(&Owners { users: users.collect() })
}

/// PUT of more owners.
pub(super) async fn add_owners(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let (package, named) = (package(&request)?, request.json::<Named>().await?);
    let owners = app.registry.add_owners(&permit, &package, named.users).await?;
    Reply::ok(&Done { ok: true, msg: Some(said(&package, &owners)) })
}

/// DELETE of owners.
pub(super) async fn remove_owners(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let (package, named) = (package(&request)?, request.json::<Named>().await?);
    let owners = app.registry.remove_owners(&permit, &package, named.users).await?;
    Reply::ok(&Done { ok: true, msg: Some(said(&package, &owners)) })
}

fn package(request: &Request) -> Result<PackageName> {
    name::of_address(&request.param("crate")?)
}

fn said(package: &PackageName, owners: &[Subject]) -> String {
    if owners.is_empty() {
        return format!("{package} has no owners now; everybody who may write in the repo publishes it");
    }
    let owners = owners.iter().map(Subject::as_str).collect::<Vec<_>>().join(", ");
    format!("{package} is published by {owners} and the administrators of the repo")
}
