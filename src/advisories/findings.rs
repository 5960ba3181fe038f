//! What all claims of a package say of one version. Invariant: claims that share an id or alias, directly or through others, are one
//! vulnerability; the worst that one of them says is said of it.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, Kind};
use super::ecosystem::Ecosystem;
use super::matching::{Answer, Sought};
use crate::domain::advisory::{AdvisoryFindings, Severity};
use crate::domain::name::Coordinates;

/// Ids and aliases that findings list.
pub const IDS_LIMIT: usize = 1_000;

/// What matching entries of one claim, or of claims that are one vulnerability, say together.
struct Told {
    kind: Kind,
    severity: Option<Severity>,
    has_fix: bool,
}

impl Told {
    fn join(&mut self, other: &Told) {
        self.kind = self.kind.max(other.kind);
        self.severity = self.severity.max(other.severity);
        self.has_fix |= other.has_fix;
    }
}

/// What `claims`, all those on the package of `coordinates`, say of this version. The snapshot and whether the ecosystem is known
/// are for the caller to add.
#[must_use]
pub fn findings(coordinates: &Coordinates, claims: &[Claim]) -> AdvisoryFindings {
    let mut found = AdvisoryFindings { ids_complete: true, ..AdvisoryFindings::default() };
    let Some(ecosystem) = Ecosystem::of(coordinates.package().package_type()) else { return found };
    let sought = Sought::new(ecosystem, coordinates.version_key());
    let matching: Vec<(&Claim, Told)> = claims.iter().filter_map(|claim| Some((claim, told(&sought, claim)?))).collect();
    let ids: BTreeSet<&String> = matching.iter().flat_map(|(claim, _)| ids_of(claim)).collect();
    found.ids_complete = ids.len() <= IDS_LIMIT;
    found.ids = ids.into_iter().take(IDS_LIMIT).cloned().collect();
    let mut are_all_fixed = true;
    for told in folded(matching).into_values() {
        if told.kind == Kind::Informational {
            found.informational_count += 1;
            continue;
        }
        found.count += 1;
        found.is_malicious |= told.kind == Kind::Malware;
        found.unrated_count += u64::from(told.severity.is_none());
        found.max_severity = found.max_severity.max(told.severity.unwrap_or_default());
        are_all_fixed &= told.has_fix;
    }
    found.is_fix_available = found.count > 0 && are_all_fixed;
    found
}

fn ids_of(claim: &Claim) -> impl Iterator<Item = &String> {
    std::iter::once(&claim.id).chain(&claim.aliases)
}

/// What the matching entries of `claim` say; `None` when none matches.
fn told(sought: &Sought<'_>, claim: &Claim) -> Option<Told> {
    let matching = claim.entries.iter().filter(|entry| sought.is_in(entry) > Answer::No);
    matching.map(|entry| Told { kind: entry.kind, severity: entry.severity, has_fix: sought.has_fix_in(entry) }).reduce(|mut all, next| {
        all.join(&next);
        all
    })
}

/// Joins claims that are connected by ids.
fn folded(matching: Vec<(&Claim, Told)>) -> BTreeMap<usize, Told> {
    let group_of = groups(&matching.iter().map(|(claim, _)| *claim).collect::<Vec<_>>());
    let mut groups: BTreeMap<usize, Told> = BTreeMap::new();
    for ((_, told), group) in matching.into_iter().zip(group_of) {
        match groups.get_mut(&group) {
            Some(known) => known.join(&told),
            None => {
                groups.insert(group, told);
            }
        }
    }
    groups
}

/// For each claim the least one of those that it is one vulnerability with.
pub(super) fn groups(claims: &[&Claim]) -> Vec<usize> {
    let mut group_of: Vec<usize> = (0..claims.len()).collect();
    let mut first_with: BTreeMap<&String, usize> = BTreeMap::new();
    for (at, claim) in claims.iter().enumerate() {
        for id in ids_of(claim) {
            let other = *first_with.entry(id).or_insert(at);
            let (one, two) = (root(&group_of, at), root(&group_of, other));
            group_of[one.max(two)] = one.min(two);
        }
    }
    (0..claims.len()).map(|at| root(&group_of, at)).collect()
}

/// The least claim of the group that `at` belongs to; parents are always less than their children.
fn root(group_of: &[usize], mut at: usize) -> usize {
    while group_of[at] != at {
        at = group_of[at];
    }
    at
}
