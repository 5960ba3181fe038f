//! The JSON API of a project and of one of its releases, as PyPI speaks it beside the simple index. Invariant: it tells of what is visible
//! and of nothing else; what is withheld is neither listed nor counted, and asking for it alone is refused with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::index::{self, Item};
use super::name::{self, FileName, Kind};
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::id::VersionId;
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::visibility::Listed;
use crate::error::{Error, Result};
use crate::formats::{encoded, explained};
use crate::http::{Reply, Request, StatusCode, header};
use crate::pages::{self, Page, PageKey};

/// The media type of both.
const JSON: &str = "application/json";
/// The members of `info` that a manifest has under the same name; `null` where it has none.
const SAME: [&str; 16] = [
    "author",
    "author_email",
    "description",
    "description_content_type",
    "download_url",
    "dynamic",
    "home_page",
    "license",
    "license_expression",
    "license_files",
    "maintainer",
    "maintainer_email",
    "provides_extra",
    "requires_dist",
    "requires_python",
    "summary",
];

/// GET of a project: its newest release, and the files of all.
pub(super) async fn project(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let written = request.param("project")?;
    let package = name::project(&written)?;
    if written != package.name_key() {
        return moved(&format!("../{}/json", package.name_key()));
    }
    let base_url = request.base_url()?;
    let key = PageKey::package(&package, JSON).under(base_url.clone());
    let wanted = package.clone();
    let found = app
        .page(&permit, key, move |app, permit| {
            let Some(project) = visible(app, permit, &wanted)? else { return Ok(None) };
            let files = Files { base: format!("{base_url}/pypi/{}/files/{}", permit.repo_key(), wanted.name_key()) };
            let newest = &project.newest;
            let releases = project.releases.iter().map(|(version, found)| (version.clone(), Value::from(files.of(found))));
            let releases: Map<String, Value> = releases.collect();
            let urls = releases.get(newest.version()).cloned();
            page(&json!({"info": project.info(app, permit, newest)?, "releases": releases, "urls": urls})).map(Some)
        })
        .await?;
    pages::reply(&request, &*found.ok_or_else(|| Error::not_found(format!("the project {package}")))?)
}

/// GET of one release.
pub(super) async fn release(app: Arc<App>, permit: Permit<Read>, request: Request) -> Result<Reply> {
    let (written, version) = (request.param("project")?, request.param("version")?);
    let package = name::project(&written)?;
    let at = Coordinates::new(package, &version)?;
    if written != at.package().name_key() {
        return moved(&format!("../../{}/{}/json", at.package().name_key(), encoded(&version)));
    }
    let base_url = request.base_url()?;
    let page = app
        .run(move |app| {
            let package = at.package();
            app.registry.resolve(&permit, &at).map_err(|error| explained(&app.registry, &permit, package, error))?;
            let project = visible(app, &permit, package)?.ok_or_else(|| Error::not_found(&at))?;
            let same = |found: &Found| found.at.version_key() == at.version_key();
            let release = project.releases.iter().find(|(_, found)| found.iter().any(same));
            let (spelled, found) = release.ok_or_else(|| Error::not_found(&at))?;
            let files = Files { base: format!("{base_url}/pypi/{}/files/{}", permit.repo_key(), package.name_key()) };
            let at = Coordinates::new(package.clone(), spelled)?;
            page(&json!({"info": project.info(app, &permit, &at)?, "urls": files.of(found)}))
        })
        .await?;
    pages::reply(&request, &page)
}

/// One visible upload of a release.
struct Found {
    id: VersionId,
    at: Coordinates,
    items: Vec<Item>,
}

impl Found {
    fn is_yanked(&self) -> bool {
        self.items.iter().any(|item| item.yanked.is_some())
    }
}

/// What of a project is visible.
struct Project {
    /// The newest release.
    newest: Coordinates,
    /// The uploads of each release, under its version as the first of them spells it.
    releases: BTreeMap<String, Vec<Found>>,
}

