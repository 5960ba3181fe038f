//! The simple index (PEP 503). Invariant: an index is rendered from what the readers' door lets out and kept no longer than that
//! stands (`pages`); its tag is the digest of exactly what this reader is told.

use std::sync::Arc;

use super::index::{Entry, Project, Reader};
use super::name;
use super::negotiate::Format;
use super::page;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::PackageType;
use crate::error::{Error, Result};
use crate::formats::Audience;
use crate::http::{Reply, Request, StatusCode, header};
use crate::pages::{self, Page, PageKey};
use crate::registry::Registry;

/// Projects read at once.
const PAGE: usize = 1000;

/// GET of the list of projects that have something visible.
pub(super) async fn projects(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let format = Format::wanted(&request)?;
    let key = PageKey::list(&PackageType::pypi(), format.media_type());
    let render = move |app: &App, permit: &Permit<Read>| {
        Page::new(format.media_type(), page::projects(&names(&app.registry, permit)?, format)?).map(Some)
    };
    let found = app.page(&permit, key, render).await?;
    pages::reply(&request, &*found.ok_or_else(|| Error::not_found("the list of projects"))?)
}

/// GET of the files of a project.
pub(super) async fn project(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let format = Format::wanted(&request)?;
    let written = request.param("project")?;
    let package = name::project(&written)?;
    if written != package.name_key() {
        return moved(&request, &format!("../{}/", package.name_key()));
    }
    let reader = Reader { audience: Audience::of(permit.caller()), base_url: request.base_url().unwrap_or_default() };
    let key = PageKey::package(&package, format.media_type()).under(reader.base_url.clone());
    let wanted = package.clone();
    let render = move |app: &App, permit: &Permit<Read>| {
        let entries = app.registry.listed_releases(permit, &wanted, Entry::of)?;
        let view = Project::of(wanted.name_key(), entries, &reader);
        let files = format!("{}/pypi/{}/files", reader.base_url, permit.repo_key());
        view.map(|view| Page::new(format.media_type(), page::project(&view, format, &files)?)).transpose()
    };
    let found = app.page(&permit, key, render).await?;
    pages::reply(&request, &*found.ok_or_else(|| Error::not_found(format!("the project {package}")))?)
}

/// The list of projects without its slash.
pub(super) async fn to_projects(_app: Arc<App>, _permit: Permit<Read>, request: Request) -> Result<Reply> {
    moved(&request, "simple/")
}

/// A project without its slash.
pub(super) async fn to_project(_app: Arc<App>, _permit: Permit<Read>, request: Request) -> Result<Reply> {
    let package = name::project(&request.param("project")?)?;
    moved(&request, &format!("{}/", package.name_key()))
}

fn names(registry: &Registry, permit: &Permit<Read>) -> Result<Vec<String>> {
    let (package_type, mut names, mut cursor) = (PackageType::pypi(), Vec::new(), None::<String>);
    loop {
        let page = registry.packages(permit, Some(&package_type), PAGE, cursor.as_deref())?;
        names.extend(page.items.iter().map(|package| package.name_key().to_owned()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(names);
        }
    }
}

/// A redirect relative to the address of the request, so that it holds behind a proxy too.
fn moved(request: &Request, to: &str) -> Result<Reply> {
    let query = request.head().query_text();
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Reply::empty(StatusCode::MOVED_PERMANENTLY).with_text(header::LOCATION, &format!("{to}{query}"))
}
