//! Finding crates, as `cargo search` asks. Invariant: one hit a crate, by the version that stands for it; nothing withheld is found.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::PackageType;
use crate::error::Result;
use crate::http::{Reply, Request};

/// Hits where the client does not say how many.
const USUAL_COUNT: usize = 10;
/// Hits at most.
const MOST: usize = 100;

/// The query; what else stands in it is left alone, as Cargo's protocol wants it.
#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    q: String,
    per_page: Option<usize>,
    page: Option<usize>,
}

#[derive(Serialize)]
struct Found<'a> {
    crates: Vec<Hit<'a>>,
    meta: Meta,
}

#[derive(Serialize)]
struct Hit<'a> {
    name: &'a str,
    max_version: &'a str,
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct Meta {
    total: u64,
}

/// GET of the crates that a text finds.
pub(super) async fn search(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let wish: Wish = request.query()?;
    let limit = wish.per_page.unwrap_or(USUAL_COUNT).clamp(1, MOST);
    let offset = wish.page.unwrap_or(1).saturating_sub(1).saturating_mul(limit);
    let page = app.run(move |app| app.registry.package_search(&permit, &PackageType::cargo(), &wish.q, limit, offset)).await?;
    let crates = page.items.iter().map(|hit| Hit {
        name: hit.version.coordinates.package().name(),
        max_version: hit.version.coordinates.version(),
        description: Some(hit.summary.as_str()).filter(|text| !text.is_empty()),
    });
    Reply::ok(&Found { crates: crates.collect(), meta: Meta { total: page.total_count } })
}
