//! The one hop from the async world to the blocking pool. Invariant: nothing else in the crate moves work to other threads of the runtime.

use crate::error::{Error, Result};

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
