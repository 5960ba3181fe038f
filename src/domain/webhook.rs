//! Webhooks: where they point, what they are told, how it is signed, what is remembered of them. Invariant: a secret is never
//! shown by `Debug`, and what goes into the audit or the log of an address is without its query, which may hold one too.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::digest;
use super::event::AuditEntry;
use super::id::{DeliveryId, EventId, WebhookId};
use super::lifecycle::text_enum;
use super::name::RepoKey;
use super::outbox::OutboxKind;
pub use super::owner::Owner as WebhookOwner;
use super::time::Time;
use crate::error::{Error, Result};

/// Bytes of an address at most.
const URL_LIMIT_BYTES: usize = 2048;
/// Characters of a secret.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;
/// The event of a test call; no outbox event has it.
pub const PING: &str = "ping";
/// Members of an outbox payload that a receiver is told. All of them are coordinates, states, or who fetched what is held; content and words of reviewers
/// are never among them.
const TOLD: &[&str] =
    &["repoKey", "versionId", "purl", "state", "visible", "revision", "fetchedBy", "advisoryDigest", "recordCount", "changedCount"];

text_enum! {
    /// How a delivery ended, when it was not given up.
    DeliveryOutcome "delivery outcome" {
        /// The receiver took it.
        Delivered "delivered",
        /// Its webhook was switched off before it was sent.
        Skipped "skipped",
    }
}

text_enum! {
    /// Where a delivery stands.
    DeliveryState "delivery state" {
        /// It is tried, or tried again.
        Pending "pending",
        /// The receiver took it.
        Delivered "delivered",
        /// Its webhook was switched off before it was sent.
        Skipped "skipped",
        /// Given up after the last attempt.
        Dead "dead",
        /// Its job was called off by a person.
        Cancelled "cancelled",
    }
}

/// Where a webhook points: http or https, without user name, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// The address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether a redirect may lead to `url`: by its form, not by its addresses.
    #[must_use]
    pub fn is_well_formed(url: &Url) -> bool {
        let has_user = !url.username().is_empty() || url.password().is_some();
        ["http", "https"].contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()) && !has_user
    }

    /// Host and port: deliveries to one of them take turns.
    #[must_use]
    pub fn receiver(&self) -> String {
        format!("{}:{}", self.0.host_str().unwrap_or_default(), self.0.port_or_known_default().unwrap_or_default())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        let hint = |what: &str| Error::bad_request(format!("url {what}; write one such as https://hooks.example.test/artifortress?key=1"));
        if text.len() > URL_LIMIT_BYTES {
            return Err(hint(&format!("is longer than {URL_LIMIT_BYTES} bytes")));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(hint("has a space or a control character"));
        }
        let url = Url::parse(text).map_err(|_| hint("is no address"))?;
        if !Target::is_well_formed(&url) {
            return Err(hint("must begin with http:// or https://, name a host, and have no user name or password"));
        }
        if url.fragment().is_some() {
            return Err(hint("must not have a fragment (#…)"));
        }
        Ok(Target(url))
    }
}

/// Scheme, host and path; never the query.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{}{port}{}", self.0.scheme(), self.0.host_str().unwrap_or_default(), self.0.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What requests to a webhook are signed with; the receiver knows it too.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

impl WebhookSecret {
    /// The text for 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> WebhookSecret {
        WebhookSecret(format!("afwh_{}", digest::hex(&bits)))
    }

    /// The text, to be stored and to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The signature of a request: `sha256=` and the hex digits of HMAC-SHA256 over `timestamp`, a dot and the body.
    ///
    /// # Errors
    /// Internal, when the secret cannot be a key; every text can.
    pub fn sign(&self, timestamp: &str, body: &str) -> Result<String> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).map_err(|cause| Error::internal("signing a request", cause.to_string()))?;
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        Ok(format!("sha256={}", digest::hex(&mac.finalize().into_bytes())))
    }
}

impl FromStr for WebhookSecret {
    type Err = Error;

    fn from_str(text: &str) -> Result<WebhookSecret> {
        if SECRET_LENGTHS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(WebhookSecret(text.to_owned()));
        }
        let (least, most) = (SECRET_LENGTHS.start(), SECRET_LENGTHS.end());
        Err(Error::bad_request(format!("secret must be {least} to {most} visible ASCII characters; leave it out to have one made")))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// The body of every request of a delivery: which it is, what happened when, and those members of the event's payload that a
/// receiver may know.
#[must_use]
pub fn body_of(id: &DeliveryId, event: &str, happened: (Option<EventId>, Time), payload: &Value) -> String {
    let (event_id, occurred_at) = happened;
    let told = TOLD.iter().filter_map(|name| Some(((*name).to_owned(), payload.get(name)?.clone())));
    let mut body: Map<String, Value> = told.collect();
    body.insert("id".to_owned(), json!(id));
    body.insert("event".to_owned(), json!(event));
    body.insert("eventId".to_owned(), json!(event_id));
    body.insert("occurredAt".to_owned(), json!(occurred_at));
    body.entry("repoKey").or_insert(Value::Null);
    Value::Object(body).to_string()
}

/// The kinds a webhook asks for, each once; none stands for all of them.
#[must_use]
pub fn distinct_events(mut events: Vec<OutboxKind>) -> Vec<OutboxKind> {
    events.sort_unstable();
    events.dedup();
    events
}

/// A webhook as the audit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedWebhook {
    /// The webhook.
    pub id: WebhookId,
    /// Its repo, or `None` for the instance.
    pub repo: Option<RepoKey>,
    /// Where it points.
    pub target: Target,
}

