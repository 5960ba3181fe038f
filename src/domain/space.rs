//! Space: what is used, what may be used, what was freed. Invariant: what is freed is freed by an event; a quota is compared with
//! counters that are exact, and its refusal says whose it is, how much there is and what helps.

use serde_json::json;

use super::event::AuditEntry;
use super::id::GcRunId;
use super::lifecycle::text_enum;
use super::name::RepoKey;
use super::named::Named;
use super::retention::RetentionRule;
use crate::error::{Code, Error};

text_enum! {
    /// Where a run of the collector stands.
    GcRunState "state of a collection" {
        /// It runs.
        Running "running",
        /// It did all that there was to do.
        Completed "completed",
        /// It ended before; what it did stands.
        Failed "failed",
        /// The server ended under it; what it did stands.
        Interrupted "interrupted",
    }
}

/// What a repo or the instance uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of distinct blobs.
    pub blob_bytes: u64,
    /// Distinct blobs.
    pub blob_count: u64,
    /// Versions in any state but tombstoned.
    pub version_count: u64,
}

/// How much may be used; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of distinct blobs.
    pub max_bytes: Option<u64>,
    /// Versions in any state but tombstoned.
    pub max_versions: Option<u64>,
}

/// What is used of what may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allotment {
    /// What is used.
    pub usage: Usage,
    /// What may be.
    pub quota: Quota,
}

/// Parts of a hundred from which on somebody should look.
const WARNED_AT_PERCENT: u64 = 90;

impl Allotment {
    /// Bytes that may still come.
    #[must_use]
    pub fn left_bytes(&self) -> Option<u64> {
        self.quota.max_bytes.map(|limit| limit.saturating_sub(self.usage.blob_bytes))
    }

    /// Whether more is used than may be.
    #[must_use]
    pub fn is_over_bytes(&self) -> bool {
        self.quota.max_bytes.is_some_and(|limit| self.usage.blob_bytes > limit)
    }

    /// Whether there are more versions than may be.
    #[must_use]
    pub fn is_over_versions(&self) -> bool {
        self.quota.max_versions.is_some_and(|limit| self.usage.version_count > limit)
    }

    /// Whether nine tenths of a limit are used.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        let nearly =
            |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit.saturating_mul(WARNED_AT_PERCENT).div_ceil(100));
        nearly(self.usage.blob_bytes, self.quota.max_bytes) || nearly(self.usage.version_count, self.quota.max_versions)
    }
}

/// Whose quota: a repo's, or for `None` the instance's.
fn owner(repo: Option<&RepoKey>) -> String {
    repo.map_or_else(|| "this server".to_owned(), |repo| format!("repo {repo}"))
}

/// The refusal of bytes that the quota of a repo, or for `None` of the instance, has no room for.
#[must_use]
pub fn no_room_for_bytes(repo: Option<&RepoKey>, allotment: &Allotment) -> Error {
    let (used, limit) = (allotment.usage.blob_bytes, allotment.quota.max_bytes.unwrap_or(u64::MAX));
    let message = format!(
        "the quota of {} is used up: {limit} bytes may be stored and {} are; nothing was stored; remove versions that nobody needs, or ask who runs the server for more",
        owner(repo),
        used.min(limit)
    );
    refused(repo, message, "bytes", limit)
}

/// The refusal of a version that a quota has no room for.
#[must_use]
pub fn no_room_for_versions(repo: Option<&RepoKey>, allotment: &Allotment) -> Error {
    let limit = allotment.quota.max_versions.unwrap_or(u64::MAX);
    let message = format!(
        "the quota of {} is used up: it may hold {limit} versions and does; nothing was stored; take versions back that nobody needs, or ask who runs the server for more",
        owner(repo)
    );
    refused(repo, message, "versions", limit)
}

/// It is the client's to solve and no use to try again, so it is no 5xx: some clients send the same upload several times after one.
fn refused(repo: Option<&RepoKey>, message: String, of: &str, limit: u64) -> Error {
    let error = Error::new(Code::TooLarge, message).with("quota", of).with("limit", limit);
    match repo {
        Some(repo) => error.with("quotaOf", repo.as_str()),
        None => error.with("quotaOf", "instance"),
    }
}

