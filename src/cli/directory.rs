//! The data directory. Invariant: one daemon per directory, held by a lock on `<data>/lock` as long as the process lives; the file tells
//! clients on this machine the process and, while it serves, its addresses, a line each.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::listeners::Address;
use crate::error::{Code, Error, Result};

/// The name of the lock in the data directory.
const LOCK: &str = "lock";
/// More than a process and any sensible number of addresses take.
const LOCK_LIMIT_BYTES: u64 = 64 << 10;

/// A directory that this process alone serves.
pub(super) struct DataDirectory {
    lock: Flock<std::fs::File>,
}

impl DataDirectory {
    /// Creates the directory if need be, mode 0700, and takes its lock.
    ///
    /// # Errors
    /// When another daemon holds it, or it cannot be created.
    pub(super) fn open(path: &Path) -> Result<DataDirectory> {
        let failed = |cause: std::io::Error| Error::internal(format!("opening the data directory {}", path.display()), cause);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock_path = path.join(LOCK);
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(failed)?;
        let holder = Holder::of(&file).map_err(failed)?;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno != Errno::EWOULDBLOCK {
                return failed(errno.into());
            }
            Error::new(
                Code::Unavailable,
                format!(
                    "another artifortress (process {}) serves {}; stop it first, or give this one another --data-dir",
                    holder.process.map_or_else(|| "unknown".to_owned(), |process| process.to_string()),
                    path.display()
                ),
            )
        })?;
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(*lock, "{}", std::process::id()).map_err(failed)?;
        Ok(DataDirectory { lock })
    }

    /// Writes where this process can be reached, for clients on this machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn announce(&mut self, bound: &[Address]) -> Result<()> {
        let lines: String = bound.iter().map(|address| format!("{}\n", address.reached_here())).collect();
        self.lock.write_all(lines.as_bytes()).map_err(|cause| Error::internal("writing the addresses into the lock", cause))
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // A clean end leaves no address behind; what a crash leaves is found out by the lock that nobody holds.
        drop(self.lock.set_len(0));
    }
}

/// How an address begins that a server announces.
const ANNOUNCED: [&str; 3] = ["http://", "https://", "unix:/"];

/// Who serves a directory, or did when it last ended without notice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    /// The process that wrote the lock.
    pub(super) process: Option<i32>,
    /// Where it can be reached, such as `http://127.0.0.1:8466` or `unix:/run/artifortress/http.sock`.
    pub(super) addresses: Vec<String>,
    /// Whether somebody holds the lock, as far as that was asked.
    is_held: bool,
}

impl Holder {
    /// Reads the lock of a directory. Its process may have ended and another have its number, after a restart of the machine for one:
    /// what tells is the lock itself, which is tried only where there is such a process.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(super) fn read(directory: &Path) -> std::io::Result<Holder> {
        let file = std::fs::File::open(directory.join(LOCK))?;
        let holder = Holder::of(&file)?;
        let is_alive = holder.process.is_some_and(|process| kill(Pid::from_raw(process), None) != Err(Errno::ESRCH));
        // Whoever gets the lock gives it back at once, by dropping it.
        let is_held = is_alive && Flock::lock(file, FlockArg::LockSharedNonblock).is_err();
        Ok(Holder { is_held, ..holder })
    }

    fn of(file: &std::fs::File) -> std::io::Result<Holder> {
        let mut bytes = Vec::new();
        file.take(LOCK_LIMIT_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().map(str::trim);
        Ok(Holder {
            process: lines.next().and_then(|line| line.parse().ok()).filter(|process| *process > 0),
            addresses: lines.filter(|line| ANNOUNCED.iter().any(|scheme| line.starts_with(scheme))).map(str::to_owned).collect(),
            is_held: false,
        })
    }

    /// Whether nobody serves the directory: what was left there must not be connected to, since somebody else may listen there now.
    pub(super) fn is_gone(&self) -> bool {
        !self.is_held
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

    #[test]
    fn clients_find_the_process_and_its_addresses_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Holder::read(directory.path()).is_err());
        let mut first = DataDirectory::open(directory.path()).unwrap();
        assert_eq!(Holder::read(directory.path()).unwrap().addresses, Vec::<String>::new());
        let bound = ["127.0.0.1:8466", "0.0.0.0:1", "[::]:2", "[::1]:3", "192.0.2.7:4"];
        let mut bound: Vec<Address> = bound.iter().map(|text| Address::Http(text.parse().unwrap())).collect();
        bound.push(Address::Unix("/run/a b/http.sock".into()));
        first.announce(&bound).unwrap();
        let holder = Holder::read(directory.path()).unwrap();
        assert_eq!(holder.process, i32::try_from(std::process::id()).ok());
        assert!(!holder.is_gone());
        let expected = ["http://127.0.0.1:8466", "http://127.0.0.1:1", "http://[::1]:2", "http://[::1]:3", "http://192.0.2.7:4"];
        assert_eq!(holder.addresses[..5], expected);
        assert_eq!(holder.addresses[5..], ["unix:/run/a b/http.sock"]);
        let error = DataDirectory::open(directory.path()).err().unwrap();
        assert!(error.message().contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        assert_eq!(Holder::read(directory.path()).unwrap(), Holder::default());
    }

    #[test]
    fn a_lock_that_nobody_holds_is_nobodys_though_another_process_has_that_number_now() {
        let directory = tempfile::tempdir().unwrap();
        let left = format!("{}\nhttp://127.0.0.1:1\n", std::process::id());
        std::fs::write(directory.path().join(LOCK), left).unwrap();
        assert!(Holder::read(directory.path()).unwrap().is_gone());
        assert!(DataDirectory::open(directory.path()).is_ok(), "looking keeps the lock");
    }

    #[test]
    fn what_a_crash_left_is_overwritten_and_a_damaged_lock_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        for left in ["4194305\nhttp://127.0.0.1:1\n", "no number\nfile:///etc\n", "-1\n", "\u{0}\n\n\n"] {
            std::fs::write(directory.path().join(LOCK), left).unwrap();
            let holder = Holder::read(directory.path()).unwrap();
            assert!(holder.is_gone(), "{left:?}");
            assert!(holder.addresses.len() <= 1 && !holder.addresses.iter().any(|address| address.starts_with("file")), "{left:?}");
            let mut held = DataDirectory::open(directory.path()).unwrap();
            held.announce(&[Address::Http("127.0.0.1:5".parse().unwrap())]).unwrap();
            assert_eq!(
                std::fs::read_to_string(directory.path().join(LOCK)).unwrap(),
                format!("{}\nhttp://127.0.0.1:5\n", std::process::id())
            );
        }
    }
}
