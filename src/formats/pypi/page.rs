//! The two forms of the index: HTML (PEP 503, 592, 658, 714, 740) and JSON (PEP 691, 700, 740). Invariant: both say the same, as both are made
//! from one view; whatever is put into HTML is escaped by the template.

use askama::Template;
use serde::Serialize;

use super::index::{Item, Project};
use super::name::PROVENANCE;
use super::negotiate::Format;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::formats::encoded;

/// The version of the API that the JSON speaks and the HTML announces (PEP 740).
const API_VERSION: &str = "1.3";

/// The list of all projects, by their normalised names.
pub(super) fn projects(names: &[String], format: Format) -> Result<Vec<u8>> {
    if format.is_json() {
        let projects = names.iter().map(|name| NameJson { name }).collect();
        return json(&ProjectsJson { meta: Meta::default(), projects });
    }
    html(&ProjectsHtml { api_version: API_VERSION, names })
}

/// The files of one project. `base` is the address of the repo's files, without a slash at its end.
pub(super) fn project(project: &Project, format: Format, base: &str) -> Result<Vec<u8>> {
    if format.is_json() {
        let files = project.files.iter().map(|item| FileJson::of(&project.name, item, base)).collect();
        return json(&ProjectJson { meta: Meta::default(), name: &project.name, versions: &project.versions, files });
    }
    html(&ProjectHtml { api_version: API_VERSION, project, base })
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|cause| Error::internal("writing an index as JSON", cause))
}

fn html(template: &impl Template) -> Result<Vec<u8>> {
    template.render().map(String::into_bytes).map_err(|cause| Error::internal("writing an index as HTML", cause))
}

/// Where a file is, as seen from the page of its project.
fn url(project: &str, filename: &str) -> String {
    format!("../../files/{}/{}", encoded(project), encoded(filename))
}

/// Where a file's provenance is; PEP 740 wants the whole address.
fn provenance_url(base: &str, project: &str, item: &Item) -> Option<String> {
    let has_provenance = item.shown.as_ref().is_some_and(|shown| shown.has_provenance);
    has_provenance.then(|| format!("{base}/{}/{}{PROVENANCE}", encoded(project), encoded(&item.filename)))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html>
<head>
<meta name="pypi:repository-version" content="{{ api_version }}">
<title>Projects</title>
</head>
<body>
{% for name in names %}<a href="{{ name }}/">{{ name }}</a><br>
{% endfor %}</body>
</html>
"#
)]
struct ProjectsHtml<'a> {
    api_version: &'a str,
    names: &'a [String],
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html>
<head>
<meta name="pypi:repository-version" content="{{ api_version }}">
<title>Files of {{ project.name }}</title>
</head>
<body>
{% for file in project.files %}<a href="{{ self.href(file) }}"
{%- if let Some(why) = file.yanked %} data-yanked="{{ why }}"{% endif %}
{%- if let Some(shown) = file.shown %}
{%- if let Some(versions) = shown.requires_python %} data-requires-python="{{ versions }}"{% endif %}
{%- if let Some(sha256) = shown.metadata_sha256 %} data-core-metadata="sha256={{ sha256 }}" data-dist-info-metadata="sha256={{ sha256 }}"{% endif %}
{%- if shown.is_signed %} data-gpg-sig="true"{% endif %}
{%- if let Some(address) = self.provenance(file) %} data-provenance="{{ address }}"{% endif %}
{%- endif %}>{{ file.filename }}</a><br>
{% endfor %}</body>
</html>
"#
)]
struct ProjectHtml<'a> {
    api_version: &'a str,
    project: &'a Project,
    base: &'a str,
}

impl ProjectHtml<'_> {
    fn href(&self, item: &Item) -> String {
        let fragment = item.shown.as_ref().map(|shown| format!("#sha256={}", shown.sha256)).unwrap_or_default();
        format!("{}{fragment}", url(&self.project.name, &item.filename))
    }

    fn provenance(&self, item: &Item) -> Option<String> {
        provenance_url(self.base, &self.project.name, item)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: &'static str,
}

impl Default for Meta {
    fn default() -> Meta {
        Meta { api_version: API_VERSION }
    }
}

#[derive(Serialize)]
struct ProjectsJson<'a> {
    meta: Meta,
    projects: Vec<NameJson<'a>>,
}

#[derive(Serialize)]
struct NameJson<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct ProjectJson<'a> {
    meta: Meta,
    name: &'a str,
    versions: &'a [String],
    files: Vec<FileJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FileJson<'a> {
    filename: &'a str,
    url: String,
    hashes: Hashes<'a>,
    yanked: Yanked<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core_metadata: Option<Hashes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dist_info_metadata: Option<Hashes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpg_sig: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<String>,
}

#[derive(Serialize, Default)]
struct Hashes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

/// PEP 592: the reason, or `false`.
#[derive(Serialize)]
#[serde(untagged)]
enum Yanked<'a> {
    Because(&'a str),
    No(bool),
}

impl<'a> FileJson<'a> {
    fn of(project: &str, item: &'a Item, base: &str) -> FileJson<'a> {
        let shown = item.shown.as_ref();
        let metadata = || shown.and_then(|shown| shown.metadata_sha256.as_deref()).map(|sha256| Hashes { sha256: Some(sha256) });
        FileJson {
            filename: &item.filename,
            url: url(project, &item.filename),
            hashes: Hashes { sha256: shown.map(|shown| shown.sha256.as_str()) },
            yanked: item.yanked.as_deref().map_or(Yanked::No(false), Yanked::Because),
            requires_python: shown.and_then(|shown| shown.requires_python.as_deref()),
            size: shown.map(|shown| shown.size_bytes),
            upload_time: shown.and_then(|shown| shown.published_at),
            core_metadata: metadata(),
            dist_info_metadata: metadata(),
            gpg_sig: shown.filter(|shown| shown.is_signed).map(|_| true),
            provenance: provenance_url(base, project, item),
        }
    }
}
