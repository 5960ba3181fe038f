//! Pages for people, embedded. Invariant: they have the same verbs and rights as the API, no script, and nothing from elsewhere: a strict
//! Content-Security-Policy goes with each of them, refusals too.
//!
//! How to add a page
//! 1. a verb in `registry` or `quarantine`, if there is none yet;
//! 2. a file with its template and its handler, whose proof stands in its signature;
//! 3. its line in `routes()`, with an example address;
//! 4. the role matrix in `tests/` shows the new line: review it.

mod hold;
mod page;

use crate::app::App;
use crate::http::Routes;

/// Every page.
#[must_use]
pub fn routes() -> Routes<App> {
    Routes::new().get("/q/{quarantineId}", "/q/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", hold::show).with_dialect(page::refusal)
}
