//! Bytes and drafts on their way in. Invariant: bytes are durable before the row that names them; memory per upload is
//! bounded and independent of its size.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::Registry;
use super::space::Room;
use crate::blobs::stage::Stage;
use crate::blobs::staged::{Expected, Staged};
use crate::domain::access::{Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::{UploadId, VersionId};
use crate::domain::name::{Coordinates, RelativePath};
use crate::domain::version::Version;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{Done, ENTRIES_LIMIT, NewEntry, Upload, UploadState};

/// Where the bytes of an upload come from.
pub trait BlobSource: Stream<Item = Result<Bytes>> + Send {}

impl<S: Stream<Item = Result<Bytes>> + Send> BlobSource for S {}

/// How an upload starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStart {
    /// A session to append to.
    Session(Upload),
    /// This repo was given these very bytes before.
    Deduplicated {
        /// Their sha256.
        digest: Digest,
        /// Their size.
        size_bytes: u64,
    },
}

/// Bytes taken in for a native publish, staged but not yet given to the repo: package readers may look at them.
pub struct Received {
    staged: Staged,
}

impl Received {
    /// The sha256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.staged.digest()
    }

    /// Their number.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.staged.size_bytes()
    }

    /// The file, for package readers only; nothing read here reaches a client but through the gate.
    ///
    /// # Errors
    /// Internal when it cannot be opened.
    pub fn reader(&self) -> Result<std::fs::File> {
        self.staged.reader_for_admission()
    }

    /// Its md5, for clients that announce nothing better; 32 lower-case hex digits.
    ///
    /// # Errors
    /// Internal when the file cannot be read.
    pub async fn md5(&self) -> Result<String> {
        Ok(self.staged.checksums().await?.md5)
    }

    pub(super) fn into_staged(self) -> Staged {
        self.staged
    }

    /// Throws the bytes away.
    ///
    /// # Errors
    /// Internal when the file cannot be removed.
    pub async fn discard(self) -> Result<()> {
        self.staged.abandon().await
    }
}

