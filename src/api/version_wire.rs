//! Versions as answers show them. Invariant: content (files, digests) is rendered from a proof alone; a head, which a mutation
//! answers with, names a version and where it stands and tells nothing of its content.

use serde::Serialize;

use crate::domain::candidate::Reason;
use crate::domain::digest::Digest;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath, RepoKey};
use crate::domain::quarantine::QuarantineStatus;
use crate::domain::time::Time;
use crate::domain::version::{File, Protection, Release, Tombstone, Version};
use crate::domain::visibility::{Hold, Standing};
use crate::error::Result;
use crate::http::Reply;
use crate::registry::{Admitted, VersionSight};

/// Which package.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PackageBody {
    package_type: PackageType,
    package_namespace: String,
    package_name: String,
}

impl From<&PackageName> for PackageBody {
    fn from(package: &PackageName) -> PackageBody {
        PackageBody {
            package_type: package.package_type().clone(),
            package_namespace: package.namespace().to_owned(),
            package_name: package.name().to_owned(),
        }
    }
}

/// Which version of which package.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CoordinatesBody {
    #[serde(flatten)]
    package: PackageBody,
    version: String,
    /// The file that a release published file by file consists of.
    #[serde(skip_serializing_if = "String::is_empty")]
    distribution: String,
    purl: String,
}

impl From<&Coordinates> for CoordinatesBody {
    fn from(at: &Coordinates) -> CoordinatesBody {
        CoordinatesBody {
            package: at.package().into(),
            version: at.version().to_owned(),
            distribution: at.distribution().to_owned(),
            purl: at.purl(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ProtectionBody {
    mode: Protection,
    reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TombstoneBody {
    tombstoned_at: Time,
    reason: String,
    restorable_until: Time,
    purged_at: Option<Time>,
    taken_from: State,
}

impl From<&Tombstone> for TombstoneBody {
    fn from(tombstone: &Tombstone) -> TombstoneBody {
        TombstoneBody {
            tombstoned_at: tombstone.at,
            reason: tombstone.reason.clone(),
            restorable_until: tombstone.restorable_until,
            purged_at: tombstone.purged_at,
            taken_from: tombstone.taken_from,
        }
    }
}

/// A version without its content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeadBody {
    version_id: VersionId,
    repo_key: RepoKey,
    #[serde(flatten)]
    coordinates: CoordinatesBody,
    state: State,
    created_at: Time,
    created_by_subject: String,
    published_at: Option<Time>,
    yanked_reason: Option<String>,
    protection: Option<ProtectionBody>,
    tombstone: Option<TombstoneBody>,
}

impl From<&Version> for HeadBody {
    fn from(version: &Version) -> HeadBody {
        HeadBody {
            version_id: version.id,
            repo_key: version.repo.clone(),
            coordinates: (&version.coordinates).into(),
            state: version.state,
            created_at: version.created_at,
            created_by_subject: version.created_by.to_string(),
            published_at: version.published_at,
            yanked_reason: version.yanked_reason.clone(),
            protection: version.protection.as_ref().map(|(mode, reason)| ProtectionBody { mode: *mode, reason: reason.clone() }),
            tombstone: version.tombstone.as_ref().map(TombstoneBody::from),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryBody {
    relative_path: RelativePath,
    blob_digest: Digest,
    size_bytes: u64,
    media_type: Option<String>,
    checksum_sha1: Option<String>,
}

impl From<&File> for EntryBody {
    fn from(file: &File) -> EntryBody {
        EntryBody {
            relative_path: file.path.clone(),
            blob_digest: file.digest,
            size_bytes: file.size_bytes,
            media_type: file.media_type.clone(),
            checksum_sha1: file.sha1.clone(),
        }
    }
}

/// Why and since when a version is withheld.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HoldBody {
    quarantine_id: QuarantineId,
    status: QuarantineStatus,
    reasons: Vec<Reason>,
    since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Time>,
}

impl HoldBody {
    /// The hold of a standing, if there is one.
    pub(super) fn of(standing: &Standing) -> Option<HoldBody> {
        let Hold { quarantine_id, status, reasons, since, opens_at } = standing.hold.as_ref()?;
        Some(HoldBody { quarantine_id: *quarantine_id, status: *status, reasons: reasons.clone(), since: *since, opens_at: *opens_at })
    }
}

/// A version with its content, made from a proof that the caller may see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionBody {
    #[serde(flatten)]
    head: HeadBody,
    content_digest: Option<Digest>,
    entries: Vec<EntryBody>,
    manifest_digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldBody>,
}

impl VersionBody {
    fn new(release: &Release, hold: Option<HoldBody>) -> VersionBody {
        VersionBody {
            head: (&release.version).into(),
            content_digest: release.version.content_digest,
            entries: release.files.iter().map(EntryBody::from).collect(),
            manifest_digest: release.manifest.as_ref().map(|manifest| manifest.digest),
            hold,
        }
    }
}

impl From<&VersionSight> for VersionBody {
    fn from(sight: &VersionSight) -> VersionBody {
        match sight {
            VersionSight::Visible(release) => VersionBody::new(release, None),
            VersionSight::Authored(release) => VersionBody::new(release, None),
            VersionSight::Held(release) => VersionBody::new(release, HoldBody::of(release.standing())),
        }
    }
}

/// What the gate said of a publish, promotion or restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmittedBody {
    state: State,
    version_id: VersionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluation_id: Option<EvaluationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine_id: Option<QuarantineId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Reason>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Time>,
    /// Whether it was there before with the same content, so that nothing changed.
    idempotent: bool,
}

/// The answer to a publish, promotion or restore: 200 when the version is visible, 202 when it is held.
pub(super) fn admitted(admitted: Admitted) -> Result<Reply> {
    let published = |version_id, evaluation_id: Option<EvaluationId>| AdmittedBody {
        state: State::Published,
        version_id,
        evaluation_id,
        quarantine_id: None,
        reasons: None,
        opens_at: None,
        idempotent: evaluation_id.is_none(),
    };
    match admitted {
        Admitted::Published { version_id, evaluation_id } => Reply::ok(&published(version_id, Some(evaluation_id))),
        Admitted::AlreadyPublished { version_id } => Reply::ok(&published(version_id, None)),
        Admitted::Quarantined { version_id, evaluation_id, quarantine_id, reasons, opens_at } => Reply::accepted(&AdmittedBody {
            state: State::Quarantined,
            version_id,
            evaluation_id: Some(evaluation_id),
            quarantine_id: Some(quarantine_id),
            reasons: Some(reasons),
            opens_at,
            idempotent: false,
        }),
    }
}
