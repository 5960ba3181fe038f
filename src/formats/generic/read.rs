//! Reading plain files and listing a version's. Invariant: every answer is made from `Visible<…>`.

use std::sync::Arc;

use serde::Serialize;

use super::{address, coordinates};
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::RelativePath;
use crate::domain::time::Time;
use crate::domain::version::Release;
use crate::domain::visibility::Visible;
use crate::error::Result;
use crate::formats::{encoded, explained};
use crate::http::{Cache, EntityTag, Reply, Request};
use crate::serve;

/// What a version holds, as a list for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    repo_key: &'a str,
    package_type: &'a str,
    package_name: &'a str,
    version: &'a str,
    version_id: VersionId,
    published_at: Option<Time>,
    files: Vec<ListedFile<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedFile<'a> {
    path: &'a str,
    size_bytes: u64,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    url: String,
}

impl<'a> Listing<'a> {
    fn of(release: &'a Visible<Release>, address: &str) -> Listing<'a> {
        let version = &release.version;
        let package = version.coordinates.package();
        let listed = release.files.iter().map(|file| ListedFile {
            path: file.path.as_str(),
            size_bytes: file.size_bytes,
            digest: file.digest,
            media_type: file.media_type.as_deref(),
            url: format!("{address}/{}", encoded(file.path.as_str())),
        });
        Listing {
            repo_key: version.repo.as_str(),
            package_type: package.package_type().as_str(),
            package_name: package.name(),
            version: version.coordinates.version(),
            version_id: version.id,
            published_at: version.published_at,
            files: listed.collect(),
        }
    }
}

/// GET or HEAD of one file: its bytes, ranges and all.
pub(super) async fn download(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let at = coordinates(&request)?;
    let path: RelativePath = request.param_as("path")?;
    let find = move |app: &App| {
        let found = app.registry.file_at(&permit, &at, &path);
        found.map(|located| located.file).map_err(|error| explained(&app.registry, &permit, at.package(), error))
    };
    serve::found(&app, &request, find).await
}

/// GET of the version: its files as JSON.
pub(super) async fn list(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let at = coordinates(&request)?;
    let release = app
        .run(move |app| {
            let found = app.registry.resolve(&permit, &at).and_then(|version| app.registry.visible_release(&permit, &version.id));
            found.map_err(|error| explained(&app.registry, &permit, at.package(), error))
        })
        .await?;
    let address = address(&request);
    let sealed_as = release.version.content_digest.map_or_else(|| release.version.id.to_string(), |digest| digest.hex());
    let tag = EntityTag::new(&format!("{sealed_as}-{}", Digest::of(address.as_bytes()).hex()))?;
    Reply::conditional(&request, &tag, Cache::Revalidate, || Reply::ok(&Listing::of(&release, &address)))
}
