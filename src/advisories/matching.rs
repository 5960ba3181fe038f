//! Whether a version is among those an entry speaks of, by the evaluation algorithm of the OSV format. Invariant: versions are
//! compared by their ecosystem's order and never as text; what cannot be read is `CannotExclude`, which counts as a match.

use super::claim::{Entry, Range, RangeEvent};
use super::ecosystem::Ecosystem;
use crate::domain::order::readable_key;

/// Whether a version is among some versions. The greater, the surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// It is not.
    No,
    /// Something stands there that nobody here can read; it counts as a match.
    CannotExclude,
    /// It is.
    Yes,
}

/// A version that is looked for.
pub(super) struct Sought<'a> {
    ecosystem: Ecosystem,
    text: &'a str,
    key: Option<Vec<u8>>,
    /// The version that this is a local build of (PEP 440: `2.0.1` of `2.0.1+cu118`).
    built_of: Option<Box<Sought<'a>>>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(ecosystem: Ecosystem, text: &'a str) -> Sought<'a> {
        let public = if ecosystem == Ecosystem::PyPi { text.split_once('+') } else { None };
        let built_of = public.map(|(public, _)| Box::new(Sought::new(ecosystem, public)));
        Sought { ecosystem, text, key: bound_key(ecosystem, text), built_of }
    }

    /// Whether `entry` speaks of this version. A local build has the faults of what it was built of, as PEP 440's `==` and `<=`
    /// have it, unless the entry itself tells local builds apart.
    pub(super) fn is_in(&self, entry: &Entry) -> Answer {
        let answer = self.is_itself_in(entry);
        match &self.built_of {
            Some(public) if !names_local_builds(entry) => answer.max(public.is_itself_in(entry)),
            Some(_) | None => answer,
        }
    }

    fn is_itself_in(&self, entry: &Entry) -> Answer {
        if entry.every_version || entry.versions.iter().any(|version| self.equals(version)) {
            return Answer::Yes;
        }
        entry.ranges.iter().map(|range| self.is_in_range(range)).max().unwrap_or(Answer::No)
    }

    /// Whether `entry` names a later version in which what it tells of is fixed. A fix whose place cannot be read counts.
    pub(super) fn has_fix_in(&self, entry: &Entry) -> bool {
        let events = entry.ranges.iter().flat_map(|range| &range.0);
        let later = |version: &String| match (&self.key, bound_key(self.ecosystem, version)) {
            (Some(own), Some(fixed)) => fixed > *own,
            (None, _) | (_, None) => true,
        };
        events.into_iter().any(|event| matches!(event, RangeEvent::Fixed(version) if later(version)))
    }

    /// Whether `version` is this one in another spelling.
    pub(super) fn equals(&self, version: &str) -> bool {
        version == self.text || (self.key.is_some() && self.key == bound_key(self.ecosystem, version))
    }

    pub(super) fn is_in_range(&self, range: &Range) -> Answer {
        let Some(key) = &self.key else { return Answer::CannotExclude };
        let Some(bounds) = Bounds::of(range, self.ecosystem) else { return Answer::CannotExclude };
        if !bounds.contain(key) {
            return Answer::No;
        }
        if bounds.has_unreadable { Answer::CannotExclude } else { Answer::Yes }
    }
}

fn names_local_builds(entry: &Entry) -> bool {
    let bounds = entry.ranges.iter().flat_map(|range| &range.0).map(|event| match event {
        RangeEvent::Introduced(text) | RangeEvent::Fixed(text) | RangeEvent::LastAffected(text) | RangeEvent::Limit(text) => text,
    });
    bounds.chain(&entry.versions).any(|text| text.contains('+'))
}

/// Whether some bound of `range` cannot be read.
pub(super) fn has_unreadable_bound(range: &Range, ecosystem: Ecosystem) -> bool {
    Bounds::of(range, ecosystem).is_none_or(|bounds| bounds.has_unreadable)
}

/// What happens at a bound, in the order in which it does where several things happen at one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Ends,
    EndsAfter,
    Begins,
    /// What begins at this very bound ends after it.
    EndsAfterBegun,
}

