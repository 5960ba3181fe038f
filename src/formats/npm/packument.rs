//! The document of a package as readers get it. Invariant: what is withheld stands under `policyRestrictions` by its name, with one sentence
//! why, and nowhere else; both forms have the same versions, tags and times.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::manifest::{self, Form, Frame, Person};
use super::members::Members;
use super::name;
use super::tags::{self, Candidate};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::{Coordinates, Subject};
use crate::domain::time::Time;
use crate::domain::version::{Release, Version};
use crate::domain::visibility::{Listed, Marked, Visible};
use crate::error::{Error, Result};
use crate::formats::{Audience, Withholding};

/// Members of the newest version's manifest that stand for the package too.
const OF_PACKAGE: &[&str] =
    &["description", "homepage", "keywords", "repository", "author", "contributors", "bugs", "license", "readme", "readmeFilename"];
/// Hex digits of a revision.
const REVISION_DIGITS: usize = 32;

/// One version as the document will list it: written already, so that no more than one manifest is in memory at a time.
pub(super) enum Entry {
    /// A visible one.
    Shown(Box<Shown>),
    /// A withheld one.
    Withheld(Box<Marked>),
}

/// A visible version.
pub(super) struct Shown {
    id: VersionId,
    at: Coordinates,
    /// The words of its publisher why nobody should take it.
    deprecated: Option<String>,
    publisher: String,
    /// When it became visible here.
    published_at: Option<Time>,
    /// The version as it is shown.
    text: Box<RawValue>,
}

impl Entry {
    /// What the document needs of a listed release; `None` for one that has no tarball.
    ///
    /// # Errors
    /// Internal, when it cannot be written as JSON.
    pub(super) fn of(listed: Listed, frame: Frame<'_>) -> Result<Option<Entry>> {
        let release = match listed {
            Listed::Visible(release) => release,
            Listed::Marked(marked) => return Ok(Some(Entry::Withheld(marked))),
        };
        let Version { id, coordinates, yanked_reason, published_by, published_at, .. } = &release.version;
        let Some(text) = manifest::shown(&release, frame)? else { return Ok(None) };
        Ok(Some(Entry::Shown(Box::new(Shown {
            id: *id,
            at: coordinates.clone(),
            deprecated: yanked_reason.clone(),
            publisher: published_by.to_string(),
            published_at: *published_at,
            text,
        }))))
    }

    fn shown(&self) -> Option<&Shown> {
        match self {
            Entry::Shown(shown) => Some(shown),
            Entry::Withheld(_) => None,
        }
    }

    fn withheld(&self) -> Option<&Marked> {
        match self {
            Entry::Shown(_) => None,
            Entry::Withheld(marked) => Some(marked),
        }
    }

    fn at(&self) -> &Coordinates {
        match self {
            Entry::Shown(shown) => &shown.at,
            Entry::Withheld(marked) => &marked.coordinates,
        }
    }

    fn candidate(&self) -> Option<Candidate<'_>> {
        self.shown().map(|shown| Candidate { at: &shown.at, is_deprecated: shown.deprecated.is_some() })
    }
}

/// A package with its versions, oldest first.
pub(super) struct Packument {
    entries: Vec<Entry>,
    tags: BTreeMap<String, String>,
    owners: Vec<Subject>,
    revision: String,
}

impl Packument {
    /// The package of these versions; `None` when there is nothing to tell of.
    pub(super) fn of(mut entries: Vec<Entry>, tags: &BTreeMap<String, String>, owners: Vec<Subject>) -> Option<Packument> {
        if entries.is_empty() {
            return None;
        }
        entries.sort_by(|a, b| a.at().compare_version(b.at()));
        let candidates: Vec<Candidate<'_>> = entries.iter().filter_map(Entry::candidate).collect();
        let pointed = tags::pointed(tags, &candidates);
        let visible = entries.iter().filter_map(Entry::shown).map(|shown| (shown.id, shown.deprecated.as_deref()));
        let revision = revision(visible, tags);
        Some(Packument { entries, tags: pointed, owners, revision })
    }

    /// The id of the version that the tag `latest` names.
    pub(super) fn latest(&self) -> Option<VersionId> {
        let latest = self.tags.get(crate::domain::mark::TagName::LATEST)?;
        self.entries.iter().filter_map(Entry::shown).find(|shown| shown.at.version() == latest).map(|shown| shown.id)
    }

    /// The document in the frame's form; `latest` is the release that the tag names.
    ///
    /// # Errors
    /// Internal, when it cannot be written as JSON.
    pub(super) fn render(&self, latest: Option<&Visible<Release>>, frame: Frame<'_>) -> Result<Vec<u8>> {
        let rendered = Rendered { packument: self, latest, frame, restrictions: self.restrictions(frame)? };
        serde_json::to_vec(&rendered).map_err(|cause| Error::internal("writing an npm package as JSON", cause))
    }

