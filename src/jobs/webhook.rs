//! Telling webhooks what happened. Invariant: each attempt is remembered as soon as it ends, so a delivery that was taken is not
//! sent again by whoever claims its job next; one that was in flight when the process died is. A batch ends well within its lease,
//! and a receiver that is slow or silent takes no more than its own share of it.

mod address;
mod sender;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::kinds::Tools;
use crate::clock::deadline_after_ms;
use crate::domain::access::Actor;
use crate::domain::webhook::DeliveryOutcome;
use crate::error::Result;
use crate::hop;
use crate::store::{Attempt, LeasedJob, Outcome, Sendable, Store};
pub(super) use sender::Sender;
use sender::{CONNECT_FAILED, Clients, TIMED_OUT};

/// The job names no delivery, or its row cannot be read.
const MALFORMED_SUBJECT: &str = "malformed_subject";
/// The delivery could not be read, or its end not be written.
const STORE_UNAVAILABLE: &str = "store_unavailable";
/// The client cannot be made.
const CLIENT_UNAVAILABLE: &str = "client_unavailable";
/// What a receiver answers that is gone for good.
const GONE: u16 = 410;
/// Milliseconds until a job is claimed again whose turn did not come: others that wait are claimed before it.
const TURN_DELAY_MS: i64 = 5_000;
/// Milliseconds until a silent receiver is tried again with what was not sent.
const SILENT_DELAY_MS: i64 = 30_000;

/// A delivery with the place of its job in the batch.
struct Turn {
    index: usize,
    delivery: Sendable,
    receiver: String,
}

/// Sends the deliveries of these jobs and says how each ended, in their order.
pub(super) async fn run(tools: &Tools, jobs: &[LeasedJob]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; jobs.len()];
    let mut turns = VecDeque::new();
    for (index, found) in find(&tools.store, jobs).await.into_iter().enumerate() {
        match found {
            Ok(delivery) => turns.push_back(Turn { index, receiver: delivery.target.receiver(), delivery }),
            Err(outcome) => outcomes[index] = Some(outcome),
        }
    }
    if !turns.is_empty() {
        let sender = Arc::clone(&tools.sender);
        match hop::run(move || sender.clients()).await {
            Ok(clients) => send_all(tools, &clients, turns, &mut outcomes).await,
            Err(error) => tracing::error!(?error, "webhooks cannot be told anything now; their jobs are tried again"),
        }
    }
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::Postponed(CLIENT_UNAVAILABLE.to_owned()))).collect()
}

/// What each job is to send; `Err` for those that have nothing to send.
async fn find(store: &Arc<Store>, jobs: &[LeasedJob]) -> Vec<Result<Sendable, Outcome>> {
    let (source, subjects) = (Arc::clone(store), jobs.iter().map(|job| job.subject_id.parse().ok()).collect::<Vec<_>>());
    let read = hop::run(move || Ok(subjects.iter().map(|id| id.as_ref().map(|id| source.find_sendable(id))).collect::<Vec<_>>())).await;
    let Ok(read) = read else {
        return jobs.iter().map(|_| Err(Outcome::Postponed(STORE_UNAVAILABLE.to_owned()))).collect();
    };
    let mut found = Vec::with_capacity(jobs.len());
    for (job, row) in jobs.iter().zip(read) {
        found.push(match row {
            None => Err(Outcome::Failed(MALFORMED_SUBJECT.to_owned())),
            Some(Err(error)) => {
                tracing::error!(?error, delivery = job.subject_id, "a delivery cannot be read");
                Err(Outcome::Failed(STORE_UNAVAILABLE.to_owned()))
            }
            // Deleted with its webhook.
            Some(Ok(None)) => Err(Outcome::Completed),
            Some(Ok(Some(delivery))) if delivery.outcome.is_some() => Err(Outcome::Completed),
            Some(Ok(Some(delivery))) if !delivery.active => Err(skip(store, &delivery).await),
            Some(Ok(Some(delivery))) => Ok(delivery),
        });
    }
    found
}

async fn skip(store: &Store, delivery: &Sendable) -> Outcome {
    let id = delivery.id;
    match store.bookkeep(move |books| books.end_delivery(&id, DeliveryOutcome::Skipped)).await {
        Ok(()) => Outcome::Completed,
        Err(_) => Outcome::Postponed(STORE_UNAVAILABLE.to_owned()),
    }
}

