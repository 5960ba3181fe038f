//! Restoring an instance from archives. Invariant: everything is unpacked and verified in a directory of its own inside the target and moved
//! into its place when all of it is sound and on disk, the database last; a failure leaves an empty target.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::reading::{Member, copy, read, read_manifest};
use super::{Progress, Report, disk_fault};
use crate::blobs::Blobs;
use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::store;

/// Where everything is until it is sound.
const WORK: &str = "restoring";
const BLOBS: &str = "blobs";
const DATABASE: &str = "state.db";
/// What may lie in an empty target: the lock that is held meanwhile, what an earlier try left, and what a new file system has.
const NOTHING: [&str; 3] = ["lock", WORK, "lost+found"];
/// Faults that are named when there are many.
const FAULTS_NAMED: usize = 5;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The moment whose state it is.
    pub created_at: String,
    /// Versions.
    pub versions: u64,
    /// Audit rows.
    pub audit_rows: u64,
    /// Blobs.
    pub blob_count: u64,
    /// The schema that the archive has.
    pub schema: usize,
}

/// Refuses a directory with anything in it; none at all will do.
///
/// # Errors
/// `conflict`; internal when it cannot be read.
pub fn refuse_unless_empty(target: &Path) -> Result<()> {
    let doing = |cause| disk_fault(format!("looking into {}", target.display()), cause);
    let entries = match std::fs::read_dir(target) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(doing(cause)),
    };
    let is_half_moved = is_half_moved(target);
    for entry in entries {
        let name = entry.map_err(doing)?.file_name();
        let is_nothing = NOTHING.iter().any(|nothing| name == *nothing) || (is_half_moved && name == BLOBS);
        if !is_nothing {
            let message = format!("{} is not empty ({} lies in it)", target.display(), name.display());
            return Err(Error::conflict(format!("{message}; nothing was changed; give an empty directory with --data-dir")));
        }
    }
    Ok(())
}

/// Refuses a directory in which a restore was begun and has not come to its end: it would look like an instance of which all is lost.
///
/// # Errors
/// `conflict`.
pub fn refuse_half_restored(directory: &Path) -> Result<()> {
    if !is_half_restored(directory) {
        return Ok(());
    }
    let message = format!("a restore into {} was begun and not ended", directory.display());
    Err(Error::conflict(format!("{message}; type it again, or remove the directory {} in it for an empty instance", WORK)))
}

fn is_half_restored(directory: &Path) -> bool {
    directory.join(WORK).exists() && !directory.join(DATABASE).exists()
}

/// Whether an earlier restore was ended when the blobs had their name and the database had not.
fn is_half_moved(target: &Path) -> bool {
    let work = target.join(WORK);
    is_half_restored(target) && work.join(DATABASE).exists() && !work.join(BLOBS).exists()
}

/// Restores the state of the last archive into `target`, which must be empty and used by nobody else. The first stands alone and each later
/// one continues the one before it. Blocks.
///
/// # Errors
/// `conflict` when the target is not empty, the archives do not belong together, or anything in them is not what it should be;
/// `unavailable` for those of a newer program; `insufficient_storage`; internal. Nothing is left in the target then.
pub fn restore(archives: &[PathBuf], target: &Path, report: Report<'_>) -> Result<Restored> {
    refuse_unless_empty(target)?;
    let chain = link(archives)?;
    let work = target.join(WORK);
    let doing = |cause| disk_fault(format!("making {}", work.display()), cause);
    if is_half_moved(target) {
        remove_tree(&target.join(BLOBS)).map_err(doing)?;
    }
    remove_tree(&work).map_err(doing)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&work).map_err(doing)?;
    let restored = fill(archives, &chain, &work, report).and_then(|restored| {
        move_into_place(&work, target)?;
        Ok(restored)
    });
    if restored.is_err() {
        drop(remove_tree(&work));
    }
    restored
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads the manifests and sees that each archive continues the one before it.
fn link(archives: &[PathBuf]) -> Result<Vec<(Manifest, Digest)>> {
    let mut chain: Vec<(Manifest, Digest)> = Vec::new();
    for path in archives {
        let (manifest, digest) = read_manifest(path)?;
        let shown = path.display();
        match (manifest.parent, chain.last()) {
            (None, None) => {}
            (Some(parent), Some((_, before))) if parent == *before => {}
            (Some(parent), None) => {
                let message = format!("the archive {shown} continues another one, whose manifest has the digest {parent}");
                return Err(Error::conflict(format!("{message}; give all of them, the oldest first")));
            }
            (Some(_), Some(_)) => {
                return Err(Error::conflict(format!(
                    "the archive {shown} does not continue the one given before it; one is missing or foreign"
                )));
            }
            (None, Some(_)) => {
                let message = format!("the archive {shown} stands alone and needs none before it; give it alone, or first");
                return Err(Error::conflict(message));
            }
        }
        let newest = store::newest_schema();
        if manifest.schema > newest {
            let message = format!("the archive {shown} has schema {}, this program knows up to {newest}", manifest.schema);
            return Err(Error::new(Code::Unavailable, format!("{message}; restore it with the newer artifortress that wrote it")));
        }
        chain.push((manifest, digest));
    }
    Ok(chain)
}

