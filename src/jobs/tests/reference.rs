//! A small model of outbox, queue and index, by the words of the contract and not by the code. Invariant: it never looks at the
//! store; what it cannot know, the ids and the lease tokens, it is told.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::{JobId, LeaseToken};
use crate::store::{Expectation, JobKind, JobState, LeasedJob, OutboxState, Outcome};

pub(super) const LEASE_MS: i64 = 300_000;
pub(super) const BACKOFF_MS: i64 = 30_000;
pub(super) const MAX_ATTEMPTS: u64 = 3;
pub(super) const KEEP_MS: i64 = 6 * 3_600_000;
/// Where in its range the random part of every delay lies.
pub(super) const JITTER: f64 = 0.5;
const MALFORMED_DELAY_MS: i64 = 300_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// The version and whether readers see it, as the event says; malformed events say nothing.
    pub(super) about: Option<(String, bool)>,
    pub(super) state: OutboxState,
    pub(super) attempts: u64,
    pub(super) due_at: i64,
    pub(super) delivered_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// Unknown until it was seen for the first time.
    pub(super) id: Option<JobId>,
    pub(super) state: JobState,
    pub(super) expectation: Option<Expectation>,
    pub(super) attempts: u64,
    pub(super) due_at: i64,
    pub(super) lease: Option<LeaseToken>,
    pub(super) last_error: Option<String>,
    pub(super) updated_at: i64,
}

impl Job {
    fn is_live(&self) -> bool {
        matches!(self.state, JobState::Pending | JobState::Failed | JobState::Processing)
    }

    /// Whether a person must leave it to its worker.
    fn is_held(&self, now: i64) -> bool {
        self.state == JobState::Processing && self.due_at > now
    }
}

pub(super) type Key = (JobKind, String);

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) now: i64,
    pub(super) events: BTreeMap<u64, Event>,
    pub(super) jobs: BTreeMap<Key, Job>,
    /// What the index holds.
    pub(super) index: BTreeSet<String>,
    /// What readers see.
    pub(super) visible: BTreeSet<String>,
    /// What the newest event of each version said.
    pub(super) newest: BTreeMap<String, bool>,
    /// Versions whose job a person called off for good: it was removed before anybody took it up again.
    pub(super) given_up: BTreeSet<String>,
    last_seq: u64,
}

impl Queue {
    pub(super) fn happened(&mut self, about: Option<(&str, bool)>) {
        self.last_seq += 1;
        if let Some((id, is_visible)) = about {
            self.newest.insert(id.to_owned(), is_visible);
        }
        let about = about.map(|(id, is_visible)| (id.to_owned(), is_visible));
        let event = Event { about, state: OutboxState::Pending, attempts: 0, due_at: self.now, delivered_at: None };
        self.events.insert(self.last_seq, event);
    }

    pub(super) fn relay(&mut self, batch: usize) {
        let now = self.now;
        let waiting = |event: &Event| event.state == OutboxState::Pending;
        for event in self.events.values_mut().filter(|event| waiting(event) && event.attempts > 0) {
            if event.due_at > now + MALFORMED_DELAY_MS {
                event.due_at = now;
            }
        }
        let fresh = self.events.iter().filter(|(_, event)| waiting(event) && event.attempts == 0).map(|(seq, _)| *seq);
        let mut put_off: Vec<(i64, u64)> = self
            .events
            .iter()
            .filter(|(_, event)| waiting(event) && event.attempts > 0 && event.due_at <= now)
            .map(|(seq, event)| (event.due_at, *seq))
            .collect();
        put_off.sort_unstable();
        let due: Vec<u64> = fresh.chain(put_off.into_iter().map(|(_, seq)| seq)).take(batch).collect();
        for seq in due {
            let Some(event) = self.events.get_mut(&seq) else { continue };
            event.attempts += 1;
            match event.about.clone() {
                Some((id, is_visible)) => {
                    (event.state, event.delivered_at) = (OutboxState::Delivered, Some(now));
                    let expectation = if is_visible { Expectation::Visible } else { Expectation::Hidden };
                    self.enqueue((JobKind::SearchIndex, id), Some(expectation));
                }
                None => {
                    event.due_at = now + MALFORMED_DELAY_MS;
                    event.state = if event.attempts >= 5 { OutboxState::Dead } else { OutboxState::Pending };
                }
            }
        }
    }

    pub(super) fn enqueue(&mut self, key: Key, expectation: Option<Expectation>) {
        self.given_up.remove(&key.1);
        let id = self.jobs.get(&key).and_then(|job| job.id);
        let (state, now) = (JobState::Pending, self.now);
        self.jobs.insert(key, Job { id, state, expectation, attempts: 0, due_at: now, lease: None, last_error: None, updated_at: now });
    }

    /// At the start of a process: the job that removes finished work is there.
    pub(super) fn ensure_prune(&mut self, key: Key) {
        if !self.jobs.get(&key).is_some_and(Job::is_live) {
            self.enqueue(key, None);
        }
    }

