//! `/health`: whether the process runs and can do its work. Invariant: nothing here tells of content, and anybody may ask.

use std::sync::Arc;

use serde::Serialize;

use crate::app::App;
use crate::domain::access::Caller;
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, Routes};

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/health/live", "/health/live", live).get("/health/ready", "/health/ready", ready)
}

#[derive(Serialize)]
struct LiveBody {
    status: &'static str,
}

#[derive(Serialize)]
struct ReadyBody {
    status: &'static str,
    writer: bool,
    disk: bool,
}

async fn live(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    Reply::ok(&LiveBody { status: "live" })
}

async fn ready(app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    let health = app.registry.health().await;
    if health.writer && health.disk {
        return Reply::ok(&ReadyBody { status: "ready", writer: true, disk: true });
    }
    let message = if health.writer {
        "the data directory cannot be written to or its disk is full; free space or correct its permissions"
    } else {
        "the database does not commit writes; the log says why"
    };
    Err(Error::new(Code::Unavailable, message).with("writer", health.writer).with("disk", health.disk))
}
