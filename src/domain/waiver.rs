//! Waivers: which rules do not count, for what, until when. Invariant: a waiver names one rule of one policy, and what it covers never
//! changes; one for a content never outlives that content.

use super::candidate::{Decision, PolicyLevel};
use super::digest::Digest;
use super::id::{QuarantineId, VersionId, WaiverId};
use super::lifecycle::text_enum;
use super::name::{Coordinates, PackageName, RepoKey, Subject};
use super::time::Time;
use super::version_range::VersionRange;

text_enum! {
    /// What a waiver is for.
    WaiverScope "scope" {
        /// Exactly this version with exactly these bytes.
        Content "content",
        /// The versions of a package in some range.
        Range "range",
        /// Every version of a package.
        Package "package",
    }
}

text_enum! {
    /// What became of a rule that fired.
    FiringPart "part" {
        /// It decided.
        Enforced "enforced",
        /// It was only recorded.
        Observed "observed",
        /// It was waived.
        Waived "waived",
    }
}

text_enum! {
    /// Where a waiver stands at some moment.
    WaiverState "waiver state" {
        /// It counts.
        Active "active",
        /// It waits for a second person.
        Pending "pending",
        /// Its time is over.
        Expired "expired",
        /// Somebody took it back.
        Revoked "revoked",
    }
}

/// What a waiver is for, with what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaiverReach {
    /// Exactly this version with exactly these bytes.
    Content {
        /// The version.
        version_id: VersionId,
        /// Its bytes.
        content_digest: Digest,
    },
    /// The versions of the package in this range.
    Range(VersionRange),
    /// Every version of the package.
    Package,
}

impl WaiverReach {
    /// The kind of it.
    #[must_use]
    pub fn scope(&self) -> WaiverScope {
        match self {
            WaiverReach::Content { .. } => WaiverScope::Content,
            WaiverReach::Range(_) => WaiverScope::Range,
            WaiverReach::Package => WaiverScope::Package,
        }
    }

    /// Whether it has this version of its package, with this content.
    #[must_use]
    pub fn has(&self, id: &VersionId, at: &Coordinates, content: &Digest) -> bool {
        match self {
            WaiverReach::Content { version_id, content_digest } => version_id == id && content_digest == content,
            WaiverReach::Range(range) => range.contains(at),
            WaiverReach::Package => true,
        }
    }
}

/// The word of a person that a rule does not count for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Its id.
    pub id: WaiverId,
    /// The repo.
    pub repo: RepoKey,
    /// The package, by its one spelling.
    pub package: PackageName,
    /// What of the package it is for.
    pub reach: WaiverReach,
    /// The rule, as `candidate::waiver_of` files it.
    pub rule: String,
    /// The strictest decision of the rule that is waived.
    pub covers: Decision,
    /// Why, in words.
    pub reason: String,
    /// The hold whose release wrote it.
    pub quarantine_id: Option<QuarantineId>,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
    /// When it ends; only one that a release wrote has no end.
    pub expires_at: Option<Time>,
    /// Whether it counts only once a second person has approved it.
    pub needs_approval: bool,
    /// When it was approved, and by whom.
    pub approved: Option<(Time, Subject)>,
    /// When it was taken back, and by whom.
    pub revoked: Option<(Time, Subject)>,
}

impl Waiver {
    /// Where it stands at this moment.
    #[must_use]
    pub fn state(&self, at: Time) -> WaiverState {
        if self.revoked.is_some() {
            WaiverState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= at) {
            WaiverState::Expired
        } else if self.needs_approval && self.approved.is_none() {
            WaiverState::Pending
        } else {
            WaiverState::Active
        }
    }

    /// Whose policy the rule stands in; `None` for an order of the server, a hint or a person's word.
    #[must_use]
    pub fn level(&self) -> Option<PolicyLevel> {
        let (level, _) = self.rule.split_once('/')?;
        level.parse().ok()
    }

    /// The rule's own id.
    #[must_use]
    pub fn rule_id(&self) -> &str {
        self.level().and_then(|_| self.rule.split_once('/')).map_or(&self.rule, |(_, rule)| rule)
    }
}
