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
                return Poll::Ready(Some(Err(Error::bad_request(
                    "the form has no boundary where one must be; send multipart/form-data (RFC 7578)",
                ))));
            }
            counts.is_fresh.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(chunk)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;

    use super::*;
    use crate::http::HttpLimits;

    /// A body whose pieces are all there at once.
    fn paced(pieces: usize, piece_bytes: usize) -> (Paced, Progress) {
        let frames =
            std::iter::repeat_with(move || Ok::<_, Error>(http_body::Frame::data(Bytes::from(vec![b'x'; piece_bytes])))).take(pieces);
        let mut body = Body::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames)), HttpLimits::default());
        body.set_limit(u64::MAX).unwrap();
        let progress = Progress::default();
        (Paced::new(body, &progress), progress)
    }

    fn poll(paced: &mut Paced) -> Poll<Option<Result<Bytes>>> {
        Pin::new(paced).poll_next(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn the_parser_is_given_one_piece_at_a_time_however_often_it_asks() {
        let (mut paced, progress) = paced(3, 10);
        for _ in 0..3 {
            assert!(matches!(poll(&mut paced), Poll::Ready(Some(Ok(_)))));
            assert!(poll(&mut paced).is_pending(), "it asks for more before it has looked");
            for _ in 0..5 {
                progress.made();
                assert!(poll(&mut paced).is_pending(), "it got something out of what it has");
            }
        }
        assert!(matches!(poll(&mut paced), Poll::Ready(None)));
    }

    #[test]
    fn a_parser_that_makes_nothing_of_a_mebibyte_gets_no_more() {
        let (mut paced, _progress) = paced(100, 256 * 1024);
        let mut given_bytes = 0;
        let refusal = (0..200).find_map(|_| match poll(&mut paced) {
            Poll::Ready(Some(Ok(piece))) => {
                given_bytes += piece.len();
                None
            }
            Poll::Ready(Some(Err(error))) => Some(error),
            Poll::Ready(None) | Poll::Pending => None,
        });
        assert!(refusal.is_some_and(|error| error.message().contains("boundary")));
        assert!(given_bytes <= 2 * 1024 * 1024, "{given_bytes}");
    }
}
