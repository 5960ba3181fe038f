//! The simple index (PEP 503). Invariant: an index is rendered from what the readers' door lets out at this moment and is asked for
//! anew each time; its tag is the digest of exactly what this reader is told.

use std::sync::Arc;

use super::index::{Entry, Project, Reader};
use super::name;
use super::negotiate::Format;
use super::page;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::digest::Digest;
use crate::domain::name::PackageType;
use crate::error::{Error, Result};
use crate::formats::Audience;
use crate::http::{Cache, EntityTag, HeaderValue, Reply, Request, StatusCode, header};
use crate::registry::Registry;

/// Projects read at once.
const PAGE: usize = 1000;

/// GET of the list of projects that have something visible.
pub(super) async fn projects(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let format = Format::wanted(&request)?;
    let bytes = app.run(move |app| page::projects(&names(&app.registry, &permit)?, format)).await?;
    answer(&request, format, bytes)
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
    let bytes = app
        .run(move |app| {
            let entries = app.registry.listed_releases(&permit, &package, Entry::of)?;
            let view = Project::of(package.name_key(), entries, &reader);
            page::project(&view.ok_or_else(|| Error::not_found(format!("the project {package}")))?, format)
        })
        .await?;
    answer(&request, format, bytes)
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

/// What is told depends on the form asked for and, for reasons, on whether there are credentials.
fn answer(request: &Request, format: Format, bytes: Vec<u8>) -> Result<Reply> {
    let kind = if format.is_json() {
        "json"
    } else if format == Format::Html {
        "html"
    } else {
        "v1-html"
    };
    let tag = EntityTag::new(&format!("{kind}-{}", Digest::of(&bytes).hex()))?;
    let reply = Reply::conditional(request, &tag, Cache::Revalidate, || Ok(Reply::bytes(format.media_type(), bytes)))?;
    Ok(reply.with_header(header::VARY, HeaderValue::from_static("Accept, Authorization")))
}

/// A redirect relative to the address of the request, so that it holds behind a proxy too.
fn moved(request: &Request, to: &str) -> Result<Reply> {
    let query = request.head().query_text();
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Reply::empty(StatusCode::MOVED_PERMANENTLY).with_text(header::LOCATION, &format!("{to}{query}"))
}
