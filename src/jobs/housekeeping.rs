//! What is done by time and not by queue: notes, stamps, downloads, expired uploads, stray files. Invariant: each loop sleeps until there is
//! something to write, or for an hour; readers are never made to wait, and an orderly end writes everything.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::blobs::Blobs;
use crate::domain::access::Actor;
use crate::error::{Code, Result};
use crate::hop;
use crate::store::Store;

/// Notes are gathered for so long, so that a burst of refusals becomes few audit rows.
const NOTES_PAUSE: Duration = Duration::from_secs(1);
/// Stamps are gathered for so long: a token that is used all the time is written twice a minute.
const STAMPS_PAUSE: Duration = Duration::from_secs(30);
/// Downloads are gathered for so long.
const DOWNLOADS_PAUSE: Duration = Duration::from_secs(5);
/// After a failed flush.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// Between looks for expired uploads.
const UPLOADS_PAUSE: Duration = Duration::from_secs(3600);
/// Expired uploads looked at in one go.
const UPLOADS_BATCH: usize = 100;

/// Writes what was noted, about a second later.
pub(super) async fn keep_notes(store: Arc<Store>, stop: CancellationToken) {
    while wait(store.noted(), &stop).await && wait(tokio::time::sleep(NOTES_PAUSE), &stop).await {
        if let Err(error) = store.flush_notes().await {
            tracing::warn!(?error, "failed logins and blocked reads cannot be written now; they are kept");
            wait(tokio::time::sleep(FAILURE_PAUSE), &stop).await;
        }
    }
}

/// Writes when tokens were last used, about half a minute later.
pub(super) async fn keep_stamps(store: Arc<Store>, stop: CancellationToken) {
    while wait(store.token_used(), &stop).await && wait(tokio::time::sleep(STAMPS_PAUSE), &stop).await {
        if let Err(error) = store.flush_token_use().await {
            tracing::warn!(?error, "the last use of tokens cannot be written now; it is kept");
        }
    }
}

/// Writes who fetched what, some seconds later.
pub(super) async fn keep_downloads(store: Arc<Store>, per_version: u32, stop: CancellationToken) {
    while wait(store.fetched(), &stop).await && wait(tokio::time::sleep(DOWNLOADS_PAUSE), &stop).await {
        if let Err(error) = store.flush_downloads(per_version).await {
            tracing::warn!(?error, "who fetched which version cannot be written now; it is kept");
            wait(tokio::time::sleep(FAILURE_PAUSE), &stop).await;
        }
    }
}

/// Sweeps the staging directory once, and ends expired uploads at once and every hour.
pub(super) async fn keep_uploads(store: Arc<Store>, blobs: Blobs, stop: CancellationToken) {
    if let Err(error) = sweep_staging(&store, &blobs).await {
        tracing::warn!(?error, "the staging directory could not be swept; the next start tries again");
    }
    loop {
        match expire_uploads(&store, &blobs).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "expired uploads were ended"),
            Err(error) => tracing::warn!(?error, "expired uploads could not be ended; trying again in an hour"),
        }
        if !wait(tokio::time::sleep(UPLOADS_PAUSE), &stop).await {
            return;
        }
    }
}

/// Writes everything that readers left behind: the last step of an orderly end.
pub(super) async fn flush(store: &Store, downloads_per_version: u32) {
    if let Err(error) = store.flush_notes().await {
        tracing::error!(?error, "failed logins and blocked reads could not be written before the end");
    }
    if let Err(error) = store.flush_downloads(downloads_per_version).await {
        tracing::error!(?error, "who fetched which version could not be written before the end");
    }
    if let Err(error) = store.flush_token_use().await {
        tracing::error!(?error, "the last use of tokens could not be written before the end");
    }
}

/// Ends open uploads that expired, and removes their bytes. Returns how many.
pub(super) async fn expire_uploads(store: &Arc<Store>, blobs: &Blobs) -> Result<usize> {
    let actor = Actor::system("uploads");
    let mut total = 0;
    loop {
        let source = Arc::clone(store);
        let expired = hop::run(move || source.expired_uploads(source.clock().now(), UPLOADS_BATCH)).await?;
        let mut ended = 0;
        for upload in &expired {
            let (repo, id) = (upload.repo.clone(), upload.id);
            match store.write(&actor, move |tx| tx.abort_upload(&repo, &id, "expired")).await {
                Ok(()) => {}
                // Its client ended it a moment ago; its bytes are not ours to remove.
                Err(error) if error.code() == Code::Conflict => continue,
                Err(error) => return Err(error),
            }
            ended += 1;
            if let Err(error) = blobs.abandon(id).await {
                tracing::warn!(?error, %id, "the bytes of an expired upload could not be removed; the sweep at the next start will");
            }
        }
        total += ended;
        if ended == 0 || expired.len() < UPLOADS_BATCH {
            return Ok(total);
        }
    }
}

/// Removes staging files that belong to no open upload and that nobody is writing.
pub(super) async fn sweep_staging(store: &Arc<Store>, blobs: &Blobs) -> Result<()> {
    let (store, vault) = (Arc::clone(store), blobs.vault());
    // When in doubt a file is kept.
    let swept = hop::run(move || vault.sweep_staging(|upload| store.is_upload_open(&upload).unwrap_or(true))).await?;
    if swept.removed_count > 0 {
        tracing::info!(files = swept.removed_count, bytes = swept.removed_bytes, "stray staging files were removed");
    }
    Ok(())
}

/// Waits for `event`; false when the order to stop comes first.
async fn wait(event: impl Future<Output = ()>, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = event => true,
    }
}

#[cfg(test)]
mod tests;
