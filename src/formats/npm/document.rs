//! The document of a package as clients send it, and what is kept of a version. Invariant: what is kept is the publisher's own text of each
//! member; what the registry vouches for (digests, sizes, who published) is its own and never a client's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::members::Members;
use super::tarball::Packed;
use crate::domain::name::Coordinates;
use crate::error::{Error, Result};

/// Bytes of a readme that are kept.
const README_LIMIT_BYTES: usize = 64 * 1024;
/// Bytes of a version's manifest that is kept, as for every other way in.
const MANIFEST_LIMIT_BYTES: usize = 1024 * 1024;
/// Members of a version that are the registry's to say, or that are kept apart.
const NOT_KEPT: &[&str] = &[
    "dist",
    "_id",
    "_rev",
    "_attachments",
    "_npmUser",
    "maintainers",
    "deprecated",
    "readme",
    "hasInstallScript",
    "_npmOperationalInternal",
];

/// A document without its tarball.
#[derive(Debug, Deserialize)]
pub(super) struct Document<'a> {
    /// The package's name.
    pub(super) name: Option<String>,
    /// Its versions, each a manifest.
    #[serde(borrow, default)]
    pub(super) versions: Option<BTreeMap<String, &'a RawValue>>,
    /// Names for versions.
    #[serde(rename = "dist-tags", default)]
    pub(super) tags: Option<BTreeMap<String, String>>,
    /// Who may publish it; only asked for, never believed.
    #[serde(borrow, default)]
    pub(super) maintainers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    readme: Option<&'a RawValue>,
    #[serde(rename = "_attachments", default)]
    attachments: Option<BTreeMap<String, Attachment>>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    length: Option<u64>,
}

/// What the version's manifest says of its tarball.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Announced {
    /// Subresource Integrity: `sha512-…`, perhaps several.
    pub(super) integrity: Option<String>,
    /// The sha1 in hex digits.
    pub(super) shasum: Option<String>,
}

/// What is kept of a tarball, so that no packument has to read it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dist {
    /// `sha512-` and the digest in base64.
    pub(super) integrity: String,
    /// The sha1 in 40 hex digits.
    pub(super) shasum: String,
    /// Files inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file_count: Option<u64>,
    /// Their bytes when unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unpacked_size: Option<u64>,
}

impl<'a> Document<'a> {
    /// Reads what was kept of a body.
    ///
    /// # Errors
    /// `bad_request` where it is no document of a package.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Document<'a>> {
        serde_json::from_slice(bytes).map_err(|cause| {
            Error::bad_request(format!("the body is no document of a package as npm sends it: {cause}; see `npm publish`")).because(cause)
        })
    }

    /// The version that the tarball called `attachment` is of, and its manifest.
    ///
    /// # Errors
    /// `bad_request` when the document has no such version.
    pub(super) fn version_of(&self, attachment: &str) -> Result<(&str, &'a RawValue)> {
        let name = self.name.as_deref().unwrap_or_default();
        let bare = name.rsplit('/').next().unwrap_or_default();
        let versions = self.versions.iter().flatten();
        let mut fitting = versions.filter(|(version, _)| {
            let is_of = |name: &str| attachment.strip_prefix(name).is_some_and(|rest| rest == format!("-{version}.tgz"));
            is_of(name) || is_of(bare)
        });
        let (version, manifest) = fitting.next().ok_or_else(|| {
            Error::bad_request(format!(
                "the tarball {attachment} belongs to no version of the document; it must be called NAME-VERSION.tgz after one of them"
            ))
        })?;
        Ok((version, manifest))
    }

    /// How many bytes the tarball was said to have.
    pub(super) fn announced_bytes(&self, attachment: &str) -> Option<u64> {
        self.attachments.as_ref()?.get(attachment)?.length
    }

    /// The tags that name `version`.
    pub(super) fn tags_of(&self, version: &str) -> Vec<String> {
        let tags = self.tags.iter().flatten();
        tags.filter(|(_, named)| *named == version).map(|(tag, _)| tag.clone()).collect()
    }

    /// The readme of the whole, as text.
    fn readme(&self) -> Option<String> {
        serde_json::from_str(self.readme?.get()).ok()
    }
}

/// A version's manifest as it was sent.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    members: Members<'a>,
}

