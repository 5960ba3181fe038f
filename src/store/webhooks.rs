//! Webhooks. Invariant: the secret leaves this room for whoever signs a request and in the answer that made it, never in a list;
//! a repo's webhooks are found through a permit for that repo alone, and end with it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::{Value, json};

use super::Store;
use super::rows::{self, Page};
use super::versions;
use super::write::{Done, Write};
use crate::domain::event::Event;
use crate::domain::id::WebhookId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::outbox::OutboxKind;
use crate::domain::time::Time;
use crate::domain::webhook::{NamedWebhook, Target, WebhookEvent, WebhookOwner, WebhookSecret};
use crate::error::{Error, Result};

/// A webhook as listed; its secret is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// Its repo, or `None` for the instance.
    pub repo: Option<RepoKey>,
    /// Where it points.
    pub target: Target,
    /// What it asks for; nothing stands for everything.
    pub events: Vec<OutboxKind>,
    /// Whether it is told anything.
    pub active: bool,
    /// What it is for, in its maker's words.
    pub note: Option<String>,
    /// When it was created.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
    /// When it was last changed.
    pub updated_at: Time,
}

impl WebhookRow {
    pub(super) fn named(&self) -> NamedWebhook {
        NamedWebhook { id: self.id, repo: self.repo.clone(), target: self.target.clone() }
    }
}

/// A webhook to be created.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where it points.
    pub target: Target,
    /// What it asks for; nothing stands for everything.
    pub events: Vec<OutboxKind>,
    /// What its requests are signed with.
    pub secret: WebhookSecret,
    /// Whether it is told anything yet.
    pub active: bool,
    /// What it is for.
    pub note: Option<String>,
}

/// What of a webhook is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookChange {
    /// Where it points.
    pub target: Option<Target>,
    /// What it asks for.
    pub events: Option<Vec<OutboxKind>>,
    /// What its requests are signed with.
    pub secret: Option<WebhookSecret>,
    /// Whether it is told anything.
    pub active: Option<bool>,
    /// What it is for; an empty text takes the note away.
    pub note: Option<String>,
}

impl WebhookChange {
    /// What the audit tells of it.
    fn details(&self) -> Value {
        let mut details = json!({"secretRotated": self.secret.is_some()});
        if let Some(members) = details.as_object_mut() {
            members.extend(self.events.as_ref().map(|events| ("events".to_owned(), json!(events))));
            members.extend(self.active.map(|active| ("active".to_owned(), json!(active))));
        }
        details
    }
}

/// How a webhook's repo is stored.
pub(super) fn stored_key(repo: Option<&RepoKey>) -> &str {
    repo.map_or("", RepoKey::as_str)
}

/// A stored repo of a webhook.
pub(super) fn repo_of(row: &Row<'_>) -> rusqlite::Result<Option<RepoKey>> {
    let key: String = row.get("repo_key")?;
    if key.is_empty() { Ok(None) } else { rows::parse(row, "repo_key").map(Some) }
}

fn read(row: &Row<'_>) -> rusqlite::Result<WebhookRow> {
    Ok(WebhookRow {
        id: rows::parse(row, "webhook_id")?,
        repo: repo_of(row)?,
        target: rows::parse(row, "url")?,
        events: rows::json(row, "events")?,
        active: row.get("active")?,
        note: row.get("note")?,
        created_at: rows::time(row, "created_at")?,
        created_by: versions::subject(row, "created_by")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}

/// The webhook of this owner with this id.
pub(super) fn of_owner(connection: &Connection, owner: &WebhookOwner, id: &WebhookId) -> Result<WebhookRow> {
    connection
        .prepare_cached("SELECT * FROM webhooks WHERE webhook_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": stored_key(owner.repo())}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("webhook {id}")))
}

impl Store {
    /// One page of an owner's webhooks, oldest first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn webhooks(&self, owner: &WebhookOwner, limit: usize, cursor: Option<&str>) -> Result<Page<WebhookRow>> {
        let connection = self.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT * FROM webhooks WHERE repo_key = :repo AND webhook_id > :after ORDER BY webhook_id LIMIT :limit")?;
        let found = statement.query_map(
            named_params! {":repo": stored_key(owner.repo()), ":after": cursor.unwrap_or(""), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |webhook| webhook.id.to_string()))
    }

    /// One webhook.
    ///
    /// # Errors
    /// `not_found` when this owner has none with this id.
    pub fn webhook(&self, owner: &WebhookOwner, id: &WebhookId) -> Result<WebhookRow> {
        of_owner(&*self.connection()?, owner, id)
    }
}

