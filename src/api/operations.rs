//! The backlogs over HTTP: outbox, jobs. Invariant: all of it is for who runs the instance.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{PageBody, moment, page_limit};
use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::id::{EventId, JobId};
use crate::domain::name::RepoKey;
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{JobFilter, JobKind, JobRow, JobState, OutboxFilter, OutboxRow, OutboxState};

pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/admin/outbox", "/v1/admin/outbox", outbox)
        .get("/v1/admin/outbox/{eventId}", "/v1/admin/outbox/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", event)
        .post("/v1/admin/outbox/{eventId}/retry", "/v1/admin/outbox/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/retry", retry_event)
        .get("/v1/admin/jobs", "/v1/admin/jobs", jobs)
        .post("/v1/admin/jobs/retry", "/v1/admin/jobs/retry", retry_dead)
        .get("/v1/admin/jobs/{jobId}", "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", job)
        .post("/v1/admin/jobs/{jobId}/retry", "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/retry", retry)
        .post("/v1/admin/jobs/{jobId}/cancel", "/v1/admin/jobs/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/cancel", cancel)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OutboxQuery {
    state: Option<OutboxState>,
    kind: Option<OutboxKind>,
    repo: Option<RepoKey>,
    error: Option<String>,
    since: Option<String>,
    until: Option<String>,
    due_before: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JobsQuery {
    state: Option<JobState>,
    kind: Option<JobKind>,
    error: Option<String>,
    since: Option<String>,
    until: Option<String>,
    due_before: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Which jobs a retry of many is about. The state is said, so that nobody takes it for all jobs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    state: JobState,
    kind: Option<JobKind>,
    error: Option<String>,
}

#[derive(Serialize)]
struct RetriedBody {
    retried: u64,
    more: bool,
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

async fn outbox(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let OutboxQuery { state, kind, repo, error, since, until, due_before, limit, cursor } = request.query()?;
    let limit = page_limit(limit)?;
    let (since, until) = (moment("since", since)?, moment("until", until)?);
    let filter = OutboxFilter { state, kind, repo, error, since, until, due_before: moment("dueBefore", due_before)? };
    let page = app.run(move |app| app.registry.outbox(&operator, &filter, limit, cursor.as_deref())).await?;
    let items = page.items.into_iter().map(EventBody::new).collect::<Result<Vec<_>>>()?;
    Reply::ok(&PageBody { items, next_cursor: page.next_cursor })
}

async fn event(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: EventId = request.param_as("eventId")?;
    Reply::ok(&EventBody::new(app.run(move |app| app.registry.outbox_event(&operator, &id)).await?)?)
}

async fn retry_event(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: EventId = request.param_as("eventId")?;
    Reply::ok(&EventBody::new(app.registry.retry_event(&operator, id).await?)?)
}

async fn jobs(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let JobsQuery { state, kind, error, since, until, due_before, limit, cursor } = request.query()?;
    let limit = page_limit(limit)?;
    let (since, until) = (moment("since", since)?, moment("until", until)?);
    let filter = JobFilter { state, kind, error, since, until, due_before: moment("dueBefore", due_before)? };
    let page = app.run(move |app| app.registry.jobs(&operator, &filter, limit, cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, JobBody::from))
}

async fn job(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: JobId = request.param_as("jobId")?;
    Reply::ok(&JobBody::from(app.run(move |app| app.registry.job(&operator, &id)).await?))
}

async fn retry(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: JobId = request.param_as("jobId")?;
    Reply::ok(&JobBody::from(app.registry.retry_job(&operator, id).await?))
}

async fn retry_dead(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let RetryBody { state, kind, error } = request.json().await?;
    if state != JobState::Dead {
        return Err(Error::bad_request("state must be dead: jobs in any other state are retried one by one"));
    }
    let retried = app.registry.retry_dead_jobs(&operator, kind, error).await?;
    Reply::ok(&RetriedBody { retried: retried.count, more: retried.more })
}

async fn cancel(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let id: JobId = request.param_as("jobId")?;
    Reply::ok(&JobBody::from(app.registry.cancel_job(&operator, id).await?))
}

#[cfg(test)]
mod tests;
