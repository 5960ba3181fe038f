//! HTTP/1.1 on one connection. Invariant: whoever was told to stop answers what was sent before, and says in the answer that the
//! connection closes.
//!
//! The version is not sniffed: sniffing waits for a first byte without a time limit.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use ::http::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Socket, Unread, WatchedBody};
use super::request::Origin;
use super::router::Application;
use super::server::Shared;

/// Serves one connection to its end.
pub(super) async fn serve<A, S>(shared: &Shared<A>, stream: S, origin: Origin)
where
    A: Application,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = *shared.router.app().limits();
    let unread = Unread::default();
    let socket = TokioIo::new(Socket::new(stream, limits, unread.clone()));
    let (router, stop) = (Arc::clone(&shared.router), shared.stop.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(origin);
        let (router, unread, stop) = (Arc::clone(&router), unread.clone(), stop.clone());
        // A client that asked first and is refused sends no body, so hyper closes whatever the rest of it is.
        let asks_first = request.headers().contains_key(header::EXPECT);
        async move {
            let mut response = router.handle(request.map(|incoming| WatchedBody::new(incoming, unread.clone()))).await;
            if unread.closes_connection() || (asks_first && unread.some()) || stop.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_read_timeout()).max_header_size(limits.header_limit_bytes);
    let mut connection = pin!(builder.serve_connection(socket, service));
    // An idle connection may have a request on its way when the order to stop comes: closing it right then would lose that request.
    let idle_after_stop = async {
        shared.stop.cancelled().await;
        tokio::time::sleep(limits.idle_grace()).await;
    };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shared.cut.cancelled() => Ok(()),
        () = idle_after_stop => {
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
}
