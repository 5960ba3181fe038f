//! `/v1/repos/{repoKey}/packages/versions/{versionId}`: one version and what can be done with it. Invariant: becoming visible goes
//! through the gate; what is answered is what the caller's proof shows.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::repos::RETENTION_LIMIT_DAYS;
use super::version_wire::{HeadBody, VersionBody, admitted};
use crate::app::App;
use crate::domain::access::{Admin, Permit, Promote, Read, Write, no_such_repo};
use crate::domain::candidate::Decision;
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::version::{Manifest, Protection, Release};
use crate::error::{Error, Result};
use crate::http::{Application, Cache, EntityTag, Reply, Request, Routes, json};
use crate::registry::VersionSight;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get(
            "/v1/repos/{repoKey}/packages/versions/{versionId}",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55",
            show,
        )
        .get(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/manifest",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/manifest",
            show_manifest,
        )
        .post(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/publish",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/publish",
            publish,
        )
        .post(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/promote",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/promote",
            promote,
        )
        .post(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/tombstone",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/tombstone",
            tombstone,
        )
        .post(
            "/v1/repos/{repoKey}/packages/versions/{versionId}/restore",
            "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/restore",
            restore,
        )
        .join(mark_routes())
}

fn mark_routes() -> Routes<App> {
    const PROTECTION: &str = "/v1/repos/{repoKey}/packages/versions/{versionId}/protection";
    const PROTECTION_EXAMPLE: &str = "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/protection";
    const YANK: &str = "/v1/repos/{repoKey}/packages/versions/{versionId}/yank";
    const YANK_EXAMPLE: &str = "/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/yank";
    Routes::new()
        .put(PROTECTION, PROTECTION_EXAMPLE, protect)
        .delete(PROTECTION, PROTECTION_EXAMPLE, unprotect)
        .put(YANK, YANK_EXAMPLE, yank)
        .delete(YANK, YANK_EXAMPLE, unyank)
}

async fn sight(app: &Arc<App>, permit: Permit<Read>, id: VersionId) -> Result<VersionSight> {
    app.run(move |app| app.registry.version(&permit, &id)).await
}

async fn show(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let sight = sight(&app, permit, request.param_as("versionId")?).await?;
    Reply::ok(&VersionBody::from(&sight))
}

/// The bytes of the manifest as they were received.
async fn show_manifest(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let manifest = manifest_of(sight(&app, permit, id).await?);
    let manifest = manifest.ok_or_else(|| Error::not_found(format!("a manifest of version {id}")))?;
    let tag = EntityTag::new(&manifest.digest.to_string())?;
    Reply::conditional(&request, &tag, Cache::Revalidate, || Ok(Reply::bytes("application/json", manifest.bytes)))
}

fn manifest_of(sight: VersionSight) -> Option<Manifest> {
    let of = |release: &Release| release.manifest.clone();
    match sight {
        VersionSight::Visible(release) => of(&release),
        VersionSight::Authored(release) => of(&release),
        VersionSight::Held(release) => of(&release),
    }
}

