//! Operations on files and directories that every part of this room needs. Invariant: a fault of the disk becomes the right code
//! here, once; everything blocks.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};
use sha2::{Digest as _, Sha256};

use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::error::{Code, Error, Result};

/// Files are read in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;

/// Only the account that runs the daemon may enter its directories.
const DIRECTORY_MODE: u32 = 0o700;

/// Less free space than this, in bytes, counts as none: the database and the log need room too.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// Whether this process may write into `directory` and the disk under it is neither read-only nor full.
pub(super) fn has_room(directory: &Path) -> io::Result<bool> {
    match access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => {}
        Err(Errno::EACCES | Errno::EROFS | Errno::ENOENT) => return Ok(false),
        Err(cause) => return Err(cause.into()),
    }
    let disk = statvfs(directory)?;
    let free_bytes = disk.blocks_available().saturating_mul(disk.fragment_size());
    Ok(!disk.flags().contains(FsFlags::ST_RDONLY) && free_bytes >= ROOM_BYTES)
}

/// The space of a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this process may still use.
    pub free_bytes: u64,
    /// All of it.
    pub size_bytes: u64,
}

/// The space of the disk under `directory`.
///
/// # Errors
/// When the directory is not there or may not be looked at.
pub fn space(directory: &Path) -> io::Result<DiskSpace> {
    let disk = statvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    Ok(DiskSpace { free_bytes: bytes(disk.blocks_available()), size_bytes: bytes(disk.blocks()) })
}

/// Creates a directory and its parents where they are missing, mode 0700.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)
}

/// Makes the entries of `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|cause| disk_fault(format!("making {} durable", directory.display()), cause))
}

/// The error for a failed disk operation: insufficient storage when the disk or the quota is full, else internal.
pub(super) fn disk_fault(doing: String, cause: io::Error) -> Error {
    if !matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return Error::internal(doing, cause);
    }
    let message = "the server's disk is full and nothing was stored; ask its operator to free space, then send this again";
    Error::new(Code::InsufficientStorage, message).because(format!("{doing}: {cause}"))
}

/// Makes this request the only writer. The lock also tells the sweep that the file is in use.
pub(super) fn lock(file: File, path: &Path, upload: UploadId) -> Result<File> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let next = "wait for it to end, then ask for the offset again";
            return Err(Error::conflict(format!("another request is writing upload {upload}; {next}")));
        }
        Err(TryLockError::Error(cause)) => return Err(Error::internal(format!("locking upload {upload}"), cause)),
    }
    // Between opening and locking, the holder of the lock may have committed the file: it would be a blob now, and never written again.
    if is_still_at(&file, path).map_err(|cause| disk_fault(format!("locking upload {upload}"), cause))? {
        Ok(file)
    } else {
        Err(Error::not_found(format!("upload {upload}")))
    }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// The sha256 and the number of bytes up to the end of `reader`.
pub(super) fn hash_reader(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let size_bytes = read_pieces(reader, |piece| hash.update(piece))?;
    Ok((Digest::from_bytes(hash.finalize().into()), size_bytes))
}

/// Shows every piece of `reader` to `take`; gives the number of bytes.
pub(super) fn read_pieces(reader: &mut impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(size_bytes),
            Ok(count) => {
                take(&piece[..count]);
                size_bytes += count as u64;
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Removes a file; harmless when there is none.
pub(super) fn remove_if_present(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(disk_fault(format!("removing {}", path.display()), cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_spent_quota_are_insufficient_storage_and_other_faults_are_internal() {
        for (errno, code) in [
            (Errno::ENOSPC, Code::InsufficientStorage),
            (Errno::EDQUOT, Code::InsufficientStorage),
            (Errno::EIO, Code::Internal),
            (Errno::EACCES, Code::Internal),
        ] {
            let error = disk_fault("writing".to_owned(), io::Error::from_raw_os_error(errno as i32));
            assert_eq!(error.code(), code, "{errno}");
            assert!(error.cause().is_some());
        }
    }

    #[test]
    fn a_directory_that_vanished_has_no_room() {
        let data = tempfile::tempdir().unwrap();
        assert!(has_room(data.path()).unwrap());
        assert!(!has_room(&data.path().join("gone")).unwrap());
    }
}