impl Write<'_> {
    /// Creates a webhook.
    ///
    /// # Errors
    /// `conflict` when the owner has `max` of them.
    pub fn add_webhook(&mut self, owner: &WebhookOwner, new: &NewWebhook, max: u32) -> Result<Done<WebhookRow>> {
        let repo_key = stored_key(owner.repo());
        let count: u32 = self
            .connection()
            .prepare_cached("SELECT count(*) FROM webhooks WHERE repo_key = :repo")?
            .query_row(named_params! {":repo": repo_key}, |row| row.get(0))?;
        if count >= max {
            let message =
                format!("there are {count} webhooks here, and no more than {max} are allowed (webhooks.max_per_repo); delete one first");
            return Err(Error::conflict(message).with("limit", max));
        }
        if let Some(key) = owner.repo() {
            // A repo deleted since the request began must not leave its webhook to the next repo of that key.
            self.repo(key)?;
        }
        let id = WebhookId::new(self.uuid());
        self.connection()
            .prepare_cached(
                "INSERT INTO webhooks (webhook_id, repo_key, url, events, secret, active, note, created_at, created_by, updated_at)
                 VALUES (:id, :repo, :url, :events, :secret, :active, :note, :now, :by, :now)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": repo_key, ":url": new.target.url().as_str(), ":events": rows::json_text(&new.events)?,
                ":secret": new.secret.reveal(), ":active": new.active, ":note": new.note, ":now": self.now().unix_ms(),
                ":by": self.actor().subject.as_str(),
            })?;
        let webhook = of_owner(self.connection(), owner, &id)?;
        let details = json!({"events": new.events, "active": new.active});
        let event = WebhookEvent::Created(webhook.named(), details);
        Ok(Done::new(webhook, Event::Webhook(event)))
    }

    /// Changes what `change` names of a webhook.
    ///
    /// # Errors
    /// `not_found` when this owner has none with this id.
    pub fn change_webhook(&mut self, owner: &WebhookOwner, id: &WebhookId, change: &WebhookChange) -> Result<Done<WebhookRow>> {
        of_owner(self.connection(), owner, id)?;
        let events = change.events.as_ref().map(rows::json_text).transpose()?;
        self.connection()
            .prepare_cached(
                "UPDATE webhooks SET url = coalesce(:url, url), events = coalesce(:events, events), secret = coalesce(:secret, secret),
                     active = coalesce(:active, active), note = nullif(coalesce(:note, note), ''), updated_at = :now
                 WHERE webhook_id = :id",
            )?
            .execute(named_params! {
                ":url": change.target.as_ref().map(|target| target.url().as_str()), ":events": events,
                ":secret": change.secret.as_ref().map(WebhookSecret::reveal), ":active": change.active, ":note": change.note,
                ":now": self.now().unix_ms(), ":id": id.to_string(),
            })?;
        let webhook = of_owner(self.connection(), owner, id)?;
        let event = WebhookEvent::Updated(webhook.named(), change.details());
        Ok(Done::new(webhook, Event::Webhook(event)))
    }

    /// Deletes a webhook with its history; what waits for it is not sent.
    ///
    /// # Errors
    /// `not_found` when this owner has none with this id.
    pub fn delete_webhook(&mut self, owner: &WebhookOwner, id: &WebhookId) -> Result<Done<()>> {
        let webhook = of_owner(self.connection(), owner, id)?;
        self.end_webhook(id)?;
        Ok(Done::new((), Event::Webhook(WebhookEvent::Deleted(webhook.named()))))
    }

    /// Its deliveries go with it, and their jobs: a dead one would stay for ever, and nobody could tell what it was about.
    fn end_webhook(&self, id: &WebhookId) -> Result<()> {
        let parameters = named_params! {":id": &id.to_string()};
        self.connection()
            .prepare_cached(
                "DELETE FROM jobs WHERE kind = 'webhook' AND subject_id IN (SELECT delivery_id FROM deliveries WHERE webhook_id = :id)",
            )?
            .execute(parameters)?;
        self.connection().prepare_cached("DELETE FROM webhooks WHERE webhook_id = :id")?.execute(parameters)?;
        Ok(())
    }

    /// Deletes all webhooks of a repo that is being deleted: its key may come to name another repo, of which they must not hear.
    pub(super) fn delete_webhooks_of(&self, key: &RepoKey) -> Result<Vec<Event>> {
        let mut statement = self.connection().prepare_cached("SELECT * FROM webhooks WHERE repo_key = :repo")?;
        let found = statement.query_map(named_params! {":repo": key.as_str()}, read)?;
        let webhooks = found.collect::<rusqlite::Result<Vec<_>>>()?;
        for webhook in &webhooks {
            self.end_webhook(&webhook.id)?;
        }
        Ok(webhooks.iter().map(|webhook| Event::Webhook(WebhookEvent::Deleted(webhook.named()))).collect())
    }

    /// Switches a webhook off whose receiver said that it is gone for good. One that is off or deleted stays so.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn switch_off_webhook(&mut self, id: &WebhookId, reason: &str) -> Result<Done<()>> {
        let found = self
            .connection()
            .prepare_cached("SELECT * FROM webhooks WHERE webhook_id = :id AND active = 1")?
            .query_row(named_params! {":id": id.to_string()}, read)
            .optional()?;
        let Some(webhook) = found else { return Ok(Done::unchanged(())) };
        self.connection()
            .prepare_cached("UPDATE webhooks SET active = 0, updated_at = :now WHERE webhook_id = :id")?
            .execute(named_params! {":now": self.now().unix_ms(), ":id": id.to_string()})?;
        let event = WebhookEvent::Updated(webhook.named(), json!({"active": false, "reason": reason}));
        Ok(Done::new((), Event::Webhook(event)))
    }
}
