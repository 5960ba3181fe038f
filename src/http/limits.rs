//! The limits of the transport. Invariant: every wait and every buffer that a client can cause is bounded by one of these.

use std::time::Duration;

/// What a client may take: times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long a request's head may take to arrive; also how long an idle connection is kept.
    pub header_read_timeout_ms: u64,
    /// The largest head of a request: its line and its headers.
    pub header_limit_bytes: usize,
    /// The window in which a request body must bring `body_idle_minimum_bytes`, or end.
    pub body_idle_timeout_ms: u64,
    /// What a body must bring in each window; it stops senders that trickle.
    pub body_idle_minimum_bytes: u64,
    /// How long a client may take nothing of an answer before its connection is cut.
    pub write_idle_timeout_ms: u64,
    /// The largest JSON body.
    pub json_limit_bytes: u64,
    /// How long the handshake of TLS may take.
    pub handshake_timeout_ms: u64,
    /// The most requests at once on one connection of HTTP/2.
    pub max_streams: u32,
    /// The most connections served at once, and the most requests of HTTP/2; further ones wait unaccepted.
    pub max_connections: usize,
    /// How long running requests may take to end after the server was told to stop.
    pub drain_timeout_ms: u64,
    /// How long an idle connection is kept after the server was told to stop, for the request that its client may just be sending.
    pub idle_grace_ms: u64,
    /// How long a connection is read and discarded after an answer that came before the whole body did.
    pub linger_timeout_ms: u64,
    /// How much is read and discarded then.
    pub linger_limit_bytes: u64,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            header_read_timeout_ms: 15_000,
            header_limit_bytes: 32 * 1024,
            body_idle_timeout_ms: 30_000,
            body_idle_minimum_bytes: 1024,
            write_idle_timeout_ms: 60_000,
            json_limit_bytes: 1024 * 1024,
            handshake_timeout_ms: 10_000,
            max_streams: 64,
            max_connections: 1024,
            drain_timeout_ms: 30_000,
            idle_grace_ms: 1_000,
            linger_timeout_ms: 10_000,
            linger_limit_bytes: 64 * 1024 * 1024,
        }
    }
}

impl HttpLimits {
    /// `header_read_timeout_ms` as a duration.
    #[must_use]
    pub const fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    /// `handshake_timeout_ms` as a duration.
    #[must_use]
    pub const fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// `body_idle_timeout_ms` as a duration.
    #[must_use]
    pub const fn body_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.body_idle_timeout_ms)
    }

    /// `write_idle_timeout_ms` as a duration.
    #[must_use]
    pub const fn write_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.write_idle_timeout_ms)
    }

    /// `drain_timeout_ms` as a duration.
    #[must_use]
    pub const fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    /// `idle_grace_ms` as a duration; it leaves time for draining what comes then.
    #[must_use]
    pub fn idle_grace(&self) -> Duration {
        Duration::from_millis(self.idle_grace_ms.min(self.drain_timeout_ms / 2))
    }

    /// `linger_timeout_ms` as a duration.
    #[must_use]
    pub const fn linger_timeout(&self) -> Duration {
        Duration::from_millis(self.linger_timeout_ms)
    }
}
