//! What is done with every entry of an archive, whatever its container. Invariant: an entry is read to its end through the meter, so
//! that what is counted was there; a fault of one entry is noted and the rest is read, a limit that was reached ends the reading.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::machine_code::{HEAD_BYTES, is_machine_code};
use super::meter::Meter;
use super::path::EntryPath;
use super::report::Report;
use crate::domain::contents::Unreadable;

/// Links that are remembered; an archive with more is not a package.
const LINKS_LIMIT: usize = 1024;

/// What an entry is.
pub(super) enum Kind {
    File,
    Directory,
    /// A link to a path relative to its own directory.
    SymbolicLink(Vec<u8>),
    /// Another name for an entry of the archive.
    HardLink(Vec<u8>),
    /// A device, a pipe, or what nobody knows.
    Special,
}

/// An entry as its container describes it.
pub(super) struct Entry<'e> {
    pub name: &'e [u8],
    pub kind: Kind,
    /// The bytes that its content must have.
    pub size_bytes: u64,
    pub content: &'e mut dyn Read,
}

/// What knows one kind of package.
pub(super) trait Package {
    /// Sees every entry but directories; whether it wants the content.
    fn wants(&mut self, path: &EntryPath, report: &mut Report<'_>) -> bool;

    /// Takes the whole content of a file that it wanted.
    fn take(&mut self, path: &EntryPath, content: &[u8], report: &mut Report<'_>);

    /// All entries were seen, or as many as could be read.
    fn finish(&mut self, report: &mut Report<'_>);
}

/// Shows the entries of one archive to a package.
pub(super) struct Visitor<'v, 'a> {
    meter: &'v Meter<'v>,
    package: &'v mut dyn Package,
    report: &'v mut Report<'a>,
    links: BTreeSet<String>,
}

impl<'v, 'a> Visitor<'v, 'a> {
    pub(super) fn new(meter: &'v Meter<'v>, package: &'v mut dyn Package, report: &'v mut Report<'a>) -> Visitor<'v, 'a> {
        Visitor { meter, package, report, links: BTreeSet::new() }
    }

    /// Notes what is wrong with an entry and goes on.
    pub(super) fn fault(&mut self, fault: Unreadable) {
        self.report.fault(fault);
    }

    /// Reads one entry.
    pub(super) fn visit(&mut self, entry: Entry<'_>) -> Result<(), Unreadable> {
        self.meter.count_entry()?;
        self.report.entry();
        let (path, fault) = EntryPath::read(entry.name, self.meter.limits);
        if let Some(fault) = fault {
            self.fault(fault);
        }
        if path.passes_through(&self.links) {
            self.fault(Unreadable::Unsafe);
        }
        match &entry.kind {
            Kind::File => return self.read_file(&path, entry),
            Kind::Directory => {}
            Kind::SymbolicLink(target) => {
                let stays = path.keeps_link_inside(target, self.meter.limits);
                self.see_link(&path, if stays { None } else { Some(Unreadable::Unsafe) });
            }
            Kind::HardLink(target) => {
                let (target, fault) = EntryPath::read(target, self.meter.limits);
                let stays = target.top() == path.top() && !target.passes_through(&self.links);
                self.see_link(&path, if stays { fault } else { Some(Unreadable::Unsafe) });
            }
            Kind::Special => self.fault(Unreadable::Unsafe),
        }
        Ok(())
    }

    /// A link in the place of a file that says what the package is leads nowhere that could be read.
    fn see_link(&mut self, path: &EntryPath, fault: Option<Unreadable>) {
        let is_wanted = self.package.wants(path, self.report);
        if is_wanted || fault.is_some() || self.links.len() >= LINKS_LIMIT {
            self.fault(Unreadable::Unsafe);
        } else {
            self.links.insert(path.key());
        }
    }

    fn read_file(&mut self, path: &EntryPath, entry: Entry<'_>) -> Result<(), Unreadable> {
        let failed = |_: io::Error| self.meter.cause(Unreadable::Malformed);
        let mut content = Vec::new();
        let mut read_bytes = entry.content.take(HEAD_BYTES as u64).read_to_end(&mut content).map_err(failed)? as u64;
        if is_machine_code(&content) {
            self.report.binary(&path.shown);
        }
        let is_wanted = self.package.wants(path, self.report);
        if is_wanted {
            let rest = self.meter.limits.metadata_bytes.saturating_add(1).saturating_sub(read_bytes);
            read_bytes += entry.content.take(rest).read_to_end(&mut content).map_err(failed)? as u64;
        }
        read_bytes += io::copy(entry.content, &mut io::sink()).map_err(failed)?;
        self.report.unpacked(read_bytes);
        if read_bytes != entry.size_bytes {
            return Err(Unreadable::Malformed);
        }
        if is_wanted && read_bytes > self.meter.limits.metadata_bytes {
            self.fault(Unreadable::TooLarge);
        } else if is_wanted {
            self.package.take(path, &content, self.report);
        }
        Ok(())
    }
}
