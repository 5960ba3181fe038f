//! Random bytes and randomly damaged packages: whatever comes, there is an answer, and it is bounded.

use proptest::prelude::*;

use super::*;

fn assert_bounded(contents: &Contents) {
    assert!(contents.binaries.len() <= 64 && contents.requires.len() <= 4096 && contents.license_terms.len() <= 256);
    assert!(contents.entry_count <= Limits::default().entries + 1);
    assert!(contents.unpacked_bytes <= Limits::default().unpacked_bytes);
    assert!(contents.unreadable.is_none() || !contents.requires_complete);
    let text = serde_json::to_string(contents).unwrap();
    assert_eq!(&serde_json::from_str::<Contents>(&text).unwrap(), contents);
}

const KINDS: [(&str, &str); 7] = [
    ("pypi", "demo-1.0.0-py3-none-any.whl"),
    ("pypi", "demo-1.0.0.tar.gz"),
    ("pypi", "demo-1.0.0.zip"),
    ("npm", "demo-1.0.0.tgz"),
    ("cargo", "demo-1.0.0.crate"),
    ("maven", "demo-1.0.0.jar"),
    ("maven", "demo-1.0.0.pom"),
];

fn sound(index: usize) -> Vec<u8> {
    let info: &[u8] = b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0.0\nRequires-Dist: a\n";
    let pom: &[u8] = b"<project><groupId>com.acme</groupId><artifactId>demo</artifactId><version>1.0.0</version></project>";
    let manifest: &[u8] = b"[package]\nname = 'demo'\nversion = '1.0.0'\n[dependencies]\na = '1'\n";
    match index {
        0 => wheel("Requires-Dist: a\n", &[("demo/x.so", b"\x7fELF")]),
        1 => tarball(&[("demo-1.0.0/PKG-INFO", info), ("demo-1.0.0/setup.py", b"")]),
        2 => zip_of(&[("demo-1.0.0/PKG-INFO", info), ("demo-1.0.0/setup.py", b"")]),
        3 => npm_package(r#","dependencies":{"a":"npm:b@1"},"scripts":{"install":"x"}"#, &[]),
        4 => tarball(&[("demo-1.0.0/Cargo.toml", manifest), ("demo-1.0.0/build.rs", b"")]),
        5 => zip_of(&[("META-INF/MANIFEST.MF", b""), ("META-INF/maven/com.acme/demo/pom.xml", pom)]),
        _ => pom.to_vec(),
    }
}

/// The tar inside a tarball, so that damage reaches its headers.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut tar).ok().map(|_| tar)
}

#[test]
fn what_the_damaged_packages_are_made_of_is_sound() {
    for (index, (package_type, path)) in KINDS.into_iter().enumerate() {
        assert_eq!(read(package_type, path, &sound(index)).unreadable, None, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_malformed_or_at_least_bounded(index in 0..KINDS.len(), bytes in prop::collection::vec(any::<u8>(), 0..2000), packs in any::<bool>()) {
        let bytes = if packs { gzip(&bytes) } else { bytes };
        assert_bounded(&read(KINDS[index].0, KINDS[index].1, &bytes));
    }

    #[test]
    fn a_damaged_package_is_read_as_far_as_it_goes(
        index in 0..KINDS.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        inside in any::<bool>(),
    ) {
        let whole = sound(index);
        let tar = if inside { unpacked(&whole) } else { None };
        let mut bytes = tar.clone().unwrap_or(whole);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if tar.is_some() {
            repair_checksums(&mut bytes);
            bytes = gzip(&bytes);
        }
        assert_bounded(&read(KINDS[index].0, KINDS[index].1, &bytes));
    }
}

/// Makes the checksums of tar headers right again, so that damage is not all found by them.
fn repair_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
