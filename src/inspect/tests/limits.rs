//! Every limit, by archives that are one too many of something.

use super::*;

fn fault(limits: Limits, bytes: &[u8]) -> Option<Unreadable> {
    read_within(&limits, &demo("npm"), "demo.tgz", bytes).unreadable
}

#[test]
fn entries_are_counted_in_tarballs_and_zips() {
    let limits = Limits { entries: 3, ..Limits::default() };
    assert_eq!(fault(limits, &npm_package("", &[("package/a", b""), ("package/b", b"")])), None);
    assert_eq!(
        fault(limits, &npm_package("", &[("package/a", b""), ("package/b", b""), ("package/c", b"")])),
        Some(Unreadable::TooManyEntries)
    );
    let bytes = wheel("", &[("a", b""), ("b", b""), ("c", b"")]);
    assert_eq!(read_within(&limits, &demo("pypi"), "demo.whl", &bytes).unreadable, Some(Unreadable::TooManyEntries));
    let extensions: Vec<u8> = (0..5).flat_map(|_| tar_entry(b'g', b"pax", b"", &pax("comment", "x"))).collect();
    assert_eq!(fault(limits, &gzip(&ended(extensions))), Some(Unreadable::TooManyEntries));
}

#[test]
fn unpacked_bytes_are_limited_by_their_number_and_by_their_ratio() {
    let bomb = vec![0; 300_000];
    let tarball = npm_package("", &[("package/a", &bomb)]);
    let zip = wheel("", &[("a", &bomb)]);
    for limits in
        [Limits { unpacked_bytes: 100_000, ..Limits::default() }, Limits { ratio: 2, unpacked_free_bytes: 1000, ..Limits::default() }]
    {
        assert_eq!(fault(limits, &tarball), Some(Unreadable::TooLarge));
        assert_eq!(read_within(&limits, &demo("pypi"), "demo.whl", &zip).unreadable, Some(Unreadable::TooLarge));
    }
    assert_eq!(fault(Limits::default(), &tarball), None);
}

#[test]
fn a_limit_holds_for_all_files_of_a_version_together() {
    let limits = Limits { unpacked_bytes: 30_000, ..Limits::default() };
    let bytes = npm_package("", &[("package/a", &[7; 20_000])]);
    let files = || ["a.tgz", "b.tgz"].map(|path| Ok((path.parse().unwrap(), file(&bytes))));
    let contents = inspect(&demo("npm"), files(), &limits, &|| false).unwrap();
    assert_eq!(contents.unreadable, Some(Unreadable::TooLarge));
    assert_eq!(inspect(&demo("npm"), files(), &Limits::default(), &|| false).unwrap().unreadable, None);
}

#[test]
fn a_path_has_a_depth_and_a_length() {
    let limits = Limits { path_depth: 3, path_bytes: 20, ..Limits::default() };
    assert_eq!(fault(limits, &npm_package("", &[("package/a/b", b"")])), None);
    assert_eq!(fault(limits, &npm_package("", &[("package/a/b/c", b"")])), Some(Unreadable::TooDeep));
    assert_eq!(fault(limits, &npm_package("", &[("package/0123456789abc", b"")])), Some(Unreadable::TooDeep));
}

#[test]
fn metadata_and_extension_headers_are_limited() {
    let limits = Limits { metadata_bytes: 200, ..Limits::default() };
    assert_eq!(fault(limits, &npm_package("", &[])), None);
    assert_eq!(fault(limits, &npm_package(&format!(r#","x":"{}""#, "y".repeat(300)), &[])), Some(Unreadable::TooLarge));
    let long = tar_entry(b'x', b"pax", b"", &pax("comment", &"y".repeat(300)));
    assert_eq!(fault(limits, &gzip(&ended(long))), Some(Unreadable::TooLarge));
    let pom = format!("<project>{}</project>", " ".repeat(300));
    assert_eq!(read_within(&limits, &demo("maven"), "demo.pom", pom.as_bytes()).unreadable, Some(Unreadable::TooLarge));
}

#[test]
fn when_the_time_is_over_what_was_found_is_kept() {
    let questions = std::cell::Cell::new(0);
    let is_over = || {
        questions.set(questions.get() + 1);
        questions.get() > 40
    };
    let files: Vec<(String, Vec<u8>)> = (0..200).map(|n| (format!("package/{n}"), vec![7; 10])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (name.as_str(), &content[..])).collect();
    let bytes = npm_package(r#","license":"MIT""#, &files);
    let contents = inspect(&demo("npm"), [Ok(("demo.tgz".parse().unwrap(), file(&bytes)))], &Limits::default(), &is_over).unwrap();
    assert_eq!(contents.unreadable, Some(Unreadable::TooSlow));
    assert_eq!(contents.license_terms, ["MIT"]);
    assert!(contents.entry_count < 100 && !contents.requires_complete);
    let zip = inspect(&demo("pypi"), [Ok(("demo.whl".parse().unwrap(), file(&wheel("", &[]))))], &Limits::default(), &|| true).unwrap();
    assert_eq!(zip.unreadable, Some(Unreadable::TooSlow));
}

#[test]
fn what_is_kept_is_bounded_whatever_a_package_says() {
    let names: Vec<String> = (0..5000).map(|n| format!("\"d{n}\":\"1\"")).collect();
    let terms = format!(r#","license":"{}","dependencies":{{{}}}"#, "x".repeat(9000), names.join(","));
    let binaries: Vec<String> = (0..100).map(|n| format!("package/{n}")).collect();
    let binaries: Vec<(&str, &[u8])> = binaries.iter().map(|name| (name.as_str(), &b"\x7fELF"[..])).collect();
    let contents = npm(&npm_package(&terms, &binaries));
    assert_eq!((contents.requires.len(), contents.requires_complete, contents.unreadable), (4096, false, None));
    assert_eq!((contents.binaries.len(), contents.binary_count), (64, 100));
    assert_eq!(contents.license_terms[0].len(), 2048);
}
