//! A policy tried on what is stored, over HTTP. Invariant: it writes nothing, and what it tells is told to who may change that policy.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::stream::{self, Piece, Source, Wanted};
use super::wire::moment;
use crate::app::App;
use crate::domain::access::{Admin, Operator, Permit};
use crate::domain::candidate::{Decision, PolicyLevel, Reason};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::RepoKey;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::policy::TEXT_LIMIT_BYTES;
use crate::registry::{Change, DryRun, Extent, Progress, Tally, Trial};

/// The text as JSON, in which a line break takes two bytes.
const BODY_LIMIT_BYTES: u64 = 2 * TEXT_LIMIT_BYTES as u64;

pub(super) fn routes() -> Routes<App> {
    Routes::new().post("/v1/policy/dry-run", "/v1/policy/dry-run", everywhere).post(
        "/v1/repos/{repoKey}/policy/dry-run",
        "/v1/repos/main/policy/dry-run",
        in_repo,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TrialBody {
    policy: String,
    since: Option<String>,
    level: Option<PolicyLevel>,
}

impl TrialBody {
    fn trial(self, usual: PolicyLevel) -> Result<Trial> {
        Ok(Trial { since: moment("since", self.since)?, level: self.level.unwrap_or(usual), text: self.policy })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeBody {
    repo_key: RepoKey,
    version_id: VersionId,
    package: String,
    from: FromBody,
    to: Decision,
    reasons: Vec<Reason>,
}

#[derive(Serialize)]
struct FromBody {
    state: State,
    decision: Option<Decision>,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> ChangeBody {
        let Change { named, state, decision, becomes, reasons } = change;
        ChangeBody {
            repo_key: named.repo,
            version_id: named.version_id,
            package: named.purl,
            from: FromBody { state, decision },
            to: becomes,
            reasons,
        }
    }
}

/// What it comes to.
fn summary(tally: &Tally, level: PolicyLevel, digest: Digest) -> Value {
    let decisions: serde_json::Map<String, Value> =
        Decision::ALL.iter().map(|decision| (decision.to_string(), json!(tally.decisions.get(decision).copied().unwrap_or(0)))).collect();
    let rule = |((filed, part, decision), count): (&(String, _, Decision), &u64)| {
        let (policy, rule) = match filed.split_once('/') {
            Some((level, rule)) => (Some(level), rule),
            None => (None, filed.as_str()),
        };
        json!({"rule": rule, "policy": policy, "part": part, "decision": decision, "count": count})
    };
    json!({
        "policyDigest": digest, "level": level, "judged": tally.judged, "failed": tally.failed, "decisions": decisions,
        "rules": tally.rules.iter().map(rule).collect::<Vec<Value>>(),
        "changes": {
            "total": tally.changed(), "visibleHeld": tally.held, "visibleDenied": tally.denied, "heldReleased": tally.released,
            "heldDenied": tally.held_and_denied,
        },
    })
}

struct Trying {
    run: DryRun,
    level: PolicyLevel,
}

impl Source for Trying {
    async fn next(&mut self) -> Result<Piece> {
        match self.run.next().await? {
            Some(Progress::Page(changes, judged)) => {
                let items = changes.into_iter().map(|change| serde_json::to_value(ChangeBody::from(change)));
                let items = items.collect::<serde_json::Result<Vec<Value>>>();
                let items = items.map_err(|cause| Error::internal("writing what a policy would change", cause))?;
                Ok(Piece::Items(items, json!({"judged": judged})))
            }
            Some(Progress::End(tally)) => Ok(Piece::Summary(summary(&tally, self.level, self.run.policy_digest()))),
            None => Err(Error::internal("trying a policy", "it was asked again after its end")),
        }
    }
}

async fn everywhere(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let wanted = Wanted::by(&request);
    let body: TrialBody = request.body.read_json(BODY_LIMIT_BYTES).await?;
    let trial = body.trial(PolicyLevel::Instance)?;
    if trial.level != PolicyLevel::Instance {
        return Err(Error::bad_request("a repo's policy is tried at /v1/repos/{repoKey}/policy/dry-run; level must be instance here"));
    }
    run(app, wanted, Extent::Instance(operator), trial).await
}

async fn in_repo(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let wanted = Wanted::by(&request);
    let body: TrialBody = request.body.read_json(BODY_LIMIT_BYTES).await?;
    run(app, wanted, Extent::Repo(permit), body.trial(PolicyLevel::Repo)?).await
}

async fn run(app: Arc<App>, wanted: Wanted, extent: Extent, trial: Trial) -> Result<Reply> {
    let level = trial.level;
    let run = app.registry.dry_run(&extent, trial).await?;
    stream::reply(wanted, Trying { run, level }).await
}
