//! `/`, what this is and where to go on, and `/health`, whether the process runs and can do its work. Invariant: nothing here
//! tells of content, and anybody may ask.

use std::sync::Arc;

use serde::Serialize;

use crate::app::App;
use crate::domain::access::Caller;
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Health, Workers};

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
    workers: bool,
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
    let faults = faults(&health);
    let workers = health.workers == Workers::Working;
    if faults.is_empty() {
        return Reply::ok(&ReadyBody { status: "ready", writer: health.writer, disk: health.disk, workers });
    }
    Err(Error::new(Code::Unavailable, faults.join("; "))
        .with("status", "not_ready")
        .with("writer", health.writer)
        .with("disk", health.disk)
        .with("workers", workers))
}

/// What stands in the way, and what to do about it.
fn faults(health: &Health) -> Vec<&'static str> {
    let writer = (!health.writer).then_some("the database does not commit writes; the log says why");
    let disk = (!health.disk).then_some(
        "the data directory cannot be written to, its disk is full, or its database was taken away; free space, correct its permissions, \
         or restart when it was replaced",
    );
    let workers = match health.workers {
        Workers::Working => None,
        Workers::Failing => Some("the queue of jobs cannot be worked now and is tried again every few seconds; the log says why"),
        Workers::Overdue => {
            Some("a batch of jobs has been running for longer than its lease; see /v1/admin/jobs?state=processing, then restart")
        }
        Workers::Stopped => Some("no background work runs in this process; restart it, the log says why it ended"),
        Workers::Silent => Some("the background work gave no sign of life in time; if that lasts, restart the process"),
    };
    [writer, disk, workers].into_iter().flatten().collect()
}