impl Registry {
    /// Starts an upload, or says that this repo has the bytes already.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn begin_upload(&self, permit: &Permit<Write>, digest: Option<Digest>, length: Option<u64>) -> Result<UploadStart> {
        if let Some(digest) = digest {
            let (store, asked) = (Arc::clone(&self.store), permit.clone());
            if let Some(size_bytes) = hop::run(move || store.author(&asked)?.blob_size(&digest)).await? {
                return Ok(UploadStart::Deduplicated { digest, size_bytes });
            }
        }
        self.room(permit).await?.check(length.unwrap_or(0))?;
        let expires_at = self.store.clock().now().plus_ms(self.upload_expire_ms);
        let writing = permit.clone();
        let upload = self.store.write(permit, move |tx| tx.open_upload(&writing, (digest, length), expires_at)).await?;
        self.blobs.begin(upload.id).await?.pause().await?;
        Ok(UploadStart::Session(upload))
    }

    /// The session and how many bytes it has received.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn upload(&self, permit: &Permit<Write>, id: UploadId) -> Result<(Upload, u64)> {
        let (store, asked) = (Arc::clone(&self.store), permit.clone());
        let upload = hop::run(move || store.author(&asked)?.upload(&id)).await?;
        let offset = self.blobs.find_offset(id).await?.unwrap_or(0);
        Ok((upload, offset))
    }

    /// Appends bytes at `first`, which must be where the session stands; returns the new offset. What arrived before a
    /// break stays.
    ///
    /// # Errors
    /// `conflict` for another offset or a session that is not open; what `source` fails with.
    pub async fn append_upload(&self, permit: &Permit<Write>, id: UploadId, first: u64, source: impl BlobSource) -> Result<u64> {
        let (upload, _) = self.upload(permit, id).await?;
        self.check_open(&upload)?;
        let mut stage = self.blobs.resume(id).await?;
        if stage.offset() != first {
            let offset = stage.pause().await?;
            return Err(
                Error::conflict(format!("the upload stands at byte {offset}, not {first}; go on from there")).with("offset", offset)
            );
        }
        let room = self.room(permit).await?;
        let drained = drain(&mut stage, source, &room).await;
        let offset = stage.pause().await?;
        drained.map(|()| offset)
    }

    fn check_open(&self, upload: &Upload) -> Result<()> {
        if upload.state != UploadState::Open || upload.expires_at <= self.store.clock().now() {
            let state = if upload.state == UploadState::Open { "expired" } else { upload.state.as_str() };
            return Err(Error::conflict(format!("upload {} is {state}; start a new one", upload.id)));
        }
        Ok(())
    }

    /// Ends a session: verifies its bytes and gives them to the repo.
    ///
    /// # Errors
    /// `upload_verification_failed`, which also ends the session; `conflict` when it is not open.
    pub async fn commit_upload(&self, permit: &Permit<Write>, id: UploadId, digest: Option<Digest>) -> Result<(Digest, u64)> {
        let (upload, _) = self.upload(permit, id).await?;
        self.check_open(&upload)?;
        let staged = self.blobs.resume(id).await?.finish().await?;
        let announced = [upload.expected_digest, digest];
        for expected in announced.into_iter().flatten() {
            if expected != staged.digest() {
                return Err(self.failed_verification(permit, id, staged, Some(expected), upload.expected_length).await);
            }
        }
        if upload.expected_length.is_some_and(|length| length != staged.size_bytes()) {
            return Err(self.failed_verification(permit, id, staged, upload.expected_digest, upload.expected_length).await);
        }
        self.give(permit, staged, Some(id)).await
    }

    async fn failed_verification(
        &self,
        permit: &Permit<Write>,
        id: UploadId,
        staged: Staged,
        digest: Option<Digest>,
        length: Option<u64>,
    ) -> Error {
        let Err(error) = staged.verify(Expected { digest, length }).await else {
            return Error::internal("verifying an upload", "a difference vanished");
        };
        let (repo, reason) = (permit.repo_key().clone(), error.message().to_owned());
        let ended = self
            .store
            .write(permit, move |tx| {
                let aborted = tx.abort_upload(&repo, &id, "its bytes are not what was announced")?;
                Ok(aborted.and(Event::UploadVerificationFailed { repo, upload_id: id, reason }))
            })
            .await;
        ended.err().unwrap_or(error)
    }

    /// Ends a session and throws its bytes away.
    ///
    /// # Errors
    /// `conflict` when it is not open.
    pub async fn abort_upload(&self, permit: &Permit<Write>, id: UploadId) -> Result<()> {
        let repo = permit.repo_key().clone();
        self.store.write(permit, move |tx| tx.abort_upload(&repo, &id, "aborted by its client")).await?;
        self.blobs.abandon(id).await
    }

    /// Takes a whole blob in at once; its digest must be `digest`.
    ///
    /// # Errors
    /// `upload_verification_failed`; what `source` fails with.
    pub async fn put_blob(&self, permit: &Permit<Write>, digest: Digest, source: impl BlobSource) -> Result<(Digest, u64)> {
        let room = self.room_for(permit, &digest).await?;
        let received = self.receive_into(room, source).await?;
        let received = self.verify(permit, received, digest).await?;
        self.accept(permit, received).await
    }

    /// Compares received bytes with the sha256 that their client announced. A difference is recorded, and the bytes are thrown away.
    ///
    /// # Errors
    /// `upload_verification_failed`.
    pub async fn verify(&self, permit: &Permit<Write>, received: Received, announced: Digest) -> Result<Received> {
        match received.staged.verify(Expected { digest: Some(announced), length: None }).await {
            Ok(staged) => Ok(Received { staged }),
            Err(error) => {
                let (repo, reason) = (permit.repo_key().clone(), error.message().to_owned());
                let upload_id = UploadId::new(self.store.clock().uuid());
                self.store.write(permit, move |_| Ok(Done::new((), Event::UploadVerificationFailed { repo, upload_id, reason }))).await?;
                Err(error)
            }
        }
    }

    /// Takes bytes in without giving them to the repo yet.
    ///
    /// # Errors
    /// `too_large`, also where a quota has no room; `insufficient_storage`; what `source` fails with.
    pub async fn receive(&self, permit: &Permit<Write>, source: impl BlobSource) -> Result<Received> {
        self.receive_into(self.room(permit).await?, source).await
    }

    async fn receive_into(&self, room: Room, source: impl BlobSource) -> Result<Received> {
        let id = UploadId::new(self.store.clock().uuid());
        let mut stage = self.blobs.begin(id).await?;
        match drain(&mut stage, source, &room).await {
            Ok(()) => Ok(Received { staged: stage.finish().await? }),
            Err(error) => {
                drop(stage);
                self.blobs.abandon(id).await?;
                Err(error)
            }
        }
    }

    /// Gives received bytes to the repo, so that a draft may name them.
    ///
    /// # Errors
    /// `insufficient_storage`; internal when the store fails.
    pub async fn accept(&self, permit: &Permit<Write>, received: Received) -> Result<(Digest, u64)> {
        self.give(permit, received.staged, None).await
    }

    async fn give(&self, permit: &Permit<Write>, staged: Staged, session: Option<UploadId>) -> Result<(Digest, u64)> {
        let stored = staged.commit().await?;
        let (digest, size_bytes) = (stored.digest(), stored.size_bytes());
        let writing = permit.clone();
        // The write may outlive this future. What it gives back is dropped after its commit, and until then the blob is not collected.
        let given = self.store.write(permit, move |tx| {
            let done = tx.commit_upload(&writing, session.as_ref(), &digest, size_bytes)?;
            Ok(done.map(|()| stored))
        });
        match given.await {
            Ok(stored) => drop(stored),
            Err(error) => {
                self.remove_unnamed(vec![digest]).await;
                return Err(error);
            }
        }
        Ok((digest, size_bytes))
    }

    /// A draft at these coordinates: a new one, or the caller's own unfinished one (`true`).
    ///
    /// # Errors
    /// `policy_denied` for a name that is reserved for others; `conflict` when the coordinate is taken.
    pub async fn draft(&self, permit: &Permit<Write>, coordinates: Coordinates) -> Result<(Version, bool)> {
        self.check_reserved(permit, coordinates.package(), Action::Publish).await?;
        let writing = permit.clone();
        self.store
            .write(permit, move |tx| {
                let (version, reused) = tx.draft(&writing, &coordinates)?;
                let named = crate::domain::event::Named::new(&version.repo, version.id, &version.coordinates);
                let event = if reused { Event::DraftReused { version: named } } else { Event::DraftCreated { version: named } };
                Ok(Done::new((version, reused), event))
            })
            .await
    }

    /// Puts files into a draft; checksums that the client gave are verified against the blobs first.
    ///
    /// # Errors
    /// `too_large` for more entries than a version may have; `upload_verification_failed`, and those of
    /// `store::Write::put_entries`.
    pub async fn put_entries(&self, permit: &Permit<Write>, id: VersionId, entries: Vec<NewEntry>) -> Result<()> {
        if entries.len() > ENTRIES_LIMIT {
            return Err(Error::too_large("the number of entries", ENTRIES_LIMIT as u64));
        }
        self.check_reserved_version(permit, id, Action::Publish).await?;
        self.verify_checksums(permit, &entries).await?;
        let writing = permit.clone();
        self.store
            .write(permit, move |tx| {
                let version = tx.put_entries(&writing, &id, &entries)?;
                let first_path = entries.first().map(|entry| entry.path.to_string()).unwrap_or_default();
                Ok(Done::new((), Event::EntriesSet { version, count: entries.len(), first_path }))
            })
            .await
    }

    async fn verify_checksums(&self, permit: &Permit<Write>, entries: &[NewEntry]) -> Result<()> {
        // One blob may stand behind thousands of entries; its bytes are read once.
        let mut known: HashMap<Digest, Option<String>> = HashMap::new();
        for entry in entries {
            let Some(expected) = entry.sha1.as_ref() else { continue };
            let actual = match known.get(&entry.digest) {
                Some(actual) => actual.clone(),
                None => {
                    let actual = self.sha1_of(permit, entry.digest).await?;
                    known.insert(entry.digest, actual.clone());
                    actual
                }
            };
            if let Some(actual) = actual.filter(|actual| actual != expected) {
                return Err(Error::new(Code::UploadVerificationFailed, format!("the sha1 of {} is {actual}, not {expected}", entry.path))
                    .with("expectedDigest", expected.as_str())
                    .with("actualDigest", actual));
            }
        }
        Ok(())
    }

    /// The sha1 of a blob that this repo was given; `None` for another, as a checksum would tell that others have it.
    async fn sha1_of(&self, permit: &Permit<Write>, digest: Digest) -> Result<Option<String>> {
        let (store, asked, vault) = (Arc::clone(&self.store), permit.clone(), self.blobs.vault());
        hop::run(move || {
            let given = store.author(&asked)?.blob_size(&digest)?;
            given.map(|_| vault.checksums(digest)).transpose().map(|found| found.map(|checksums| checksums.sha1))
        })
        .await
    }

    /// Takes a file out of a draft.
    ///
    /// # Errors
    /// `version_sealed`; `not_found`.
    pub async fn remove_entry(&self, permit: &Permit<Write>, id: VersionId, path: RelativePath) -> Result<()> {
        let writing = permit.clone();
        self.store
            .write(permit, move |tx| {
                let version = tx.remove_entry(&writing, &id, &path)?;
                Ok(Done::new((), Event::EntryRemoved { version, path: path.to_string() }))
            })
            .await
    }

    /// Sets a draft's manifest: the bytes of a JSON object, kept as they are.
    ///
    /// # Errors
    /// `version_sealed`; `bad_request` when the bytes are no JSON object.
    pub async fn put_manifest(&self, permit: &Permit<Write>, id: VersionId, bytes: Bytes) -> Result<Digest> {
        self.check_reserved_version(permit, id, Action::Publish).await?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).map_err(|cause| {
            Error::bad_request("the manifest must be a JSON object in UTF-8, nested less than 128 levels deep").because(cause)
        })?;
        let writing = permit.clone();
        self.store
            .write(permit, move |tx| {
                let (version, digest) = tx.put_manifest(&writing, &id, &bytes)?;
                Ok(Done::new(digest, Event::ManifestSet { version, digest }))
            })
            .await
    }
}

async fn drain(stage: &mut Stage, source: impl BlobSource, room: &Room) -> Result<()> {
    let mut source = pin!(source);
    while let Some(chunk) = source.next().await {
        let chunk = chunk?;
        room.check(stage.offset().saturating_add(chunk.len() as u64))?;
        stage.append(chunk).await?;
    }
    Ok(())
}
