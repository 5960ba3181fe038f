//! Entity tags and conditional requests (RFC 9110, section 13). Invariant: our tags are strong and quoted.

use ::http::header::{self, HeaderMap, HeaderValue};

use crate::error::{Error, Result};

/// A strong entity tag, such as `"sha256:2c26…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag with this text between its quotes: visible ASCII without a quote.
    ///
    /// # Errors
    /// Internal, for any other text; tags are made from digests and numbers.
    pub fn new(text: &str) -> Result<EntityTag> {
        if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Ok(EntityTag(format!("\"{text}\"")));
        }
        Err(Error::internal("making an entity tag", format!("{text:?} cannot stand in one")))
    }

    /// The tag with its quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value for the header `ETag`.
    ///
    /// # Errors
    /// None in practice: the text was checked when the tag was made.
    pub fn header_value(&self) -> Result<HeaderValue> {
        HeaderValue::from_str(&self.0).map_err(|cause| Error::internal("writing an entity tag", cause))
    }

    /// Whether `If-None-Match` names this tag or `*`, so that the client already has the content. Weak and strong forms compare equal.
    #[must_use]
    pub fn is_known_to(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value.trim() == "*"
                || value.split(',').any(|tag| {
                    let tag = tag.trim();
                    tag.strip_prefix("W/").unwrap_or(tag) == self.0
                })
        })
    }

    /// Whether a range may be answered: `If-Range` is absent or is exactly this tag. A date there never matches, as ours are not exact.
    #[must_use]
    pub fn allows_range(&self, headers: &HeaderMap) -> bool {
        headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        let tag = EntityTag::new("abc").unwrap();
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(tag.is_known_to(&headers(header::IF_NONE_MATCH, known)), "{known}");
        }
        for unknown in ["\"abcd\"", "abc", ""] {
            assert!(!tag.is_known_to(&headers(header::IF_NONE_MATCH, unknown)), "{unknown}");
        }
        assert!(!tag.is_known_to(&HeaderMap::new()));
        assert!(EntityTag::new("a\"b").is_err() && EntityTag::new("a\nb").is_err());
    }

    #[test]
    fn if_range_must_be_the_strong_tag() {
        let tag = EntityTag::new("abc").unwrap();
        assert!(tag.allows_range(&HeaderMap::new()));
        assert!(tag.allows_range(&headers(header::IF_RANGE, "\"abc\"")));
        for other in ["W/\"abc\"", "Sun, 22 Nov 2026 20:39:30 GMT", "\"old\""] {
            assert!(!tag.allows_range(&headers(header::IF_RANGE, other)), "{other}");
        }
    }
}
