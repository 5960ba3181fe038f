//! The part of a file that a client asked for. Invariant: a selection lies inside the content, whatever the header said (RFC 9110, section 14).

use std::ops::Range;

use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};

use crate::error::{Code, Error, Result};

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The whole content: 200.
    Whole,
    /// These bytes, at least one, end exclusive: 206.
    Partial(Range<u64>),
}

impl Selection {
    /// The bytes selected from content of `size_bytes` bytes, end exclusive.
    #[must_use]
    pub fn bytes(&self, size_bytes: u64) -> Range<u64> {
        match self {
            Selection::Whole => 0..size_bytes,
            Selection::Partial(bytes) => bytes.clone(),
        }
    }

    /// The value of `Content-Range` (RFC 9110, section 14.4) for a partial answer, such as `bytes 0-9/100`.
    #[must_use]
    pub fn content_range(&self, size_bytes: u64) -> Option<String> {
        match self {
            Selection::Whole => None,
            Selection::Partial(bytes) => Some(format!("bytes {}-{}/{size_bytes}", bytes.start, bytes.end.saturating_sub(1))),
        }
    }
}

/// Reads a `Range` header for content of `size_bytes` bytes. One range of any legal form selects a part; several ranges, another
/// unit or a malformed value select the whole, as RFC 9110 allows. `If-Range` is the caller's to check: pass `None` when it fails.
///
/// # Errors
/// `invalid_range` with the member `sizeBytes`, when the one range has no byte in common with the content.
pub fn select_range(range_header: Option<&str>, size_bytes: u64) -> Result<Selection> {
    let Some(header) = range_header else { return Ok(Selection::Whole) };
    let parsed = match parse_range_header(&normalized(header)) {
        Ok(parsed) => parsed,
        Err(RangeUnsatisfiableError::ZeroSuffix) if !header.contains(',') => return Err(unsatisfiable(size_bytes)),
        Err(_) => return Ok(Selection::Whole),
    };
    let [range] = parsed.ranges.as_slice() else { return Ok(Selection::Whole) };
    let bytes = match (range.start, range.end) {
        // Empty content has no byte to send, yet any suffix of it is all of it.
        (StartPosition::FromLast(_), _) if size_bytes == 0 => return Ok(Selection::Whole),
        (StartPosition::FromLast(count), _) => size_bytes.saturating_sub(count)..size_bytes,
        (StartPosition::Index(first), EndPosition::Index(last)) if last < first => return Ok(Selection::Whole),
        (StartPosition::Index(first), EndPosition::Index(last)) => first..last.saturating_add(1).min(size_bytes),
        (StartPosition::Index(first), EndPosition::LastByte) => first..size_bytes,
    };
    if bytes.start >= size_bytes { Err(unsatisfiable(size_bytes)) } else { Ok(Selection::Partial(bytes)) }
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

fn unsatisfiable(size_bytes: u64) -> Error {
    Error::new(Code::InvalidRange, format!("the range lies outside the content, which has {size_bytes} bytes; ask for a part of it"))
        .with("sizeBytes", size_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(header: &str, size_bytes: u64) -> Option<Range<u64>> {
        match select_range(Some(header), size_bytes) {
            Ok(Selection::Partial(bytes)) => Some(bytes),
            Ok(Selection::Whole) | Err(_) => None,
        }
    }

    #[test]
    fn one_range_of_any_legal_form_selects_a_part() {
        for (header, bytes) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-9", 0..10),
            ("bytes=90-", 90..100),
            ("bytes=90-1000", 90..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            ("bytes=00-009", 0..10),
            ("Bytes=5-6", 5..7),
            (" bytes= 5-6 ", 5..7),
            ("bytes=0-18446744073709551615", 0..100),
        ] {
            assert_eq!(partial(header, 100), Some(bytes), "{header}");
        }
    }

    #[test]
    fn several_ranges_other_units_and_malformed_values_select_the_whole() {
        for header in [
            "bytes=0-1,5-6",
            "bytes=0-1, -1",
            "bytes=-0,1-2",
            "lines=1-2",
            "bytes",
            "bytes=",
            "bytes=5",
            "bytes=9-5",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=+1-2",
        ] {
            assert_eq!(select_range(Some(header), 100).unwrap(), Selection::Whole, "{header}");
        }
        assert_eq!(select_range(None, 100).unwrap(), Selection::Whole);
        assert_eq!(select_range(Some("bytes=-5"), 0).unwrap(), Selection::Whole);
    }

    #[test]
    fn a_range_without_a_byte_in_the_content_is_refused_with_the_size() {
        for (header, size_bytes) in [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=0-0", 0)] {
            let error = select_range(Some(header), size_bytes).unwrap_err();
            assert_eq!(error.code(), Code::InvalidRange, "{header}");
            assert_eq!(error.members()["sizeBytes"], size_bytes, "{header}");
        }
    }

    #[test]
    fn a_content_range_names_the_last_byte_and_the_size() {
        assert_eq!(Selection::Partial(0..10).content_range(100).as_deref(), Some("bytes 0-9/100"));
        assert_eq!(Selection::Whole.content_range(100), None);
        assert_eq!(Selection::Partial(3..5).bytes(100), 3..5);
        assert_eq!(Selection::Whole.bytes(100), 0..100);
    }
}
