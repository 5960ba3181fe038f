//! The order of versions by each ecosystem's own rules. Invariant: never string order where the ecosystem has rules; what
//! its rules cannot read sorts before what they can.

use std::cmp::Ordering;

use super::name::Coordinates;

impl Coordinates {
    /// Compares two versions of one package: PEP 440 for PyPI, semantic versioning for npm and Cargo, runs of digits as
    /// numbers elsewhere.
    #[must_use]
    pub fn compare_version(&self, other: &Coordinates) -> Ordering {
        let (mine, theirs) = (self.version_key(), other.version_key());
        match self.package().package_type().as_str() {
            "pypi" => compare(mine.parse::<pep440_rs::Version>().ok(), theirs.parse().ok()),
            "npm" | "cargo" => compare(mine.parse::<semver::Version>().ok(), theirs.parse().ok()),
            _ => compare_natural(mine, theirs),
        }
    }

    /// Whether the ecosystem calls this a pre-release.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        let text = self.version_key();
        match self.package().package_type().as_str() {
            "pypi" => text.parse::<pep440_rs::Version>().is_ok_and(|version| version.any_prerelease()),
            "npm" | "cargo" => text.parse::<semver::Version>().is_ok_and(|version| !version.pre.is_empty()),
            _ => false,
        }
    }
}

fn compare<T: Ord>(mine: Option<T>, theirs: Option<T>) -> Ordering {
    mine.cmp(&theirs)
}

/// Runs of digits compare as numbers, everything else byte by byte.
fn compare_natural(mine: &str, theirs: &str) -> Ordering {
    let (mut mine, mut theirs) = (mine.as_bytes(), theirs.as_bytes());
    loop {
        let (Some(a), Some(b)) = (mine.first(), theirs.first()) else { return mine.len().cmp(&theirs.len()) };
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (one, mine_rest) = number(mine);
            let (other, theirs_rest) = number(theirs);
            let order = one.len().cmp(&other.len()).then_with(|| one.cmp(other));
            if order != Ordering::Equal {
                return order;
            }
            (mine, theirs) = (mine_rest, theirs_rest);
        } else if a == b {
            (mine, theirs) = (&mine[1..], &theirs[1..]);
        } else {
            return a.cmp(b);
        }
    }
}

/// The leading digits without their zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PackageName;

    fn at(package_type: &str, version: &str) -> Coordinates {
        Coordinates::new(PackageName::new(package_type.parse().unwrap(), "", "demo").unwrap(), version).unwrap()
    }

    #[test]
    fn versions_sort_by_their_ecosystems_rules() {
        for (package_type, ascending) in [
            ("pypi", vec!["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "1!0.1"]),
            ("npm", vec!["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0", "1.9.0", "1.10.0"]),
            ("generic", vec!["1.2", "1.9", "1.10", "r7", "r10"]),
        ] {
            for pair in ascending.windows(2) {
                let (lower, higher) = (at(package_type, pair[0]), at(package_type, pair[1]));
                assert_eq!(lower.compare_version(&higher), Ordering::Less, "{package_type}: {} < {}", pair[0], pair[1]);
                assert_eq!(higher.compare_version(&lower), Ordering::Greater);
            }
        }
        assert!(at("pypi", "2.0rc1").is_prerelease() && !at("pypi", "2.0").is_prerelease());
    }
}
