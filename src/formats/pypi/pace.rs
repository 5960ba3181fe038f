//! A request body for the multipart parser, which takes all that is there each time it is asked. Invariant: the parser gets one more
//! piece only when it could do nothing with what it has, and gives up when it makes nothing of a fair amount.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body as _;

use crate::error::{Error, Result};
use crate::http::Body;

/// Bytes in which a boundary or a part's headers must end.
const STALL_LIMIT_BYTES: u64 = 1024 * 1024;

/// What the parser has made of the body so far; shared with whoever takes its parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Whether there is something that the parser has not been asked about yet.
    is_fresh: AtomicBool,
    /// Bytes given since the parser last gave something back.
    stalled_bytes: AtomicU64,
}

impl Progress {
    /// The parser gave something back.
    pub(super) fn made(&self) {
        self.0.is_fresh.store(true, Ordering::Relaxed);
        self.0.stalled_bytes.store(0, Ordering::Relaxed);
    }
}

/// The body, paced.
pub(super) struct Paced {
    body: Body,
    progress: Progress,
}

impl Paced {
    /// Paces `body` by `progress`.
    pub(super) fn new(body: Body, progress: &Progress) -> Paced {
        Paced { body, progress: progress.clone() }
    }
}

impl Stream for Paced {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let paced = self.get_mut();
        let counts = &paced.progress.0;
        if counts.is_fresh.swap(false, Ordering::Relaxed) {
            // It tries with what it has first; when that is not enough, it comes again at once.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let frame = match std::task::ready!(Pin::new(&mut paced.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            let Ok(chunk) = frame.into_data() else { continue };
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if counts.stalled_bytes.fetch_add(length, Ordering::Relaxed) > STALL_LIMIT_BYTES {
                return Poll::Ready(Some(Err(Error::bad_request("the form has no boundary where one must be; send multipart/form-data (RFC 7578)"))));
            }
            counts.is_fresh.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(chunk)));
        }
    }
}
