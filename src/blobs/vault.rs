//! Bytes without a reader: verification, deletion and the sweep. Invariant: only jobs, the command line and the admission of an
//! upload come here; nothing opened here is ever sent to a client. Every function blocks: call them inside `hop::run`.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use md5::Md5;
use sha1::{Digest as _, Sha1};

use super::disk::{disk_fault, hash_reader, read_pieces, remove_if_present, sync_directory};
use super::{Blobs, RemovalHold, hold_for_removal};
use crate::domain::digest::{Digest, hex};
use crate::domain::id::UploadId;
use crate::error::{Error, Result};

/// The work on blobs that no client asked for.
#[derive(Debug, Clone)]
pub struct Vault(pub(super) Blobs);

/// What a look at one blob found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The bytes are what the name and the row say.
    Sound,
    /// No such file.
    Missing,
    /// The number of bytes on disk differs from the row's.
    WrongSize {
        /// Bytes on disk.
        actual_bytes: u64,
    },
    /// The bytes have another sha256 than their name.
    WrongDigest {
        /// Their sha256.
        actual: Digest,
    },
}

/// How an attempt to delete a blob ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The bytes are gone.
    Deleted,
    /// There were none.
    Absent,
    /// Somebody refers to them or is about to; nothing was done.
    InUse,
}

/// What a sweep of the staging directory did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files removed.
    pub removed_count: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// Older checksums of some bytes, as lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksums {
    /// 40 digits.
    pub sha1: String,
    /// 32 digits.
    pub md5: String,
}

impl Checksums {
    pub(super) fn of_file(path: &Path) -> io::Result<Checksums> {
        let (mut sha1, mut md5) = (Sha1::new(), Md5::new());
        read_pieces(&mut File::open(path)?, |piece| {
            sha1.update(piece);
            md5.update(piece);
        })?;
        Ok(Checksums { sha1: hex(&sha1.finalize()), md5: hex(&md5.finalize()) })
    }
}

impl Blobs {
    /// The door for jobs, the command line and admission. Handlers that answer clients have no business here.
    #[must_use]
    pub fn vault(&self) -> Vault {
        Vault(self.clone())
    }
}

