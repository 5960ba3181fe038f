//! The text of a token: `aft_`, 43 base62 digits of a 256-bit secret, 6 base62 digits of checksum. Invariant: the text is
//! never shown by `Debug`, and only its sha256 is stored.

use std::fmt;

use crate::domain::digest::Digest;

const PREFIX: &str = "aft_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base62 digits that 256 bits take.
const SECRET_DIGITS: usize = 43;
/// Base62 digits of the checksum, the first 32 bits of the sha256 of what stands before it.
const CHECKSUM_DIGITS: usize = 6;

/// A token's secret text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text for 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> Secret {
        let mut text = format!("{PREFIX}{}", base62(&bits, SECRET_DIGITS));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Secret(text)
    }

    /// Reads what a client sent; `None` when it has not the form of a token, so that no database is asked for noise.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        let well_formed = text.len() == PREFIX.len() + SECRET_DIGITS + CHECKSUM_DIGITS && text.starts_with(PREFIX) && text.is_ascii();
        if !well_formed {
            return None;
        }
        let (body, end) = text.split_at(PREFIX.len() + SECRET_DIGITS);
        (checksum(body) == end).then(|| Secret(text.to_owned()))
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn checksum(text: &str) -> String {
    base62(&Digest::of(text.as_bytes()).as_bytes()[..4], CHECKSUM_DIGITS)
}

/// `bytes` as one big-endian number in base 62, padded to `width` digits.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_usize;
        for byte in &mut number {
            let value = remainder * 256 + usize::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = DIGITS[remainder];
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_mistyped_one_does_not() {
        for bits in [[0; 32], [255; 32], [7; 32]] {
            let secret = Secret::from_random(bits);
            assert_eq!(secret.reveal().len(), 53);
            assert_eq!(Secret::parse(secret.reveal()).unwrap().digest(), secret.digest());
            let mut wrong = secret.reveal().to_owned();
            wrong.replace_range(10..11, if &wrong[10..11] == "a" { "b" } else { "a" });
            assert!(Secret::parse(&wrong).is_none());
        }
        assert!(Secret::parse("aft_é").is_none());
        assert_ne!(Secret::from_random([1; 32]).reveal(), Secret::from_random([2; 32]).reveal());
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let secret = Secret::from_random([7; 32]);
        assert!(!format!("{secret:?}").contains(&secret.reveal()[4..]));
    }
}
