//! A backup that is under way: a directory `FILE.partial` beside the archive, with the copy of the database, its manifest, the archive as far
//! as it is, and how far that is. Invariant: what the journal says is written is on disk, so that whoever goes on adds to whole frames; the
//! archive gets its name when it is complete, and never takes another's.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::disk_fault;
use super::manifest::{LIMIT_BYTES, Manifest};
use crate::blobs::HashingReader;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// A backup that was begun longer ago is begun anew: nobody wants yesterday's state.
const KEPT_HOURS: i64 = 24;
const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "state.db";
const ARCHIVE: &str = "archive";
const JOURNAL: &str = "journal";
const LOCK: &str = "lock";

/// The directory, which this process alone works in.
pub(super) struct Partial {
    directory: PathBuf,
    archive: PathBuf,
    _lock: File,
}

/// How far an earlier process has come.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) manifest: Manifest,
    /// Members that are in the archive.
    pub(super) members: usize,
    /// The length of the archive with them.
    pub(super) length: u64,
}

/// The archive so far: whole frames of whole members.
pub(super) struct Cut {
    pub(super) members: usize,
    pub(super) file: File,
    pub(super) length: u64,
}

impl Partial {
    /// Makes the directory for this archive, or takes up the one that is there.
    pub(super) fn open(archive: &Path) -> Result<Partial> {
        if archive.symlink_metadata().is_ok() {
            let message = format!("{} is there already; a backup never overwrites anything, so give another name", archive.display());
            return Err(Error::conflict(message));
        }
        let mut name = archive.as_os_str().to_owned();
        name.push(".partial");
        let directory = PathBuf::from(name);
        let doing = |cause| disk_fault(format!("making {}", directory.display()), cause);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(doing(cause)),
            Ok(()) | Err(_) => {}
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(LOCK)).map_err(doing)?;
        if lock.try_lock().is_err() {
            return Err(Error::conflict(format!("another backup to {} is under way; wait for it to end", archive.display())));
        }
        Ok(Partial { directory, archive: archive.to_owned(), _lock: lock })
    }

    /// Where the copy of the database belongs.
    pub(super) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// What can be gone on with: begun not long ago, as the continuation of the same archive, and whole.
    pub(super) fn find_begun(&self, parent: Option<Digest>, now: Time) -> Option<Begun> {
        let mut bytes = Vec::new();
        File::open(self.directory.join(MANIFEST)).ok()?.take(LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
        let (manifest, _) = Manifest::parse(&bytes).ok()?;
        let created_at: Time = manifest.created_at.parse().ok()?;
        let age = now.seconds_since(created_at);
        if manifest.parent != parent || !(0..KEPT_HOURS * 3600).contains(&age) {
            return None;
        }
        let mut database = HashingReader::new(File::open(self.database()).ok()?);
        std::io::copy(&mut database, &mut std::io::sink()).ok()?;
        if database.finish() != (manifest.database.digest, manifest.database.size_bytes) {
            return None;
        }
        let (members, length) = self.journalled();
        let is_there = std::fs::metadata(self.directory.join(ARCHIVE)).is_ok_and(|file| file.len() >= length);
        let is_sensible = is_there && members <= manifest.blobs.len() + 2;
        is_sensible.then_some(Begun { manifest, members, length })
    }

    /// The last whole line of the journal.
    fn journalled(&self) -> (usize, u64) {
        let text = std::fs::read_to_string(self.directory.join(JOURNAL)).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let last = whole.lines().next_back().and_then(|line| line.split_once(' '));
        last.and_then(|(members, length)| Some((members.parse().ok()?, length.parse().ok()?))).unwrap_or((0, 0))
    }

    /// Throws away what is there; the manifest goes first, so that nothing is gone on with by halves.
    pub(super) fn clear(&self) -> Result<()> {
        for name in [MANIFEST, JOURNAL, ARCHIVE, DATABASE] {
            let path = self.directory.join(name);
            match std::fs::remove_file(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(disk_fault(format!("removing {}", path.display()), cause)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Remembers what the archive will hold, once the copy of the database is there; from now on it can be gone on with.
    pub(super) fn begin(&self, manifest: &[u8]) -> Result<()> {
        let (path, written) = (self.directory.join(MANIFEST), self.directory.join("manifest.new"));
        let write = || {
            for empty in [ARCHIVE, JOURNAL] {
                self.private().truncate(true).open(self.directory.join(empty))?;
            }
            let mut file = self.private().truncate(true).open(&written)?;
            file.write_all(manifest)?;
            file.sync_all()?;
            std::fs::rename(&written, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|cause| disk_fault(format!("writing {}", path.display()), cause))
    }

    /// The archive, to go on behind its first `length` bytes.
    pub(super) fn archive_at(&self, length: u64) -> Result<File> {
        let path = self.directory.join(ARCHIVE);
        let open = || {
            let mut file = self.private().truncate(false).open(&path)?;
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok(file)
        };
        open().map_err(|cause| disk_fault(format!("writing {}", path.display()), cause))
    }

    /// Makes what was cut durable, and notes it for whoever goes on.
    pub(super) fn advance(&self, cut: &Cut) -> Result<()> {
        cut.file.sync_data().map_err(|cause| disk_fault("writing the archive".to_owned(), cause))?;
        let path = self.directory.join(JOURNAL);
        let noted = self.private().append(true).open(&path).and_then(|mut journal| {
            journal.write_all(format!("{} {}\n", cut.members, cut.length).as_bytes())?;
            journal.sync_data()
        });
        noted.map_err(|cause| disk_fault(format!("writing {}", path.display()), cause))
    }

    /// Gives the complete archive its name and removes the directory.
    pub(super) fn complete(self) -> Result<()> {
        let doing = |cause| disk_fault(format!("giving {} its name", self.archive.display()), cause);
        // In contrast to a rename, a second name is never given in the place of another file.
        std::fs::hard_link(self.directory.join(ARCHIVE), &self.archive)
            .or_else(|cause| {
                // Some file systems know no second names.
                let is_free = self.archive.symlink_metadata().is_err();
                if is_free { std::fs::rename(self.directory.join(ARCHIVE), &self.archive) } else { Err(cause) }
            })
            .map_err(doing)?;
        let parent = self.archive.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(doing)?;
        self.clear()?;
        let emptied = std::fs::remove_file(self.directory.join(LOCK)).and_then(|()| std::fs::remove_dir(&self.directory));
        emptied.map_err(|cause| disk_fault(format!("removing {}", self.directory.display()), cause))
    }

    fn private(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        options
    }
}
