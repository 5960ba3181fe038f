//! What a tarball says that it is. Invariant: the archive is hostile: it is read entry by entry, at most so many and so large when
//! unpacked, and nothing of it is kept but its `package.json`; what some client could take for that file says the same as the first.

use std::fs::File;
use std::io::{BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

use super::name;
use crate::domain::name::Coordinates;
use crate::error::{Error, Result};

/// Entries that a tarball may have.
const ENTRIES_LIMIT: u64 = 100_000;
/// Bytes that it may have when unpacked.
const UNPACKED_LIMIT_BYTES: u64 = 4 << 30;
/// Bytes of `package.json`.
const MANIFEST_LIMIT_BYTES: u64 = 1024 * 1024;
/// What runs when a package is installed.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// What was found in a tarball.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packed {
    /// Its files.
    pub(super) file_count: u64,
    /// Their bytes together.
    pub(super) unpacked_bytes: u64,
    /// Whether something runs when it is installed.
    pub(super) has_install_script: bool,
}

/// The members of a `package.json`.
struct Manifest(Map<String, Value>);

/// Reads a tarball whose `package.json` must say these coordinates. Blocks.
///
/// # Errors
/// `bad_request` that says what is wrong with it.
pub(super) fn read(file: File, at: &Coordinates) -> Result<Packed> {
    let unpacked = MultiGzDecoder::new(BufReader::new(file)).take(UNPACKED_LIMIT_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    // An empty block ends the archive for some clients and is passed over by others.
    archive.set_ignore_zeros(true);
    let (mut packed, mut entry_count, mut is_named, mut has_binding, mut builds) = (Packed::default(), 0, false, false, true);
    for entry in archive.entries().map_err(|cause| broken(&cause))? {
        let mut entry = entry.map_err(|cause| broken(&cause))?;
        entry_count += 1;
        if entry_count > ENTRIES_LIMIT {
            return Err(Error::too_large("the number of files in the tarball", ENTRIES_LIMIT));
        }
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_contiguous()) {
            continue;
        }
        packed.file_count += 1;
        packed.unpacked_bytes = packed.unpacked_bytes.saturating_add(entry.size());
        match top_file(&entry.path_bytes()) {
            Some("package.json") => {
                let manifest = read_manifest(&mut entry)?;
                manifest.check(at)?;
                is_named = true;
                packed.has_install_script |= manifest.runs();
                builds &= manifest.builds();
            }
            Some("binding.gyp") => has_binding = true,
            Some(_) | None => {}
        }
    }
    if archive.into_inner().limit() == 0 {
        return Err(Error::too_large("the tarball when it is unpacked, in bytes,", UNPACKED_LIMIT_BYTES));
    }
    if !is_named {
        return Err(refused("it has no package.json in its top directory"));
    }
    packed.has_install_script |= has_binding && builds;
    Ok(packed)
}

/// The name of a file in the top directory, whatever that is called, in whatever bytes: clients leave the first segment out, and some
/// take a backslash for a slash.
fn top_file(path: &[u8]) -> Option<&'static str> {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let mut segments = path.split(is_separator).filter(|segment| !segment.is_empty() && *segment != b".");
    let (_, name, end) = (segments.next()?, segments.next()?, segments.next());
    let known = ["package.json", "binding.gyp"].into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    end.is_none().then_some(known)
}

fn read_manifest(entry: &mut impl Read) -> Result<Manifest> {
    let mut bytes = Vec::new();
    entry.take(MANIFEST_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| broken(&cause))?;
    if bytes.len() as u64 > MANIFEST_LIMIT_BYTES {
        return Err(Error::too_large("package.json in the tarball", MANIFEST_LIMIT_BYTES));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text).map(Manifest).map_err(|cause| refused("its package.json is no JSON object").because(cause))
}

impl Manifest {
    /// Name and version must be those published: clients install what stands here.
    fn check(&self, at: &Coordinates) -> Result<()> {
        let text = |member: &str| self.0.get(member).and_then(Value::as_str).unwrap_or_default().trim();
        let (said_name, said_version) = (text("name"), text("version"));
        let version = said_version.trim_start_matches(['v', '=', ' ']);
        let is_same = name::written(at.package()) == said_name
            && Coordinates::new(at.package().clone(), version).is_ok_and(|said| said.version_key() == at.version_key());
        if is_same {
            return Ok(());
        }
        Err(refused(&format!("its package.json says {said_name} {said_version}, but it is published as {at}")))
    }

    fn runs(&self) -> bool {
        INSTALL_SCRIPTS.iter().any(|name| self.has_script(name)) || self.gypfile() == Some(true)
    }

    /// Whether npm builds it by itself when it has a `binding.gyp`.
    fn builds(&self) -> bool {
        self.gypfile() != Some(false) && !self.has_script("install") && !self.has_script("preinstall")
    }

