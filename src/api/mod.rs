//! The JSON API, `/v1`. Invariant: each handler parses, calls one verb, and renders; its role stands in its signature.
//!
//! How to add an endpoint
//! 1. a verb in `registry`, `quarantine` or `access`, if there is none yet;
//! 2. a handler in the file of its subject: `async fn(Arc<App>, Proof, Request) -> Result<Reply>`;
//! 3. a line in that file's `routes()`, with an example address;
//! 4. wire types beside the handler: requests with `deny_unknown_fields`, answers made from proofs;
//! 5. the role matrix in `tests/` shows the new line: review it.

pub mod advisories;
mod audit;
mod backups;
mod blobs;
mod downloads;
mod drafts;
mod dry_run;
mod evaluations;
mod findings;
mod firings;
mod freezes;
mod health;
mod marks;
mod metrics;
mod operations;
mod packages;
mod policies;
mod proofs;
mod quarantine;
mod repos;
mod reservations;
mod retention;
mod search;
mod space;
mod stream;
mod summary;
mod tokens;
mod uploads;
mod version_wire;
mod versions;
mod waivers;
mod webhooks;
pub mod wire;

pub(crate) use proofs::{finding, tally};

use crate::app::App;
use crate::http::Routes;

/// Every route of the JSON API.
#[must_use]
pub fn routes() -> Routes<App> {
    Routes::new()
        .join(health::routes())
        .join(metrics::routes())
        .join(tokens::routes())
        .join(repos::routes())
        .join(reservations::routes())
        .join(freezes::routes())
        .join(findings::routes())
        .join(waivers::routes())
        .join(uploads::routes())
        .join(blobs::routes())
        .join(drafts::routes())
        .join(versions::routes())
        .join(packages::routes())
        .join(marks::routes())
        .join(policies::routes())
        .join(evaluations::routes())
        .join(proofs::routes())
        .join(firings::routes())
        .join(dry_run::routes())
        .join(quarantine::routes())
        .join(downloads::routes())
        .join(search::routes())
        .join(webhooks::routes())
        .join(advisories::routes())
        .join(audit::routes())
        .join(backups::routes())
        .join(operations::routes())
        .join(space::routes())
        .join(retention::routes())
        .join(summary::routes())
}
