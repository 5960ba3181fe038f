//! The service manager: what it is told (sd_notify(3)), and the watchdog. Invariant: without a manager nothing happens; the watchdog is fed
//! only when every part of the server has just answered, and an answer that says "not now" is an answer: a full disk is no reason to be killed.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::listeners::Address;
use crate::error::{Error, Result};
use crate::hop;
use crate::pulse::Workers;
use crate::store::Store;

/// Tells the manager that the server can be used, and what it does.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the manager that the server ends, and why that may take a moment.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells the manager that the settings are read again; `ready` ends that.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(cause) => tracing::debug!(%cause, "the service manager is not told of the reload"),
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(states) {
        tracing::warn!(%cause, "the service manager could not be told");
    }
}

/// Feeds the watchdog of the manager, if it has one, as long as every part answers: three times in each of its periods, so that one slow
/// answer kills nobody.
pub(super) async fn feed_watchdog(store: Arc<Store>, listeners: Vec<Address>, max_connections: usize) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let pause = period / 3;
    loop {
        match ask_everybody(&store, &listeners, max_connections, pause).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(error) => tracing::error!(?error, "a part of the server does not answer; the watchdog is not fed"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks each part for a sign of life, each for so long at most.
async fn ask_everybody(store: &Arc<Store>, listeners: &[Address], max_connections: usize, patience: Duration) -> Result<()> {
    let silent = |what: &str| Error::internal("asking for a sign of life", format!("{what} gave none within {} ms", patience.as_millis()));
    tokio::time::timeout(patience, store.bookkeep(|_| Ok(()))).await.map_err(|_| silent("the writer"))?.or_else(or_refused)?;
    let source = Arc::clone(store);
    let read = hop::run(move || source.policy(None).map(drop));
    tokio::time::timeout(patience, read).await.map_err(|_| silent("the readers"))?.or_else(or_refused)?;
    match store.pulse().ask(patience).await {
        Workers::Working | Workers::Failing => {}
        Workers::Overdue | Workers::Stopped | Workers::Silent => return Err(silent("the background work")),
    }
    for listener in listeners {
        // With every place taken nobody is accepted until one gets free, which is no fault of the listener.
        let is_full = || store.metrics().requests.open_connections() >= max_connections;
        let answered = tokio::time::timeout(patience, answers(listener)).await.unwrap_or(false);
        if !answered && !is_full() {
            return Err(silent(&format!("the listener {listener}")));
        }
    }
    Ok(())
}

/// A part that refuses, as on a full disk, is alive.
fn or_refused(_error: Error) -> Result<()> {
    Ok(())
}

/// Whether a listener answers a request at all; one with TLS refuses a plain request, or closes, and that is an answer too.
async fn answers(listener: &Address) -> bool {
    match listener.reached_here() {
        Address::Http(address) | Address::Https(address) => match TcpStream::connect(address).await {
            Ok(stream) => is_answered(stream).await,
            Err(_) => false,
        },
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => is_answered(stream).await,
            Err(_) => false,
        },
    }
}

async fn is_answered(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let asked = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    // The end of the stream is an answer as well: somebody has accepted it and let it go.
    asked.is_ok() && stream.read(&mut [0; 16]).await.is_ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::StoreOptions;

    const PATIENCE: Duration = Duration::from_millis(300);

    fn store(directory: &tempfile::TempDir) -> Arc<Store> {
        Arc::new(Store::open(&StoreOptions::at(directory.path()), Arc::new(SystemClock)).unwrap())
    }

    #[tokio::test]
    async fn whoever_is_silent_is_named_and_the_watchdog_stays_unfed() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let error = ask_everybody(&store, &[], 10, PATIENCE).await.unwrap_err();
        assert!(error.cause().unwrap().to_string().contains("the background work"), "nobody works here: {error:?}");
        let mut questions = store.pulse().listen();
        tokio::spawn(async move {
            loop {
                questions.next().await;
                questions.answer(Workers::Working);
            }
        });
        ask_everybody(&store, &[], 10, PATIENCE).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = [Address::Http(listener.local_addr().unwrap())];
        let error = ask_everybody(&store, &address, 10, PATIENCE).await.unwrap_err();
        assert!(error.cause().unwrap().to_string().contains("the listener http://127.0.0.1:"), "{error:?}");
        ask_everybody(&store, &address, 0, PATIENCE).await.unwrap();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let writing = Arc::clone(&store);
        let stuck = tokio::spawn(async move { writing.bookkeep(move |_| Ok(wait.recv().is_err())).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let error = ask_everybody(&store, &[], 10, PATIENCE).await.unwrap_err();
        assert!(error.cause().unwrap().to_string().contains("the writer"), "{error:?}");
        drop(release);
        stuck.await.unwrap().unwrap();
        ask_everybody(&store, &[], 10, PATIENCE).await.unwrap();
    }
}
