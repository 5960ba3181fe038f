//! Moments and their text. Invariant: a `Time` is UTC in whole milliseconds; its text is RFC 3339 with three decimals and `Z`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::Error;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, from the year 1 to the end of 9998.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

const EARLIEST_MS: i64 = -62_135_510_400_000;
const LATEST_MS: i64 = 253_370_764_799_999;

impl Time {
    /// The moment `ms` milliseconds after 1970; moments outside that span are moved to the nearest end.
    #[must_use]
    pub fn from_unix_ms(ms: i64) -> Time {
        Time(ms.clamp(EARLIEST_MS, LATEST_MS))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// This moment moved by `ms` milliseconds; negative goes back.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Time {
        Time::from_unix_ms(self.0.saturating_add(ms))
    }

    /// This moment moved by whole days of 86,400 seconds.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Time {
        self.plus_ms(days.saturating_mul(86_400_000))
    }

    /// Whole seconds since `earlier`; 0 when `earlier` lies in the future.
    #[must_use]
    pub fn seconds_since(self, earlier: Time) -> i64 {
        (self.0.saturating_sub(earlier.0) / 1000).max(0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Time, Error> {
        text.parse::<jiff::Timestamp>()
            .map(|stamp| Time::from_unix_ms(stamp.as_millisecond()))
            .map_err(|_| Error::bad_request("a time must be RFC 3339, such as 2026-01-31T12:00:00Z"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_is_written() {
        let time: Time = "2026-01-31T12:00:00.5Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-01-31T12:00:00.500Z");
        assert_eq!("2026-01-31T13:00:00+01:00".parse::<Time>().unwrap().to_string(), "2026-01-31T12:00:00.000Z");
        assert!("yesterday".parse::<Time>().is_err());
        assert_eq!(Time::from_unix_ms(i64::MAX).to_string(), "9998-12-31T23:59:59.999Z");
    }
}
