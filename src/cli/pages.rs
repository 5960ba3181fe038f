//! Lists that come in pages. Invariant: pages are followed as far as was asked, never without end, and what is printed as JSON are the
//! server's own members.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Answer, Client};
use super::failure::Failure;
use super::fields::list;

/// Items that a server gives at once, at most.
const PAGE_LIMIT: usize = 200;
/// Items that one command collects, at most.
const ITEMS_LIMIT: usize = 100_000;

/// Bytes of all pages that one command collects, at most: far more than so many items have.
const PAGES_LIMIT_BYTES: usize = 128 << 20;

/// How much of a list is wanted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Extent {
    /// Show this many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Show all of them, up to 100,000.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Extent {
    /// Every item there is, up to the most that one command takes.
    pub(super) const ALL: Extent = Extent { limit: 0, all: true };

    fn wanted(&self) -> usize {
        if self.all { ITEMS_LIMIT } else { self.limit as usize }
    }
}

/// What was found of a list.
#[derive(Debug)]
pub(super) struct Found {
    /// The first page, for what it tells beside its items.
    pub(super) first: Value,
    /// The items of all pages.
    pub(super) items: Vec<Value>,
    /// Whether the server has more.
    pub(super) has_more: bool,
    /// One JSON document: the server's own where it was one page.
    pub(super) document: String,
}

/// Reads a list as far as it is wanted.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn collect(client: &Client, path: &[&str], query: &[(&str, String)], extent: &Extent) -> Result<Found, Failure> {
    let (mut pages, mut items): (Vec<Answer>, Vec<Value>) = (Vec::new(), Vec::new());
    let mut cursor = None;
    let mut room = PAGES_LIMIT_BYTES;
    loop {
        let size = (extent.wanted() - items.len()).min(PAGE_LIMIT);
        let mut query = query.to_vec();
        query.push(("limit", size.to_string()));
        query.extend(cursor.iter().map(|cursor: &String| ("cursor", cursor.clone())));
        let page = client.get(path, &query).await?;
        room = room.checked_sub(page.text.len()).ok_or_else(|| {
            Failure::Failed(format!("the list is longer than {PAGES_LIMIT_BYTES} bytes; ask for fewer of its items with --limit"))
        })?;
        let found = list(&page.json, "/items");
        items.extend_from_slice(found);
        let next = page.json.pointer("/nextCursor").and_then(Value::as_str).map(str::to_owned);
        let next = next.filter(|next| cursor.as_ref() != Some(next) && !found.is_empty());
        pages.push(page);
        if next.is_none() || items.len() >= extent.wanted() {
            let document = document(&pages)?;
            let first = pages.into_iter().next().map_or(Value::Null, |page| page.json);
            return Ok(Found { first, items, has_more: next.is_some(), document });
        }
        cursor = next;
    }
}

/// One document of several pages: the members of the last with the items of all.
fn document(pages: &[Answer]) -> Result<String, Failure> {
    let [.., last] = pages else { return Ok(String::new()) };
    if pages.len() == 1 {
        return Ok(last.text.clone());
    }
    let failed = |cause: serde_json::Error| Failure::Failed(format!("the pages of the answer cannot be put together: {cause}"));
    let mut members: BTreeMap<&str, Box<RawValue>> = serde_json::from_str(&last.text).map_err(failed)?;
    let texts = pages.iter().map(|page| page.text.as_str()).collect::<Vec<_>>();
    members.insert("items", items_of(&texts).map_err(failed)?);
    serde_json::to_string(&members).map_err(failed)
}

/// The items of several pages as one list.
fn items_of(pages: &[&str]) -> serde_json::Result<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let mut items = Vec::new();
    for page in pages {
        items.extend(serde_json::from_str::<Page<'_>>(page)?.items);
    }
    serde_json::value::to_raw_value(&items)
}

/// One document of several answers that are an item each, as `{"items": […]}`.
pub(super) fn together(answers: &[Answer]) -> String {
    let items: Vec<&str> = answers.iter().map(|answer| answer.text.trim()).collect();
    format!("{{\"items\":[{}]}}", items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_one_document_with_the_servers_own_items() {
        let pages = ["{\"items\":[{\"b\":1,\"a\":1.50}],\"nextCursor\":\"x\"}", "{\"items\":[ {\"c\":[]} ],\"nextCursor\":null}"];
        assert_eq!(items_of(&pages).unwrap().get(), "[{\"b\":1,\"a\":1.50},{\"c\":[]}]");
        assert!(items_of(&["{}"]).is_err());
    }
}
