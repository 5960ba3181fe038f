//! What is remembered of a backup. Invariant: it names an archive by the digest of its manifest, which names everything in it.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::event::AuditEntry;

/// An archive that was made and is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupMade {
    /// The sha256 of its manifest.
    pub manifest_digest: Digest,
    /// That of the archive that it continues; `None` when it stands alone.
    #[serde(default)]
    pub parent_digest: Option<Digest>,
    /// The sha256 of its copy of the database.
    pub database_digest: Digest,
    /// Blobs in it.
    pub blob_count: u64,
    /// Its size in bytes.
    pub archive_bytes: u64,
}

impl BackupMade {
    /// The audit row.
    pub(super) fn audit(&self) -> AuditEntry {
        let details = serde_json::json!({"parentDigest": self.parent_digest, "databaseDigest": self.database_digest,
            "blobCount": self.blob_count, "archiveBytes": self.archive_bytes});
        AuditEntry { action: "backup.created", resource_type: "backup", resource_id: self.manifest_digest.to_string(), details }
    }
}
