//! Finding packages over HTTP, and running the index. Invariant: only repos that the caller may read are searched, and a page
//! far behind the first is refused instead of computed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::page_limit;
use crate::app::App;
use crate::domain::access::{Caller, Operator, Permit, Read, unauthorized};
use crate::domain::id::VersionId;
use crate::domain::name::{PackageType, RepoKey};
use crate::domain::time::Time;
use crate::domain::visibility::Visible;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Fragment, HITS_LIMIT, More, SearchHit, SearchPage, SearchQuery, SearchStatus};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/search", "/v1/search?q=demo", everywhere)
        .get("/v1/repos/{repoKey}/search/packages", "/v1/repos/main/search/packages?q=demo", in_repo)
        .post("/v1/admin/search/rebuild", "/v1/admin/search/rebuild", rebuild)
        .post("/v1/admin/search/pause", "/v1/admin/search/pause", pause)
        .post("/v1/admin/search/resume", "/v1/admin/search/resume", resume)
        .get("/v1/admin/search/status", "/v1/admin/search/status", status)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    q: String,
    r#type: Option<PackageType>,
    namespace: Option<String>,
    repo: Option<RepoKey>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Query {
    /// What to find, and the one repo to look in, if only one is asked for.
    fn read(request: &Request) -> Result<(SearchQuery, Option<RepoKey>)> {
        let Query { q, r#type, namespace, repo, limit, cursor } = request.query()?;
        let limit = page_limit(limit)?;
        let offset = match cursor {
            None => 0,
            Some(cursor) => read_cursor(&cursor)?,
        };
        Ok((SearchQuery { text: q, package_type: r#type, namespace, limit, offset }, repo))
    }
}

/// A cursor is the number of hits before the page, with a letter so that nobody takes it for something to compute with.
fn read_cursor(cursor: &str) -> Result<usize> {
    let offset = cursor.strip_prefix('h').and_then(|number| number.parse().ok()).filter(|offset| *offset <= HITS_LIMIT);
    offset.ok_or_else(|| Error::bad_request("this cursor was not given out by a search; send nextCursor of the page before, or none"))
}

fn next_cursor(query: &SearchQuery, total_count: u64) -> Option<String> {
    let next = query.offset.saturating_add(query.limit);
    (next as u64 <= total_count.saturating_sub(1) && total_count > 0 && next <= HITS_LIMIT).then(|| format!("h{next}"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HitBody {
    repo_key: RepoKey,
    version_id: VersionId,
    package_type: PackageType,
    package_namespace: String,
    package_name: String,
    version: String,
    purl: String,
    published_at: Option<Time>,
    snippet: Vec<FragmentBody>,
}

/// A piece of what a version says of itself; `matched` where it is a word that was asked for.
#[derive(Serialize)]
struct FragmentBody {
    text: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    matched: bool,
}

impl From<&Fragment> for FragmentBody {
    fn from(fragment: &Fragment) -> FragmentBody {
        match fragment {
            Fragment::Plain(text) => FragmentBody { text: text.clone(), matched: false },
            Fragment::Matched(text) => FragmentBody { text: text.clone(), matched: true },
        }
    }
}

impl From<&Visible<SearchHit>> for HitBody {
    fn from(hit: &Visible<SearchHit>) -> HitBody {
        let version = &hit.version;
        let package = version.coordinates.package();
        HitBody {
            repo_key: version.repo.clone(),
            version_id: version.id,
            package_type: package.package_type().clone(),
            package_namespace: package.namespace().to_owned(),
            package_name: package.name().to_owned(),
            version: version.coordinates.version().to_owned(),
            purl: version.coordinates.purl(),
            published_at: version.published_at,
            snippet: hit.snippet.iter().map(FragmentBody::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundBody {
    query: String,
    items: Vec<HitBody>,
    total_count: u64,
    /// Whether there are more matches than were looked at: then `totalCount` is a lower bound.
    has_more: bool,
    degraded: bool,
    next_cursor: Option<String>,
}

impl FoundBody {
    fn new(query: SearchQuery, page: &SearchPage) -> FoundBody {
        FoundBody {
            items: page.items.iter().map(HitBody::from).collect(),
            total_count: page.total_count,
            has_more: page.more == More::Perhaps,
            degraded: page.degraded,
            next_cursor: next_cursor(&query, page.total_count),
            query: query.text,
        }
    }
}

async fn in_repo(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let (query, repo) = Query::read(&request)?;
    if repo.is_some_and(|repo| &repo != permit.repo_key()) {
        return Err(Error::bad_request("the address names the repo already; leave out repo, or search at /v1/search"));
    }
    let found = app.run(move |app| app.registry.search(&[permit], &query).map(|page| FoundBody::new(query, &page))).await?;
    Reply::ok(&found)
}

async fn everywhere(app: Arc<App>, caller: Caller, request: Request) -> Result<Reply> {
    let (query, repo) = Query::read(&request)?;
    let found = app
        .run(move |app| {
            let permits = app.registry.readable_repos(&caller)?;
            if permits.is_empty() && !caller.is_authenticated() {
                return Err(unauthorized());
            }
            let permits: Vec<_> = permits.into_iter().filter(|permit| repo.as_ref().is_none_or(|repo| repo == permit.repo_key())).collect();
            app.registry.search(&permits, &query).map(|page| FoundBody::new(query, &page))
        })
        .await?;
    Reply::ok(&found)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobCounts {
    pending: u64,
    failed: u64,
    dead: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RebuildBody {
    indexed: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody {
    state: &'static str,
    documents: Option<u64>,
    jobs: JobCounts,
    rebuild: Option<RebuildBody>,
}

impl From<SearchStatus> for StatusBody {
    fn from(status: SearchStatus) -> StatusBody {
        StatusBody {
            state: status.state.as_str(),
            documents: status.documents,
            jobs: JobCounts { pending: status.pending, failed: status.failed, dead: status.dead },
            rebuild: status.rebuild.map(|progress| RebuildBody { indexed: progress.indexed, total: progress.total }),
        }
    }
}

async fn rebuild(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Reply::accepted(&StatusBody::from(app.registry.rebuild_search(&operator).await?))
}

async fn pause(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Reply::ok(&StatusBody::from(app.registry.pause_search(&operator).await?))
}

async fn resume(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Reply::ok(&StatusBody::from(app.registry.resume_search(&operator).await?))
}

async fn status(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Reply::ok(&StatusBody::from(app.registry.search_status(&operator).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_ends_with_the_hits_or_at_the_limit() {
        let query = |limit, offset| SearchQuery { text: "demo".to_owned(), package_type: None, namespace: None, limit, offset };
        assert_eq!(next_cursor(&query(50, 0), 0), None);
        assert_eq!(next_cursor(&query(50, 0), 50), None);
        let next = next_cursor(&query(50, 0), 51).unwrap();
        assert_eq!(read_cursor(&next).unwrap(), 50);
        assert_eq!(next_cursor(&query(50, HITS_LIMIT), u64::MAX), None);
        for bad in ["", "50", "h", "h-1", "h1001", "h99999999999999999999"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
