//! Making an archive. Invariant: the database is copied first and its blobs are read afterwards, while nobody removes any, so that each is
//! there; one that is not what its name says ends the backup, before anything is cut behind it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::ahead::{BATCHES_AHEAD, Members, damaged, read_ahead};
use super::frames::Frames;
use super::manifest::{Content, DATABASE, END, End, FORMAT, MANIFEST, Manifest, blob_name};
use super::partial::{Begun, Cut, Partial};
use super::reading::read_manifest;
use super::{Progress, Report, disk_fault};
use crate::blobs::vault::Vault;
use crate::blobs::{Blobs, HashingReader, hold_for_backup};
use crate::clock::Clock;
use crate::domain::backup::BackupMade;
use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::store;

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// The instance.
    pub data_dir: &'a Path,
    /// The archive; there must be none of this name.
    pub archive: &'a Path,
    /// The archive that it continues: what that and those before it have is not packed again.
    pub since: Option<&'a Path>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What is remembered of it.
    pub made: BackupMade,
    /// When the database was copied.
    pub created_at: String,
    /// Blobs that the archives before this one have.
    pub earlier_count: u64,
    /// Whether an earlier process had begun it.
    pub is_resumed: bool,
}

/// Why packing ended early.
pub(super) enum Stop {
    /// A blob that the copy names has been removed since it was made.
    Gone(Digest),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Makes an archive, or goes on with one that was begun under this name. The instance may be in use. Blocks.
///
/// # Errors
/// `conflict` when the archive is there already, another process is making it, or a blob is damaged; `unavailable` for a database of a
/// newer program; `insufficient_storage`; internal. What was packed stays for the next try.
pub fn make(order: &Making<'_>, clock: &dyn Clock, report: Report<'_>) -> Result<Made> {
    let parent = order.since.map(read_manifest).transpose()?;
    let partial = Partial::open(order.archive)?;
    let vault = Blobs::open_dir(order.data_dir)?.vault();
    // From here on until the archive is complete.
    let _hold = hold_for_backup(order.data_dir)?;
    let begun = partial.find_begun(parent.as_ref().map(|(_, digest)| *digest), clock.now());
    let is_resumed = begun.as_ref().is_some_and(|begun| begun.members > 0);
    if let Some(begun) = begun {
        match pack(&partial, &vault, &begun, report) {
            Ok(packed) => return conclude(partial, &begun.manifest, packed, is_resumed),
            Err(Stop::Failed(error)) => return Err(error),
            // Nobody held it while no backup was running; the next copy will not name it.
            Err(Stop::Gone(_)) => {}
        }
    }
    let manifest = begin(order.data_dir, &partial, parent.as_ref(), clock, report)?;
    let begun = Begun { manifest, members: 0, length: 0 };
    match pack(&partial, &vault, &begun, report) {
        Ok(packed) => conclude(partial, &begun.manifest, packed, false),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Gone(digest)) => Err(damaged(&digest, "its file is missing")),
    }
}

/// Copies the database and writes down what the archive will hold.
fn begin(
    data_dir: &Path,
    partial: &Partial,
    parent: Option<&(Manifest, Digest)>,
    clock: &dyn Clock,
    report: Report<'_>,
) -> Result<Manifest> {
    partial.clear()?;
    let created_at = clock.now().to_string();
    let path = partial.database();
    let copied = store::copy_database(data_dir, &path, &mut |done, all| report(Progress::Copying(done, all)))?;
    let hashed = File::open(&path).and_then(|file| {
        let mut reader = HashingReader::new(file);
        std::io::copy(&mut reader, &mut std::io::sink())?;
        Ok(reader.finish())
    });
    let (digest, size_bytes) = hashed.map_err(|cause| disk_fault(format!("reading {}", path.display()), cause))?;
    let known = parent.map(|(manifest, _)| manifest.needed()).unwrap_or_default();
    let (earlier, blobs) = copied
        .blobs
        .into_iter()
        .map(|(digest, size_bytes)| Content { digest, size_bytes })
        .partition(|blob| known.get(&blob.digest) == Some(&blob.size_bytes));
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        created_at,
        schema: copied.schema,
        parent: parent.map(|(_, digest)| *digest),
        database: Content { digest, size_bytes },
        blobs,
        earlier,
    };
    partial.begin(&manifest.bytes()?)?;
    Ok(manifest)
}

