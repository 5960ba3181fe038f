//! What webhooks are sent and how it went. Invariant: the deliveries of an event are written and enqueued in the transaction that
//! marks it delivered; the body of a delivery never changes; what is not over is never removed, and what is removed takes its job along.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::Value;

use super::Store;
use super::jobs::{JobKind, JobState, NewJob, enqueue};
use super::rows::{self, Page};
use super::webhooks;
use super::write::{Bookkeeping, Done, Write};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EventId, JobId, WebhookId};
use crate::domain::name::RepoKey;
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::domain::webhook::{DeliveryOutcome, DeliveryState, PING, Target, WebhookEvent, WebhookOwner, WebhookSecret, body_of};
use crate::error::{Error, Result};

/// Attempts kept of one delivery.
const ATTEMPTS_KEPT: i64 = 100;

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Time,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status that the receiver answered, if it did.
    pub status: Option<u16>,
    /// Why it was no delivery: a code.
    pub error: Option<String>,
    /// The beginning of the answer's text.
    pub response: Option<String>,
}

/// One delivery as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id, which its receiver sees.
    pub id: DeliveryId,
    /// Its webhook.
    pub webhook_id: WebhookId,
    /// The kind of event, or `ping`.
    pub event: String,
    /// The event; `None` for a ping.
    pub event_id: Option<EventId>,
    /// What is sent.
    pub body: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was written.
    pub created_at: Time,
    /// When it ended, if it did.
    pub ended_at: Option<Time>,
    /// Its job, while that is kept.
    pub job_id: Option<JobId>,
    /// When it is tried next, while it waits.
    pub due_at: Option<Time>,
    /// The newest attempts with their numbers, oldest first.
    pub attempts: Vec<(u64, Attempt)>,
}

/// All that a request takes.
#[derive(Debug, Clone)]
pub struct Sendable {
    /// The delivery.
    pub id: DeliveryId,
    /// Its webhook.
    pub webhook_id: WebhookId,
    /// The webhook's repo, or `None` for the instance.
    pub repo: Option<RepoKey>,
    /// Where to.
    pub target: Target,
    /// Signed with this.
    pub secret: WebhookSecret,
    /// Whether the webhook is told anything.
    pub active: bool,
    /// The kind of event, or `ping`.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// Whether it is over.
    pub outcome: Option<DeliveryOutcome>,
}

/// An event as webhooks are told of it.
pub(super) struct Happened<'a> {
    pub(super) id: Option<EventId>,
    pub(super) kind: OutboxKind,
    pub(super) at: Time,
    pub(super) payload: &'a [u8],
}