impl<'a> Sent<'a> {
    /// Reads it; it must say the coordinates under which it is published.
    ///
    /// # Errors
    /// `bad_request` when it is no object or says something else.
    pub(super) fn parse(manifest: &'a RawValue, name: &str, version: &str) -> Result<Sent<'a>> {
        let members = Members::parse(manifest.get())
            .map_err(|cause| Error::bad_request(format!("the version {version} of the document is no object")).because(cause))?;
        let said = |member: &str| members.read::<String>(member).unwrap_or_default();
        let (said_name, said_version) = (said("name"), said("version"));
        if said_name != name || said_version != version {
            return Err(Error::bad_request(format!(
                "the manifest in the document says {said_name} {said_version}, but it is published as {name} {version}; publish it again"
            )));
        }
        Ok(Sent { members })
    }

    /// What it says of its tarball.
    pub(super) fn announced(&self) -> Announced {
        self.members.read("dist").unwrap_or_default()
    }

    /// The manifest to keep, with what the registry itself found out.
    ///
    /// # Errors
    /// `too_large`; internal, when it cannot be written as JSON.
    pub(super) fn kept(self, document: &Document<'_>, dist: &Dist, packed: &Packed) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Kept<'a> {
            #[serde(flatten)]
            members: Members<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            readme: Option<String>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            has_install_script: bool,
            dist: &'a Dist,
        }
        let readme = self.members.read::<String>("readme").or_else(|| document.readme()).map(shortened);
        let members = self.members.only(|name| !NOT_KEPT.contains(&name));
        let kept = Kept { members, readme, has_install_script: packed.has_install_script, dist };
        let kept = serde_json::to_vec(&kept).map_err(|cause| Error::internal("writing the manifest of an npm version", cause))?;
        if kept.len() > MANIFEST_LIMIT_BYTES {
            return Err(Error::too_large("the manifest of the version, in bytes,", MANIFEST_LIMIT_BYTES as u64));
        }
        Ok(kept)
    }
}

impl Dist {
    /// Compares what the document announced with what came.
    ///
    /// # Errors
    /// `upload_verification_failed`; `bad_request` for an integrity that cannot be read.
    pub(super) fn check(&self, announced: &Announced, at: &Coordinates) -> Result<()> {
        let differs = |what: &str, expected: &str, actual: &str| {
            let message = format!(
                "the {what} of the tarball of {at} is {actual}, but the document says {expected}; nothing was stored; publish it again"
            );
            Error::new(crate::error::Code::UploadVerificationFailed, message)
        };
        if let Some(shasum) = announced.shasum.as_deref().filter(|shasum| !shasum.eq_ignore_ascii_case(&self.shasum)) {
            return Err(differs("shasum", shasum, &self.shasum));
        }
        // Other algorithms may stand beside it; options follow a question mark.
        let hashes = announced.integrity.as_deref().unwrap_or_default().split_whitespace();
        let mut sha512 =
            hashes.filter(|hash| hash.starts_with("sha512-")).map(|hash| hash.split('?').next().unwrap_or_default()).peekable();
        if sha512.peek().is_some() && !sha512.any(|hash| hash == self.integrity) {
            return Err(differs("integrity", announced.integrity.as_deref().unwrap_or_default(), &self.integrity));
        }
        Ok(())
    }
}

/// The beginning of a readme.
fn shortened(mut readme: String) -> String {
    let mut end = readme.len().min(README_LIMIT_BYTES);
    while !readme.is_char_boundary(end) {
        end -= 1;
    }
    readme.truncate(end);
    readme
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::formats::npm::name;

    fn dist() -> Dist {
        Dist { integrity: "sha512-AAA=".to_owned(), shasum: "a".repeat(40), file_count: Some(1), unpacked_size: Some(2) }
    }

    #[test]
    fn what_is_kept_is_the_publishers_text_and_the_registrys_own_word() {
        let readme = "ü".repeat(40_000);
        let text = json!({
            "name": "@a/b", "readme": readme, "dist-tags": {"latest": "1.0.0", "next": "2.0.0"},
            "versions": {"1.0.0": {"name": "@a/b", "version": "1.0.0", "_id": "x", "_npmUser": {"name": "mallory"}, "x": [1], "deprecated": "no",
                "dist": {"shasum": "b", "tarball": "http://elsewhere.test/x.tgz", "signatures": []}, "_hasShrinkwrap": false}},
            "_attachments": {"@a/b-1.0.0.tgz": {"length": 7, "data": ""}},
        })
        .to_string();
        let document = Document::parse(text.as_bytes()).unwrap();
        let (version, manifest) = document.version_of("@a/b-1.0.0.tgz").unwrap();
        assert_eq!(
            (version, document.announced_bytes("@a/b-1.0.0.tgz"), document.tags_of("1.0.0")),
            ("1.0.0", Some(7), vec!["latest".to_owned()])
        );
        assert!(document.version_of("b-1.0.0.tgz").is_ok() && document.version_of("b-2.0.0.tgz").is_err());
        let sent = Sent::parse(manifest, "@a/b", "1.0.0").unwrap();
        assert_eq!(sent.announced().shasum.as_deref(), Some("b"));
        let packed = Packed { has_install_script: true, ..Packed::default() };
        let kept: Value = serde_json::from_slice(&sent.kept(&document, &dist(), &packed).unwrap()).unwrap();
        assert_eq!(kept["readme"].as_str().unwrap().len(), README_LIMIT_BYTES);
        let mut names: Vec<&str> = kept.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["_hasShrinkwrap", "dist", "hasInstallScript", "name", "readme", "version", "x"]);
        assert_eq!(kept["dist"], json!({"integrity": "sha512-AAA=", "shasum": "a".repeat(40), "fileCount": 1, "unpackedSize": 2}));
        for (name, version) in [("@a/c", "1.0.0"), ("@a/b", "1.0.1")] {
            assert!(Sent::parse(manifest, name, version).is_err());
        }
    }

    #[test]
    fn announced_digests_are_compared_and_others_left_alone() {
        let at = name::version(&name::package("a").unwrap(), "1.0.0").unwrap();
        let check = |integrity: Option<&str>, shasum: Option<&str>| {
            let announced = Announced { integrity: integrity.map(str::to_owned), shasum: shasum.map(str::to_owned) };
            dist().check(&announced, &at)
        };
        for good in [None, Some("sha512-AAA="), Some("sha1-x sha512-AAA=?opt"), Some("sha384-x"), Some("")] {
            check(good, Some(&"A".repeat(40))).unwrap();
        }
        assert!(check(Some("sha512-BBB="), None).unwrap_err().message().contains("integrity"));
        assert!(check(None, Some("b")).unwrap_err().message().contains("shasum"));
    }

    #[test]
    fn what_is_no_document_is_refused_in_words() {
        for bad in ["", "[]", "{", r#"{"name":"a","name":"b"}"#, r#"{"versions":[]}"#, r#"{"dist-tags":{"latest":1}}"#] {
            let error = Document::parse(bad.as_bytes()).unwrap_err();
            assert!(error.message().contains("no document of a package"), "{bad}: {error}");
        }
    }
}
