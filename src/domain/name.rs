//! Names as people write them and the one spelling they are looked up by.
//! Invariant: two spellings of one package have equal keys, on every route, before any policy or store sees them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::coordinates::Coordinates;
use super::spelling::{self, keys_of};
use crate::error::{Error, Result};

/// Bytes a package name, namespace or version may have.
pub const NAME_LIMIT_BYTES: usize = 214;
/// Bytes a relative path may have.
pub const PATH_LIMIT_BYTES: usize = 512;

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<$name> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

/// The key of a repo: `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoKey(String);
text_newtype!(RepoKey);

impl FromStr for RepoKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<RepoKey> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts = text.bytes().next().is_some_and(legal);
        if starts && text.len() <= 64 && text.bytes().all(|byte| legal(byte) || b"._-".contains(&byte)) && !text.contains("..") {
            Ok(RepoKey(text.to_owned()))
        } else {
            Err(Error::bad_request("a repo key has 1 to 64 of a-z 0-9 . _ -, starts with a letter or digit, and has no two dots in a row"))
        }
    }
}

/// The type of a package, as a package URL names it: `pypi`, `npm`, `cargo`, `generic`, …
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageType(String);
text_newtype!(PackageType);

impl PackageType {
    /// Plain files, served under `/files`.
    #[must_use]
    pub fn generic() -> PackageType {
        PackageType("generic".to_owned())
    }

    /// Python distributions.
    #[must_use]
    pub fn pypi() -> PackageType {
        PackageType("pypi".to_owned())
    }

    /// JavaScript packages.
    #[must_use]
    pub fn npm() -> PackageType {
        PackageType("npm".to_owned())
    }

    /// Rust crates.
    #[must_use]
    pub fn cargo() -> PackageType {
        PackageType("cargo".to_owned())
    }

    /// Whether a package has one spelling, that of its first publisher, as clients look it up under that alone.
    #[must_use]
    pub fn keeps_first_spelling(&self) -> bool {
        self.0 == "cargo"
    }

    /// Whether the file names of a package share one namespace over all its versions, as PyPI's do; then a file name is
    /// spent once any sealed version has used it.
    #[must_use]
    pub fn files_share_one_namespace(&self) -> bool {
        self.0 == "pypi"
    }
}

impl FromStr for PackageType {
    type Err = Error;

    fn from_str(text: &str) -> Result<PackageType> {
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if text == "versions" {
            return Err(Error::bad_request("`versions` is no package type: it is a word of the API's addresses"));
        }
        if starts
            && text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
        {
            Ok(PackageType(text.to_owned()))
        } else {
            Err(Error::bad_request("a package type has 1 to 32 of a-z 0-9 . - and starts with a letter, such as pypi"))
        }
    }
}

/// Who acts: a person, a robot or, with the prefix `system:`, the server itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);
text_newtype!(Subject);

impl Subject {
    /// Somebody who gave no credentials.
    #[must_use]
    pub fn anonymous() -> Subject {
        Subject("anonymous".to_owned())
    }

    /// A part of the server, such as `system:policy`.
    #[must_use]
    pub fn system(part: &str) -> Subject {
        Subject(format!("system:{part}"))
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Subject> {
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+:/".contains(&byte));
        if text.is_empty() || text.len() > 128 || !legal {
            return Err(Error::bad_request("a subject has 1 to 128 of A-Z a-z 0-9 . _ - @ + : /"));
        }
        if text == "anonymous" || text.starts_with("system:") {
            return Err(Error::bad_request("the subjects anonymous and system:… are the server's own"));
        }
        Ok(Subject(text.to_owned()))
    }
}

/// The path of a file inside its version: relative, `/` between segments, kept as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);
text_newtype!(RelativePath);

impl RelativePath {
    /// The spelling that must be unique in a version: lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for RelativePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<RelativePath> {
        if text.is_empty() || text.len() > PATH_LIMIT_BYTES {
            return Err(Error::bad_request(format!("a path has 1 to {PATH_LIMIT_BYTES} bytes")));
        }
        if text.contains('\\') || text.chars().any(char::is_control) {
            return Err(Error::bad_request("a path has no backslash and no control character"));
        }
        if text.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
            return Err(Error::bad_request("a path is relative and has no empty segment, no . and no .."));
        }
        Ok(RelativePath(text.to_owned()))
    }
}

