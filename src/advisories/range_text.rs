//! Ranges as npm writes them. Invariant: a text has exactly the versions that the range has by `matching`; where a range cannot be read
//! to its beginning, that is every version.

use super::claim::Range;
use super::ecosystem::Ecosystem;
use super::matching::{Bounds, Change, completed};

/// Every version.
pub(super) const ANY: &str = "*";

/// The stretches of a range, one of which is enough.
pub(super) fn alternatives(range: &Range, ecosystem: Ecosystem) -> Vec<String> {
    let Some(bounds) = Bounds::of(range, ecosystem) else { return vec![ANY.to_owned()] };
    let last_limit = bounds.limits.iter().max().map(|(_, text)| exact(ecosystem, text));
    let stretch = |begin: &str, end: Option<String>| {
        let begin = if begin.is_empty() { None } else { Some(format!(">={}", exact(ecosystem, begin))) };
        let limit = last_limit.as_ref().map(|limit| format!("<{limit}"));
        let parts: Vec<String> = [begin, end, limit].into_iter().flatten().collect();
        if parts.is_empty() { ANY.to_owned() } else { parts.join(" ") }
    };
    let (mut found, mut begun) = (Vec::new(), None);
    for (_, change, text) in &bounds.changes {
        match change {
            Change::Begins => begun = begun.or(Some(*text)),
            Change::Ends => found.extend(begun.take().map(|begin| stretch(begin, Some(format!("<{}", exact(ecosystem, text)))))),
            Change::EndsAfter | Change::EndsAfterBegun => {
                found.extend(begun.take().map(|begin| stretch(begin, Some(format!("<={}", exact(ecosystem, text))))));
            }
        }
    }
    found.extend(begun.map(|begin| stretch(begin, None)));
    found
}

/// A version as it can stand in a range: where versions are semantic ones, whole, since `<=1.2` would have all of 1.2.
pub(super) fn exact(ecosystem: Ecosystem, text: &str) -> String {
    let is_semantic = |text: &str| semver::Version::parse(text).is_ok();
    if is_semantic(text) {
        return text.to_owned();
    }
    if let Some(whole) = completed(text).filter(|whole| is_semantic(whole)) {
        return whole;
    }
    let read = if ecosystem == Ecosystem::Npm { nodejs_semver::Version::parse(text).ok() } else { None };
    read.map_or_else(|| text.to_owned(), |version| version.to_string())
}
