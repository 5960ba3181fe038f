//! The whole table of routes. Invariant: what is not in this table is not served.

use crate::app::App;
use crate::http::Routes;
use crate::{api, formats};

/// The API and the protocols.
#[must_use]
pub fn table() -> Routes<App> {
    api::routes().join(formats::routes())
}
