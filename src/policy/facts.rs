//! Everything the rules may ask about a candidate. Invariant: total and bounded; whatever the client sent, there are facts,
//! and numbers too large for the language are moved to its largest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::known::{
    ActorFacts, AdvisoryFacts, ContentFacts, FindingFacts, PreviousFacts, PublisherFacts, RepoFacts, ScriptFacts, is_frozen, is_reserved,
};
use super::licenses::LicenseFacts;
use super::manifest::{self, ManifestFacts, Requires};
use super::totality::LONG_LIMIT;
use crate::domain::candidate::Candidate;
use crate::domain::digest::Digest;
use crate::domain::name::Coordinates;
use crate::domain::time::Time;
use crate::domain::version::File;

/// How many different file digests a rule can see; past it `files.digestsComplete` is false.
pub const DIGEST_LIMIT: usize = 4096;
/// How many different file extensions a rule can see; past it `files.extensionsComplete` is false.
pub const EXTENSION_LIMIT: usize = 1024;
const EXTENSION_LIMIT_BYTES: usize = 32;
const SECONDS_PER_DAY: i64 = 86_400;

/// The context of one question, as stored and as the rules see it. The schema lists the same fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Facts {
    pub package: PackageFacts,
    pub files: FileFacts,
    pub licenses: LicenseFacts,
    pub manifest: ManifestFacts,
    pub requires: BTreeSet<String>,
    pub requires_count: i64,
    pub requires_complete: bool,
    pub age_seconds: i64,
    pub age_days: i64,
    pub age_known: bool,
    pub first_seen_age_seconds: i64,
    pub first_seen_age_days: i64,
    pub origin: String,
    pub hosted: bool,
    #[serde(default)]
    pub published_at: String,
    #[serde(default)]
    pub first_seen_at: String,
    #[serde(default)]
    pub requires_added: BTreeSet<String>,
    #[serde(default)]
    pub requires_removed: BTreeSet<String>,
    #[serde(default)]
    pub actor: ActorFacts,
    #[serde(default)]
    pub repo: RepoFacts,
    #[serde(default)]
    pub contents: ContentFacts,
    #[serde(default)]
    pub scripts: ScriptFacts,
    #[serde(default)]
    pub previous: PreviousFacts,
    #[serde(default)]
    pub publisher: PublisherFacts,
    #[serde(default)]
    pub advisories: AdvisoryFacts,
    #[serde(default)]
    pub findings: FindingFacts,
    #[serde(default)]
    pub waivers: BTreeSet<String>,
    #[serde(default)]
    pub reserved: bool,
    #[serde(default)]
    pub frozen: bool,
}

/// Which package and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PackageFacts {
    #[serde(rename = "type")]
    pub package_type: String,
    pub namespace: String,
    pub name: String,
    pub version: String,
    pub version_key: String,
    pub purl: String,
    pub name_as_written: String,
    pub namespace_as_written: String,
    pub distribution: String,
}

/// The files, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileFacts {
    pub count: i64,
    pub total_bytes: i64,
    pub largest_bytes: i64,
    pub extensions: BTreeSet<String>,
    pub extensions_complete: bool,
    pub digests: BTreeSet<String>,
    pub digests_complete: bool,
}

/// The moments that ages count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// The publication.
    pub published_at: Time,
    /// The first sight of this registry.
    pub first_seen_at: Time,
}

impl Clocks {
    pub(super) fn of(candidate: &Candidate) -> Clocks {
        let first_seen_at = candidate.first_seen_at;
        Clocks { published_at: candidate.published_upstream_at.unwrap_or(first_seen_at), first_seen_at }
    }
}

