//! Wheels real and hostile.

use std::io::{Seek, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::domain::name::{PackageName, PackageType};
use crate::error::Code;
use crate::formats::pypi::tests::bundled;

fn at(name: &str, version: &str) -> Coordinates {
    Coordinates::new(PackageName::new(PackageType::pypi(), "", name).unwrap(), version).unwrap()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn refusal(bytes: &[u8]) -> Error {
    metadata(file(bytes), &at("demo", "1.0")).unwrap_err()
}

#[test]
fn the_metadata_of_real_wheels_is_found() {
    for name in ["pip", "setuptools"] {
        let Some((file_name, bytes)) = bundled(name) else { continue };
        let version = file_name.split('-').nth(1).unwrap();
        let found = metadata(file(&bytes), &at(name, version)).unwrap();
        assert!(String::from_utf8(found).unwrap().contains(&format!("Name: {name}")));
    }
    assert!(bundled("pip").is_some(), "Python brings a wheel of pip");
}

#[test]
fn an_archive_that_clients_could_read_in_two_ways_is_refused() {
    let metadata: &[u8] = b"Name: demo\nVersion: 1.0\n";
    for (entries, says) in [
        (vec![("demo/__init__.py", metadata)], "no .dist-info/METADATA"),
        (vec![("demo-1.0.dist-info/RECORD", metadata)], "no .dist-info/METADATA"),
        (vec![("x/demo-1.0.dist-info/METADATA", metadata)], "no .dist-info/METADATA"),
        (vec![("demo-1.0.dist-info/METADATA", metadata), ("other-1.0.dist-info/METADATA", metadata)], "two .dist-info"),
        (vec![("demo-1.0.dist-info/METADATA", metadata), ("demo-1.0.DIST-INFO/RECORD", metadata)], "two .dist-info"),
        (vec![("demo-1.1.dist-info/METADATA", metadata)], "1.1"),
        (vec![("other-1.0.dist-info/METADATA", metadata)], "other"),
        (vec![("demo.dist-info/METADATA", metadata)], "names no version"),
    ] {
        let error = refusal(&archive(&entries));
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    // The writer refuses a second entry of one name, so its name is changed afterwards, in both places.
    let bytes = archive(&[("demo-1.0.dist-info/METADATA", b"Name: demo\n"), ("demo-1.0.dist-info/METADATB", b"Name: evil\n")]);
    let doubled: Vec<u8> = replaced(&bytes, b"METADATB", b"METADATA", usize::MAX);
    assert!(refusal(&doubled).message().contains("two METADATA"));
}

#[test]
fn a_local_header_that_contradicts_the_directory_is_refused() {
    let bytes = archive(&[("demo-1.0.dist-info/METADATA", b"Name: demo\n"), ("a.py", b"x"), ("demo/secret.py", b"x")]);
    metadata(file(&bytes), &at("demo", "1.0")).unwrap();
    let cloaked = replaced(&bytes, b"demo/secret.py", b"demo/public.py", 1);
    assert!(refusal(&cloaked).message().contains("no whole, plain zip"));
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let whole = archive(&[("demo-1.0.dist-info/METADATA", b"Name: demo\n")]);
    for bytes in [&b""[..], b"PK", b"<html>", &whole[..whole.len() - 30], &whole[40..]] {
        assert_eq!(refusal(bytes).code(), Code::BadRequest);
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    let big = vec![b' '; 2 * 1024 * 1024];
    let error = refusal(&archive(&[("demo-1.0.dist-info/METADATA", &big)]));
    assert_eq!(error.code(), Code::TooLarge);
}

/// The bytes with the first `times` occurrences of a pattern replaced by one of equal length.
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
