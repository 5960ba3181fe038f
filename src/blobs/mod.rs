//! Content-addressed bytes on disk. Invariant: a file under `blobs/sha256/` has exactly the bytes its name says, written once
//! and durable before anybody is told of it; bytes leave through a proof of visibility or through the vault, never by digest alone.
//!
//! How to add
//! * a way for bytes to come in: `Blobs::begin`, `Stage::append`, `Stage::finish`, `Staged::verify`, `Staged::commit`; there is no other.
//! * a way for bytes to go out to a client: take a `Visible<File>` or `Held<File>` and call `serve`.
//! * a check of client checksums: `vault::Checksums`, computed on demand and never stored as a name.
//! * work on bytes that no client asked for (verification, deletion): `vault`, from jobs and the command line only.
//! * another place to keep bytes: keep `Stored` and `Content` as they are and change what lies behind them.

mod disk;
mod hold;
mod replica;
pub mod serve;
pub mod stage;
pub mod staged;
pub mod vault;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::error::Result;
use crate::metrics::Metrics;
pub use disk::{DiskSpace, space as disk_space};
use disk::{create_directory, disk_fault, sync_directory};
pub use hold::{BackupHold, RemovalHold, hold_for_backup, hold_for_removal};
pub use replica::HashingReader;

/// The blobs of one data directory: `blobs/sha256/ab/<64 hex digits>` and `staging/<upload id>`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
    upload_limit_bytes: u64,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Inner {
    data_dir: PathBuf,
    content: PathBuf,
    staging: PathBuf,
    /// Held while a staging file appears or is swept, so that the sweep never takes one that is not locked yet.
    staging_door: Mutex<()>,
    shards: Vec<Mutex<Shard>>,
}

/// What this process knows of one directory `ab`: whether its own entry is durable, and who relies on its blobs.
#[derive(Debug, Default)]
struct Shard {
    is_durable: bool,
    pins: HashMap<Digest, usize>,
}

impl Blobs {
    /// Opens the blobs under `data_dir`, creating `blobs/sha256` and `staging` with mode 0700 where they are missing.
    /// Without `limited_to`, uploads have no size limit of their own.
    ///
    /// # Errors
    /// Internal or insufficient storage, when a directory cannot be created. Blocks; meant for the start of the process.
    pub fn open_dir(data_dir: &Path) -> Result<Blobs> {
        let content = data_dir.join("blobs").join("sha256");
        let staging = data_dir.join("staging");
        for directory in [&content, &staging] {
            create_directory(directory).map_err(|cause| disk_fault(format!("creating {}", directory.display()), cause))?;
        }
        for directory in [&content, &data_dir.join("blobs"), data_dir] {
            sync_directory(directory)?;
        }
        let shards = (0..=u8::MAX).map(|_| Mutex::default()).collect();
        Ok(Blobs {
            inner: Arc::new(Inner { data_dir: data_dir.to_owned(), content, staging, staging_door: Mutex::default(), shards }),
            upload_limit_bytes: u64::MAX,
            metrics: Arc::default(),
        })
    }

    /// The same blobs, with uploads refused beyond `upload_limit_bytes` bytes.
    #[must_use]
    pub fn limited_to(self, upload_limit_bytes: u64) -> Blobs {
        Blobs { upload_limit_bytes, ..self }
    }

    /// The same blobs, with what comes in and goes out counted here.
    #[must_use]
    pub fn measured_by(self, metrics: Arc<Metrics>) -> Blobs {
        Blobs { metrics, ..self }
    }

    /// Whether uploads can come in: the directories may be written to and their disk has room left. Blocks.
    ///
    /// # Errors
    /// Internal, when the disk cannot even be asked.
    pub fn has_room(&self) -> Result<bool> {
        for directory in [&self.inner.staging, &self.inner.content] {
            let has_room = disk::has_room(directory).map_err(|cause| disk_fault(format!("looking at {}", directory.display()), cause))?;
            if !has_room {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The space of the disk under the blobs. Blocks.
    ///
    /// # Errors
    /// Internal, when the disk cannot be asked.
    pub fn disk_space(&self) -> Result<DiskSpace> {
        disk::space(&self.inner.content).map_err(|cause| disk_fault(format!("looking at {}", self.inner.content.display()), cause))
    }

    fn staging_path(&self, upload: UploadId) -> PathBuf {
        self.inner.staging.join(upload.to_string())
    }

    fn staging_door(&self) -> MutexGuard<'_, ()> {
        self.inner.staging_door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.inner.content.join(&hex[..2])
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.shard_path(digest).join(digest.hex())
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        self.inner.shards[usize::from(digest.as_bytes()[0])].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the blob from deletion until the pin is dropped.
    fn pin(&self, digest: Digest) -> Pin {
        *self.shard(&digest).pins.entry(digest).or_default() += 1;
        Pin { blobs: self.clone(), digest }
    }
}

/// Keeps one blob from deletion while somebody is about to refer to it.
#[derive(Debug)]
struct Pin {
    blobs: Blobs,
    digest: Digest,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut shard = self.blobs.shard(&self.digest);
        if let Some(count) = shard.pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                shard.pins.remove(&self.digest);
            }
        }
    }
}

#[cfg(test)]
mod testing {
    //! Uploads for the tests of this room.

    use super::*;
    use bytes::Bytes;

    /// An upload id that ends in `number`.
    pub fn upload(number: u8) -> UploadId {
        format!("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}").parse().unwrap()
    }

    /// `count` bytes in which every piece differs from every other.
    pub fn varied(count: usize) -> Bytes {
        (0..count).map(|index| u8::try_from((index * 31 + index / 251) % 256).unwrap()).collect()
    }

    /// Uploads `bytes` and commits them.
    pub async fn store(blobs: &Blobs, number: u8, bytes: &Bytes) -> staged::Stored {
        let mut stage = blobs.begin(upload(number)).await.unwrap();
        stage.append(bytes.clone()).await.unwrap();
        stage.finish().await.unwrap().commit().await.unwrap()
    }

    /// The names of all files below `directory`.
    pub fn files_below(directory: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                names.extend(files_below(&entry.path()));
            } else {
                names.push(entry.file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn directories_are_closed_to_other_accounts() {
        let data = tempfile::tempdir().unwrap();
        Blobs::open_dir(data.path()).unwrap();
        Blobs::open_dir(data.path()).unwrap();
        for directory in ["blobs", "blobs/sha256", "staging"] {
            assert_eq!(mode_of(&data.path().join(directory)), 0o700, "{directory}");
        }
    }

    #[test]
    fn pins_are_counted() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let digest = Digest::of(b"x");
        let (first, second) = (blobs.pin(digest), blobs.pin(digest));
        drop(first);
        assert_eq!(blobs.shard(&digest).pins.get(&digest), Some(&1));
        drop(second);
        assert!(blobs.shard(&digest).pins.is_empty());
    }
}