/// Sends as many as the time of a batch and the order to stop allow, some at once and few to one receiver.
async fn send_all(tools: &Tools, clients: &Clients, mut waiting: VecDeque<Turn>, outcomes: &mut [Option<Outcome>]) {
    let settings = *tools.sender.settings();
    let window = tools.sender.window();
    let mut busy: HashMap<String, usize> = HashMap::new();
    let mut silent: HashSet<String> = HashSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < settings.concurrent && deadline_after_ms(0) < window && !tools.stop.is_cancelled() {
            let is_free = |turn: &Turn| {
                !silent.contains(&turn.receiver) && busy.get(&turn.receiver).copied().unwrap_or(0) < settings.concurrent_per_receiver
            };
            let Some(turn) = waiting.iter().position(is_free).and_then(|place| waiting.remove(place)) else { break };
            *busy.entry(turn.receiver.clone()).or_default() += 1;
            running.push(async move {
                let outcome = send(tools, clients, &turn.delivery).await;
                (turn, outcome)
            });
        }
        let Some((turn, (outcome, is_silent))) = running.next().await else { break };
        if let Some(count) = busy.get_mut(&turn.receiver) {
            *count -= 1;
        }
        outcomes[turn.index] = Some(outcome);
        if is_silent == Silence::Yes {
            silent.insert(turn.receiver);
        }
    }
    let now = tools.store.clock().now();
    for turn in waiting {
        let delay_ms = if silent.contains(&turn.receiver) { SILENT_DELAY_MS } else { TURN_DELAY_MS };
        outcomes[turn.index] = Some(Outcome::Untouched(now.plus_ms(delay_ms)));
    }
}

/// Whether a receiver cannot be reached or says nothing, so that the next request to it would only wait too. What is refused before
/// a connection is made says nothing of the receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    Yes,
    No,
}

async fn send(tools: &Tools, clients: &Clients, delivery: &Sendable) -> (Outcome, Silence) {
    let attempt = tools.sender.send(clients, delivery, tools.store.clock().now()).await;
    let silence = if matches!(attempt.error.as_deref(), Some(TIMED_OUT | CONNECT_FAILED)) { Silence::Yes } else { Silence::No };
    tools.store.metrics().webhooks.attempted(attempt.status, attempt.error.as_deref(), attempt.duration_ms);
    let outcome = outcome_of(&attempt);
    if let Some(code) = &attempt.error {
        tracing::info!(webhook = %delivery.webhook_id, target = %delivery.target, delivery = %delivery.id, code, "a webhook was not told");
    }
    if attempt.status == Some(GONE) {
        switch_off(&tools.store, delivery).await;
    }
    let (sent, keep) = (delivery.clone(), tools.sender.settings().keep_deliveries);
    match tools.store.bookkeep(move |books| books.record_attempt(&sent, &attempt, keep)).await {
        Ok(()) => (outcome, silence),
        Err(error) => {
            tracing::error!(?error, delivery = %delivery.id, "how a delivery went could not be written; it may be sent again");
            (unwritten(outcome), silence)
        }
    }
}

/// The outcome of an attempt that is not remembered. A job that is done would stand beside a delivery that is not.
fn unwritten(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Completed => Outcome::Postponed(STORE_UNAVAILABLE.to_owned()),
        Outcome::Failed(_) | Outcome::Postponed(_) | Outcome::Again(_) | Outcome::GivenUp(_) | Outcome::Untouched(_) => outcome,
    }
}

fn outcome_of(attempt: &Attempt) -> Outcome {
    match &attempt.error {
        None => Outcome::Completed,
        Some(code) if attempt.status == Some(GONE) => Outcome::GivenUp(code.clone()),
        Some(code) => Outcome::Failed(code.clone()),
    }
}

/// A receiver that says it is gone for good is not asked again.
async fn switch_off(store: &Store, delivery: &Sendable) {
    let id = delivery.webhook_id;
    tracing::warn!(webhook = %id, target = %delivery.target, "the receiver of a webhook is gone for good (410); the webhook is switched off");
    if let Err(error) = store.write(&Actor::system("webhooks"), move |tx| tx.switch_off_webhook(&id, "http_410")).await {
        tracing::error!(?error, webhook = %id, "the webhook could not be switched off");
    }
}

#[cfg(test)]
mod tests;
