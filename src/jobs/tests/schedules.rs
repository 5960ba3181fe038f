//! Random schedules of publishing, reviewing, relaying, working, crashing and moving the clock, on a real store against
//! `reference.rs`. Invariant: after every step outbox and queue are row by row what the model says, so nothing is lost, delivered
//! twice or changed without the lease; once quiet, the index is exactly what readers see.
//!
//! A failure prints the shortest schedule found and keeps its seed beside this file, where the next run tries it first;
//! `PROPTEST_CASES` asks for more cases than usual.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use super::reference::{self, BACKOFF_MS, JITTER, KEEP_MS, Key, LEASE_MS, MAX_ATTEMPTS, Queue};
use super::*;
use crate::domain::id::QuarantineId;
use crate::domain::quarantine::Ballot;
use crate::jobs::kinds;
use crate::store::{Expectation, JobKind, JobState, LeasedJob, Outcome, check};

const MINUTE_MS: i64 = 60_000;
const WORKERS: usize = 3;
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/jobs/tests/schedules.seeds");

#[derive(Debug, Clone, Copy)]
enum Op {
    Draft,
    Publish(usize),
    Hold(usize),
    Vote(usize, Ballot),
    Tombstone(usize),
    Restore(usize),
    /// An event that names no version.
    Malformed,
    /// An event that says readers see a version, whether they do or not.
    Untrue(usize),
    Relay(usize),
    Claim(usize, usize),
    Work(usize),
    Finish(usize),
    /// A worker is gone with what it held.
    Lose(usize),
    /// The process is gone with everything that was held.
    Crash,
    Clock(i64),
    Correct(usize, JobState),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let number = || 0_usize..4;
    let worker = || 0..WORKERS;
    let minutes = prop::sample::select(vec![1, 2, 5, 6, 21, 60, 7 * 60, 26 * 60, 80 * 60]);
    let op = prop_oneof![
        2 => Just(Op::Draft),
        5 => number().prop_map(Op::Publish),
        4 => number().prop_map(Op::Hold),
        5 => (number(), prop_oneof![3 => Just(Ballot::Release), 1 => Just(Ballot::Reject)]).prop_map(|(number, ballot)| Op::Vote(number, ballot)),
        2 => number().prop_map(Op::Tombstone),
        3 => number().prop_map(Op::Restore),
        1 => Just(Op::Malformed),
        1 => number().prop_map(Op::Untrue),
        4 => (1_usize..5).prop_map(Op::Relay),
        8 => (worker(), 1_usize..4).prop_map(|(worker, batch)| Op::Claim(worker, batch)),
        8 => worker().prop_map(Op::Work),
        8 => worker().prop_map(Op::Finish),
        1 => worker().prop_map(Op::Lose),
        1 => Just(Op::Crash),
        6 => minutes.clone().prop_map(|minutes| Op::Clock(minutes * MINUTE_MS)),
        5 => minutes.prop_map(|minutes| Op::Clock(-minutes * MINUTE_MS)),
        1 => number().prop_map(|number| Op::Correct(number, JobState::Cancelled)),
        1 => number().prop_map(|number| Op::Correct(number, JobState::Pending)),
    ];
    proptest::collection::vec(op, 40..160)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Draft,
    Published,
    Held(QuarantineId),
    Rejected,
    Tombstoned {
        since: i64,
    },
    /// Taken back after it was rejected, or too long ago.
    Gone,
}

/// What a worker holds, and how it ended once it was worked on.
type Held = (Vec<LeasedJob>, Option<Vec<Outcome>>);

struct Run {
    world: Option<World>,
    versions: Vec<(VersionId, Standing)>,
    workers: Vec<Option<Held>>,
    queue: Queue,
    /// To look at what is on disk.
    catalogue: Connection,
    index: Connection,
}

fn prune_key() -> Key {
    (JobKind::Prune, "finished_work".to_owned())
}

impl Run {
    async fn new() -> Run {
        let mut world = World::new().await;
        let limits =
            QueueLimits { batch: 100, lease_ms: LEASE_MS, max_attempts: u32::try_from(MAX_ATTEMPTS).unwrap(), backoff_ms: BACKOFF_MS };
        world.settings = JobSettings { workers: WORKERS, limits, keep_finished_ms: KEEP_MS, ..JobSettings::default() };
        world.quiet().await;
        let queue = Queue::default();
        let (catalogue, index) = (world.raw(), Connection::open(world.index_path()).unwrap());
        let mut run = Run { world: Some(world), versions: Vec::new(), workers: vec![None; WORKERS], queue, catalogue, index };
        run.begin().await;
        run
    }

