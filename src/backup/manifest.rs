//! What an archive holds. Invariant: a manifest that was read is in order: its lists are sorted, name nothing twice, and fit its format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};

/// The format of archives that this program writes and reads.
pub const FORMAT: u32 = 1;
/// The longest manifest: that of more than ten million blobs.
pub(super) const LIMIT_BYTES: u64 = 1 << 30;
/// The manifest, first in every archive.
pub(super) const MANIFEST: &str = "manifest.json";
/// The copy of the database, second.
pub(super) const DATABASE: &str = "state.db";
/// The end of a complete archive.
pub(super) const END: &str = "end.json";

/// Some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Their sha256.
    pub digest: Digest,
    /// How many they are.
    pub size_bytes: u64,
}

/// The first member of an archive. It names all that a restore of this moment needs, and says where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The format of the archive.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// When the database was copied, RFC 3339.
    pub created_at: String,
    /// The schema of the database.
    pub schema: usize,
    /// The sha256 of the manifest of the archive that this one continues; `None` when it stands alone.
    pub parent: Option<Digest>,
    /// The copy of the database.
    pub database: Content,
    /// The blobs in this archive, in their order.
    pub blobs: Vec<Content>,
    /// The blobs that the database names too and the archives before this one have, sorted.
    pub earlier: Vec<Content>,
}

/// The last member of an archive.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct End {
    /// The sha256 of the manifest.
    pub(super) manifest: Digest,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Manifest {
    /// Reads one, and gives its digest.
    ///
    /// # Errors
    /// `conflict` when it is of a newer program, is none, or contradicts itself.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Manifest, Digest)> {
        let damaged = |what: String| Error::conflict(format!("its manifest cannot be used: {what}"));
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(|cause| damaged(cause.to_string()))?;
        if format != FORMAT {
            let message = format!("it has the format {format}, this program reads {FORMAT}; use the artifortress that wrote it");
            return Err(Error::new(Code::Unavailable, message));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|cause| damaged(cause.to_string()))?;
        let is_sorted = |list: &[Content]| list.windows(2).all(|pair| pair[0].digest < pair[1].digest);
        if !is_sorted(&manifest.blobs) || !is_sorted(&manifest.earlier) {
            return Err(damaged("its lists are not in order, or name a blob twice".to_owned()));
        }
        if manifest.parent.is_none() && !manifest.earlier.is_empty() {
            return Err(damaged("it names blobs of earlier archives, and none that it continues".to_owned()));
        }
        let all = manifest.needed();
        let total = all.values().try_fold(manifest.database.size_bytes, |sum, size| sum.checked_add(*size));
        if all.len() != manifest.blobs.len() + manifest.earlier.len() || total.is_none() {
            return Err(damaged("its lists contradict each other".to_owned()));
        }
        Ok((manifest, Digest::of(bytes)))
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let written = serde_json::to_vec(self).map_err(|cause| Error::internal("writing the manifest", cause))?;
        if written.len() as u64 > LIMIT_BYTES {
            return Err(Error::too_large("the manifest of this backup", LIMIT_BYTES));
        }
        Ok(written)
    }

    /// Every blob that its database names, with its size.
    pub(super) fn needed(&self) -> BTreeMap<Digest, u64> {
        self.blobs.iter().chain(&self.earlier).map(|blob| (blob.digest, blob.size_bytes)).collect()
    }

    /// The bytes of everything that follows the manifest.
    pub(super) fn total_bytes(&self) -> u64 {
        self.blobs.iter().fold(self.database.size_bytes, |sum, blob| sum.saturating_add(blob.size_bytes))
    }
}

/// The name of a blob in an archive.
pub(super) fn blob_name(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", &hex[..2])
}
