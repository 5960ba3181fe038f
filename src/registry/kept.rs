//! Bytes on their way into a repo together with what names them. Invariant: they are durable before the row that names them, and that
//! row comes in one transaction with the draft: a publish waits for no commit of its own for each of its files.

use std::sync::Arc;

use super::Registry;
use super::upload::Received;
use crate::blobs::staged::Stored;
use crate::domain::access::{Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::name::Coordinates;
use crate::error::Result;
use crate::hop;
use crate::store::NewEntry;

/// Durable bytes that no repo was given yet. Nothing removes them while this lives.
pub struct Kept {
    stored: Stored,
}

impl Kept {
    /// The sha256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.stored.digest()
    }

    /// Their number.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.stored.size_bytes()
    }
}

impl Registry {
    /// Makes received bytes durable, for a deposit or a draft that gives them to its repo.
    ///
    /// # Errors
    /// `insufficient_storage`; internal when the disk fails.
    pub async fn keep(&self, received: Received) -> Result<Kept> {
        Ok(Kept { stored: received.into_staged().commit().await? })
    }

    /// Puts one file into a draft at these coordinates: a new one, or the caller's own unfinished one.
    ///
    /// # Errors
    /// `policy_denied` for a name that is reserved for others; `conflict` when the coordinate is taken; those of
    /// `store::Write::put_entries`.
    pub async fn draft_with(&self, permit: &Permit<Write>, coordinates: Coordinates, kept: Kept, entry: NewEntry) -> Result<VersionId> {
        self.check_reserved(permit, coordinates.package(), Action::Publish).await?;
        // The write may outlive this future. What it gives back is dropped after its commit, and until then the bytes stay.
        let (writing, digest) = (permit.clone(), kept.digest());
        let drafted = self
            .store
            .write(permit, move |tx| {
                let given = tx.commit_upload(&writing, None, &kept.digest(), kept.size_bytes())?;
                let (version, reused) = tx.draft(&writing, &coordinates)?;
                let named = tx.put_entries(&writing, &version.id, std::slice::from_ref(&entry))?;
                let event =
                    if reused { Event::DraftReused { version: named.clone() } } else { Event::DraftCreated { version: named.clone() } };
                let filled = Event::EntriesSet { version: named, count: 1, first_path: entry.path.to_string() };
                Ok(given.map(|()| (version.id, kept)).and(event).and(filled))
            })
            .await;
        match drafted {
            Ok((id, kept)) => {
                drop(kept);
                Ok(id)
            }
            Err(error) => {
                self.remove_unnamed(vec![digest]).await;
                Err(error)
            }
        }
    }

    /// Removes bytes whose write was refused, as for want of room, and that nobody else names. Should that fail, they are files without a
    /// row, which the collector takes.
    pub(super) async fn remove_unnamed(&self, digests: Vec<Digest>) {
        let (store, vault) = (Arc::clone(&self.store), self.blobs.vault());
        let removed =
            hop::run(move || digests.iter().try_for_each(|digest| vault.delete(*digest, || store.is_blob_known(digest)).map(drop)));
        if let Err(error) = removed.await {
            tracing::warn!(?error, "the bytes of a refused write are left to the collector");
        }
    }
}