    fn gypfile(&self) -> Option<bool> {
        self.0.get("gypfile").and_then(Value::as_bool)
    }

    fn has_script(&self, name: &str) -> bool {
        let script = self.0.get("scripts").and_then(|scripts| scripts.get(name)?.as_str());
        script.is_some_and(|script| !script.is_empty())
    }
}

fn refused(why: &str) -> Error {
    Error::bad_request(format!("the tarball cannot be taken: {why}; pack it again"))
}

/// Reading failed: nearly always the archive's fault, as the file was written a moment ago.
fn broken(cause: &std::io::Error) -> Error {
    refused("it is no whole gzip-compressed tar archive").because(cause.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A tarball of these files.
    pub(in crate::formats::npm) fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn at(package: &str) -> Coordinates {
        name::version(&name::package(package).unwrap(), "1.0.0").unwrap()
    }

    fn read_bytes(bytes: &[u8], package: &str) -> Result<Packed> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        read(file, &at(package))
    }

    #[test]
    fn a_tarball_says_its_name_and_how_large_it_is() {
        let plain = packed(&[("package/index.js", "12345"), ("package/package.json", r#"{"name":"@a/b","version":"v1.0.0+x"}"#)]);
        let found = read_bytes(&plain, "@a/b").unwrap();
        assert_eq!((found.file_count, found.unpacked_bytes, found.has_install_script), (2, 41, false));
        let with = |more: &str, file: &str| {
            let manifest = format!(r#"{{"name":"a","version":"1.0.0"{more}}}"#);
            read_bytes(&packed(&[("x/package.json", &manifest), (file, "")]), "a").unwrap().has_install_script
        };
        assert!(with(r#","scripts":{"postinstall":"x"}"#, "x/a") && with("", "x/binding.gyp"));
        assert!(!with(r#","gypfile":false"#, "x/binding.gyp") && !with(r#","scripts":{"test":"x"}"#, "x/y/binding.gyp"));
    }

    #[test]
    fn a_tarball_that_is_something_else_is_refused_in_words() {
        let good = r#"{"name":"a","version":"1.0.0"}"#;
        for (bytes, words) in [
            (packed(&[("package/package.json", r#"{"name":"b","version":"1.0.0"}"#)]), "says b 1.0.0, but it is published as a 1.0.0"),
            (packed(&[("package/package.json", r#"{"name":"a","version":"1.0.1"}"#)]), "says a 1.0.1"),
            (packed(&[("package/package.json", good), ("other/package.json", r#"{"name":"b"}"#)]), "says b "),
            (packed(&[("package/package.json", good), ("package/Package.JSON", r#"{"name":"b"}"#)]), "says b "),
            (packed(&[("package/package.json", "[]")]), "no JSON object"),
            (packed(&[("package.json", good), ("a/b/package.json", good)]), "no package.json"),
            (b"no archive at all".to_vec(), "no whole gzip"),
            (packed(&[("package/package.json", good)])[..40].to_vec(), "no whole gzip"),
        ] {
            let error = read_bytes(&bytes, "a").unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
    }

    /// The tar archive of one file, without the blocks that end it.
    fn entry(path: &[u8], kind: tar::EntryType, text: &str) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn what_some_client_takes_for_the_package_json_is_read_wherever_it_hides() {
        let good = entry(b"package/package.json", tar::EntryType::Regular, r#"{"name":"a","version":"1.0.0"}"#);
        let evil = r#"{"name":"a","version":"1.0.0","scripts":{"postinstall":"x"}}"#;
        let archived = |parts: &[&[u8]]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            parts.iter().for_each(|part| encoder.write_all(part).unwrap());
            encoder.write_all(&[0; 1024]).unwrap();
            encoder.finish().unwrap()
        };
        assert!(!read_bytes(&archived(&[&good]), "a").unwrap().has_install_script);
        let hidden = entry(b"package/package.json", tar::EntryType::Regular, evil);
        for (how, bytes) in [
            ("behind one empty block", archived(&[&good, &[0; 512], &hidden])),
            ("behind the end", archived(&[&good, &[0; 1024], &hidden])),
            ("as a contiguous file", archived(&[&good, &entry(b"package/package.json", tar::EntryType::Continuous, evil)])),
            ("in a directory that is no text", archived(&[&good, &entry(b"\xff/package.json", tar::EntryType::Regular, evil)])),
            ("behind a backslash", archived(&[&good, &entry(b"x\\package.json", tar::EntryType::Regular, evil)])),
        ] {
            assert!(read_bytes(&bytes, "a").unwrap().has_install_script, "{how}");
        }
        let garbage = archived(&[&good, &[0; 1024], &[7; 512]]);
        assert!(read_bytes(&garbage, "a").unwrap_err().message().contains("no whole gzip"));
    }
}
