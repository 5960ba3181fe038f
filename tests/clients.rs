//! Real Python clients on a real socket: they publish, install, and show why something is held. Invariant: they come from `.tools/venv`,
//! which `scripts/test` makes, and talk to nobody but the server of the test.

mod others;
mod pip;
mod poetry;
mod twine;
mod uv;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::{Client, Ended, Served, digest_of, items, text};

/// What holds the versions that begin with 2, as those with a token read it.
const HELD: &str = "younger than 7 days (rule cooldown)";
/// What denies 6.6.6.
const DENIED: &str = "the number of the beast (rule beast)";
/// What the publisher said when he yanked stale 1.2.
const YANKED: &str = "breaks on Tuesdays";

/// A server, a token that may publish, and a client that works there.
struct Bench {
    served: Served,
    token: String,
    client: Client,
}

impl Bench {
    /// An empty repo.
    fn start() -> Bench {
        let served = Served::start();
        let client = served.client("python", &format!("{}:/usr/bin:/bin", venv().display()));
        let quiet = [
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("UV_NO_CACHE", "1"),
            ("UV_NO_PROGRESS", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring"),
        ];
        let client = quiet.iter().fold(client, |client, (name, value)| client.env(name, value));
        Bench { token: served.writer("main").secret, served, client }
    }

    /// A repo with demo 1.0, 1.1 and 2.0, which is held; app 1.0, which needs demo; stale 1.0 and 1.2, which is yanked; and an odd one.
    fn stocked() -> Bench {
        let bench = Bench::start();
        let stock =
            [("demo", "1.0"), ("demo", "1.1"), ("demo", "2.0"), ("stale", "1.0"), ("stale", "1.2"), ("Odd._Name-x", "1.0.post1+local.1")];
        let mut files: Vec<String> = stock.iter().map(|(name, version)| bench.wheel(name, version)).collect();
        files.push(bench.wheel_that("app", "1.0", "Requires-Dist: demo>=1.0\n"));
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        bench.uv_publish(&bench.token, &files).well();
        bench.yank("stale", "1.2", YANKED);
        bench
    }

    /// The index with this token in its address.
    fn index_of(&self, token: &str) -> String {
        self.served.url_of("__token__", token, "/pypi/main/simple/")
    }

    fn index(&self) -> String {
        self.index_of(&self.token)
    }

    fn upload_url(&self) -> String {
        self.served.url("/pypi/main/legacy/")
    }

    /// Makes a wheel; gives its path from the work directory.
    fn wheel(&self, name: &str, version: &str) -> String {
        self.wheel_that(name, version, "")
    }

    /// The same with these headers in its metadata.
    fn wheel_that(&self, name: &str, version: &str, headers: &str) -> String {
        let (file_name, bytes) = wheel(name, version, headers);
        let path = format!("dist/{file_name}");
        self.client.write(&path, bytes);
        path
    }

    /// The sha256 of a file of the work directory, as 64 hex digits.
    fn sha256(&self, path: &str) -> String {
        digest_of(&std::fs::read(self.client.directory().join(path)).unwrap()).trim_start_matches("sha256:").to_owned()
    }

    fn uv_publish(&self, token: &str, files: &[&str]) -> Ended {
        self.client.run("uv", &[&["publish", "--no-config", "--publish-url", &self.upload_url(), "--token", token], files].concat())
    }

    /// Takes a version back from those who do not pin it.
    fn yank(&self, name: &str, version: &str, reason: &str) {
        for id in self.version_ids(name, version) {
            self.served.api("PUT", &format!("/v1/repos/main/packages/versions/{id}/yank"), &json!({"reason": reason}));
        }
    }

    /// Holds a published version by hand.
    fn hold(&self, name: &str, version: &str) {
        for id in self.version_ids(name, version) {
            self.served.api("POST", &format!("/v1/repos/main/versions/{id}/quarantine"), &json!({"reason": "looked odd"}));
        }
    }

    /// The ids of the files of a release.
    fn version_ids(&self, name: &str, version: &str) -> Vec<String> {
        let path = format!("/v1/repos/main/packages/versions?packageType=pypi&name={name}");
        let listed = items(&self.served.api("GET", &path, &Value::Null));
        let ids: Vec<String> = listed.iter().filter(|item| item["version"] == version).map(|item| text(item, "versionId")).collect();
        assert!(!ids.is_empty(), "{listed:?}");
        ids
    }

    /// The version that a client put below this directory.
    fn installed(&self, directory: &str, name: &str) -> String {
        let entries = std::fs::read_dir(self.client.directory().join(directory)).unwrap();
        let found = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let prefix = format!("{name}-");
        let versions: Vec<String> =
            found.filter_map(|file| Some(file.strip_prefix(&prefix)?.strip_suffix(".dist-info")?.to_owned())).collect();
        versions.join(", ")
    }

    /// The files of a project, as its page lists them.
    fn listed(&self, project: &str) -> Vec<String> {
        let path = format!("/pypi/main/simple/{project}/?format=application/vnd.pypi.simple.v1%2Bjson");
        let answer = self.served.daemon().call(&self.token, "GET", &path, b"").unwrap();
        let files = answer.json()["files"].as_array().cloned().unwrap_or_default();
        files.iter().map(|file| text(file, "filename")).collect()
    }
}

/// Where the clients are.
fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin")
}

/// The line of a file in RECORD (PEP 376, PEP 427).
fn recorded(path: &str, content: &str) -> String {
    format!("{path},sha256={},{}\n", URL_SAFE_NO_PAD.encode(Sha256::digest(content)), content.len())
}

/// A wheel that every installer takes: its file name and its bytes.
pub fn wheel(name: &str, version: &str, headers: &str) -> (String, Vec<u8>) {
    let spelled = name.to_lowercase().split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let info = format!("{spelled}-{version}.dist-info");
    let metadata = format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: For tests\n{headers}\n");
    let files = [
        (format!("{spelled}.py"), format!("VERSION = \"{version}\"\n")),
        (format!("{info}/METADATA"), metadata),
        (format!("{info}/WHEEL"), "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
    ];
    let record: String = files.iter().map(|(path, content)| recorded(path, content)).collect();
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files.iter().chain([&(format!("{info}/RECORD"), format!("{record}{info}/RECORD,,\n"))]) {
        writer.start_file(path.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    (format!("{spelled}-{version}-py3-none-any.whl"), writer.finish().unwrap().into_inner())
}