    /// What a process does when it starts.
    async fn begin(&mut self) {
        let max_attempts = self.world().settings.limits.max_attempts;
        prune::ensure(Arc::clone(&self.world().store), max_attempts, CancellationToken::new()).await;
        self.queue.now = self.world().clock.now().unix_ms();
        self.queue.ensure_prune(prune_key());
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    async fn step(&mut self, op: Op) {
        self.world().clock.advance_ms(1);
        self.queue.now = self.world().clock.now().unix_ms();
        match op {
            Op::Draft | Op::Publish(_) | Op::Hold(_) | Op::Vote(..) | Op::Tombstone(_) | Op::Restore(_) => self.author(op).await,
            Op::Malformed => {
                self.world().insert_event_row("{}");
                self.queue.happened(None);
            }
            Op::Untrue(number) => {
                if let Some((id, _)) = self.versions.get(number) {
                    let id = id.to_string();
                    self.world().insert_event_row(&serde_json::json!({"versionId": id, "visible": true}).to_string());
                    self.queue.happened(Some((&id, true)));
                }
            }
            Op::Relay(batch) => {
                let max_attempts = self.world().settings.limits.max_attempts;
                self.world().store.bookkeep(move |books| books.relay(batch, max_attempts)).await.unwrap();
                self.queue.relay(batch);
            }
            Op::Claim(worker, batch) => self.claim(worker, batch).await,
            Op::Work(worker) => self.work(worker).await,
            Op::Finish(worker) => self.finish(worker).await,
            Op::Lose(worker) => self.workers[worker] = None,
            Op::Crash => {
                self.workers.fill(None);
                self.world = self.world.take().map(World::restart);
                self.begin().await;
            }
            Op::Clock(step_ms) => {
                self.world().clock.advance_ms(step_ms);
                self.queue.now = self.world().clock.now().unix_ms();
            }
            Op::Correct(number, state) => self.correct(number, state).await,
        }
        self.compare(op);
    }

    /// The life of versions; what is not possible now is left out, since other tests are about that.
    async fn author(&mut self, op: Op) {
        let (Op::Publish(number) | Op::Hold(number) | Op::Vote(number, _) | Op::Tombstone(number) | Op::Restore(number)) = op else {
            let id = self.world().draft("demo", &format!("{}.0", self.versions.len())).await;
            self.versions.push((id, Standing::Draft));
            return;
        };
        let Some((id, standing)) = self.versions.get(number).copied() else { return };
        let world = self.world();
        let becomes = match (op, standing) {
            (Op::Publish(_), Standing::Draft) => {
                world.publish_draft(id).await;
                Standing::Published
            }
            (Op::Hold(_), Standing::Published) => Standing::Held(world.hold_item(id).await),
            (Op::Vote(_, ballot), Standing::Held(item)) => {
                world.vote(item, ballot).await;
                if ballot == Ballot::Release { Standing::Published } else { Standing::Rejected }
            }
            (Op::Tombstone(_), Standing::Published | Standing::Rejected) => {
                world.tombstone(id).await;
                if standing == Standing::Published { Standing::Tombstoned { since: self.queue.now } } else { Standing::Gone }
            }
            // Within its retention of thirty days.
            (Op::Restore(_), Standing::Tombstoned { since }) if self.queue.now - since < 29 * 86_400_000 => {
                world.admit(id, Action::Restore).await;
                Standing::Published
            }
            _ => return,
        };
        let is_visible = becomes == Standing::Published;
        self.versions[number].1 = becomes;
        self.queue.happened(Some((&id.to_string(), is_visible)));
        if is_visible {
            self.queue.visible.insert(id.to_string())
        } else {
            self.queue.visible.remove(&id.to_string())
        };
    }

    async fn claim(&mut self, worker: usize, batch: usize) {
        if self.workers[worker].is_some() {
            return;
        }
        let limits = QueueLimits { batch, ..self.world().settings.limits };
        let claimed =
            self.world().store.bookkeep(move |books| books.claim(&[JobKind::SearchIndex, JobKind::Prune], &limits)).await.unwrap();
        let keys: Vec<Key> = claimed.iter().map(|job| (job.kind, job.subject_id.clone())).collect();
        assert_eq!(keys, self.queue.claim(batch), "other jobs were claimed than are due, or in another order");
        for (job, key) in claimed.iter().zip(&keys) {
            assert_eq!(job.attempt, self.queue.claimed(key, job.lease), "the attempt was not counted at the claim");
        }
        self.workers[worker] = Some((claimed, None)).filter(|(claimed, _)| !claimed.is_empty());
    }

    async fn work(&mut self, worker: usize) {
        let Some((jobs, outcomes @ None)) = &mut self.workers[worker] else { return };
        let world = self.world.as_ref().unwrap();
        let tools = world.settings.tools(&world.store, &world.registry, CancellationToken::new());
        let mut found = Vec::new();
        for job in &*jobs {
            let outcome = kinds::run(job.kind, &tools, std::slice::from_ref(job)).await;
            assert_eq!(outcome, [self.queue.work(job)], "{job:?}");
            found.extend(outcome);
        }
        *outcomes = Some(found);
    }

    async fn finish(&mut self, worker: usize) {
        let Some((jobs, Some(outcomes))) = self.workers[worker].clone() else { return };
        self.workers[worker] = None;
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let (expected, limits) = (self.queue.finish(&job, &outcome), self.world().settings.limits);
            let work = move |books: &mut crate::store::Bookkeeping<'_>| books.finish(&job, &outcome, &limits, JITTER);
            assert_eq!(self.world().store.bookkeep(work).await.unwrap(), expected, "who holds the lease");
        }
    }

