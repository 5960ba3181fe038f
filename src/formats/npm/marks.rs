//! The tags of a package (`npm dist-tag`). Invariant: readers see the tags as the package's document has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{name, read};
use crate::app::App;
use crate::domain::access::{Permit, Read, Write};
use crate::error::Result;
use crate::http::{Reply, Request, StatusCode};

/// Bytes of a body that is one version in quotes.
const VERSION_LIMIT_BYTES: u64 = 1024;

/// GET of all tags.
pub(super) async fn list(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let package = name::addressed(&request)?;
    let tags: BTreeMap<String, String> = app.run(move |app| read::pointed_tags(app, &permit, &package)).await?;
    Reply::ok(&tags)
}

/// PUT or POST of a tag: the body is the version it shall name, as a JSON string.
pub(super) async fn set(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let (package, tag) = (name::addressed(&request)?, request.param("tag")?);
    let version: String = request.body.read_json(VERSION_LIMIT_BYTES).await?;
    app.registry.set_tag(&permit, &package, tag, &version).await?;
    Reply::json(StatusCode::CREATED, &BTreeMap::from([("ok", true)]))
}

/// DELETE of a tag.
pub(super) async fn remove(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let (package, tag) = (name::addressed(&request)?, request.param("tag")?);
    app.registry.remove_tag(&permit, &package, &tag).await?;
    Reply::ok(&BTreeMap::from([("ok", true)]))
}
