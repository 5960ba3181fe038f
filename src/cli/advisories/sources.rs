//! Advisory records out of files, directories and archives. Invariant: what a file is, its content says and not its name; every file is
//! hostile: one record at a time is in memory, each of bounded size, and nothing is unpacked to disk. A fault names file, member and line.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use zip::ZipReadOptions;
use zip::read::Config;
use zip::unstable::read::ZipIterable;

use crate::advisories::{RECORD_LIMIT_BYTES, Record};

/// Members that one archive may have.
const MEMBERS_LIMIT: usize = 5_000_000;
/// Bytes that one file or member may unpack to: 64 GiB.
const UNPACKED_LIMIT_BYTES: u64 = 64 << 30;
/// How deep directories, and gzip inside gzip, may lie.
const DIRECTORY_DEPTH_LIMIT: u32 = 32;
const GZIP_DEPTH_LIMIT: u32 = 2;
/// Enough to tell a tar archive by.
const HEAD_BYTES: u64 = 512;

/// Whether a person named this file, or it was found in a directory or archive, where what holds no records is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Named,
    Found,
}

/// Why reading ended early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A fault, in words.
    Fault(String),
    /// Whoever takes the records wants no more.
    Unwanted,
}

/// Takes a record; an error ends the reading.
pub(super) type Take<'a> = &'a mut dyn FnMut(Record) -> Result<(), Stop>;

/// Gives every record of these files and directories to `take`, in the order of the paths, sorted inside directories; how many files
/// were passed over since they are no advisories.
///
/// # Errors
/// The first fault; what `take` answers.
pub(super) fn read_all(paths: &[PathBuf], take: Take<'_>) -> Result<u64, Stop> {
    let mut reading = Reading { take, passed_over: 0 };
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|cause| fault(&shown(path), cause))?;
        if metadata.is_dir() {
            reading.directory(path, 0)?;
        } else {
            reading.file(path, Origin::Named)?;
        }
    }
    Ok(reading.passed_over)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn fault(place: &str, why: impl std::fmt::Display) -> Stop {
    Stop::Fault(format!("{place}: {why}"))
}

struct Reading<'a> {
    take: Take<'a>,
    passed_over: u64,
}

