//! Between columns and domain types. Invariant: a text that is no value of its type is an error, never a default.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use crate::domain::time::Time;
use crate::error::{Error, Result};

/// One page of a list, with the cursor of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a list that was asked for with one row more than `limit`, and names the next page by `key` of the last row kept.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(key) } else { None };
        Page { items, next_cursor }
    }
}

/// Rows that one page of a filtered list looks at, at most: a filter that hardly anything passes costs no more than this, and the page
/// then ends early with a cursor.
const WALK_LIMIT: usize = 5_000;

impl<T> Page<T> {
    /// The rows to ask for by [`Page::walk`].
    pub(super) fn walk_limit() -> i64 {
        stored(WALK_LIMIT as u64)
    }

    /// Takes up to `limit` rows that pass, out of rows asked for with [`Page::walk_limit`]; no more of them are read than needed.
    pub(super) fn walk(
        found: impl Iterator<Item = rusqlite::Result<T>>,
        limit: usize,
        passes: impl Fn(&T) -> bool,
        key: impl Fn(&T) -> String,
    ) -> Result<Page<T>> {
        let (mut items, mut walked, mut reached) = (Vec::new(), 0, None);
        for row in found {
            let row = row?;
            walked += 1;
            reached = Some(key(&row));
            if passes(&row) {
                items.push(row);
            }
            if items.len() > limit {
                return Ok(Page::cut(items, limit, key));
            }
        }
        Ok(Page { items, next_cursor: reached.filter(|_| walked >= WALK_LIMIT) })
    }
}

/// What sorts before every `UUIDv7` made at `time` or later and after all made before, as text. Ids are in the order of their times, so
/// a stretch of time is a stretch of ids.
pub(super) fn first_id_at(time: Time) -> String {
    let ms = u64::try_from(time.unix_ms()).unwrap_or(0);
    format!("{:08x}-{:04x}-", ms >> 16, ms & 0xffff)
}

/// Reads a text column as a domain type.
pub(super) fn parse<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| unreadable(column, &error))
}

/// Reads a text column that may be NULL as a domain type.
pub(super) fn parse_optional<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: Display,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| unreadable(column, &error))).transpose()
}

/// Reads a column of milliseconds.
pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Time> {
    row.get(column).map(Time::from_unix_ms)
}

/// Reads a column of milliseconds that may be NULL.
pub(super) fn time_optional(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Time>> {
    row.get::<_, Option<i64>>(column).map(|ms| ms.map(Time::from_unix_ms))
}

/// Reads a column of JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, &error))
}

/// Reads a column of sizes or counts.
pub(super) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| unreadable(column, &error))
}

/// The error for a column whose content is no value of its type.
pub(super) fn unreadable(column: &str, error: &dyn Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("column {column}: {error}").into())
}

/// The integer that SQLite stores for a size.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// JSON text of something that always has one.
///
/// # Errors
/// Internal, when the value cannot be written as JSON.
pub(super) fn json_text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| Error::internal("writing JSON for the database", cause))
}

/// A cursor of a time and an id, as `ms~id`.
pub(super) fn time_cursor(time: Time, id: impl Display) -> String {
    format!("{}~{id}", time.unix_ms())
}

/// Reads a cursor made by [`time_cursor`].
///
/// # Errors
/// `bad_request` for a cursor that no page gave out.
pub(super) fn parse_time_cursor(cursor: Option<&str>) -> Result<Option<(i64, String)>> {
    let Some(text) = cursor else { return Ok(None) };
    let parsed = text.split_once('~').and_then(|(ms, id)| Some((ms.parse().ok()?, id.to_owned())));
    parsed.map(Some).ok_or_else(bad_cursor)
}

/// The 400 for a cursor that no page gave out.
pub(super) fn bad_cursor() -> Error {
    Error::bad_request("this cursor was not given out by a list; send nextCursor of the page before, or none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FixedClock};

    #[test]
    fn ids_of_a_moment_lie_between_the_first_of_it_and_the_first_of_the_next() {
        let time: Time = "2026-06-01T12:00:00.123Z".parse().unwrap();
        let id = FixedClock::at(time).uuid().to_string();
        assert!(first_id_at(time) <= id && id < first_id_at(time.plus_ms(1)), "{id}");
        assert!(first_id_at(Time::from_unix_ms(-1)) <= first_id_at(Time::from_unix_ms(0)));
    }

    #[test]
    fn a_walk_stops_with_the_page_and_goes_on_where_it_gave_up() {
        let rows = |count: usize| (0..count).map(Ok);
        let walk = |count, limit, passes: fn(&usize) -> bool| Page::walk(rows(count), limit, passes, ToString::to_string).unwrap();
        assert_eq!(walk(3, 2, |_| true), Page { items: vec![0, 1], next_cursor: Some("1".to_owned()) });
        assert_eq!(walk(2, 2, |_| true), Page { items: vec![0, 1], next_cursor: None });
        let last = (WALK_LIMIT - 1).to_string();
        assert_eq!(walk(WALK_LIMIT, 2, |row| *row == 7), Page { items: vec![7], next_cursor: Some(last) });
        let mut looked_at = 0;
        let found = rows(1_000).inspect(|_| looked_at += 1);
        Page::walk(found, 2, |_| true, ToString::to_string).unwrap();
        assert_eq!(looked_at, 3, "no more is read than needed");
    }
}