    /// The jobs that a claim must give, in their order.
    pub(super) fn claim(&mut self, batch: usize) -> Vec<Key> {
        let now = self.now;
        for ((kind, _), job) in self.jobs.iter_mut().filter(|(_, job)| job.is_live()) {
            // 30 s · 2^5 and a quarter of that is more than a lease.
            let longest_ms = if *kind == JobKind::Prune { DAY_MS } else { BACKOFF_MS * 32 * 5 / 4 };
            if job.due_at > now + longest_ms {
                job.due_at = now;
            }
            if job.state == JobState::Processing && job.due_at <= now && job.attempts >= MAX_ATTEMPTS {
                (job.state, job.lease, job.updated_at) = (JobState::Dead, None, now);
                job.last_error.get_or_insert_with(|| "lease_expired".to_owned());
            }
        }
        let due = self.jobs.iter().filter(|(_, job)| job.is_live() && job.due_at <= now && job.attempts < MAX_ATTEMPTS);
        let mut due: Vec<(i64, Option<JobId>, Key)> = due.map(|(key, job)| (job.due_at, job.id, key.clone())).collect();
        due.sort();
        due.into_iter().take(batch).map(|(_, _, key)| key).collect()
    }

    pub(super) fn claimed(&mut self, key: &Key, lease: LeaseToken) -> u64 {
        let now = self.now;
        let job = self.jobs.get_mut(key).unwrap();
        (job.state, job.attempts, job.lease) = (JobState::Processing, job.attempts + 1, Some(lease));
        (job.due_at, job.updated_at) = (now + LEASE_MS, now);
        job.attempts
    }

    /// What the work must come to.
    pub(super) fn work(&mut self, job: &LeasedJob) -> Outcome {
        if job.kind == JobKind::Prune {
            return Outcome::Again(crate::domain::time::Time::from_unix_ms(self.prune()));
        }
        if self.visible.contains(&job.subject_id) {
            self.index.insert(job.subject_id.clone());
            return Outcome::Completed;
        }
        self.index.remove(&job.subject_id);
        match job.expectation {
            Some(Expectation::Visible) => Outcome::Failed("version_not_published".to_owned()),
            Some(Expectation::Hidden) | None => Outcome::Completed,
        }
    }

    fn prune(&mut self) -> i64 {
        let (now, until) = (self.now, self.now - KEEP_MS);
        let is_finished = |job: &Job| job.state == JobState::Completed || job.state == JobState::Cancelled;
        self.events.retain(|_, event| event.delivered_at.is_none_or(|at| at > until));
        for ((_, id), job) in &self.jobs {
            if job.state == JobState::Cancelled && job.updated_at <= until {
                self.given_up.insert(id.clone());
            }
        }
        self.jobs.retain(|_, job| !is_finished(job) || job.updated_at > until);
        let ended = self.jobs.values().filter(|job| is_finished(job)).map(|job| job.updated_at);
        let oldest = ended.chain(self.events.values().filter_map(|event| event.delivered_at)).min();
        oldest.map_or(now + DAY_MS, |at| at + KEEP_MS).clamp(now + HOUR_MS, now + DAY_MS)
    }

    /// Whether the outcome counts.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "delays of minutes")]
    pub(super) fn finish(&mut self, leased: &LeasedJob, outcome: &Outcome) -> bool {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&(leased.kind, leased.subject_id.clone())) else { return false };
        if job.lease != Some(leased.lease) {
            return false;
        }
        (job.lease, job.updated_at, job.due_at, job.last_error) = (None, now, now, None);
        match outcome {
            Outcome::Completed => job.state = JobState::Completed,
            Outcome::Again(at) => (job.state, job.attempts, job.due_at) = (JobState::Pending, 0, at.unix_ms()),
            Outcome::GivenUp(_) | Outcome::Untouched(_) => panic!("no job of these schedules ends so: {outcome:?}"),
            Outcome::Failed(code) | Outcome::Postponed(code) => {
                job.last_error = Some(code.clone());
                job.state = if job.attempts >= MAX_ATTEMPTS { JobState::Dead } else { JobState::Failed };
                if job.state == JobState::Failed {
                    let delay_ms = BACKOFF_MS * [1, 1, 2, 4, 8, 16, 32][usize::try_from(job.attempts).unwrap().min(6)];
                    job.due_at = now + delay_ms + (delay_ms as f64 * 0.25 * JITTER) as i64;
                }
            }
        }
        true
    }

    /// What a person does to a job; whether that is allowed.
    pub(super) fn correct(&mut self, key: &Key, to: JobState) -> bool {
        let now = self.now;
        let job = self.jobs.get_mut(key).unwrap();
        let may_cancel = key.0 != JobKind::Prune && (job.is_live() || job.state == JobState::Dead);
        if job.is_held(now) || (to == JobState::Cancelled && !may_cancel) {
            return false;
        }
        (job.state, job.attempts, job.lease, job.due_at, job.updated_at) = (to, 0, None, now, now);
        true
    }
}
