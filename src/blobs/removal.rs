//! Who may rely on every blob, and who may remove any. Invariant: while a backup holds the directory, no blob that its copy of the
//! database names is removed, whichever process makes the backup.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Code, Error, Result};

/// The file in the data directory that backups lock together and a removal locks alone.
const LOCK_NAME: &str = "backup.lock";

/// Keeps all blobs where they are until it is dropped, or the process ends.
#[derive(Debug)]
pub struct HeldForBackup(#[allow(dead_code, reason = "the lock ends with the file")] File);

/// Keeps backups from beginning until it is dropped, or the process ends.
#[derive(Debug)]
pub struct HeldForRemoval(#[allow(dead_code, reason = "the lock ends with the file")] File);

fn open(data_dir: &Path) -> Result<File> {
    let path = data_dir.join(LOCK_NAME);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|cause| super::disk_fault(format!("opening {}", path.display()), cause))
}

/// Keeps all blobs of a data directory where they are; several backups may hold it at once. Take it before the database is copied. Waits
/// for a removal that is under way, which is a batch.
///
/// # Errors
/// Internal, when the file cannot be opened or locked.
pub fn hold_for_backup(data_dir: &Path) -> Result<HeldForBackup> {
    let file = open(data_dir)?;
    file.lock_shared().map_err(|cause| Error::internal("locking for a backup", cause))?;
    Ok(HeldForBackup(file))
}

/// Takes the right to remove blobs, for one batch.
///
/// # Errors
/// `unavailable` while a backup is made; internal, when the file cannot be opened or locked.
pub fn hold_for_removal(data_dir: &Path) -> Result<HeldForRemoval> {
    let file = open(data_dir)?;
    match file.try_lock() {
        Ok(()) => Ok(HeldForRemoval(file)),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Code::Unavailable, "a backup is being made, which needs every blob; try again when it is done"))
        }
        Err(TryLockError::Error(cause)) => Err(Error::internal("locking for a removal", cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_share_and_a_removal_stands_back() {
        let data = tempfile::tempdir().unwrap();
        let (first, second) = (hold_for_backup(data.path()).unwrap(), hold_for_backup(data.path()).unwrap());
        assert_eq!(hold_for_removal(data.path()).unwrap_err().code(), Code::Unavailable);
        drop(first);
        assert_eq!(hold_for_removal(data.path()).unwrap_err().code(), Code::Unavailable);
        drop(second);
        let removal = hold_for_removal(data.path()).unwrap();
        assert_eq!(hold_for_removal(data.path()).unwrap_err().code(), Code::Unavailable);
        drop(removal);
        drop(hold_for_backup(data.path()).unwrap());
    }
}
