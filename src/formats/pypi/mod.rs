//! Python distributions, as pip, uv, twine and their kin speak. Invariant: each file of a release is a version of its own with its
//! own verdict; its metadata, signature and attestations stand behind the same door; HTML and JSON come from one view.
//!
//! How to add
//! * a side file: an entry of the same version in `upload`, its suffix in `name::SIDE_SUFFIXES`; it is then served and never listed;
//! * a field of the core metadata: a line in the table of `metadata`;
//! * an attribute of the index: a field of `index::Shown`, then both forms in `page`;
//! * a kind of file: `name::FileName`, and what is checked of it in `upload`.

mod attestation;
mod files;
mod form;
mod index;
mod json_api;
mod metadata;
mod name;
mod negotiate;
mod pace;
mod page;
mod simple;
mod upload;
mod wheel;
mod xml_rpc;

#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod sdist_tests;
#[cfg(test)]
mod tests;

use crate::app::App;
use crate::formats::problem;
use crate::http::Routes;

/// The routes under `/pypi`.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .post("/pypi/{repoKey}/legacy/", "/pypi/main/legacy/", upload::upload)
        .post("/pypi/{repoKey}/legacy", "/pypi/main/legacy", upload::upload)
        .get("/pypi/{repoKey}/simple/", "/pypi/main/simple/", simple::projects)
        .get("/pypi/{repoKey}/simple", "/pypi/main/simple", simple::to_projects)
        .get("/pypi/{repoKey}/simple/{project}/", "/pypi/main/simple/demo/", simple::project)
        .get("/pypi/{repoKey}/simple/{project}", "/pypi/main/simple/demo", simple::to_project)
        .post("/pypi/{repoKey}/pypi", "/pypi/main/pypi", xml_rpc::call)
        .post("/pypi/{repoKey}/pypi/", "/pypi/main/pypi/", xml_rpc::call)
        .get("/pypi/{repoKey}/pypi/{project}/json", "/pypi/main/pypi/demo/json", json_api::project)
        .get("/pypi/{repoKey}/pypi/{project}/{version}/json", "/pypi/main/pypi/demo/1.0/json", json_api::release)
        .get("/pypi/{repoKey}/files/{project}/{filename}", "/pypi/main/files/demo/demo-1.0-py3-none-any.whl", files::download)
        .with_dialect(problem)
}
