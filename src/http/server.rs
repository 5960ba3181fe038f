//! Listening and serving. Invariant: connections are bounded in number, every wait for a client in time, and stopping ends within its limit.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Socket, Unread, WatchedBody};
use super::request::PeerAddress;
use super::router::{Application, Router};

/// How long accepting pauses when the machine gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How stopping went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended within `drain_timeout_ms` and were cut.
    pub cut: usize,
}

/// An HTTP/1.1 server over one router and any number of listeners.
///
/// The version is not sniffed: sniffing waits for a first byte without a time limit.
pub struct Server<A> {
    shared: Arc<Shared<A>>,
    listeners: Vec<TcpListener>,
}

struct Shared<A> {
    router: Arc<Router<A>>,
    /// One slot per connection. A listener takes its slot before it accepts, so each further listener adds one.
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl<A: Application> Server<A> {
    /// A server that will accept on `listeners`, which the caller has bound.
    #[must_use]
    pub fn new(router: Arc<Router<A>>, listeners: Vec<TcpListener>) -> Server<A> {
        let connections = router.app().limits().max_connections.saturating_add(listeners.len().saturating_sub(1));
        let slots = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        let shared =
            Shared { router, slots, connections: TaskTracker::new(), stop: CancellationToken::new(), cut: CancellationToken::new() };
        Server { shared: Arc::new(shared), listeners }
    }

    /// Serves until `shutdown` completes. Then nothing more is accepted, idle connections close, requests that are running get
    /// `drain_timeout_ms` to end, and what is left is cut.
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
async fn accept<A: Application>(shared: Arc<Shared<A>>, listener: TcpListener) {
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
            Ok((stream, _)) => {
                shared.connections.spawn(serve(Arc::clone(&shared), stream, slot));
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
async fn serve<A: Application>(shared: Arc<Shared<A>>, stream: TcpStream, slot: OwnedSemaphorePermit) {
    let limits = *shared.router.app().limits();
    let _counted = Counted::begin(&**shared.router.app());
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "the socket does not take TCP_NODELAY");
    }
    let peer = stream.peer_addr().ok().map(|peer| PeerAddress(peer.ip()));
    let unread = Unread::default();
    let socket = TokioIo::new(Socket::new(stream, limits, unread.clone()));
    let router = Arc::clone(&shared.router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (router, unread) = (Arc::clone(&router), unread.clone());
        // A client that asked first and is refused sends no body, so hyper closes whatever the rest of it is.
        let asks_first = request.headers().contains_key(header::EXPECT);
        async move {
            let mut response = router.handle(request.map(|incoming| WatchedBody::new(incoming, unread.clone()))).await;
            if unread.closes_connection() || (asks_first && unread.some()) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_read_timeout()).max_header_size(limits.header_limit_bytes);
    let mut connection = pin!(builder.serve_connection(socket, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shared.stop.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = shared.cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a connection broke");
    }
    drop(slot);
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