    fn restrictions(&self, frame: Frame<'_>) -> Result<Option<Restrictions>> {
        let withheld: Vec<&Marked> = self.entries.iter().filter_map(Entry::withheld).collect();
        let Some(newest) = withheld.last() else { return Ok(None) };
        let candidates: Vec<Candidate<'_>> = self.entries.iter().filter_map(Entry::candidate).collect();
        let what = format!("{} {}", name::written(newest.coordinates.package()), newest.coordinates.version());
        let line = Withholding::new(&what, &newest.standing, tags::newest(&candidates, |_| true).as_deref())
            .on(frame.base_url)
            .line_of_npm(frame.audience);
        let message = match withheld.len() - 1 {
            0 => line,
            more => format!("{line} (and {more} more)"),
        };
        let texts =
            withheld.iter().map(|marked| Ok((marked.coordinates.version().to_owned(), manifest::withheld(&marked.coordinates, frame)?)));
        Ok(Some(Restrictions { message, versions: Texts(texts.collect::<Result<_>>()?) }))
    }

    /// When each version came, ours for what was published here, beside when the first and the last did.
    fn times(&self) -> Vec<(&str, Time)> {
        let of_entry = |entry: &Entry| match entry {
            Entry::Shown(shown) => shown.published_at,
            Entry::Withheld(marked) => marked.standing.hold.as_ref().map(|hold| hold.since),
        };
        let versions: Vec<(&str, Time)> = self.entries.iter().filter_map(|entry| Some((entry.at().version(), of_entry(entry)?))).collect();
        let first = versions.iter().map(|(_, time)| *time).min().map(|time| ("created", time));
        let last = versions.iter().map(|(_, time)| *time).max().map(|time| ("modified", time));
        first.into_iter().chain(last).chain(versions.iter().copied()).collect()
    }

    fn versions(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.entries.iter().filter_map(Entry::shown).map(|shown| (shown.at.version(), &*shown.text))
    }

    /// Who may publish it; where everybody may who may write, who has.
    fn maintainers(&self) -> Vec<Person<'_>> {
        let publishers = self.entries.iter().filter_map(Entry::shown).map(|shown| shown.publisher.as_str());
        let names: BTreeSet<&str> =
            if self.owners.is_empty() { publishers.collect() } else { self.owners.iter().map(Subject::as_str).collect() };
        names.into_iter().map(|name| Person { name }).collect()
    }
}

/// What changes whenever the package changes in a way that its publisher would have to know of.
pub(super) fn revision<'a>(visible: impl Iterator<Item = (VersionId, Option<&'a str>)>, tags: &BTreeMap<String, String>) -> String {
    let mut visible: Vec<(String, Option<&str>)> = visible.map(|(id, deprecated)| (id.to_string(), deprecated)).collect();
    visible.sort_unstable();
    let digest = Digest::of(format!("{visible:?} {tags:?}").as_bytes()).hex();
    format!("{}-{}", visible.len(), &digest[..REVISION_DIGITS])
}

/// Members whose values are written already.
struct Texts<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Texts<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(serde::Serialize)]
struct Restrictions {
    message: String,
    versions: Texts<String, Box<RawValue>>,
}

struct Rendered<'a> {
    packument: &'a Packument,
    latest: Option<&'a Visible<Release>>,
    frame: Frame<'a>,
    restrictions: Option<Restrictions>,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Rendered { packument, latest, frame, restrictions } = self;
        let name = packument.entries.first().map(|entry| name::written(entry.at().package())).unwrap_or_default();
        let mut map = serializer.serialize_map(None)?;
        let is_full = frame.form == Form::Full;
        if is_full {
            map.serialize_entry("_id", &name)?;
            map.serialize_entry("_rev", &packument.revision)?;
        }
        map.serialize_entry("name", &name)?;
        map.serialize_entry("dist-tags", &packument.tags)?;
        map.serialize_entry("versions", &Texts(packument.versions().collect()))?;
        let times = packument.times();
        if let Some((_, modified)) = times.iter().find(|(name, _)| *name == "modified").filter(|_| !is_full) {
            map.serialize_entry("modified", modified)?;
        }
        map.serialize_entry("time", &Texts(times))?;
        if let Some(restrictions) = restrictions {
            map.serialize_entry("policyRestrictions", restrictions)?;
        }
        if is_full {
            if frame.audience == Audience::Authenticated {
                map.serialize_entry("maintainers", &packument.maintainers())?;
            }
            let members = latest.and_then(|release| Members::parse(manifest::manifest_text(release)).ok()).unwrap_or_default();
            for (name, value) in members.iter().filter(|(name, _)| OF_PACKAGE.contains(name)) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}
