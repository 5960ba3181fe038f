//! The backlogs over HTTP: outbox, jobs, a summary. Invariant: all of it is for who runs the instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{PageBody, page_limit};
use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::id::{EventId, JobId};
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{JobKind, JobRow, JobState, OpsSummary, OutboxRow, OutboxState};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/admin/ops/summary", "/v1/admin/ops/summary", summary)
        .get("/v1/admin/outbox", "/v1/admin/outbox", outbox)
        .get("/v1/admin/jobs", "/v1/admin/jobs", jobs)
        .post("/v1/admin/jobs/{jobId}/retry", "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/retry", retry)
        .post("/v1/admin/jobs/{jobId}/cancel", "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/cancel", cancel)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboxQuery {
    state: Option<OutboxState>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    state: Option<JobState>,
    kind: Option<JobKind>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventBody {
    seq: u64,
    event_id: EventId,
    kind: OutboxKind,
    payload: Box<RawValue>,
    state: OutboxState,
    attempts: u64,
    due_at: Time,
    created_at: Time,
    delivered_at: Option<Time>,
    last_error: Option<String>,
}

impl EventBody {
    fn new(row: OutboxRow) -> Result<EventBody> {
        Ok(EventBody {
            seq: row.seq,
            event_id: row.id,
            kind: row.kind,
            payload: payload(row.payload)?,
            state: row.state,
            attempts: row.attempts,
            due_at: row.due_at,
            created_at: row.created_at,
            delivered_at: row.delivered_at,
            last_error: row.last_error,
        })
    }
}

/// A payload as JSON; a malformed one, which is what people look for here, as a string of its text.
fn payload(text: String) -> Result<Box<RawValue>> {
    match serde_json::from_str::<Box<RawValue>>(&text) {
        Ok(value) => Ok(value),
        Err(_) => serde_json::value::to_raw_value(&text).map_err(|cause| Error::internal("writing the payload of an event", cause)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobBody {
    job_id: JobId,
    kind: JobKind,
    subject_id: String,
    state: JobState,
    attempts: u64,
    max_attempts: u64,
    due_at: Time,
    last_error: Option<String>,
    created_at: Time,
    updated_at: Time,
}

impl From<JobRow> for JobBody {
    fn from(row: JobRow) -> JobBody {
        JobBody {
            job_id: row.id,
            kind: row.kind,
            subject_id: row.subject_id,
            state: row.state,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            due_at: row.due_at,
            last_error: row.last_error,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutboxSummary {
    pending: u64,
    dead: u64,
    oldest_pending_at: Option<Time>,
    oldest_pending_age_seconds: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SearchSummary {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryBody {
    at: Time,
    outbox: OutboxSummary,
    jobs: BTreeMap<&'static str, u64>,
    next_job_due_at: Option<Time>,
    open_holds: u64,
    search: SearchSummary,
}

impl From<OpsSummary> for SummaryBody {
    fn from(summary: OpsSummary) -> SummaryBody {
        let oldest = summary.oldest_pending_event;
        SummaryBody {
            at: summary.at,
            outbox: OutboxSummary {
                pending: summary.pending_events,
                dead: summary.dead_events,
                oldest_pending_at: oldest,
                oldest_pending_age_seconds: oldest.map(|oldest| summary.at.seconds_since(oldest)),
            },
            jobs: summary.jobs.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
            next_job_due_at: summary.next_job_due,
            open_holds: summary.open_holds,
            search: SearchSummary { state: summary.search.as_str() },
        }
    }
}

async fn summary(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    let summary = app.run(move |app| app.registry.ops_summary(&operator)).await?;
    Reply::ok(&SummaryBody::from(summary))
}

async fn outbox(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let OutboxQuery { state, limit, cursor } = request.query()?;
    let limit = page_limit(limit)?;
    let page = app.run(move |app| app.registry.outbox(&operator, state, limit, cursor.as_deref())).await?;
    let items = page.items.into_iter().map(EventBody::new).collect::<Result<Vec<_>>>()?;
    Reply::ok(&PageBody { items, next_cursor: page.next_cursor })
}

async fn jobs(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let JobsQuery { state, kind, limit, cursor } = request.query()?;
    let limit = page_limit(limit)?;
    let page = app.run(move |app| app.registry.jobs(&operator, state, kind, limit, cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, JobBody::from))
}

async fn retry(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: JobId = request.param_as("jobId")?;
    Reply::ok(&JobBody::from(app.registry.retry_job(&operator, id).await?))
}

async fn cancel(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: JobId = request.param_as("jobId")?;
    Reply::ok(&JobBody::from(app.registry.cancel_job(&operator, id).await?))
}

#[cfg(test)]
mod tests;
