//! `/`, what this is and where to go on, and `/health`, whether the process runs and can do its work. Invariant: nothing here
//! tells of content, and anybody may ask.

use std::sync::Arc;

use serde::Serialize;

use crate::app::App;
use crate::domain::access::Caller;
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, Routes};

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/", "/", about).get("/health/live", "/health/live", live).get("/health/ready", "/health/ready", ready)
}

/// What somebody finds who opens the bare address. The version is for those with a token only.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AboutBody {
    name: &'static str,
    version: Option<&'static str>,
    api: &'static str,
    health: &'static str,
    files: &'static str,
    pypi: &'static str,
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

async fn about(_app: Arc<App>, caller: Caller, _request: Request) -> Result<Reply> {
    Reply::ok(&AboutBody {
        name: "artifortress",
        version: caller.is_authenticated().then_some(env!("CARGO_PKG_VERSION")),
        api: "/v1",
        health: "/health/ready",
        files: "/files/{repoKey}/{name}/{version}/{path}",
        pypi: "/pypi/{repoKey}/simple/",
    })
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
