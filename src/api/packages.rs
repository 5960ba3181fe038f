//! `/v1/repos/{repoKey}/packages`: what is in a repo. Invariant: lists name only what this caller may know of, and tell of what is
//! withheld no more than that it is and why.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::version_wire::{CoordinatesBody, HoldBody, PackageBody, VersionBody};
use super::wire::{PageBody, cut_page, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, PackageName, PackageType};
use crate::domain::time::Time;
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Registry, VersionSight};

/// What a client sends as version to get the newest.
const LATEST: &str = "latest";

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/repos/{repoKey}/packages", "/v1/repos/main/packages", list)
        .get("/v1/repos/{repoKey}/packages/{packageType}/{*name}", "/v1/repos/main/packages/npm/@babel/core", show)
        .get("/v1/repos/{repoKey}/packages/versions", "/v1/repos/main/packages/versions?packageType=pypi&name=demo", list_versions)
        .get(
            "/v1/repos/{repoKey}/packages/versions/resolve",
            "/v1/repos/main/packages/versions/resolve?packageType=pypi&name=demo&version=latest",
            resolve,
        )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    package_type: Option<PackageType>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let query: ListQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let page = app.run(move |app| app.registry.packages(&permit, query.package_type.as_ref(), limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, |package| PackageBody::from(&package)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PackageSummaryBody {
    #[serde(flatten)]
    package: PackageBody,
    /// How many versions this caller may know of.
    version_count: usize,
    /// The newest visible one by the ecosystem's own order.
    latest: Option<LatestBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LatestBody {
    version_id: VersionId,
    version: String,
    published_at: Option<Time>,
}

/// One package: the namespace, if it has one, stands before the name.
async fn show(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let (package_type, path) = (request.param("packageType")?, request.param("name")?);
    let absent = || Error::not_found(format!("package {package_type}/{path}"));
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let package = package_type.parse().and_then(|package_type| PackageName::new(package_type, namespace, name)).map_err(|_| absent())?;
    let body = app.run(move |app| summary(&app.registry, &permit, &package)).await?;
    Reply::ok(&body.ok_or_else(absent)?)
}

fn summary(registry: &Registry, permit: &Permit<Read>, package: &PackageName) -> Result<Option<PackageSummaryBody>> {
    let listed = registry.listed_versions(permit, package)?;
    let Some((_, first, _)) = listed.first() else { return Ok(None) };
    let latest = match registry.resolve_latest(permit, package) {
        Ok(version) => Some(LatestBody {
            version_id: version.id,
            version: version.coordinates.version().to_owned(),
            published_at: version.published_at,
        }),
        Err(error) if error.code() == Code::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Some(PackageSummaryBody { package: first.package().into(), version_count: listed.len(), latest }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VersionsQuery {
    package_type: PackageType,
    namespace: Option<String>,
    name: String,
    limit: Option<usize>,
    cursor: Option<VersionId>,
}

/// A version in a list. What only a visible one tells is absent from the others.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedBody {
    version_id: VersionId,
    #[serde(flatten)]
    coordinates: CoordinatesBody,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldBody>,
}

async fn list_versions(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let query: VersionsQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let package = PackageName::new(query.package_type, query.namespace.as_deref().unwrap_or_default(), &query.name)?;
    let items = app.run(move |app| listed(&app.registry, &permit, &package)).await?;
    let start = match query.cursor {
        None => 0,
        Some(cursor) => {
            let last = items.iter().position(|item| item.version_id == cursor);
            last.map(|index| index + 1)
                .ok_or_else(|| Error::bad_request("the version of this cursor is not listed any more; begin again without it"))?
        }
    };
    let page = cut_page(items.into_iter().skip(start), limit, |item| item.version_id.to_string());
    Reply::ok(&PageBody::of(page, |item| item))
}

/// The versions of a package that the caller may know of, newest published first.
fn listed(registry: &Registry, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<ListedBody>> {
    let visible: HashMap<_, _> = registry.visible_versions(permit, package)?.into_iter().map(|version| (version.id, version)).collect();
    let listed = registry.listed_versions(permit, package)?;
    let bodies = listed.into_iter().map(|(version_id, coordinates, standing)| {
        let shown = visible.get(&version_id).filter(|_| standing.state == State::Published);
        ListedBody {
            version_id,
            coordinates: (&coordinates).into(),
            state: standing.state,
            published_at: shown.and_then(|version| version.published_at),
            yanked_reason: shown.and_then(|version| version.yanked_reason.clone()),
            hold: HoldBody::of(&standing),
        }
    });
    Ok(bodies.collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResolveQuery {
    package_type: PackageType,
    namespace: Option<String>,
    name: String,
    version: String,
}

/// The visible version of these names, exact or the latest.
async fn resolve(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let query: ResolveQuery = request.query()?;
    let package = PackageName::new(query.package_type, query.namespace.as_deref().unwrap_or_default(), &query.name)?;
    let exact = if query.version == LATEST { None } else { Some(Coordinates::new(package.clone(), &query.version)?) };
    let release = app
        .run(move |app| {
            let found = match &exact {
                Some(at) => app.registry.resolve(&permit, at)?,
                None => app.registry.resolve_latest(&permit, &package)?,
            };
            app.registry.visible_release(&permit, &found.id)
        })
        .await?;
    Reply::ok(&VersionBody::from(&VersionSight::Visible(release)))
}
