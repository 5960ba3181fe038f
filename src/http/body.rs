//! The body of a request. Invariant: nothing is read beyond a limit that the reader named, and no wait for a client is without end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use serde::de::DeserializeOwned;
use tokio::time::Sleep;

use super::json;
use super::limits::HttpLimits;
use crate::error::{Code, Error, Result};

/// The error of a body that broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, from a connection or from memory; read once, in chunks or whole.
pub struct Body {
    source: BoxBody<Bytes, BoxError>,
    limits: HttpLimits,
    limit_bytes: u64,
    received_bytes: u64,
    window: Option<Window>,
}

/// A stretch of time in which a minimum must arrive.
struct Window {
    end: Pin<Box<Sleep>>,
    received_bytes: u64,
}

impl Body {
    /// A body read from `source` under `limits`; `set_limit` bounds its size, `json_limit_bytes` until then.
    #[must_use]
    pub fn new<B>(source: B, limits: HttpLimits) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        Body { source: source.map_err(Into::into).boxed(), limits, limit_bytes: limits.json_limit_bytes, received_bytes: 0, window: None }
    }

    /// A body of bytes in memory, with the default limits.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Body {
        Body::new(Full::new(bytes), HttpLimits::default())
    }

    /// How many bytes the client announced, if it did.
    #[must_use]
    pub fn announced_bytes(&self) -> Option<u64> {
        self.source.size_hint().exact().map(|rest| rest.saturating_add(self.received_bytes))
    }

    /// How many bytes have been read so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Sets the most that this body may hold in all, in bytes.
    ///
    /// # Errors
    /// `too_large` when the client announced more; nothing is read then.
    pub fn set_limit(&mut self, limit_bytes: u64) -> Result<()> {
        self.limit_bytes = limit_bytes;
        let least = self.source.size_hint().lower().saturating_add(self.received_bytes);
        if least > limit_bytes { Err(too_large(limit_bytes)) } else { Ok(()) }
    }

    /// The next piece, or `None` at the end. Trailers are skipped.
    ///
    /// # Errors
    /// `too_large` past the limit, `request_timeout` when too little arrives in a window, `bad_request` when the connection breaks.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        self.set_limit(self.limit_bytes)?;
        loop {
            let frame = poll_fn(|context| self.poll_frame(context)).await?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(chunk) = frame.into_data() else { continue };
            if chunk.is_empty() {
                continue;
            }
            self.received_bytes = self.received_bytes.saturating_add(size_of_chunk(&chunk));
            if self.received_bytes > self.limit_bytes {
                return Err(too_large(self.limit_bytes));
            }
            return Ok(Some(chunk));
        }
    }

    /// The whole rest of the body, at most `limit_bytes` in all.
    ///
    /// # Errors
    /// As `next_chunk`.
    pub async fn read_bounded(&mut self, limit_bytes: u64) -> Result<Bytes> {
        self.set_limit(limit_bytes)?;
        let Some(first) = self.next_chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next_chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.next_chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The whole body as JSON of the shape `T`, at most `limit_bytes`.
    ///
    /// # Errors
    /// As `next_chunk`; `bad_request` naming the member that is unknown, missing or of the wrong type.
    pub async fn read_json<T: DeserializeOwned>(&mut self, limit_bytes: u64) -> Result<T> {
        let bytes = self.read_bounded(limit_bytes).await?;
        json::parse(&bytes)
    }

    /// The next frame, or an error once a window passed that brought less than the minimum. What is already here is taken before
    /// the time is looked at, so that a slow reader on our side is never held against the client.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>>> {
        match Pin::new(&mut self.source).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.count(&frame);
                Poll::Ready(Ok(Some(frame)))
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(Err(broken(cause))),
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Pending => {
                let length = self.limits.body_idle_timeout();
                let window = self.window.get_or_insert_with(|| Window { end: Box::pin(tokio::time::sleep(length)), received_bytes: 0 });
                window.end.as_mut().poll(context).map(|()| Err(self.timed_out()))
            }
        }
    }

    fn count(&mut self, frame: &Frame<Bytes>) {
        let Some(window) = &mut self.window else { return };
        window.received_bytes = window.received_bytes.saturating_add(frame.data_ref().map_or(0, size_of_chunk));
        if window.received_bytes >= self.limits.body_idle_minimum_bytes {
            self.window = None;
        }
    }

    fn timed_out(&self) -> Error {
        let HttpLimits { body_idle_timeout_ms, body_idle_minimum_bytes, .. } = self.limits;
        Error::new(
            Code::RequestTimeout,
            format!(
                "the request body stopped after {} bytes: fewer than {body_idle_minimum_bytes} more came in {body_idle_timeout_ms} ms; send it again",
                self.received_bytes
            ),
        )
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("received_bytes", &self.received_bytes).field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

/// A body can be handed to a reader of `http_body` bodies, such as a multipart parser; limits and windows stay in force.
impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        if let Err(error) = body.set_limit(body.limit_bytes) {
            return Poll::Ready(Some(Err(error)));
        }
        body.poll_frame(context).map(|frame| {
            let frame = match frame {
                Ok(frame) => frame?,
                Err(error) => return Some(Err(error)),
            };
            body.received_bytes = body.received_bytes.saturating_add(frame.data_ref().map_or(0, size_of_chunk));
            Some(if body.received_bytes > body.limit_bytes { Err(too_large(body.limit_bytes)) } else { Ok(frame) })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

fn size_of_chunk(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

fn too_large(limit_bytes: u64) -> Error {
    Error::new(Code::TooLarge, format!("the request body exceeds the limit of {limit_bytes} bytes")).with("limit", limit_bytes)
}

fn broken(cause: BoxError) -> Error {
    Error::bad_request("the request body broke off before its end; send it again").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;

    fn limits() -> HttpLimits {
        HttpLimits { body_idle_timeout_ms: 100, body_idle_minimum_bytes: 10, ..HttpLimits::default() }
    }

    /// A body of unknown length whose pieces come `gap_ms` apart.
    fn trickle(pieces: Vec<&'static str>, gap_ms: u64) -> Body {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
        tokio::spawn(async move {
            for piece in pieces {
                tokio::time::sleep(std::time::Duration::from_millis(gap_ms)).await;
                if sender.send(Ok(Frame::data(Bytes::from(piece)))).await.is_err() {
                    return;
                }
            }
        });
        let stream =
            futures_util::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) });
        Body::new(StreamBody::new(SyncStream(Box::pin(stream))), limits())
    }

    struct SyncStream<S>(Pin<Box<S>>);

    impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
        type Item = S::Item;

        fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
            self.get_mut().0.as_mut().poll_next(context)
        }
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_before_reading() {
        let mut body = Body::from_bytes(Bytes::from_static(b"12345678901"));
        let error = body.read_bounded(10).await.unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
        assert!(error.message().contains("10 bytes"), "{error}");
        assert_eq!(error.members()["limit"], 10);
        assert_eq!(body.received_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_a_length_is_cut_at_the_limit() {
        let mut body = trickle(vec!["123456", "7890", "1", "never read"], 1);
        assert_eq!(body.read_bounded(10).await.unwrap_err().code(), Code::TooLarge);
        assert_eq!(body.received_bytes(), 11);
        assert_eq!(trickle(vec!["123456", "7890"], 1).read_bounded(10).await.unwrap(), "1234567890");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_times_out() {
        let mut body = trickle(vec!["first", "late"], 101);
        assert_eq!(body.next_chunk().await.unwrap_err().code(), Code::RequestTimeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_times_out_although_it_never_stops() {
        let mut body = trickle(vec!["x"; 50], 30);
        let error = body.read_bounded(1000).await.unwrap_err();
        assert_eq!(error.code(), Code::RequestTimeout);
        assert!(error.message().contains("after 3 bytes"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_above_the_minimum_is_read_whole() {
        let mut body = trickle(vec!["0123456789"; 20], 90);
        assert_eq!(body.read_bounded(1000).await.unwrap().len(), 200);
    }

    #[tokio::test]
    async fn a_broken_body_is_the_clients_fault() {
        let failing = StreamBody::new(futures_util::stream::iter([
            Ok(Frame::data(Bytes::from_static(b"a"))),
            Err::<_, BoxError>("reset by peer".into()),
        ]));
        let error = Body::new(failing, limits()).read_bounded(10).await.unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        assert!(!error.message().contains("reset"));
    }
}