/// The bounds of a range in the order of versions.
pub(super) struct Bounds<'a> {
    /// Each with its text, which is empty for what lies before every version.
    pub(super) changes: Vec<(Vec<u8>, Change, &'a str)>,
    pub(super) limits: Vec<(Vec<u8>, &'a str)>,
    has_unreadable: bool,
}

impl<'a> Bounds<'a> {
    /// `None` when it cannot be read where the range begins. An end that cannot be read is left out: it ends nothing.
    pub(super) fn of(range: &'a Range, ecosystem: Ecosystem) -> Option<Bounds<'a>> {
        let mut bounds = Bounds { changes: Vec::with_capacity(range.0.len()), limits: Vec::new(), has_unreadable: false };
        let mut begins = false;
        let mut limits_are_readable = true;
        for event in &range.0 {
            let (text, change) = match event {
                // Before every version, whatever the ecosystem's order is.
                RangeEvent::Introduced(text) if text == "0" => {
                    bounds.changes.push((Vec::new(), Change::Begins, ""));
                    begins = true;
                    continue;
                }
                RangeEvent::Introduced(text) => (text, Some(Change::Begins)),
                RangeEvent::Fixed(text) => (text, Some(Change::Ends)),
                RangeEvent::LastAffected(text) => (text, Some(Change::EndsAfter)),
                RangeEvent::Limit(text) if text == "*" => {
                    limits_are_readable = false;
                    continue;
                }
                RangeEvent::Limit(text) => (text, None),
            };
            match (bound_key(ecosystem, text), change) {
                (Some(key), Some(change)) => {
                    begins |= change == Change::Begins;
                    bounds.add(key, change, text);
                }
                (Some(key), None) => bounds.limits.push((key, text)),
                (None, Some(Change::Begins)) => return None,
                (None, Some(Change::Ends | Change::EndsAfter | Change::EndsAfterBegun)) => bounds.has_unreadable = true,
                (None, None) => {
                    bounds.has_unreadable = true;
                    limits_are_readable = false;
                }
            }
        }
        if !begins {
            bounds.changes.push((Vec::new(), Change::Begins, ""));
        }
        if !limits_are_readable {
            bounds.limits.clear();
        }
        bounds.changes.sort();
        Some(bounds)
    }

    /// Takes in what happens at a bound. An end at the bound where something begins belongs to that if it stands right behind it in the
    /// record, and else to what began before.
    fn add(&mut self, key: Vec<u8>, change: Change, text: &'a str) {
        let is_of_last = self.changes.last().is_some_and(|(last, change, _)| *last == key && *change == Change::Begins);
        match change {
            // No version lies between.
            Change::Ends if is_of_last => drop(self.changes.pop()),
            Change::EndsAfter if is_of_last => self.changes.push((key, Change::EndsAfterBegun, text)),
            Change::Ends | Change::EndsAfter | Change::EndsAfterBegun | Change::Begins => self.changes.push((key, change, text)),
        }
    }

    fn contain(&self, key: &[u8]) -> bool {
        let mut is_affected = false;
        for (bound, change, _) in &self.changes {
            match change {
                Change::Begins if key >= bound.as_slice() => is_affected = true,
                Change::Ends if key >= bound.as_slice() => is_affected = false,
                Change::EndsAfter | Change::EndsAfterBegun if key > bound.as_slice() => is_affected = false,
                Change::Begins | Change::Ends | Change::EndsAfter | Change::EndsAfterBegun => {}
            }
        }
        is_affected && (self.limits.is_empty() || self.limits.iter().any(|(limit, _)| key < limit.as_slice()))
    }
}

/// The sort key of a version or bound. Where versions are semantic ones, `v` may stand before it and zeros may be left out, as
/// in bounds that advisories give (`1.2`).
fn bound_key(ecosystem: Ecosystem, text: &str) -> Option<Vec<u8>> {
    let package_type = ecosystem.package_type();
    readable_key(package_type, text).or_else(|| match ecosystem {
        Ecosystem::Npm | Ecosystem::CratesIo | Ecosystem::Go | Ecosystem::Hex | Ecosystem::Pub | Ecosystem::SwiftUrl => {
            readable_key(package_type, &completed(text)?)
        }
        Ecosystem::PyPi | Ecosystem::Maven | Ecosystem::NuGet | Ecosystem::RubyGems | Ecosystem::Packagist => None,
    })
}

/// `1.2-rc` as `1.2.0-rc`.
pub(super) fn completed(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let zeros = match numbers.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        3 => "",
        _ => return None,
    };
    Some(format!("{numbers}{zeros}{rest}"))
}
