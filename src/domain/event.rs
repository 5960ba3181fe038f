//! Everything that can happen. Invariant: each happening has its audit row, and those that others must hear of have
//! their outbox event; both follow by exhaustive match, so a new happening does not compile without them.

use serde_json::{Value, json};

use super::access::{Roles, Scope};
use super::backup::BackupMade;
use super::candidate::{Action, Decision, DecisionSource, Reason};
use super::digest::Digest;
use super::download::FetchedBy;
use super::exception::ExceptionEvent;
use super::id::{EvaluationId, EventId, JobId, QuarantineId, TokenId, UploadId};
use super::lifecycle::State;
use super::mark::MarkEvent;
use super::name::{RepoKey, Subject};
pub use super::named::{Named, PackageKey};
use super::quarantine::Ballot;
use super::space::SpaceEvent;
use super::webhook::WebhookEvent;

/// Something that happened and is remembered.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants and members say what they are; the audit actions below are their contract")]
pub enum Event {
    TokenIssued {
        token_id: TokenId,
        subject: Subject,
        scopes: Option<Vec<Scope>>,
    },
    TokenRevoked {
        token_id: TokenId,
        subject: Subject,
    },
    AuthenticationFailed {
        reason: String,
        count: u64,
    },
    RepoCreated {
        repo: RepoKey,
    },
    RepoUpdated {
        repo: RepoKey,
        settings: Value,
    },
    RepoDeleted {
        repo: RepoKey,
    },
    BindingSet {
        repo: RepoKey,
        subject: Subject,
        roles: Roles,
    },
    BindingRemoved {
        repo: RepoKey,
        subject: Subject,
    },
    UploadCreated {
        repo: RepoKey,
        upload_id: UploadId,
    },
    UploadCommitted {
        repo: RepoKey,
        upload_id: UploadId,
        digest: Digest,
        size_bytes: u64,
    },
    UploadAborted {
        repo: RepoKey,
        upload_id: UploadId,
        reason: String,
    },
    UploadVerificationFailed {
        repo: RepoKey,
        upload_id: UploadId,
        reason: String,
    },
    DraftCreated {
        version: Named,
    },
    DraftReused {
        version: Named,
    },
    DraftRemoved {
        version: Named,
        reason: String,
    },
    EntriesSet {
        version: Named,
        count: usize,
        first_path: String,
    },
    EntryRemoved {
        version: Named,
        path: String,
    },
    ManifestSet {
        version: Named,
        digest: Digest,
    },
    Published {
        version: Named,
    },
    Promoted {
        source: Named,
        target: Named,
        state: State,
    },
    Tombstoned {
        version: Named,
        reason: String,
    },
    Restored {
        version: Named,
    },
    Yanked {
        version: Named,
        reason: String,
    },
    Unyanked {
        version: Named,
    },
    ProtectionSet {
        version: Named,
        mode: String,
        reason: String,
    },
    ProtectionLifted {
        version: Named,
    },
    PolicyUpdated {
        repo: Option<RepoKey>,
        revision: u64,
        digest: Digest,
    },
    AdvisoriesImported {
        digest: Digest,
        record_count: u64,
        changed_count: u64,
        /// The packages that they concern; `None` where it may be any.
        packages: Option<Vec<PackageKey>>,
    },
    PolicyEvaluated {
        evaluation_id: EvaluationId,
        version: Named,
        action: Action,
        decision: Decision,
        source: DecisionSource,
        quarantine_id: Option<QuarantineId>,
    },
    PolicyDenied {
        evaluation_id: EvaluationId,
        version: Named,
        action: Action,
        reasons: Vec<Reason>,
    },
    PolicyTimedOut {
        version: Named,
        action: Action,
        timeout_ms: u64,
    },
    PolicyFailed {
        version: Named,
        action: Action,
    },
    HoldCreated {
        quarantine_id: QuarantineId,
        version: Named,
        reasons: Vec<Reason>,
        /// Of one that was visible: who has it.
        fetched_by: Option<FetchedBy>,
    },
    HoldVoted {
        quarantine_id: QuarantineId,
        version: Named,
        ballot: Ballot,
        comment: Option<String>,
    },
    HoldReleased {
        quarantine_id: QuarantineId,
        version: Named,
        state: State,
    },
    HoldRejected {
        quarantine_id: QuarantineId,
        version: Named,
    },
    HoldInspected {
        quarantine_id: QuarantineId,
        version: Named,
        path: String,
    },
    ReadBlocked {
        repo: RepoKey,
        resource: String,
        quarantine_id: Option<QuarantineId>,
        count: u64,
    },
    SearchRebuildRequested,
    SearchPaused,
    SearchResumed,
    JobRetried {
        job_id: JobId,
    },
    JobCancelled {
        job_id: JobId,
    },
    Webhook(WebhookEvent),
    Exception(ExceptionEvent),
    Mark(MarkEvent),
    Space(SpaceEvent),
    BackupCreated(BackupMade),
    JobsRetried {
        kind: Option<String>,
        error: Option<String>,
        count: u64,
    },
    OutboxEventRetried {
        event_id: EventId,
    },
}

