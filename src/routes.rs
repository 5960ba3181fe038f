//! The whole table of routes. Invariant: what is not in this table is not served.

use crate::app::App;
use crate::http::Routes;
use crate::{api, formats, ui};

/// The API, the protocols and the pages.
#[must_use]
pub fn table() -> Routes<App> {
    api::routes().join(formats::routes()).join(ui::routes())
}
