//! What wants to come in, as the gate sees it. Invariant: a candidate names its content by one digest over the sorted
//! files and the manifest; a verdict for another digest does not count.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::access::Roles;
use super::advisory::{AdvisoryFindings, ScanFinding};
use super::contents::Contents;
use super::digest::Digest;
use super::id::{TokenId, VersionId};
use super::lifecycle::text_enum;
use super::name::{Coordinates, RepoKey, Subject};
use super::repo::RepoKind;
use super::time::Time;
use super::version::{File, Manifest};

text_enum! {
    /// The way by which a version wants to become visible.
    Action "action" {
        /// Upload and publish.
        Publish "publish",
        /// Copy from another repo.
        Promote "promote",
        /// Take a tombstone back.
        Restore "restore",
        /// Pull through from an upstream.
        Fetch "fetch",
        /// Carry in by bundle.
        Import "import",
    }
}

text_enum! {
    /// What the gate says; ordered from mild to strict.
    Decision "decision" {
        /// It may become visible.
        Allow "allow",
        /// It is held for review.
        Quarantine "quarantine",
        /// It may not.
        Deny "deny",
    }
}

text_enum! {
    /// What decided.
    DecisionSource "decision source" {
        /// No enforced rule fired.
        DefaultAllow "default_allow",
        /// A stored rule fired.
        Policy "policy",
        /// The caller's hint was stricter than the policy.
        HintQuarantine "hint_quarantine",
        /// The caller's hint was stricter than the policy.
        HintDeny "hint_deny",
        /// A person held it by hand.
        Manual "manual",
    }
}

text_enum! {
    /// Whose policy a rule stands in.
    PolicyLevel "policy level" {
        /// The instance's.
        Instance "instance",
        /// The repo's own.
        Repo "repo",
    }
}

/// One rule that fired, as recorded and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The rule's `@id`, or `manual` or `hint`.
    pub rule: String,
    /// What the rule asks for.
    pub decision: Decision,
    /// The rule's `@message`, or the words of the person.
    pub message: String,
    /// Whose policy the rule stands in; `None` for a person's word or a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyLevel>,
}

impl Reason {
    /// What somebody without credentials is told: the kind of reason, without the name and the words of a rule or a person.
    #[must_use]
    pub fn in_general(&self) -> Reason {
        let (rule, message) = match (self.rule.as_str(), self.decision) {
            ("manual", _) => ("manual", "a reviewer holds it"),
            ("hint", _) => ("hint", "a scanner's finding holds it"),
            (orders::RESERVED, _) => (orders::RESERVED, "the name is reserved"),
            (orders::FREEZE, _) => (orders::FREEZE, "new versions are frozen"),
            (orders::CANARY, _) => (orders::CANARY, "it is the package that proves the gate"),
            (_, Decision::Deny) => ("policy", "the policy forbids it"),
            (_, Decision::Quarantine | Decision::Allow) => ("policy", "the policy holds it for review"),
        };
        Reason { rule: rule.to_owned(), decision: self.decision, message: message.to_owned(), policy: None }
    }

    /// What a waiver of this reason is filed under: the rule with whose policy it stands in, so that a waiver of a repo's
    /// rule never covers the instance's rule of the same name.
    #[must_use]
    pub fn waiver(&self) -> String {
        waiver_of(self.policy, &self.rule)
    }
}

/// What a waiver of a rule is filed under: `instance/RULE`, `repo/RULE`, or `RULE` for what no policy says.
#[must_use]
pub fn waiver_of(policy: Option<PolicyLevel>, rule: &str) -> String {
    policy.map_or_else(|| rule.to_owned(), |level| format!("{level}/{rule}"))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rule {})", self.message, self.rule)
    }
}

/// A version on its way to becoming visible, with everything that is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// By which way it comes.
    pub action: Action,
    /// Into which repo.
    pub repo: RepoKey,
    /// The kind of that repo.
    pub repo_kind: RepoKind,
    /// Who asks.
    pub subject: Subject,
    /// The asker's roles on the repo.
    pub roles: Roles,
    /// The token the asker used; `None` for the server itself.
    pub token_id: Option<TokenId>,
    /// Whether the repo may be read without credentials.
    pub anonymous_read: bool,
    /// The version in question; for a promotion, the source version.
    pub version_id: VersionId,
    /// Which package and version.
    pub coordinates: Coordinates,
    /// The upstream it comes from; `None` when it was uploaded here.
    pub upstream: Option<String>,
    /// Its files, ordered by path.
    pub files: Vec<File>,
    /// Its manifest, if it has one.
    pub manifest: Option<Manifest>,
    /// When this instance first saw it.
    pub first_seen_at: Time,
    /// When upstream says it was published, if there is a trusted upstream.
    pub published_upstream_at: Option<Time>,
    /// The moment the question is asked.
    pub asked_at: Time,
    /// What a reviewer waived for exactly this content, as [`waiver_of`] files it.
    pub waived_rules: Vec<String>,
    /// Rules that deny and are waived, as [`waiver_of`] files them.
    pub waived_denials: Vec<String>,
    /// When the first of these waivers ends.
    pub waivers_end_at: Option<Time>,
    /// An external scanner's verdict; it can only tighten.
    pub hint: Option<Decision>,
    /// Who published it: the subject here, or whom the upstream names.
    pub publisher: String,
    /// What is known beside the version itself.
    pub known: Knowledge,
}

/// What is known of a version beside itself, at the moment the question is asked.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// What was found in its package files; `None` when nobody looked.
    pub contents: Option<Contents>,
    /// The newest version of the package that was visible before it.
    pub previous: Option<Previous>,
    /// Whether the same release has a visible distribution that needs no building.
    pub has_built_distribution: bool,
    /// What advisories say.
    pub advisories: AdvisoryFindings,
    /// What external scanners say, one word each.
    pub scans: Vec<ScanFinding>,
    /// What the server itself orders, whatever the policies say: reserved names, freezes, the canary.
    pub orders: Vec<Reason>,
    /// The digest of what people and scanners say of it, by which the store knows a verdict that was made before they said more.
    pub exceptions: Option<Digest>,
}

/// The newest version of a package that was visible before the one in question.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its version, as published.
    pub version: String,
    /// Who published it.
    pub publisher: String,
    /// The sizes of its files together, in bytes.
    pub total_bytes: u64,
    /// Its manifest.
    pub manifest: Option<Manifest>,
    /// What was found in its package files.
    pub contents: Option<Contents>,
}

/// Ids under which the server itself gives reasons; a rule's `@id` cannot have the colon.
pub mod orders {
    /// The name is kept for others.
    pub const RESERVED: &str = "server:reserved";
    /// Everything first seen after some moment is held.
    pub const FREEZE: &str = "server:freeze";
    /// The package that proves the gate.
    pub const CANARY: &str = "server:canary";
}

impl Candidate {
    /// The digest that binds a verdict to this content.
    #[must_use]
    pub fn content_digest(&self) -> Digest {
        content_digest(&self.files, self.manifest.as_ref().map(|manifest| &manifest.digest))
    }
}

/// The sha256 over the files, sorted by path, and the manifest's digest. Each field is preceded by its length, so that no
/// two contents run together.
#[must_use]
pub fn content_digest(files: &[File], manifest: Option<&Digest>) -> Digest {
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(b"artifortress content 1");
    for file in sorted {
        field(file.path.as_str().as_bytes());
        field(file.digest.as_bytes());
        field(&file.size_bytes.to_be_bytes());
    }
    match manifest {
        Some(digest) => field(digest.as_bytes()),
        None => field(b""),
    }
    Digest::from_bytes(hash.finalize().into())
}
