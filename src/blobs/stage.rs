//! One upload's temporary file. Invariant: what is written is hashed as it is written; memory per upload is one piece, whatever
//! the client sends; a crash or a broken connection leaves a staging file and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::Blobs;
use super::disk::{disk_fault, hash_reader, lock, remove_if_present};
use super::staged::Staged;
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::error::{Error, Result};
use crate::hop;

/// Small chunks are gathered until a piece of this size is full.
const PIECE_BYTES: usize = 256 * 1024;

/// Larger chunks are written as they came, in pieces of at most this size.
const LARGEST_PIECE_BYTES: usize = 1024 * 1024;

/// Only the account that runs the daemon may read what is staged.
const FILE_MODE: u32 = 0o600;

/// An upload in progress: the only writer of its file, by an advisory lock that ends with this value or the process.
#[derive(Debug)]
pub struct Stage {
    blobs: Blobs,
    upload: UploadId,
    /// Bytes in the file, without the buffer.
    written_bytes: u64,
    buffer: BytesMut,
    /// `None` while a piece is being written, and for good once writing failed or its caller was cancelled.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    hash: Hash,
}

/// Where the digest of the bytes so far is.
#[derive(Debug)]
enum Hash {
    /// Here: every byte of the file went through this stage.
    Running(Sha256),
    /// On disk: a stage was resumed, and `finish` reads the file. Hashing at every resume would make many small appends quadratic.
    Deferred,
}

impl Blobs {
    /// Begins an upload: creates its staging file, mode 0600.
    ///
    /// # Errors
    /// Conflict, when this upload has begun before; insufficient storage; internal.
    pub async fn begin(&self, upload: UploadId) -> Result<Stage> {
        let (path, blobs) = (self.staging_path(upload), self.clone());
        let file = hop::run(move || {
            let _door = blobs.staging_door();
            match OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&path) {
                Ok(file) => lock(file, &path, upload),
                Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                    Err(Error::conflict(format!("upload {upload} has begun already")))
                }
                Err(cause) => Err(disk_fault(format!("creating {}", path.display()), cause)),
            }
        })
        .await?;
        let open = Some(Open { file, hash: Hash::Running(Sha256::new()) });
        Ok(Stage { blobs: self.clone(), upload, written_bytes: 0, buffer: BytesMut::new(), open })
    }

    /// Takes up an upload where its staging file ends; `offset()` then tells where that is.
    ///
    /// # Errors
    /// Not found, when it never began, was committed or was removed; conflict, when another request is writing it; internal.
    pub async fn resume(&self, upload: UploadId) -> Result<Stage> {
        let path = self.staging_path(upload);
        let (file, written_bytes) = hop::run(move || {
            let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => lock(file, &path, upload)?,
                Err(cause) if cause.kind() == ErrorKind::NotFound => return Err(Error::not_found(format!("upload {upload}"))),
                Err(cause) => return Err(disk_fault(format!("opening {}", path.display()), cause)),
            };
            let end = file.seek(SeekFrom::End(0)).map_err(|cause| disk_fault(format!("resuming upload {upload}"), cause))?;
            Ok((file, end))
        })
        .await?;
        let hash = if written_bytes == 0 { Hash::Running(Sha256::new()) } else { Hash::Deferred };
        Ok(Stage { blobs: self.clone(), upload, written_bytes, buffer: BytesMut::new(), open: Some(Open { file, hash }) })
    }

    /// How many bytes of an upload are staged; `None` when it has no staging file.
    ///
    /// # Errors
    /// Internal, when the disk cannot be read.
    pub async fn find_offset(&self, upload: UploadId) -> Result<Option<u64>> {
        let path = self.staging_path(upload);
        hop::run(move || match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(disk_fault(format!("reading {}", path.display()), cause)),
        })
        .await
    }

    /// Removes the staging file of an upload, whoever may still be writing it; harmless when there is none.
    ///
    /// # Errors
    /// Internal, when the file cannot be removed.
    pub async fn abandon(&self, upload: UploadId) -> Result<()> {
        let path = self.staging_path(upload);
        hop::run(move || remove_if_present(&path)).await
    }
}

impl Stage {
    /// The upload this is.
    #[must_use]
    pub fn upload(&self) -> UploadId {
        self.upload
    }

