//! JavaScript packages, as npm, pnpm, yarn and bun speak. Invariant: a version comes in whole by one publish and through the door in; every
//! document and tarball is made of what the readers' door lets out.
//!
//! How to add
//! * a member of a version: it is kept and shown as it came; `manifest` says which the abbreviated form has and which are the registry's;
//! * a route: a line in `routes()` for the plain spelling and one for `{scope}/{name}`; `name::addressed` reads both;
//! * a check of what is published: in `publish`, before bytes are given to the repo;
//! * something that clients say of a package afterwards: in `change`.

mod audit;
mod base64;
mod change;
mod document;
mod find;
mod intake;
mod manifest;
mod marks;
mod members;
mod name;
mod packument;
mod publish;
mod read;
mod scan;
mod session;
mod tags;
mod tarball;

#[cfg(test)]
mod tests;

use crate::app::App;
use crate::formats::npm_refusal;
use crate::http::Routes;

/// The routes under `/npm`.
pub(super) fn routes() -> Routes<App> {
    Routes::new().join(packages()).join(marks()).join(account()).with_dialect(npm_refusal)
}

/// Packages, in both spellings of their names.
fn packages() -> Routes<App> {
    Routes::new()
        .get("/npm/{repoKey}/{name}", "/npm/main/demo", read::package)
        .put("/npm/{repoKey}/{name}", "/npm/main/demo", publish::put)
        .get("/npm/{repoKey}/{scope}/{name}", "/npm/main/@scope/demo", read::package_or_version)
        .put("/npm/{repoKey}/{scope}/{name}", "/npm/main/@scope/demo", publish::put)
        .get("/npm/{repoKey}/{scope}/{name}/{version}", "/npm/main/@scope/demo/1.0.0", read::version)
        .get("/npm/{repoKey}/{name}/-/{filename}", "/npm/main/demo/-/demo-1.0.0.tgz", read::tarball)
        .get("/npm/{repoKey}/{scope}/{name}/-/{filename}", "/npm/main/@scope/demo/-/demo-1.0.0.tgz", read::tarball)
        .put("/npm/{repoKey}/{name}/-rev/{rev}", "/npm/main/demo/-rev/1-a", change::put_revision)
        .put("/npm/{repoKey}/{scope}/{name}/-rev/{rev}", "/npm/main/@scope/demo/-rev/1-a", change::put_revision)
        .delete("/npm/{repoKey}/{name}/-rev/{rev}", "/npm/main/demo/-rev/1-a", change::unpublish_package)
        .delete("/npm/{repoKey}/{scope}/{name}/-rev/{rev}", "/npm/main/@scope/demo/-rev/1-a", change::unpublish_package)
        .delete("/npm/{repoKey}/{name}/-/{filename}/-rev/{rev}", "/npm/main/demo/-/demo-1.0.0.tgz/-rev/1-a", change::unpublish_version)
        .delete(
            "/npm/{repoKey}/{scope}/{name}/-/{filename}/-rev/{rev}",
            "/npm/main/@scope/demo/-/demo-1.0.0.tgz/-rev/1-a",
            change::unpublish_version,
        )
}

/// Tags.
fn marks() -> Routes<App> {
    Routes::new()
        .get("/npm/{repoKey}/-/package/{name}/dist-tags", "/npm/main/-/package/demo/dist-tags", marks::list)
        .put("/npm/{repoKey}/-/package/{name}/dist-tags/{tag}", "/npm/main/-/package/demo/dist-tags/beta", marks::set)
        .post("/npm/{repoKey}/-/package/{name}/dist-tags/{tag}", "/npm/main/-/package/demo/dist-tags/beta", marks::set)
        .delete("/npm/{repoKey}/-/package/{name}/dist-tags/{tag}", "/npm/main/-/package/demo/dist-tags/beta", marks::remove)
        .get("/npm/{repoKey}/-/package/{scope}/{name}/dist-tags", "/npm/main/-/package/@scope/demo/dist-tags", marks::list)
        .put("/npm/{repoKey}/-/package/{scope}/{name}/dist-tags/{tag}", "/npm/main/-/package/@scope/demo/dist-tags/beta", marks::set)
        .post("/npm/{repoKey}/-/package/{scope}/{name}/dist-tags/{tag}", "/npm/main/-/package/@scope/demo/dist-tags/beta", marks::set)
        .delete("/npm/{repoKey}/-/package/{scope}/{name}/dist-tags/{tag}", "/npm/main/-/package/@scope/demo/dist-tags/beta", marks::remove)
}

/// Who is asking, and what there is.
fn account() -> Routes<App> {
    Routes::new()
        .get("/npm/{repoKey}/-/ping", "/npm/main/-/ping", session::ping)
        .get("/npm/{repoKey}/-/v1/search", "/npm/main/-/v1/search?text=demo&size=20&from=0", find::search)
        .post("/npm/{repoKey}/-/npm/v1/security/advisories/bulk", "/npm/main/-/npm/v1/security/advisories/bulk", audit::bulk)
        .get("/npm/{repoKey}/-/whoami", "/npm/main/-/whoami", session::whoami)
        .get("/npm/{repoKey}/-/npm/v1/user", "/npm/main/-/npm/v1/user", session::user)
        .get("/npm/{repoKey}/-/user/{user}", "/npm/main/-/user/org.couchdb.user:ann", session::person)
        .put("/npm/{repoKey}/-/user/{user}", "/npm/main/-/user/org.couchdb.user:ann", session::login)
        .post("/npm/{repoKey}/-/v1/login", "/npm/main/-/v1/login", session::login_in_browser)
}