impl Reading<'_> {
    /// Files and directories whose names begin with a dot are none of ours, and links are not followed.
    fn directory(&mut self, path: &Path, depth: u32) -> Result<(), Stop> {
        if depth > DIRECTORY_DEPTH_LIMIT {
            return Err(fault(&shown(path), format!("it lies more than {DIRECTORY_DEPTH_LIMIT} directories deep; name it by itself")));
        }
        let failed = |cause: std::io::Error| fault(&shown(path), cause);
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(failed)?;
        let mut entries: Vec<_> = entries.into_iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.directory(&entry.path(), depth + 1)?;
            } else if kind.is_file() {
                self.file(&entry.path(), Origin::Found)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, origin: Origin) -> Result<(), Stop> {
        let place = shown(path);
        let open = || File::open(path).map_err(|cause| fault(&place, cause));
        let mut head = Vec::new();
        open()?.take(4).read_to_end(&mut head).map_err(|cause| fault(&place, cause))?;
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return self.zip(&place, open()?, open()?);
        }
        self.stream(&place, &mut BufReader::new(open()?), origin, 0)
    }

    /// A zip archive; it is walked with one handle and its members are read with the other.
    fn zip(&mut self, place: &str, list: File, bodies: File) -> Result<(), Stop> {
        let unreadable = |cause: zip::result::ZipError| fault(place, format!("it is no whole zip archive: {cause}"));
        let mut archive = ZipIterable::try_new(BufReader::new(list), Config::default()).map_err(unreadable)?;
        if archive.len() > MEMBERS_LIMIT {
            return Err(fault(place, format!("it has more than {MEMBERS_LIMIT} members")));
        }
        let mut members = archive.files_with_reader(BufReader::new(bodies), ZipReadOptions::new()).map_err(unreadable)?;
        while let Some(member) = members.next() {
            let member = member.map_err(unreadable)?;
            if member.is_file() {
                let place = format!("{place}: {}", String::from_utf8_lossy(member.name_raw()));
                self.member(&place, member)?;
            }
        }
        Ok(())
    }

    /// A tar archive. Long names stand in members of their own, which are passed over: they could be of any length.
    fn tar(&mut self, place: &str, reader: &mut dyn BufRead) -> Result<(), Stop> {
        let unreadable = |cause: std::io::Error| fault(place, format!("it is no whole tar archive: {cause}"));
        let mut archive = tar::Archive::new(reader);
        for (count, member) in archive.entries().map_err(unreadable)?.raw(true).enumerate() {
            let member = member.map_err(unreadable)?;
            if count >= MEMBERS_LIMIT {
                return Err(fault(place, format!("it has more than {MEMBERS_LIMIT} members")));
            }
            if member.header().entry_type().is_file() {
                let place = format!("{place}: {}", String::from_utf8_lossy(&member.path_bytes()));
                self.member(&place, member)?;
            }
        }
        Ok(())
    }

    fn member(&mut self, place: &str, member: impl Read) -> Result<(), Stop> {
        self.stream(place, &mut BufReader::new(member), Origin::Found, GZIP_DEPTH_LIMIT)
    }

    /// Anything that can only be read from front to back. `depth` counts what it is packed in.
    fn stream(&mut self, place: &str, reader: &mut dyn BufRead, origin: Origin, depth: u32) -> Result<(), Stop> {
        let mut head = Vec::new();
        reader.take(HEAD_BYTES).read_to_end(&mut head).map_err(|cause| fault(place, cause))?;
        let is_gzip = head.starts_with(&[0x1f, 0x8b]);
        let is_tar = head.get(257..262) == Some(b"ustar");
        let is_zip = head.starts_with(b"PK\x03\x04");
        let mut whole = BufReader::new(Cursor::new(head).chain(reader).take(UNPACKED_LIMIT_BYTES));
        if is_gzip && depth <= GZIP_DEPTH_LIMIT {
            return self.stream(place, &mut BufReader::new(MultiGzDecoder::new(&mut whole)), origin, depth + 1);
        }
        if is_tar && depth < GZIP_DEPTH_LIMIT {
            return self.tar(place, &mut whole);
        }
        if is_gzip || is_tar || is_zip {
            return Err(fault(place, "it is an archive inside another one, which is not opened; unpack the outer one first"));
        }
        self.json(place, &mut whole, origin)?;
        if whole.into_inner().limit() == 0 { Err(fault(place, format!("it has more than {UNPACKED_LIMIT_BYTES} bytes"))) } else { Ok(()) }
    }

    /// One record over as many lines as it likes, or one on each line.
    fn json(&mut self, place: &str, reader: &mut dyn BufRead, origin: Origin) -> Result<(), Stop> {
        let (mut line, mut number) = (Vec::new(), 0_u64);
        while next_line(place, reader, &mut line, &mut number)? {
            let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
            if text.is_empty() {
                continue;
            }
            if !text.starts_with(b"{") {
                if origin == Origin::Found {
                    self.passed_over += 1;
                    return Ok(());
                }
                return Err(fault(place, "it holds no advisories: neither JSON objects of the OSV format nor gzip, zip or tar of such"));
            }
            return match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
                Err(cause) if cause.is_eof() => self.document(place, text, reader),
                Ok(_) | Err(_) => self.lines(place, text, number, reader),
            };
        }
        Ok(())
    }

    /// A record that goes on after its first line.
    fn document(&mut self, place: &str, first: &[u8], reader: &mut dyn BufRead) -> Result<(), Stop> {
        let mut bytes = [first, b"\n"].concat();
        reader.take(RECORD_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|cause| fault(place, cause))?;
        self.record(place, &bytes)
    }

    fn lines(&mut self, place: &str, first: &[u8], mut number: u64, reader: &mut dyn BufRead) -> Result<(), Stop> {
        let at = |number: u64| format!("{place}, line {number}");
        self.record(&at(number), first)?;
        let mut line = Vec::new();
        while next_line(place, reader, &mut line, &mut number)? {
            if !line.trim_ascii().is_empty() {
                self.record(&at(number), line.trim_ascii())?;
            }
        }
        Ok(())
    }

    fn record(&mut self, place: &str, bytes: &[u8]) -> Result<(), Stop> {
        let record = Record::read(bytes).map_err(|error| fault(place, error.message()))?;
        (self.take)(record)
    }
}

/// Reads the next line into `line`; false at the end.
fn next_line(place: &str, reader: &mut dyn BufRead, line: &mut Vec<u8>, number: &mut u64) -> Result<bool, Stop> {
    line.clear();
    let limit = RECORD_LIMIT_BYTES as u64 + 1;
    let read =
        reader.take(limit).read_until(b'\n', line).map_err(|cause| fault(place, format!("it cannot be read to its end: {cause}")))?;
    *number += u64::from(read > 0);
    if line.len() > RECORD_LIMIT_BYTES {
        return Err(fault(&format!("{place}, line {number}"), format!("it is longer than the {RECORD_LIMIT_BYTES} bytes of a record")));
    }
    Ok(read > 0)
}

#[cfg(test)]
mod tests;