fn state_of(outcome: Option<DeliveryOutcome>, job: Option<JobState>) -> DeliveryState {
    match (outcome, job) {
        (Some(DeliveryOutcome::Delivered), _) => DeliveryState::Delivered,
        (Some(DeliveryOutcome::Skipped), _) => DeliveryState::Skipped,
        (None, Some(JobState::Pending | JobState::Processing | JobState::Failed)) => DeliveryState::Pending,
        (None, Some(JobState::Cancelled)) => DeliveryState::Cancelled,
        // A job that is not there any more was over long ago.
        (None, Some(JobState::Dead | JobState::Completed) | None) => DeliveryState::Dead,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let state = state_of(rows::parse_optional(row, "outcome")?, rows::parse_optional(row, "job_state")?);
    Ok(DeliveryRow {
        id: rows::parse(row, "delivery_id")?,
        webhook_id: rows::parse(row, "webhook_id")?,
        event: row.get("event")?,
        event_id: rows::parse_optional(row, "event_id")?,
        body: row.get("body")?,
        state,
        created_at: rows::time(row, "created_at")?,
        ended_at: rows::time_optional(row, "ended_at")?,
        job_id: rows::parse_optional(row, "job_id")?,
        due_at: rows::time_optional(row, "due_at")?.filter(|_| state == DeliveryState::Pending),
        attempts: Vec::new(),
    })
}

fn attempts(connection: &Connection, id: &DeliveryId) -> Result<Vec<(u64, Attempt)>> {
    let mut statement = connection.prepare_cached("SELECT * FROM delivery_attempts WHERE delivery_id = :id ORDER BY number")?;
    let found = statement.query_map(named_params! {":id": id.to_string()}, |row| {
        let attempt = Attempt {
            at: rows::time(row, "at")?,
            duration_ms: rows::unsigned(row, "duration_ms")?,
            status: row.get("status")?,
            error: row.get("error")?,
            response: row.get("response")?,
        };
        Ok((rows::unsigned(row, "number")?, attempt))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn insert(connection: &Connection, delivery: &DeliveryRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (delivery_id, webhook_id, event, event_id, body, created_at)
             VALUES (:id, :webhook, :event, :event_id, :body, :now)",
        )?
        .execute(named_params! {
            ":id": delivery.id.to_string(), ":webhook": delivery.webhook_id.to_string(), ":event": delivery.event,
            ":event_id": delivery.event_id.map(|id| id.to_string()), ":body": delivery.body, ":now": delivery.created_at.unix_ms(),
        })?;
    Ok(())
}

impl Bookkeeping<'_> {
    /// Writes and enqueues a delivery of `event` for each active webhook that asks for it: those of its repo, and the instance's.
    pub(super) fn fan_out(&mut self, event: &Happened<'_>, max_attempts: u32) -> Result<()> {
        // One without readable payload has nothing to be matched by but its kind: the instance's webhooks hear of that.
        let payload: Value = serde_json::from_slice(event.payload).unwrap_or_default();
        let repo_key = payload["repoKey"].as_str().unwrap_or_default();
        let mut statement = self.connection().prepare_cached(
            "SELECT webhook_id FROM webhooks WHERE repo_key IN ('', :repo) AND active = 1
               AND (events = '[]' OR EXISTS (SELECT 1 FROM json_each(webhooks.events) WHERE value = :kind))",
        )?;
        let found = statement.query_map(named_params! {":repo": repo_key, ":kind": event.kind.as_str()}, |row| {
            rows::parse::<WebhookId>(row, "webhook_id")
        })?;
        for webhook_id in found.collect::<rusqlite::Result<Vec<_>>>()? {
            let id = DeliveryId::new(self.uuid());
            let body = body_of(&id, event.kind.as_str(), (event.id, event.at), &payload);
            let delivery = new_delivery(id, webhook_id, (event.kind.as_str(), event.id), body, self.now());
            insert(self.connection(), &delivery)?;
            self.enqueue(&NewJob { kind: JobKind::Webhook, subject_id: &id.to_string(), expectation: None, max_attempts })?;
        }
        Ok(())
    }

    /// Remembers an attempt, and that the delivery is over when it succeeded. Beyond `keep` deliveries the webhook's oldest that are
    /// over are forgotten.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn record_attempt(&mut self, delivery: &Sendable, attempt: &Attempt, keep: u32) -> Result<()> {
        let id = delivery.id.to_string();
        self.connection()
            .prepare_cached(
                "INSERT INTO delivery_attempts (delivery_id, number, at, duration_ms, status, error, response)
                 SELECT :id, 1 + coalesce((SELECT max(number) FROM delivery_attempts WHERE delivery_id = :id), 0), :at, :duration, :status, :error, :response
                 FROM deliveries WHERE delivery_id = :id",
            )?
            .execute(named_params! {
                ":id": id, ":at": attempt.at.unix_ms(), ":duration": rows::stored(attempt.duration_ms), ":status": attempt.status,
                ":error": attempt.error, ":response": attempt.response,
            })?;
        self.connection()
            .prepare_cached(
                "DELETE FROM delivery_attempts WHERE delivery_id = :id
                   AND number <= (SELECT max(number) FROM delivery_attempts WHERE delivery_id = :id) - :kept",
            )?
            .execute(named_params! {":id": id, ":kept": ATTEMPTS_KEPT})?;
        if attempt.error.is_none() {
            self.end_delivery(&delivery.id, DeliveryOutcome::Delivered)?;
        }
        let mut forget = self.connection().prepare_cached(
            "DELETE FROM deliveries WHERE webhook_id = :webhook
               AND delivery_id <= (SELECT delivery_id FROM deliveries WHERE webhook_id = :webhook ORDER BY delivery_id DESC LIMIT 1 OFFSET :keep)
               AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.kind = 'webhook' AND jobs.subject_id = deliveries.delivery_id
                                 AND jobs.state IN ('pending', 'processing', 'failed'))
             RETURNING delivery_id",
        )?;
        let forgotten = forget
            .query_map(named_params! {":webhook": delivery.webhook_id.to_string(), ":keep": keep}, |row| row.get("delivery_id"))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        self.forget_jobs(&forgotten)
    }

    /// Forgets the jobs of deliveries that were forgotten: a dead one would stay for ever, and nobody could tell what it was about.
    fn forget_jobs(&self, deliveries: &[String]) -> Result<()> {
        let mut statement = self.connection().prepare_cached("DELETE FROM jobs WHERE kind = 'webhook' AND subject_id = :delivery")?;
        for delivery in deliveries {
            statement.execute(named_params! {":delivery": delivery})?;
        }
        Ok(())
    }

    /// Remembers how a delivery ended; what is over stays as it is.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn end_delivery(&mut self, id: &DeliveryId, outcome: DeliveryOutcome) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE deliveries SET outcome = :outcome, ended_at = :now WHERE delivery_id = :id AND outcome IS NULL")?
            .execute(named_params! {":outcome": outcome.as_str(), ":now": self.now().unix_ms(), ":id": id.to_string()})?;
        Ok(())
    }

    /// Forgets up to `batch` deliveries written before `before`, oldest first, with their attempts; those that are still tried stay.
    /// Returns how many.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn prune_deliveries(&mut self, before: Time, batch: usize) -> Result<usize> {
        let mut forget = self.connection().prepare_cached(
            "DELETE FROM deliveries WHERE delivery_id IN (
                 SELECT delivery_id FROM deliveries INDEXED BY deliveries_by_age
                 WHERE created_at < :before AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.kind = 'webhook'
                     AND jobs.subject_id = deliveries.delivery_id AND jobs.state IN ('pending', 'processing', 'failed'))
                 ORDER BY created_at, delivery_id LIMIT :batch)
             RETURNING delivery_id",
        )?;
        let forgotten = forget
            .query_map(named_params! {":before": before.unix_ms(), ":batch": rows::stored(batch as u64)}, |row| row.get("delivery_id"))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        self.forget_jobs(&forgotten)?;
        Ok(forgotten.len())
    }
}

