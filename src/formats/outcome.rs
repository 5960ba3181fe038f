//! What became of a publish, for every protocol that can say it. Invariant: who reads it published, so it names rules.

use serde::Serialize;

use super::refusal::{Audience, Withholding};
use crate::domain::candidate::Reason;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::State;
use crate::registry::Admitted;

/// An accepted publish in words and as the members of the JSON API.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The state the version is in now.
    pub state: State,
    /// What happened, and what to do next if anything: one ASCII line.
    pub message: String,
    /// The version.
    pub version_id: VersionId,
    /// The evaluation that decided; absent when nothing had to be decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation_id: Option<EvaluationId>,
    /// The hold, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine_id: Option<QuarantineId>,
    /// Why it is held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Whether everything was there before, with the same content.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
}

impl Outcome {
    /// What became of `what`, such as `demo 2.0.0`, on the server at `base_url`.
    #[must_use]
    pub fn new(what: &str, admitted: Admitted, base_url: &str) -> Outcome {
        match admitted {
            Admitted::Published { version_id, evaluation_id } => Outcome {
                message: format!("{what} is published"),
                evaluation_id: Some(evaluation_id),
                idempotent: false,
                ..Outcome::unchanged(what, version_id)
            },
            Admitted::AlreadyPublished { version_id } => Outcome::unchanged(what, version_id),
            Admitted::Quarantined { version_id, evaluation_id, quarantine_id, reasons, opens_at } => Outcome {
                state: State::Quarantined,
                message: Withholding::at_publish(what, quarantine_id.to_string(), reasons.clone(), opens_at)
                    .on(base_url)
                    .line(Audience::Authenticated),
                version_id,
                evaluation_id: Some(evaluation_id),
                quarantine_id: Some(quarantine_id),
                reasons,
                idempotent: false,
            },
        }
    }

    /// Nothing, as `what` was published before with the same content.
    #[must_use]
    pub fn unchanged(what: &str, version_id: VersionId) -> Outcome {
        Outcome {
            state: State::Published,
            message: format!("{what} was published before with the same content"),
            version_id,
            evaluation_id: None,
            quarantine_id: None,
            reasons: Vec::new(),
            idempotent: true,
        }
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.quarantine_id.is_some()
    }
}
