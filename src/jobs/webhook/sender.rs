//! One request to a receiver. Invariant: it ends within its time, reads a few KiB of the answer at most, follows few redirects and
//! none that would change it, reaches no private address unless that is allowed, and tells nobody its secret or its query.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::address::{AddressRefused, NameUnknown, Reach, Resolver};
use crate::clock::deadline_after_ms;
use crate::config::Webhooks;
use crate::domain::time::Time;
use crate::domain::webhook::Target;
use crate::error::{Error, Result};
use crate::store::{Attempt, Sendable};

/// Redirects of one attempt.
const REDIRECTS_LIMIT: usize = 3;
/// Bytes of an answer that are read at most.
const READ_LIMIT_BYTES: usize = 4096;
/// Characters of an answer that are kept.
const KEPT_CHARS: usize = 1024;

/// The receiver did not answer in time.
pub(super) const TIMED_OUT: &str = "timed_out";
/// The receiver cannot be reached.
pub(super) const CONNECT_FAILED: &str = "connect_failed";

/// Sends requests to webhooks.
pub(in crate::jobs) struct Sender {
    settings: Webhooks,
    /// Milliseconds in which a batch may begin requests.
    window_ms: u64,
    clients: Mutex<Option<Clients>>,
}

/// The clients, made when the first request is due: reading the machine's trust store takes a while.
#[derive(Clone)]
pub(super) struct Clients {
    public: Client,
    everywhere: Client,
}

/// Why an attempt was no delivery.
struct Fault {
    code: String,
    status: Option<u16>,
}

impl From<&'static str> for Fault {
    fn from(code: &'static str) -> Fault {
        Fault { code: code.to_owned(), status: None }
    }
}

impl Sender {
    /// A sender whose batches end well within a lease.
    pub(in crate::jobs) fn new(mut settings: Webhooks, lease_ms: i64) -> Sender {
        // A batch takes its window and one attempt more.
        let share_ms = u64::try_from(lease_ms / 3).unwrap_or(0).max(1);
        settings.timeout_ms = settings.timeout_ms.min(share_ms);
        Sender { settings, window_ms: settings.timeout_ms, clients: Mutex::new(None) }
    }

    /// How requests are made.
    pub(super) fn settings(&self) -> &Webhooks {
        &self.settings
    }

    /// The moment after which a batch that begins now begins no more requests.
    pub(super) fn window(&self) -> Instant {
        deadline_after_ms(self.window_ms)
    }

    /// The clients.
    ///
    /// # Errors
    /// Internal when they cannot be made.
    pub(super) fn clients(&self) -> Result<Clients> {
        let mut kept = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = &*kept {
            return Ok(clients.clone());
        }
        let made = Clients { public: self.client(Reach::Public)?, everywhere: self.client(Reach::Everywhere)? };
        *kept = Some(made.clone());
        Ok(made)
    }

    fn client(&self, reach: Reach) -> Result<Client> {
        // The first provider of a process stays; another one installed before serves as well.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        match self.builder(reach).build() {
            Ok(client) => Ok(client),
            Err(cause) => {
                tracing::warn!(%cause, "this machine's certificates cannot be read; webhooks reach http:// addresses only");
                let without = self.builder(reach).tls_certs_only([]).build();
                without.map_err(|cause| Error::internal("making the client of webhooks", cause))
            }
        }
    }

    fn builder(&self, reach: Reach) -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("artifortress/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .http1_only()
            // A connection serves one request, so none is open while nothing is sent, and none goes stale.
            .pool_max_idle_per_host(0)
            .connect_timeout(Duration::from_millis(self.settings.connect_timeout_ms))
            .dns_resolver(Resolver(reach))
    }

    /// Sends a delivery once. `now` is what its timestamp says.
    pub(super) async fn send(&self, clients: &Clients, delivery: &Sendable, now: Time) -> Attempt {
        let started = deadline_after_ms(0);
        let deadline = deadline_after_ms(self.settings.timeout_ms);
        let answered = timeout_at(deadline, self.follow(clients, delivery, now)).await;
        let (status, error, response) = match answered.unwrap_or_else(|_| Err(TIMED_OUT.into())) {
            Ok(answer) => {
                let status = answer.status();
                let text = beginning(answer, deadline).await;
                let error = if status.is_success() { None } else { Some(format!("http_{}", status.as_u16())) };
                (Some(status.as_u16()), error, text)
            }
            Err(fault) => (fault.status, Some(fault.code), None),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Attempt { at: now, duration_ms, status, error, response }
    }

    /// The answer to the request, or to what it was redirected to.
    async fn follow(&self, clients: &Clients, delivery: &Sendable, now: Time) -> Result<Response, Fault> {
        let redirects_reach = if self.settings.allow_private_addresses { Reach::Everywhere } else { Reach::Public };
        // Who runs the instance typed the address of its webhook and may call whom he likes; a redirect is somebody else's word.
        let mut reach = if delivery.repo.is_none() { Reach::Everywhere } else { redirects_reach };
        let mut url = delivery.target.url().clone();
        for _ in 0..=REDIRECTS_LIMIT {
            let answer = request(clients, reach, &url, delivery, now).await?;
            let Some(next) = redirect(&answer, &url)? else { return Ok(answer) };
            url = next;
            reach = redirects_reach;
        }
        Err("too_many_redirects".into())
    }
}