impl Facts {
    /// Sets the ages to those at `moment`: all that changes of the facts while nothing but time does.
    pub(super) fn set_ages(&mut self, moment: Time, clocks: &Clocks) {
        self.age_seconds = moment.seconds_since(clocks.published_at);
        self.age_days = self.age_seconds / SECONDS_PER_DAY;
        self.first_seen_age_seconds = moment.seconds_since(clocks.first_seen_at);
        self.first_seen_age_days = self.first_seen_age_seconds / SECONDS_PER_DAY;
    }

    /// Gathers the facts of one candidate at the moment it is asked about.
    pub(super) fn of(candidate: &Candidate) -> Facts {
        let package_type = candidate.coordinates.package().package_type();
        let (licenses, manifest, requires) = manifest::read(package_type, candidate.manifest.as_ref(), candidate.known.contents.as_ref());
        let Requires { names, count, complete } = requires;
        let before = candidate.known.previous.as_ref();
        let before = before.map(|previous| manifest::read(package_type, previous.manifest.as_ref(), previous.contents.as_ref()).2.names);
        let without = |all: &BTreeSet<String>, known: &BTreeSet<String>| all.difference(known).cloned().collect::<BTreeSet<String>>();
        let requires_added = before.as_ref().map(|before| without(&names, before)).unwrap_or_default();
        let requires_removed = before.as_ref().map(|before| without(before, &names)).unwrap_or_default();
        let files = file_facts(&candidate.files);
        let Clocks { published_at: born, first_seen_at: _ } = Clocks::of(candidate);
        let age_seconds = candidate.asked_at.seconds_since(born);
        let first_seen_age_seconds = candidate.asked_at.seconds_since(candidate.first_seen_at);
        Facts {
            package: package_facts(&candidate.coordinates),
            previous: PreviousFacts::of(candidate, files.total_bytes),
            files,
            licenses,
            scripts: ScriptFacts::of(candidate, manifest.install_scripts),
            manifest,
            requires_added,
            requires_removed,
            requires: names,
            requires_count: long(count),
            requires_complete: complete,
            age_seconds,
            age_days: age_seconds / SECONDS_PER_DAY,
            age_known: candidate.published_upstream_at.is_some() || candidate.upstream.is_none(),
            first_seen_age_seconds,
            first_seen_age_days: first_seen_age_seconds / SECONDS_PER_DAY,
            origin: candidate.upstream.clone().unwrap_or_else(|| "hosted".to_owned()),
            hosted: candidate.upstream.is_none(),
            published_at: born.to_string(),
            first_seen_at: candidate.first_seen_at.to_string(),
            actor: ActorFacts::of(candidate),
            repo: RepoFacts::of(candidate),
            contents: ContentFacts::of(candidate.known.contents.as_ref()),
            publisher: PublisherFacts::of(candidate),
            advisories: AdvisoryFacts::of(&candidate.known.advisories),
            findings: FindingFacts::of(&candidate.known.scans),
            waivers: candidate.waived_rules.iter().chain(&candidate.waived_denials).cloned().collect(),
            reserved: is_reserved(candidate),
            frozen: is_frozen(candidate),
        }
    }
}

/// An integer of a fact: what is beyond the limit is moved to it, so that rules can compute with facts.
pub(super) fn long(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(LONG_LIMIT).clamp(-LONG_LIMIT, LONG_LIMIT)
}

fn package_facts(coordinates: &Coordinates) -> PackageFacts {
    let package = coordinates.package();
    PackageFacts {
        package_type: package.package_type().as_str().to_owned(),
        namespace: package.namespace_key().to_owned(),
        name: package.name_key().to_owned(),
        version: coordinates.version().to_owned(),
        version_key: coordinates.version_key().to_owned(),
        purl: coordinates.purl(),
        name_as_written: package.name().to_owned(),
        namespace_as_written: package.namespace().to_owned(),
        distribution: coordinates.distribution().to_owned(),
    }
}

