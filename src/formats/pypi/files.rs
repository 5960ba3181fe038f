//! Distributions and what stands beside them. Invariant: metadata and signature are files of the same version as the distribution, so
//! one door opens or closes for all of them.

use std::sync::Arc;

use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::RelativePath;
use crate::error::Result;
use crate::formats::explained;
use crate::http::{Reply, Request};
use crate::serve;

/// GET or HEAD of one file.
pub(super) async fn download(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let package = name::project(&request.param("project")?)?;
    let path: RelativePath = request.param_as("filename")?;
    let find = move |app: &App| {
        let found = app.registry.file_named(&permit, &package, &path);
        found.map(|located| located.file).map_err(|error| explained(&app.registry, &permit, &package, error))
    };
    serve::found(&app, &request, find).await
}
