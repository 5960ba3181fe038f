//! Maven's order of versions, as its reference writes it ("Version Order Specification"). Invariant: a key's bytes compare as that
//! page says, for every text: to Maven, anything is a version.

/// A qualifier that comes before the release; its place among them follows.
const BEFORE_RELEASE: u8 = 0x10;
/// The end of the version: what is padded with nothing.
const END: u8 = 0x20;
/// A qualifier that means the release itself but has something after it.
const RELEASE: u8 = 0x21;
/// A qualifier that comes after the release; its place among them follows.
const AFTER_RELEASE: u8 = 0x22;
/// A number after a hyphen, which comes before one after a dot.
const HYPHEN_NUMBER: u8 = 0x30;
/// A number after a dot.
const DOT_NUMBER: u8 = 0x40;

enum Token<'a> {
    Number { after_hyphen: bool, digits: &'a [u8] },
    Qualifier { after_hyphen: bool, word: &'a str, before_digit: bool },
}

impl Token<'_> {
    /// Whether the token says nothing when nothing but a qualifier or another part follows it.
    fn is_null(&self) -> bool {
        match self {
            Token::Number { digits, .. } => digits.iter().all(|digit| *digit == b'0'),
            Token::Qualifier { word, .. } => matches!(*word, "" | "final" | "ga" | "release"),
        }
    }

    /// Whether zeros in front of this token say something.
    fn keeps_what_is_before(&self) -> bool {
        matches!(self, Token::Number { after_hyphen: false, .. })
            || (matches!(self, Token::Qualifier { after_hyphen: false, .. }) && self.is_null())
    }

    fn push_key(&self, key: &mut Vec<u8>) {
        match self {
            Token::Number { after_hyphen, digits } => {
                key.push(if *after_hyphen { HYPHEN_NUMBER } else { DOT_NUMBER });
                super::push_number(key, digits);
            }
            Token::Qualifier { word, before_digit, .. } => {
                let place: &[u8] = match *word {
                    "alpha" => &[BEFORE_RELEASE, 0],
                    "a" if *before_digit => &[BEFORE_RELEASE, 0],
                    "beta" => &[BEFORE_RELEASE, 1],
                    "b" if *before_digit => &[BEFORE_RELEASE, 1],
                    "milestone" => &[BEFORE_RELEASE, 2],
                    "m" if *before_digit => &[BEFORE_RELEASE, 2],
                    "rc" | "cr" => &[BEFORE_RELEASE, 3],
                    "snapshot" => &[BEFORE_RELEASE, 4],
                    "" | "final" | "ga" | "release" => &[RELEASE],
                    "sp" => &[AFTER_RELEASE, 0],
                    _ => &[AFTER_RELEASE, 1],
                };
                key.extend_from_slice(place);
                if place == [AFTER_RELEASE, 1] {
                    key.extend_from_slice(word.as_bytes());
                    key.push(0);
                }
            }
        }
    }
}

/// Bytes that compare as Maven compares the versions.
pub(super) fn key(text: &str) -> Vec<u8> {
    let lower = text.to_lowercase().replace('\0', "");
    let mut kept: Vec<Token> = Vec::new();
    for token in tokens(&lower) {
        if !token.keeps_what_is_before() {
            trim(&mut kept);
        }
        kept.push(token);
    }
    trim(&mut kept);
    let mut key = Vec::with_capacity(text.len() + 8);
    for token in &kept {
        token.push_key(&mut key);
    }
    key.push(END);
    key
}

fn trim(tokens: &mut Vec<Token>) {
    while tokens.last().is_some_and(Token::is_null) {
        tokens.pop();
    }
}

