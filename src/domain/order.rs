//! The order of versions by each ecosystem's own rules. Invariant: a version has one sort key, whose bytes compare as the
//! ecosystem's library compares the versions, so that an index can keep them in order; never string order where the ecosystem has
//! rules, and what its rules cannot read sorts before what they can.

use std::cmp::Ordering;

use super::name::Coordinates;

mod maven;
mod others;

/// Marks a version that its ecosystem's rules cannot read.
const UNREADABLE: u8 = 0;
/// Marks one that they can.
const READABLE: u8 = 1;
/// Ends a list; less than anything that goes on with it.
const END: u8 = 0;
/// More than anything that stands in its place.
const ABSENT_LAST: u8 = 0xff;

impl Coordinates {
    /// Compares two versions of one package: by the ecosystem's rules where it has any that are known here, runs of digits as
    /// numbers elsewhere.
    #[must_use]
    pub fn compare_version(&self, other: &Coordinates) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }

    /// Bytes that compare as the versions of one package do.
    #[must_use]
    pub fn sort_key(&self) -> Vec<u8> {
        let text = self.version_key();
        let known = readable_key(self.package().package_type().as_str(), text);
        let (mark, key) = known.map_or_else(|| (UNREADABLE, natural_key(text)), |key| (READABLE, key));
        [&[mark], key.as_slice()].concat()
    }

    /// Whether the ecosystem's rules can read it, so that its place among the others means something.
    #[must_use]
    pub fn has_order(&self) -> bool {
        self.sort_key().first() == Some(&READABLE)
    }

    /// Whether the ecosystem calls this a pre-release.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        let text = self.version_key();
        match self.package().package_type().as_str() {
            "pypi" => text.parse::<pep440_rs::Version>().is_ok_and(|version| version.any_prerelease()),
            "npm" | "cargo" | "hex" | "pub" => text.parse::<semver::Version>().is_ok_and(|version| !version.pre.is_empty()),
            "nuget" => nuget_key(text).is_some() && text.split('+').next().is_some_and(|release| release.contains('-')),
            _ => false,
        }
    }
}

/// Bytes that compare as the versions of one package of this type do; `None` for what the ecosystem's rules cannot read.
#[must_use]
pub fn readable_key(package_type: &str, text: &str) -> Option<Vec<u8>> {
    match package_type {
        "pypi" => text.parse().ok().map(|version| pep440_key(&version)),
        "npm" => semver_key(text).or_else(|| npm_key(text)),
        "cargo" | "hex" => semver_key(text),
        "pub" => pub_key(text),
        "nuget" => nuget_key(text),
        "golang" | "swift" => semver_key(text.strip_prefix('v').unwrap_or(text)),
        "maven" => Some(maven::key(text)),
        "gem" => others::gem_key(text),
        "composer" => others::composer_key(text),
        _ => Some(natural_key(text)),
    }
}

/// npm's own reading, which takes more than semantic versioning does, such as `v1.2.3` and `1.2.3beta`.
fn npm_key(text: &str) -> Option<Vec<u8>> {
    let version = nodejs_semver::Version::parse(text).ok()?;
    let pre: Vec<String> = version.pre_release().iter().map(ToString::to_string).collect();
    let mut key = [version.major(), version.minor(), version.patch()].map(u64::to_be_bytes).concat();
    push_prerelease(&mut key, &pre.join("."));
    Some(key)
}

/// Pub: semantic versioning, but build metadata counts.
fn pub_key(text: &str) -> Option<Vec<u8>> {
    let mut key = semver_key(text)?;
    match text.split_once('+') {
        None => key.push(END),
        Some((_, build)) => push_prerelease(&mut key, build),
    }
    Some(key)
}

/// Semantic versioning 2.0, §11: a pre-release comes before its release, numbers before words; build metadata does not count.
fn semver_key(text: &str) -> Option<Vec<u8>> {
    let version: semver::Version = text.parse().ok()?;
    let mut key = [version.major, version.minor, version.patch].map(u64::to_be_bytes).concat();
    push_prerelease(&mut key, version.pre.as_str());
    Some(key)
}

