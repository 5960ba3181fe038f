//! Reading package files before they are judged. Invariant: a version with files that are read is never judged without a report of
//! them; a few are read at once, each within its own limit of time, which is not the gate's.

use super::Registry;
use super::admission::too_restless;
use super::slots::Slots;
use super::upload::Received;
use crate::clock::Stopwatch;
use crate::domain::access::{Permit, Write};
use crate::domain::contents::{Contents, Unreadable};
use crate::domain::name::{Coordinates, RelativePath, RepoKey};
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::inspect::{self, Limits};
use crate::store::{Dossier, Unread};

/// What reading package files may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectionLimits {
    /// Milliseconds for the files of one version; past them they are `too_slow`.
    pub timeout_ms: u64,
    /// Versions read at once; where there are several places, one repo leaves one of them to the others.
    pub concurrent: usize,
}

/// The readers and their slots.
#[derive(Debug)]
pub struct Inspector {
    slots: Slots,
    timeout_ms: u64,
}

impl Inspector {
    /// Readers within these limits.
    #[must_use]
    pub fn new(limits: InspectionLimits) -> Inspector {
        Inspector { slots: Slots::new(limits.concurrent, limits.concurrent.saturating_sub(1)), timeout_ms: limits.timeout_ms }
    }
}

impl Registry {
    /// Reads what was not read yet of a version that wants to enter `repo`, and keeps what was found.
    ///
    /// # Errors
    /// `policy_error` when bytes are missing or cannot be read from disk: what is not known is not let in.
    pub(super) async fn inspect(&self, repo: &RepoKey, unread: Option<Unread>) -> Result<()> {
        let Some(unread) = unread.filter(is_due) else { return Ok(()) };
        let contents = self.read(repo, unread.clone()).await?;
        self.store.bookkeep(move |books| books.keep_contents(&unread, &contents)).await
    }

    /// What is in bytes that nobody has given to the repo yet, read as the file `path` of these coordinates.
    ///
    /// # Errors
    /// Internal when the disk fails; the bytes are thrown away then.
    pub async fn read_received(
        &self,
        permit: &Permit<Write>,
        received: Received,
        at: &Coordinates,
        path: &RelativePath,
    ) -> Result<(Received, Contents)> {
        let slot = self.inspector.slots.acquire(Some(permit.repo_key())).await?;
        let (at, path, timeout_ms) = (at.clone(), path.clone(), self.inspector.timeout_ms);
        let (received, read) = hop::run(move || {
            let (_slot, watch) = (slot, Stopwatch::start());
            let is_over = || watch.elapsed().as_millis() > u128::from(timeout_ms);
            let file = received.reader().map(|file| (path, file));
            let read = inspect::inspect(&at, [file], &Limits::default(), &is_over);
            Ok((received, read))
        })
        .await?;
        match read {
            Ok(contents) => Ok((received, contents)),
            Err(error) => {
                received.discard().await?;
                Err(error)
            }
        }
    }

    /// The PKG-INFO of a source distribution that was received for `at` under this file name; inside, why it cannot be read.
    ///
    /// # Errors
    /// Internal when the disk fails.
    pub async fn package_information(
        &self,
        permit: &Permit<Write>,
        at: &Coordinates,
        path: &RelativePath,
        received: &Received,
    ) -> Result<std::result::Result<Vec<u8>, Unreadable>> {
        let slot = self.inspector.slots.acquire(Some(permit.repo_key())).await?;
        let (file, timeout_ms) = (received.reader()?, self.inspector.timeout_ms);
        let (at, path) = (at.clone(), path.clone());
        hop::run(move || {
            let (_slot, watch) = (slot, Stopwatch::start());
            let is_over = || watch.elapsed().as_millis() > u128::from(timeout_ms);
            inspect::package_information(&at, (&path, file), &Limits::default(), &is_over)
        })
        .await
    }

    async fn read(&self, repo: &RepoKey, unread: Unread) -> Result<Contents> {
        let slot = self.inspector.slots.acquire(Some(repo)).await?;
        let (vault, timeout_ms) = (self.blobs.vault(), self.inspector.timeout_ms);
        let found = hop::run(move || {
            // The slot is given back when the reading ends, also when nobody waits for it any more.
            let (_slot, watch) = (slot, Stopwatch::start());
            let is_over = || watch.elapsed().as_millis() > u128::from(timeout_ms);
            let package_type = unread.coordinates.package().package_type();
            let wanted = unread.files.iter().filter(|(path, _)| inspect::is_read(package_type, path));
            let files = wanted.map(|(path, digest)| Ok((path.clone(), vault.reader_for_admission(*digest)?)));
            inspect::inspect(&unread.coordinates, files, &Limits::default(), &is_over)
        });
        found.await.map_err(|cause| {
            Error::new(Code::PolicyError, "the package files could not be read; nothing was changed; the log has the cause")
                .because(cause)
                .with("failClosed", true)
        })
    }
}

fn is_due(unread: &Unread) -> bool {
    unread.files.iter().any(|(path, _)| inspect::is_read(unread.coordinates.package().package_type(), path))
}

/// The dossier, unless its content changed after its files were read.
pub(super) fn all_read(dossier: Dossier) -> Result<Dossier> {
    if dossier.unread().as_ref().is_some_and(is_due) { Err(too_restless()) } else { Ok(dossier) }
}