    /// How many bytes were received, those still in memory included.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// Takes the next bytes. At most one piece of 256 KiB waits in memory; full pieces are written and hashed before this returns.
    ///
    /// # Errors
    /// Too large, when the upload exceeds the limit; insufficient storage; internal. The bytes before the error stay staged, and
    /// the upload can be resumed.
    pub async fn append(&mut self, mut bytes: Bytes) -> Result<()> {
        let limit = self.blobs.upload_limit_bytes;
        if self.offset().saturating_add(bytes.len() as u64) > limit {
            return Err(Error::too_large("this upload, in bytes,", limit));
        }
        while !bytes.is_empty() {
            if self.buffer.is_empty() && bytes.len() >= PIECE_BYTES {
                let piece = bytes.split_to(bytes.len().min(LARGEST_PIECE_BYTES));
                self.write(piece).await?;
            } else {
                let room = PIECE_BYTES - self.buffer.len();
                let count = bytes.len().min(room);
                self.buffer.extend_from_slice(&bytes[..count]);
                bytes.advance(count);
                if count == room {
                    self.flush().await?;
                }
            }
        }
        Ok(())
    }

    /// Writes what waits in memory and lets go of the file, so that the upload can be resumed; gives the offset reached.
    ///
    /// # Errors
    /// Insufficient storage or internal, when the last piece cannot be written.
    pub async fn pause(mut self) -> Result<u64> {
        self.flush().await?;
        Ok(self.written_bytes)
    }

    /// Ends the upload: all bytes written, their digest known. Nothing is durable or visible yet.
    ///
    /// # Errors
    /// Insufficient storage or internal, when the last piece cannot be written or a resumed file cannot be read back.
    pub async fn finish(mut self) -> Result<Staged> {
        self.flush().await?;
        let (upload, size_bytes) = (self.upload, self.written_bytes);
        let Open { mut file, hash } = self.open.take().ok_or_else(|| interrupted(upload))?;
        let (file, digest) = match hash {
            Hash::Running(hash) => (file, Digest::from_bytes(hash.finalize().into())),
            Hash::Deferred => {
                hop::run(move || {
                    let digest =
                        hash_again(&mut file, size_bytes).map_err(|cause| disk_fault(format!("hashing upload {upload}"), cause))?;
                    Ok((file, digest))
                })
                .await?
            }
        };
        Ok(Staged::new(self.blobs, upload, file, digest, size_bytes))
    }

    /// Gives the upload up and removes its file.
    ///
    /// # Errors
    /// Internal, when the file cannot be removed.
    pub async fn abandon(self) -> Result<()> {
        self.blobs.abandon(self.upload).await
    }

    async fn flush(&mut self) -> Result<()> {
        let piece = self.buffer.split().freeze();
        self.write(piece).await
    }

    async fn write(&mut self, piece: Bytes) -> Result<()> {
        let upload = self.upload;
        let mut open = self.open.take().ok_or_else(|| interrupted(upload))?;
        if piece.is_empty() {
            self.open = Some(open);
            return Ok(());
        }
        let count = piece.len() as u64;
        self.blobs.metrics.blobs.staged(count);
        let open = hop::run(move || {
            open.file.write_all(&piece).map_err(|cause| disk_fault(format!("writing upload {upload}"), cause))?;
            if let Hash::Running(hash) = &mut open.hash {
                hash.update(&piece);
            }
            Ok(open)
        })
        .await?;
        self.open = Some(open);
        self.written_bytes += count;
        Ok(())
    }
}

fn hash_again(file: &mut File, size_bytes: u64) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let (digest, actual_bytes) = hash_reader(file)?;
    if actual_bytes == size_bytes {
        Ok(digest)
    } else {
        Err(io::Error::other(format!("{size_bytes} bytes were written, {actual_bytes} are there")))
    }
}

