//! `/v1/repos/{repoKey}/packages/versions`: drafts, their files and manifest. Invariant: what a client says of its bytes (size,
//! checksums) is verified against them; a set of entries is taken whole or not at all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::version_wire::{HeadBody, VersionBody};
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, Routes, header};
use crate::registry::NewEntry;

/// The largest manifest, in bytes.
const MANIFEST_LIMIT_BYTES: u64 = 1024 * 1024;
/// Characters of a media type.
const MEDIA_TYPE_LIMIT: usize = 255;
/// Hex digits of a sha1.
const SHA1_DIGITS: usize = 40;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .post("/v1/repos/{repoKey}/packages/versions/drafts", "/v1/repos/main/packages/versions/drafts", draft)
        .post(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/entries",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/entries",
            put_entries,
        )
        .delete(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/entries/{*path}",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/entries/dist/demo-1.0.tar.gz",
            remove_entry,
        )
        .put(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/manifest",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/manifest",
            put_manifest,
        )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DraftRequest {
    package_type: PackageType,
    #[serde(default)]
    package_namespace: Option<String>,
    package_name: String,
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DraftBody {
    #[serde(flatten)]
    head: HeadBody,
    reused_draft: bool,
}

async fn draft(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let asked: DraftRequest = request.json().await?;
    let package = PackageName::new(asked.package_type, asked.package_namespace.as_deref().unwrap_or_default(), &asked.package_name)?;
    let coordinates = Coordinates::new(package, &asked.version)?;
    let (version, reused_draft) = app.registry.draft(&permit, coordinates).await?;
    let body = DraftBody { head: (&version).into(), reused_draft };
    if reused_draft {
        return Reply::ok(&body);
    }
    Reply::created(&body)?.with_text(header::LOCATION, &format!("/v1/repos/{}/packages/versions/{}", version.repo, version.id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesRequest {
    entries: Vec<EntryRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EntryRequest {
    relative_path: RelativePath,
    blob_digest: Digest,
    size_bytes: u64,
    media_type: Option<String>,
    checksum_sha1: Option<String>,
    checksum_sha256: Option<Digest>,
}

impl EntryRequest {
    fn checked(self) -> Result<NewEntry> {
        let path = &self.relative_path;
        if let Some(sha256) = self.checksum_sha256.filter(|sha256| *sha256 != self.blob_digest) {
            return Err(Error::new(Code::UploadVerificationFailed, format!("checksumSha256 of {path} is not its blobDigest"))
                .with("expectedDigest", sha256.to_string())
                .with("actualDigest", self.blob_digest.to_string()));
        }
        if self.media_type.as_ref().is_some_and(|text| !is_media_type(text)) {
            return Err(Error::bad_request(format!(
                "mediaType of {path} must look like application/zip and have at most {MEDIA_TYPE_LIMIT} characters"
            )));
        }
        let sha1 = self.checksum_sha1.map(|text| text.to_ascii_lowercase());
        if sha1.as_ref().is_some_and(|text| text.len() != SHA1_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return Err(Error::bad_request(format!("checksumSha1 of {path} must be {SHA1_DIGITS} hex digits")));
        }
        Ok(NewEntry { path: self.relative_path, digest: self.blob_digest, size_bytes: self.size_bytes, media_type: self.media_type, sha1 })
    }
}

/// A type and a subtype, with parameters perhaps (RFC 9110, section 8.3.1); visible ASCII, so that it can stand in a header.
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte));
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let named = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    named && text.len() <= MEDIA_TYPE_LIMIT && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

async fn put_entries(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let EntriesRequest { entries } = request.body.read_json(app.config.http.entries_limit_bytes).await?;
    if entries.is_empty() {
        return Err(Error::bad_request("entries must name at least one file"));
    }
    let entries = entries.into_iter().map(EntryRequest::checked).collect::<Result<Vec<_>>>()?;
    app.registry.put_entries(&permit, id, entries).await?;
    changed(&app, &permit, id).await
}

async fn remove_entry(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    app.registry.remove_entry(&permit, id, request.param_as("path")?).await?;
    changed(&app, &permit, id).await
}

/// The draft as it is now.
async fn changed(app: &Arc<App>, permit: &Permit<Write>, id: VersionId) -> Result<Reply> {
    let reading = permit.reading();
    let sight = app.run(move |app| app.registry.version(&reading, &id)).await?;
    Reply::ok(&VersionBody::from(&sight))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestBody {
    version_id: VersionId,
    manifest_digest: Digest,
    size_bytes: usize,
}

async fn put_manifest(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let version_id: VersionId = request.param_as("versionId")?;
    let bytes = request.body.read_bounded(MANIFEST_LIMIT_BYTES).await?;
    let size_bytes = bytes.len();
    let manifest_digest = app.registry.put_manifest(&permit, version_id, bytes).await?;
    Reply::ok(&ManifestBody { version_id, manifest_digest, size_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_can_stand_in_a_header() {
        for good in ["application/zip", "text/plain; charset=utf-8", "application/vnd.oci.image.manifest.v1+json"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "zip", "a/", "/b", "a/b\r\nX: y", "a b/c", "a/b;\u{e4}", &format!("a/{}", "b".repeat(300))] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
