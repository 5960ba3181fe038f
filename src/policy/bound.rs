//! What a recorded input says it is about. Invariant: read out of the input itself, of whichever version it is, so that a record can be
//! held against it.

use serde::Deserialize;

use super::evaluate::failure;
use crate::domain::candidate::Action;
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::error::Result;

/// What a recorded input is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// The way in.
    pub action: Action,
    /// The repo that was to be entered.
    #[serde(rename = "resource")]
    pub repo: RepoKey,
    /// The version.
    pub version_id: VersionId,
    /// The content judged.
    pub content_digest: Digest,
    /// The advisories judged by; `None` before any were imported.
    #[serde(default)]
    pub advisories_digest: Option<Digest>,
}

impl Bound {
    /// Reads it out of an input.
    ///
    /// # Errors
    /// `policy_error` when it cannot be read.
    pub fn read(input: &str) -> Result<Bound> {
        serde_json::from_str(input).map_err(|cause| failure("a recorded question", cause))
    }
}
