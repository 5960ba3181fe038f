//! Holds and their history. Invariant: an item is resolved once; its votes and its resolution are never rewritten.

use super::candidate::Reason;
use super::digest::Digest;
use super::id::{EvaluationId, QuarantineId, VersionId};
use super::lifecycle::{HeldFrom, text_enum};
use super::name::{RepoKey, Subject};
use super::time::Time;

text_enum! {
    /// Where an item stands.
    QuarantineStatus "quarantine status" {
        /// Waiting for a reviewer.
        Quarantined "quarantined",
        /// Let go.
        Released "released",
        /// Refused for good.
        Rejected "rejected",
    }
}

text_enum! {
    /// What a reviewer says.
    Ballot "vote" {
        /// Let it go.
        Release "release",
        /// Refuse it.
        Reject "reject",
    }
}

/// One hold on one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineItem {
    /// Its id.
    pub id: QuarantineId,
    /// The repo.
    pub repo: RepoKey,
    /// The version held.
    pub version_id: VersionId,
    /// Where it stands.
    pub status: QuarantineStatus,
    /// Where the hold came from.
    pub held_from: HeldFrom,
    /// The digest of the content that is held; a release covers exactly this.
    pub content_digest: Digest,
    /// The evaluation that held it; `None` for a hold by hand.
    pub evaluation_id: Option<EvaluationId>,
    /// Why: the rules that fired, or the words of the person who held it.
    pub reasons: Vec<Reason>,
    /// When the hold began.
    pub created_at: Time,
    /// When the policy will allow it, if its rules say so; what happens then is decided then.
    pub opens_at: Option<Time>,
    /// Who caused it.
    pub created_by: Subject,
    /// When, by whom and with which comment it was resolved.
    pub resolution: Option<Resolution>,
    /// Every vote, oldest first.
    pub votes: Vec<Vote>,
}

/// How an item ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// When.
    pub at: Time,
    /// By whom.
    pub by: Subject,
    /// With which comment.
    pub comment: Option<String>,
}

/// One reviewer's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub subject: Subject,
    /// What.
    pub ballot: Ballot,
    /// Why.
    pub comment: Option<String>,
    /// When.
    pub at: Time,
}
