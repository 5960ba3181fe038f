//! The order of RubyGems' and Composer's versions. Invariant: a key's bytes compare as the ecosystem's tool compares the versions;
//! what the tool would refuse has no key.

use super::push_number;

const WORD: u8 = 0x10;
const END: u8 = 0x20;
const NUMBER: u8 = 0x30;

/// `Gem::Version`: runs of digits and letters between dots and hyphens; letters come before numbers and before nothing.
pub(super) fn gem_key(text: &str) -> Option<Vec<u8>> {
    // A hyphen begins a pre-release, by RubyGems' own replacement.
    let text = text.trim().replace('-', ".pre.");
    let legal = text.starts_with(|sign: char| sign.is_ascii_digit())
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !legal {
        return None;
    }
    let mut key = Vec::with_capacity(text.len() + 8);
    let mut significant = 0;
    let mut rest = text.as_bytes();
    while let Some(first) = rest.first() {
        if *first == b'.' {
            rest = &rest[1..];
            continue;
        }
        let is_digit = first.is_ascii_digit();
        let end = rest.iter().position(|byte| *byte == b'.' || byte.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        if is_digit {
            key.push(NUMBER);
            push_number(&mut key, part);
            if part.iter().any(|digit| *digit != b'0') {
                significant = key.len();
            }
        } else {
            // Zeros at the end of the numbers before a word, as at the end of all, do not count.
            key.truncate(significant);
            key.push(WORD);
            key.extend_from_slice(part);
            key.push(0);
            significant = key.len();
        }
        rest = tail;
    }
    key.truncate(significant);
    key.push(END);
    Some(key)
}

/// Composer: up to four numbers, a stability with numbers of its own, and perhaps `-dev`. A branch (`dev-main`) has no order.
pub(super) fn composer_key(text: &str) -> Option<Vec<u8>> {
    let lower = text.trim().to_lowercase();
    let text = lower.split('+').next().unwrap_or_default();
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (numbers, mut rest) = text.split_at(end);
    let mut key = Vec::new();
    let mut count = 0;
    for number in numbers.trim_end_matches('.').split('.') {
        if number.is_empty() || count == 4 {
            return None;
        }
        push_number(&mut key, number.as_bytes());
        count += 1;
    }
    for _ in count..4 {
        push_number(&mut key, b"0");
    }
    let is_development = match rest.strip_suffix("dev").map(|head| head.trim_end_matches(['-', '.', '_'])) {
        Some(head) => {
            rest = head;
            true
        }
        None => false,
    };
    let (word, numbers) = stability(rest)?;
    key.push(if word == STABLE && is_development { 0 } else { word });
    for number in numbers.split(['.', '-', '_']).filter(|number| !number.is_empty()) {
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        key.push(NUMBER);
        push_number(&mut key, number.as_bytes());
    }
    key.extend_from_slice(if is_development { &[WORD] } else { &[END] });
    Some(key)
}

const STABLE: u8 = 4;

/// The place of the stability that `text` begins with, and what follows it.
fn stability(text: &str) -> Option<(u8, &str)> {
    let text = text.trim_start_matches(['-', '.', '_']);
    let words = [("stable", STABLE), ("alpha", 1), ("a", 1), ("beta", 2), ("b", 2), ("rc", 3), ("patch", 5), ("pl", 5), ("p", 5)];
    if text.is_empty() {
        return Some((STABLE, ""));
    }
    words.iter().find_map(|(word, place)| text.strip_prefix(word).map(|rest| (*place, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gems_stand_where_rubygems_puts_them() {
        let ascending =
            ["0.9", "1.0.a", "1.0.a.2", "1.0.b1", "1.0.0-rc1", "1.0.0.pre", "1.0.0.rc.2", "1.0", "1.0.1.a", "1.0.1", "1.2", "1.10"];
        for pair in ascending.windows(2) {
            assert!(gem_key(pair[0]) < gem_key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        for (one, other) in [("1", "1.0.0"), ("1.0.a", "1.a"), ("1.0-1", "1.0.pre.1"), ("1.a.0", "1.a")] {
            assert_eq!(gem_key(one), gem_key(other), "{one} = {other}");
        }
        assert!(gem_key("1..2").is_none() && gem_key("junk").is_none() && gem_key("").is_none());
    }

    #[test]
    fn composer_versions_stand_where_composer_puts_them() {
        let ascending = [
            "1.0-dev",
            "v1.0-alpha1-dev",
            "1.0.0-alpha1",
            "1.0-a10",
            "1.0.0beta",
            "1.0.0-beta.2",
            "1.0-RC1",
            "1.0",
            "1.0-p1",
            "1.0.1",
            "1.10",
        ];
        for pair in ascending.windows(2) {
            assert!(composer_key(pair[0]) < composer_key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        for (one, other) in [("1", "v1.0.0.0"), ("1.0-beta2", "1.0.0b2"), ("1.0-stable", "1.0"), ("1.0+build", "1.0")] {
            assert_eq!(composer_key(one), composer_key(other), "{one} = {other}");
        }
        for branch in ["dev-main", "1.0.x-dev", "1.2.3.4.5", "1.0-unheard", ""] {
            assert!(composer_key(branch).is_none(), "{branch}");
        }
    }
}
