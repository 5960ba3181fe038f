//! The sparse index. Invariant: a crate that anything may be told of always has its file, with every version that is visible or
//! withheld in it; where the server and its files are is told as the client reached it.

use std::sync::Arc;

use serde::Serialize;

use super::line::{self, Item};
use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::digest::Digest;
use crate::error::{Error, Result};
use crate::http::{Cache, EntityTag, Reply, Request};

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
    answer(&request, "application/json", bytes)
}

/// GET of the index file of a crate.
pub(super) async fn file(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let name = request.param("name")?;
    let package = name::of_address(&name)?;
    let place = format!("/index/{}", name::index_path(&name));
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) || !request.path().ends_with(&place) {
        return Err(Error::not_found(format!("an index file {}", request.path())));
    }
    let bytes = app.run(move |app| line::file(&name, app.registry.listed_releases(&permit, &package, Item::of)?)).await?;
    answer(&request, "text/plain; charset=utf-8", bytes)
}

fn answer(request: &Request, media_type: &'static str, bytes: Vec<u8>) -> Result<Reply> {
    let tag = EntityTag::new(&Digest::of(&bytes).hex())?;
    Reply::conditional(request, &tag, Cache::Revalidate, || Ok(Reply::bytes(media_type, bytes)))
}
