//! A version, its files and its manifest as records. Invariant: records are not `Serialize`; wire types are made from
//! `Visible<…>` or `Held<…>`, so nothing reaches a client without a proof.

use super::digest::Digest;
use super::id::VersionId;
use super::lifecycle::{State, text_enum};
use super::name::{Coordinates, RelativePath, RepoKey, Subject};
use super::time::Time;

text_enum! {
    /// What shields a version from being taken back.
    Protection "protection mode" {
        /// An administrator's protection.
        Protected "protected",
        /// A legal hold.
        LegalHold "legal_hold",
    }
}

/// One immutable release, or one distribution of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// The repo it is in.
    pub repo: RepoKey,
    /// Which package and version it is.
    pub coordinates: Coordinates,
    /// Its state.
    pub state: State,
    /// When the draft was made.
    pub created_at: Time,
    /// Who made it; for the two-person rule, the uploader.
    pub created_by: Subject,
    /// When this registry first saw it: for a copy, when it saw what was copied.
    pub first_seen_at: Time,
    /// Who published it: for a copy, who published what was copied.
    pub published_by: Subject,
    /// When it last became visible here.
    pub published_at: Option<Time>,
    /// The digest over files and manifest; fixed once sealed.
    pub content_digest: Option<Digest>,
    /// Why its publisher yanked it (PEP 592); `None` when it is not yanked.
    pub yanked_reason: Option<String>,
    /// Its protection and the reason given.
    pub protection: Option<(Protection, String)>,
    /// When and why it was taken back, and until when it may be restored.
    pub tombstone: Option<Tombstone>,
}

/// The record of a take-back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// When.
    pub at: Time,
    /// Why.
    pub reason: String,
    /// Until when it may be restored.
    pub restorable_until: Time,
    /// When its files were given up for good; it is not restored any more then.
    pub purged_at: Option<Time>,
    /// The state it was taken back from; a rejected version is never restored.
    pub taken_from: State,
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The version it belongs to.
    pub version_id: VersionId,
    /// Its path inside the version.
    pub path: RelativePath,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its media type, as the uploader gave it.
    pub media_type: Option<String>,
    /// The sha1 the uploader gave, verified; 40 lower-case hex digits.
    pub sha1: Option<String>,
}

/// A manifest: the bytes exactly as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The version it belongs to.
    pub version_id: VersionId,
    /// The sha256 of the bytes.
    pub digest: Digest,
    /// A JSON object, byte for byte as received.
    pub bytes: Vec<u8>,
}

/// A version with its files and manifest: what index renderers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// Its files, ordered by path.
    pub files: Vec<File>,
    /// Its manifest, if it has one.
    pub manifest: Option<Manifest>,
}