/// What is visible of a project; `None` when there is no such project.
///
/// # Errors
/// `quarantined_version` for a project of which everything is withheld.
fn visible(app: &App, permit: &Permit<Read>, package: &PackageName) -> Result<Option<Project>> {
    let (mut found, mut withheld) = (Vec::new(), None);
    app.registry.listed_releases(permit, package, |listed| match listed {
        Listed::Visible(release) => {
            let at = release.version.coordinates.clone();
            found.push(Found { id: release.version.id, at, items: index::visible_items(&release) });
        }
        Listed::Marked(marked) => withheld = Some(marked.coordinates),
    })?;
    let newest = index::newest(found.iter().map(|found| (&found.at, found.is_yanked()))).cloned();
    let Some(newest) = newest else {
        let Some(at) = withheld else { return Ok(None) };
        return Err(app.registry.resolve(permit, &at).err().unwrap_or_else(|| Error::not_found(&at)));
    };
    let mut releases: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    let mut spelled: BTreeMap<String, String> = BTreeMap::from([(newest.version_key().to_owned(), newest.version().to_owned())]);
    for found in found {
        let version = spelled.entry(found.at.version_key().to_owned()).or_insert_with(|| found.at.version().to_owned());
        releases.entry(version.clone()).or_default().push(found);
    }
    Ok(Some(Project { newest, releases }))
}

impl Project {
    /// The member `info`: what the manifest of a release says of it.
    fn info(&self, app: &App, permit: &Permit<Read>, at: &Coordinates) -> Result<Map<String, Value>> {
        let uploads = self.releases.get(at.version()).map(Vec::as_slice).unwrap_or_default();
        let Some(first) = uploads.first() else { return Err(Error::not_found(at)) };
        let release = app.registry.visible_release(permit, &first.id)?;
        let manifest: Map<String, Value> =
            release.manifest.as_ref().and_then(|manifest| serde_json::from_slice(&manifest.bytes).ok()).unwrap_or_default();
        let said = |member: &str| manifest.get(member).cloned().unwrap_or_default();
        let mut info: Map<String, Value> = SAME.iter().map(|member| ((*member).to_owned(), said(member))).collect();
        let listed = |member: &str| said(member).as_array().cloned().unwrap_or_default();
        let words: Vec<String> = listed("keywords").iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
        let yanked_reason = uploads.iter().flat_map(|found| &found.items).find_map(|item| item.yanked.clone());
        info.extend([
            ("name".to_owned(), manifest.get("name").cloned().unwrap_or_else(|| at.package().name().into())),
            ("version".to_owned(), at.version().into()),
            ("classifiers".to_owned(), listed("classifiers").into()),
            ("keywords".to_owned(), words.join(",").into()),
            ("platform".to_owned(), listed("platform").first().cloned().unwrap_or_default()),
            ("project_urls".to_owned(), project_urls(&listed("project_urls"))),
            ("yanked".to_owned(), yanked_reason.is_some().into()),
            ("yanked_reason".to_owned(), yanked_reason.into()),
        ]);
        Ok(info)
    }
}

/// `Label, address` as a map of addresses by label.
fn project_urls(list: &[Value]) -> Value {
    let pairs = list.iter().filter_map(|entry| entry.as_str()?.split_once(','));
    pairs.map(|(label, address)| (label.trim().to_owned(), Value::from(address.trim()))).collect::<Map<String, Value>>().into()
}

/// Where the files of the project are.
struct Files {
    base: String,
}

impl Files {
    fn of(&self, uploads: &[Found]) -> Vec<Value> {
        let files = uploads.iter().flat_map(|found| &found.items).filter_map(|item| self.file(item));
        let mut files: Vec<Value> = files.collect();
        files.sort_by(|a, b| a["filename"].as_str().cmp(&b["filename"].as_str()));
        files
    }

    fn file(&self, item: &Item) -> Option<Value> {
        let shown = item.shown.as_ref()?;
        let kind = FileName::parse(&item.filename).ok()?.kind;
        let python_version = match kind {
            // Behind the build tag, where there is one: the third from the end.
            Kind::Wheel => item.filename.rsplit('-').nth(2).unwrap_or_default(),
            Kind::Sdist => "source",
        };
        let time = shown.published_at.map(|time| time.to_string());
        Some(json!({
            "comment_text": null,
            "digests": {"sha256": shown.sha256},
            "downloads": -1,
            "filename": item.filename,
            "has_sig": shown.is_signed,
            "packagetype": kind.filetype(),
            "python_version": python_version,
            "requires_python": shown.requires_python,
            "size": shown.size_bytes,
            "upload_time": time.as_ref().and_then(|time| time.split_once('.')).map(|(seconds, _)| seconds),
            "upload_time_iso_8601": time,
            "url": format!("{}/{}", self.base, encoded(&item.filename)),
            "yanked": item.yanked.is_some(),
            "yanked_reason": item.yanked,
        }))
    }
}

fn page(value: &impl Serialize) -> Result<Page> {
    Page::new(JSON, serde_json::to_vec(value).map_err(|cause| Error::internal("writing a project as JSON", cause))?)
}

fn moved(to: &str) -> Result<Reply> {
    Reply::empty(StatusCode::MOVED_PERMANENTLY).with_text(header::LOCATION, to)
}
