//! Webhooks over HTTP, of a repo and of the instance by the same handlers. Invariant: the proof a handler takes says whose they are;
//! a secret stands in the answer that made or took it and in no other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Admin, Operator, Permit};
use crate::domain::id::{DeliveryId, EventId, JobId, WebhookId};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::domain::webhook::{DeliveryState, WebhookOwner, distinct_events};
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{Attempt, DeliveryRow, NewWebhook, WebhookChange, WebhookRow};

const OF_REPO: &str = "/v1/repos/{repoKey}/webhooks";
const OF_INSTANCE: &str = "/v1/admin/webhooks";

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    type Tenant = Permit<Admin>;
    Routes::new()
        .get(OF_REPO, "/v1/repos/main/webhooks", list::<Tenant>)
        .post(OF_REPO, "/v1/repos/main/webhooks", create::<Tenant>)
        .get("/v1/repos/{repoKey}/webhooks/{webhookId}", "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", show::<Tenant>)
        .patch("/v1/repos/{repoKey}/webhooks/{webhookId}", "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", change::<Tenant>)
        .delete(
            "/v1/repos/{repoKey}/webhooks/{webhookId}",
            "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55",
            delete::<Tenant>,
        )
        .get(
            "/v1/repos/{repoKey}/webhooks/{webhookId}/deliveries",
            "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/deliveries",
            deliveries::<Tenant>,
        )
        .post(
            "/v1/repos/{repoKey}/webhooks/{webhookId}/test",
            "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/test",
            test::<Tenant>,
        )
        .post(
            "/v1/repos/{repoKey}/webhooks/{webhookId}/deliveries/{deliveryId}/redeliver",
            "/v1/repos/main/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/deliveries/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c56/redeliver",
            redeliver::<Tenant>,
        )
        .get(OF_INSTANCE, OF_INSTANCE, list::<Operator>)
        .post(OF_INSTANCE, OF_INSTANCE, create::<Operator>)
        .get("/v1/admin/webhooks/{webhookId}", "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", show::<Operator>)
        .patch("/v1/admin/webhooks/{webhookId}", "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", change::<Operator>)
        .delete("/v1/admin/webhooks/{webhookId}", "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", delete::<Operator>)
        .get(
            "/v1/admin/webhooks/{webhookId}/deliveries",
            "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/deliveries",
            deliveries::<Operator>,
        )
        .post("/v1/admin/webhooks/{webhookId}/test", "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/test", test::<Operator>)
        .post(
            "/v1/admin/webhooks/{webhookId}/deliveries/{deliveryId}/redeliver",
            "/v1/admin/webhooks/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55/deliveries/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c56/redeliver",
            redeliver::<Operator>,
        )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookBody {
    webhook_id: WebhookId,
    /// `null` for one of the instance.
    repo_key: Option<RepoKey>,
    url: String,
    events: Vec<OutboxKind>,
    active: bool,
    note: Option<String>,
    created_at: Time,
    created_by_subject: Subject,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl WebhookBody {
    /// What every list shows.
    fn listed(webhook: WebhookRow) -> WebhookBody {
        let asked = if webhook.events.is_empty() { OutboxKind::ALL.to_vec() } else { webhook.events };
        WebhookBody {
            webhook_id: webhook.id,
            repo_key: webhook.repo,
            url: webhook.target.url().to_string(),
            events: asked,
            active: webhook.active,
            note: webhook.note,
            created_at: webhook.created_at,
            created_by_subject: webhook.created_by,
            updated_at: webhook.updated_at,
            secret: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptBody {
    number: u64,
    at: Time,
    duration_ms: u64,
    status: Option<u16>,
    error: Option<String>,
    response: Option<String>,
}

impl From<(u64, Attempt)> for AttemptBody {
    fn from((number, attempt): (u64, Attempt)) -> AttemptBody {
        AttemptBody {
            number,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error,
            response: attempt.response,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryBody {
    delivery_id: DeliveryId,
    webhook_id: WebhookId,
    event: String,
    event_id: Option<EventId>,
    state: DeliveryState,
    created_at: Time,
    ended_at: Option<Time>,
    next_attempt_at: Option<Time>,
    job_id: Option<JobId>,
    payload: Box<RawValue>,
    attempts: Vec<AttemptBody>,
}

impl DeliveryBody {
    fn new(delivery: DeliveryRow) -> Result<DeliveryBody> {
        Ok(DeliveryBody {
            delivery_id: delivery.id,
            webhook_id: delivery.webhook_id,
            event: delivery.event,
            event_id: delivery.event_id,
            state: delivery.state,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
            next_attempt_at: delivery.due_at,
            job_id: delivery.job_id,
            payload: RawValue::from_string(delivery.body).map_err(|cause| Error::internal("showing the body of a delivery", cause))?,
            attempts: delivery.attempts.into_iter().map(AttemptBody::from).collect(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    url: String,
    #[serde(default)]
    events: Vec<OutboxKind>,
    secret: Option<String>,
    active: Option<bool>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangeRequest {
    url: Option<String>,
    events: Option<Vec<OutboxKind>>,
    secret: Option<String>,
    /// Asks for a new secret to be made.
    rotate_secret: Option<bool>,
    active: Option<bool>,
    /// An empty one takes the note away.
    note: Option<String>,
}

fn webhook_id(request: &Request) -> Result<WebhookId> {
    request.param_as("webhookId")
}

async fn list<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let owner: WebhookOwner = proof.into();
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.webhooks(&owner, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, WebhookBody::listed))
}

async fn create<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, mut request: Request) -> Result<Reply> {
    let owner: WebhookOwner = proof.into();
    let asked: CreateRequest = request.json().await?;
    if let Some(note) = &asked.note {
        check_words("note", note)?;
    }
    let new = NewWebhook {
        target: asked.url.parse()?,
        events: distinct_events(asked.events),
        secret: asked.secret.map_or_else(|| app.registry.new_webhook_secret(), |text| text.parse())?,
        active: asked.active.unwrap_or(true),
        note: asked.note,
    };
    let secret = new.secret.reveal().to_owned();
    let webhook = app.registry.create_webhook(&owner, new, app.config.webhooks.max_per_repo).await?;
    Reply::created(&WebhookBody { secret: Some(secret), ..WebhookBody::listed(webhook) })
}

async fn show<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let (owner, id): (WebhookOwner, _) = (proof.into(), webhook_id(&request)?);
    let webhook = app.run(move |app| app.registry.webhook(&owner, &id)).await?;
    Reply::ok(&WebhookBody::listed(webhook))
}

async fn change<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, mut request: Request) -> Result<Reply> {
    let (owner, id): (WebhookOwner, _) = (proof.into(), webhook_id(&request)?);
    let asked: ChangeRequest = request.json().await?;
    if let Some(note) = asked.note.as_ref().filter(|note| !note.is_empty()) {
        check_words("note", note)?;
    }
    let secret = match (asked.secret, asked.rotate_secret.unwrap_or(false)) {
        (Some(_), true) => return Err(Error::bad_request("give secret, or rotateSecret to have one made, not both")),
        (Some(text), false) => Some(text.parse()?),
        (None, true) => Some(app.registry.new_webhook_secret()?),
        (None, false) => None,
    };
    let change = WebhookChange {
        target: asked.url.map(|url| url.parse()).transpose()?,
        events: asked.events.map(distinct_events),
        secret,
        active: asked.active,
        note: asked.note,
    };
    if change == WebhookChange::default() {
        return Err(Error::bad_request("name at least one of url, events, secret, rotateSecret, active, note"));
    }
    let secret = change.secret.as_ref().map(|secret| secret.reveal().to_owned());
    let webhook = app.registry.change_webhook(&owner, id, change).await?;
    Reply::ok(&WebhookBody { secret, ..WebhookBody::listed(webhook) })
}

async fn delete<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    app.registry.delete_webhook(&proof.into(), webhook_id(&request)?).await?;
    Ok(Reply::no_content())
}

async fn deliveries<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let (owner, id): (WebhookOwner, _) = (proof.into(), webhook_id(&request)?);
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.deliveries(&owner, &id, limit, query.cursor.as_deref())).await?;
    let items = page.items.into_iter().map(DeliveryBody::new).collect::<Result<Vec<_>>>()?;
    Reply::ok(&PageBody { items, next_cursor: page.next_cursor })
}

async fn test<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let delivery = app.registry.test_webhook(&proof.into(), webhook_id(&request)?, app.config.jobs.max_attempts).await?;
    Reply::accepted(&DeliveryBody::new(delivery)?)
}

async fn redeliver<P: Into<WebhookOwner>>(app: Arc<App>, proof: P, request: Request) -> Result<Reply> {
    let (id, of): (_, DeliveryId) = (webhook_id(&request)?, request.param_as("deliveryId")?);
    let delivery = app.registry.redeliver(&proof.into(), id, of, app.config.jobs.max_attempts).await?;
    Reply::accepted(&DeliveryBody::new(delivery)?)
}