fn interrupted(upload: UploadId) -> Error {
    Error::internal(format!("using upload {upload}"), "an earlier write failed or was cancelled; the upload must be resumed")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::testing::{files_below, upload, varied};
    use super::*;
    use crate::error::Code;

    #[tokio::test]
    async fn chunks_of_any_size_make_the_same_digest_and_little_memory() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = varied(3 * LARGEST_PIECE_BYTES + 12_345);
        for (number, chunk_bytes) in [(1, 1021), (2, PIECE_BYTES), (3, PIECE_BYTES + 1), (4, bytes.len())] {
            let mut stage = blobs.begin(upload(number)).await.unwrap();
            for chunk in bytes.chunks(chunk_bytes) {
                stage.append(Bytes::copy_from_slice(chunk)).await.unwrap();
                assert!(stage.buffer.len() < PIECE_BYTES);
                assert!(stage.buffer.capacity() <= 2 * PIECE_BYTES, "{}", stage.buffer.capacity());
            }
            assert_eq!(stage.offset(), bytes.len() as u64);
            let staged = stage.finish().await.unwrap();
            assert_eq!((staged.digest(), staged.size_bytes()), (Digest::of(&bytes), bytes.len() as u64), "{chunk_bytes}");
        }
    }

    #[tokio::test]
    async fn an_interrupted_upload_resumes_where_its_file_ends_and_has_the_right_digest() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let bytes = varied(PIECE_BYTES + 700_000);
        let mut stage = blobs.begin(upload(1)).await.unwrap();
        stage.append(bytes.slice(..PIECE_BYTES)).await.unwrap();
        stage.append(bytes.slice(PIECE_BYTES..PIECE_BYTES + 9)).await.unwrap();
        drop(stage);
        let mut stage = blobs.resume(upload(1)).await.unwrap();
        assert_eq!(stage.offset(), PIECE_BYTES as u64, "what was only in memory is gone");
        stage.append(bytes.slice(PIECE_BYTES..PIECE_BYTES + 9)).await.unwrap();
        assert_eq!(stage.pause().await.unwrap(), PIECE_BYTES as u64 + 9);
        assert_eq!(blobs.find_offset(upload(1)).await.unwrap(), Some(PIECE_BYTES as u64 + 9));
        let mut stage = blobs.resume(upload(1)).await.unwrap();
        stage.append(bytes.slice(PIECE_BYTES + 9..)).await.unwrap();
        let staged = stage.finish().await.unwrap();
        assert_eq!((staged.digest(), staged.size_bytes()), (Digest::of(&bytes), bytes.len() as u64));
    }

    #[tokio::test]
    async fn an_upload_has_one_writer_and_one_beginning() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let stage = blobs.begin(upload(1)).await.unwrap();
        assert_eq!(blobs.begin(upload(1)).await.unwrap_err().code(), Code::Conflict);
        assert_eq!(blobs.resume(upload(1)).await.unwrap_err().code(), Code::Conflict);
        assert_eq!(blobs.resume(upload(2)).await.unwrap_err().code(), Code::NotFound);
        let stored = stage.finish().await.unwrap().commit().await.unwrap();
        assert_eq!(stored.digest(), Digest::of(b""));
        assert_eq!(blobs.resume(upload(1)).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(blobs.find_offset(upload(1)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_file_that_was_committed_between_opening_and_locking_is_not_written_again() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let stage = blobs.begin(upload(1)).await.unwrap();
        let path = blobs.staging_path(upload(1));
        let opened = File::options().write(true).open(&path).unwrap();
        stage.finish().await.unwrap().commit().await.unwrap();
        assert_eq!(lock(opened, &path, upload(1)).unwrap_err().code(), Code::NotFound);
    }

    #[tokio::test]
    async fn an_upload_beyond_the_limit_is_refused_also_when_it_comes_in_parts() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap().limited_to(10);
        let mut stage = blobs.begin(upload(1)).await.unwrap();
        stage.append(Bytes::from_static(b"12345678")).await.unwrap();
        stage.pause().await.unwrap();
        let mut stage = blobs.resume(upload(1)).await.unwrap();
        stage.append(Bytes::from_static(b"90")).await.unwrap();
        let error = stage.append(Bytes::from_static(b"1")).await.unwrap_err();
        assert_eq!((error.code(), &error.members()["limit"]), (Code::TooLarge, &10.into()));
        stage.abandon().await.unwrap();
        assert_eq!(files_below(data.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn staging_files_are_closed_to_other_accounts() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let _stage = blobs.begin(upload(1)).await.unwrap();
        assert_eq!(std::fs::metadata(blobs.staging_path(upload(1))).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn after_a_failed_write_the_stage_refuses_and_the_upload_resumes_where_the_disk_stands() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let mut stage = blobs.begin(upload(1)).await.unwrap();
        // A descriptor without the right to write stands for a disk that refuses.
        stage.open = Some(Open { file: File::open("/dev/null").unwrap(), hash: Hash::Running(Sha256::new()) });
        assert_eq!(stage.append(varied(PIECE_BYTES)).await.unwrap_err().code(), Code::Internal);
        assert!(stage.finish().await.is_err());
        assert_eq!(blobs.resume(upload(1)).await.unwrap().offset(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_insufficient_storage() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let mut stage = blobs.begin(upload(1)).await.unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        stage.open = Some(Open { file: full, hash: Hash::Running(Sha256::new()) });
        assert_eq!(stage.append(varied(PIECE_BYTES)).await.unwrap_err().code(), Code::InsufficientStorage);
    }
}
