//! Package files, built here, real ones, and hostile ones.

mod ambiguous;
mod formats;
mod hostile;
mod limits;
mod random;

use std::io::{Cursor, Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::domain::name::PackageName;

fn at(package_type: &str, namespace: &str, name: &str, version: &str) -> Coordinates {
    Coordinates::new(PackageName::new(package_type.parse().unwrap(), namespace, name).unwrap(), version).unwrap()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// Reads one file of a version, within limits.
fn read_within(limits: &Limits, coordinates: &Coordinates, path: &str, bytes: &[u8]) -> Contents {
    inspect(coordinates, [Ok((path.parse().unwrap(), file(bytes)))], limits, &|| false).unwrap()
}

/// Reads one file of `demo` 1.0.0.
fn read(package_type: &str, path: &str, bytes: &[u8]) -> Contents {
    read_within(&Limits::default(), &demo(package_type), path, bytes)
}

fn demo(package_type: &str) -> Coordinates {
    at(package_type, if package_type == "maven" { "com.acme" } else { "" }, "demo", "1.0.0")
}

fn npm(bytes: &[u8]) -> Contents {
    read("npm", "demo-1.0.0.tgz", bytes)
}

/// A tarball of a package of npm with this manifest beside what every manifest has, and these files.
fn npm_package(members: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let manifest = format!(r#"{{"name":"demo","version":"1.0.0"{members}}}"#);
    let files: Vec<_> = [("package/package.json", manifest.as_bytes())].into_iter().chain(files.iter().copied()).collect();
    tarball(&files)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        tar.extend(tar_entry(b'0', name.as_bytes(), b"", content));
    }
    gzip(&ended(tar))
}

/// The end of a tar archive behind its entries.
fn ended(mut tar: Vec<u8>) -> Vec<u8> {
    tar.extend([0; 1024]);
    tar
}

/// One entry with its padding; nothing is checked, so that a test can write what no tool would. Names longer than the field are cut.
fn tar_entry(flag: u8, name: &[u8], target: &[u8], content: &[u8]) -> Vec<u8> {
    tar_entry_that_claims(content.len() as u64, flag, name, target, content)
}

fn tar_entry_that_claims(size_bytes: u64, flag: u8, name: &[u8], target: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_size(size_bytes);
    header.set_mode(0o644);
    let fields = header.as_ustar_mut().unwrap();
    fields.name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    fields.linkname[..target.len().min(100)].copy_from_slice(&target[..target.len().min(100)]);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// One pax record.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..20).map(|digits| rest.len() + digits).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}").into_bytes()
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A wheel of `demo` with these headers beside name and version.
fn wheel(headers: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let metadata = format!("Metadata-Version: 2.1\nName: demo\nVersion: 1.0.0\n{headers}\nText\n");
    let files: Vec<_> = files.iter().copied().chain([("demo-1.0.0.dist-info/METADATA", metadata.as_bytes())]).collect();
    zip_of(&files)
}

/// The bytes with every occurrence of a pattern, at most `times`, replaced by one of equal length.
fn replaced(bytes: &[u8], pattern: &[u8], by: &[u8], times: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern).map(|(index, _)| index).collect();
    assert!(!places.is_empty());
    for place in places.into_iter().take(times) {
        bytes[place..place + by.len()].copy_from_slice(by);
    }
    bytes
}

fn list(set: &std::collections::BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}
