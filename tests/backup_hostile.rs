//! Archives that somebody has changed. Invariant: nothing of them is believed; a restore refuses them in words and leaves nothing behind.

use std::io::{Read as _, Write as _};
use std::path::Path;

use artifortress::error::Code;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::backup::{make, refused, restore};
use crate::support::{Package, TestApp, digest_of};

/// A member of a tar, as it stands in the file.
#[derive(Clone)]
struct Member {
    name: String,
    kind: EntryType,
    bytes: Vec<u8>,
}

impl Member {
    fn file(name: &str, bytes: &[u8]) -> Member {
        Member { name: name.to_owned(), kind: EntryType::Regular, bytes: bytes.to_vec() }
    }
}

fn members(path: &Path) -> Vec<Member> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        Member { name: entry.path().unwrap().to_str().unwrap().to_owned(), kind: entry.header().entry_type(), bytes }
    });
    entries.collect()
}

fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = Header::new_gnu();
        // Written by hand: the library would not let such names through.
        header.as_old_mut().name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        header.set_entry_type(member.kind);
        if member.kind.is_symlink() || member.kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(member.bytes.len() as u64);
        header.set_mode(0o4777);
        header.set_cksum();
        builder.append(&header, member.bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn write(path: &Path, tar: &[u8]) {
    std::fs::write(path, zstd::encode_all(tar, 1).unwrap()).unwrap();
}

/// The members with this manifest, and an end that fits it: whoever writes an archive can do so.
fn with_manifest(members: &[Member], manifest: &Value) -> Vec<Member> {
    let mut changed = members.to_vec();
    changed[0].bytes = manifest.to_string().into_bytes();
    let last = changed.len() - 1;
    changed[last].bytes = json!({"manifest": digest_of(&changed[0].bytes)}).to_string().into_bytes();
    changed
}

/// A genuine archive of two versions, its members, and where it lies.
async fn genuine() -> (tempfile::TempDir, Vec<Member>) {
    let app = TestApp::new().await;
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        app.published("main", &Package::generic(name, "1.0")).await;
    }
    make(&app, directory.path(), "genuine", None).unwrap();
    let members = members(&directory.path().join("genuine"));
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[1], names[4]), (5, "manifest.json", "state.db", "end.json"));
    (directory, members)
}

#[tokio::test]
async fn members_that_the_manifest_does_not_announce_are_refused() {
    let (directory, genuine) = genuine().await;
    let path = directory.path().join("changed");
    let outside = directory.path().join("outside");
    // The control: put together again without a change, it is restored.
    write(&path, &tar_of(&genuine));
    restore(directory.path(), &["changed"], "control").unwrap();
    let swapped = |at: usize, member: Member| {
        let mut members = genuine.clone();
        members[at] = member;
        members
    };
    let inserted = |at: usize, member: Member| {
        let mut members = genuine.clone();
        members.insert(at, member);
        members
    };
    let link = |kind| Member { kind, ..Member::file(&genuine[2].name, b"") };
    let mut in_other_order = genuine.clone();
    in_other_order.swap(2, 3);
    let mut doubled = genuine.clone();
    doubled.insert(3, genuine[2].clone());
    let cases: Vec<(&str, Vec<Member>)> = vec![
        ("a path upwards", swapped(2, Member::file("../../outside", &genuine[2].bytes))),
        ("an absolute path", swapped(2, Member::file(outside.to_str().unwrap(), &genuine[2].bytes))),
        ("a path upwards inside", swapped(2, Member::file(&format!("blobs/../{}", genuine[2].name), &genuine[2].bytes))),
        ("a symbolic link", swapped(2, link(EntryType::Symlink))),
        ("a hard link", swapped(2, link(EntryType::Link))),
        ("a device", swapped(2, link(EntryType::Char))),
        ("a pipe", swapped(2, link(EntryType::Fifo))),
        ("a directory", swapped(2, link(EntryType::Directory))),
        ("a sparse file", swapped(2, link(EntryType::GNUSparse))),
        ("a long name", inserted(2, Member { kind: EntryType::GNULongName, ..Member::file("././@LongLink", b"../../outside\0") })),
        (
            "a header of another dialect",
            inserted(2, Member { kind: EntryType::XHeader, ..Member::file("pax", b"21 path=../../outside\n") }),
        ),
        ("one more file", inserted(4, Member::file("admin-token", b"aft_x"))),
        ("one file twice", doubled),
        ("another order", in_other_order),
        ("a file behind the end", inserted(5, Member::file("state.db", &genuine[1].bytes))),
        ("no end", genuine[..4].to_vec()),
        ("no blobs", [&genuine[..2], &genuine[4..]].concat()),
        ("nothing", Vec::new()),
        ("no manifest", genuine[1..].to_vec()),
        ("another database", swapped(1, Member::file("state.db", &vec![0; genuine[1].bytes.len()]))),
        ("a shorter database", swapped(1, Member::file("state.db", &genuine[1].bytes[..4096]))),
        ("other bytes", swapped(2, Member::file(&genuine[2].name, &vec![b'x'; genuine[2].bytes.len()]))),
        ("more bytes", swapped(2, Member::file(&genuine[2].name, &[&genuine[2].bytes[..], b"x"].concat()))),
        ("another's end", swapped(4, Member::file("end.json", json!({"manifest": digest_of(b"x")}).to_string().as_bytes()))),
    ];
    for (what, changed) in cases {
        write(&path, &tar_of(&changed));
        let (code, message) = refused(directory.path(), &["changed"]);
        assert!(code == Code::Conflict && message.contains("the archive "), "{what}: {message}");
        assert!(!outside.exists(), "{what}");
    }
}

