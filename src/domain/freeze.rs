//! Freezes: what was first seen after some moment is held until somebody lifts that. Invariant: a freeze is set once and lifted once, and
//! both stay on record.

use super::candidate::{Decision, Reason, orders};
use super::id::FreezeId;
use super::name::{PackageType, RepoKey, Subject};
use super::reservation::EVERY_TYPE;
use super::time::Time;
use crate::error::Result;

/// A hold on everything new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Its id.
    pub id: FreezeId,
    /// The repo, or `None` for the instance.
    pub repo: Option<RepoKey>,
    /// The type of package, or `None` for every type.
    pub package_type: Option<PackageType>,
    /// What was first seen after this is held.
    pub after: Time,
    /// Why, in words.
    pub reason: String,
    /// When it was set.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
    /// When it was lifted, and by whom.
    pub lifted: Option<(Time, Subject)>,
}

impl Freeze {
    /// What the gate is ordered.
    #[must_use]
    pub fn order(&self) -> Reason {
        let what =
            self.package_type.as_ref().map_or_else(|| "everything".to_owned(), |package_type| format!("every {package_type} package"));
        let place = self.repo.as_ref().map_or_else(|| "this instance".to_owned(), |repo| format!("repo {repo}"));
        let message = format!("{what} first seen in {place} after {} is held until the freeze is lifted: {}", self.after, self.reason);
        Reason { rule: orders::FREEZE.to_owned(), decision: Decision::Quarantine, message, policy: None }
    }
}

/// How the type of a freeze is written: `*` for every type.
#[must_use]
pub fn type_text(package_type: Option<&PackageType>) -> &str {
    package_type.map_or(EVERY_TYPE, PackageType::as_str)
}

/// Reads a type, or `*` for every type.
///
/// # Errors
/// `bad_request` for what is neither.
pub fn type_or_every(text: &str) -> Result<Option<PackageType>> {
    if text == EVERY_TYPE { Ok(None) } else { text.parse().map(Some) }
}