fn new_delivery(id: DeliveryId, webhook_id: WebhookId, event: (&str, Option<EventId>), body: String, now: Time) -> DeliveryRow {
    DeliveryRow {
        id,
        webhook_id,
        event: event.0.to_owned(),
        event_id: event.1,
        body,
        state: DeliveryState::Pending,
        created_at: now,
        ended_at: None,
        job_id: None,
        due_at: Some(now),
        attempts: Vec::new(),
    }
}

impl Store {
    /// One page of a webhook's deliveries, newest first.
    ///
    /// # Errors
    /// `not_found` when this owner has no such webhook; `bad_request` for a cursor of another list.
    pub fn deliveries(&self, owner: &WebhookOwner, id: &WebhookId, limit: usize, cursor: Option<&str>) -> Result<Page<DeliveryRow>> {
        let before: Option<DeliveryId> = cursor.map(str::parse).transpose().map_err(|_| rows::bad_cursor())?;
        let connection = self.connection()?;
        webhooks::of_owner(&connection, owner, id)?;
        let mut statement = connection.prepare_cached(
            "SELECT deliveries.*, jobs.job_id, jobs.state AS job_state, jobs.due_at
             FROM deliveries LEFT JOIN jobs ON jobs.kind = 'webhook' AND jobs.subject_id = deliveries.delivery_id
             WHERE webhook_id = :webhook AND delivery_id < coalesce(:before, 'g') ORDER BY delivery_id DESC LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":webhook": id.to_string(), ":before": before.map(|id| id.to_string()), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        let mut page = Page::cut(found.collect::<rusqlite::Result<Vec<_>>>()?, limit, |delivery| delivery.id.to_string());
        for delivery in &mut page.items {
            delivery.attempts = attempts(&connection, &delivery.id)?;
        }
        Ok(page)
    }

    /// All that sending a delivery takes; `None` when it or its webhook was deleted.
    ///
    /// # Errors
    /// Internal when SQLite fails or the row cannot be read.
    pub fn find_sendable(&self, id: &DeliveryId) -> Result<Option<Sendable>> {
        let found = self
            .connection()?
            .prepare_cached(
                "SELECT webhook_id, repo_key, url, secret, active, event, body, outcome
                 FROM deliveries JOIN webhooks USING (webhook_id) WHERE delivery_id = :id",
            )?
            .query_row(named_params! {":id": id.to_string()}, |row| {
                Ok(Sendable {
                    id: *id,
                    webhook_id: rows::parse(row, "webhook_id")?,
                    repo: webhooks::repo_of(row)?,
                    target: rows::parse(row, "url")?,
                    secret: rows::parse(row, "secret")?,
                    active: row.get("active")?,
                    event: row.get("event")?,
                    body: row.get("body")?,
                    outcome: rows::parse_optional(row, "outcome")?,
                })
            })
            .optional()?;
        Ok(found)
    }
}

impl Write<'_> {
    /// Writes and enqueues a `ping` to a webhook.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the webhook is switched off.
    pub fn test_webhook(&mut self, owner: &WebhookOwner, id: &WebhookId, max_attempts: u32) -> Result<Done<DeliveryRow>> {
        let webhook = self.active_webhook(owner, id)?;
        let delivery_id = DeliveryId::new(self.uuid());
        let payload = serde_json::json!({"repoKey": webhook.repo});
        let body = body_of(&delivery_id, PING, (None, self.now()), &payload);
        let delivery = self.send(new_delivery(delivery_id, *id, (PING, None), body, self.now()), max_attempts)?;
        Ok(Done::new(delivery, Event::Webhook(WebhookEvent::Tested(webhook.named(), delivery_id))))
    }