#[tokio::test]
async fn manifests_that_contradict_the_rest_are_refused() {
    let (directory, genuine) = genuine().await;
    let manifest: Value = serde_json::from_slice(&genuine[0].bytes).unwrap();
    let blob = |bytes: &[u8]| json!({"digest": digest_of(bytes), "sizeBytes": bytes.len()});
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest
    };
    let cases: Vec<(&str, Value, Code)> = vec![
        ("a newer format", changed(&|manifest| manifest["format"] = json!(2)), Code::Unavailable),
        ("a newer schema", changed(&|manifest| manifest["schema"] = json!(9999)), Code::Unavailable),
        ("an unknown member", changed(&|manifest| manifest["more"] = json!(1)), Code::Conflict),
        ("a missing member", changed(&|manifest| drop(manifest.as_object_mut().unwrap().remove("blobs"))), Code::Conflict),
        ("no JSON", json!("manifest"), Code::Conflict),
        ("a negative size", changed(&|manifest| manifest["blobs"][0]["sizeBytes"] = json!(-1)), Code::Conflict),
        ("sizes beyond all", changed(&|manifest| manifest["blobs"][0]["sizeBytes"] = json!(u64::MAX)), Code::Conflict),
        ("a large size", changed(&|manifest| manifest["blobs"][0]["sizeBytes"] = json!(1_u64 << 60)), Code::InsufficientStorage),
        ("a name that is no digest", changed(&|manifest| manifest["blobs"][0]["digest"] = json!("../../outside")), Code::Conflict),
        ("a blob twice", changed(&|manifest| manifest["blobs"][1] = manifest["blobs"][0].clone()), Code::Conflict),
        ("another order", changed(&|manifest| manifest["blobs"].as_array_mut().unwrap().reverse()), Code::Conflict),
        ("blobs of no parent", changed(&|manifest| manifest["earlier"] = json!([blob(b"x")])), Code::Conflict),
        ("a parent that is not there", changed(&|manifest| manifest["parent"] = json!(digest_of(b"x"))), Code::Conflict),
        ("another database", changed(&|manifest| manifest["database"]["digest"] = json!(digest_of(b"x"))), Code::Conflict),
    ];
    for (what, manifest, expected) in cases {
        write(&directory.path().join("changed"), &tar_of(&with_manifest(&genuine, &manifest)));
        let (code, message) = refused(directory.path(), &["changed"]);
        assert_eq!(code, expected, "{what}: {message}");
    }
    // Fewer blobs than the database names, with everything else in order.
    let fewer = changed(&|manifest| drop(manifest["blobs"].as_array_mut().unwrap().pop()));
    let mut members = with_manifest(&genuine, &fewer);
    members.remove(3);
    write(&directory.path().join("changed"), &tar_of(&members));
    let (_, message) = refused(directory.path(), &["changed"]);
    assert!(message.contains("names other blobs"), "{message}");
}

