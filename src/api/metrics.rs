//! `GET /metrics`, for Prometheus. Invariant: only who runs the instance reads it, or anybody where `metrics.anonymous` is set; it has
//! numbers, states and route patterns, and no name of a package, a repo or a person.

use std::sync::Arc;

use crate::app::App;
use crate::domain::access::{Caller, Operator};
use crate::error::Result;
use crate::http::{Reply, Request, Routes};
use crate::registry::OPEN_METRICS;

pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/metrics", "/metrics", metrics)
}

async fn metrics(app: Arc<App>, caller: Caller, _request: Request) -> Result<Reply> {
    if !app.config.metrics.anonymous {
        Operator::new(caller)?;
    }
    let text = app.run(|app| app.registry.scrape()).await?;
    Ok(Reply::bytes(OPEN_METRICS, text))
}
