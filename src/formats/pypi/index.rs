//! What the index of a project says. Invariant: one view, from which HTML and JSON are rendered; of a withheld file it has the name and
//! why it is withheld, and nothing else.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::name::{METADATA, PROVENANCE, SIGNATURE, beside};
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
    /// Whether its provenance is served beside it (PEP 740).
    pub(super) has_provenance: bool,
}

/// For whom an index is made: what it tells of reasons and the addresses it names depend on that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    /// Whether there are credentials.
    pub(super) audience: Audience,
    /// The address under which the server is reached.
    pub(super) base_url: String,
}

/// One release as the index will list it: small, so that no more than one manifest is in memory at a time.
pub(super) enum Entry {
    /// A visible release: its version, whether it is yanked, and its files.
    Shown {
        /// Which version.
        at: Coordinates,
        /// Whether its publisher yanked it.
        is_yanked: bool,
        /// Its distributions.
        items: Vec<Item>,
    },
    /// A withheld one.
    Withheld(Marked),
}

impl Entry {
    /// What the index needs of a listed release.
    pub(super) fn of(listed: Listed) -> Entry {
        match listed {
            Listed::Visible(release) => Entry::Shown {
                at: release.version.coordinates.clone(),
                is_yanked: release.version.yanked_reason.is_some(),
                items: visible_items(&release),
            },
            Listed::Marked(marked) => Entry::Withheld(*marked),
        }
    }
}

impl Project {
    /// The view of what is listed of the project `name`, for this reader; `None` when that is nothing.
    pub(super) fn of(name: &str, entries: Vec<Entry>, reader: &Reader) -> Option<Project> {
        let visible = entries.iter().filter_map(|entry| match entry {
            Entry::Shown { at, is_yanked, .. } => Some((at, *is_yanked)),
            Entry::Withheld(_) => None,
        });
        let alternative = newest(visible).map(|at| at.version().to_owned());
        let mut rows: Vec<(Coordinates, Item)> = Vec::new();
        for entry in entries {
            match entry {
                Entry::Shown { at, items, .. } => rows.extend(items.into_iter().map(|item| (at.clone(), item))),
                Entry::Withheld(marked) => {
                    let items = marked_items(&marked, alternative.as_deref(), reader);
                    rows.extend(items.into_iter().map(|item| (marked.coordinates.clone(), item)));
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

/// The version to use: the newest visible one; yanked ones, which say so, and pre-releases only when there is nothing else.
pub(super) fn newest<'a>(visible: impl Iterator<Item = (&'a Coordinates, bool)>) -> Option<&'a Coordinates> {
    let rank = |(at, is_yanked): &(&Coordinates, bool)| (!is_yanked, !at.is_prerelease());
    visible.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.0.compare_version(b.0))).map(|(at, _)| at)
}

/// The distributions of a visible release.
pub(super) fn visible_items(release: &Visible<Release>) -> Vec<Item> {
    let requires_python = requires_python(release);
    let yanked = release.version.yanked_reason.as_deref().map(in_one_line);
    let by_key: HashMap<String, &File> = release.files.iter().map(|file| (file.path.key(), file)).collect();
    let distributions = release.files.iter().filter(|file| is_distribution(&file.path, |key| by_key.contains_key(key)));
    distributions
        .map(|file| Item {
            filename: file.path.to_string(),
            yanked: yanked.clone(),
            shown: Some(shown(file, &by_key, requires_python.clone(), release)),
        })
        .collect()
}

fn shown(file: &File, by_key: &HashMap<String, &File>, requires_python: Option<String>, release: &Visible<Release>) -> Shown {
    let beside = |suffix: &str| by_key.get(&format!("{}{suffix}", file.path.key()));
    Shown {
        sha256: file.digest.hex(),
        size_bytes: file.size_bytes,
        published_at: release.version.published_at,
        requires_python,
        metadata_sha256: beside(METADATA).map(|metadata| metadata.digest.hex()),
        is_signed: beside(SIGNATURE).is_some(),
        has_provenance: beside(PROVENANCE).is_some(),
    }
}

fn marked_items(marked: &Marked, alternative: Option<&str>, reader: &Reader) -> Vec<Item> {
    let why = Withholding::new(&marked.coordinates.to_string(), &marked.standing, alternative).on(&reader.base_url).line(reader.audience);
    let keys: HashSet<String> = marked.paths.iter().map(RelativePath::key).collect();
    let paths = marked.paths.iter().filter(|path| is_distribution(path, |key| keys.contains(key)));
    paths.map(|path| Item { filename: path.to_string(), yanked: Some(why.clone()), shown: None }).collect()
}

/// Whether a file is listed: it has an address of its own and stands beside no other.
fn is_distribution(path: &RelativePath, exists: impl Fn(&str) -> bool) -> bool {
    let key = path.key();
    !key.contains('/') && beside(&key).is_none_or(|main| !exists(main))
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
