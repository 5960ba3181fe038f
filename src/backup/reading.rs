//! Reading an archive. Invariant: it is accepted only as the exact row of members that its manifest announces, of these names, sizes and
//! digests, to the last byte; names are compared and never used, so an archive cannot make this program touch any path.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use zstd::stream::read::Decoder;

use super::disk_fault;
use super::manifest::{Content, DATABASE, END, End, LIMIT_BYTES, MANIFEST, Manifest, blob_name};
use crate::blobs::HashingReader;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

/// A block of a tar archive.
const BLOCK_BYTES: usize = 512;
/// What may follow the end of the tar: writers fill their last block with zeros.
const PADDING_LIMIT_BYTES: u64 = 64 << 10;
/// The longest last member.
const END_LIMIT_BYTES: u64 = 1024;

/// What is taken out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Database(Content),
    Blob(Content),
}

type Unpacked = tar::Archive<Decoder<'static, BufReader<File>>>;

fn open(path: &Path) -> Result<Unpacked> {
    let opened = File::open(path).and_then(|file| Decoder::with_buffer(BufReader::with_capacity(1 << 20, file)));
    Ok(tar::Archive::new(opened.map_err(|cause| Error::conflict(format!("the archive {} cannot be read: {cause}", path.display())))?))
}

/// Reads the manifest alone, which stands at the beginning, and gives its digest.
pub(super) fn read_manifest(path: &Path) -> Result<(Manifest, Digest)> {
    let mut archive = open(path)?;
    let mut entries = archive.entries().map_err(|cause| damaged(path, &cause))?.raw(true);
    first(&mut entries).map_err(|error| about(path, &error))
}

fn first<R: Read>(entries: &mut tar::Entries<'_, R>) -> Result<(Manifest, Digest)> {
    let mut entry = next(entries, MANIFEST)?;
    let size_bytes = size_of(&entry)?;
    if size_bytes > LIMIT_BYTES {
        return Err(Error::too_large("the manifest", LIMIT_BYTES));
    }
    Manifest::parse(&whole(&mut entry, size_bytes)?)
}

/// Goes through a whole archive; `take` is given each member and reads all of it, checking that it is what it should be.
///
/// # Errors
/// `conflict` when the archive is another than the one whose manifest is given, or anything but what that announces; what `take` returns.
pub(super) fn read(
    path: &Path,
    (manifest, digest): &(Manifest, Digest),
    take: &mut dyn FnMut(Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut archive = open(path)?;
    read_members(&mut archive, manifest, digest, take).map_err(|error| about(path, &error))?;
    let mut rest = archive.into_inner().take(PADDING_LIMIT_BYTES + 1);
    let mut padding = Vec::new();
    rest.read_to_end(&mut padding).map_err(|cause| damaged(path, &cause))?;
    if padding.len() as u64 > PADDING_LIMIT_BYTES || padding.iter().any(|byte| *byte != 0) {
        return Err(Error::conflict(format!("the archive {} goes on behind its end", path.display())));
    }
    // Of the two empty blocks that end a tar archive, the first has been read as the end of its members.
    if padding.len() < BLOCK_BYTES {
        return Err(Error::conflict(format!("the archive {} was cut short: its last block is missing", path.display())));
    }
    Ok(())
}

fn read_members(
    archive: &mut Unpacked,
    manifest: &Manifest,
    digest: &Digest,
    take: &mut dyn FnMut(Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut entries = archive.entries().map_err(|cause| cut(&cause))?.raw(true);
    if first(&mut entries)?.1 != *digest {
        return Err(Error::conflict("it has been replaced by another"));
    }
    take_one(&mut entries, DATABASE, manifest.database, Member::Database(manifest.database), take)?;
    for blob in &manifest.blobs {
        take_one(&mut entries, &blob_name(&blob.digest), *blob, Member::Blob(*blob), take)?;
    }
    let mut entry = next(&mut entries, END)?;
    let size_bytes = size_of(&entry)?.min(END_LIMIT_BYTES + 1);
    let end = whole(&mut entry, size_bytes)?;
    if serde_json::from_slice::<End>(&end).ok() != Some(End { manifest: *digest }) {
        return Err(Error::conflict("its end belongs to another archive"));
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::conflict("it goes on behind its end")),
    }
}

fn take_one<R: Read>(
    entries: &mut tar::Entries<'_, R>,
    name: &str,
    content: Content,
    member: Member,
    take: &mut dyn FnMut(Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut entry = next(entries, name)?;
    if size_of(&entry)? != content.size_bytes {
        return Err(Error::conflict(format!("{name} has another size than its manifest says")));
    }
    let mut source = Source { reader: &mut entry, fault: None };
    let taken = take(member, &mut source);
    match source.fault {
        Some(cause) => Err(Error::conflict(format!("it is damaged or was cut short in {name}: {cause}"))),
        None => taken,
    }
}

/// Remembers that it was the archive that could not be read, and not the disk that could not be written.
struct Source<'a, R> {
    reader: &'a mut R,
    fault: Option<String>,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|cause| {
            if cause.kind() != io::ErrorKind::Interrupted {
                self.fault = Some(cause.to_string());
            }
        })
    }
}

/// The next member, which must be an ordinary file of this name.
fn next<'a, R: Read>(entries: &mut tar::Entries<'a, R>, name: &str) -> Result<tar::Entry<'a, R>> {
    let entry = entries.next().ok_or_else(|| Error::conflict(format!("it was cut short: {name} is not in it")))?;
    let entry = entry.map_err(|cause| cut(&cause))?;
    if !entry.header().entry_type().is_file() || entry.path_bytes() != name.as_bytes() {
        return Err(Error::conflict(format!("something else stands in it where {name} should")));
    }
    Ok(entry)
}

fn size_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<u64> {
    entry.header().entry_size().map_err(|cause| cut(&cause))
}

fn whole(entry: &mut impl Read, size_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(size_bytes).read_to_end(&mut bytes).map_err(|cause| cut(&cause))?;
    Ok(bytes)
}

/// Copies a member that must be `content`.
pub(super) fn copy(content: Content, reader: &mut dyn Read, into: &mut dyn Write, what: &str) -> Result<()> {
    let mut reader = HashingReader::new(reader);
    io::copy(&mut reader, into).map_err(|cause| disk_fault(format!("unpacking {what}"), cause))?;
    if reader.finish() == (content.digest, content.size_bytes) {
        Ok(())
    } else {
        Err(Error::conflict(format!("{what} has another digest than its manifest says")))
    }
}

fn cut(cause: &io::Error) -> Error {
    Error::conflict(format!("it is damaged or was cut short: {cause}"))
}

fn damaged(path: &Path, cause: &io::Error) -> Error {
    about(path, &cut(cause))
}

/// The same fault, with the archive's name.
fn about(path: &Path, error: &Error) -> Error {
    let named = Error::new(error.code(), format!("the archive {} cannot be used: {}", path.display(), error.message()));
    match error.cause() {
        Some(cause) => named.because(cause.to_string()),
        None => named,
    }
}
