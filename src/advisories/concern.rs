//! What the claims on a package say of versions that somebody has installed. Invariant: the same claims match as at the gate, and the
//! range that is told has every version that matches for a reason which can be written as a range.

use std::collections::BTreeSet;

use super::claim::{Claim, Entry, Kind};
use super::details::Details;
use super::ecosystem::Ecosystem;
use super::findings::groups;
use super::matching::{Answer, Sought};
use super::range_text::{ANY, alternatives, exact};
use crate::domain::advisory::Severity;
use crate::domain::name::{Coordinates, PackageName};

/// Versions that a range lists one by one; beyond them those that were asked about.
const LISTED_LIMIT: usize = 1_000;

/// One vulnerability, malware report or notice that concerns some of the versions asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The record that speaks for it.
    pub id: String,
    /// Its other ids, by whatever record.
    pub aliases: BTreeSet<String>,
    /// What it tells of.
    pub kind: Kind,
    /// The highest severity that is said of it, if one is.
    pub severity: Option<Severity>,
    /// The versions it is about, as npm writes ranges: `>=1.0.0 <1.2.3 || =2.0.0`.
    pub vulnerable_versions: String,
    /// What else that record says.
    pub details: Details,
}

impl Concern {
    /// npm's word for how bad it is: info, low, moderate, high, critical. What says nothing counts as high, as npm itself has it, and
    /// malware is critical.
    #[must_use]
    pub fn severity_word(&self) -> &'static str {
        match (self.kind, self.severity.map(Severity::tenths)) {
            (Kind::Informational, _) => "info",
            (Kind::Malware, _) | (Kind::Vulnerability, Some(90..)) => "critical",
            (Kind::Vulnerability, None | Some(70..90)) => "high",
            (Kind::Vulnerability, Some(40..70)) => "moderate",
            (Kind::Vulnerability, Some(0..40)) => "low",
        }
    }
}

/// What `claims`, all those on `package`, say of any of these versions, without the details of the records.
#[must_use]
pub fn concerns(package: &PackageName, versions: &[String], claims: &[Claim]) -> Vec<Concern> {
    let Some(ecosystem) = Ecosystem::of(package.package_type()) else { return Vec::new() };
    // A version that is none by its type's rules is looked for as it is written: it cannot be excluded.
    let keys: Vec<String> = versions
        .iter()
        .map(|version| Coordinates::new(package.clone(), version).map_or_else(|_| version.clone(), |at| at.version_key().to_owned()))
        .collect();
    let sought: Vec<Sought<'_>> = keys.iter().map(|key| Sought::new(ecosystem, key)).collect();
    let is_told = |entry: &&Entry| sought.iter().any(|sought| sought.is_in(entry) > Answer::No);
    let matching: Vec<(&Claim, Vec<&Entry>)> = claims
        .iter()
        .map(|claim| (claim, claim.entries.iter().filter(is_told).collect::<Vec<_>>()))
        .filter(|(_, entries)| !entries.is_empty())
        .collect();
    let group_of = groups(&matching.iter().map(|(claim, _)| *claim).collect::<Vec<_>>());
    let roots: BTreeSet<usize> = group_of.iter().copied().collect();
    let members = |root: usize| matching.iter().zip(&group_of).filter(move |(_, group)| **group == root).map(|(member, _)| member);
    roots.into_iter().filter_map(|root| concern(ecosystem, &sought, &members(root).collect::<Vec<_>>())).collect()
}

/// What several claims that are one vulnerability say together.
fn concern(ecosystem: Ecosystem, sought: &[Sought<'_>], claims: &[&(&Claim, Vec<&Entry>)]) -> Option<Concern> {
    // The ids that npm's users know begin so.
    let speaker = claims.iter().map(|(claim, _)| &claim.id).min_by_key(|id| (!id.starts_with("GHSA-"), *id))?;
    let entries = || claims.iter().flat_map(|(_, entries)| entries.iter().copied());
    let mut ranges: Vec<String> = Vec::new();
    // Of the claims the whole of what they say is told, also what no version asked about is in: who asks may look further.
    for entry in claims.iter().flat_map(|(claim, _)| &claim.entries) {
        for range in texts(ecosystem, sought, entry) {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
    }
    let is_any = ranges.iter().any(|range| range == ANY);
    let aliases = claims.iter().flat_map(|(claim, _)| std::iter::once(&claim.id).chain(&claim.aliases)).filter(|id| *id != speaker);
    Some(Concern {
        id: speaker.clone(),
        aliases: aliases.cloned().collect(),
        kind: entries().map(|entry| entry.kind).max()?,
        severity: entries().filter_map(|entry| entry.severity).max(),
        vulnerable_versions: if is_any { ANY.to_owned() } else { ranges.join(" || ") },
        details: Details::default(),
    })
}

fn texts(ecosystem: Ecosystem, sought: &[Sought<'_>], entry: &Entry) -> Vec<String> {
    if entry.every_version {
        return vec![ANY.to_owned()];
    }
    let ranges = entry.ranges.iter().flat_map(|range| alternatives(range, ecosystem));
    let is_long = entry.versions.len() > LISTED_LIMIT;
    let listed = entry.versions.iter().filter(|version| !is_long || sought.iter().any(|sought| sought.equals(version)));
    ranges.chain(listed.map(|version| format!("={}", exact(ecosystem, version)))).collect()
}
