//! Who fetched a version, over HTTP. Invariant: it takes the role `promote`, as it names people and their addresses.

use std::sync::Arc;

use serde::Deserialize;

use super::wire::{PageBody, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Promote};
use crate::domain::download::Fetcher;
use crate::domain::id::VersionId;
use crate::error::Result;
use crate::http::{Reply, Request, Routes};

pub(super) fn routes() -> Routes<App> {
    Routes::new().get(
        "/v1/repos/{repoKey}/versions/{versionId}/downloads",
        "/v1/repos/main/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/downloads",
        list,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: VersionId = request.param_as("versionId")?;
    let query: ListQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let page = app.run(move |app| app.review.downloads(&permit, &id, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, |fetcher: Fetcher| fetcher))
}
