//! What the gate said, as a proof. Invariant: the fields of a `Verdict` are private and only this room makes one, so
//! holding one means that a policy was evaluated for exactly this content.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::document::Document;
use super::input::Input;
use crate::domain::candidate::{Action, Candidate, Decision, DecisionSource, PolicyLevel, Reason};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;

/// A policy and whose it is.
pub type PolicyInForce = (PolicyLevel, Arc<Document>);

/// What the rules said; reasons are ordered by strictness, then the instance's before the repo's, then by rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The strictest of all enforced rules that fired and were not waived, and of the hint.
    pub decision: Decision,
    /// What decided.
    pub source: DecisionSource,
    /// Every rule that counts.
    pub reasons: Vec<Reason>,
    /// Rules in observe mode that fired.
    pub observed: Vec<Reason>,
    /// Rules that fired and were waived.
    pub waived: Vec<Reason>,
}

/// The outcome for one candidate, bound to its content, to the policies and to the moment.
#[derive(Debug)]
pub struct Verdict {
    outcome: Outcome,
    action: Action,
    repo: RepoKey,
    version_id: VersionId,
    content_digest: Digest,
    policy_digest: Digest,
    engine_version: String,
    advisory_digest: Option<Digest>,
    exceptions_digest: Option<Digest>,
    input: String,
    input_digest: Digest,
    evaluated_at: Time,
    next_change: Option<Time>,
    opens_at: Option<Time>,
}

impl Verdict {
    pub(super) fn new(candidate: &Candidate, input: &Input, text: String, outcome: Outcome, made_by: (Digest, &str)) -> Verdict {
        let (policy_digest, engine_version) = made_by;
        Verdict {
            outcome,
            action: input.action,
            repo: input.resource.clone(),
            version_id: input.version_id,
            content_digest: input.content_digest,
            policy_digest,
            engine_version: engine_version.to_owned(),
            advisory_digest: input.advisories_digest,
            exceptions_digest: candidate.known.exceptions,
            input_digest: Digest::of(text.as_bytes()),
            input: text,
            evaluated_at: candidate.asked_at,
            next_change: None,
            opens_at: None,
        }
    }

    /// The same verdict with the moment at which it will be another.
    pub(super) fn changing(self, next_change: Option<Time>) -> Verdict {
        Verdict { next_change, ..self }
    }

    /// The same verdict with the moment from which it will allow.
    pub(super) fn opening(self, opens_at: Option<Time>) -> Verdict {
        Verdict { opens_at, ..self }
    }

    /// The decision with all its reasons, as a replay gives it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The way it wanted to become visible.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The repo it wanted to become visible in.
    #[must_use]
    pub fn repo(&self) -> &RepoKey {
        &self.repo
    }

    /// The version that was asked about.
    #[must_use]
    pub fn version_id(&self) -> VersionId {
        self.version_id
    }

    /// The decision.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.outcome.decision
    }

    /// What decided.
    #[must_use]
    pub fn source(&self) -> DecisionSource {
        self.outcome.source
    }

    /// Every enforced rule that fired and was not waived, and the hint if it tightened; strictest first.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.outcome.reasons
    }

    /// Rules in observe mode that fired.
    #[must_use]
    pub fn observed(&self) -> &[Reason] {
        &self.outcome.observed
    }

    /// Rules that fired and were waived for this content.
    #[must_use]
    pub fn waived(&self) -> &[Reason] {
        &self.outcome.waived
    }

    /// The digest over the policies that were in force; see [`policy_digest`].
    #[must_use]
    pub fn policy_digest(&self) -> Digest {
        self.policy_digest
    }

    /// The engine and its version.
    #[must_use]
    pub fn engine_version(&self) -> &str {
        &self.engine_version
    }

    /// The digest of the advisories that were looked at; `None` before any were imported.
    #[must_use]
    pub fn advisory_digest(&self) -> Option<Digest> {
        self.advisory_digest
    }

    /// The digest of what people and scanners said of the version when it was judged, as the store gave it.
    #[must_use]
    pub fn exceptions_digest(&self) -> Option<Digest> {
        self.exceptions_digest
    }

    /// Everything the decision depended on: canonical JSON that [`super::Engine::replay`] evaluates again.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The sha256 of [`Verdict::input`].
    #[must_use]
    pub fn input_digest(&self) -> Digest {
        self.input_digest
    }

    /// The digest over the files and the manifest that were judged.
    #[must_use]
    pub fn content_digest(&self) -> Digest {
        self.content_digest
    }

    /// The first moment at which the same question has another outcome though nothing changed but the time, as
    /// [`super::Engine::foresee`] found it; at the latest then it must be asked again.
    #[must_use]
    pub fn next_change(&self) -> Option<Time> {
        self.next_change
    }

    /// Of a verdict that holds: the first moment at which the same question is allowed though nothing changed but the time, if rules
    /// say one. It is for people; what happens then is decided then.
    #[must_use]
    pub fn opens_at(&self) -> Option<Time> {
        self.opens_at
    }

    /// The moment the question was asked.
    #[must_use]
    pub fn evaluated_at(&self) -> Time {
        self.evaluated_at
    }
}

/// The sha256 over the levels and text digests of the policies in force, the instance's first; defined for none, too.
#[must_use]
pub fn policy_digest(policies: &[PolicyInForce]) -> Digest {
    let parts: Vec<(PolicyLevel, Digest)> = policies.iter().map(|(level, document)| (*level, document.digest())).collect();
    digest_of_policies(&parts)
}

/// The same digest from the digests of the policy texts: what the store compares a verdict with.
#[must_use]
pub fn digest_of_policies(policies: &[(PolicyLevel, Digest)]) -> Digest {
    let mut parts = policies.to_vec();
    parts.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(b"artifortress policies 1\n");
    for (level, digest) in parts {
        hash.update(level.as_str().as_bytes());
        hash.update(b" ");
        hash.update(digest.as_bytes());
        hash.update(b"\n");
    }
    Digest::from_bytes(hash.finalize().into())
}
