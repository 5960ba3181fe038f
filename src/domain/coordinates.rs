//! Which version of which package. Invariant: two spellings of one version have equal keys, by the ecosystem's own rules.

use std::fmt;

use super::name::{PackageName, RelativePath, check_segment};
use crate::error::{Error, Result};

/// Which version of which package: the names as written, and the keys they are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coordinates {
    package: PackageName,
    version: String,
    version_key: String,
    distribution: String,
}

impl Coordinates {
    /// Checks the version by the type's rules and finds its key.
    ///
    /// # Errors
    /// `bad_request` when the version is empty, too long, has control characters, or is no version of this type.
    pub fn new(package: PackageName, version: &str) -> Result<Coordinates> {
        check_segment("version", version)?;
        let version_key = match package.package_type().as_str() {
            "pypi" => pypi_version_key(version)?,
            "npm" => semver_key(version, true)?,
            "cargo" => semver_key(version, false)?,
            _ => version.to_owned(),
        };
        Ok(Coordinates { package, version: version.to_owned(), version_key, distribution: String::new() })
    }

    /// The same release, but one distribution of it: where a protocol publishes a release file by file (PyPI), each file is
    /// a version of its own with its own verdict, told apart by the file's name.
    #[must_use]
    pub fn distribution_named(mut self, file_name: &RelativePath) -> Coordinates {
        self.distribution = file_name.key();
        self
    }

    /// The package.
    #[must_use]
    pub fn package(&self) -> &PackageName {
        &self.package
    }

    /// The version as written.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version's one spelling.
    #[must_use]
    pub fn version_key(&self) -> &str {
        &self.version_key
    }

    /// The key of the distribution inside the release; empty for a release published whole.
    #[must_use]
    pub fn distribution(&self) -> &str {
        &self.distribution
    }

    /// The package URL of this version, such as `pkg:pypi/demo@2.0.0`, in its normalised spelling.
    #[must_use]
    pub fn purl(&self) -> String {
        let built = packageurl::PackageUrl::new(self.package.package_type().as_str().to_owned(), self.package.name_key().to_owned());
        let Ok(mut purl) = built else {
            return format!("pkg:{}/{}@{}", self.package.package_type(), self.package.name_key(), self.version);
        };
        if !self.package.namespace_key().is_empty() {
            let namespace = if self.package.package_type().as_str() == "npm" {
                format!("@{}", self.package.namespace_key())
            } else {
                self.package.namespace_key().to_owned()
            };
            if purl.with_namespace(namespace).is_err() {
                return format!("pkg:{}/{}@{}", self.package.package_type(), self.package.name_key(), self.version);
            }
        }
        if purl.with_version(self.version.clone()).is_err() {
            return format!("pkg:{}/{}@{}", self.package.package_type(), self.package.name_key(), self.version);
        }
        purl.to_string()
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.version)
    }
}

/// PEP 440 normal form with trailing zeros of the release removed, so that `1.0` and `1.0.0` are one version.
fn pypi_version_key(version: &str) -> Result<String> {
    let parsed: pep440_rs::Version =
        version.parse().map_err(|_| Error::bad_request("a PyPI version follows PEP 440, such as 1.2.0 or 2.0rc1"))?;
    let mut release: Vec<u64> = parsed.release().to_vec();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    Ok(parsed.with_release(release).to_string())
}

/// Semantic versioning; npm ignores build metadata when it compares, Cargo keeps it out of uniqueness too.
fn semver_key(version: &str, allow_leading_v: bool) -> Result<String> {
    let text = if allow_leading_v { version.strip_prefix('v').unwrap_or(version) } else { version };
    let mut parsed = semver::Version::parse(text)
        .map_err(|_| Error::bad_request("the version must be a full semantic version, such as 1.2.0 or 2.0.0-rc.1"))?;
    parsed.build = semver::BuildMetadata::EMPTY;
    Ok(parsed.to_string())
}
