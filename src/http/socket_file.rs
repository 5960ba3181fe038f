//! Sockets in the file system. Invariant: what others listen on, and what is no socket, is never removed; what this process made, it
//! removes at its end, and nothing else that meanwhile has its name.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file of a socket that this process made; dropping it removes the file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

/// Listens on a socket at `path` with the permissions `mode`. One that is left over and that nobody listens on is replaced.
///
/// # Errors
/// `conflict`, when somebody listens there, when something else lies there, or when it cannot be made.
pub(super) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile)> {
    let shown = path.display();
    let failed = |cause: io::Error| Error::conflict(format!("cannot listen on unix:{shown}: {cause}; give another path with --listen"));
    let listener = match UnixListener::bind(path) {
        Ok(listener) => listener,
        Err(cause) if cause.kind() == ErrorKind::AddrInUse => {
            remove_left_over(path)?;
            UnixListener::bind(path).map_err(failed)?
        }
        Err(cause) => return Err(failed(cause)),
    };
    let file = SocketFile { path: path.to_owned(), identity: identity(path) };
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok((listener, file))
}

fn remove_left_over(path: &Path) -> Result<()> {
    let shown = path.display();
    let kind = std::fs::symlink_metadata(path).map(|found| found.file_type());
    if !kind.as_ref().is_ok_and(std::fs::FileType::is_socket) {
        return Err(Error::conflict(format!("{shown} is there and is no socket; remove it, or give another path with --listen")));
    }
    match UnixStream::connect(path) {
        Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(|cause| {
            Error::conflict(format!(
                "the socket {shown} is left over and cannot be removed ({cause}); remove it, or give another path with --listen"
            ))
        }),
        Ok(_) => Err(Error::conflict(format!("another process listens on unix:{shown}; stop it, or give another path with --listen"))),
        Err(cause) => Err(Error::conflict(format!(
            "the socket {shown} is there, and whether another process listens on it is unknown ({cause}); stop that process, or give another path with --listen"
        ))),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self.identity.is_some() && self.identity == identity(&self.path);
        if is_ours && let Err(cause) = std::fs::remove_file(&self.path) {
            tracing::warn!(%cause, path = %self.path.display(), "the socket cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_its_mode_and_is_gone_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.sock");
        let (listener, file) = bind(&path, 0o640).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_is_left_over_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.sock");
        drop(UnixListener::bind(&path).unwrap());
        let first = bind(&path, 0o600).unwrap();
        let refused = bind(&path, 0o600).unwrap_err();
        assert!(refused.message().contains("another process listens"), "{refused}");
        UnixStream::connect(&path).unwrap();
        drop(first);
    }

    #[test]
    fn what_is_no_socket_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(directory.path().join("nowhere"), &link).unwrap();
        for path in [&file, &link, &directory.path().to_owned()] {
            let refused = bind(path, 0o600).unwrap_err();
            assert!(refused.message().contains("is no socket"), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let refused = bind(&directory.path().join("missing/http.sock"), 0o600).unwrap_err();
        assert!(refused.message().contains("--listen"), "{refused}");
    }

    #[test]
    fn another_socket_that_took_the_name_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.sock");
        let first = bind(&path, 0o600).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
    }
}
