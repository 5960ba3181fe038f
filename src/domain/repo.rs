//! Repos and their settings. Invariant: a repo's key never changes; its settings do, and every change is audited.

use super::lifecycle::text_enum;
use super::name::RepoKey;
use super::time::Time;

text_enum! {
    /// Where a repo's packages come from.
    RepoKind "repo kind" {
        /// Published here.
        Local "local",
        /// Pulled through from an upstream.
        Remote "remote",
        /// The ordered union of other repos.
        Virtual "virtual",
    }
}

/// What an administrator may change about a repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoSettings {
    /// Whether callers without credentials may read.
    pub anonymous_read: bool,
    /// Whether a release needs two different reviewers, neither of them the uploader.
    pub require_dual_control: bool,
    /// Days during which a tombstone may be restored.
    pub retention_days: u32,
}

impl Default for RepoSettings {
    fn default() -> RepoSettings {
        RepoSettings { anonymous_read: false, require_dual_control: false, retention_days: 30 }
    }
}

/// A change of settings: what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepoChange {
    /// Whether callers without credentials may read.
    pub anonymous_read: Option<bool>,
    /// Whether a release needs two different reviewers.
    pub require_dual_control: Option<bool>,
    /// Days during which a tombstone may be restored.
    pub retention_days: Option<u32>,
}

/// One repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// Its key in every address.
    pub key: RepoKey,
    /// Its kind.
    pub kind: RepoKind,
    /// Its settings.
    pub settings: RepoSettings,
    /// When it was created.
    pub created_at: Time,
    /// When a setting last changed.
    pub updated_at: Time,
}
