//! Compressed tarballs. Invariant: headers are read raw, and what describes the next entry (GNU's long names, pax records) is read here
//! under its own limit; where clients could read one archive in two ways, it is malformed. All of the file is read: members of gzip
//! that are joined, and what stands behind the end of the archive, which may only be zeros.

use std::io::{BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::archive::{Entry, Kind, Visitor};
use super::meter::{Meter, Packed};
use crate::domain::contents::Unreadable;

/// Shows every entry to the visitor.
pub(super) fn walk(file: Packed<'_>, meter: &Meter<'_>, visitor: &mut Visitor<'_, '_>) -> Result<(), Unreadable> {
    let failed = |_| meter.cause(Unreadable::Malformed);
    let mut archive = tar::Archive::new(meter.unpacking(MultiGzDecoder::new(BufReader::new(file))));
    archive.set_ignore_zeros(true);
    let mut described = Described::default();
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        let size_bytes = entry.size();
        let flag = entry.header().entry_type().as_byte();
        if b"LKxg".contains(&flag) {
            meter.count_entry()?;
            let content = read_extension(&mut entry, size_bytes, meter)?;
            described.add(flag, content)?;
            continue;
        }
        let described = std::mem::take(&mut described);
        if described.size_bytes.is_some_and(|described| described != size_bytes) {
            return Err(Unreadable::Malformed);
        }
        // Whatever else a name is replaced by: to some clients a slash at its end makes the entry a directory.
        let is_named_directory = entry.path_bytes().ends_with(b"/") || described.name.as_ref().is_some_and(|name| name.ends_with(b"/"));
        let name = described.name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let target = described.target.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
        let kind = match flag {
            0 | b'0' if is_named_directory => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink(target),
            b'2' => Kind::SymbolicLink(target),
            b'5' => Kind::Directory,
            // Sparse files and other dialects: their content lies where only some clients look for it.
            b'S' => return Err(Unreadable::Unsupported),
            _ => Kind::Special,
        };
        // Some clients look for the next header right behind an entry that can have no content, others behind its content.
        if size_bytes > 0 && !matches!(kind, Kind::File) {
            visitor.fault(Unreadable::Malformed);
        }
        visitor.visit(Entry { name: &name, kind, size_bytes, content: &mut entry })?;
    }
    if described.is_empty() { Ok(()) } else { Err(Unreadable::Malformed) }
}

fn read_extension(reader: &mut dyn Read, size_bytes: u64, meter: &Meter<'_>) -> Result<Vec<u8>, Unreadable> {
    if size_bytes > meter.limits.metadata_bytes {
        return Err(Unreadable::TooLarge);
    }
    let mut content = Vec::new();
    reader.take(size_bytes).read_to_end(&mut content).map_err(|_| meter.cause(Unreadable::Malformed))?;
    if content.len() as u64 == size_bytes { Ok(content) } else { Err(Unreadable::Malformed) }
}

/// What extension headers say of the next entry.
#[derive(Default)]
struct Described {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size_bytes: Option<u64>,
}

impl Described {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.target.is_none() && self.size_bytes.is_none()
    }

    /// Takes in one extension header. What is said twice must be the same.
    fn add(&mut self, flag: u8, content: Vec<u8>) -> Result<(), Unreadable> {
        match flag {
            b'L' => once(&mut self.name, until_nul(content)),
            b'K' => once(&mut self.target, until_nul(content)),
            _ => self.add_records(flag, &content),
        }
    }

    /// Pax records: `LENGTH KEY=VALUE\n`, where the length counts all of it and the value is one line.
    fn add_records(&mut self, flag: u8, mut rest: &[u8]) -> Result<(), Unreadable> {
        while !rest.is_empty() {
            let (key, value, next) = record(rest).ok_or(Unreadable::Malformed)?;
            rest = next;
            let says_where = matches!(key, b"path" | b"linkpath" | b"size");
            if flag == b'g' && says_where {
                // A name for all entries that follow: only some clients know what that means.
                return Err(Unreadable::Malformed);
            }
            match key {
                b"path" => once(&mut self.name, value.to_vec())?,
                b"linkpath" => once(&mut self.target, value.to_vec())?,
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    once(&mut self.size_bytes, size.ok_or(Unreadable::Malformed)?)?;
                }
                _ if key.starts_with(b"GNU.sparse") => return Err(Unreadable::Unsupported),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The first record: key, value, and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    // Some clients cut records at line ends, whatever their lengths say.
    if text.contains(&b'\n') {
        return None;
    }
    Some((&text[..equals], &text[equals + 1..], rest))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), Unreadable> {
    if slot.as_ref().is_some_and(|before| *before != value) {
        return Err(Unreadable::Malformed);
    }
    *slot = Some(value);
    Ok(())
}