/// The parts between dots, hyphens and changes between digits and others, which count as hyphens; an empty part is a zero.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut after_hyphen = false;
    let mut rest = text;
    while !rest.is_empty() {
        let is_digit = rest.starts_with(|sign: char| sign.is_ascii_digit());
        let ends = |sign: char| sign == '.' || sign == '-' || sign.is_ascii_digit() != is_digit;
        let end = rest.find(ends).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        let separator = tail.chars().next();
        found.push(if part.is_empty() || is_digit {
            Token::Number { after_hyphen, digits: if part.is_empty() { b"0" } else { part.as_bytes() } }
        } else {
            let before_digit = separator.is_some_and(|sign| sign.is_ascii_digit());
            Token::Qualifier { after_hyphen, word: part, before_digit }
        });
        after_hyphen = separator != Some('.');
        rest = tail.strip_prefix(['.', '-']).unwrap_or(tail);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_ascending(versions: &[&str]) {
        for (at, lower) in versions.iter().enumerate() {
            for higher in &versions[at + 1..] {
                assert!(key(lower) < key(higher), "{lower} < {higher}: {:x?} {:x?}", key(lower), key(higher));
            }
        }
    }

    #[test]
    fn versions_with_qualifiers_stand_where_maven_puts_them() {
        assert_ascending(&[
            "1-alpha2snapshot",
            "1-alpha2",
            "1-alpha-123",
            "1-beta-2",
            "1-beta123",
            "1-m2",
            "1-m11",
            "1-rc",
            "1-cr2",
            "1-rc123",
            "1-SNAPSHOT",
            "1",
            "1-sp",
            "1-sp2",
            "1-sp123",
            "1-abc",
            "1-def",
            "1-pom-1",
            "1-1-snapshot",
            "1-1",
            "1-2",
            "1-123",
        ]);
        assert_ascending(&["1.0-alpha-1-SNAPSHOT", "1.0-alpha-1", "1.0-alpha-2", "1.0-beta-1", "1.0-SNAPSHOT", "1.0", "1.0-sp", "1.0-1"]);
        assert_ascending(&["2.0.1", "2.0.1-klm", "2.0.1-lmn", "2.0.1-xyz", "2.0.1-123", "2.0.2"]);
    }

    #[test]
    fn versions_with_numbers_stand_where_maven_puts_them() {
        assert_ascending(&[
            "2.0", "2.0.a", "2-1", "2.0.2", "2.0.123", "2.1.0", "2.1-a", "2.1b", "2.1-c", "2.1-1", "2.1.0.1", "2.2", "2.123", "11.a2",
            "11.a11", "11.b2", "11.b11", "11.m2", "11.m11", "11", "11.a", "11b", "11c", "11m",
        ]);
        assert_ascending(&["0.0-1552", "0.2", "0.7", "1", "1.0.7", "1.1", "1.5", "1.520", "2", "2.5", "20190126.230843"]);
    }

    #[test]
    fn the_examples_of_mavens_reference_hold() {
        assert_ascending(&["1-snapshot", "1", "1-sp"]);
        assert_ascending(&["1-foo2", "1-foo10"]);
        assert_ascending(&["1.foo", "1-1", "1.1"]);
        assert_ascending(&["1-ga", "1-sp"]);
        assert_ascending(&["1-ga.1", "1-sp.1"]);
        assert_ascending(&["1-sp-1", "1-ga-1"]);
        assert_ascending(&["2.14.1", "2.15.0-rc1", "2.15.0", "2.17.1"]);
        assert_ascending(&["99999999999999999999.1", "99999999999999999999.2", "100000000000000000000"]);
        for same in [
            &["1.ga", "1-ga", "1-0", "1.0", "1", "1.", "1-", "1.final", "1.0.0", "1.0-0", "1.0.0-0.0.0", "1.RELEASE", "1FINAL"][..],
            &["1.foo", "1-foo", "1foo", "1.0.foo", "1.0.0-foo.0.0", "1.0-FOO"],
            &["1-a1", "1-alpha-1", "1a1", "1.0-ALPHA1"],
            &["1cr", "1rc"],
            &["1b2", "1beta2"],
            &["1m3", "1Milestone3"],
            &["1-1.foo-bar1baz-.1", "1-1.foo-bar-1-baz-0.1"],
            &["5.3.0.RELEASE", "5.3"],
        ] {
            for other in same {
                assert_eq!(key(same[0]), key(other), "{} = {other}", same[0]);
            }
        }
    }
}
