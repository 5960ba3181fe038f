//! Which visible versions of a package are no longer kept, pure. Invariant: what is protected, tagged, or the newest by any measure is
//! never among them; a release of several files goes or stays whole.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::id::VersionId;
use super::lifecycle::State;
use super::name::Coordinates;
use super::time::Time;
use super::version::Version;

/// What keeps a version of a repo. A version that nothing keeps is taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// The newest so many releases of each package, by the ecosystem's order.
    pub keep_last: Option<u32>,
    /// Those that became visible within so many days.
    pub keep_days: Option<u32>,
    /// Those that somebody fetched within so many days.
    pub keep_downloaded_days: Option<u32>,
}

/// A visible version of the package with what else speaks for it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The version.
    pub version: Version,
    /// When it was last fetched, as far as that is remembered.
    pub last_fetched_at: Option<Time>,
    /// Whether a tag names it.
    pub is_tagged: bool,
}

/// The versions of one package that the rule no longer keeps at `now`, oldest first, each with the reason in words. `visible` are all its
/// visible versions.
#[must_use]
pub fn no_longer_kept(rule: &RetentionRule, visible: &[Kept], now: Time) -> Vec<(VersionId, String)> {
    let mut releases: BTreeMap<&str, Vec<&Kept>> = BTreeMap::new();
    for kept in visible.iter().filter(|kept| kept.version.state == State::Published) {
        releases.entry(kept.version.coordinates.version_key()).or_default().push(kept);
    }
    let mut ordered: Vec<&Vec<&Kept>> = releases.values().collect();
    ordered.sort_by(|a, b| newer_first(a, b));
    let newest = newest_by_any_measure(&ordered);
    let mut leaving = Vec::new();
    for (place, release) in ordered.iter().enumerate() {
        let is_kept = newest.contains(&place)
            || rule.keep_last.is_some_and(|count| place < usize::try_from(count).unwrap_or(usize::MAX))
            || release.iter().any(|kept| is_kept_alone(rule, kept, now));
        if !is_kept {
            leaving.extend(release.iter().map(|kept| (kept.version.id, reason(rule, kept, place, now))));
        }
    }
    leaving.reverse();
    leaving
}

fn is_kept_alone(rule: &RetentionRule, kept: &Kept, now: Time) -> bool {
    let within = |days: Option<u32>, at: Option<Time>| match (days, at) {
        (Some(days), Some(at)) => at.plus_days(i64::from(days)) > now,
        (Some(_) | None, _) => false,
    };
    kept.is_tagged
        || kept.version.protection.is_some()
        || within(rule.keep_days, published(kept))
        || within(rule.keep_downloaded_days, kept.last_fetched_at)
}

fn published(kept: &Kept) -> Option<Time> {
    kept.version.published_at
}

fn last_published(release: &[&Kept]) -> Option<Time> {
    release.iter().filter_map(|kept| published(kept)).max()
}

/// The ecosystem's order of those versions that it can read, then the time of publishing.
fn newer_first(a: &[&Kept], b: &[&Kept]) -> Ordering {
    // What the ecosystem cannot read comes last and goes by time alone: one key for all, so that this is an order.
    let key = |release: &[&Kept]| {
        let at = release.first().map(|kept| &kept.version.coordinates);
        (at.filter(|at| at.has_order()).map(Coordinates::sort_key), last_published(release))
    };
    key(b).cmp(&key(a))
}

/// The places of the highest version, the highest that is no pre-release, and the one published last.
fn newest_by_any_measure(ordered: &[&Vec<&Kept>]) -> BTreeSet<usize> {
    let is_prerelease = |release: &[&Kept]| release.first().is_some_and(|kept| kept.version.coordinates.is_prerelease());
    let stable = ordered.iter().position(|release| !is_prerelease(release));
    let latest = (0..ordered.len()).max_by_key(|place| ordered.get(*place).and_then(|release| last_published(release)));
    [(!ordered.is_empty()).then_some(0), stable, latest].into_iter().flatten().collect()
}

