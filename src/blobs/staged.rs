//! A finished upload and its way into the store of blobs. Invariant: bytes get a name only after they are verified and durable,
//! and the name itself is durable before `commit` returns.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk::{create_directory, disk_fault, remove_if_present, sync_directory};
use super::vault::Checksums;
use super::{Blobs, Pin};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::error::{Code, Error, Result};
use crate::hop;

/// Blobs are written once.
pub(super) const BLOB_MODE: u32 = 0o400;

/// All bytes of an upload, hashed, in its staging file. Dropped without `commit` or `abandon`, it leaves a file for the sweep.
#[derive(Debug)]
pub struct Staged {
    blobs: Blobs,
    upload: UploadId,
    /// Kept open for its lock: while it lives, the sweep leaves the file alone.
    file: File,
    digest: Digest,
    size_bytes: u64,
}

/// What a client announced about the bytes; `None` where it announced nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Their sha256.
    pub digest: Option<Digest>,
    /// Their number.
    pub length: Option<u64>,
}

/// A durable blob. Keep it until the row that refers to it is committed: while it lives, the blob is not deleted.
#[derive(Debug)]
pub struct Stored {
    pin: Pin,
    size_bytes: u64,
}

impl Staged {
    pub(super) fn new(blobs: Blobs, upload: UploadId, file: File, digest: Digest, size_bytes: u64) -> Staged {
        Staged { blobs, upload, file, digest, size_bytes }
    }

    /// The sha256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Compares the bytes with what was announced; on a difference the staging file is removed.
    ///
    /// # Errors
    /// `upload_verification_failed` with `expectedDigest`, `actualDigest`, `expectedLength` and `actualLength` (expected members only
    /// where announced).
    pub async fn verify(self, expected: Expected) -> Result<Staged> {
        let Some(error) = self.difference(expected) else { return Ok(self) };
        self.abandon().await?;
        Err(error)
    }

    /// The sha1 and md5 of the bytes, for clients that announce those.
    ///
    /// # Errors
    /// Internal, when the staging file cannot be read.
    pub async fn checksums(&self) -> Result<Checksums> {
        let (path, upload) = (self.path(), self.upload);
        hop::run(move || Checksums::of_file(&path).map_err(|cause| disk_fault(format!("reading upload {upload}"), cause))).await
    }

    /// Opens the bytes for the extraction of metadata before the version is admitted, and for nothing else: no byte of them may
    /// reach a client. Blocks; call it where blocking is allowed.
    ///
    /// # Errors
    /// Internal, when the staging file cannot be opened.
    pub fn reader_for_admission(&self) -> Result<File> {
        File::open(self.path()).map_err(|cause| disk_fault(format!("opening upload {}", self.upload), cause))
    }

    /// Makes the bytes a blob: durable under the name of their digest. If the blob exists already, the staged copy is dropped.
    ///
    /// # Errors
    /// Insufficient storage; conflict, when the upload was aborted meanwhile; internal. The staging file stays, for the sweep.
    pub async fn commit(self) -> Result<Stored> {
        hop::run(move || self.commit_blocking()).await
    }

    /// Gives the bytes up and removes their file.
    ///
    /// # Errors
    /// Internal, when the file cannot be removed.
    pub async fn abandon(self) -> Result<()> {
        self.blobs.abandon(self.upload).await
    }

    fn path(&self) -> PathBuf {
        self.blobs.staging_path(self.upload)
    }

    fn difference(&self, expected: Expected) -> Option<Error> {
        let (digest, length) = (self.digest, self.size_bytes);
        let same_digest = expected.digest.is_none_or(|wanted| wanted == digest);
        let same_length = expected.length.is_none_or(|wanted| wanted == length);
        let what = match (same_digest, same_length) {
            (true, true) => return None,
            (false, true) => "digest",
            (true, false) => "length",
            (false, false) => "digest and length",
        };
        let message = format!("the {what} of the bytes received is not what was announced; nothing was stored; send the upload again");
        let mut error =
            Error::new(Code::UploadVerificationFailed, message).with("actualDigest", digest.to_string()).with("actualLength", length);
        if let Some(wanted) = expected.digest {
            error = error.with("expectedDigest", wanted.to_string());
        }
        if let Some(wanted) = expected.length {
            error = error.with("expectedLength", wanted);
        }
        Some(error)
    }

    fn commit_blocking(self) -> Result<Stored> {
        let (blobs, digest, size_bytes) = (&self.blobs, self.digest, self.size_bytes);
        let doing = || format!("committing blob {digest}");
        let actual_bytes = self.file.metadata().map_err(|cause| disk_fault(doing(), cause))?.len();
        if actual_bytes != size_bytes {
            return Err(Error::internal(doing(), format!("{size_bytes} bytes were staged, {actual_bytes} are there")));
        }
        // The pin comes first: from here on a blob that is found cannot vanish again.
        let pin = blobs.pin(digest);
        blobs.metrics.blobs.stored();
        ensure_shard(blobs, &digest)?;
        let path = blobs.blob_path(&digest);
        if has_size(&path, size_bytes)? {
            remove_if_present(&self.path())?;
        } else {
            self.file.set_permissions(Permissions::from_mode(BLOB_MODE)).map_err(|cause| disk_fault(doing(), cause))?;
            self.file.sync_all().map_err(|cause| disk_fault(doing(), cause))?;
            self.rename_to(&path)?;
        }
        // Also when the blob was there: whoever renamed it may not have made its name durable yet.
        sync_directory(&blobs.shard_path(&digest))?;
        Ok(Stored { pin, size_bytes })
    }