/// Which package: type, namespace (may be empty) and name as written, and the keys they are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageName {
    package_type: PackageType,
    namespace: String,
    name: String,
    namespace_key: String,
    name_key: String,
}

impl PackageName {
    /// Checks the names and finds their keys by the type's own spelling rules.
    ///
    /// # Errors
    /// `bad_request` when a name is empty, too long, has control characters, or breaks the type's rules.
    pub fn new(package_type: PackageType, namespace: &str, name: &str) -> Result<PackageName> {
        if !namespace.is_empty() {
            for segment in namespace.split('/') {
                check_segment("packageNamespace", segment)?;
            }
        }
        check_segment("packageName", name)?;
        spelling::check(&package_type, namespace, name)?;
        Ok(PackageName::as_written(package_type, namespace, name))
    }

    /// A name that was accepted before, whatever the rules for new ones say now: what is stored stays readable.
    #[must_use]
    pub fn as_written(package_type: PackageType, namespace: &str, name: &str) -> PackageName {
        let (namespace_key, name_key) = keys_of(&package_type, namespace, name);
        PackageName { package_type, namespace: namespace.to_owned(), name: name.to_owned(), namespace_key, name_key }
    }

    /// The type.
    #[must_use]
    pub fn package_type(&self) -> &PackageType {
        &self.package_type
    }

    /// The namespace as written; empty when there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace's one spelling.
    #[must_use]
    pub fn namespace_key(&self) -> &str {
        &self.namespace_key
    }

    /// The name's one spelling.
    #[must_use]
    pub fn name_key(&self) -> &str {
        &self.name_key
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

pub(super) fn check_segment(member: &str, text: &str) -> Result<()> {
    if text.is_empty() || text.len() > NAME_LIMIT_BYTES {
        return Err(Error::bad_request(format!("{member} must have 1 to {NAME_LIMIT_BYTES} bytes")));
    }
    if text == "." || text == ".." || text.contains(['/', '\\']) || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::bad_request(format!(
            "{member} must have no slash, backslash, space or control character, and must not be . or .."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pypi(name: &str, version: &str) -> Coordinates {
        Coordinates::new(PackageName::new(PackageType::pypi(), "", name).unwrap(), version).unwrap()
    }

    #[test]
    fn two_spellings_of_one_pypi_version_have_one_key() {
        let one = pypi("Foo_Bar", "1.0");
        let other = pypi("foo-.bar", "1.0.0");
        assert_eq!(one.package().name_key(), other.package().name_key());
        assert_eq!(one.version_key(), other.version_key());
        assert_ne!(pypi("demo", "1!1.0").version_key(), one.version_key());
        assert_eq!(pypi("demo", "1.0-RC1").version_key(), "1rc1");
    }

    #[test]
    fn a_repo_key_is_never_a_wildcard_or_a_path() {
        for bad in ["*", "", "..", "a..b", "A", "a/b", "-a", &"a".repeat(65)] {
            assert!(bad.parse::<RepoKey>().is_err(), "{bad}");
        }
        assert!("team-1.prod".parse::<RepoKey>().is_ok());
    }

    #[test]
    fn a_path_that_climbs_or_hides_is_refused() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\\b", "a\0b", "a\nb"] {
            assert!(bad.parse::<RelativePath>().is_err(), "{bad:?}");
        }
        assert!("dist/Demo-1.0.tar.gz".parse::<RelativePath>().is_ok());
    }

    #[test]
    fn a_purl_uses_the_normalised_name() {
        assert_eq!(pypi("Foo_Bar", "1.0").purl(), "pkg:pypi/foo-bar@1.0");
    }
}
