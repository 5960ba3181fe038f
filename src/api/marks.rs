//! `/v1/repos/{repoKey}/tags` and `…/owners`: names for versions of a package, and who publishes it. Invariant: a list names what this
//! caller may know of and nothing else; people are named to nobody without credentials.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::version_wire::PackageBody;
use super::wire::{PageBody, cut_page, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Read, Write};
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{PackageName, PackageType, Subject};
use crate::error::Result;
use crate::http::{Reply, Request, Routes};

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    let example = "/v1/repos/main/tags?packageType=npm&name=demo&tag=beta";
    let owner = "/v1/repos/main/owners?packageType=npm&name=demo&subject=ann";
    Routes::new()
        .get("/v1/repos/{repoKey}/tags", "/v1/repos/main/tags?packageType=npm&name=demo", list_tags)
        .put("/v1/repos/{repoKey}/tags", example, set_tag)
        .delete("/v1/repos/{repoKey}/tags", example, remove_tag)
        .get("/v1/repos/{repoKey}/owners", "/v1/repos/main/owners?packageType=npm&name=demo", list_owners)
        .put("/v1/repos/{repoKey}/owners", owner, add_owner)
        .delete("/v1/repos/{repoKey}/owners", owner, remove_owner)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MarksQuery {
    package_type: PackageType,
    namespace: Option<String>,
    name: String,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagQuery {
    package_type: PackageType,
    namespace: Option<String>,
    name: String,
    tag: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagRequest {
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TagBody {
    tag: String,
    version: String,
    version_id: VersionId,
    state: State,
}

#[derive(Serialize)]
struct SetBody {
    #[serde(flatten)]
    package: PackageBody,
    tag: String,
    version: String,
}

fn package(package_type: PackageType, namespace: Option<&str>, name: &str) -> Result<PackageName> {
    PackageName::new(package_type, namespace.unwrap_or_default(), name)
}

async fn list_tags(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let query: MarksQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    let found = app.run(move |app| app.registry.listed_tags(&permit, &package)).await?;
    let rest = found.into_iter().filter(|listed| query.cursor.as_deref().is_none_or(|cursor| listed.tag.as_str() > cursor));
    let items = rest.map(|listed| TagBody {
        tag: listed.tag.to_string(),
        version: listed.coordinates.version().to_owned(),
        version_id: listed.version_id,
        state: listed.standing.state,
    });
    Reply::ok(&PageBody::of(cut_page(items, limit, |item| item.tag.clone()), |item| item))
}

async fn set_tag(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let query: TagQuery = request.query()?;
    let asked: TagRequest = request.json().await?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    app.registry.set_tag(&permit, &package, query.tag.clone(), &asked.version).await?;
    Reply::ok(&SetBody { package: (&package).into(), tag: query.tag, version: asked.version })
}

async fn remove_tag(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let query: TagQuery = request.query()?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    app.registry.remove_tag(&permit, &package, &query.tag).await?;
    Ok(Reply::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OwnerQuery {
    package_type: PackageType,
    namespace: Option<String>,
    name: String,
    subject: Subject,
}

#[derive(Serialize)]
struct OwnerBody {
    subject: Subject,
}

#[derive(Serialize)]
struct OwnersBody {
    #[serde(flatten)]
    package: PackageBody,
    owners: Vec<Subject>,
}

async fn list_owners(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let query: MarksQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    let found = app.run(move |app| app.registry.owners(&permit, &package)).await?;
    let rest = found.into_iter().filter(|owner| query.cursor.as_deref().is_none_or(|cursor| owner.as_str() > cursor));
    Reply::ok(&PageBody::of(cut_page(rest, limit, ToString::to_string), |subject| OwnerBody { subject }))
}

async fn add_owner(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let query: OwnerQuery = request.query()?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    let owners = app.registry.add_owners(&permit, &package, vec![query.subject]).await?;
    Reply::ok(&OwnersBody { package: (&package).into(), owners })
}

async fn remove_owner(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let query: OwnerQuery = request.query()?;
    let package = package(query.package_type, query.namespace.as_deref(), &query.name)?;
    let owners = app.registry.remove_owners(&permit, &package, vec![query.subject]).await?;
    Reply::ok(&OwnersBody { package: (&package).into(), owners })
}
