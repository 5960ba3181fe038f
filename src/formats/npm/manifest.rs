//! One version as a packument shows it. Invariant: it is made of a `Visible<Release>` or, for one that is withheld, of its name alone;
//! the publisher's text of each member goes out as it came, and the registry says name, version, address and digests itself.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::document::Dist;
use super::members::Members;
use super::name;
use crate::domain::name::{Coordinates, PackageName, RepoKey};
use crate::domain::version::{File, Release, Version};
use crate::domain::visibility::Visible;
use crate::error::{Error, Result};
use crate::formats::{Audience, encoded};

/// The members of a version that an installer needs: those of the abbreviated form.
const OF_INSTALLERS: &[&str] = &[
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "bin",
    "directories",
    "engines",
    "cpu",
    "os",
    "libc",
    "funding",
    "_hasShrinkwrap",
    "hasInstallScript",
];
/// Members that the registry writes itself, or that stand once for the whole package.
const OF_REGISTRY: &[&str] = &["name", "version", "_id", "dist", "deprecated", "readme", "_npmUser", "maintainers", "_rev", "_attachments"];

/// Which members are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// All.
    Full,
    /// What an installer needs.
    Abbreviated,
}

impl Form {
    /// The media type that is sent, and that asks for it.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Form::Full => "application/json",
            Form::Abbreviated => "application/vnd.npm.install-v1+json",
        }
    }
}

/// For whom and where a version is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The address of the server.
    pub(super) base_url: &'a str,
    /// The repo.
    pub(super) repo: &'a RepoKey,
    /// Which members.
    pub(super) form: Form,
    /// Who reads.
    pub(super) audience: Audience,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: String,
    version: &'a str,
    #[serde(rename = "_id", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    members: Members<'a>,
    dist: ShownDist<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<&'a str>,
    #[serde(rename = "_npmUser", skip_serializing_if = "Option::is_none")]
    publisher: Option<Person<'a>>,
}

/// Somebody, as documents name people.
#[derive(Debug, Serialize)]
pub(super) struct Person<'a> {
    /// The subject.
    pub(super) name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownDist<'a> {
    tarball: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    integrity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shasum: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unpacked_size: Option<u64>,
}

/// A visible version. One that has no tarball cannot be installed, so it is not shown.
///
/// # Errors
/// Internal, when it cannot be written as JSON.
pub(super) fn shown(release: &Visible<Release>, frame: Frame<'_>) -> Result<Option<Box<RawValue>>> {
    let Some(tarball) = tarball(release) else { return Ok(None) };
    let version = &release.version;
    let text = manifest_text(release);
    let members = Members::parse(text).unwrap_or_default();
    let kept: Option<Dist> = members.read("dist");
    let kept = kept.as_ref().filter(|dist| tarball.sha1.as_ref() == Some(&dist.shasum));
    let dist = ShownDist {
        tarball: address(&version.coordinates, frame)?,
        // What came by another way than a publish of npm has no sha512; its sha256 is known of every file.
        integrity: Some(
            kept.map_or_else(|| format!("sha256-{}", STANDARD.encode(tarball.digest.as_bytes())), |dist| dist.integrity.clone()),
        ),
        shasum: tarball.sha1.as_deref(),
        file_count: kept.and_then(|dist| dist.file_count),
        unpacked_size: kept.and_then(|dist| dist.unpacked_size),
    };
    let is_full = frame.form == Form::Full;
    let name = name::written(version.coordinates.package());
    let shown = Shown {
        id: is_full.then(|| format!("{name}@{}", version.coordinates.version())),
        name,
        version: version.coordinates.version(),
        members: members.only(|name| !OF_REGISTRY.contains(&name) && (is_full || OF_INSTALLERS.contains(&name))),
        dist,
        deprecated: version.yanked_reason.as_deref(),
        publisher: publisher(version, frame),
    };
    raw(&shown).map(Some)
}

/// A version that is withheld: what a client needs to find out that it is, and nothing of its content.
///
/// # Errors
/// Internal, when it cannot be written as JSON.
pub(super) fn withheld(at: &Coordinates, frame: Frame<'_>) -> Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct Withheld<'a> {
        name: String,
        version: &'a str,
        dist: Address,
    }
    #[derive(Serialize)]
    struct Address {
        tarball: String,
    }
    let dist = Address { tarball: address(at, frame)? };
    raw(&Withheld { name: name::written(at.package()), version: at.version(), dist })
}

/// The file of a release that is its tarball: the one that is called so, else the first that is packed so.
pub(super) fn tarball(release: &Release) -> Option<&File> {
    let expected = name::tarball(&release.version.coordinates).ok()?.key();
    let is_packed = |file: &&File| file.path.key().ends_with(".tgz");
    release.files.iter().find(|file| file.path.key() == expected).or_else(|| release.files.iter().find(is_packed))
}

/// The text of a release's manifest; of one that has none, an empty object.
pub(super) fn manifest_text(release: &Release) -> &str {
    let bytes = release.manifest.as_ref().map_or(b"{}".as_slice(), |manifest| &manifest.bytes);
    std::str::from_utf8(bytes).unwrap_or("{}")
}

/// The address of the package, without a slash at the end.
pub(super) fn package_address(package: &PackageName, base_url: &str, repo: &RepoKey) -> String {
    format!("{base_url}/npm/{repo}/{}", encoded(&name::written(package)).replacen("%40", "@", 1))
}

fn address(at: &Coordinates, frame: Frame<'_>) -> Result<String> {
    let package = package_address(at.package(), frame.base_url, frame.repo);
    Ok(format!("{package}/-/{}", encoded(name::tarball(at)?.as_str())))
}

/// Who published it, for those who are known here themselves.
fn publisher<'a>(version: &'a Version, frame: Frame<'_>) -> Option<Person<'a>> {
    let is_told = frame.form == Form::Full && frame.audience == Audience::Authenticated;
    is_told.then(|| Person { name: version.published_by.as_str() })
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|cause| Error::internal("writing an npm version as JSON", cause))
}