/// Packs what is missing: one thread reads and hashes, this one compresses, one syncs. Returns the digest of the manifest and
/// the length of the archive.
fn pack(partial: &Partial, vault: &Vault, begun: &Begun, report: Report<'_>) -> Result<(Digest, u64), Stop> {
    let bytes = begun.manifest.bytes()?;
    let digest = Digest::of(&bytes);
    let frames = Frames::new(partial.archive_at(begun.length)?).map_err(wrong)?;
    let mut archive = tar::Builder::new(frames);
    std::thread::scope(|scope| {
        let (ready, batches) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || read_ahead(partial, vault, &begun.manifest, begun.members, &ready));
        let (cut, cuts) = sync_channel::<Cut>(1);
        let keeper = scope.spawn(move || cuts.iter().try_for_each(|cut| partial.advance(&cut)));
        let packed = pack_members(&mut archive, (begun, &bytes), &mut Members::new(batches), &cut, report);
        drop(cut);
        // Why nothing could be kept is more to the point than that nobody took it.
        match keeper.join() {
            Ok(kept) => kept.map_err(Stop::Failed).and(packed),
            Err(_) => Err(Error::new(Code::Internal, "the thread that syncs the archive ended").into()),
        }
    })?;
    let end = serde_json::to_vec(&End { manifest: digest }).map_err(|cause| Error::internal("writing the end of the archive", cause))?;
    append(&mut archive, END, end.len() as u64, &end[..])?;
    let length = archive.into_inner().and_then(Frames::finish).map_err(wrong)?;
    Ok((digest, length))
}

fn pack_members(
    archive: &mut tar::Builder<Frames>,
    (begun, manifest): (&Begun, &[u8]),
    members: &mut Members,
    cut: &SyncSender<Cut>,
    report: Report<'_>,
) -> Result<(), Stop> {
    let blobs = &begun.manifest.blobs;
    let (mut packed, total) = (0, begun.manifest.total_bytes());
    for member in 0..=blobs.len() + 1 {
        let (name, content) = match member {
            0 => (MANIFEST.to_owned(), None),
            1 => (DATABASE.to_owned(), Some(begun.manifest.database)),
            later => (blob_name(&blobs[later - 2].digest), Some(blobs[later - 2])),
        };
        packed += content.map_or(0, |content| content.size_bytes);
        if member < begun.members {
            continue;
        }
        match content {
            None => append(archive, &name, manifest.len() as u64, manifest)?,
            Some(content) => {
                let mut read = members.next();
                let appended = append(archive, &name, content.size_bytes, &mut read);
                read.finish().and_then(|()| appended.map_err(Stop::Failed))?;
            }
        }
        report(Progress::Packing(packed, total));
        if member == 0 || archive.get_ref().is_long() {
            let (file, length) = archive.get_mut().cut().map_err(wrong)?;
            cut.send(Cut { members: member + 1, file, length }).map_err(|_| Error::new(Code::Internal, "nobody keeps what is packed"))?;
        }
    }
    Ok(())
}

/// Adds a member.
fn append(archive: &mut tar::Builder<Frames>, name: &str, size_bytes: u64, mut from: impl Read) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size_bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    let packed = header.set_path(name).and_then(|()| {
        header.set_cksum();
        archive.append(&header, &mut from)
    });
    packed.map_err(|cause| disk_fault(format!("packing {name}"), cause))
}

fn wrong(cause: io::Error) -> Error {
    disk_fault("writing the archive".to_owned(), cause)
}

fn conclude(partial: Partial, manifest: &Manifest, (digest, archive_bytes): (Digest, u64), is_resumed: bool) -> Result<Made> {
    partial.complete()?;
    let made = BackupMade {
        manifest_digest: digest,
        parent_digest: manifest.parent,
        database_digest: manifest.database.digest,
        blob_count: manifest.blobs.len() as u64,
        archive_bytes,
    };
    Ok(Made { made, created_at: manifest.created_at.clone(), earlier_count: manifest.earlier.len() as u64, is_resumed })
}
