//! How happenings name what they are about. Invariant: a name says nothing of content, so it may stand in any record.

use serde::{Deserialize, Serialize};

use super::id::VersionId;
use super::name::{PackageName, PackageType, RepoKey};

/// A version as an event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The repo.
    pub repo: RepoKey,
    /// The version.
    pub version_id: VersionId,
    /// Its package.
    pub package: PackageName,
    /// Its package URL, for people.
    pub purl: String,
}

/// A package as the index of names has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageKey {
    /// Its type.
    pub package_type: PackageType,
    /// The one spelling of its namespace.
    pub namespace_key: String,
    /// The one spelling of its name.
    pub name_key: String,
}

impl PackageKey {
    /// The package of a key in which the namespace, if any, stands before the last slash.
    #[must_use]
    pub fn split(package_type: PackageType, key: &str) -> PackageKey {
        let (namespace, name) = key.rsplit_once('/').unwrap_or(("", key));
        PackageKey { package_type, namespace_key: namespace.to_owned(), name_key: name.to_owned() }
    }
}
