//! What lock files hold a release to. Invariant: a few named members of the manifest and the digests of the files, of package types
//! whose clients compare them again each time; nothing that people wrote for people, and not one byte of a file.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::digest::Digest;
use super::name::{PackageType, RelativePath};
use super::time::Time;
use super::version::Release;

/// What an index goes on saying of a release while it is withheld, so that a client that has locked it asks for it and is told why,
/// instead of calling the index corrupt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockable {
    /// When this registry first saw it.
    pub first_seen_at: Time,
    /// Its files, by the digests of their bytes.
    pub files: Vec<(RelativePath, Digest)>,
    /// The members of its manifest that a resolver needs, as a JSON object.
    pub manifest: String,
}

/// The members of a crate's publish request from which its index line is made.
#[derive(Default, Deserialize, Serialize)]
struct Members<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    deps: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    features: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    links: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    rust_version: Option<&'a RawValue>,
}

impl Lockable {
    /// What there is of that in a release; `None` for other types, and where the manifest cannot be read.
    #[must_use]
    pub fn of(release: &Release) -> Option<Lockable> {
        if release.version.coordinates.package().package_type() != &PackageType::cargo() {
            return None;
        }
        let members: Members<'_> = serde_json::from_slice(&release.manifest.as_ref()?.bytes).ok()?;
        Some(Lockable {
            first_seen_at: release.version.first_seen_at,
            files: release.files.iter().map(|file| (file.path.clone(), file.digest)).collect(),
            manifest: serde_json::to_string(&members).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::id::VersionId;
    use crate::domain::lifecycle::State;
    use crate::domain::name::{Coordinates, PackageName, Subject};
    use crate::domain::version::{File, Manifest, Version};

    fn release(package_type: &str, manifest: Option<&str>) -> Release {
        let package = PackageName::new(package_type.parse().unwrap(), "", "demo").unwrap();
        let (id, bytes) = (VersionId::new(uuid::Uuid::nil()), manifest.map(|text| text.as_bytes().to_vec()));
        let (digest, at) = (Digest::of(b"crate"), Time::from_unix_ms(0));
        let version = Version {
            id,
            repo: "main".parse().unwrap(),
            coordinates: Coordinates::new(package, "1.0.0").unwrap(),
            state: State::Quarantined,
            created_at: at,
            created_by: Subject::anonymous(),
            first_seen_at: at,
            published_by: Subject::anonymous(),
            published_at: None,
            content_digest: None,
            yanked_reason: None,
            protection: None,
            tombstone: None,
        };
        let path: RelativePath = "demo-1.0.0.crate".parse().unwrap();
        let file = File { version_id: id, path, digest, size_bytes: 5, media_type: None, sha1: None };
        Release { version, files: vec![file], manifest: bytes.map(|bytes| Manifest { version_id: id, digest: Digest::of(&bytes), bytes }) }
    }

    #[test]
    fn only_what_a_resolver_compares_is_taken_and_nothing_that_people_wrote() {
        let manifest = json!({
            "name": "demo", "vers": "1.0.0", "deps": [{"name": "a", "version_req": "^1"}], "features": {"x": []}, "links": null,
            "description": "secret", "readme": "secret", "authors": ["secret"], "keywords": ["secret"], "license": "secret",
        });
        let taken = Lockable::of(&release("cargo", Some(&manifest.to_string()))).unwrap();
        assert_eq!(taken.manifest, r#"{"deps":[{"name":"a","version_req":"^1"}],"features":{"x":[]}}"#);
        assert_eq!(taken.files, [("demo-1.0.0.crate".parse().unwrap(), Digest::of(b"crate"))]);
    }

    #[test]
    fn other_types_have_none_and_a_manifest_that_cannot_be_read_neither() {
        for (package_type, manifest) in [("pypi", Some("{}")), ("generic", Some("{}")), ("cargo", None), ("cargo", Some("{ no"))] {
            assert!(Lockable::of(&release(package_type, manifest)).is_none(), "{package_type} {manifest:?}");
        }
    }
}
