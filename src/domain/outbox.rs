//! What others must hear of. Invariant: the outbox event of a happening follows by exhaustive match, so a new happening does
//! not compile until somebody says whether others must hear of it.

use serde_json::{Value, json};

use super::event::{Event, Named};
use super::lifecycle::{State, text_enum};
use super::visibility::{Sight, decide};

text_enum! {
    /// The kind of an outbox event.
    OutboxKind "outbox event kind" {
        /// A version became visible.
        VersionPublished "version.published",
        /// A version was held.
        VersionQuarantined "version.quarantined",
        /// A hold was released.
        VersionReleased "version.released",
        /// A hold ended in rejection.
        VersionRejected "version.rejected",
        /// A version was taken back.
        VersionTombstoned "version.tombstoned",
        /// A tombstone became visible again.
        VersionRestored "version.restored",
        /// A policy was stored.
        PolicyChanged "policy.changed",
        /// Advisories were imported.
        AdvisoriesChanged "advisories.changed",
    }
}

/// An outbox event to be written with the change it tells of.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Its kind.
    pub kind: OutboxKind,
    /// A JSON object: `versionId`, `repoKey`, `visible`, `purl`, `state` for versions.
    pub payload: Value,
}

impl Event {
    /// The outbox event of this happening, if others must hear of it.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table: one row for each happening")]
    pub fn outbox(&self) -> Option<OutboxEntry> {
        let of = |kind, version: &Named, state: State| {
            let visible = decide(state) == Sight::Open;
            let payload = json!({"versionId": version.version_id, "repoKey": version.repo, "visible": visible, "purl": version.purl,
                "state": state});
            Some(OutboxEntry { kind, payload })
        };
        match self {
            Event::Published { version } => of(OutboxKind::VersionPublished, version, State::Published),
            Event::HoldCreated { version, fetched_by, .. } => {
                let mut held = of(OutboxKind::VersionQuarantined, version, State::Quarantined);
                if let (Some(entry), Some(fetched_by)) = (&mut held, fetched_by) {
                    entry.payload["fetchedBy"] = json!(fetched_by);
                }
                held
            }
            Event::HoldReleased { version, state, .. } => of(OutboxKind::VersionReleased, version, *state),
            Event::HoldRejected { version, .. } => of(OutboxKind::VersionRejected, version, State::Rejected),
            Event::Tombstoned { version, .. } => of(OutboxKind::VersionTombstoned, version, State::Tombstoned),
            Event::Restored { version } => of(OutboxKind::VersionRestored, version, State::Published),
            Event::PolicyUpdated { repo, revision, .. } => {
                Some(OutboxEntry { kind: OutboxKind::PolicyChanged, payload: json!({"repoKey": repo, "revision": revision}) })
            }
            Event::AdvisoriesImported { digest, record_count, changed_count, packages } => {
                let mut payload = json!({"advisoryDigest": digest, "recordCount": record_count, "changedCount": changed_count});
                if let Some(packages) = packages {
                    payload["packages"] = json!(packages);
                }
                Some(OutboxEntry { kind: OutboxKind::AdvisoriesChanged, payload })
            }
            Event::TokenIssued { .. }
            | Event::TokenRevoked { .. }
            | Event::AuthenticationFailed { .. }
            | Event::RepoCreated { .. }
            | Event::RepoUpdated { .. }
            | Event::RepoDeleted { .. }
            | Event::BindingSet { .. }
            | Event::BindingRemoved { .. }
            | Event::UploadCreated { .. }
            | Event::UploadCommitted { .. }
            | Event::UploadAborted { .. }
            | Event::UploadVerificationFailed { .. }
            | Event::DraftCreated { .. }
            | Event::DraftReused { .. }
            | Event::DraftRemoved { .. }
            | Event::EntriesSet { .. }
            | Event::EntryRemoved { .. }
            | Event::ManifestSet { .. }
            | Event::Promoted { .. }
            | Event::Yanked { .. }
            | Event::Unyanked { .. }
            | Event::ProtectionSet { .. }
            | Event::ProtectionLifted { .. }
            | Event::PolicyEvaluated { .. }
            | Event::PolicyDenied { .. }
            | Event::PolicyTimedOut { .. }
            | Event::PolicyFailed { .. }
            | Event::HoldVoted { .. }
            | Event::HoldInspected { .. }
            | Event::ReadBlocked { .. }
            | Event::SearchRebuildRequested
            | Event::SearchPaused
            | Event::SearchResumed
            | Event::JobRetried { .. }
            | Event::JobCancelled { .. }
            | Event::Webhook(_)
            | Event::Exception(_)
            | Event::Mark(_)
            | Event::Space(_)
            | Event::BackupCreated(_)
            | Event::JobsRetried { .. }
            | Event::OutboxEventRetried { .. } => None,
        }
    }
}
