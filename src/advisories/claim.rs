//! What one record says of one package, as it is kept for matching. Invariant: small, since one is read for every advisory of a
//! package on every evaluation, and complete: matching needs nothing else of the record.

use serde::{Deserialize, Serialize};

use crate::domain::advisory::Severity;

/// What one record says of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    /// The record's id.
    pub id: String,
    /// Other ids of the same vulnerability.
    pub aliases: Vec<String>,
    /// Its entries for the package, at least one.
    pub entries: Vec<Entry>,
}

/// What sort of thing an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// No vulnerability: unmaintained, unsound, a notice.
    Informational,
    /// A fault.
    Vulnerability,
    /// Made to harm.
    Malware,
}

/// Some versions, and what is said of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// What it tells of.
    pub kind: Kind,
    /// How bad it is, if it says so.
    pub severity: Option<Severity>,
    /// Whether it speaks of all versions, since it names none, or names them in a way that nobody here can read.
    pub every_version: bool,
    /// Versions named one by one which no range has.
    pub versions: Vec<String>,
    /// Ranges of versions; one that contains the version is enough.
    pub ranges: Vec<Range>,
}

/// A range: what happens at which version, in no certain order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Range(pub Vec<RangeEvent>);

/// What happens at a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RangeEvent {
    /// From here on versions are affected; `0` is before every version.
    Introduced(String),
    /// From here on they are not.
    Fixed(String),
    /// After this one they are not.
    LastAffected(String),
    /// From here on the range says nothing.
    Limit(String),
}
