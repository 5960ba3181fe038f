//! What the index of a project says. Invariant: one view, from which HTML and JSON are rendered; of a withheld file it has the name and
//! why it is withheld, and nothing else.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::name::{METADATA, SIGNATURE, beside};
use crate::domain::name::{Coordinates, RelativePath};
use crate::domain::time::Time;
use crate::domain::version::{File, Release};
use crate::domain::visibility::{Listed, Marked, Visible};
use crate::formats::{Audience, Withholding};

/// A project with its files, ordered by version and name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Its normalised name (PEP 503).
    pub(super) name: String,
    /// Every version that a file below belongs to, oldest first, as its publisher spelled it (PEP 700).
    pub(super) versions: Vec<String>,
    /// The files.
    pub(super) files: Vec<Item>,
}

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its name.
    pub(super) filename: String,
    /// Why nobody should install it: its publisher's words, or that it is withheld (PEP 592).
    pub(super) yanked: Option<String>,
    /// What may be told of its content; `None` while it is withheld.
    pub(super) shown: Option<Shown>,
}

/// What the index tells of a visible file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// 64 hex digits.
    pub(super) sha256: String,
    /// Its size in bytes.
    pub(super) size_bytes: u64,
    /// When it became visible here.
    pub(super) published_at: Option<Time>,
    /// Its `Requires-Python`.
    pub(super) requires_python: Option<String>,
    /// The sha256 of its core metadata, which is served beside it (PEP 658).
    pub(super) metadata_sha256: Option<String>,
    /// Whether a signature is served beside it.
    pub(super) is_signed: bool,
}

impl Project {
    /// The view of what is listed of the project `name`, for this audience; `None` when that is nothing.
    pub(super) fn of(name: &str, listed: &[Listed], audience: Audience) -> Option<Project> {
        let alternative = newest(listed);
        let mut rows: Vec<(&Coordinates, Item)> = Vec::new();
        for listed in listed {
            match listed {
                Listed::Visible(release) => rows.extend(visible_items(release).map(|item| (&release.version.coordinates, item))),
                Listed::Marked(marked) => {
                    let items = marked_items(marked, alternative, audience);
                    rows.extend(items.map(|item| (&marked.coordinates, item)));
                }
            }
        }
        rows.sort_by(|(a, one), (b, other)| a.compare_version(b).then_with(|| one.filename.cmp(&other.filename)));
        if rows.is_empty() {
            return None;
        }
        let mut seen = HashSet::new();
        let versions = rows.iter().filter(|(at, _)| seen.insert(at.version_key())).map(|(at, _)| at.version().to_owned()).collect();
        Some(Project { name: name.to_owned(), versions, files: rows.into_iter().map(|(_, item)| item).collect() })
    }
}

/// The version to use instead of a withheld one: the newest visible, yanked ones and pre-releases only when there is nothing else.
fn newest(listed: &[Listed]) -> Option<&str> {
    let visible = listed.iter().filter_map(|listed| match listed {
        Listed::Visible(release) => Some(&release.version),
        Listed::Marked(_) => None,
    });
    let rank = |version: &crate::domain::version::Version| (version.yanked_reason.is_none(), !version.coordinates.is_prerelease());
    let newest = visible.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.coordinates.compare_version(&b.coordinates)))?;
    Some(newest.coordinates.version())
}

fn visible_items(release: &Visible<Release>) -> impl Iterator<Item = Item> {
    let requires_python = requires_python(release);
    let yanked = release.version.yanked_reason.as_deref().map(in_one_line);
    let files = &release.files;
    let distributions = files.iter().filter(|file| is_distribution(&file.path, files.iter().map(|file| &file.path)));
    distributions.map(move |file| Item {
        filename: file.path.to_string(),
        yanked: yanked.clone(),
        shown: Some(shown(file, files, requires_python.clone(), release)),
    })
}

fn shown(file: &File, files: &[File], requires_python: Option<String>, release: &Visible<Release>) -> Shown {
    let beside = |suffix: &str| {
        let wanted = format!("{}{suffix}", file.path.key());
        files.iter().find(move |other| other.path.key() == wanted)
    };
    Shown {
        sha256: file.digest.hex(),
        size_bytes: file.size_bytes,
        published_at: release.version.published_at,
        requires_python,
        metadata_sha256: beside(METADATA).map(|metadata| metadata.digest.hex()),
        is_signed: beside(SIGNATURE).is_some(),
    }
}

fn marked_items(marked: &Marked, alternative: Option<&str>, audience: Audience) -> impl Iterator<Item = Item> {
    let why = Withholding::new(&marked.coordinates.to_string(), &marked.standing, alternative).line(audience);
    let paths = marked.paths.iter().filter(|path| is_distribution(path, marked.paths.iter()));
    paths.map(move |path| Item { filename: path.to_string(), yanked: Some(why.clone()), shown: None })
}

/// Whether a file is listed: it has an address of its own and stands beside no other.
fn is_distribution<'a>(path: &RelativePath, mut all: impl Iterator<Item = &'a RelativePath>) -> bool {
    let key = path.key();
    !key.contains('/') && beside(&key).is_none_or(|main| !all.any(|other| other.key() == main))
}

/// What the manifest says of the Python versions; whatever else it holds is not looked at.
fn requires_python(release: &Visible<Release>) -> Option<String> {
    #[derive(Deserialize)]
    struct Needs {
        requires_python: Option<Value>,
    }
    let needs: Needs = serde_json::from_slice(&release.manifest.as_ref()?.bytes).ok()?;
    needs.requires_python?.as_str().map(in_one_line).filter(|text| !text.is_empty())
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
