//! Finding packages (`npm search`). Invariant: only what the readers' door lets out of this repo; the numbers by which npm's own registry
//! ranks are those of the order in which the index found it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::manifest::{Person, package_address};
use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::PackageType;
use crate::domain::time::Time;
use crate::domain::visibility::Visible;
use crate::error::Result;
use crate::formats::Audience;
use crate::http::{Reply, Request};
use crate::registry::PackageHit;

/// Packages that are given where the client does not say how many.
const DEFAULT_SIZE: usize = 20;

/// The query; the weights of npm's own ranking are not looked at.
#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    text: String,
    size: Option<usize>,
    from: Option<usize>,
}

#[derive(Serialize)]
struct Found<'a> {
    objects: Vec<Object<'a>>,
    total: u64,
    time: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    package: Package<'a>,
    score: Score,
    search_score: f64,
}

#[derive(Serialize)]
struct Package<'a> {
    name: String,
    scope: &'a str,
    version: &'a str,
    description: &'a str,
    keywords: [&'a str; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<Time>,
    links: Links,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher<'a>>,
    maintainers: Vec<Publisher<'a>>,
}

#[derive(Serialize)]
struct Links {
    npm: String,
}

#[derive(Serialize)]
struct Publisher<'a> {
    username: &'a str,
    #[serde(flatten)]
    person: Person<'a>,
}

#[derive(Serialize)]
struct Score {
    #[serde(rename = "final")]
    total: f64,
    detail: Detail,
}

#[derive(Serialize)]
struct Detail {
    quality: f64,
    popularity: f64,
    maintenance: f64,
}

/// GET of the packages that fit some words.
pub(super) async fn search(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let Wish { text, size, from } = request.query()?;
    let base_url = request.base_url()?;
    let (repo, audience, time) = (permit.repo_key().clone(), Audience::of(permit.caller()), app.clock.now());
    if text.trim().is_empty() {
        return Reply::ok(&Found { objects: Vec::new(), total: 0, time });
    }
    let (size, from) = (size.unwrap_or(DEFAULT_SIZE), from.unwrap_or(0));
    let page = app.run(move |app| app.registry.package_search(&permit, &PackageType::npm(), &text, size, from)).await?;
    let object = |hit| Object::of(hit, audience, |package| package_address(package, &base_url, &repo));
    Reply::ok(&Found { objects: page.items.iter().map(object).collect(), total: page.total_count, time })
}

impl<'a> Object<'a> {
    fn of(hit: &'a Visible<PackageHit>, audience: Audience, address: impl Fn(&crate::domain::name::PackageName) -> String) -> Object<'a> {
        let (version, package) = (&hit.version, hit.version.coordinates.package());
        let subject = version.published_by.as_str();
        let publisher =
            || (audience == Audience::Authenticated).then_some(Publisher { username: subject, person: Person { name: subject } });
        let scope = package.namespace_key();
        Object {
            package: Package {
                name: name::written(package),
                scope: if scope.is_empty() { "unscoped" } else { scope },
                version: version.coordinates.version(),
                description: &hit.summary,
                keywords: [],
                date: version.published_at,
                links: Links { npm: address(package) },
                publisher: publisher(),
                maintainers: publisher().into_iter().collect(),
            },
            score: Score { total: 1.0, detail: Detail { quality: 1.0, popularity: 1.0, maintenance: 1.0 } },
            search_score: 1.0,
        }
    }
}