    fn rename_to(&self, path: &Path) -> Result<()> {
        std::fs::rename(self.path(), path).map_err(|cause| {
            if cause.kind() == ErrorKind::NotFound {
                Error::conflict(format!("upload {} was aborted while it was being committed; begin a new one", self.upload))
            } else {
                disk_fault(format!("naming blob {}", self.digest), cause)
            }
        })
    }
}

impl Stored {
    /// The sha256 of the blob: its name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.pin.digest
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Creates the directory `ab` of a digest, durably.
fn ensure_shard(blobs: &Blobs, digest: &Digest) -> Result<()> {
    let mut shard = blobs.shard(digest);
    if !shard.is_durable {
        let path = blobs.shard_path(digest);
        create_directory(&path).map_err(|cause| disk_fault(format!("creating {}", path.display()), cause))?;
        sync_directory(&blobs.inner.content)?;
        shard.is_durable = true;
    }
    Ok(())
}

/// Whether the blob is there with the size it must have. One of another size was damaged on disk: the verified bytes replace it.
fn has_size(path: &Path, size_bytes: u64) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() == size_bytes => Ok(true),
        Ok(metadata) => {
            tracing::error!(blob = %path.display(), size_bytes, actual_bytes = metadata.len(), "a damaged blob is replaced by a new upload of it");
            Ok(false)
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(disk_fault(format!("reading {}", path.display()), cause)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use bytes::Bytes;

    use super::super::testing::{files_below, store, upload, varied};
    use super::*;

    async fn staged(blobs: &Blobs, number: u8, bytes: &Bytes) -> Staged {
        let mut stage = blobs.begin(upload(number)).await.unwrap();
        stage.append(bytes.clone()).await.unwrap();
        stage.finish().await.unwrap()
    }

    #[tokio::test]
    async fn a_wrong_digest_or_length_tells_both_sides_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = Bytes::from_static(b"what came");
        let other = Digest::of(b"what was announced");
        for expected in [
            Expected { digest: Some(other), length: Some(9) },
            Expected { digest: Some(Digest::of(&bytes)), length: Some(10) },
            Expected { digest: Some(other), length: Some(10) },
        ] {
            let error = staged(&blobs, 1, &bytes).await.verify(expected).await.unwrap_err();
            assert_eq!(error.code(), Code::UploadVerificationFailed);
            assert_eq!(error.members()["actualDigest"], Digest::of(&bytes).to_string());
            assert_eq!(error.members()["actualLength"], 9);
            assert_eq!(error.members()["expectedDigest"], expected.digest.unwrap().to_string());
            assert_eq!(error.members()["expectedLength"], expected.length.unwrap());
            assert_eq!(files_below(data.path()), Vec::<String>::new());
        }
        let right = Expected { digest: Some(Digest::of(&bytes)), length: None };
        assert!(staged(&blobs, 1, &bytes).await.verify(right).await.is_ok());
    }

    #[tokio::test]
    async fn two_commits_of_one_digest_leave_one_blob_and_no_staging_file() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = varied(100_000);
        let (first, second) = (staged(&blobs, 1, &bytes).await, staged(&blobs, 2, &bytes).await);
        let (first, second) = tokio::join!(first.commit(), second.commit());
        assert_eq!(first.unwrap().digest(), second.unwrap().digest());
        store(&blobs, 3, &bytes).await;
        assert_eq!(files_below(data.path()), [Digest::of(&bytes).hex()]);
        let metadata = std::fs::metadata(blobs.blob_path(&Digest::of(&bytes))).unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o777), (100_000, 0o400));
        assert_eq!(std::fs::metadata(blobs.shard_path(&Digest::of(&bytes))).unwrap().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn an_upload_of_a_damaged_blob_repairs_it() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = Bytes::from_static(b"sound");
        let path = blobs.blob_path(&store(&blobs, 1, &bytes).await.digest());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"sou").unwrap();
        store(&blobs, 2, &bytes).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"sound");
    }

    #[tokio::test]
    async fn a_commit_after_an_abort_is_a_conflict_and_makes_no_blob() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let staged = staged(&blobs, 1, &Bytes::from_static(b"x")).await;
        blobs.abandon(upload(1)).await.unwrap();
        assert_eq!(staged.commit().await.unwrap_err().code(), Code::Conflict);
        assert_eq!(files_below(data.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_is_staged_can_be_read_for_admission() {
        use std::io::Read;
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let staged = staged(&blobs, 1, &Bytes::from_static(b"abc")).await;
        let mut text = String::new();
        staged.reader_for_admission().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let checksums = staged.checksums().await.unwrap();
        assert_eq!(checksums.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(checksums.md5, "900150983cd24fb0d6963f7d28e17f72");
    }
}
