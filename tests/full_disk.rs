//! A full disk under the real binary, on a small file system of its own. Invariant: what has no room is refused with 507 in every
//! protocol, reads go on, nothing is corrupted, and with room again everything works by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Crate, Daemon, UploadForm, digest_of, npm_document, npm_tarball, version_path, wheel};

const SIZE_BYTES: usize = 24 << 20;

/// A file system in memory, as large as it is told; gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> SmallDisk {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={SIZE_BYTES},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "small-disk"]).arg(path).output().unwrap();
        assert!(mounted.status.success(), "a small disk needs root, or `unshare -rm`: {}", String::from_utf8_lossy(&mounted.stderr));
        SmallDisk(path.to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes everything but so many bytes.
    fn fill_but(&self, left_bytes: u64) {
        use std::io::Write as _;
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[b'x'; 4096]).is_ok() {}
        let full = ballast.metadata().unwrap().len();
        ballast.set_len(full.saturating_sub(left_bytes)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l"]).arg(&self.0).output());
    }
}

/// Bytes that do not repeat, so that no archive makes them small.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

fn hex_noise(seed: u64) -> String {
    noise(seed, 40_000).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request on a connection of its own; gives the status and what follows the head.
fn send(daemon: &Daemon, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        daemon.address,
        daemon.admin(),
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let answer = daemon.raw(&request);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Publishes one version by each protocol; gives each one's status and answer.
fn publish_everywhere(daemon: &Daemon, round: u64) -> Vec<(&'static str, u16, String)> {
    let version = format!("1.{round}.0");
    let text = hex_noise(round);
    let file = noise(round, 80_000);
    let digest = digest_of(&noise(round + 1000, 80_000));
    let form = UploadForm::of("demo", &version, &wheel("demo", &version, "", "", &format!("text = '{text}'")));
    let manifest = json!({"name": "demo", "version": version}).to_string();
    let document =
        npm_document("demo", &version, &npm_tarball(&[("package.json", &manifest), ("index.js", &text)]), &json!({})).to_string();
    let source = format!("pub const TEXT: &str = \"{text}\";\n");
    let content_type = format!("multipart/form-data; boundary={}", form.boundary);
    let sent = [
        ("blob", send(daemon, "PUT", &format!("/v1/repos/main/blobs/{digest}"), "application/octet-stream", &noise(round + 1000, 80_000))),
        ("files", send(daemon, "PUT", &format!("/files/main/demo/{version}/a.bin?publish"), "application/octet-stream", &file)),
        ("pypi", send(daemon, "POST", "/pypi/main/legacy/", &content_type, &form.bytes())),
        ("npm", send(daemon, "PUT", "/npm/main/demo", "application/json", document.as_bytes())),
        (
            "cargo",
            send(
                daemon,
                "PUT",
                "/cargo/main/api/v1/crates/new",
                "application/octet-stream",
                &Crate::with_source("demo", &version, &source).body(),
            ),
        ),
    ];
    sent.into_iter().map(|(what, (status, answer))| (what, status, answer)).collect()
}

/// What was published in the first round can be read.
fn read_everywhere(daemon: &Daemon, when: &str) {
    let admin = daemon.admin();
    for path in [
        "/files/main/demo/1.0.0/a.bin",
        "/pypi/main/simple/demo/",
        "/npm/main/demo",
        "/npm/main/demo/-/demo-1.0.0.tgz",
        "/cargo/main/index/de/mo/demo",
        "/cargo/main/api/v1/crates/demo/1.0.0/download",
        "/v1/repos/main/packages",
        "/v1/search?q=demo",
        "/health/live",
    ] {
        let answer = daemon.call(&admin, "GET", path, b"").unwrap();
        assert_eq!(answer.status, 200, "{when}: {path}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    assert_eq!(daemon.call(&admin, "GET", "/files/main/demo/1.0.0/a.bin", b"").unwrap().bytes, noise(0, 80_000));
}

fn verified(directory: &Path, when: &str) {
    let verified = Daemon::run(directory, &["verify", "--blobs"]);
    assert_eq!(verified.status.code(), Some(0), "{when}: {}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn at_a_full_disk_writes_get_507_reads_go_on_and_with_room_again_all_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::at(&directory.path().join("data"));
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000")]);
    for (what, status, answer) in publish_everywhere(&daemon, 0) {
        assert!((200..300).contains(&status), "{what}: {status} {answer}");
    }
    read_everywhere(&daemon, "at first");
    disk.fill_but(0);
    for (what, status, answer) in publish_everywhere(&daemon, 1) {
        assert_eq!(status, 507, "{what}: {answer}");
        assert!(answer.contains("disk is full"), "{what}: {answer}");
    }
    read_everywhere(&daemon, "at a full disk");
    let ready = daemon.call(&daemon.admin(), "GET", "/health/ready", b"").unwrap();
    assert_eq!((ready.status, &ready.json()["disk"]), (503, &Value::Bool(false)), "it says so itself: {}", ready.json());
    verified(directory.path(), "at a full disk");
    // A commit that needs pages that there are none for.
    let mut refused = 0;
    for number in 0..200 {
        let draft = json!({"packageType": "generic", "packageName": format!("small-{number}"), "version": "1.0"});
        let answer = daemon.post(&daemon.admin(), "/v1/repos/main/packages/versions/drafts", &draft).unwrap();
        match answer.status {
            201 => {
                let path = format!("{}/manifest", version_path("main", answer.json()["versionId"].as_str().unwrap()));
                let long = json!({"text": hex_noise(number)}).to_string();
                let (status, words) = send(&daemon, "PUT", &path, "application/json", long.as_bytes());
                assert!(status == 200 || status == 507, "{status} {words}");
                refused += u32::from(status == 507);
            }
            507 => refused += 1,
            status => panic!("{status}: {}", answer.json()),
        }
        if refused >= 3 {
            break;
        }
    }
    assert!(refused >= 3, "the database never ran out of room");
    read_everywhere(&daemon, "after commits failed");
    // With a little room some get through and others do not; none is half there.
    for (round, left) in [(2, 40_960), (3, 122_880), (4, 409_600)] {
        disk.free();
        disk.fill_but(left);
        for (what, status, answer) in publish_everywhere(&daemon, round) {
            assert!((200..300).contains(&status) || status == 507, "{what} with {left} bytes left: {status} {answer}");
        }
        read_everywhere(&daemon, "with little room");
    }
    disk.free();
    for (what, status, answer) in publish_everywhere(&daemon, 5) {
        assert!((200..300).contains(&status), "{what} with room again: {status} {answer}");
    }
    // What was refused can be sent again.
    for (what, status, answer) in publish_everywhere(&daemon, 1) {
        assert!((200..300).contains(&status), "{what} sent again: {status} {answer}");
    }
    read_everywhere(&daemon, "with room again");
    daemon.stop();
    verified(directory.path(), "at the end");
    let daemon = Daemon::start(directory.path(), &[]);
    read_everywhere(&daemon, "after a start");
    daemon.stop();
}

#[test]
fn a_collection_at_a_full_disk_frees_room() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::at(&directory.path().join("data"));
    let daemon = Daemon::start(directory.path(), &[]);
    let admin = daemon.admin();
    let garbage = noise(7, 4 << 20);
    let (status, answer) =
        send(&daemon, "PUT", &format!("/v1/repos/main/blobs/{}", digest_of(&garbage)), "application/octet-stream", &garbage);
    assert_eq!(status, 201, "{answer}");
    // Room for the rows of a run, none for an upload.
    disk.fill_but(524_288);
    let other = noise(8, 3 << 20);
    let path = format!("/v1/repos/main/blobs/{}", digest_of(&other));
    assert_eq!(send(&daemon, "PUT", &path, "application/octet-stream", &other).0, 507);
    let run = daemon.post(&admin, "/v1/admin/gc/runs", &json!({"dryRun": false, "graceHours": 0})).unwrap();
    assert_eq!((run.status, &run.json()["removedBlobs"]), (200, &json!(1)), "{}", run.json());
    assert_eq!(send(&daemon, "PUT", &path, "application/octet-stream", &other).0, 201);
    daemon.stop();
    verified(directory.path(), "at the end");
}
