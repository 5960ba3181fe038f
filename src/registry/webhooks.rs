//! Webhooks of repos and of the instance. Invariant: only who administers the repo, or runs the instance, manages them; a secret is
//! given back by the verb that made or took it and by no other.

use super::Registry;
use crate::domain::id::{DeliveryId, WebhookId};
use crate::domain::webhook::{WebhookOwner, WebhookSecret};
use crate::error::Result;
use crate::store::{DeliveryRow, NewWebhook, Page, WebhookChange, WebhookRow};

impl Registry {
    /// A new secret.
    ///
    /// # Errors
    /// Internal, when the machine gives no randomness.
    pub fn new_webhook_secret(&self) -> Result<WebhookSecret> {
        Ok(WebhookSecret::from_random(self.store.clock().secret()?))
    }

    /// Creates a webhook.
    ///
    /// # Errors
    /// `conflict` when there are `max` of them.
    pub async fn create_webhook(&self, owner: &WebhookOwner, new: NewWebhook, max: u32) -> Result<WebhookRow> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.add_webhook(&managing, &new, max)).await
    }

    /// One page of webhooks, oldest first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn webhooks(&self, owner: &WebhookOwner, limit: usize, cursor: Option<&str>) -> Result<Page<WebhookRow>> {
        self.store.webhooks(owner, limit, cursor)
    }

    /// One webhook.
    ///
    /// # Errors
    /// `not_found` when there is none with this id.
    pub fn webhook(&self, owner: &WebhookOwner, id: &WebhookId) -> Result<WebhookRow> {
        self.store.webhook(owner, id)
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// `not_found` when there is none with this id.
    pub async fn change_webhook(&self, owner: &WebhookOwner, id: WebhookId, change: WebhookChange) -> Result<WebhookRow> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.change_webhook(&managing, &id, &change)).await
    }

    /// Deletes a webhook with its history.
    ///
    /// # Errors
    /// `not_found` when there is none with this id.
    pub async fn delete_webhook(&self, owner: &WebhookOwner, id: WebhookId) -> Result<()> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.delete_webhook(&managing, &id)).await
    }

    /// One page of what a webhook was sent, newest first.
    ///
    /// # Errors
    /// `not_found` when there is no such webhook; `bad_request` for a cursor of another list.
    pub fn deliveries(&self, owner: &WebhookOwner, id: &WebhookId, limit: usize, cursor: Option<&str>) -> Result<Page<DeliveryRow>> {
        self.store.deliveries(owner, id, limit, cursor)
    }

    /// Sends a `ping` through the queue.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the webhook is switched off.
    pub async fn test_webhook(&self, owner: &WebhookOwner, id: WebhookId, max_attempts: u32) -> Result<DeliveryRow> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.test_webhook(&managing, &id, max_attempts)).await
    }

    /// Sends what an earlier delivery told as a new one.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the webhook is switched off.
    pub async fn redeliver(&self, owner: &WebhookOwner, id: WebhookId, of: DeliveryId, max_attempts: u32) -> Result<DeliveryRow> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.redeliver(&managing, &id, &of, max_attempts)).await
    }
}