/// NuGet: one to four numbers, those that are left out being zeros, and a pre-release as in semantic versioning but in any case.
fn nuget_key(text: &str) -> Option<Vec<u8>> {
    let lower = text.to_lowercase();
    let release = lower.split('+').next().unwrap_or_default();
    let (numbers, pre) = match release.split_once('-') {
        Some((_, "")) => return None,
        Some((numbers, pre)) => (numbers, pre),
        None => (release, ""),
    };
    let mut parts = [0_u64; 4];
    for (at, number) in numbers.split('.').enumerate() {
        *parts.get_mut(at)? = number.parse().ok()?;
    }
    let mut key = parts.map(u64::to_be_bytes).concat();
    push_prerelease(&mut key, pre);
    Some(key)
}

/// The identifiers of a pre-release; a release, which has none, comes after all that have.
fn push_prerelease(key: &mut Vec<u8>, pre: &str) {
    if pre.is_empty() {
        key.push(ABSENT_LAST);
        return;
    }
    for identifier in pre.split('.') {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            key.push(1);
            push_number(key, identifier.as_bytes());
        } else {
            key.push(2);
            key.extend_from_slice(identifier.as_bytes());
            key.push(END);
        }
    }
    key.push(END);
}

/// PEP 440, "Summary of permitted suffixes and relative ordering".
fn pep440_key(version: &pep440_rs::Version) -> Vec<u8> {
    let mut key = version.epoch().to_be_bytes().to_vec();
    let release = version.release();
    let significant = release.len() - release.iter().rev().take_while(|part| **part == 0).count();
    for part in &release[..significant] {
        key.push(1);
        key.extend_from_slice(&part.to_be_bytes());
    }
    key.push(END);
    match version.pre() {
        // A development release of the final release comes before all its pre-releases.
        None if version.post().is_none() && version.dev().is_some() => key.push(0),
        None => key.push(ABSENT_LAST),
        Some(pre) => {
            key.push(match pre.kind {
                pep440_rs::PrereleaseKind::Alpha => 1,
                pep440_rs::PrereleaseKind::Beta => 2,
                pep440_rs::PrereleaseKind::Rc => 3,
            });
            key.extend_from_slice(&pre.number.to_be_bytes());
        }
    }
    match version.post() {
        None => key.push(0),
        Some(post) => {
            key.push(1);
            key.extend_from_slice(&post.to_be_bytes());
        }
    }
    match version.dev() {
        None => key.push(ABSENT_LAST),
        Some(dev) => {
            key.push(1);
            key.extend_from_slice(&dev.to_be_bytes());
        }
    }
    for segment in version.local() {
        match segment {
            pep440_rs::LocalSegment::String(text) => {
                key.push(1);
                key.extend_from_slice(text.as_bytes());
                key.push(END);
            }
            pep440_rs::LocalSegment::Number(number) => {
                key.push(2);
                key.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
    key.push(END);
    key
}

/// Runs of digits compare as numbers, everything else byte by byte.
fn natural_key(text: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(text.len() + 8);
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.first() {
        if byte.is_ascii_digit() {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            // Stands where any digit would among other signs.
            key.push(b'0');
            push_number(&mut key, &rest[..end]);
            rest = &rest[end..];
        } else {
            key.push(*byte);
            rest = &rest[1..];
        }
    }
    key
}

/// Digits without leading zeros, after how many they are: bytes that compare as the numbers do, up to 65,535 digits.
fn push_number(key: &mut Vec<u8>, digits: &[u8]) {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = &digits[zeros..];
    let count = u16::try_from(significant.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&count.to_be_bytes());
    key.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::name::PackageName;

    fn at(package_type: &str, version: &str) -> Coordinates {
        Coordinates::new(PackageName::new(package_type.parse().unwrap(), "", "demo").unwrap(), version).unwrap()
    }

    #[test]
    fn versions_sort_by_their_ecosystems_rules() {
        for (package_type, ascending) in [
            ("pypi", vec!["1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0rc1", "1.0", "1.0+a", "1.0+1", "1.0.post1", "1.9", "1.10", "1!0.1"]),
            ("npm", vec!["1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0", "1.9.0", "1.10.0"]),
            ("cargo", vec!["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0"]),
            ("golang", vec!["weekly.2012", "v0.0.0-20190101000000-abcdef", "v1.0.0", "v1.10.0"]),
            (
                "nuget",
                vec!["weekly", "1.0.0-1", "1.0.0-ALPHA.2", "1.0.0-alpha.10", "1.0.0-beta", "1.0", "1.0.0.1", "1.9.0", "1.10-rc", "1.10"],
            ),
            ("npm", vec!["1.2.3-beta", "1.2.3", "1.2.4-0", "1.2.4"]),
            ("pub", vec!["1.0.0-a", "1.0.0", "1.0.0+1", "1.0.0+2", "1.0.1"]),
            ("maven", vec!["1.0-alpha", "1.0-SNAPSHOT", "1.0", "1.0-sp", "1-1", "1.1", "1.10"]),
            ("gem", vec!["1..0", "1.0.pre", "1.0", "1.10"]),
            ("composer", vec!["dev-main", "1.0-RC1", "v1.0", "1.10"]),
            ("generic", vec!["1.2", "1.9", "1.10", "r7", "r10"]),
        ] {
            for pair in ascending.windows(2) {
                let (lower, higher) = (at(package_type, pair[0]), at(package_type, pair[1]));
                assert_eq!(lower.compare_version(&higher), Ordering::Less, "{package_type}: {} < {}", pair[0], pair[1]);
                assert_eq!(higher.compare_version(&lower), Ordering::Greater);
            }
        }
        assert_eq!(at("nuget", "1.0-Beta").compare_version(&at("nuget", "1.0.0.0-beta+built")), Ordering::Equal);
        assert!(at("nuget", "1.0-beta").is_prerelease() && !at("nuget", "1.0+a-b").is_prerelease());
        assert!(at("pypi", "2.0rc1").is_prerelease() && !at("pypi", "2.0").is_prerelease());
    }

    proptest! {
        #[test]
        fn keys_compare_as_the_library_of_semantic_versions_does(
            one in "[0-9]{1,3}\\.(0|10?)\\.(0|[1-9][0-9]?)(-(0|[1-9][0-9]?|a|ab|a-)(\\.(0|[1-9][0-9]?|b))?)?",
            other in "[0-9]{1,3}\\.(0|10?)\\.(0|[1-9][0-9]?)(-(0|[1-9][0-9]?|a|ab|a-)(\\.(0|[1-9][0-9]?|b))?)?",
        ) {
            if let (Ok(a), Ok(b)) = (one.parse::<semver::Version>(), other.parse::<semver::Version>()) {
                prop_assert_eq!(semver_key(&one).cmp(&semver_key(&other)), a.cmp_precedence(&b), "{} {}", one, other);
            }
        }

        #[test]
        fn keys_compare_as_the_library_of_npm_does(
            one in "v?[0-2]\\.(0|10?)\\.[0-2](-?(0|1[0-9]?|a|ab|a-)(\\.(0|[1-9][0-9]?|b))?)?(\\+b)?",
            other in "v?[0-2]\\.(0|10?)\\.[0-2](-?(0|1[0-9]?|a|ab|a-)(\\.(0|[1-9][0-9]?|b))?)?(\\+b)?",
        ) {
            if let (Ok(a), Ok(b)) = (nodejs_semver::Version::parse(&one), nodejs_semver::Version::parse(&other)) {
                prop_assert_eq!(readable_key("npm", &one).cmp(&readable_key("npm", &other)), a.cmp(&b), "{} {}", one, other);
            }
        }

        #[test]
        fn keys_compare_as_the_library_of_python_versions_does(
            one in "([12]!)?[0-2](\\.[0-2]0?){0,2}((a|b|rc)[0-2])?(\\.post[0-2])?(\\.dev[0-2])?(\\+[a-b0-1](\\.[a-b0-9])?)?",
            other in "([12]!)?[0-2](\\.[0-2]0?){0,2}((a|b|rc)[0-2])?(\\.post[0-2])?(\\.dev[0-2])?(\\+[a-b0-1](\\.[a-b0-9])?)?",
        ) {
            let (a, b): (pep440_rs::Version, pep440_rs::Version) = (one.parse().unwrap(), other.parse().unwrap());
            prop_assert_eq!(pep440_key(&a).cmp(&pep440_key(&b)), a.cmp(&b), "{} {}", one, other);
        }

        #[test]
        fn natural_keys_compare_numbers_as_numbers(one in 0_u64..5000, other in 0_u64..5000, zeros in 0_usize..3) {
            let padded = format!("r{}{one}.x", "0".repeat(zeros));
            prop_assert_eq!(natural_key(&padded).cmp(&natural_key(&format!("r{other}.x"))), one.cmp(&other));
        }
    }
}
