//! Time, ids and secrets. Invariant: this is the only file that asks the machine for the time or for randomness.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::domain::time::Time;
use crate::error::{Error, Result};

/// Where time, ids and randomness come from; tests give fixed ones.
pub trait Clock: Send + Sync + 'static {
    /// The time now, UTC, in whole milliseconds.
    fn now(&self) -> Time;

    /// A new `UUIDv7`: unique, and ordered by time of creation.
    fn uuid(&self) -> uuid::Uuid;

    /// 256 random bits for a token.
    ///
    /// # Errors
    /// Internal, when the machine gives no randomness.
    fn secret(&self) -> Result<[u8; 32]>;
}

/// The moment `ms` milliseconds from now by the runtime's own clock, which never steps: for deadlines.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn deadline_after_ms(ms: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + std::time::Duration::from_millis(ms)
}

/// Measures how long something takes, by the machine's clock that never steps: for metrics, the log, and limits
/// on work, never for when something is due.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
impl Stopwatch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// The time since it began.
    #[must_use]
    pub fn elapsed(&self) -> std::time::Duration {
        self.0.elapsed()
    }
}

/// The machine's own clock and random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_unix_ms(jiff::Timestamp::now().as_millisecond())
    }

    fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::now_v7()
    }

    fn secret(&self) -> Result<[u8; 32]> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|cause| Error::internal("asking the machine for randomness", cause.to_string()))?;
        Ok(bytes)
    }
}

/// A clock that stands still until it is moved, with ids and secrets that count up: for tests.
#[derive(Debug)]
pub struct FixedClock {
    now_ms: AtomicI64,
    counter: AtomicU64,
}

impl FixedClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Time) -> FixedClock {
        FixedClock { now_ms: AtomicI64::new(start.unix_ms()), counter: AtomicU64::new(0) }
    }

    /// Moves the clock by `step_ms` milliseconds; negative steps go back.
    pub fn advance_ms(&self, step_ms: i64) {
        self.now_ms.fetch_add(step_ms, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Time {
        Time::from_unix_ms(self.now_ms.load(Ordering::SeqCst))
    }

    fn uuid(&self) -> uuid::Uuid {
        let count = self.counter.fetch_add(1, Ordering::SeqCst);
        let mut bytes = [0_u8; 10];
        bytes[2..].copy_from_slice(&count.to_be_bytes());
        let ms = u64::try_from(self.now().unix_ms()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid()
    }

    fn secret(&self) -> Result<[u8; 32]> {
        let mut bytes = [7_u8; 32];
        bytes[..8].copy_from_slice(&self.counter.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        Ok(bytes)
    }
}
