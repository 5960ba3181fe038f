//! Recorded decisions held against their inputs. Invariant: the input and the policies are those of then, what the engine says of them now
//! must be the record to the byte, and what would be decided today is told beside it and never counts as a fault.

use std::fmt::Display;

use serde::Serialize;

use crate::domain::candidate::{Decision, Reason};
use crate::domain::digest::Digest;
use crate::error::Result;
use crate::policy::{Bound, Outcome, digest_of_policies};
use crate::store::{Evaluation, PolicySnapshot, RecordedEvaluation};

/// Bytes of a differing member that are shown.
const SHOWN_BYTES: usize = 4096;

/// A member of a record that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Its name in the API.
    pub member: &'static str,
    /// What was recorded.
    pub recorded: String,
    /// What comes of the recorded input and policies now.
    pub now: String,
}

/// What would be decided today, of the same question with today's facts and policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Today {
    /// The decision.
    pub decision: Decision,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Whether that is another decision than the recorded one, or for other reasons.
    pub differs: bool,
}

/// What came of holding a record against its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The recorded evaluation.
    pub evaluation: Evaluation,
    /// What the engine says now of the same input under the same policies.
    pub outcome: Outcome,
    /// The engine that says so.
    pub engine_version: String,
    /// What differs; empty when the record is proven.
    pub mismatches: Vec<Mismatch>,
    /// What would be decided today, where that was asked for and can be said.
    pub today: Option<Today>,
}

impl Proof {
    /// Whether all is the same: input, policies, advisories, decision, reasons.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// Whether this member differs.
    #[must_use]
    pub fn differs_in(&self, member: &str) -> bool {
        self.mismatches.iter().any(|mismatch| mismatch.member == member)
    }

    /// Whether the engine is the one that decided then; another one is no fault by itself.
    #[must_use]
    pub fn is_same_engine(&self) -> bool {
        self.engine_version == self.evaluation.engine_version
    }

    /// Holds a record against what its input and its policies come to now.
    ///
    /// # Errors
    /// `policy_error` when the input cannot be read.
    pub fn of(recorded: RecordedEvaluation, policies: &PolicySnapshot, outcome: Outcome, engine_version: &str) -> Result<Proof> {
        let mut found = Vec::new();
        let bound = Bound::read(&recorded.input)?;
        let RecordedEvaluation { evaluation, input, words } = recorded;
        let mut hold = |member, recorded: &dyn Display, now: &dyn Display| {
            let (recorded, now) = (recorded.to_string(), now.to_string());
            if recorded != now {
                found.push(Mismatch { member, recorded: shortened(recorded), now: shortened(now) });
            }
        };
        hold("inputDigest", &evaluation.input_digest, &Digest::of(input.as_bytes()));
        hold("policyDigest", &evaluation.policy_digest, &digest_of_policies(&policies.digests()));
        hold("advisoryDigest", &digest(evaluation.advisory_digest), &digest(bound.advisories_digest));
        hold("contentDigest", &evaluation.content_digest, &bound.content_digest);
        hold("repoKey", &evaluation.repo, &bound.repo);
        hold("versionId", &evaluation.version_id, &bound.version_id);
        hold("action", &evaluation.action, &bound.action);
        hold("decision", &evaluation.decision, &outcome.decision);
        hold("decisionSource", &evaluation.source, &outcome.source);
        hold("reasons", &words.reasons, &canonical(&outcome.reasons));
        hold("observed", &words.observed, &canonical(&outcome.observed));
        hold("waived", &words.waived, &canonical(&outcome.waived));
        Ok(Proof { evaluation, outcome, engine_version: engine_version.to_owned(), mismatches: found, today: None })
    }

    /// The same proof with what would be decided today.
    #[must_use]
    pub fn with_today(self, today: Option<Outcome>) -> Proof {
        let today = today.map(|today| {
            let differs = today.decision != self.evaluation.decision || today.reasons != self.evaluation.reasons;
            Today { decision: today.decision, reasons: today.reasons, differs }
        });
        Proof { today, ..self }
    }
}

/// The JSON in which reasons are recorded.
fn canonical(reasons: &[Reason]) -> String {
    serde_json::to_string(reasons).unwrap_or_default()
}

fn digest(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

fn shortened(mut text: String) -> String {
    if text.len() > SHOWN_BYTES {
        let end = (0..=SHOWN_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
