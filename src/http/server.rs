//! Listening and serving. Invariant: connections are bounded in number, every wait for a client in time, and stopping ends within its limit.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http1;
use super::http2;
use super::listener::{Accepted, Listener};
use super::request::{Origin, Scheme};
use super::router::{Application, Router};
use super::tls::{self, Tls};

/// How long accepting pauses when the machine gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How stopping went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended within `drain_timeout_ms` and were cut.
    pub cut: usize,
}

/// A server over one router and any number of listeners.
pub struct Server<A> {
    shared: Arc<Shared<A>>,
    listeners: Vec<Listener>,
}

/// What all connections share.
pub(super) struct Shared<A> {
    /// Who answers.
    pub(super) router: Arc<Router<A>>,
    /// One slot per connection. A listener takes its slot before it accepts, so each further listener adds one.
    slots: Arc<Semaphore>,
    /// One for each request of HTTP/2, whichever its connection.
    pub(super) requests: Arc<Semaphore>,
    connections: TaskTracker,
    /// The order to stop: what is running may end.
    pub(super) stop: CancellationToken,
    /// The order to end at once.
    pub(super) cut: CancellationToken,
}

impl<A: Application> Server<A> {
    /// A server that will accept on `listeners`, which the caller has bound.
    #[must_use]
    pub fn new(router: Arc<Router<A>>, listeners: Vec<Listener>) -> Server<A> {
        let connections = router.app().limits().max_connections.saturating_add(listeners.len().saturating_sub(1));
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let shared = Shared {
            slots: semaphore(connections),
            requests: semaphore(router.app().limits().max_connections),
            router,
            connections: TaskTracker::new(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        Server { shared: Arc::new(shared), listeners }
    }

    /// Serves until `shutdown` completes. Then nothing more is accepted, each connection ends with its next answer or after `idle_grace_ms`
    /// without a request, requests that are running get `drain_timeout_ms` to end, and what is left is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Drained {
        let Server { shared, listeners } = self;
        let accepting = TaskTracker::new();
        for listener in listeners {
            accepting.spawn(accept(Arc::clone(&shared), listener));
        }
        accepting.close();
        shutdown.await;
        shared.stop.cancel();
        accepting.wait().await;
        shared.connections.close();
        let limit = shared.router.app().limits().drain_timeout();
        let mut cut = 0;
        if tokio::time::timeout(limit, shared.connections.wait()).await.is_err() {
            cut = shared.connections.len();
            tracing::warn!(cut, drain_timeout_ms = limit.as_millis(), "connections were cut, as their requests did not end in time");
            shared.cut.cancel();
            shared.connections.wait().await;
        }
        Drained { cut }
    }
}

impl<A> std::fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Accepts on one listener until told to stop. At the limit of connections it waits, and the kernel's queue holds who comes.
async fn accept<A: Application>(shared: Arc<Shared<A>>, listener: Listener) {
    loop {
        let slot = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            slot = Arc::clone(&shared.slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return };
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                shared.connections.spawn(serve(Arc::clone(&shared), accepted, listener.tls().cloned(), slot));
            }
            Err(cause) if is_of_one_connection(&cause) => tracing::debug!(%cause, "a connection ended before it was accepted"),
            Err(cause) => {
                tracing::error!(%cause, "accepting failed; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an accept failed because of the peer; then the next one can be tried at once.
fn is_of_one_connection(cause: &io::Error) -> bool {
    [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused].contains(&cause.kind())
}

/// Tells the program of a connection, and of its end however that comes.
struct Counted<'a, A: Application>(&'a A);

impl<'a, A: Application> Counted<'a, A> {
    fn begin(app: &'a A) -> Counted<'a, A> {
        app.connected();
        Counted(app)
    }
}

impl<A: Application> Drop for Counted<'_, A> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// Serves one connection to its end, holding its slot.
async fn serve<A: Application>(shared: Arc<Shared<A>>, accepted: Accepted, tls: Option<Arc<Tls>>, slot: OwnedSemaphorePermit) {
    let _counted = Counted::begin(&**shared.router.app());
    let origin = Origin { peer: accepted.peer(), scheme: if tls.is_some() { Scheme::Https } else { Scheme::Http } };
    match accepted {
        Accepted::Tcp(stream) => {
            if let Err(cause) = stream.set_nodelay(true) {
                tracing::debug!(%cause, "the socket does not take TCP_NODELAY");
            }
            match tls {
                Some(tls) => serve_secure(&shared, stream, origin, &tls).await,
                None => http1::serve(&shared, stream, origin).await,
            }
        }
        Accepted::Unix(stream) => http1::serve(&shared, stream, origin).await,
    }
    drop(slot);
}

/// Makes a connection secure, and serves it in the version that both sides agreed on.
async fn serve_secure<A: Application>(shared: &Shared<A>, stream: TcpStream, origin: Origin, tls: &Tls) {
    let limits = *shared.router.app().limits();
    let secure = tokio::select! {
        biased;
        secure = tls.accept(stream, limits) => secure,
        () = shared.cut.cancelled() => None,
    };
    match secure {
        Some(stream) if tls::speaks_http2(&stream) => http2::serve(shared, stream, origin).await,
        Some(stream) => http1::serve(shared, stream, origin).await,
        None => {}
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
