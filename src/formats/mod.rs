//! The protocols that package clients speak, one room each. Invariant: none names another; each reads its wire form, calls
//! the same verbs as the API, and renders what is `Visible` or `Marked`.
//!
//! How to add a format
//! 1. a directory with `mod.rs` (routes), `name.rs` (spelling), `upload.rs`, `index.rs`, and its refusals as a `Dialect`;
//! 2. its spelling rules in `domain::name`, its version order in `domain::order`;
//! 3. its routes in `routes()` below, each with an example address;
//! 4. its line in the README and its real client in `tests/clients.rs`.

mod address;
mod cargo;
mod generic;
mod npm;
mod outcome;
mod pypi;
mod refusal;

#[cfg(test)]
mod tests;

pub use address::encoded;
pub use outcome::Outcome;
pub use refusal::{Audience, NPM_NOTICE, Withholding, cargo_refusal, explained, npm_refusal, problem};

use crate::app::App;
use crate::http::Routes;

/// Every route of every protocol.
#[must_use]
pub fn routes() -> Routes<App> {
    Routes::new().join(cargo::routes()).join(generic::routes()).join(npm::routes()).join(pypi::routes())
}