/// Unpacks everything into `work` and looks at it.
fn fill(archives: &[PathBuf], chain: &[(Manifest, Digest)], work: &Path, report: Report<'_>) -> Result<Restored> {
    let Some((newest, _)) = chain.last() else { return Err(Error::bad_request("no archive was given")) };
    let blobs = Blobs::open_dir(work)?;
    let needed = newest.needed();
    let (needed_bytes, disk) = (needed.values().sum::<u64>().saturating_add(newest.database.size_bytes), blobs.disk_space()?);
    if needed_bytes > disk.free_bytes {
        let message = format!("{needed_bytes} bytes are to be unpacked into {}, and {} are free there", work.display(), disk.free_bytes);
        return Err(Error::new(Code::InsufficientStorage, message));
    }
    let database = work.join(DATABASE);
    let (vault, mut missing) = (blobs.vault(), needed.clone());
    let (mut done, total) = (0, chain.iter().map(|(manifest, _)| manifest.total_bytes()).sum());
    for (number, (path, known)) in archives.iter().zip(chain).enumerate() {
        let is_last = number + 1 == chain.len();
        read(path, known, &mut |member, reader| {
            let content = match member {
                Member::Database(content) => {
                    unpack_database(content, reader, is_last.then_some(database.as_path()))?;
                    content
                }
                Member::Blob(content) => {
                    match missing.remove(&content.digest) {
                        Some(size_bytes) => vault.plant(content.digest, size_bytes, reader)?,
                        // Removed later, or twice in the chain; it is read all the same.
                        None => copy(content, reader, &mut io::sink(), "a blob")?,
                    }
                    content
                }
            };
            done += content.size_bytes;
            report(Progress::Unpacking(done, total));
            Ok(())
        })?;
    }
    if let Some(digest) = missing.keys().next() {
        return Err(Error::conflict(format!("{} blobs are in none of these archives, such as {digest}", missing.len())));
    }
    report(Progress::Verifying);
    verify(work, newest, &needed)
}

fn unpack_database(content: super::manifest::Content, reader: &mut dyn io::Read, into: Option<&Path>) -> Result<()> {
    let Some(path) = into else { return copy(content, reader, &mut io::sink(), "the database") };
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|cause| disk_fault(format!("making {}", path.display()), cause))?;
    copy(content, reader, &mut file, "the database")
}

/// The chain as it was written, then the database as this program has it, then that the bytes are those it names.
fn verify(work: &Path, manifest: &Manifest, needed: &BTreeMap<Digest, u64>) -> Result<Restored> {
    store::intact_trail(&work.join(DATABASE))?;
    store::migrate_copy(work)?;
    let report = store::check(work)?;
    if !report.faults.is_empty() {
        let named = report.faults.iter().take(FAULTS_NAMED).cloned().collect::<Vec<_>>().join("; ");
        let message = format!("{} faults are in the database of this archive: {named}", report.faults.len());
        return Err(Error::conflict(format!("{message}; restore an earlier one, or unpack it by hand with tar")));
    }
    let named: BTreeMap<Digest, u64> = report.blobs.iter().copied().collect();
    if named != *needed {
        return Err(Error::conflict("the database of this archive names other blobs than its manifest"));
    }
    Ok(Restored {
        created_at: manifest.created_at.clone(),
        versions: report.versions,
        audit_rows: report.audit_rows,
        blob_count: named.len() as u64,
        schema: manifest.schema,
    })
}

/// Makes all of it durable at once and gives it its names.
fn move_into_place(work: &Path, target: &Path) -> Result<()> {
    let moved = || {
        let directory = File::open(work)?;
        nix::unistd::syncfs(&directory)?;
        std::fs::rename(work.join(BLOBS), target.join(BLOBS))?;
        // Before this a start is refused, and the same restore begins anew; after it, all of it is there.
        std::fs::rename(work.join(DATABASE), target.join(DATABASE))?;
        File::open(target)?.sync_all()?;
        std::fs::remove_dir_all(work)
    };
    moved().map_err(|cause: io::Error| disk_fault(format!("moving what was restored into {}", target.display()), cause))
}
