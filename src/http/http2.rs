//! HTTP/2 on one connection (RFC 9113). Invariant: what a peer can make the server hold or do without taking its answers is bounded:
//! streams, heads, windows, requests that it gives up, and the time in which nothing happens.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::connection::{Socket, Unread};
use super::limits::HttpLimits;
use super::reply::ReplyBody;
use super::request::Origin;
use super::router::Application;
use super::server::Shared;
use crate::error::Error;

/// What a peer may send of one body before the server has read it.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// What a peer may send of all bodies of a connection before the server has read it.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What of one answer waits for a peer to take it, beside the piece being sent.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Requests that a peer may give up unanswered beyond those that it let be answered; one that does so more often works against the server.
const ABANDONED_LIMIT: usize = 100;
/// Streams that were reset before or by the server which may wait to be forgotten.
const RESET_STREAMS: usize = 50;

/// Serves one connection to its end.
pub(super) async fn serve<A, S>(shared: &Shared<A>, stream: S, origin: Origin)
where
    A: Application,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = *shared.router.app().limits();
    let activity = Arc::new(Activity::default());
    let socket = Socket::new(stream, limits, Unread::default());
    let written = socket.written();
    let (router, requests, of_service) = (Arc::clone(&shared.router), Arc::clone(&shared.requests), Arc::clone(&activity));
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(origin);
        let running = Running::begin(&of_service);
        let (router, requests) = (Arc::clone(&router), Arc::clone(&requests));
        async move {
            // One connection may have many requests, but all of them together no more than connections of one request each.
            let place = requests.acquire_owned().await.ok();
            let response = router.handle(request).await;
            let open = running.answered();
            Ok::<_, Infallible>(response.map(|body| AnswerBody { body, open, _place: place }))
        }
    });
    let builder = builder(&limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = shared.cut.cancelled() => return,
        () = activity.flood.cancelled() => return flooded(&origin),
        () = shared.stop.cancelled() => None,
        () = activity.nothing_happens(&limits) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = shared.cut.cancelled() => return,
                () = activity.flood.cancelled() => return flooded(&origin),
                () = activity.nothing_is_taken(&limits, &written) => return,
            }
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a connection broke");
    }
}

fn builder(limits: &HttpLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.header_limit_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(RESET_STREAMS);
    builder
}

fn flooded(origin: &Origin) {
    let peer = origin.peer.map(tracing::field::display);
    tracing::warn!(peer, ABANDONED_LIMIT, "a connection was cut, as its client gives up one request after the other");
}

/// What happens on a connection.
#[derive(Debug, Default)]
struct Activity {
    /// Requests whose answer has not begun.
    running: AtomicUsize,
    /// Answers that have not ended.
    sending: AtomicUsize,
    /// Counts on whenever something happens.
    steps: AtomicU64,
    /// Requests given up, less those answered.
    abandoned: AtomicUsize,
    flood: CancellationToken,
}

impl Activity {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when no request came, ran or was answered for a while.
    async fn nothing_happens(&self, limits: &HttpLimits) {
        self.unchanged(limits, || self.steps.load(Ordering::Relaxed)).await;
    }

    /// Returns when the peer took nothing for a while either, and nothing runs that could give it something to take.
    async fn nothing_is_taken(&self, limits: &HttpLimits, written: &AtomicU64) {
        self.unchanged(limits, || self.steps.load(Ordering::Relaxed).wrapping_add(written.load(Ordering::Relaxed))).await;
    }

    async fn unchanged(&self, limits: &HttpLimits, count: impl Fn() -> u64) {
        let mut before = count();
        loop {
            let is_sending = self.sending.load(Ordering::Relaxed) > 0;
            tokio::time::sleep(if is_sending { limits.write_idle_timeout() } else { limits.header_read_timeout() }).await;
            let now = count();
            if now == before && self.running.load(Ordering::Relaxed) == 0 {
                return;
            }
            before = now;
        }
    }
}

/// A request whose answer has not begun. Dropped before that, it was given up.
struct Running {
    activity: Arc<Activity>,
    is_answered: bool,
}

impl Running {
    fn begin(activity: &Arc<Activity>) -> Running {
        activity.step();
        activity.running.fetch_add(1, Ordering::Relaxed);
        Running { activity: Arc::clone(activity), is_answered: false }
    }

    fn answered(mut self) -> Open {
        self.is_answered = true;
        let less = |count: usize| count.checked_sub(1);
        let _none_is_fine = self.activity.abandoned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.activity.sending.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.step();
        self.activity.running.fetch_sub(1, Ordering::Relaxed);
        if !self.is_answered && self.activity.abandoned.fetch_add(1, Ordering::Relaxed) >= ABANDONED_LIMIT {
            self.activity.flood.cancel();
        }
    }
}

/// An answer that has not ended.
struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.step();
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which notes that it is taken, and holds its place among all requests until its end.
struct AnswerBody {
    body: ReplyBody,
    open: Open,
    _place: Option<OwnedSemaphorePermit>,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let answer = self.get_mut();
        let frame = Pin::new(&mut answer.body).poll_frame(context);
        if frame.is_ready() {
            answer.open.0.step();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