/// An audit row's own words; actor, time and chain are added by the store.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The action, such as `package.version.published`.
    pub action: &'static str,
    /// The kind of thing acted upon.
    pub resource_type: &'static str,
    /// Its id or key.
    pub resource_id: String,
    /// The rest, a JSON object.
    pub details: Value,
}

fn entry(action: &'static str, resource_type: &'static str, id: impl ToString, details: Value) -> AuditEntry {
    AuditEntry { action, resource_type, resource_id: id.to_string(), details }
}

fn on_version(action: &'static str, version: &Named, mut details: Value) -> AuditEntry {
    if let Some(members) = details.as_object_mut() {
        members.insert("repoKey".to_owned(), json!(version.repo));
        members.insert("purl".to_owned(), json!(version.purl));
    }
    entry(action, "version", version.version_id, details)
}

fn on_upload(action: &'static str, repo: &RepoKey, upload_id: &UploadId, mut details: Value) -> AuditEntry {
    if let Some(members) = details.as_object_mut() {
        members.insert("repoKey".to_owned(), json!(repo));
    }
    entry(action, "upload", upload_id, details)
}

impl Event {
    /// The audit row of this happening.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table: one row for each happening")]
    pub fn audit(&self) -> AuditEntry {
        match self {
            Event::TokenIssued { token_id, subject, scopes } => {
                entry("auth.token.issued", "token", token_id, json!({"subject": subject, "scopes": scopes}))
            }
            Event::TokenRevoked { token_id, subject } => entry("auth.token.revoked", "token", token_id, json!({"subject": subject})),
            Event::AuthenticationFailed { reason, count } => {
                entry("auth.failed", "token", "unknown", json!({"reason": reason, "count": count}))
            }
            Event::RepoCreated { repo } => entry("repo.created", "repo", repo, json!({})),
            Event::RepoUpdated { repo, settings } => entry("repo.updated", "repo", repo, json!({"settings": settings})),
            Event::RepoDeleted { repo } => entry("repo.deleted", "repo", repo, json!({})),
            Event::BindingSet { repo, subject, roles } => {
                entry("repo.binding.upserted", "repo", repo, json!({"subject": subject, "roles": roles.iter().collect::<Vec<_>>()}))
            }
            Event::BindingRemoved { repo, subject } => entry("repo.binding.deleted", "repo", repo, json!({"subject": subject})),
            Event::UploadCreated { repo, upload_id } => on_upload("upload.created", repo, upload_id, json!({})),
            Event::UploadCommitted { repo, upload_id, digest, size_bytes } => {
                on_upload("upload.committed", repo, upload_id, json!({"digest": digest, "sizeBytes": size_bytes}))
            }
            Event::UploadAborted { repo, upload_id, reason } => on_upload("upload.aborted", repo, upload_id, json!({"reason": reason})),
            Event::UploadVerificationFailed { repo, upload_id, reason } => {
                on_upload("upload.verification_failed", repo, upload_id, json!({"reason": reason}))
            }
            Event::DraftCreated { version } => on_version("package.version.draft.created", version, json!({})),
            Event::DraftReused { version } => on_version("package.version.draft.reused", version, json!({})),
            Event::DraftRemoved { version, reason } => on_version("package.version.draft.removed", version, json!({"reason": reason})),
            Event::EntriesSet { version, count, first_path } => {
                on_version("package.version.entries.upserted", version, json!({"count": count, "firstPath": first_path}))
            }
            Event::EntryRemoved { version, path } => on_version("package.version.entries.upserted", version, json!({"removedPath": path})),
            Event::ManifestSet { version, digest } => on_version("package.version.manifest.upserted", version, json!({"digest": digest})),
            Event::Published { version } => on_version("package.version.published", version, json!({})),
            Event::Promoted { source, target, state } => {
                let details = json!({"targetRepoKey": target.repo, "targetVersionId": target.version_id, "state": state});
                on_version("package.version.promoted", source, details)
            }
            Event::Tombstoned { version, reason } => on_version("package.version.tombstoned", version, json!({"reason": reason})),
            Event::Restored { version } => on_version("package.version.restored", version, json!({})),
            Event::Yanked { version, reason } => on_version("package.version.yanked", version, json!({"reason": reason})),
            Event::Unyanked { version } => on_version("package.version.unyanked", version, json!({})),
            Event::ProtectionSet { version, mode, reason } => {
                on_version("artifact.protection.upserted", version, json!({"mode": mode, "reason": reason}))
            }
            Event::ProtectionLifted { version } => on_version("artifact.protection.released", version, json!({})),
            Event::PolicyUpdated { repo, revision, digest } => {
                let id = repo.as_ref().map_or("instance", RepoKey::as_str);
                entry("policy.updated", "policy", id, json!({"revision": revision, "digest": digest}))
            }
            Event::AdvisoriesImported { digest, record_count, changed_count, packages: _ } => {
                let details = json!({"recordCount": record_count, "changedCount": changed_count});
                entry("advisories.imported", "advisories", digest, details)
            }
            Event::PolicyEvaluated { evaluation_id, version, action, decision, source, quarantine_id } => {
                let details = json!({"evaluationId": evaluation_id, "action": action, "decision": decision,
                    "decisionSource": source, "quarantineId": quarantine_id});
                on_version("policy.evaluated", version, details)
            }
            Event::PolicyDenied { evaluation_id, version, action, reasons } => {
                on_version("policy.denied", version, json!({"evaluationId": evaluation_id, "action": action, "reasons": reasons}))
            }
            Event::PolicyTimedOut { version, action, timeout_ms } => {
                on_version("policy.timeout", version, json!({"action": action, "timeoutMs": timeout_ms}))
            }
            Event::PolicyFailed { version, action } => on_version("policy.error", version, json!({"action": action})),
            Event::HoldCreated { quarantine_id, version, reasons, fetched_by } => {
                let details = json!({"quarantineId": quarantine_id, "reasons": reasons, "fetchedBy": fetched_by});
                on_version("quarantine.created", version, details)
            }
            Event::HoldVoted { quarantine_id, version, ballot, comment } => {
                on_version("quarantine.voted", version, json!({"quarantineId": quarantine_id, "vote": ballot, "comment": comment}))
            }
            Event::HoldReleased { quarantine_id, version, state } => {
                on_version("quarantine.released", version, json!({"quarantineId": quarantine_id, "state": state}))
            }
            Event::HoldRejected { quarantine_id, version } => {
                on_version("quarantine.rejected", version, json!({"quarantineId": quarantine_id}))
            }
            Event::HoldInspected { quarantine_id, version, path } => {
                on_version("quarantine.inspected", version, json!({"quarantineId": quarantine_id, "path": path}))
            }
            Event::ReadBlocked { repo, resource, quarantine_id, count } => {
                entry("read.blocked", "version", resource, json!({"repoKey": repo, "quarantineId": quarantine_id, "count": count}))
            }
            Event::SearchRebuildRequested => entry("search.rebuild.requested", "search", "index", json!({})),
            Event::SearchPaused => entry("search.paused", "search", "index", json!({})),
            Event::SearchResumed => entry("search.resumed", "search", "index", json!({})),
            Event::JobRetried { job_id } => entry("job.retried", "job", job_id, json!({})),
            Event::JobCancelled { job_id } => entry("job.cancelled", "job", job_id, json!({})),
            Event::Webhook(event) => event.audit(),
            Event::Exception(event) => event.audit(),
            Event::Mark(event) => event.audit(),
            Event::Space(event) => event.audit(),
            Event::BackupCreated(made) => made.audit(),
            Event::JobsRetried { kind, error, count } => {
                entry("job.retried", "job", "dead", json!({"kind": kind, "lastError": error, "count": count}))
            }
            Event::OutboxEventRetried { event_id } => entry("outbox.retried", "event", event_id, json!({})),
        }
    }

    /// Whether jobs may be due after this of which no outbox event tells.
    #[must_use]
    pub fn touches_queue(&self) -> bool {
        matches!(
            self,
            Event::PolicyEvaluated { .. }
                | Event::JobRetried { .. }
                | Event::JobsRetried { .. }
                | Event::OutboxEventRetried { .. }
                | Event::SearchRebuildRequested
                | Event::SearchResumed
        ) || matches!(self, Event::Webhook(event) if event.enqueues())
    }

    /// Whether cached identities or repo settings may be out of date after this.
    #[must_use]
    pub fn touches_identity(&self) -> bool {
        matches!(
            self,
            Event::TokenIssued { .. }
                | Event::TokenRevoked { .. }
                | Event::RepoCreated { .. }
                | Event::RepoUpdated { .. }
                | Event::RepoDeleted { .. }
                | Event::BindingSet { .. }
                | Event::BindingRemoved { .. }
        )
    }
}
