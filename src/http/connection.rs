//! The socket under one connection. Invariant: a client that takes nothing is cut off, and one that is still sending when its answer
//! goes out can read that answer before the socket closes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::limits::HttpLimits;

/// How much is discarded at a time.
const DISCARD_BYTES: usize = 16 * 1024;

/// The largest unread rest of a body after which a connection may be kept.
const SMALL_REST_BYTES: u64 = 4 * 1024;

/// How many bytes of the body of the request being answered were not read yet; `u64::MAX` where that is not known. Shared by a
/// connection's socket and its bodies.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicU64>);

impl Unread {
    fn set(&self, body: &Incoming) {
        let rest = if body.is_end_stream() { 0 } else { body.size_hint().exact().unwrap_or(u64::MAX) };
        self.0.store(rest, Ordering::Relaxed);
    }

    /// Of a peer that may be sending anything.
    pub(super) fn unknown() -> Unread {
        Unread(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Whether anything is left.
    pub(super) fn some(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether so much is left that the connection is closed after the answer, and the answer should say so. A smaller rest has
    /// mostly arrived already, and hyper discards it.
    pub(super) fn closes_connection(&self) -> bool {
        self.0.load(Ordering::Relaxed) > SMALL_REST_BYTES
    }
}

/// A request body from a connection, which notes how much of it was read.
#[derive(Debug)]
pub(super) struct WatchedBody {
    incoming: Incoming,
    unread: Unread,
}

impl WatchedBody {
    /// The body of the request that begins.
    pub(super) fn new(incoming: Incoming, unread: Unread) -> WatchedBody {
        unread.set(&incoming);
        WatchedBody { incoming, unread }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let frame = ready!(Pin::new(&mut body.incoming).poll_frame(context));
        match frame {
            Some(_) => body.unread.set(&body.incoming),
            None => body.unread.0.store(0, Ordering::Relaxed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A stream with a limit on how long a peer may take nothing, and a bounded lingering close.
///
/// Closing a socket with unread bytes resets the connection, and a reset discards an answer that the peer has not read yet. So when a
/// body was left unread, closing means: end our side, discard what still comes up to a limit in bytes and time, then close.
pub(super) struct Socket<S> {
    stream: S,
    limits: HttpLimits,
    unread: Unread,
    written_bytes: Arc<AtomicU64>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

struct Linger {
    deadline: Pin<Box<Sleep>>,
    rest_bytes: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The socket over an accepted stream.
    pub(super) fn new(stream: S, limits: HttpLimits, unread: Unread) -> Socket<S> {
        Socket { stream, limits, unread, written_bytes: Arc::default(), write_deadline: None, linger: None }
    }

    /// How many bytes the stream has taken, counted on.
    pub(super) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written_bytes)
    }

    /// Turns a write that has been waiting too long into an error.
    fn bounded<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_deadline = None;
            return outcome;
        }
        let length = self.limits.write_idle_timeout();
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(length)));
        deadline.as_mut().poll(context).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }

    fn count(&self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written_bytes.fetch_add(u64::try_from(*bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Discards what the peer still sends until it ends, breaks, or exceeds a limit.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limits = self.limits;
        let linger = self
            .linger
            .get_or_insert_with(|| Linger { deadline: Box::pin(sleep(limits.linger_timeout())), rest_bytes: limits.linger_limit_bytes });
        if linger.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [0_u8; DISCARD_BYTES];
        while linger.rest_bytes > 0 {
            let mut buffer = ReadBuf::new(&mut space);
            if ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
            linger.rest_bytes = linger.rest_bytes.saturating_sub(u64::try_from(buffer.filled().len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let outcome = Pin::new(&mut socket.stream).poll_write(context, bytes);
        socket.count(&outcome);
        socket.bounded(context, outcome)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let outcome = Pin::new(&mut socket.stream).poll_write_vectored(context, pieces);
        socket.count(&outcome);
        socket.bounded(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.linger.is_none() {
            ready!(Pin::new(&mut socket.stream).poll_shutdown(context))?;
        }
        if socket.unread.some() {
            ready!(socket.poll_discard(context));
        }
        Poll::Ready(Ok(()))
    }
}
