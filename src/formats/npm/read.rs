//! What readers ask for: packages, versions, tarballs. Invariant: a document is rendered from what the readers' door lets out and kept no longer
//! than that stands (`pages`); its tag is the digest of exactly what this reader is told.

use std::sync::Arc;

use super::manifest::{self, Form, Frame};
use super::name;
use super::packument::{Entry, Packument};
use super::tags::{self, Candidate};
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::version::Release;
use crate::domain::visibility::Visible;
use crate::error::{Code, Error, Result};
use crate::formats::{Audience, explained};
use crate::http::{Reply, Request, header};
use crate::pages::{self, Page, PageKey};
use crate::serve;

/// GET of a package whose name is one segment, plain or with `%2f`.
pub(super) async fn package(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let package = name::addressed(&request)?;
    packument(app, permit, request, package).await
}

/// GET of two segments: a scoped package, or a version or tag of a plain one.
pub(super) async fn package_or_version(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let first = request.param("scope")?;
    if name::is_scope(&first) {
        let package = name::addressed(&request)?;
        return packument(app, permit, request, package).await;
    }
    let wanted = request.param("name")?;
    version_document(app, permit, request, name::package(&first)?, wanted).await
}

/// GET of a version or tag of a scoped package.
pub(super) async fn version(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let (package, wanted) = (name::addressed(&request)?, request.param("version")?);
    version_document(app, permit, request, package, wanted).await
}

/// GET or HEAD of a tarball.
pub(super) async fn tarball(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let (package, file_name) = (name::addressed(&request)?, request.param("filename")?);
    let find = move |app: &App| {
        let at = tarball_coordinates(&package, &file_name)?;
        let release = visible(app, &permit, &at)?;
        let path = manifest::tarball(&release).map(|file| file.path.clone());
        let file = release.files().find(|file| Some(&file.path) == path.as_ref());
        file.ok_or_else(|| Error::not_found(format!("the tarball {file_name}")))
    };
    serve::found(&app, &request, find).await
}

/// The version whose tarball is called so.
pub(super) fn tarball_coordinates(package: &PackageName, file_name: &str) -> Result<Coordinates> {
    let version = name::version_of_tarball(package, file_name);
    let at = version.and_then(|version| Coordinates::new(package.clone(), version).ok());
    at.ok_or_else(|| Error::not_found(format!("the tarball {file_name} of {package}")))
}

/// The release at these coordinates; where it is withheld, the error names what to use instead. Blocks.
fn visible(app: &App, permit: &Permit<Read>, at: &Coordinates) -> Result<Visible<Release>> {
    let found = app.registry.resolve(permit, at).and_then(|version| app.registry.visible_release(permit, &version.id));
    found.map_err(|error| explained(&app.registry, permit, at.package(), error))
}

async fn packument(app: Arc<App>, permit: Permit<Read>, request: Request, package: PackageName) -> Result<Reply> {
    let form = wanted_form(&request);
    let base_url = request.base_url()?;
    let key = PageKey::package(&package, form.media_type()).under(base_url.clone());
    let wanted = package.clone();
    let found = app.page(&permit, key, move |app, permit| render(app, permit, &wanted, (&base_url, form))).await?;
    pages::reply(&request, &*found.ok_or_else(|| absent(&package))?)
}

/// The document of a package; `None` when there is nothing to tell of. Blocks.
fn render(app: &App, permit: &Permit<Read>, package: &PackageName, (base_url, form): (&str, Form)) -> Result<Option<Page>> {
    let frame = Frame { base_url, repo: permit.repo_key(), form, audience: Audience::of(permit.caller()) };
    let entries = app.registry.listed_releases(permit, package, |listed| Entry::of(listed, frame).transpose())?;
    let entries = entries.into_iter().flatten().collect::<Result<Vec<Entry>>>()?;
    let tags = app.registry.tags(permit, package)?;
    let is_known = frame.audience == Audience::Authenticated;
    let owners = if is_known { app.registry.owners(permit, package)? } else { Vec::new() };
    let Some(packument) = Packument::of(entries, &tags, owners) else { return Ok(None) };
    let latest = packument.latest().filter(|_| form == Form::Full);
    // It may have been withheld since the versions were listed; then the next reader finds it so.
    let latest = match latest.map(|id| app.registry.visible_release(permit, &id)).transpose() {
        Err(error) if ![Code::QuarantinedVersion, Code::NotFound].contains(&error.code()) => return Err(error),
        found => found.ok().flatten(),
    };
    Page::new(form.media_type(), packument.render(latest.as_ref(), frame)?).map(Some)
}

fn absent(package: &PackageName) -> Error {
    Error::not_found(format!("the package {}", name::written(package)))
}

/// A version by its number, or by a tag as the package's document has it.
async fn version_document(app: Arc<App>, permit: Permit<Read>, request: Request, package: PackageName, wanted: String) -> Result<Reply> {
    let base_url = request.base_url()?;
    let page = app
        .run(move |app| {
            let at = match Coordinates::new(package.clone(), &wanted) {
                Ok(at) => at,
                Err(_) => tagged(app, &permit, &package, &wanted)?,
            };
            let release = visible(app, &permit, &at)?;
            let frame = Frame { base_url: &base_url, repo: permit.repo_key(), form: Form::Full, audience: Audience::of(permit.caller()) };
            let shown = manifest::shown(&release, frame)?.ok_or_else(|| Error::not_found(format!("the tarball of {at}")))?;
            Page::new(Form::Full.media_type(), shown.get().to_owned())
        })
        .await?;
    pages::reply(&request, &page)
}

/// What a tag names: where everything is withheld, that is the withheld version, so that the reader is told why.
fn tagged(app: &App, permit: &Permit<Read>, package: &PackageName, tag: &str) -> Result<Coordinates> {
    let (pointed, named) = (pointed_tags(app, permit, package)?, app.registry.tags(permit, package)?);
    let version = pointed.get(tag).or_else(|| named.get(tag));
    let version = version.ok_or_else(|| Error::not_found(format!("the version or tag {tag} of {}", name::written(package))))?;
    Coordinates::new(package.clone(), version)
}

/// The tags of a package as its document has them. Blocks.
pub(super) fn pointed_tags(app: &App, permit: &Permit<Read>, package: &PackageName) -> Result<std::collections::BTreeMap<String, String>> {
    let versions = app.registry.visible_versions(permit, package)?;
    let candidates: Vec<Candidate<'_>> =
        versions.iter().map(|version| Candidate { at: &version.coordinates, is_deprecated: version.yanked_reason.is_some() }).collect();
    let named = app.registry.tags(permit, package)?;
    if candidates.is_empty() && named.is_empty() {
        return Err(absent(package));
    }
    Ok(tags::pointed(&named, &candidates))
}

/// The abbreviated form is for those who ask for it by its name; who may take anything gets all.
fn wanted_form(request: &Request) -> Form {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|text| text.split(',')).map(|range| range.split(';').next().unwrap_or_default().trim());
    if ranges.any(|range| range.eq_ignore_ascii_case(Form::Abbreviated.media_type())) { Form::Abbreviated } else { Form::Full }
}