/// What happened to space.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants and members say what they are; the audit actions below are their contract")]
pub enum SpaceEvent {
    GcRun {
        run_id: GcRunId,
        /// What the run did here: `begun`, `files`, `orphans`, or how it ended.
        step: &'static str,
        dry_run: bool,
        blobs: u64,
        bytes: u64,
    },
    Purged {
        version: Named,
        run_id: GcRunId,
        files: u64,
    },
    Reconciled {
        missing: u64,
        damaged: u64,
        orphans: u64,
    },
    QuotaSet {
        /// `None` for the instance's.
        repo: Option<RepoKey>,
        quota: Quota,
    },
    RetentionSet {
        repo: RepoKey,
        /// `None` when it was taken away.
        rule: Option<RetentionRule>,
    },
}

fn entry(action: &'static str, resource_type: &'static str, id: impl ToString, details: serde_json::Value) -> AuditEntry {
    AuditEntry { action, resource_type, resource_id: id.to_string(), details }
}

impl SpaceEvent {
    /// The audit row of this happening.
    #[must_use]
    pub fn audit(&self) -> AuditEntry {
        match self {
            SpaceEvent::GcRun { run_id, step, dry_run, blobs, bytes } => {
                entry("gc.run", "gc", run_id, json!({"step": step, "dryRun": dry_run, "blobs": blobs, "bytes": bytes}))
            }
            SpaceEvent::Purged { version, run_id, files } => {
                let details = json!({"repoKey": version.repo, "purl": version.purl, "runId": run_id, "files": files});
                entry("package.version.purged", "version", version.version_id, details)
            }
            SpaceEvent::Reconciled { missing, damaged, orphans } => {
                entry("reconcile.run", "blobs", "blobs", json!({"missing": missing, "damaged": damaged, "orphans": orphans}))
            }
            SpaceEvent::QuotaSet { repo, quota } => {
                let details = json!({"maxBytes": quota.max_bytes, "maxVersions": quota.max_versions});
                entry("quota.updated", "quota", repo.as_ref().map_or("instance", RepoKey::as_str), details)
            }
            SpaceEvent::RetentionSet { repo, rule } => {
                let details = rule.as_ref().map_or_else(
                    || json!({"removed": true}),
                    |rule| json!({"keepLast": rule.keep_last, "keepDays": rule.keep_days, "keepDownloadedDays": rule.keep_downloaded_days}),
                );
                entry("repo.retention.updated", "repo", repo, details)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_of_a_limit_are_nearly_all_of_it_and_no_limit_is_never_near() {
        let of = |used, limit| Allotment {
            usage: Usage { blob_bytes: used, ..Usage::default() },
            quota: Quota { max_bytes: limit, max_versions: None },
        };
        assert!(!of(89, Some(100)).is_nearly_full() && of(90, Some(100)).is_nearly_full() && of(0, Some(0)).is_nearly_full());
        assert!(!of(u64::MAX, None).is_nearly_full());
        assert_eq!((of(40, Some(100)).left_bytes(), of(101, Some(100)).left_bytes(), of(1, None).left_bytes()), (Some(60), Some(0), None));
        assert!(of(101, Some(100)).is_over_bytes() && !of(100, Some(100)).is_over_bytes());
    }

    #[test]
    fn a_refusal_says_whose_quota_it_is_and_what_helps() {
        let repo: RepoKey = "main".parse().unwrap();
        let allotment = Allotment { quota: Quota { max_bytes: Some(10), max_versions: Some(2) }, ..Allotment::default() };
        let error = no_room_for_bytes(Some(&repo), &allotment);
        assert!(error.message().starts_with("the quota of repo main is used up: 10 bytes"), "{error}");
        assert_eq!((error.code(), &error.members()["limit"], &error.members()["quotaOf"]), (Code::TooLarge, &10.into(), &"main".into()));
        let error = no_room_for_versions(None, &allotment);
        assert!(error.message().contains("this server") && error.members()["quota"] == "versions", "{error}");
    }
}
