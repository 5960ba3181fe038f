//! What a package's tags say to readers. Invariant: a tag never names what is withheld: it is pointed at what may be had, and is left out
//! when that is nothing; a package that has something to give has the tag `latest`.

use std::collections::BTreeMap;

use crate::domain::mark::TagName;
use crate::domain::name::Coordinates;

/// A version that may be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Which.
    pub(super) at: &'a Coordinates,
    /// Whether its publisher says that nobody should take it.
    pub(super) is_deprecated: bool,
}

/// The tags as readers get them: those that name a version of `visible` stay; those that name another are pointed at the newest one of
/// the same major number, else at the newest.
pub(super) fn pointed(tags: &BTreeMap<String, String>, visible: &[Candidate<'_>]) -> BTreeMap<String, String> {
    let mut pointed: BTreeMap<String, String> =
        tags.iter().filter_map(|(tag, version)| Some((tag.clone(), target(version, visible)?))).collect();
    if let Some(newest) = newest(visible, |_| true).filter(|_| !pointed.contains_key(TagName::LATEST)) {
        pointed.insert(TagName::LATEST.to_owned(), newest);
    }
    pointed
}

/// The version to use instead of something withheld: the newest, deprecated ones and pre-releases only when there is nothing else.
pub(super) fn newest(visible: &[Candidate<'_>], fits: impl Fn(&Candidate<'_>) -> bool) -> Option<String> {
    let rank = |candidate: &Candidate<'_>| (!candidate.is_deprecated, !candidate.at.is_prerelease());
    let fitting = visible.iter().filter(|candidate| fits(candidate));
    let newest = fitting.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.at.compare_version(b.at)))?;
    Some(newest.at.version().to_owned())
}

fn target(version: &str, visible: &[Candidate<'_>]) -> Option<String> {
    if let Some(named) = visible.iter().find(|candidate| candidate.at.version() == version) {
        return Some(named.at.version().to_owned());
    }
    let same_major = |candidate: &Candidate<'_>| major(candidate.at.version()) == major(version);
    // Who asks for a release must not be given a pre-release while there is another release.
    let wants_release = !version.split('+').next().unwrap_or_default().contains('-');
    let is_as_mature = |candidate: &Candidate<'_>| !(wants_release && candidate.at.is_prerelease());
    newest(visible, |candidate| same_major(candidate) && is_as_mature(candidate))
        .or_else(|| newest(visible, is_as_mature))
        .or_else(|| newest(visible, |_| true))
}

fn major(version: &str) -> &str {
    version.trim_start_matches('v').split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::npm::name;

    /// The tags for versions that may be had; a `!` marks a deprecated one.
    fn seen(tags: &[(&str, &str)], visible: &[&str]) -> Vec<(String, String)> {
        let package = name::package("a").unwrap();
        let all: Vec<(Coordinates, bool)> =
            visible.iter().map(|text| (name::version(&package, text.trim_end_matches('!')).unwrap(), text.ends_with('!'))).collect();
        let candidates: Vec<Candidate<'_>> =
            all.iter().map(|(at, is_deprecated)| Candidate { at, is_deprecated: *is_deprecated }).collect();
        let tags = tags.iter().map(|(tag, version)| ((*tag).to_owned(), (*version).to_owned())).collect();
        pointed(&tags, &candidates).into_iter().collect()
    }

    fn latest(named: &str, visible: &[&str]) -> String {
        seen(&[("latest", named)], visible)[0].1.clone()
    }

    #[test]
    fn a_tag_that_names_what_may_be_had_stays_as_it_is() {
        assert_eq!(latest("1.0.0", &["1.0.0", "2.0.0"]), "1.0.0");
        assert_eq!(
            seen(&[("next", "2.0.0-rc.1")], &["1.0.0", "2.0.0-rc.1"]),
            [("latest".to_owned(), "1.0.0".to_owned()), ("next".to_owned(), "2.0.0-rc.1".to_owned())]
        );
    }

    #[test]
    fn a_tag_of_something_withheld_names_the_newest_of_its_major_number_else_the_newest() {
        assert_eq!(latest("2.1.0", &["1.9.0", "2.0.0", "2.0.1", "3.0.0"]), "2.0.1");
        assert_eq!(latest("2.1.0", &["1.9.0", "1.10.0"]), "1.10.0");
        assert_eq!(latest("2.1.0", &["1.9.0", "2.0.0-rc.1"]), "1.9.0", "who asks for a release gets none that is not finished");
        assert_eq!(latest("2.1.0", &["2.0.0-rc.1"]), "2.0.0-rc.1");
        assert_eq!(latest("2.1.0", &["2.0.0", "2.0.1!"]), "2.0.0");
        assert_eq!(latest("2.0.0-rc.2", &["1.0.0", "2.0.0-rc.1"]), "2.0.0-rc.1");
    }

    #[test]
    fn a_package_with_nothing_to_give_has_no_tags() {
        assert_eq!(seen(&[("latest", "1.0.0"), ("next", "2.0.0")], &[]), []);
        assert_eq!(seen(&[], &["1.0.0", "2.0.0-rc.1"]), [("latest".to_owned(), "1.0.0".to_owned())]);
    }
}
