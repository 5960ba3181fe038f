//! Archives that mean harm, or that clients could read in two ways.

use std::process::Command;

use zip::CompressionMethod;

use super::*;

/// What is wrong with a tarball of these entries behind a sound manifest.
fn fault_with(entries: &[Vec<u8>]) -> Option<Unreadable> {
    let mut tar = tar_entry(b'0', b"package/package.json", b"", br#"{"name":"demo","version":"1.0.0"}"#);
    tar.extend(entries.concat());
    npm(&gzip(&ended(tar))).unreadable
}

fn wheel_fault(bytes: &[u8]) -> Option<Unreadable> {
    read("pypi", "demo-1.0.0-py3-none-any.whl", bytes).unreadable
}

#[test]
fn names_that_lead_out_links_and_devices_are_unsafe() {
    for (flag, name, target) in [
        (b'0', &b"/etc/passwd"[..], &b""[..]),
        (b'0', b"package/../../x", b""),
        (b'0', b"package\\..\\..\\x", b""),
        (b'0', b"package/\xff", b""),
        (b'0', b"package/a\nb", b""),
        (b'2', b"package/link", b"/etc/passwd"),
        (b'2', b"package/link", b"../../x"),
        (b'2', b"package/package.json", b"inside"),
        (b'1', b"package/link", b"../x"),
        (b'1', b"package/link", b"other/x"),
        (b'3', b"package/null", b""),
        (b'4', b"package/disk", b""),
        (b'6', b"package/pipe", b""),
        (b'Z', b"package/what", b""),
    ] {
        assert_eq!(fault_with(&[tar_entry(flag, name, target, b"")]), Some(Unreadable::Unsafe), "{flag} {}", String::from_utf8_lossy(name));
    }
    assert_eq!(fault_with(&[tar_entry(b'2', b"package/link", b"a/b", b""), tar_entry(b'1', b"package/hard", b"package/a", b"")]), None);
}

#[test]
fn what_lies_behind_a_link_is_unsafe() {
    let through = [tar_entry(b'2', b"package/here", b".", b""), tar_entry(b'0', b"package/Here/package.json", b"", b"{}")];
    assert_eq!(fault_with(&through), Some(Unreadable::Unsafe));
}

#[test]
fn a_long_name_is_read_and_judged() {
    let long = format!("package/{}", "d/".repeat(60));
    for (flag, content) in [(b'L', [long.as_bytes(), b"../../x\0"].concat()), (b'x', pax("path", &format!("{long}../x")))] {
        assert_eq!(fault_with(&[tar_entry(flag, b"long", b"", &content), tar_entry(b'0', b"short", b"", b"")]), Some(Unreadable::Unsafe));
    }
    let renamed = [tar_entry(b'x', b"pax", b"", &pax("path", "package/binding.gyp")), tar_entry(b'0', b"package/innocent", b"", b"")];
    let tar: Vec<u8> = [tar_entry(b'0', b"package/package.json", b"", br#"{"name":"demo","version":"1.0.0"}"#), renamed.concat()].concat();
    assert_eq!(list(&npm(&gzip(&ended(tar))).install_scripts), ["binding.gyp"]);
}

#[test]
fn extension_headers_that_clients_read_in_two_ways_are_malformed() {
    let file = || tar_entry(b'0', b"package/a", b"", b"abc");
    let two_paths = [pax("path", "package/x"), pax("path", "package/y")].concat();
    for extension in [
        tar_entry(b'x', b"pax", b"", &two_paths),
        tar_entry(b'x', b"pax", b"", &pax("size", "1")),
        tar_entry(b'x', b"pax", b"", b"8 path=x\n"),
        tar_entry(b'x', b"pax", b"", b"999999 path=x\n"),
        tar_entry(b'x', b"pax", b"", b"path=x\n"),
        tar_entry(b'g', b"pax", b"", &pax("path", "package/x")),
        [tar_entry(b'L', b"long", b"", b"package/x\0"), tar_entry(b'x', b"pax", b"", &pax("path", "package/y"))].concat(),
    ] {
        assert_eq!(fault_with(&[extension, file()]), Some(Unreadable::Malformed));
    }
    let harmless = [pax("mtime", "1.5"), pax("size", "3"), pax("SCHILY.xattr.x", "a=b")].concat();
    assert_eq!(fault_with(&[tar_entry(b'x', b"pax", b"", &harmless), file()]), None);
    assert_eq!(fault_with(&[tar_entry(b'x', b"pax", b"", &pax("path", "package/x"))]), Some(Unreadable::Malformed), "describes nothing");
    assert_eq!(fault_with(&[tar_entry(b'5', b"package/dir", b"", &[7; 512])]), Some(Unreadable::Malformed), "a directory with content");
    let sparse = [tar_entry(b'x', b"pax", b"", &pax("GNU.sparse.major", "1")), file()];
    assert_eq!(fault_with(&sparse), Some(Unreadable::Unsupported));
    assert_eq!(fault_with(&[tar_entry(b'S', b"package/sparse", b"", b"")]), Some(Unreadable::Unsupported));
}

#[test]
fn a_header_that_claims_a_gibibyte_costs_nothing() {
    for flag in [b'x', b'g', b'L', b'K'] {
        let claim = tar_entry_that_claims(1 << 30, flag, b"pax", b"", &[b'1'; 4096]);
        assert_eq!(fault_with(&[claim]), Some(Unreadable::TooLarge));
    }
    let claim = tar_entry_that_claims(1 << 40, b'0', b"package/a", b"", b"short");
    assert_eq!(fault_with(&[claim]), Some(Unreadable::Malformed));
}

#[test]
fn the_file_that_says_what_a_package_is_must_be_there_once() {
    let manifest: &[u8] = br#"{"name":"demo","version":"1.0.0","scripts":{"install":"x"}}"#;
    for second in ["package/package.json", "package/Package.JSON", "other/package.json", "./package/package.json", "package//package.json"]
    {
        let contents = npm(&npm_package("", &[(second, manifest)]));
        assert_eq!(contents.unreadable, Some(Unreadable::WithoutMetadata), "{second}");
        assert_eq!(list(&contents.install_scripts), ["install"], "both are read");
    }
    assert_eq!(npm(&tarball(&[("package/index.js", b"")])).unreadable, Some(Unreadable::WithoutMetadata));
    assert_eq!(wheel_fault(&zip_of(&[("demo/__init__.py", b"")])), Some(Unreadable::WithoutMetadata));
    let two = wheel("", &[("demo-1.0.0.dist-info/METADATB", b"Name: demo\nVersion: 1.0.0\n")]);
    assert_eq!(wheel_fault(&replaced(&two, b"METADATB", b"METADATA", 2)), Some(Unreadable::WithoutMetadata));
}

#[test]
fn a_package_that_says_another_name_or_version_is_misnamed() {
    for manifest in [
        r#"{"name":"other","version":"1.0.0"}"#,
        r#"{"name":"demo","version":"1.0.1"}"#,
        r#"{"name":"demo"}"#,
        "{}",
        r#"{"name":7,"version":"1.0.0"}"#,
    ] {
        assert_eq!(npm(&tarball(&[("package/package.json", manifest.as_bytes())])).unreadable, Some(Unreadable::Misnamed), "{manifest}");
    }
    assert_eq!(wheel_fault(&wheel("Name: other\n", &[])), Some(Unreadable::Misnamed));
    let crate_of = |directory: &str, name: &str| {
        let manifest = format!("[package]\nname = '{name}'\nversion = '1.0.0'\n");
        read("cargo", "demo-1.0.0.crate", &tarball(&[(&format!("{directory}/Cargo.toml"), manifest.as_bytes())])).unreadable
    };
    assert_eq!(
        (crate_of("demo-1.0.0", "demo"), crate_of("demo-1.0.0", "x"), crate_of("x-1.0.0", "demo")),
        (None, Some(Unreadable::Misnamed), Some(Unreadable::Misnamed))
    );
    let pom = "<project><groupId>com.acme</groupId><artifactId>other</artifactId><version>1.0.0</version></project>";
    assert_eq!(read("maven", "demo.pom", pom.as_bytes()).unreadable, Some(Unreadable::Misnamed));
}

#[test]
fn all_of_a_compressed_file_is_read() {
    let manifest = tar_entry(b'0', b"package/package.json", b"", br#"{"name":"demo","version":"1.0.0"}"#);
    let binding = tar_entry(b'0', b"package/binding.gyp", b"", b"{}");
    let finds = |bytes: &[u8]| list(&npm(bytes).install_scripts) == ["binding.gyp"];
    assert!(finds(&[gzip(&manifest), gzip(&ended(binding.clone()))].concat()), "two members of gzip");
    assert!(finds(&gzip(&[manifest.clone(), vec![0; 512], binding.clone()].concat())), "behind one block of zeros");
    assert!(finds(&gzip(&[ended(manifest.clone()), ended(binding)].concat())), "behind the end of the archive");
    let whole = gzip(&ended(manifest.clone()));
    assert_eq!(npm(&whole).unreadable, None);
    for bytes in [
        [&whole[..], b"garbage"].concat(),
        gzip(&[ended(manifest.clone()), b"garbage".to_vec()].concat()),
        whole[..whole.len() - 9].to_vec(),
        whole[..20].to_vec(),
        gzip(&manifest[..600]),
        Vec::new(),
        b"<html>".to_vec(),
        gzip(b"<html>"),
    ] {
        assert_eq!(npm(&bytes).unreadable, Some(Unreadable::Malformed));
    }
}

#[test]
fn metadata_that_is_no_metadata_is_malformed() {
    let deep = "[".repeat(100_000);
    for manifest in ["", "[]", "{", "\"x\"", r#"{"a":}"#, &format!("{{\"a\":{deep}")] {
        assert_eq!(npm(&tarball(&[("package/package.json", manifest.as_bytes())])).unreadable, Some(Unreadable::Malformed));
    }
    for manifest in ["[", "a = ", &format!("a = {deep}"), &format!("{}a = 1", "a.".repeat(10_000))] {
        let contents =
            read("cargo", "demo-1.0.0.crate", &tarball(&[("demo-1.0.0/Cargo.toml", manifest.as_bytes()), ("demo-1.0.0/build.rs", b"")]));
        assert_eq!(contents.unreadable, Some(Unreadable::Malformed));
        assert_eq!(list(&contents.build_scripts), ["build.rs"], "what Cargo would make of it is not known");
    }
    let deep = "<a>".repeat(1000);
    for (pom, fault) in [
        ("", Unreadable::Malformed),
        ("<project>", Unreadable::Malformed),
        ("<project></x>", Unreadable::Malformed),
        (&deep, Unreadable::TooDeep),
    ] {
        assert_eq!(read("maven", "demo.pom", pom.as_bytes()).unreadable, Some(fault), "{:.20}", pom);
    }
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><project>&b;</project>";
    assert_eq!(read("maven", "demo.pom", bomb.as_bytes()).unreadable, Some(Unreadable::Unsupported));
}

#[test]
fn a_zip_that_clients_could_read_in_two_ways_is_malformed() {
    let whole = wheel("", &[("demo/secret.py", b"x")]);
    assert_eq!(wheel_fault(&whole), None);
    assert_eq!(wheel_fault(&replaced(&whole, b"demo/secret.py", b"demo/public.py", 1)), Some(Unreadable::Malformed), "two names");
    let fewer = {
        let mut bytes = whole.clone();
        let end = bytes.len() - 22;
        bytes[end + 8] = 1;
        bytes[end + 10] = 1;
        bytes
    };
    assert_eq!(wheel_fault(&fewer), Some(Unreadable::Malformed), "more entries than the directory says");
    // An archive before the archive: whoever reads from the beginning finds another one.
    let hidden = zip_of(&[("demo/evil.py", b"evil")]);
    assert_eq!(wheel_fault(&[hidden, whole.clone()].concat()), Some(Unreadable::Malformed));
    for bytes in [&b""[..], b"PK", b"<html>", &whole[..whole.len() - 30], &whole[40..]] {
        assert_eq!(wheel_fault(bytes), Some(Unreadable::Malformed));
    }
    let damaged = replaced(&zip_stored("demo/x.py", b"CANARY"), b"CANARY", b"CANARX", 1);
    assert_eq!(wheel_fault(&damaged), Some(Unreadable::Malformed), "the checksum differs");
    assert_eq!(wheel_fault(&zip_of(&[("../x", b"")])), Some(Unreadable::Unsafe));
}

fn zip_stored(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn links_and_devices_in_a_zip_are_judged_as_in_a_tarball() {
    for (mode, target, fault) in [
        ("0o120777", "../../x", Some(Unreadable::Unsafe)),
        ("0o120777", "b", None),
        ("0o060644", "", Some(Unreadable::Unsafe)),
        ("0o100644", "", None),
    ] {
        let bytes = python_zip(&format!(
            "i = zipfile.ZipInfo('demo/a'); i.create_system = 3; i.external_attr = {mode} << 16; z.writestr(i, '{target}')"
        ));
        assert_eq!(wheel_fault(&bytes), fault, "{mode} {target}");
    }
}

#[test]
fn what_uses_another_compression_or_encryption_is_unsupported_and_the_rest_is_read() {
    let other = python_zip("z.writestr('demo/a', 'x' * 100, zipfile.ZIP_LZMA); z.writestr('demo/b.so', b'\\x7fELF' * 20)");
    let contents = read("pypi", "demo.whl", &other);
    assert_eq!((contents.unreadable, contents.binary_count), (Some(Unreadable::Unsupported), 1));
    let plain = zip_stored("demo/x.py", b"CANARY");
    let mut encrypted = plain.clone();
    let directory = plain.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    encrypted[6] |= 1;
    encrypted[directory + 8] |= 1;
    assert_eq!(wheel_fault(&encrypted), Some(Unreadable::Unsupported));
}

/// A wheel of `demo` that Python wrote, with what `code` adds to `z`.
pub(super) fn python_zip(code: &str) -> Vec<u8> {
    let script = format!(
        "import io, sys, zipfile\nb = io.BytesIO()\nwith zipfile.ZipFile(b, 'w') as z:\n z.writestr('demo-1.0.0.dist-info/METADATA', 'Name: demo\\nVersion: 1.0.0\\n')\n {code}\nsys.stdout.buffer.write(b.getvalue())"
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
