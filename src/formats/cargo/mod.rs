//! Crates, as Cargo speaks: the sparse index and the web API. Invariant: one line of the index is made of what never changes about a
//! version but whether it is yanked; a withheld version is listed as yanked, so that Cargo asks for it where a lock file names it, and
//! then is told why it does not get it.
//!
//! How to add
//! * a member of the index line: `declared` reads and checks it, `domain::lockable` lets it out of a withheld version, `line` writes it;
//! * a verb of the web API: a handler in the file of its subject and a line in `routes()`, with an example address.

mod declared;
mod files;
mod frame;
mod index;
mod line;
mod login;
mod marks;
mod name;
mod search;
mod upload;

use crate::app::App;
use crate::http::Routes;

/// The routes under `/cargo`.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/cargo/{repoKey}/index/config.json", "/cargo/main/index/config.json", index::settings)
        .get("/cargo/{repoKey}/index/1/{name}", "/cargo/main/index/1/a", index::file)
        .get("/cargo/{repoKey}/index/2/{name}", "/cargo/main/index/2/ab", index::file)
        .get("/cargo/{repoKey}/index/3/{first}/{name}", "/cargo/main/index/3/a/abc", index::file)
        .get("/cargo/{repoKey}/index/{first}/{second}/{name}", "/cargo/main/index/de/mo/demo", index::file)
        .put("/cargo/{repoKey}/api/v1/crates/new", "/cargo/main/api/v1/crates/new", upload::publish)
        .get("/cargo/{repoKey}/api/v1/crates/{crate}/{version}/download", "/cargo/main/api/v1/crates/demo/1.0.0/download", files::download)
        .get("/cargo/{repoKey}/api/v1/crates", "/cargo/main/api/v1/crates?q=demo&per_page=10", search::search)
        .delete("/cargo/{repoKey}/api/v1/crates/{crate}/{version}/yank", "/cargo/main/api/v1/crates/demo/1.0.0/yank", marks::yank)
        .put("/cargo/{repoKey}/api/v1/crates/{crate}/{version}/unyank", "/cargo/main/api/v1/crates/demo/1.0.0/unyank", marks::unyank)
        .get("/cargo/{repoKey}/api/v1/crates/{crate}/owners", "/cargo/main/api/v1/crates/demo/owners", marks::owners)
        .put("/cargo/{repoKey}/api/v1/crates/{crate}/owners", "/cargo/main/api/v1/crates/demo/owners", marks::add_owners)
        .delete("/cargo/{repoKey}/api/v1/crates/{crate}/owners", "/cargo/main/api/v1/crates/demo/owners", marks::remove_owners)
        .get("/cargo/{repoKey}/me", "/cargo/main/me", login::me)
        .with_dialect(login::refusal)
}
