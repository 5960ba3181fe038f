//! How often rules fired, over HTTP. Invariant: days are UTC; what is older than is kept is not asked for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::moment;
use crate::app::App;
use crate::domain::access::{Operator, Permit, Promote};
use crate::domain::candidate::{Decision, PolicyLevel};
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::domain::waiver::FiringPart;
use crate::error::Result;
use crate::http::{Reply, Request, Routes};
use crate::registry::{Firing, Firings};

pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/v1/policy/firings", "/v1/policy/firings", everywhere).get(
        "/v1/repos/{repoKey}/policy/firings",
        "/v1/repos/main/policy/firings",
        of_repo,
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FiringsQuery {
    since: Option<String>,
}

/// How often one rule fired.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FiringBody {
    repo_key: RepoKey,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyLevel>,
    part: FiringPart,
    decision: Decision,
    count: u64,
    last_at: Time,
    last_version_id: VersionId,
    last_package: Option<String>,
}

impl From<Firing> for FiringBody {
    fn from(firing: Firing) -> FiringBody {
        FiringBody {
            repo_key: firing.repo,
            rule: firing.rule,
            policy: firing.policy,
            part: firing.part,
            decision: firing.decision,
            count: firing.count,
            last_at: firing.last_at,
            last_version_id: firing.last_version_id,
            last_package: firing.last_purl,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FiringsBody {
    since: Time,
    items: Vec<FiringBody>,
    complete: bool,
}

impl From<Firings> for FiringsBody {
    fn from(firings: Firings) -> FiringsBody {
        let Firings { since, items, is_complete } = firings;
        FiringsBody { since, items: items.into_iter().map(FiringBody::from).collect(), complete: is_complete }
    }
}

async fn everywhere(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let since = moment("since", request.query::<FiringsQuery>()?.since)?;
    Reply::ok(&FiringsBody::from(app.run(move |app| app.registry.firings_everywhere(&operator, since)).await?))
}

async fn of_repo(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let since = moment("since", request.query::<FiringsQuery>()?.since)?;
    Reply::ok(&FiringsBody::from(app.run(move |app| app.registry.firings(&permit, since)).await?))
}
