//! The hops from the async world to other threads: the runtime's blocking pool, and threads that yield to everything else. Invariant:
//! nothing else in the crate moves work to other threads of the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// How far the yielding threads stand back (nice(2)): whoever is waited for gets about nine times their share of a busy processor.
const NICENESS: i32 = 10;

/// Runs blocking `work` (SQLite reads, file operations, hashing) on the runtime's blocking pool, inside the caller's log span.
///
/// # Errors
/// What `work` returns; internal, when `work` panicked.
pub async fn run<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let span = tracing::Span::current();
    #[allow(clippy::disallowed_methods, reason = "the one place that hops")]
    let task = tokio::task::spawn_blocking(move || span.in_scope(work));
    match task.await {
        Ok(result) => result,
        Err(cause) => Err(Error::internal("running work on the blocking pool", cause)),
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads for long computations, which stand back whenever the processors are wanted by others: no request waits for somebody's slow
/// policy. They end when this is dropped.
#[derive(Debug, Clone)]
pub struct Yielding {
    jobs: Sender<Job>,
}

impl Yielding {
    /// `count` threads of this name, or as many as the machine gives; without any, all work fails.
    #[must_use]
    pub fn start(name: &str, count: usize) -> Yielding {
        let (jobs, waiting) = channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..count.max(1) {
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work_off(&waiting));
            if let Err(cause) = thread {
                tracing::error!(%cause, name, "a thread for long computations cannot be started");
            }
        }
        Yielding { jobs }
    }

    /// Runs `work` on one of the threads, inside the caller's log span. It may read, and must not wait for anybody.
    ///
    /// # Errors
    /// What `work` returns; internal, when `work` panicked.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            // Nobody waits any more when the request was dropped or its time is over.
            drop(answer.send(result.unwrap_or_else(|_| Err(Error::internal("running a long computation", "it panicked")))));
        });
        let gone = |_| Error::internal("running a long computation", "its threads are gone");
        self.jobs.send(job).map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }
}

fn work_off(waiting: &Mutex<Receiver<Job>>) {
    if let Err(cause) = rustix::process::nice(NICENESS).and_then(|_| leave_half_of_the_processors()) {
        tracing::warn!(%cause, "long computations cannot stand back for others");
    }
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// Keeps the calling thread on the later half of the processors that it may use: on the others, nobody ever waits for it. Who stands back
/// only by nice(2) is still let finish a few milliseconds whenever it has slept.
fn leave_half_of_the_processors() -> rustix::io::Result<()> {
    let usable = sched_getaffinity(None)?;
    let mut later = CpuSet::new();
    let half = usable.count() / 2;
    (0..CpuSet::MAX_CPU).filter(|processor| usable.is_set(*processor)).skip(half as usize).for_each(|processor| later.set(processor));
    sched_setaffinity(None, &later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_computation_that_panics_is_an_error_and_its_thread_works_on() {
        let threads = Yielding::start("test", 1);
        let failed = threads.run(|| -> Result<()> { panic!("on purpose") }).await;
        assert!(failed.is_err());
        let own = rustix::process::nice(0).unwrap();
        assert_eq!(threads.run(|| Ok(rustix::process::nice(0).unwrap())).await.unwrap(), (own + NICENESS).min(19));
    }

    #[tokio::test]
    async fn long_computations_leave_processors_on_which_nobody_waits_for_them() {
        let usable = sched_getaffinity(None).unwrap().count();
        let threads = Yielding::start("test", 1);
        let used = threads.run(|| Ok(sched_getaffinity(None).unwrap().count())).await.unwrap();
        assert_eq!(used, usable - usable / 2);
    }
}