    /// Writes and enqueues a new delivery of what an earlier one told. Only its `id` differs.
    ///
    /// # Errors
    /// `not_found` for a delivery of another webhook, and one that is forgotten; `conflict` when the webhook is switched off.
    pub fn redeliver(&mut self, owner: &WebhookOwner, id: &WebhookId, of: &DeliveryId, max_attempts: u32) -> Result<Done<DeliveryRow>> {
        let webhook = self.active_webhook(owner, id)?;
        let (event, event_id, body): (String, Option<EventId>, Value) = self
            .connection()
            .prepare_cached("SELECT event, event_id, body FROM deliveries WHERE delivery_id = :id AND webhook_id = :webhook")?
            .query_row(named_params! {":id": of.to_string(), ":webhook": id.to_string()}, |row| {
                Ok((row.get("event")?, rows::parse_optional(row, "event_id")?, rows::json(row, "body")?))
            })
            .optional()?
            .ok_or_else(|| Error::not_found(format!("delivery {of} of this webhook")))?;
        let delivery_id = DeliveryId::new(self.uuid());
        let mut body = body;
        body["id"] = serde_json::json!(delivery_id);
        let anew = new_delivery(delivery_id, *id, (&event, event_id), body.to_string(), self.now());
        let delivery = self.send(anew, max_attempts)?;
        Ok(Done::new(delivery, Event::Webhook(WebhookEvent::Redelivered(webhook.named(), *of, delivery_id))))
    }

    fn active_webhook(&self, owner: &WebhookOwner, id: &WebhookId) -> Result<webhooks::WebhookRow> {
        let webhook = webhooks::of_owner(self.connection(), owner, id)?;
        if webhook.active {
            return Ok(webhook);
        }
        Err(Error::conflict(format!("webhook {id} is switched off; switch it on first: PATCH {{\"active\": true}}")))
    }

    fn send(&self, delivery: DeliveryRow, max_attempts: u32) -> Result<DeliveryRow> {
        insert(self.connection(), &delivery)?;
        let job = NewJob { kind: JobKind::Webhook, subject_id: &delivery.id.to_string(), expectation: None, max_attempts };
        let job_id = self.uuid();
        enqueue(self.connection(), job_id, self.now(), &job)?;
        Ok(DeliveryRow { job_id: Some(JobId::new(job_id)), ..delivery })
    }
}
