//! The lock between backups and the removal of blobs, across processes. Invariant: while a backup holds it, no file under `blobs/` is
//! removed, so that every blob that its copy of the database names is still there when its turn comes.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::disk::disk_fault;
use crate::error::Result;

/// The file of the lock in the data directory. It holds nothing, and is never removed.
const LOCK: &str = "backup.lock";

/// As long as this lives, nobody removes a blob. Several backups may hold it at once.
#[derive(Debug)]
pub struct BackupHold {
    _lock: File,
}

/// As long as this lives, no backup begins and no other removal.
#[derive(Debug)]
pub struct RemovalHold {
    _lock: File,
}

/// Keeps blobs from being removed; take it before the database is copied. Waits for a removal that is under way. Blocks.
///
/// # Errors
/// Internal, when the lock cannot be had at all.
pub fn hold_for_backup(data_dir: &Path) -> Result<BackupHold> {
    let lock = open(data_dir)?;
    lock.lock_shared().map_err(|cause| disk_fault(format!("locking {}", data_dir.join(LOCK).display()), cause))?;
    Ok(BackupHold { _lock: lock })
}

/// The right to remove blobs now; `None` while a backup, or another removal, is under way. Take it for a batch before its rows are
/// removed, and give it back after its bytes are.
///
/// # Errors
/// Internal, when the lock cannot be had at all.
pub fn hold_for_removal(data_dir: &Path) -> Result<Option<RemovalHold>> {
    let lock = open(data_dir)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(RemovalHold { _lock: lock })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(disk_fault(format!("locking {}", data_dir.join(LOCK).display()), cause)),
    }
}

fn open(data_dir: &Path) -> Result<File> {
    let path = data_dir.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|cause| disk_fault(format!("opening {}", path.display()), cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_during_backups_and_one_removes_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let (first, second) = (hold_for_backup(data.path()).unwrap(), hold_for_backup(data.path()).unwrap());
        drop(first);
        assert!(hold_for_removal(data.path()).unwrap().is_none());
        drop(second);
        let removal = hold_for_removal(data.path()).unwrap();
        assert!(removal.is_some());
        assert!(hold_for_removal(data.path()).unwrap().is_none());
        drop(removal);
        assert!(hold_for_removal(data.path()).unwrap().is_some());
    }
}
