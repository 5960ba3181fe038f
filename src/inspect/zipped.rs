//! Zip archives. Invariant: the directory is walked entry by entry without holding it, each entry's own header must agree with it, and
//! no bytes lie between entries that a client which reads the file from its beginning could take for another entry.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use zip::read::Config;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use super::archive::{Entry, Kind, Visitor};
use super::meter::{Meter, Packed};
use crate::domain::contents::Unreadable;

/// The bits of a Unix mode that say what a file is, and their values.
const TYPE_MASK: u32 = 0o170_000;
const SYMBOLIC_LINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// What stands before an entry, after the directory, after the directory of a large archive, and between these two ends.
const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR: [u8; 4] = *b"PK\x06\x07";

/// Their bytes, and the most that stand behind the directory, a comment included.
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_BYTES: usize = 20;
const ENDS_LIMIT_BYTES: u64 = (END_64_BYTES + LOCATOR_BYTES + END_BYTES + u16::MAX as usize) as u64;

/// The least bytes of a local header: fewer cannot hide one.
const LOCAL_HEADER_BYTES: u64 = 30;

/// Shows every entry to the visitor.
pub(super) fn walk(file: Packed<'_>, meter: &Meter<'_>, visitor: &mut Visitor<'_, '_>) -> Result<(), Unreadable> {
    let failed = |cause: ZipError| meter.cause(fault_of(&cause));
    let archive = ZipIterable::try_new(BufReader::new(file), Config::default()).map_err(failed)?;
    let mut archive = archive.enforce_header_consistency(true);
    if archive.len() as u64 > meter.limits.entries {
        return Err(Unreadable::TooManyEntries);
    }
    let entries = archive.files().map_err(failed)?;
    let mut places = Vec::new();
    let (mut directory_start, mut directory_end) = (None, 0);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        directory_start.get_or_insert(entry.central_header_start());
        directory_end = entries.reader_mut().stream_position().map_err(|cause| failed(cause.into()))?;
        let (name, size_bytes, mode) = (entry.name_raw().to_vec(), entry.size(), entry.unix_mode().unwrap_or(REGULAR));
        let (start, packed_bytes) = (entry.header_start(), entry.compressed_size());
        let is_plain = !entry.encrypted() && matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
        if !is_plain {
            visitor.fault(Unreadable::Unsupported);
            continue;
        }
        let mut content = entry.with_reader(entries.reader_mut(), ZipReadOptions::new()).map_err(failed)?;
        places.push((start, content.data_start().unwrap_or(start).saturating_add(packed_bytes)));
        let kind = match mode & TYPE_MASK {
            _ if name.ends_with(b"/") && size_bytes == 0 => Kind::Directory,
            0 | REGULAR | DIRECTORY => Kind::File,
            SYMBOLIC_LINK => Kind::SymbolicLink(read_target(&mut meter.unpacking(&mut content), meter)?),
            _ => Kind::Special,
        };
        visitor.visit(Entry { name: &name, kind, size_bytes, content: &mut meter.unpacking(content) })?;
    }
    let reader = entries.reader_mut();
    let is_ended = directory_start.is_none_or(|start| is_ended_once(reader, start..directory_end) == Some(true));
    let is_whole = is_ended && begins_with_the_first(reader, places.iter().map(|(start, _)| *start).min());
    if !is_whole || hides_something(&mut places, directory_start) { Err(meter.cause(Unreadable::Malformed)) } else { Ok(()) }
}

/// Whether the file has one end, right behind the directory, that tells the directory's size. Clients look for the end in different
/// ways, and some count back from it to where the directory begins, and by as much move every entry.
fn is_ended_once(reader: &mut (impl Read + Seek), directory: Range<u64>) -> Option<bool> {
    let tail_bytes = reader.seek(SeekFrom::End(0)).ok()?.checked_sub(directory.end)?;
    if tail_bytes > ENDS_LIMIT_BYTES {
        return Some(false);
    }
    reader.seek(SeekFrom::Start(directory.end)).ok()?;
    let mut tail = Vec::new();
    reader.take(tail_bytes).read_to_end(&mut tail).ok()?;
    let is_either = |found: u64, wanted: u64| found == wanted || found == u64::from(u32::MAX);
    let size_bytes = directory.end - directory.start;
    let end = if tail.starts_with(&END_64) {
        let end = tail.get(END_64_BYTES + LOCATOR_BYTES..)?;
        let is_sound = number::<8>(&tail, 4)? == END_64_BYTES as u64 - 12
            && number::<8>(&tail, 40)? == size_bytes
            && number::<8>(&tail, 48)? == directory.start
            && tail[END_64_BYTES..].starts_with(&LOCATOR)
            && number::<8>(&tail, END_64_BYTES + 8)? == directory.end
            && is_either(number::<4>(end, 16)?, directory.start);
        if is_sound { end } else { return Some(false) }
    } else {
        // What looks like a locator there would be the comment of the last entry.
        if signature_at(reader, directory.end.saturating_sub(LOCATOR_BYTES as u64))? == LOCATOR {
            return Some(false);
        }
        &tail
    };
    let comment = end.get(END_BYTES..)?;
    Some(
        end.starts_with(&END)
            && is_either(number::<4>(end, 12)?, size_bytes)
            && number::<2>(end, 20)? == comment.len() as u64
            && !comment.windows(END.len()).any(|bytes| bytes == END),
    )
}

/// A number of N bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + N)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Whether a client that reads the file from its beginning finds the first entry there, or no archive at all.
fn begins_with_the_first(reader: &mut (impl Read + Seek), first_start: Option<u64>) -> bool {
    first_start.is_none_or(|start| start == 0) || signature_at(reader, 0).is_some_and(|signature| signature != LOCAL_HEADER)
}

fn signature_at(reader: &mut (impl Read + Seek), position: u64) -> Option<[u8; 4]> {
    let mut signature = [0; 4];
    reader.seek(SeekFrom::Start(position)).ok()?;
    reader.read_exact(&mut signature).ok()?;
    Some(signature)
}

fn read_target(content: &mut dyn Read, meter: &Meter<'_>) -> Result<Vec<u8>, Unreadable> {
    let mut target = Vec::new();
    let read = content.take(meter.limits.path_bytes as u64 + 1).read_to_end(&mut target);
    read.map(|_| target).map_err(|_| meter.cause(Unreadable::Malformed))
}

/// Whether entries share bytes, or leave room for one that the directory does not list.
fn hides_something(places: &mut [(u64, u64)], directory_start: Option<u64>) -> bool {
    places.sort_unstable();
    let ends = places.iter().map(|(_, end)| *end);
    let next_starts = places.iter().skip(1).map(|(start, _)| *start).chain(directory_start);
    ends.zip(next_starts).any(|(end, next_start)| next_start < end || next_start - end >= LOCAL_HEADER_BYTES)
}

fn fault_of(cause: &ZipError) -> Unreadable {
    if matches!(cause, ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_)) {
        Unreadable::Unsupported
    } else {
        Unreadable::Malformed
    }
}
