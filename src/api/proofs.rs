//! Recorded decisions held against their inputs, and explained, over HTTP. Invariant: verifying writes nothing; today's verdict stands
//! beside the proof and never counts against it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::stream::{self, Piece, Source, Wanted};
use super::wire::moment;
use crate::app::App;
use crate::domain::access::{Operator, Permit, Promote};
use crate::domain::candidate::{Decision, DecisionSource, Reason};
use crate::domain::id::{EvaluationId, VersionId};
use crate::domain::name::RepoKey;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::policy::Explanation;
use crate::registry::{Checking, Drift, Finding, Mismatch, Proof, Today, Verified, WhichRecords};

const BODY_LIMIT_BYTES: u64 = 4096;

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .post("/v1/policy/evaluations/verify", "/v1/policy/evaluations/verify", verify_everywhere)
        .post("/v1/repos/{repoKey}/policy/evaluations/verify", "/v1/repos/main/policy/evaluations/verify", verify_many)
        .post(
            "/v1/repos/{repoKey}/policy/evaluations/{evaluationId}/verify",
            "/v1/repos/main/policy/evaluations/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/verify",
            verify,
        )
        .get(
            "/v1/repos/{repoKey}/policy/evaluations/{evaluationId}/explain",
            "/v1/repos/main/policy/evaluations/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/explain",
            explain,
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    today: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    since: Option<String>,
    until: Option<String>,
    today: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeBody {
    decision: Decision,
    decision_source: DecisionSource,
    reasons: Vec<Reason>,
    policy_engine_version: String,
}

/// A record held against its input.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProofBody {
    evaluation_id: EvaluationId,
    repo_key: RepoKey,
    version_id: VersionId,
    matches: bool,
    same_input: bool,
    same_policies: bool,
    same_engine: bool,
    mismatches: Vec<Mismatch>,
    #[serde(flatten)]
    now: OutcomeBody,
    recorded: OutcomeBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    today: Option<Today>,
}

impl From<Proof> for ProofBody {
    fn from(proof: Proof) -> ProofBody {
        let (matches, same_engine) = (proof.matches(), proof.is_same_engine());
        let (same_input, same_policies) = (!proof.differs_in("inputDigest"), !proof.differs_in("policyDigest"));
        let Proof { evaluation, outcome, engine_version, mismatches, today } = proof;
        ProofBody {
            evaluation_id: evaluation.id,
            repo_key: evaluation.repo,
            version_id: evaluation.version_id,
            matches,
            same_input,
            same_policies,
            same_engine,
            mismatches,
            now: OutcomeBody {
                decision: outcome.decision,
                decision_source: outcome.source,
                reasons: outcome.reasons,
                policy_engine_version: engine_version,
            },
            recorded: OutcomeBody {
                decision: evaluation.decision,
                decision_source: evaluation.source,
                reasons: evaluation.reasons,
                policy_engine_version: evaluation.engine_version,
            },
            today,
        }
    }
}

/// A record that is told of.
///
/// # Errors
/// Internal, when it cannot be written as JSON.
pub(crate) fn finding(finding: Finding) -> Result<Value> {
    match finding {
        Finding::Proof(proof) => {
            serde_json::to_value(ProofBody::from(*proof)).map_err(|cause| Error::internal("writing what was verified", cause))
        }
        Finding::Failed(id, repo, why) => Ok(json!({"evaluationId": id, "repoKey": repo, "matches": false, "failure": why})),
    }
}

/// What a verification has come to.
pub(crate) fn tally(verified: Verified) -> Value {
    let Verified { checked, matched, mismatched, failed, drifted } = verified;
    json!({"checked": checked, "matched": matched, "mismatched": mismatched, "failed": failed, "drifted": drifted})
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplanationBody {
    evaluation_id: EvaluationId,
    repo_key: RepoKey,
    version_id: VersionId,
    #[serde(flatten)]
    explanation: Explanation,
}

fn drift(today: Option<bool>) -> Drift {
    if today == Some(true) { Drift::Told } else { Drift::Untold }
}

async fn verify(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: EvaluationId = request.param_as("evaluationId")?;
    let query: VerifyQuery = request.query()?;
    let proof = app.registry.verify_evaluation(&permit, id, drift(query.today)).await?;
    Reply::ok(&ProofBody::from(proof))
}

async fn explain(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: EvaluationId = request.param_as("evaluationId")?;
    let (evaluation, explanation) = app.registry.explain_evaluation(&permit, id).await?;
    Reply::ok(&ExplanationBody { evaluation_id: evaluation.id, repo_key: evaluation.repo, version_id: evaluation.version_id, explanation })
}

struct Checked(Checking);

impl Source for Checked {
    async fn next(&mut self) -> Result<Piece> {
        let (found, so_far) = self.0.next().await?;
        match found {
            Some(found) => Ok(Piece::Items(found.into_iter().map(finding).collect::<Result<_>>()?, tally(so_far))),
            None => Ok(Piece::Summary(tally(so_far))),
        }
    }
}

async fn verify_everywhere(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    check(app, WhichRecords::Everywhere(operator), request).await
}

async fn verify_many(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    check(app, WhichRecords::Repo(permit), request).await
}

async fn check(app: Arc<App>, which: WhichRecords, mut request: Request) -> Result<Reply> {
    let wanted = Wanted::by(&request);
    let is_empty = request.body.announced_bytes() == Some(0);
    let body: VerifyBody = if is_empty { VerifyBody::default() } else { request.body.read_json(BODY_LIMIT_BYTES).await? };
    let (since, until) = (moment("since", body.since)?, moment("until", body.until)?);
    let checking = app.registry.verify_evaluations(&which, since, until, drift(body.today)).await?;
    stream::reply(wanted, Checked(checking)).await
}
