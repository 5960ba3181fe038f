//! The one writer: a thread with the only writing connection. Invariant: waiting writes share one `BEGIN IMMEDIATE` …
//! `COMMIT`, each in its own savepoint; nobody is answered before the commit is on disk, and a failing write rolls back alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::StoreOptions;
use super::generations::Generations;
use super::search::{IndexState, SearchIndex};
use super::write::{Bookkeeping, Done, Write};
use crate::clock::{Clock, Stopwatch};
use crate::domain::access::Actor;
use crate::domain::event::Event;
use crate::error::{Code, Error, Result};
use crate::metrics::{Metrics, WriteEnd};

/// What other parts of the process must hear of a commit, before anybody is answered.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) identity_generation: Arc<AtomicU64>,
    pub(super) generations: Arc<Generations>,
    pub(super) queue_wake: Arc<watch::Sender<u64>>,
    pub(super) search: Arc<SearchIndex>,
    pub(super) metrics: Arc<Metrics>,
}

/// What one write did that others must hear of once it is committed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) touches_identity: bool,
    pub(super) wakes_queue: bool,
    /// The newest order to pause or to resume the search index.
    pub(super) search_pause: Option<IndexState>,
    pub(super) renews_search: bool,
    /// What happened, for the generations of what readers are shown.
    happened: Vec<Event>,
}

impl Effects {
    /// Adds what this event asks for.
    pub(super) fn add(&mut self, event: Event) {
        self.touches_identity |= event.touches_identity();
        self.wakes_queue |= event.touches_queue();
        self.renews_search |= event == Event::SearchRebuildRequested;
        if event == Event::SearchPaused {
            self.search_pause = Some(IndexState::Paused);
        }
        if event == Event::SearchResumed {
            self.search_pause = Some(IndexState::Ready);
        }
        self.happened.push(event);
    }

    /// What a later write of the same commit did, added to what the earlier ones did.
    fn append(&mut self, later: Effects) {
        self.touches_identity |= later.touches_identity;
        self.wakes_queue |= later.wakes_queue;
        self.search_pause = later.search_pause.or(self.search_pause);
        self.renews_search |= later.renews_search;
        self.happened.extend(later.happened);
    }
}

/// Tells the waiting caller how the commit went.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Job = Box<dyn FnOnce(&Connection, &dyn Clock, &mut Effects) -> Answer + Send>;

/// The handle of the writer's thread; dropping it lets the thread finish what waits and end.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    metrics: Arc<Metrics>,
}

impl Writer {
    /// Starts the thread on `connection`.
    pub(super) fn start(connection: Connection, clock: Arc<dyn Clock>, shared: Shared, options: &StoreOptions) -> Result<Writer> {
        let (jobs, waiting) = mpsc::channel(options.queue_limit.max(1));
        let group_limit = options.group_limit.max(1);
        let metrics = Arc::clone(&shared.metrics);
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || run(&connection, &*clock, &shared, waiting, group_limit))
            .map_err(|cause| Error::internal("starting the writer", cause))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread), metrics })
    }

    pub(super) async fn write<T, F>(&self, actor: Actor, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Write<'_>) -> Result<Done<T>> + Send + 'static,
    {
        self.submit(move |connection, clock, effects| {
            let mut write = Write::new(connection, clock, actor)?;
            let done = work(&mut write)?;
            write.record(done, effects)
        })
        .await
    }

    pub(super) async fn bookkeep<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bookkeeping<'_>) -> Result<T> + Send + 'static,
    {
        self.submit(move |connection, clock, effects| {
            let mut bookkeeping = Bookkeeping::new(connection, clock);
            let value = work(&mut bookkeeping)?;
            effects.wakes_queue |= bookkeeping.enqueued();
            Ok(value)
        })
        .await
    }

    /// Writes that wait to be taken up.
    pub(super) fn queued(&self) -> u64 {
        self.jobs.as_ref().map_or(0, |jobs| (jobs.max_capacity() - jobs.capacity()) as u64)
    }

    /// How many may wait; further ones wait for room.
    pub(super) fn queue_limit(&self) -> u64 {
        self.jobs.as_ref().map_or(0, |jobs| jobs.max_capacity() as u64)
    }

    async fn submit<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &dyn Clock, &mut Effects) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (metrics, ordered) = (Arc::clone(&self.metrics), Stopwatch::start());
        let job: Job = Box::new(move |connection, clock, effects| {
            metrics.writer.begun(ordered.elapsed());
            let mut own = Effects::default();
            let result = in_savepoint(connection, |connection| work(connection, clock, &mut own));
            if result.is_ok() {
                effects.append(own);
            }
            Box::new(move |commit: Result<()>| {
                metrics.writer.ended(end_of(&result, &commit));
                // Nobody waits any more when the request was dropped; the write stands all the same.
                drop(answer.send(result.and_then(|value| commit.map(|()| value))));
            })
        });
        let stopped = || Error::new(Code::Unavailable, "the server is stopping; try again in a moment");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

