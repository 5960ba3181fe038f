//! Crates and publishing them as Cargo does. Invariant: nothing is checked here, so that a test can send what no client would.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Call, Response, TestApp};

/// A crate to be published.
#[derive(Debug, Clone)]
pub struct Crate {
    /// The JSON beside it.
    pub metadata: Value,
    /// The `.crate` file.
    pub bytes: Vec<u8>,
}

impl Crate {
    /// A library crate that says everything as it is.
    pub fn new(name: &str, version: &str) -> Crate {
        Crate::with_source(name, version, "pub fn nothing() {}\n")
    }

    /// The same with this source.
    pub fn with_source(name: &str, version: &str, source: &str) -> Crate {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n");
        let files = [("Cargo.toml", manifest.as_str()), ("src/lib.rs", source)];
        let files = files.map(|(path, content)| (format!("{name}-{version}/{path}"), content));
        Crate {
            metadata: json!({
                "name": name, "vers": version, "deps": [], "features": {}, "authors": [], "description": null, "documentation": null,
                "homepage": null, "readme": null, "readme_file": null, "keywords": [], "categories": [], "license": "MIT",
                "license_file": null, "repository": null, "badges": {}, "links": null, "rust_version": null,
            }),
            bytes: tarball(&files),
        }
    }

    /// With another member of the JSON.
    pub fn saying(mut self, member: &str, value: Value) -> Crate {
        self.metadata[member] = value;
        self
    }

    /// The body of the publish.
    pub fn body(&self) -> Vec<u8> {
        let text = self.metadata.to_string();
        let mut body = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        body.extend(text.as_bytes());
        body.extend(u32::try_from(self.bytes.len()).unwrap().to_le_bytes());
        body.extend(&self.bytes);
        body
    }
}

/// A tar archive packed with gzip at its lowest level: nothing is compressed, so that what it holds can be found in it.
pub fn tarball(files: &[(String, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    let mut encoder = builder.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// Where the index file of a crate lies.
pub fn index_path(repo: &str, name: &str) -> String {
    let place = match name.len() {
        1 | 2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    };
    format!("/cargo/{repo}/index/{place}/{name}")
}

/// Where a crate is downloaded.
pub fn download_path(repo: &str, name: &str, version: &str) -> String {
    format!("/cargo/{repo}/api/v1/crates/{name}/{version}/download")
}

impl Call {
    /// With this token as Cargo sends it: without a scheme.
    pub fn bare_token(self, token: &str) -> Call {
        if token.is_empty() { self } else { self.header("authorization", token) }
    }
}

impl TestApp {
    /// Publishes a crate to a repo.
    pub async fn publish_crate(&self, token: &str, repo: &str, what: &Crate) -> Response {
        self.call("PUT", &format!("/cargo/{repo}/api/v1/crates/new")).bare_token(token).body(what.body()).send().await
    }

    /// The lines of a crate in the index.
    pub async fn index_lines(&self, token: &str, repo: &str, name: &str) -> Vec<String> {
        let answer = self.call("GET", &index_path(repo, name)).bare_token(token).send().await.expect(200);
        answer.text().lines().map(str::to_owned).collect()
    }
}