/// A body that may be left out, which is the same as `{}`.
async fn optional_json<T: DeserializeOwned + Default>(request: &mut Request) -> Result<T> {
    let limit_bytes = request.limits().json_limit_bytes;
    let bytes = request.body.read_bounded(limit_bytes).await?;
    if bytes.trim_ascii().is_empty() { Ok(T::default()) } else { json::parse(&bytes) }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublishRequest {
    decision_hint: Option<Decision>,
}

async fn publish(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let PublishRequest { decision_hint } = optional_json(&mut request).await?;
    admitted(app.registry.publish(&permit, id, decision_hint).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PromoteRequest {
    target_repo: RepoKey,
}

async fn promote(app: Arc<App>, permit: Permit<Promote>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let PromoteRequest { target_repo } = request.json().await?;
    let target = app.find_repo(&target_repo).await?.ok_or_else(no_such_repo)?;
    let writing: Permit<Write> = permit.caller().permit(&target)?;
    admitted(app.registry.promote(&permit, &writing, id).await?)
}

/// A request without members.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoMembers {}

async fn restore(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let NoMembers {} = optional_json(&mut request).await?;
    admitted(app.registry.restore(&permit, id).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TombstoneRequest {
    reason: String,
    retention_days: Option<u32>,
}

async fn tombstone(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let TombstoneRequest { reason, retention_days } = request.json().await?;
    if retention_days.is_some_and(|days| days > RETENTION_LIMIT_DAYS) {
        return Err(Error::bad_request(format!("retentionDays must be 0 to {RETENTION_LIMIT_DAYS}")));
    }
    let version = app.registry.tombstone(&permit, id, &reason, retention_days).await?;
    Reply::ok(&HeadBody::from(&version))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectRequest {
    mode: Protection,
    reason: String,
}

async fn protect(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let ProtectRequest { mode, reason } = request.json().await?;
    let version = app.registry.protect(&permit, id, mode, &reason).await?;
    Reply::ok(&HeadBody::from(&version))
}

async fn unprotect(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let version = app.registry.unprotect(&permit, request.param_as("versionId")?).await?;
    Reply::ok(&HeadBody::from(&version))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YankRequest {
    reason: String,
}

async fn yank(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let YankRequest { reason } = request.json().await?;
    let version = app.registry.yank(&permit, id, &reason).await?;
    Reply::ok(&HeadBody::from(&version))
}

async fn unyank(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let version = app.registry.unyank(&permit, request.param_as("versionId")?).await?;
    Reply::ok(&HeadBody::from(&version))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::quarantine::tests::Instance;
    use crate::domain::access::{Permit, Write};
    use crate::domain::digest::Digest;
    use crate::domain::name::{Coordinates, PackageName, PackageType, RepoKey};
    use crate::error::{Code, Result};
    use crate::http::Application;
    use crate::registry::{Admitted, Deposit, NewEntry};

    async fn writing(instance: &Instance) -> Permit<Write> {
        let header = crate::http::HeaderValue::try_from(format!("Bearer {}", instance.admin)).unwrap();
        let caller = instance.app.authenticate(Some(&header), crate::domain::id::RequestId::new(uuid::Uuid::nil())).await.unwrap();
        let repo = instance.app.find_repo(&"main".parse::<RepoKey>().unwrap()).await.unwrap().unwrap();
        caller.permit(&Arc::clone(&repo)).unwrap()
    }

    /// Publishes one file of the PyPI release `name` 1.0: whole, or as a distribution of its own.
    async fn release(instance: &Instance, name: &str, file: &str, whole: &str) -> Result<Admitted> {
        let permit = writing(instance).await;
        let source = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"wheel"))]);
        let (digest, size_bytes) = instance.app.registry.put_blob(&permit, Digest::of(b"wheel"), source).await?;
        let entry = NewEntry { path: file.parse()?, digest, size_bytes, media_type: None, sha1: None };
        let at = Coordinates::new(PackageName::new(PackageType::pypi(), "", name)?, "1.0")?;
        let coordinates = if whole == "whole" { at } else { at.distribution_named(&entry.path) };
        instance.app.registry.deposit(&permit, Deposit { coordinates, entries: vec![entry], manifest: None, tags: Vec::new() }).await
    }

    #[tokio::test]
    async fn what_was_rejected_as_a_whole_does_not_come_back_file_by_file_nor_the_other_way_round() {
        let instance = Instance::start().await;
        for (name, first, second) in [("held-a", "whole", "file"), ("held-b", "file", "whole")] {
            let held = release(&instance, name, &format!("{name}-1.0.tar.gz"), first).await.unwrap();
            let Admitted::Quarantined { quarantine_id, .. } = held else { panic!("{held:?}") };
            let rejected = instance.call("POST", &format!("/v1/repos/main/quarantine/{quarantine_id}/reject"), &instance.admin, "").await;
            assert_eq!(rejected.status, 200, "{}", rejected.text);
            let again = release(&instance, name, &format!("{name}-1.0.zip"), second).await.unwrap_err();
            assert_eq!(again.code(), Code::Conflict, "{again}");
            assert_eq!(again.members()["status"], "rejected");
        }
        instance.end();
    }

    #[tokio::test]
    async fn taking_a_rejected_version_back_does_not_free_its_bytes() {
        let instance = Instance::start().await;
        let (version_id, quarantine_id) = instance.hold("main", "held-one", &instance.admin).await;
        instance.publish("main", "fine", &instance.admin, "held bytes").await.unwrap();
        let reject = format!("/v1/repos/main/quarantine/{quarantine_id}/reject");
        assert_eq!(instance.call("POST", &reject, &instance.admin, "").await.status, 200);
        let blob = format!("/v1/repos/main/blobs/{}", Digest::of(b"held bytes"));
        assert_eq!(instance.call("GET", &blob, &instance.admin, "").await.status, 423);
        let tombstone = format!("/v1/repos/main/packages/versions/{version_id}/tombstone");
        assert_eq!(instance.call("POST", &tombstone, &instance.admin, r#"{"reason":"tidying up"}"#).await.status, 200);
        for method in ["GET", "HEAD"] {
            assert_eq!(instance.call(method, &blob, &instance.admin, "").await.status, 423, "{method}");
        }
        instance.end();
    }

    #[tokio::test]
    async fn nothing_is_published_into_a_repo_that_was_deleted_meanwhile() {
        let instance = Instance::start().await;
        let permit = writing(&instance).await;
        assert_eq!(instance.call("DELETE", "/v1/repos/main?force=true", &instance.admin, "").await.status, 204);
        let at = Coordinates::new(PackageName::new(PackageType::generic(), "", "late").unwrap(), "1").unwrap();
        let source = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"late"))]);
        let (digest, size_bytes) = instance.app.registry.put_blob(&permit, Digest::of(b"late"), source).await.unwrap();
        let entry = NewEntry { path: "late".parse().unwrap(), digest, size_bytes, media_type: None, sha1: None };
        let late = instance
            .app
            .registry
            .deposit(&permit, Deposit { coordinates: at, entries: vec![entry], manifest: None, tags: Vec::new() })
            .await
            .unwrap_err();
        assert_eq!(late.code(), Code::NotFound, "{late}");
        instance.end();
    }
}
