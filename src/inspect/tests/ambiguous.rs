//! Archives in which one client finds other files than another, so that what was read might not be what is installed.

use super::*;

const SOUND: &[u8] = br#"{"name":"demo","version":"1.0.0"}"#;
const EVIL: &[u8] = br#"{"name":"demo","version":"1.0.0","scripts":{"postinstall":"x"}}"#;

#[test]
fn entries_inside_what_some_clients_take_for_a_directory_are_not_overlooked() {
    let hidden = tar_entry(b'0', b"package/package.json", b"", EVIL);
    for flag in [0, b'0'] {
        let short = tar_entry(flag, b"package/dir/", b"", &hidden);
        let long = [tar_entry(b'x', b"pax", b"", &pax("path", "package/dir/")), tar_entry(flag, b"package/dir", b"", &hidden)].concat();
        let renamed = [tar_entry(b'L', b"long", b"", b"package/file\0"), tar_entry(flag, b"package/dir/", b"", &hidden)].concat();
        for entry in [short, long, renamed] {
            let tar = [tar_entry(b'0', b"package/package.json", b"", SOUND), entry].concat();
            assert_eq!(npm(&gzip(&ended(tar))).unreadable, Some(Unreadable::Malformed));
        }
    }
    let empty = [tar_entry(b'0', b"package/package.json", b"", SOUND), tar_entry(b'0', b"package/dir/", b"", b"")].concat();
    assert_eq!(npm(&gzip(&ended(empty))).unreadable, None);
}

#[test]
fn a_record_inside_a_records_value_names_no_entry_unseen() {
    let inner = String::from_utf8(pax("path", "package/package.json")).unwrap();
    let tar = [
        tar_entry(b'0', b"package/package.json", b"", SOUND),
        tar_entry(b'x', b"pax", b"", &pax("comment", &format!("x\n{inner}"))),
        tar_entry(b'0', b"package/readme", b"", EVIL),
    ];
    assert_eq!(npm(&gzip(&ended(tar.concat()))).unreadable, Some(Unreadable::Malformed));
}

/// The place of the last end of a zip.
fn end_of(zip: &[u8]) -> usize {
    zip.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").unwrap()
}

/// The place where the directory of a zip begins.
fn directory_of(zip: &[u8]) -> usize {
    zip.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap()
}

fn wheel_fault(bytes: &[u8]) -> Option<Unreadable> {
    read("pypi", "demo-1.0.0-py3-none-any.whl", bytes).unreadable
}

fn changed(bytes: &[u8], at: usize, by: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + by.len()].copy_from_slice(by);
    bytes
}

#[test]
fn an_archive_behind_the_archive_is_not_overlooked() {
    let (sound, evil) = (wheel("", &[]), wheel("", &[("demo/x.so", b"\x7fELF")]));
    // Python takes the last end, whatever it says of disks; others pass it over and find the one before.
    let of_many_disks = changed(&evil, end_of(&evil) + 4, &[1]);
    for hidden in [evil, of_many_disks] {
        let length = u16::try_from(hidden.len()).unwrap().to_le_bytes();
        let in_comment = [changed(&sound, end_of(&sound) + 20, &length), hidden.clone()].concat();
        for bytes in [in_comment, [sound.clone(), hidden].concat()] {
            assert_eq!(wheel_fault(&bytes), Some(Unreadable::Malformed));
        }
    }
    let commented = [changed(&sound, end_of(&sound) + 20, &[5]), b"hello".to_vec()].concat();
    assert_eq!(wheel_fault(&commented), None);
    assert_eq!(wheel_fault(&[sound, b"hello".to_vec()].concat()), Some(Unreadable::Malformed));
}

#[test]
fn a_directory_that_says_another_size_is_malformed() {
    let whole = wheel("", &[("demo/a.py", b"x")]);
    let size_at = end_of(&whole) + 12;
    for other in [whole[size_at] - 1, whole[size_at] + 1, 0] {
        assert_eq!(wheel_fault(&changed(&whole, size_at, &[other])), Some(Unreadable::Malformed), "{other}");
    }
}

/// A zip with the ends of a large one; its directory begins at `start` and has `size` bytes, as these ends say.
fn with_large_ends(zip: &[u8], start: u64, size: u64) -> Vec<u8> {
    let end = end_of(zip);
    let count = u64::from(zip[end + 10]);
    let numbers = [count, count, size, start].map(u64::to_le_bytes).concat();
    let large = [&b"PK\x06\x06"[..], &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8], &numbers].concat();
    let locator = [&b"PK\x06\x07"[..], &[0; 4], &(end as u64).to_le_bytes(), &1_u32.to_le_bytes()].concat();
    [&zip[..end], &large, &locator, &zip[end..]].concat()
}

#[test]
fn ends_of_a_large_archive_that_differ_from_the_plain_one_are_malformed() {
    let whole = wheel("", &[("demo/a.py", b"x")]);
    let (start, size) = (directory_of(&whole) as u64, (end_of(&whole) - directory_of(&whole)) as u64);
    assert_eq!(wheel_fault(&with_large_ends(&whole, start, size)), None);
    for (start, size) in [(start - 1, size), (start, size - 1), (start + 4, size)] {
        assert_eq!(wheel_fault(&with_large_ends(&whole, start, size)), Some(Unreadable::Malformed), "{start} {size}");
    }
}

#[test]
fn a_second_name_of_an_entry_is_malformed() {
    let with_second_name = |second: &str| {
        super::hostile::python_zip(&format!(
            "import struct, zlib; i = zipfile.ZipInfo('demo/readme.txt'); second = b'{second}'; \
             i.extra = struct.pack('<HHBI', 0x7075, 5 + len(second), 1, zlib.crc32(b'demo/readme.txt')) + second; z.writestr(i, 'x')"
        ))
    };
    assert_eq!(wheel_fault(&with_second_name("demo/other.so")), Some(Unreadable::Malformed));
}