fn file_facts(files: &[File]) -> FileFacts {
    let mut total_bytes: u64 = 0;
    let mut largest_bytes: u64 = 0;
    let mut extensions = BTreeSet::new();
    let mut digests: BTreeSet<Digest> = BTreeSet::new();
    for file in files {
        total_bytes = total_bytes.saturating_add(file.size_bytes);
        largest_bytes = largest_bytes.max(file.size_bytes);
        digests.insert(file.digest);
        add_extensions(file.path.file_name(), &mut extensions);
    }
    FileFacts {
        count: long(files.len()),
        total_bytes: long(total_bytes),
        largest_bytes: long(largest_bytes),
        extensions_complete: extensions.len() <= EXTENSION_LIMIT,
        extensions: extensions.into_iter().take(EXTENSION_LIMIT).collect(),
        digests_complete: digests.len() <= DIGEST_LIMIT,
        digests: digests.into_iter().take(DIGEST_LIMIT).map(|digest| digest.to_string()).collect(),
    }
}

/// `Demo-1.0.TAR.GZ` has `gz` and `tar.gz`; `.bashrc` has none. Trailing dots and spaces are dropped, as some systems do
/// when they unpack.
fn add_extensions(file_name: &str, extensions: &mut BTreeSet<String>) {
    let name = file_name.trim_start_matches('.').trim_end_matches(['.', ' ']);
    let Some((stem, last)) = name.rsplit_once('.') else { return };
    if last.len() > EXTENSION_LIMIT_BYTES {
        return;
    }
    let last = last.to_lowercase();
    if let Some((_, inner)) = stem.rsplit_once('.') {
        let inner_is_extension = inner.len() <= 8
            && inner.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && inner.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if inner_is_extension {
            extensions.insert(format!("{}.{last}", inner.to_lowercase()));
        }
    }
    extensions.insert(last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::input::tests::candidate;

    fn extensions_of(name: &str) -> Vec<String> {
        let mut extensions = BTreeSet::new();
        add_extensions(name, &mut extensions);
        extensions.into_iter().collect()
    }

    #[test]
    fn an_extension_is_found_however_it_is_written() {
        assert_eq!(extensions_of("Demo-1.0.TAR.GZ"), ["gz", "tar.gz"]);
        assert_eq!(extensions_of("demo-1.0.exe. "), ["exe"]);
        assert_eq!(extensions_of("demo-1.0.zip"), ["zip"]);
        assert!(extensions_of(".bashrc").is_empty());
        assert!(extensions_of("Makefile").is_empty());
    }

    #[test]
    fn names_are_normalised_and_the_spelling_is_kept_beside_them() {
        let facts = Facts::of(&candidate("pypi", "Foo_.Bar", "1.0.0"));
        assert_eq!(facts.package.name, "foo-bar");
        assert_eq!(facts.package.name_as_written, "Foo_.Bar");
        assert_eq!(facts.package.version, "1.0.0");
        assert_eq!(facts.package.version_key, "1");
    }

    #[test]
    fn an_unknown_age_counts_from_the_first_sight_and_says_so() {
        let mut candidate = candidate("pypi", "demo", "1.0");
        candidate.upstream = Some("python".to_owned());
        candidate.first_seen_at = candidate.asked_at.plus_days(-3);
        let facts = Facts::of(&candidate);
        assert!(!facts.age_known);
        assert_eq!((facts.age_days, facts.first_seen_age_days), (3, 3));
        candidate.published_upstream_at = Some(candidate.asked_at.plus_days(5));
        let from_the_future = Facts::of(&candidate);
        assert!(from_the_future.age_known);
        assert_eq!(from_the_future.age_seconds, 0);
    }

    #[test]
    fn sizes_past_the_largest_integer_are_moved_to_it() {
        let mut candidate = candidate("generic", "demo", "1");
        let mut file = candidate.files[0].clone();
        file.size_bytes = u64::MAX;
        candidate.files.push(file);
        assert_eq!(Facts::of(&candidate).files.total_bytes, LONG_LIMIT);
    }
}