#[tokio::test]
async fn an_archive_that_is_cut_short_or_goes_on_is_refused_wherever_that_is() {
    let (directory, genuine) = genuine().await;
    let whole = std::fs::read(directory.path().join("genuine")).unwrap();
    let path = directory.path().join("changed");
    for length in (0..whole.len()).step_by(whole.len() / 40 + 1).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (code, _) = refused(directory.path(), &["changed"]);
        assert_eq!(code, Code::Conflict, "the first {length} bytes");
    }
    // Cut where a frame ends, so that each part by itself is sound.
    let tar = tar_of(&genuine);
    // The last of all cuts takes nothing but the empty blocks of the end.
    for length in (0..tar.len()).step_by(512 * 7).chain([tar.len() - 1024, tar.len() - 512]) {
        write(&path, &tar[..length]);
        refused(directory.path(), &["changed"]);
    }
    for more in [&b"x"[..], &whole, &zstd::encode_all(&b"more"[..], 1).unwrap(), &zstd::encode_all(&[0; 1 << 20][..], 1).unwrap()] {
        std::fs::write(&path, [&whole, more].concat()).unwrap();
        let (code, _) = refused(directory.path(), &["changed"]);
        assert_eq!(code, Code::Conflict);
    }
    for byte in (0..whole.len()).step_by(whole.len() / 60 + 1) {
        let mut flipped = whole.clone();
        flipped[byte] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        assert!(restore(directory.path(), &["changed"], "flipped").is_err(), "byte {byte}");
    }
}

#[tokio::test]
async fn a_small_file_that_unpacks_to_very_much_is_refused_before_it_does() {
    let (directory, genuine) = genuine().await;
    let path = directory.path().join("changed");
    // Two gibibytes of zeros where the manifest should be.
    let mut header = Header::new_gnu();
    header.set_path("manifest.json").unwrap();
    header.set_size(2 << 30);
    header.set_cksum();
    let mut encoder = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let (code, message) = refused(directory.path(), &["changed"]);
    assert_eq!(code, Code::TooLarge, "{message}");
    // A database that says to be longer than the disk has room for.
    let mut manifest: Value = serde_json::from_slice(&genuine[0].bytes).unwrap();
    manifest["database"]["sizeBytes"] = json!(1_u64 << 60);
    write(&path, &tar_of(&with_manifest(&genuine, &manifest)));
    assert_eq!(refused(directory.path(), &["changed"]).0, Code::InsufficientStorage);
}

/// The same archive with a database that was changed, and everything that names it.
fn with_database(directory: &Path, genuine: &[Member], change: &str) {
    let copy = directory.join("changed.db");
    std::fs::write(&copy, &genuine[1].bytes).unwrap();
    let connection = rusqlite::Connection::open(&copy).unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    connection.execute_batch(change).unwrap();
    drop(connection);
    let bytes = std::fs::read(&copy).unwrap();
    let mut manifest: Value = serde_json::from_slice(&genuine[0].bytes).unwrap();
    manifest["database"] = json!({"digest": digest_of(&bytes), "sizeBytes": bytes.len()});
    let mut members = with_manifest(genuine, &manifest);
    members[1].bytes = bytes;
    write(&directory.join("changed"), &tar_of(&members));
}

#[tokio::test]
async fn a_database_with_a_forged_trail_a_newer_schema_or_faults_is_refused() {
    let (directory, genuine) = genuine().await;
    for (change, words) in [
        ("DROP TRIGGER audit_fixed_update; UPDATE audit SET actor = 'mallory' WHERE seq = 2;", "the audit trail is broken at row 2"),
        ("DROP TRIGGER audit_fixed_delete; DELETE FROM audit WHERE seq > 3;", "the audit trail is broken"),
        ("PRAGMA user_version = 999;", "schema 999"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM repos;", "faults are in the database"),
        ("PRAGMA foreign_keys = OFF; DROP TABLE audit;", "audit"),
    ] {
        with_database(directory.path(), &genuine, change);
        let error = restore(directory.path(), &["changed"], "refused").unwrap_err();
        assert!(format!("{error:?}").contains(words), "{change}: {error:?}");
        assert_eq!(std::fs::read_dir(directory.path().join("refused")).unwrap().count(), 0);
    }
    with_database(directory.path(), &genuine, "SELECT 1;");
    restore(directory.path(), &["changed"], "control").unwrap();
}