/// A write that was refused is no failure; of a commit that failed, every write is one.
fn end_of<T>(result: &Result<T>, commit: &Result<()>) -> WriteEnd {
    match (result, commit) {
        (Ok(_), Ok(())) => WriteEnd::Committed,
        (Err(_), Ok(())) => WriteEnd::Refused,
        (_, Err(_)) => WriteEnd::Failed,
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(connection: &Connection, clock: &dyn Clock, shared: &Shared, mut waiting: mpsc::Receiver<Job>, group_limit: usize) {
    let mut group = Vec::with_capacity(group_limit);
    while waiting.blocking_recv_many(&mut group, group_limit) > 0 {
        commit_group(connection, clock, shared, &mut group);
    }
    // The last connection leaves a database without a WAL to recover.
    if let Err(cause) = connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);") {
        tracing::warn!(%cause, "the last checkpoint failed; the next start recovers the WAL");
    }
}

/// Runs the waiting writes in one transaction and answers them after its commit.
fn commit_group(connection: &Connection, clock: &dyn Clock, shared: &Shared, group: &mut Vec<Job>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    if let Err(cause) = begun {
        tracing::error!(%cause, "the writer cannot begin a transaction");
        let failure = || Error::new(Code::Unavailable, "the database cannot be written now; nothing was changed; try again in a moment");
        refuse(connection, clock, group, &failure);
        return;
    }
    let mut effects = Effects::default();
    let mut answers = Vec::with_capacity(group.len());
    for job in group.drain(..) {
        answers.push(job(connection, clock, &mut effects));
    }
    let commit = Stopwatch::start();
    let committed = if connection.is_autocommit() {
        Err(Error::new(Code::InsufficientStorage, "the database could not be written and undid this; free some disk space and try again"))
    } else {
        connection.execute_batch("COMMIT").map_err(Error::from)
    };
    shared.metrics.writer.committed(answers.len(), commit.elapsed());
    // Also after a failure: to move them for nothing costs a rendering.
    effects.happened.iter().for_each(|event| shared.generations.pass(event));
    if let Err(error) = &committed {
        tracing::error!(?error, writes = answers.len(), "a commit failed; its writes are undone");
        if !connection.is_autocommit() {
            drop(connection.execute_batch("ROLLBACK"));
        }
    } else {
        if effects.touches_identity {
            shared.identity_generation.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(state) = effects.search_pause {
            shared.search.set_paused(state);
        }
        if effects.renews_search {
            // Whoever ordered it sees at once that it is under way.
            shared.search.set_rebuilding(IndexState::Rebuilding);
            shared.search.request_renewal();
        }
        if effects.wakes_queue {
            shared.queue_wake.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
    for answer in answers {
        let outcome = match &committed {
            Ok(()) => Ok(()),
            Err(error) => Err(Error::new(error.code(), error.message())),
        };
        answer(outcome);
    }
}

/// Answers writes that never ran: their work fails at its savepoint's first statement, outside any transaction.
fn refuse(connection: &Connection, clock: &dyn Clock, group: &mut Vec<Job>, failure: &dyn Fn() -> Error) {
    let mut effects = Effects::default();
    for job in group.drain(..) {
        let answer = job(connection, clock, &mut effects);
        answer(Err(failure()));
    }
}

/// Runs `work` in a savepoint of the open transaction and undoes it alone when it fails or panics.
fn in_savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    if connection.is_autocommit() {
        // An error such as a full disk made SQLite roll the whole group back.
        return Err(Error::new(Code::Unavailable, "the database undid this together with other writes; try again in a moment"));
    }
    connection.execute_batch("SAVEPOINT one_write")?;
    let result = catch_unwind(AssertUnwindSafe(|| work(connection)))
        .unwrap_or_else(|_| Err(Error::internal("running a write", "the closure panicked")));
    match result {
        Ok(value) => {
            connection.execute_batch("RELEASE one_write")?;
            Ok(value)
        }
        Err(error) => {
            if !connection.is_autocommit()
                && let Err(cause) = connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write")
            {
                // What cannot be undone alone must not be committed with the others: the whole group is undone.
                tracing::error!(%cause, "a failed write cannot be undone alone");
                connection.execute_batch("ROLLBACK")?;
            }
            Err(error)
        }
    }
}