async fn request(clients: &Clients, reach: Reach, url: &Url, delivery: &Sendable, now: Time) -> Result<Response, Fault> {
    if !reach.covers_literal(url) {
        return Err("address_refused".into());
    }
    let client = match reach {
        Reach::Public => &clients.public,
        Reach::Everywhere => &clients.everywhere,
    };
    let timestamp = now.unix_ms().div_euclid(1000).to_string();
    let signature = delivery.secret.sign(&timestamp, &delivery.body).map_err(|_| Fault::from("signing_failed"))?;
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("X-Artifortress-Event", delivery.event.as_str())
        .header("X-Artifortress-Delivery", delivery.id.to_string())
        .header("X-Artifortress-Timestamp", timestamp)
        .header("X-Artifortress-Signature", signature)
        .body(delivery.body.clone());
    request.send().await.map_err(|error| code_of(&error).into())
}

/// Where an answer redirects to; `None` for one that does not. Only a redirect that keeps method and body is followed.
fn redirect(answer: &Response, from: &Url) -> Result<Option<Url>, Fault> {
    let status = answer.status();
    if !status.is_redirection() {
        return Ok(None);
    }
    let refused = || Fault { code: "redirect_refused".to_owned(), status: Some(status.as_u16()) };
    let keeps_request = ["307", "308"].contains(&status.as_str());
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).filter(|_| keeps_request);
    let next = location.and_then(|text| from.join(text).ok()).filter(Target::is_well_formed).ok_or_else(refused)?;
    if from.scheme() == "https" && next.scheme() != "https" {
        return Err(refused());
    }
    Ok(Some(next))
}

/// The beginning of an answer as text that any terminal can show. An answer that breaks off or goes on for ever is an answer.
async fn beginning(mut answer: Response, deadline: Instant) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < READ_LIMIT_BYTES
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, answer.chunk()).await
    {
        let room = READ_LIMIT_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    let shown = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    let text: String = String::from_utf8_lossy(&bytes).chars().take(KEPT_CHARS).map(shown).collect();
    (!text.is_empty()).then_some(text)
}

/// The code of a request without an answer. The error's own words name the address with its query, and stay here.
fn code_of(error: &reqwest::Error) -> &'static str {
    let is = |look: fn(&(dyn StdError + 'static)) -> bool| causes(error).any(look);
    if is(|cause| cause.is::<AddressRefused>()) {
        "address_refused"
    } else if is(|cause| cause.is::<NameUnknown>()) {
        "name_unknown"
    } else if is(is_tls) {
        "tls_failed"
    } else if error.is_timeout() {
        TIMED_OUT
    } else if error.is_connect() {
        CONNECT_FAILED
    } else {
        "no_answer"
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// Whether a cause is of TLS. Inside I/O errors, of which there may be several around each other, it is no source but their content.
fn is_tls(cause: &(dyn StdError + 'static)) -> bool {
    let content = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || content.is_some_and(|content| is_tls(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_and_its_last_attempt_end_within_two_thirds_of_the_lease() {
        for (timeout_ms, lease_ms) in [(10_000, 300_000), (60_000, 30_000), (60_000, 1_000), (100, 1)] {
            let sender = Sender::new(Webhooks { timeout_ms, ..Webhooks::default() }, lease_ms);
            let longest_ms = sender.window_ms + sender.settings().timeout_ms;
            assert!(longest_ms <= (u64::try_from(lease_ms).unwrap() * 2 / 3).max(2), "{timeout_ms} {lease_ms}: {longest_ms}");
        }
    }
}
