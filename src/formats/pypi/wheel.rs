//! The core metadata inside a wheel (PEP 427). Invariant: the archive is hostile: its entries are walked one by one, at most so many,
//! and at most so many bytes are unpacked; anything doubtful refuses the upload.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipReadOptions;
use zip::read::Config;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use super::name::check_same;
use crate::domain::name::Coordinates;
use crate::error::{Error, Result};

/// Entries that a wheel may have.
const ENTRIES_LIMIT: usize = 100_000;
/// Bytes of METADATA.
const METADATA_LIMIT_BYTES: u64 = 1024 * 1024;

/// The bytes of the one `*.dist-info/METADATA` of a wheel that says these coordinates. Blocks.
///
/// # Errors
/// `bad_request` that says what is wrong with the wheel.
pub(super) fn metadata(file: File, at: &Coordinates) -> Result<Vec<u8>> {
    let archive = ZipIterable::try_new(BufReader::new(file), Config::default()).map_err(|cause| unreadable(&cause))?;
    let mut archive = archive.enforce_header_consistency(true);
    if archive.len() > ENTRIES_LIMIT {
        return Err(Error::too_large("the number of files in the wheel", ENTRIES_LIMIT as u64));
    }
    let entries = archive.files().map_err(|cause| unreadable(&cause))?;
    let (mut directory, mut found) = (None::<Vec<u8>>, None);
    for entry in entries.by_ref() {
        let entry = entry.map_err(|cause| unreadable(&cause))?;
        let name = entry.name_raw();
        let Some(slash) = name.iter().position(|byte| *byte == b'/') else { continue };
        let (first, rest) = name.split_at(slash);
        if !first.to_ascii_lowercase().ends_with(b".dist-info") {
            continue;
        }
        if directory.get_or_insert_with(|| first.to_vec()) != first {
            return Err(refused("it has two .dist-info directories"));
        }
        if rest == b"/METADATA" && found.replace(entry).is_some() {
            return Err(refused("it has two METADATA files"));
        }
    }
    let (Some(directory), Some(entry)) = (directory, found) else { return Err(refused("it has no .dist-info/METADATA")) };
    check_directory(&directory, at)?;
    let content = entry.with_reader(entries.reader_mut(), ZipReadOptions::new()).map_err(|cause| unreadable(&cause))?;
    let mut bytes = Vec::new();
    content.take(METADATA_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| unreadable(&ZipError::Io(cause)))?;
    if bytes.len() as u64 > METADATA_LIMIT_BYTES {
        return Err(Error::too_large("METADATA in the wheel", METADATA_LIMIT_BYTES));
    }
    Ok(bytes)
}

/// The directory is `{name}-{version}.dist-info`.
fn check_directory(directory: &[u8], at: &Coordinates) -> Result<()> {
    let text = String::from_utf8_lossy(directory);
    let stem = text.strip_suffix(".dist-info").ok_or_else(|| refused("its .dist-info directory is misspelled"))?;
    let (name, version) = stem.rsplit_once('-').ok_or_else(|| refused("its .dist-info directory names no version"))?;
    check_same(&format!("the directory {stem}.dist-info in the wheel"), name, version, at)
}

fn refused(why: &str) -> Error {
    Error::bad_request(format!("the wheel cannot be taken: {why}; build it again"))
}

/// Reading failed: nearly always the archive's fault, as the file was written a moment ago.
fn unreadable(cause: &ZipError) -> Error {
    let is_unsupported = matches!(cause, ZipError::UnsupportedArchive(_));
    let why =
        if is_unsupported { "it uses a compression or encryption that wheels do not have" } else { "it is no whole, plain zip archive" };
    refused(why).because(cause.to_string())
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
