//! What all answers share: pages and their parameters. Invariant: a list never gives more than [`PAGE_LIMIT`] items.

use serde::{Deserialize, Serialize};

use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::registry::Page;

/// Items of a page when `limit` is not given.
pub const PAGE_DEFAULT: usize = 50;
/// Items of a page at most.
pub const PAGE_LIMIT: usize = 200;
/// The parameters of every list. A list with filters has them in a struct of its own and calls [`page_limit`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Items wanted, 1 to [`PAGE_LIMIT`].
    pub limit: Option<usize>,
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Items wanted.
    ///
    /// # Errors
    /// `bad_request` outside 1 to [`PAGE_LIMIT`].
    pub fn limit(&self) -> Result<usize> {
        page_limit(self.limit)
    }
}

/// Checks a `limit`.
///
/// # Errors
/// `bad_request` outside 1 to [`PAGE_LIMIT`].
pub fn page_limit(limit: Option<usize>) -> Result<usize> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(limit) if (1..=PAGE_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::bad_request(format!("limit must be 1 to {PAGE_LIMIT}"))),
    }
}

/// Reads a parameter that is a moment.
///
/// # Errors
/// `bad_request` that names the parameter.
pub fn moment(name: &str, text: Option<String>) -> Result<Option<Time>> {
    let read = |text: String| text.parse::<Time>().map_err(|error| Error::bad_request(format!("the parameter `{name}`: {error}")));
    text.map(read).transpose()
}

/// One page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageBody<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

impl<T> PageBody<T> {
    /// Renders each item of a page.
    pub fn of<U>(page: Page<U>, render: impl Fn(U) -> T) -> PageBody<T> {
        PageBody { items: page.items.into_iter().map(render).collect(), next_cursor: page.next_cursor }
    }
}

/// The first `limit` items of the rest of a list that is at hand whole, with the cursor that `key` gives of the last.
pub fn cut_page<T>(rest: impl IntoIterator<Item = T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let mut items: Vec<T> = rest.into_iter().take(limit.saturating_add(1)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(key) } else { None };
    Page { items, next_cursor }
}