impl Vault {
    /// Reads a blob back and compares it with its name and with the size its row gives.
    ///
    /// # Errors
    /// Internal, when the disk cannot be read.
    pub fn verify(&self, digest: Digest, size_bytes: u64) -> Result<Condition> {
        let doing = |cause| disk_fault(format!("verifying blob {digest}"), cause);
        let mut file = match File::open(self.0.blob_path(&digest)) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Condition::Missing),
            Err(cause) => return Err(doing(cause)),
        };
        let actual_bytes = file.metadata().map_err(doing)?.len();
        if actual_bytes != size_bytes {
            return Ok(Condition::WrongSize { actual_bytes });
        }
        let (actual, _) = hash_reader(&mut file).map_err(doing)?;
        Ok(if actual == digest { Condition::Sound } else { Condition::WrongDigest { actual } })
    }

    /// Every blob on disk, in no particular order; files with other names are passed over. One directory is held in memory at a time.
    ///
    /// # Errors
    /// Internal, at once when the directory cannot be read, and in place of an item when a part of it cannot.
    pub fn list(&self) -> Result<impl Iterator<Item = Result<Digest>> + Send + use<>> {
        let root = self.0.inner.content.clone();
        let doing = move |cause| disk_fault(format!("listing {}", root.display()), cause);
        let shards = std::fs::read_dir(&self.0.inner.content).map_err(&doing)?;
        let names = shards.flat_map(|shard| match shard.and_then(|shard| names_in(&shard.path())) {
            Ok(names) => names.into_iter().map(Ok).collect(),
            Err(cause) => vec![Err(cause)],
        });
        Ok(names.filter_map(move |name| name.map(|name| bare_digest(&name)).map_err(&doing).transpose()))
    }

    /// Deletes a blob unless an upload relies on it or `is_referenced` says that a row does. Uploads of the same bytes wait or
    /// write them anew: `is_referenced` is asked after the last of them ended, and none begins until the bytes are gone.
    ///
    /// # Errors
    /// What `is_referenced` returns; internal, when the file cannot be removed.
    pub fn delete(&self, digest: Digest, is_referenced: impl FnOnce() -> Result<bool>) -> Result<Deletion> {
        let shard = self.0.shard(&digest);
        if shard.pins.contains_key(&digest) || is_referenced()? {
            return Ok(Deletion::InUse);
        }
        let deletion = match std::fs::remove_file(self.0.blob_path(&digest)) {
            Ok(()) => Deletion::Deleted,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Deletion::Absent),
            Err(cause) => return Err(disk_fault(format!("deleting blob {digest}"), cause)),
        };
        drop(shard);
        sync_directory(&self.0.shard_path(&digest))?;
        Ok(deletion)
    }

    /// Keeps backups from beginning, so that blobs may be removed, for one batch; `None` while one is made.
    ///
    /// # Errors
    /// Internal, when the lock cannot be had at all.
    pub fn hold_for_removal(&self) -> Result<Option<RemovalHold>> {
        hold_for_removal(&self.0.inner.data_dir)
    }

    /// The size in bytes of a blob on disk and when it was written, in milliseconds since 1970; `None` when it is not there.
    ///
    /// # Errors
    /// Internal, when the disk cannot be read.
    pub fn find_file(&self, digest: &Digest) -> Result<Option<(u64, i64)>> {
        match std::fs::metadata(self.0.blob_path(digest)) {
            Ok(metadata) => Ok(Some((metadata.len(), metadata.mtime().saturating_mul(1000)))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(disk_fault(format!("looking at blob {digest}"), cause)),
        }
    }

    /// Removes staging files that nobody is writing and that `keep` does not name (open sessions, as a rule).
    ///
    /// # Errors
    /// Internal, when the staging directory cannot be read or a file cannot be removed.
    pub fn sweep_staging(&self, keep: impl Fn(UploadId) -> bool) -> Result<Swept> {
        let staging = &self.0.inner.staging;
        let names = names_in(staging).map_err(|cause| disk_fault(format!("listing {}", staging.display()), cause))?;
        let mut swept = Swept::default();
        for name in names {
            let is_kept = name.parse::<UploadId>().is_ok_and(&keep);
            if is_kept {
                continue;
            }
            let _door = self.0.staging_door();
            if let Some(size_bytes) = remove_unless_locked(&staging.join(&name))? {
                swept.removed_count += 1;
                swept.removed_bytes += size_bytes;
            }
        }
        Ok(swept)
    }

    /// The sha1 and md5 of a blob, to verify what a client announced.
    ///
    /// # Errors
    /// Not found, when there is no such blob; internal.
    pub fn checksums(&self, digest: Digest) -> Result<Checksums> {
        Checksums::of_file(&self.0.blob_path(&digest)).map_err(|cause| missing_or_fault(digest, cause))
    }

    /// Opens a committed blob for the extraction of metadata while its version is not admitted yet, and for nothing else: no byte
    /// of it may reach a client.
    ///
    /// # Errors
    /// Not found, when there is no such blob; internal.
    pub fn reader_for_admission(&self, digest: Digest) -> Result<File> {
        File::open(self.0.blob_path(&digest)).map_err(|cause| missing_or_fault(digest, cause))
    }
}

fn missing_or_fault(digest: Digest, cause: io::Error) -> Error {
    if cause.kind() == ErrorKind::NotFound {
        Error::not_found(format!("blob {digest}"))
    } else {
        disk_fault(format!("reading blob {digest}"), cause)
    }
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
}

/// The digest a file is named by: exactly 64 lower-case hex digits.
fn bare_digest(name: &str) -> Option<Digest> {
    name.parse::<Digest>().ok().filter(|digest| digest.hex() == name)
}

