//! Plain files of any kind: a version is a directory that anybody with curl can fill and publish. Invariant: a file is read by
//! coordinates and path through the readers' door; a version that left the draft never changes.
//!
//! How to add
//! * a verb: a handler in the file of its subject and a line in `routes()`, with an example address;
//! * an answer: `formats::Outcome` for what was published, `formats::problem` for refusals; no words of our own beside them.

mod read;
mod upload;

#[cfg(test)]
mod tests;

use crate::app::App;
use crate::domain::name::{Coordinates, PackageName, PackageType};
use crate::error::Result;
use crate::formats::problem;
use crate::http::{Request, Routes};

/// The routes under `/files`.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/files/{repoKey}/{name}/{version}/{*path}", "/files/main/tool/1.0/bin/tool", read::download)
        .put("/files/{repoKey}/{name}/{version}/{*path}", "/files/main/tool/1.0/bin/tool", upload::put)
        .get("/files/{repoKey}/{name}/{version}", "/files/main/tool/1.0", read::list)
        .get("/files/{repoKey}/{name}/{version}/", "/files/main/tool/1.0/", read::list)
        .post("/files/{repoKey}/{name}/{version}", "/files/main/tool/1.0?publish", upload::publish)
        .post("/files/{repoKey}/{name}/{version}/", "/files/main/tool/1.0/?publish", upload::publish)
        .with_dialect(problem)
}

/// The version that an address names.
fn coordinates(request: &Request) -> Result<Coordinates> {
    let package = PackageName::new(PackageType::generic(), "", &request.param("name")?)?;
    Coordinates::new(package, &request.param("version")?)
}

/// The address of that version as the client wrote it, without a slash at the end.
fn address(request: &Request) -> String {
    let raw = |name| request.head().raw_param(name).unwrap_or_default();
    let base = request.base_url().unwrap_or_default();
    format!("{base}/files/{}/{}/{}", raw("repoKey"), raw("name"), raw("version"))
}
