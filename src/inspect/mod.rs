//! Readers of package files. Invariant: total and bounded. Whatever a file holds becomes [`Contents`]: hostile and broken ones say in
//! `unreadable` why they could not be read to their end, and what was read until then is kept. Nothing is ever unpacked to disk, no name
//! of an entry is used to open anything, and memory does not grow with what an archive claims. Only a failing disk is an error.
//!
//! How to add a kind of package: a `Package` in a file of its own, its container in [`kind_of`], a format in `domain::contents`, and a
//! higher `READER_VERSION` there, so that what was read before is read again.

mod archive;
mod cargo;
mod machine_code;
mod maven;
mod meter;
mod npm;
mod path;
mod python;
mod report;
mod tarball;
mod zipped;

use std::fs::File;
use std::io::Read;

use archive::{Package, Visitor};
use meter::Meter;
use report::Report;

pub use meter::Limits;

use crate::domain::contents::{ContentFormat, Contents, Unreadable};
use crate::domain::name::{Coordinates, PackageType, RelativePath};
use crate::error::{Error, Result};

/// How a package file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Zip,
    Tarball,
    /// Not packed at all.
    Plain,
}

/// Whether a file of a package of this type is one that is read.
#[must_use]
pub fn is_read(package_type: &PackageType, path: &RelativePath) -> bool {
    kind_of(package_type, path).is_some()
}

fn kind_of(package_type: &PackageType, path: &RelativePath) -> Option<(ContentFormat, Container)> {
    let key = path.key();
    let ends = |suffix: &str| key.ends_with(suffix);
    match package_type.as_str() {
        "pypi" if ends(".whl") => Some((ContentFormat::Wheel, Container::Zip)),
        "pypi" if ends(".tar.gz") => Some((ContentFormat::Sdist, Container::Tarball)),
        "pypi" if ends(".zip") => Some((ContentFormat::Sdist, Container::Zip)),
        "npm" if ends(".tgz") => Some((ContentFormat::Npm, Container::Tarball)),
        "cargo" if ends(".crate") => Some((ContentFormat::Crate, Container::Tarball)),
        "maven" if ends(".jar") => Some((ContentFormat::Jar, Container::Zip)),
        "maven" if ends(".pom") => Some((ContentFormat::Pom, Container::Plain)),
        _ => None,
    }
}

/// Reads the package files of one version, those that [`is_read`] knows, each open at its beginning. `is_over` says whether the time for
/// it is over. Blocks.
///
/// # Errors
/// What `files` gives, and internal when the disk fails: then nothing is known, and nothing should be kept.
pub fn inspect(
    coordinates: &Coordinates,
    files: impl IntoIterator<Item = Result<(RelativePath, File)>>,
    limits: &Limits,
    is_over: &dyn Fn() -> bool,
) -> Result<Contents> {
    let (meter, mut report) = (Meter::new(limits, is_over), Report::new(coordinates));
    for file in files {
        let (path, file) = file?;
        let Some((format, container)) = kind_of(coordinates.package().package_type(), &path) else { continue };
        report.format(format);
        let outcome = read_file(format, container, file, &meter, &mut report);
        if let Some(cause) = meter.take_disk_failure() {
            return Err(Error::internal(format!("reading {path} of {coordinates}"), cause));
        }
        if let Err(fault) = outcome {
            report.fault(fault);
            if meter.is_used_up() {
                break;
            }
        }
    }
    Ok(report.finish())
}

/// The one PKG-INFO of a source distribution open at its beginning; inside, why it cannot be read. Blocks.
///
/// # Errors
/// Internal when the disk fails.
pub fn package_information(
    coordinates: &Coordinates,
    (path, file): (&RelativePath, File),
    limits: &Limits,
    is_over: &dyn Fn() -> bool,
) -> Result<std::result::Result<Vec<u8>, Unreadable>> {
    let Some((ContentFormat::Sdist, container)) = kind_of(coordinates.package().package_type(), path) else {
        return Ok(Err(Unreadable::Unsupported));
    };
    let (meter, mut report) = (Meter::new(limits, is_over), Report::new(coordinates));
    let mut found = python::PackageInformation::default();
    let outcome = walk(container, meter.open(file), &meter, &mut Visitor::new(&meter, &mut found, &mut report));
    match meter.take_disk_failure() {
        Some(cause) => Err(Error::internal(format!("reading {path} of {coordinates}"), cause)),
        None => Ok(outcome.and_then(|()| found.only())),
    }
}

fn walk(
    container: Container,
    file: meter::Packed<'_>,
    meter: &Meter<'_>,
    visitor: &mut Visitor<'_, '_>,
) -> std::result::Result<(), Unreadable> {
    match container {
        Container::Zip => zipped::walk(file, meter, visitor),
        Container::Tarball => tarball::walk(file, meter, visitor),
        Container::Plain => Err(Unreadable::Unsupported),
    }
}

fn read_file(
    format: ContentFormat,
    container: Container,
    file: File,
    meter: &Meter<'_>,
    report: &mut Report<'_>,
) -> std::result::Result<(), Unreadable> {
    let mut package: Box<dyn Package> = match format {
        ContentFormat::None => return Ok(()),
        ContentFormat::Wheel => Box::new(python::Wheel::default()),
        ContentFormat::Sdist => Box::new(python::Sdist::default()),
        ContentFormat::Npm => Box::new(npm::Npm::default()),
        ContentFormat::Crate => Box::new(cargo::Crate::default()),
        ContentFormat::Jar | ContentFormat::Pom => Box::new(maven::Jar::default()),
    };
    let file = meter.open(file);
    if container == Container::Plain {
        return read_plain(&mut meter.unpacking(file), meter, report);
    }
    let outcome = walk(container, file, meter, &mut Visitor::new(meter, package.as_mut(), report));
    // The cause comes before what follows of it, such as a missing file.
    if let Err(fault) = outcome {
        report.fault(fault);
    }
    package.finish(report);
    outcome
}

fn read_plain(file: &mut dyn Read, meter: &Meter<'_>, report: &mut Report<'_>) -> std::result::Result<(), Unreadable> {
    let mut content = Vec::new();
    let limit_bytes = meter.limits.metadata_bytes;
    let count = file.take(limit_bytes.saturating_add(1)).read_to_end(&mut content).map_err(|_| meter.cause(Unreadable::Malformed))? as u64;
    report.entry();
    report.unpacked(count);
    if count > limit_bytes {
        return Err(Unreadable::TooLarge);
    }
    maven::read_description(&content, report);
    Ok(())
}

#[cfg(test)]
mod tests;