    async fn correct(&mut self, number: usize, state: JobState) {
        let Some((key, Some(id))) = self.queue.jobs.iter().nth(number).map(|(key, job)| (key.clone(), job.id)) else { return };
        let proof = self.world().operator.clone();
        let corrected =
            self.world()
                .store
                .write(&self.world().operator, move |tx| {
                    if state == JobState::Pending { tx.retry_job(&proof, &id) } else { tx.cancel_job(&proof, &id) }
                })
                .await;
        assert_eq!(corrected.is_ok(), self.queue.correct(&key, state), "{key:?} to {state}: {corrected:?}");
    }

    /// Row by row.
    fn compare(&mut self, op: Op) {
        let events = self.world().event_rows();
        assert_eq!(events, self.queue.events, "the outbox after {op:?}");
        let mut rows = World::job_rows(&self.catalogue);
        // A release has a version judged again as well; the queue that is compared here is that of the index.
        rows.retain(|(kind, _), _| *kind != JobKind::Reevaluate);
        let count = rows.len();
        for (key, row) in rows {
            let job = self.queue.jobs.get_mut(&key).unwrap_or_else(|| panic!("a job out of nothing after {op:?}: {key:?}"));
            job.id = job.id.or(row.id);
            assert_eq!(row, *job, "the job {key:?} after {op:?}");
            assert!(job.attempts <= MAX_ATTEMPTS);
        }
        assert_eq!(count, self.queue.jobs.len(), "a job is lost after {op:?}");
        assert_eq!(World::indexed(&self.index), self.queue.index, "the index after {op:?}");
    }

    /// Whoever held something is gone, and one worker works until nothing waits but the next round of what comes again.
    async fn quiet(&mut self) {
        self.workers.fill(None);
        for _ in 0..40 {
            for op in [Op::Relay(100), Op::Claim(0, 100), Op::Work(0), Op::Finish(0)] {
                self.step(op).await;
            }
            let waits = |job: &reference::Job| matches!(job.state, JobState::Pending | JobState::Failed | JobState::Processing);
            let jobs = self.queue.jobs.iter().any(|((kind, _), job)| *kind != JobKind::Prune && waits(job));
            if !jobs && self.queue.events.values().all(|event| event.state != crate::store::OutboxState::Pending) {
                return;
            }
            self.step(Op::Clock(21 * MINUTE_MS)).await;
        }
        panic!("it never gets quiet: {:?}", self.queue);
    }

    async fn end(mut self) {
        self.quiet().await;
        // People take up what was given up: called off, or dead by crashes.
        for number in 0..self.queue.jobs.len() {
            let stands = self.queue.jobs.values().nth(number).map(|job| job.state);
            if matches!(stands, Some(JobState::Cancelled | JobState::Dead)) {
                self.correct(number, JobState::Pending).await;
            }
        }
        self.quiet().await;
        for ((kind, id), job) in self.queue.jobs.iter().filter(|((kind, _), _)| *kind == JobKind::SearchIndex) {
            let says_visible = self.queue.newest[id];
            assert_eq!(job.expectation, Some(if says_visible { Expectation::Visible } else { Expectation::Hidden }), "an older event won");
            let untrue = says_visible && !self.queue.visible.contains(id);
            assert_eq!(job.state, if untrue { JobState::Dead } else { JobState::Completed }, "{kind} {id}");
        }
        let expected: BTreeSet<String> = self.queue.visible.difference(&self.queue.given_up).cloned().collect();
        let mut indexed = World::indexed(&self.index);
        indexed.retain(|id| !self.queue.given_up.contains(id));
        assert_eq!(indexed, expected, "the index is not what readers see");
        let report = check(self.world().directory.path()).unwrap();
        assert!(report.faults.is_empty(), "{:#?}", report.faults);
    }
}

#[test]
fn any_schedule_loses_nothing_does_nothing_twice_and_ends_with_the_index_that_readers_see() {
    let persistence = Box::new(FileFailurePersistence::Direct(SEEDS));
    let config =
        Config { cases: Config::default().cases / 8, failure_persistence: Some(persistence), max_shrink_iters: 128, ..Config::default() };
    let run = |ops: Vec<Op>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for op in [Op::Draft, Op::Draft, Op::Draft].into_iter().chain(ops) {
                run.step(op).await;
            }
            run.end().await;
        });
        Ok(())
    };
    TestRunner::new(config).run(&ops(), run).unwrap_or_else(|fault| panic!("{fault}"));
}