fn reason(rule: &RetentionRule, kept: &Kept, place: usize, now: Time) -> String {
    let days = |since: Time| now.seconds_since(since) / 86_400;
    let mut words = Vec::new();
    if let Some(count) = rule.keep_last {
        words.push(format!("{place} newer releases, {count} are kept"));
    }
    if let (Some(limit), Some(at)) = (rule.keep_days, published(kept)) {
        words.push(format!("published {} days ago, {limit} are kept", days(at)));
    }
    if let Some(limit) = rule.keep_downloaded_days {
        words.push(match kept.last_fetched_at {
            Some(at) => format!("last fetched {} days ago, {limit} count", days(at)),
            None => format!("not fetched in the last {limit} days"),
        });
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::{PackageName, Subject};
    use crate::domain::version::Protection;

    fn now() -> Time {
        Time::from_unix_ms(0).plus_days(20_000)
    }

    fn version(number: u8, text: &str, age_days: i64) -> Kept {
        let package = PackageName::new("npm".parse().unwrap(), "", "demo").unwrap();
        let at = now().plus_days(-age_days);
        let alice: Subject = "alice".parse().unwrap();
        Kept {
            version: Version {
                id: format!("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}").parse().unwrap(),
                repo: "main".parse().unwrap(),
                coordinates: Coordinates::new(package, text).unwrap(),
                state: State::Published,
                created_at: at,
                created_by: alice.clone(),
                first_seen_at: at,
                published_by: alice,
                published_at: Some(at),
                content_digest: None,
                yanked_reason: None,
                protection: None,
                tombstone: None,
            },
            last_fetched_at: None,
            is_tagged: false,
        }
    }

    fn leaving(rule: &RetentionRule, visible: &[Kept]) -> Vec<String> {
        let ids = no_longer_kept(rule, visible, now());
        ids.iter()
            .map(|(id, _)| visible.iter().find(|kept| kept.version.id == *id).unwrap().version.coordinates.version().to_owned())
            .collect()
    }

    fn last(count: u32) -> RetentionRule {
        RetentionRule { keep_last: Some(count), ..RetentionRule::default() }
    }

    #[test]
    fn the_last_are_the_highest_by_the_order_of_the_ecosystem_and_not_by_text() {
        let all: Vec<Kept> = ["1.2.0", "1.10.0", "1.9.0", "2.0.0"].iter().zip(1..).map(|(text, n)| version(n, text, 10)).collect();
        // All were published at once, so which of them is the latest is anybody's guess, and it is kept beside.
        assert!(leaving(&last(2), &all).iter().all(|text| ["1.2.0", "1.9.0"].contains(&text.as_str())));
        assert!(leaving(&last(4), &all).is_empty());
    }

    #[test]
    fn the_highest_the_highest_stable_and_the_latest_are_never_among_them() {
        let all = [version(1, "3.0.0-rc.1", 50), version(2, "2.0.0", 90), version(3, "1.9.5", 5), version(4, "1.9.4", 80)];
        let by_age = RetentionRule { keep_days: Some(0), ..RetentionRule::default() };
        assert_eq!(leaving(&by_age, &all), ["1.9.4"]);
        assert_eq!(leaving(&last(1), &all), ["1.9.4"]);
        assert!(leaving(&by_age, &all[..1]).is_empty(), "an only version stays");
    }

    #[test]
    fn what_is_young_fetched_protected_tagged_or_held_stays() {
        let rule = RetentionRule { keep_last: Some(1), keep_days: Some(30), keep_downloaded_days: Some(7) };
        let mut all: Vec<Kept> = (0..7).map(|n| version(n, &format!("1.{n}.0"), 100 - i64::from(n))).collect();
        all[1].version.published_at = Some(now().plus_days(-29));
        all[2].last_fetched_at = Some(now().plus_days(-6));
        all[3].version.protection = Some((Protection::LegalHold, "a case".to_owned()));
        all[4].is_tagged = true;
        all[5].version.state = State::Quarantined;
        let found = no_longer_kept(&rule, &all, now());
        assert_eq!(leaving(&rule, &all), ["1.0.0"]);
        assert_eq!(found[0].1, "5 newer releases, 1 are kept; published 100 days ago, 30 are kept; not fetched in the last 7 days");
    }
}
