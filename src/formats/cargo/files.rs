//! The crates themselves. Invariant: the version's own standing decides, however its name is spelled.

use std::sync::Arc;

use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::{Coordinates, RelativePath};
use crate::domain::version::File;
use crate::domain::visibility::Visible;
use crate::error::{Code, Error, Result};
use crate::formats::explained;
use crate::http::{Reply, Request};
use crate::registry::Registry;
use crate::serve;

/// The crate and the version of an address; what cannot be one is like one that is not there.
pub(super) fn coordinates(request: &Request) -> Result<Coordinates> {
    let package = name::of_address(&request.param("crate")?)?;
    Coordinates::new(package, &request.param("version")?)
        .map_err(|error| Error::new(Code::NotFound, format!("there is no such version: {}", error.message())))
}

/// GET or HEAD of one crate.
pub(super) async fn download(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let at = coordinates(&request)?;
    let look = move |app: &App| {
        let found = find(&app.registry, &permit, &at);
        found.map_err(|error| explained(&app.registry, &permit, at.package(), error))
    };
    serve::found(&app, &request, look).await
}

/// The `.crate` of a visible version, under the spelling in which it was published.
fn find(registry: &Registry, permit: &Permit<Read>, at: &Coordinates) -> Result<Visible<File>> {
    let version = registry.resolve(permit, at)?;
    let published = &version.coordinates;
    let path: RelativePath = name::file_name(published.package().name(), published.version()).parse()?;
    Ok(registry.file_at(permit, published, &path)?.file)
}
