//! Names in addresses. Invariant: what a client named goes into an address percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 and the slash.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path as part of an address: every character that is reserved there is encoded, slashes are not.
#[must_use]
pub fn encoded(path: &str) -> String {
    utf8_percent_encode(path, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_no_character_that_ends_a_path_or_an_attribute() {
        assert_eq!(encoded("a b/ü\"<'?#%&+.whl"), "a%20b/%C3%BC%22%3C%27%3F%23%25%26%2B.whl");
    }
}
