//! The sparse index. Invariant: a crate that anything may be told of always has its file, with every version that is visible or
//! withheld in it; where the server and its files are is told as the client reached it.

use std::sync::Arc;

use serde::Serialize;

use super::line::{self, Item};
use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::error::{Error, Result};
use crate::http::{Reply, Request};
use crate::pages::{self, Page, PageKey};

/// The media type of an index file.
const FILE: &str = "text/plain; charset=utf-8";

/// `config.json`: where everything else is.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    dl: String,
    api: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auth_required: bool,
}

/// GET of the index's settings. Without credentials, a repo that needs them answers 401, upon which Cargo sends its token.
pub(super) async fn settings(_app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let api = format!("{}/cargo/{}", request.base_url()?, permit.repo_key());
    let settings = Settings { dl: format!("{api}/api/v1/crates"), api, auth_required: !permit.repo().settings.anonymous_read };
    let bytes = serde_json::to_vec(&settings).map_err(|cause| Error::internal("writing the settings of an index", cause))?;
    pages::reply(&request, &Page::new("application/json", bytes)?)
}

/// GET of the index file of a crate.
pub(super) async fn file(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let name = request.param("name")?;
    let package = name::of_address(&name)?;
    let place = format!("/index/{}", name::index_path(&name));
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) || !request.path().ends_with(&place) {
        return Err(Error::not_found(format!("an index file {}", request.path())));
    }
    let (key, wanted) = (PageKey::package(&package, FILE), package.clone());
    let render = move |app: &App, permit: &Permit<Read>| {
        let items = app.registry.listed_releases(permit, &wanted, Item::of)?;
        line::file(&name, items).map(|bytes| Page::new(FILE, bytes)).transpose()
    };
    let found = app.page(&permit, key, render).await?;
    pages::reply(&request, &*found.ok_or_else(|| Error::not_found(format!("the crate {package}")))?)
}
