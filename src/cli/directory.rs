//! The data directory. Invariant: one daemon per directory, held by a lock on `<data>/lock` as long as the process lives.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Code, Error, Result};

/// A directory that this process alone serves.
pub(super) struct DataDirectory {
    _lock: Flock<std::fs::File>,
}

impl DataDirectory {
    /// Creates the directory if need be, mode 0700, and takes its lock.
    ///
    /// # Errors
    /// When another daemon holds it, or it cannot be created.
    pub(super) fn open(path: &Path) -> Result<DataDirectory> {
        let failed = |cause: std::io::Error| Error::internal(format!("opening the data directory {}", path.display()), cause);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock_path = path.join("lock");
        let mut file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(failed)?;
        let mut holder = String::new();
        file.read_to_string(&mut holder).map_err(failed)?;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno != Errno::EWOULDBLOCK {
                return failed(errno.into());
            }
            Error::new(
                Code::Unavailable,
                format!(
                    "another artifortress (process {}) serves {}; stop it first, or give this one another --data-dir",
                    holder.trim(),
                    path.display()
                ),
            )
        })?;
        lock.set_len(0).map_err(failed)?;
        writeln!(*lock, "{}", std::process::id()).map_err(failed)?;
        Ok(DataDirectory { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_on_one_directory_is_refused_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(directory.path()).unwrap();
        let error = DataDirectory::open(directory.path()).err().unwrap();
        assert!(error.message().contains("another artifortress (process"), "{error}");
        drop(first);
        assert!(DataDirectory::open(directory.path()).is_ok());
    }
}
