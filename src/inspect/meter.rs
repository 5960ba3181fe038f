//! What reading may use. Invariant: every byte that comes from disk or out of a decompressor passes a reader of this file, which stops
//! at the limit or when the time is over; what stopped it is remembered here, whatever error a library makes of it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::domain::contents::Unreadable;

/// The most bytes that are asked of a reader between two looks at the time.
const PIECE_BYTES: usize = 64 * 1024;

/// What the package files of one version may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in all archives together.
    pub entries: u64,
    /// Bytes of all entries together when unpacked.
    pub unpacked_bytes: u64,
    /// How many times larger than packed they may be when unpacked, beyond `unpacked_free_bytes`.
    pub ratio: u64,
    /// Unpacked bytes that are allowed at any ratio.
    pub unpacked_free_bytes: u64,
    /// Segments of an entry's path.
    pub path_depth: usize,
    /// Bytes of an entry's path.
    pub path_bytes: usize,
    /// Bytes of one file of metadata, or of one extension header.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 100_000,
            unpacked_bytes: 4 << 30,
            ratio: 1000,
            unpacked_free_bytes: 10 << 20,
            path_depth: 64,
            path_bytes: 4096,
            metadata_bytes: 1 << 20,
        }
    }
}

/// Counts what was used of the limits.
pub(super) struct Meter<'a> {
    pub limits: &'a Limits,
    is_over: &'a dyn Fn() -> bool,
    entries: Cell<u64>,
    packed_bytes: Cell<u64>,
    unpacked_bytes: Cell<u64>,
    stopped_by: Cell<Option<Unreadable>>,
    disk_failure: RefCell<Option<io::Error>>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: &'a Limits, is_over: &'a dyn Fn() -> bool) -> Meter<'a> {
        Meter {
            limits,
            is_over,
            entries: Cell::default(),
            packed_bytes: Cell::default(),
            unpacked_bytes: Cell::default(),
            stopped_by: Cell::default(),
            disk_failure: RefCell::default(),
        }
    }

    /// Counts an entry, or a header that describes one.
    pub(super) fn count_entry(&self) -> Result<(), Unreadable> {
        self.entries.set(self.entries.get().saturating_add(1));
        if self.entries.get() > self.limits.entries {
            return Err(self.stop(Unreadable::TooManyEntries));
        }
        self.check_time()
    }

    /// Counts unpacked bytes.
    fn count_unpacked(&self, bytes: usize) -> Result<(), Unreadable> {
        self.unpacked_bytes.set(self.unpacked_bytes.get().saturating_add(bytes as u64));
        let by_ratio = self.packed_bytes.get().saturating_mul(self.limits.ratio).saturating_add(self.limits.unpacked_free_bytes);
        if self.unpacked_bytes.get() > self.limits.unpacked_bytes.min(by_ratio) {
            return Err(self.stop(Unreadable::TooLarge));
        }
        self.check_time()
    }

    fn check_time(&self) -> Result<(), Unreadable> {
        if (self.is_over)() { Err(self.stop(Unreadable::TooSlow)) } else { Ok(()) }
    }

    fn stop(&self, by: Unreadable) -> Unreadable {
        self.stopped_by.set(Some(by));
        by
    }

    /// Why a library failed: the limit that stopped it, or else the fault given.
    pub(super) fn cause(&self, otherwise: Unreadable) -> Unreadable {
        self.stopped_by.get().unwrap_or(otherwise)
    }

    /// Whether a limit was reached, so that nothing more can be read.
    pub(super) fn is_used_up(&self) -> bool {
        self.stopped_by.get().is_some()
    }

    /// The failure of the disk itself, if there was one: then nothing is known of the package.
    pub(super) fn take_disk_failure(&self) -> Option<io::Error> {
        self.disk_failure.take()
    }

    /// A file whose bytes are the packed ones.
    pub(super) fn open(&self, file: File) -> Packed<'_> {
        match file.metadata() {
            Ok(metadata) => self.packed_bytes.set(self.packed_bytes.get().saturating_add(metadata.len())),
            Err(cause) => *self.disk_failure.borrow_mut() = Some(cause),
        }
        Packed { file, meter: self }
    }

    /// Counts the bytes that come out of `reader` as unpacked ones.
    pub(super) fn unpacking<R>(&self, reader: R) -> Unpacked<'_, R> {
        Unpacked { reader, meter: self }
    }
}

/// A package file on disk.
pub(super) struct Packed<'a> {
    file: File,
    meter: &'a Meter<'a>,
}

impl Packed<'_> {
    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|cause| {
            // A seek to where no file can go is asked for by a bad archive, not refused by a bad disk.
            if cause.kind() != io::ErrorKind::InvalidInput && cause.kind() != io::ErrorKind::Interrupted {
                *self.meter.disk_failure.borrow_mut() = Some(io::Error::new(cause.kind(), cause.to_string()));
            }
        })
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.meter.check_time().map_err(stopped)?;
        let result = self.file.read(into);
        self.noted(result)
    }
}

impl Seek for Packed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let result = self.file.seek(to);
        self.noted(result)
    }
}

/// What comes out of a decompressor.
pub(super) struct Unpacked<'a, R> {
    reader: R,
    meter: &'a Meter<'a>,
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = into.len().min(PIECE_BYTES);
        let count = self.reader.read(&mut into[..room])?;
        self.meter.count_unpacked(count).map_err(stopped)?;
        Ok(count)
    }
}

fn stopped(by: Unreadable) -> io::Error {
    io::Error::other(by.as_str())
}
