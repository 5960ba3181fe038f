//! Recorded policy decisions over HTTP. Invariant: what is shown is what was recorded; asking again makes a new record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{PageBody, page_limit};
use crate::app::App;
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Action, Decision, DecisionSource, Reason};
use crate::domain::digest::Digest;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes, header};
use crate::registry::{Evaluation, EvaluationFilter, EvaluationRequest, RecordedEvaluation};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .post("/v1/repos/{repoKey}/policy/evaluations", "/v1/repos/main/policy/evaluations", evaluate)
        .get("/v1/repos/{repoKey}/policy/evaluations", "/v1/repos/main/policy/evaluations", list)
        .get(
            "/v1/repos/{repoKey}/policy/evaluations/{evaluationId}",
            "/v1/repos/main/policy/evaluations/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55",
            show,
        )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EvaluateBody {
    action: Action,
    version_id: VersionId,
    decision_hint: Option<Decision>,
    reason: String,
    policy_engine_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    version_id: Option<VersionId>,
    action: Option<Action>,
    decision: Option<Decision>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// One recorded decision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EvaluationBody {
    evaluation_id: EvaluationId,
    repo_key: RepoKey,
    version_id: VersionId,
    action: Action,
    decision: Decision,
    decision_source: DecisionSource,
    reasons: Vec<Reason>,
    observed: Vec<Reason>,
    waived: Vec<Reason>,
    reason: String,
    policy_engine_version: String,
    policy_digest: Digest,
    advisory_digest: Option<Digest>,
    input_digest: Digest,
    content_digest: Digest,
    evaluated_at: Time,
    evaluated_by_subject: Subject,
    quarantine_id: Option<QuarantineId>,
    quarantined: bool,
}

impl From<Evaluation> for EvaluationBody {
    fn from(evaluation: Evaluation) -> EvaluationBody {
        EvaluationBody {
            evaluation_id: evaluation.id,
            repo_key: evaluation.repo,
            version_id: evaluation.version_id,
            action: evaluation.action,
            decision: evaluation.decision,
            decision_source: evaluation.source,
            reasons: evaluation.reasons,
            observed: evaluation.observed,
            waived: evaluation.waived,
            reason: evaluation.reason,
            policy_engine_version: evaluation.engine_version,
            policy_digest: evaluation.policy_digest,
            advisory_digest: evaluation.advisory_digest,
            input_digest: evaluation.input_digest,
            content_digest: evaluation.content_digest,
            evaluated_at: evaluation.evaluated_at,
            evaluated_by_subject: evaluation.evaluated_by,
            quarantine_id: evaluation.quarantine_id,
            quarantined: evaluation.quarantine_id.is_some(),
        }
    }
}

#[derive(Serialize)]
struct RecordedBody {
    #[serde(flatten)]
    evaluation: EvaluationBody,
    input: Box<RawValue>,
}

async fn evaluate(app: Arc<App>, permit: Permit<Promote>, mut request: Request) -> Result<Reply> {
    let body: EvaluateBody = request.json().await?;
    let asked = EvaluationRequest {
        version_id: body.version_id,
        action: body.action,
        hint: body.decision_hint,
        reason: body.reason,
        engine_version: body.policy_engine_version,
    };
    let evaluation = app.registry.evaluate(&permit, asked).await?;
    let location = format!("/v1/repos/{}/policy/evaluations/{}", evaluation.repo, evaluation.id);
    Reply::created(&EvaluationBody::from(evaluation))?.with_text(header::LOCATION, &location)
}

async fn list(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let query: ListQuery = request.query()?;
    let limit = page_limit(query.limit)?;
    let filter = EvaluationFilter { version_id: query.version_id, action: query.action, decision: query.decision };
    let page = app.run(move |app| app.registry.evaluations(&permit, &filter, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, EvaluationBody::from))
}

async fn show(app: Arc<App>, permit: Permit<Promote>, request: Request) -> Result<Reply> {
    let id: EvaluationId = request.param_as("evaluationId")?;
    let RecordedEvaluation { evaluation, input, words: _ } = app.run(move |app| app.registry.evaluation(&permit, &id)).await?;
    let input = RawValue::from_string(input).map_err(|cause| Error::internal(format!("reading the input of evaluation {id}"), cause))?;
    Reply::ok(&RecordedBody { evaluation: evaluation.into(), input })
}
