//! Ranges of versions, as people write them into waivers. Invariant: compared by the ecosystem's own order; a version that the order cannot
//! read is in no range.

use std::cmp::Ordering;
use std::fmt;

use super::name::{Coordinates, PackageName};
use crate::error::{Error, Result};

/// Comparators of one range.
const COMPARATORS_LIMIT: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparator {
    Less,
    AtMost,
    Exactly,
    AtLeast,
    More,
}

/// The longer signs come first: `<=` begins with `<`.
const SIGNS: [(&str, Comparator); 5] =
    [("<=", Comparator::AtMost), (">=", Comparator::AtLeast), ("<", Comparator::Less), (">", Comparator::More), ("=", Comparator::Exactly)];

/// A range: comparators (`=`, `<`, `<=`, `>`, `>=`) with a version each, separated by commas, all of which must hold, such as `>=1.0, <2.0`.
///
/// Pre-releases are versions like any other: `<2.0` has `2.0rc1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(Vec<(Comparator, Coordinates)>);

impl VersionRange {
    /// Reads a range of the versions of `package`.
    ///
    /// # Errors
    /// `bad_request` when it is none, or a version in it is none of the package's type.
    pub fn read(package: &PackageName, text: &str) -> Result<VersionRange> {
        let wrong = |why: String| Error::bad_request(format!("{why}; a range looks like >=1.0, <2.0"));
        let mut comparators = Vec::new();
        for part in text.split(',').map(str::trim) {
            let found = SIGNS.iter().find_map(|(sign, comparator)| Some((*comparator, part.strip_prefix(sign)?)));
            let (comparator, version) = found.ok_or_else(|| wrong(format!("{part:?} begins with none of = < <= > >=")))?;
            let at = Coordinates::new(package.clone(), version.trim())?;
            if !at.has_order() {
                return Err(wrong(format!("{} cannot be compared with other versions of {}", at.version(), package.package_type())));
            }
            comparators.push((comparator, at));
        }
        if comparators.len() > COMPARATORS_LIMIT {
            return Err(wrong(format!("a range has at most {COMPARATORS_LIMIT} comparators")));
        }
        Ok(VersionRange(comparators))
    }

    /// Whether a version of the package is in it.
    #[must_use]
    pub fn contains(&self, version: &Coordinates) -> bool {
        version.has_order() && self.0.iter().all(|(comparator, bound)| comparator.holds(version.compare_version(bound)))
    }
}

impl Comparator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparator::Less => order == Ordering::Less,
            Comparator::AtMost => order != Ordering::Greater,
            Comparator::Exactly => order == Ordering::Equal,
            Comparator::AtLeast => order != Ordering::Less,
            Comparator::More => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (comparator, bound)) in self.0.iter().enumerate() {
            let sign = SIGNS.iter().find(|(_, other)| other == comparator).map_or("", |(sign, _)| sign);
            write!(f, "{}{sign}{}", if index == 0 { "" } else { ", " }, bound.version())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(package_type: &str) -> PackageName {
        PackageName::new(package_type.parse().unwrap(), "", "demo").unwrap()
    }

    #[test]
    fn a_range_goes_by_the_ecosystems_order() {
        for (package_type, range, inside, outside) in [
            ("pypi", ">=1.0,<2.0", vec!["1.0", "1.0.0", "1.9", "1.10", "2.0rc1"], vec!["0.9", "1.0rc1", "2.0", "1!1.0"]),
            ("npm", ">1.0.0, <=1.10.0", vec!["1.9.0", "1.10.0", "1.10.0-1"], vec!["1.0.0", "1.11.0"]),
            ("generic", "= 1.9", vec!["1.9", "1.09"], vec!["1.90", "1.9.0"]),
            ("golang", "<v2.0.0", vec!["v1.0.0"], vec!["weekly", "v2.0.0"]),
        ] {
            let parsed = VersionRange::read(&package(package_type), range).unwrap();
            let at = |version: &str| Coordinates::new(package(package_type), version).unwrap();
            assert!(inside.iter().all(|version| parsed.contains(&at(version))), "{package_type} {range}");
            assert!(!outside.iter().any(|version| parsed.contains(&at(version))), "{package_type} {range}");
            assert_eq!(VersionRange::read(&package(package_type), &parsed.to_string()).unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for wrong in ["", "1.0", ">=", ">=1.0,", "^1.0", "~=1.0", ">=x", "=>1.0", &">=1.0,".repeat(20)] {
            assert!(VersionRange::read(&package("pypi"), wrong).is_err(), "{wrong}");
        }
        assert!(VersionRange::read(&package("golang"), "<weekly").is_err());
    }
}