/// Removes a staging file that no stage has locked; gives its size in bytes when it was removed.
fn remove_unless_locked(path: &Path) -> Result<Option<u64>> {
    let doing = |cause| disk_fault(format!("sweeping {}", path.display()), cause);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(doing(cause)),
    };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let size_bytes = file.metadata().map_err(doing)?.len();
    remove_if_present(path)?;
    Ok(Some(size_bytes))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{files_below, store, upload, varied};
    use super::*;

    #[tokio::test]
    async fn a_damaged_blob_is_told_from_a_sound_one() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = varied(600_000);
        let digest = store(&blobs, 1, &bytes).await.digest();
        let (vault, path) = (blobs.vault(), blobs.blob_path(&digest));
        assert_eq!(vault.verify(digest, 600_000).unwrap(), Condition::Sound);
        assert_eq!(vault.verify(digest, 600_001).unwrap(), Condition::WrongSize { actual_bytes: 600_000 });
        let mut changed = bytes.to_vec();
        changed[555_555] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(vault.verify(digest, 600_000).unwrap(), Condition::WrongDigest { actual: Digest::of(&changed) });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(vault.verify(digest, 600_000).unwrap(), Condition::Missing);
    }

    #[tokio::test]
    async fn the_list_has_every_blob_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let mut wanted = Vec::new();
        for number in 1..20 {
            wanted.push(store(&blobs, number, &Bytes::from(vec![number])).await.digest());
        }
        std::fs::write(blobs.shard_path(&wanted[0]).join("README"), "x").unwrap();
        let mut found: Vec<Digest> = blobs.vault().list().unwrap().map(Result::unwrap).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[tokio::test]
    async fn a_blob_is_not_deleted_while_an_upload_or_a_row_relies_on_it() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let vault = blobs.vault();
        let stored = store(&blobs, 1, &Bytes::from_static(b"x")).await;
        let digest = stored.digest();
        assert_eq!(vault.delete(digest, || Ok(false)).unwrap(), Deletion::InUse, "its row may not be committed yet");
        drop(stored);
        assert_eq!(vault.delete(digest, || Ok(true)).unwrap(), Deletion::InUse);
        assert!(vault.delete(digest, || Err(Error::conflict("busy"))).is_err());
        assert_eq!(files_below(data.path()), [digest.hex()]);
        assert_eq!(vault.delete(digest, || Ok(false)).unwrap(), Deletion::Deleted);
        assert_eq!(vault.delete(digest, || Ok(false)).unwrap(), Deletion::Absent);
    }

    #[tokio::test]
    async fn the_sweep_takes_what_nobody_writes_and_nobody_keeps() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let writing = blobs.begin(upload(1)).await.unwrap();
        blobs.begin(upload(2)).await.unwrap().pause().await.unwrap();
        let mut left = blobs.begin(upload(3)).await.unwrap();
        left.append(Bytes::from_static(b"12345")).await.unwrap();
        left.pause().await.unwrap();
        std::fs::write(blobs.inner.staging.join("stray"), b"12").unwrap();
        let swept = blobs.vault().sweep_staging(|id| id == upload(2)).unwrap();
        assert_eq!(swept, Swept { removed_count: 2, removed_bytes: 7 });
        assert_eq!(files_below(data.path()), [upload(1).to_string(), upload(2).to_string()]);
        assert!(writing.finish().await.is_ok());
    }

    #[tokio::test]
    async fn checksums_are_those_of_the_bytes_and_a_missing_blob_is_not_found() {
        use std::io::Read;
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let digest = store(&blobs, 1, &Bytes::from_static(b"abc")).await.digest();
        let checksums = blobs.vault().checksums(digest).unwrap();
        assert_eq!(checksums.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(checksums.md5, "900150983cd24fb0d6963f7d28e17f72");
        let mut text = String::new();
        blobs.vault().reader_for_admission(digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let absent = Digest::of(b"absent");
        assert_eq!(blobs.vault().checksums(absent).unwrap_err().code(), crate::error::Code::NotFound);
        assert!(blobs.vault().reader_for_admission(absent).is_err());
    }
}
