//! What publishers say of a package beside its versions: names for versions, and who may publish it. Invariant: a tag never reads as
//! a version or a range of versions, so no client takes one for the other; each mark and its end has an audit row.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::event::{AuditEntry, Named};
use super::name::{PackageName, RepoKey, Subject};
use crate::error::{Error, Result};

/// Bytes a tag may have.
const TAG_LIMIT_BYTES: usize = 100;

/// A name for a version of a package, such as `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagName(String);

impl TagName {
    /// The tag that clients take when they are not told which.
    pub const LATEST: &'static str = "latest";

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the tag that clients take when they are not told which; a package keeps it.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.0 == TagName::LATEST
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TagName {
    type Err = Error;

    /// Reads a tag: the characters that npm can install by, and nothing that npm reads as a version or a range.
    fn from_str(text: &str) -> Result<TagName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
        if text.is_empty() || text.len() > TAG_LIMIT_BYTES || !text.bytes().all(legal) {
            return Err(Error::bad_request(format!("a tag has 1 to {TAG_LIMIT_BYTES} of A-Z a-z 0-9 - _ . ! ~ * ' ( )")));
        }
        if is_range(text) {
            return Err(Error::bad_request(format!(
                "the tag {text} reads as a version or a range of versions; choose a word, such as beta"
            )));
        }
        Ok(TagName(text.to_owned()))
    }
}

/// Whether clients would read it as a version or a range, as the reference reader does or by how it begins.
fn is_range(text: &str) -> bool {
    let number = text.trim_start_matches(['v', 'V', '~']);
    let first = number.split('.').next().unwrap_or_default();
    let is_partial = !first.is_empty() && (first.bytes().all(|byte| byte.is_ascii_digit()) || ["x", "X", "*"].contains(&first));
    is_partial || nodejs_semver::Range::parse(text).is_ok()
}

/// A mark that was set or taken away.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants and members say what they are; the audit actions below are their contract")]
pub enum MarkEvent {
    TagSet {
        package: PackageName,
        tag: TagName,
        /// What it names now.
        version: Named,
    },
    TagRemoved {
        package: PackageName,
        tag: TagName,
        /// What it named.
        version: Named,
    },
    OwnersChanged {
        repo: RepoKey,
        package: PackageName,
        /// Who was put on the list or taken off it.
        changed: Vec<Subject>,
        /// All who are on it now.
        owners: Vec<Subject>,
    },
}

impl MarkEvent {
    /// The audit row of this happening.
    #[must_use]
    pub fn audit(&self) -> AuditEntry {
        match self {
            MarkEvent::TagSet { package, tag, version } => {
                on_package("package.tag.set", &version.repo, package, json!({"tag": tag.as_str(), "purl": version.purl}))
            }
            MarkEvent::TagRemoved { package, tag, version } => {
                on_package("package.tag.removed", &version.repo, package, json!({"tag": tag.as_str(), "purl": version.purl}))
            }
            MarkEvent::OwnersChanged { repo, package, changed, owners } => {
                on_package("package.owners.changed", repo, package, json!({"changed": changed, "owners": owners}))
            }
        }
    }
}

fn on_package(action: &'static str, repo: &RepoKey, package: &PackageName, mut details: Value) -> AuditEntry {
    if let Some(members) = details.as_object_mut() {
        members.insert("repoKey".to_owned(), json!(repo));
    }
    AuditEntry { action, resource_type: "package", resource_id: format!("{}:{package}", package.package_type()), details }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word_and_never_a_version_or_a_range() {
        for good in
            ["latest", "next", "beta", "canary-1", "release-1.x", "stable.2", "pr(12)", "v", "vnext", "xyz", "a", "LTS", &"t".repeat(100)]
        {
            assert_eq!(good.parse::<TagName>().unwrap().as_str(), good);
        }
        let ranges =
            ["1", "1.2", "1.2.3", "v1", "v1.2.3", "V2", "1.x", "x", "X", "*", "~1", "~1.2", "1.2.3-beta", "01.2.3", "1.2.3.4", "~v1"];
        for bad in ranges.into_iter().chain([
            "",
            " ",
            "a b",
            "a/b",
            "a\nb",
            "\u{7f}",
            "é",
            "^1",
            ">=1",
            "1 || 2",
            "@beta",
            "a%20b",
            &"t".repeat(101),
        ]) {
            assert!(bad.parse::<TagName>().is_err(), "{bad:?}");
        }
    }
}
