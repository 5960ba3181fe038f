//! Reading records out of whatever people have them in, and out of what means harm.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn record(id: &str) -> String {
    format!(r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z"}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The ids read, and the files passed over.
fn read(paths: &[PathBuf]) -> Result<(Vec<String>, u64), String> {
    let mut ids = Vec::new();
    let done = read_all(paths, &mut |record| {
        ids.push(record.id);
        Ok(())
    });
    match done {
        Ok(passed_over) => Ok((ids, passed_over)),
        Err(Stop::Fault(message)) => Err(message),
        Err(Stop::Unwanted) => Err("unwanted".to_owned()),
    }
}

fn read_bytes(bytes: &[u8]) -> Result<(Vec<String>, u64), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.name");
    std::fs::write(&path, bytes).unwrap();
    read(&[path]).map_err(|message| message.replace(&directory.path().display().to_string(), ""))
}

#[test]
fn records_are_read_whatever_they_are_packed_in_and_however_it_is_named() {
    let lines = format!("\u{feff}{}\n\n{}\r\n{}", record("A-1"), record("A-2"), record("A-3"));
    let pretty = "{\n  \"id\": \"A-1\",\n  \"modified\": \"2024-01-01T00:00:00Z\"\n}\n";
    let members: &[(&str, &[u8])] = &[("b/2.json", pretty.as_bytes()), ("README.md", b"# words"), ("a.jsonl.gz", &gzip(lines.as_bytes()))];
    let all = ["A-1", "A-2", "A-3"].map(str::to_owned).to_vec();
    let of_archive = ["A-1", "A-1", "A-2", "A-3"].map(str::to_owned).to_vec();
    for (packed, ids, passed_over) in [
        (lines.as_bytes().to_vec(), &all, 0),
        (pretty.as_bytes().to_vec(), &all[..1].to_vec(), 0),
        (gzip(lines.as_bytes()), &all, 0),
        (gzip(&gzip(lines.as_bytes())), &all, 0),
        ([gzip(format!("{}\n", record("A-1")).as_bytes()), gzip(record("A-2").as_bytes())].concat(), &all[..2].to_vec(), 0),
        (tar(members), &of_archive, 1),
        (gzip(&tar(members)), &of_archive, 1),
        (zip(members), &of_archive, 1),
        (Vec::new(), &Vec::new(), 0),
    ] {
        assert_eq!(read_bytes(&packed).unwrap(), (ids.clone(), passed_over));
    }
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names_without_hidden_files_and_links() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (name, id) in [("b/1.json", "A-2"), ("a.json", "A-1"), ("c.json", "A-3"), (".git/x.json", "A-9"), (".y.json", "A-8")] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, record(id)).unwrap();
    }
    std::fs::write(root.join("notes.txt"), "words").unwrap();
    std::os::unix::fs::symlink(root, root.join("d")).unwrap();
    assert_eq!(read(&[root.to_owned()]).unwrap(), (["A-1", "A-2", "A-3"].map(str::to_owned).to_vec(), 1));
    assert!(read(&[root.join("notes.txt")]).unwrap_err().contains("notes.txt: it holds no advisories"));
    assert!(read(&[root.join("absent")]).unwrap_err().contains("absent: "));
}

#[test]
fn a_fault_names_the_file_the_member_and_the_line() {
    let good = record("A-1");
    let lines = format!("{good}\n{good}\n{{\"id\": \"A-3\"}}\n");
    assert!(read_bytes(lines.as_bytes()).unwrap_err().starts_with("/odd.name, line 3: this is no OSV record"));
    assert!(read_bytes(&gzip(lines.as_bytes())).unwrap_err().starts_with("/odd.name, line 3: "));
    assert!(read_bytes(&zip(&[("x/y.jsonl", lines.as_bytes())])).unwrap_err().starts_with("/odd.name: x/y.jsonl, line 3: "));
    assert!(read_bytes(&tar(&[("x/y.jsonl", lines.as_bytes())])).unwrap_err().starts_with("/odd.name: x/y.jsonl, line 3: "));
    assert!(read_bytes(format!("{good}\n[]\n").as_bytes()).unwrap_err().contains("line 2"));
    assert!(read_bytes(b"{\"id\": }\n").unwrap_err().contains("line 1: this is not JSON"));
    assert!(read_bytes(b"{\"id\":\n\"A-1\"").unwrap_err().contains("this is not JSON"));
}

#[test]
fn what_is_cut_short_or_means_harm_is_refused() {
    let good = format!("{}\n", record("A-1")).repeat(2_000);
    let packed = gzip(good.as_bytes());
    assert!(read_bytes(&packed[..packed.len() / 2]).unwrap_err().contains("cannot be read to its end"));
    let archive = tar(&[("a.json", good.as_bytes()), ("b.json", good.as_bytes())]);
    assert!(read_bytes(&archive[..archive.len() / 2]).is_err());
    let archive = zip(&[("a.json", good.as_bytes())]);
    assert!(read_bytes(&archive[..archive.len() - 30]).unwrap_err().contains("no whole zip archive"));
    let nested = zip(&[("inner.tar", &tar(&[("a.json", good.as_bytes())]))]);
    assert!(read_bytes(&nested).unwrap_err().contains("inner.tar: it is an archive inside another one"));
    let deep = (0..5).fold(good.clone().into_bytes(), |bytes, _| gzip(&bytes));
    assert!(read_bytes(&deep).unwrap_err().contains("archive inside another one"));
    // A line that unpacks to far more than any record has.
    let bomb = gzip(&[b"{\"id\": \"", vec![b'a'; RECORD_LIMIT_BYTES + 100].as_slice()].concat());
    assert!(bomb.len() < RECORD_LIMIT_BYTES / 50);
    assert!(read_bytes(&bomb).unwrap_err().contains("longer than the"));
}

#[test]
fn reading_ends_when_nobody_wants_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many");
    std::fs::write(&path, format!("{}\n", record("A-1")).repeat(10)).unwrap();
    let mut taken = 0;
    let done = read_all(&[path], &mut |_| {
        taken += 1;
        if taken == 3 { Err(Stop::Unwanted) } else { Ok(()) }
    });
    assert_eq!((done, taken), (Err(Stop::Unwanted), 3));
}