/// What happened to a webhook by somebody's order. What it is sent is no happening: its history tells that.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookEvent {
    /// It was created; with what it asks for.
    Created(NamedWebhook, Value),
    /// It was changed; with what changed, never the secret.
    Updated(NamedWebhook, Value),
    /// It was deleted.
    Deleted(NamedWebhook),
    /// A test call was asked for.
    Tested(NamedWebhook, DeliveryId),
    /// A delivery is sent anew: the first as the second.
    Redelivered(NamedWebhook, DeliveryId, DeliveryId),
}

impl WebhookEvent {
    /// The audit row.
    #[must_use]
    pub fn audit(&self) -> AuditEntry {
        let (action, webhook, mut details) = match self {
            WebhookEvent::Created(webhook, details) => ("webhook.created", webhook, details.clone()),
            WebhookEvent::Updated(webhook, details) => ("webhook.updated", webhook, details.clone()),
            WebhookEvent::Deleted(webhook) => ("webhook.deleted", webhook, json!({})),
            WebhookEvent::Tested(webhook, delivery) => ("webhook.tested", webhook, json!({"deliveryId": delivery})),
            WebhookEvent::Redelivered(webhook, of, delivery) => {
                ("webhook.redelivered", webhook, json!({"deliveryId": delivery, "redeliveryOf": of}))
            }
        };
        if let Some(members) = details.as_object_mut() {
            members.insert("repoKey".to_owned(), json!(webhook.repo));
            members.insert("target".to_owned(), json!(webhook.target.to_string()));
        }
        AuditEntry { action, resource_type: "webhook", resource_id: webhook.id.to_string(), details }
    }

    /// Whether a job is due after it.
    #[must_use]
    pub fn enqueues(&self) -> bool {
        matches!(self, WebhookEvent::Tested(..) | WebhookEvent::Redelivered(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_or_https_without_user_fragment_or_spaces() {
        for good in ["http://hooks.test/x", "https://hooks.test:8443/x?key=1", "http://[::1]:80/", "https://10.0.0.1"] {
            assert!(good.parse::<Target>().is_ok(), "{good}");
        }
        let long = format!("https://hooks.test/{}", "x".repeat(URL_LIMIT_BYTES));
        for bad in [
            "",
            "hooks.test",
            "ftp://hooks.test/",
            "file:///etc/passwd",
            "http://",
            "http://ann@hooks.test/",
            "http://ann:b@hooks.test/",
            "https://hooks.test/#part",
            "https://hooks.test/ x",
            "https://hooks.test/\n",
            long.as_str(),
        ] {
            assert!(bad.parse::<Target>().unwrap_err().message().starts_with("url "), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_of_an_address_is_without_its_query() {
        let target: Target = "https://Hooks.test:8443/a/b?key=hush".parse().unwrap();
        assert_eq!(target.to_string(), "https://hooks.test:8443/a/b");
        assert!(!format!("{target:?}").contains("hush"));
        assert_eq!((target.receiver().as_str(), target.url().as_str()), ("hooks.test:8443", "https://hooks.test:8443/a/b?key=hush"));
        assert_eq!("https://hooks.test/".parse::<Target>().unwrap().receiver(), "hooks.test:443");
    }

    /// The digits were made with another program: `printf '1780315200.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn a_signature_is_the_hmac_of_timestamp_dot_body() {
        let secret: WebhookSecret = "0123456789abcdef".parse().unwrap();
        assert_eq!(secret.sign("1780315200", "{}").unwrap(), "sha256=82c1fe73b53c608b282070a0def4dd24acb164050bbaeb9f93d6c1a1ff08ced0");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
    }

    #[test]
    fn a_secret_is_long_enough_visible_and_made_when_wanted() {
        for bad in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé", &"x".repeat(257)] {
            assert!(bad.parse::<WebhookSecret>().is_err(), "{bad}");
        }
        let made = WebhookSecret::from_random([7; 32]);
        assert_eq!(made.reveal().parse::<WebhookSecret>().unwrap(), made);
    }

    #[test]
    fn a_body_tells_what_is_on_the_list_and_nothing_else() {
        let id = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55".parse().unwrap();
        let payload = json!({"versionId": "v", "repoKey": "main", "reason": "hush", "comment": "hush", "manifest": {}});
        let body: Value = serde_json::from_str(&body_of(&id, PING, (None, Time::from_unix_ms(0)), &payload)).unwrap();
        let mut members: Vec<&String> = body.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["event", "eventId", "id", "occurredAt", "repoKey", "versionId"]);
        assert!(body_of(&id, PING, (None, Time::from_unix_ms(0)), &Value::Null).contains("\"repoKey\":null"));
    }
}
