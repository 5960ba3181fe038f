//! The loop that keeps the workers busy. Invariant: one task looks at the queue and hands out batches; it marks a wake-up as seen
//! before it looks, so none is lost, and sleeps until the next due time, so an idle process does not stir.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::kinds::Lane;
use super::relay;
use super::worker::Worker;
use crate::domain::time::Time;
use crate::error::Result;
use crate::hop;
use crate::pulse::{Questions, Workers};

/// Milliseconds after a failure of the store until the next try.
const FAILURE_PAUSE_MS: u64 = 5_000;
/// The longest sleep while something waits for its time: the machine's clock may be set, or have stood still in a suspend.
const LONGEST_SLEEP_MS: u64 = 600_000;
/// The least sleep when work is due that could not be claimed a moment ago.
const SHORTEST_SLEEP_MS: u64 = 20;

/// How long there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing is due for so many milliseconds.
    For(u64),
    /// Until a wake-up or the end of a batch.
    UntilWoken,
}

/// Relays and dispatches until `stop` is cancelled, then waits for the batches that run.
pub(super) async fn run(worker: Worker, workers: usize, mut questions: Questions, stop: CancellationToken) {
    let mut wakes = worker.store().queue_wakes();
    let mut dispatcher = Dispatcher::new(worker, workers);
    while !stop.is_cancelled() {
        wakes.mark_unchanged();
        let rest = match dispatcher.answering_round(&mut questions).await {
            Ok(rest) => rest,
            Err(error) => {
                tracing::error!(?error, "the queue cannot be worked now; trying again");
                // Wake-ups are not listened to here, and not lost: they stay unseen.
                dispatcher.pause(&mut questions, &stop).await;
                continue;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = dispatcher.running.join_next_with_id() => dispatcher.end(ended),
            Ok(()) = wakes.changed() => {}
            () = sleep(rest) => {}
            () = questions.next() => questions.answer(dispatcher.condition().now(dispatcher.now())),
        }
    }
    while let Some(ended) = dispatcher.running.join_next_with_id().await {
        dispatcher.end(ended);
    }
}

struct Dispatcher {
    worker: Worker,
    /// Batches of one lane that run side by side.
    workers: usize,
    running: JoinSet<Result<()>>,
    /// The lane of each running batch, and when it began.
    lanes: HashMap<Id, (Lane, Time)>,
    /// How the last round went: `Working` or `Failing`.
    last_round: Workers,
}

/// What a question is answered from.
struct Condition {
    last_round: Workers,
    /// When the oldest of what runs began.
    began: Time,
    lease_ms: i64,
}

impl Condition {
    fn now(&self, now: Time) -> Workers {
        if now > self.began.plus_ms(self.lease_ms) { Workers::Overdue } else { self.last_round }
    }
}

impl Dispatcher {
    fn new(worker: Worker, workers: usize) -> Dispatcher {
        Dispatcher { worker, workers: workers.max(1), running: JoinSet::new(), lanes: HashMap::new(), last_round: Workers::Working }
    }

    fn now(&self) -> Time {
        self.worker.store().clock().now()
    }

    /// What there is to say to a question now.
    fn condition(&self) -> Condition {
        let began = self.lanes.values().map(|(_, began)| *began).min();
        Condition { last_round: self.last_round, began: began.unwrap_or(self.now()), lease_ms: self.worker.limits().lease_ms }
    }

    /// A round, during which questions are answered too: it may take long when there is much to do, and hang when something is wrong.
    async fn answering_round(&mut self, questions: &mut Questions) -> Result<Rest> {
        let (clock, condition) = (Arc::clone(self.worker.store().clock()), self.condition());
        let rest = {
            let mut round = pin!(self.round());
            loop {
                tokio::select! {
                    rest = &mut round => break rest,
                    () = questions.next() => questions.answer(condition.now(clock.now())),
                }
            }
        };
        self.last_round = if rest.is_ok() { Workers::Working } else { Workers::Failing };
        rest
    }

    /// Lets some time go by after a failure.
    async fn pause(&self, questions: &mut Questions, stop: &CancellationToken) {
        let mut pause = pin!(tokio::time::sleep(Duration::from_millis(FAILURE_PAUSE_MS)));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut pause => return,
                () = questions.next() => questions.answer(self.condition().now(self.now())),
            }
        }
    }

    /// Relays what is due and gives each free worker a batch.
    async fn round(&mut self) -> Result<Rest> {
        relay::drain(self.worker.store(), self.worker.limits()).await?;
        for lane in Lane::ALL {
            while self.is_free(lane) {
                let batch = self.worker.claim(&[lane]).await?;
                if batch.is_empty() {
                    break;
                }
                let worker = self.worker.clone();
                let task = self.running.spawn(async move { worker.run(batch).await });
                self.lanes.insert(task.id(), (lane, self.now()));
            }
        }
        self.rest().await
    }

    fn is_free(&self, lane: Lane) -> bool {
        self.lanes.values().filter(|(running, _)| *running == lane).count() < self.workers
    }

    /// Frees the place of a batch that ended.
    fn end(&mut self, ended: Result<(Id, Result<()>), JoinError>) {
        let (id, failure) = match ended {
            Ok((id, result)) => (id, result.err().map(|error| format!("{error:?}"))),
            Err(cause) => (cause.id(), Some(cause.to_string())),
        };
        self.lanes.remove(&id);
        if let Some(failure) = failure {
            tracing::error!(failure, "a batch could not be finished; its jobs are claimed again when their leases end");
        }
    }

    /// What to do when nothing more can be claimed. What is due for a lane without a free worker is looked at when a batch ends.
    async fn rest(&self) -> Result<Rest> {
        let free: Vec<Lane> = Lane::ALL.into_iter().filter(|lane| self.is_free(*lane)).collect();
        let (store, kinds) = (Arc::clone(self.worker.store()), self.worker.kinds(&free));
        let due_at = hop::run(move || store.next_due(&kinds)).await?;
        let now = self.worker.store().clock().now();
        Ok(match due_at {
            Some(at) => {
                let wait_ms = u64::try_from(at.unix_ms().saturating_sub(now.unix_ms())).unwrap_or(0);
                Rest::For(wait_ms.clamp(SHORTEST_SLEEP_MS, LONGEST_SLEEP_MS))
            }
            None => Rest::UntilWoken,
        })
    }
}

async fn sleep(rest: Rest) {
    match rest {
        Rest::For(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Rest::UntilWoken => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
