//! Byte ranges of one request (RFC 9110, section 14). Invariant: a range that comes out lies inside the content.

use std::ops::Range;

use ::http::{Method, header};
use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};

use super::conditional::EntityTag;
use super::request::Head;
use crate::error::{Code, Error, Result};

/// A stretch of content: never empty, never past the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte, counted from 0.
    pub first: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// The size of the whole content in bytes.
    pub size_bytes: u64,
}

impl ByteRange {
    /// The text of `Content-Range`, such as `bytes 0-9/100`.
    #[must_use]
    pub fn content_range(&self) -> String {
        format!("bytes {}-{}/{}", self.first, self.first + self.length_bytes.saturating_sub(1), self.size_bytes)
    }

    /// The bytes, end exclusive.
    #[must_use]
    pub fn bytes(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.length_bytes)
    }
}

/// The one range that a GET asks for of content of `size_bytes`; `None` means the whole: no range, several, one not understood, or
/// one whose `If-Range` names other content.
///
/// # Errors
/// `invalid_range` with the member `sizeBytes`, when the range has no byte in common with the content.
pub fn requested(head: &Head, tag: &EntityTag, size_bytes: u64) -> Result<Option<ByteRange>> {
    if head.method() != Method::GET || !tag.allows_range(head.headers()) {
        return Ok(None);
    }
    let Some(text) = head.header_text(header::RANGE) else { return Ok(None) };
    let parsed = match parse_range_header(&normalized(text)) {
        Ok(parsed) => parsed,
        Err(RangeUnsatisfiableError::ZeroSuffix) if !text.contains(',') => {
            return Err(past_the_end("the range asks for the last 0 bytes", size_bytes));
        }
        Err(_) => return Ok(None),
    };
    let [range] = parsed.ranges.as_slice() else { return Ok(None) };
    let (first, last) = match (&range.start, &range.end) {
        (StartPosition::Index(first), EndPosition::Index(last)) if last < first => return Ok(None),
        (StartPosition::Index(first), EndPosition::Index(last)) => (*first, *last),
        (StartPosition::Index(first), EndPosition::LastByte) => (*first, u64::MAX),
        // Empty content has no byte to send, yet any suffix of it is all of it.
        (StartPosition::FromLast(_), _) if size_bytes == 0 => return Ok(None),
        (StartPosition::FromLast(count), _) => (size_bytes.saturating_sub(*count), u64::MAX),
    };
    if first >= size_bytes {
        return Err(past_the_end(&format!("the range begins at byte {first}"), size_bytes));
    }
    let length_bytes = last.min(size_bytes - 1) - first + 1;
    Ok(Some(ByteRange { first, length_bytes, size_bytes }))
}

/// The header in the one spelling the strict parser knows: the unit is case-insensitive and numbers may have leading zeros.
fn normalized(header: &str) -> String {
    let Some((unit, set)) = header.trim().split_once('=') else { return header.to_owned() };
    let ranges: Vec<String> =
        set.split(',').map(|range| range.trim().split('-').map(without_zeros).collect::<Vec<_>>().join("-")).collect();
    format!("{}={}", unit.to_ascii_lowercase(), ranges.join(","))
}

fn without_zeros(number: &str) -> &str {
    let rest = number.trim_start_matches('0');
    if rest.is_empty() && !number.is_empty() { "0" } else { rest }
}

fn past_the_end(what: &str, size_bytes: u64) -> Error {
    Error::new(Code::InvalidRange, format!("{what}, but the content has {size_bytes} bytes; ask for bytes inside it"))
        .with("sizeBytes", size_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, range: &str, if_range: Option<&str>, size_bytes: u64) -> Result<Option<(u64, u64)>> {
        let mut builder = ::http::Request::builder().method(method).header(header::RANGE, range);
        if let Some(tag) = if_range {
            builder = builder.header(header::IF_RANGE, tag);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let found = requested(&Head::new(parts, None), &EntityTag::new("t").unwrap(), size_bytes)?;
        Ok(found.map(|range| (range.first, range.length_bytes)))
    }

    #[test]
    fn every_legal_form_of_one_range_is_understood() {
        for (text, expected) in [
            ("bytes=0-0", (0, 1)),
            ("bytes=2-5", (2, 4)),
            ("bytes=5-", (5, 5)),
            ("bytes=5-999", (5, 5)),
            ("bytes=-3", (7, 3)),
            ("bytes=-30", (0, 10)),
            ("bytes=9-18446744073709551615", (9, 1)),
            ("bytes=00-005", (0, 6)),
            ("Bytes=5-6", (5, 2)),
            (" bytes= 5-6 ", (5, 2)),
        ] {
            assert_eq!(ask(Method::GET, text, None, 10).unwrap(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_understood_range_gets_the_whole() {
        for text in [
            "bytes=0-1,3-4",
            "bytes=0-1, -1",
            "bytes=-0,1-2",
            "bytes=5-2",
            "items=0-1",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=5",
            "bytes=",
            "bytes",
            "0-1",
        ] {
            assert_eq!(ask(Method::GET, text, None, 10).unwrap(), None, "{text}");
        }
        assert_eq!(ask(Method::GET, "bytes=-5", None, 0).unwrap(), None);
        assert_eq!(ask(Method::HEAD, "bytes=0-1", None, 10).unwrap(), None);
        assert_eq!(ask(Method::GET, "bytes=0-1", Some("\"old\""), 10).unwrap(), None);
        assert_eq!(ask(Method::GET, "bytes=0-1", Some("\"t\""), 10).unwrap(), Some((0, 2)));
    }

    #[test]
    fn a_range_past_the_end_is_refused_with_the_size() {
        for (text, size_bytes) in [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=0-0", 0)] {
            let error = ask(Method::GET, text, None, size_bytes).unwrap_err();
            assert_eq!(error.code(), Code::InvalidRange, "{text}");
            assert_eq!(error.members()["sizeBytes"], size_bytes);
        }
    }

    #[test]
    fn a_content_range_names_the_last_byte_and_the_size() {
        let range = ByteRange { first: 3, length_bytes: 2, size_bytes: 100 };
        assert_eq!(range.content_range(), "bytes 3-4/100");
        assert_eq!(range.bytes(), 3..5);
    }
}
