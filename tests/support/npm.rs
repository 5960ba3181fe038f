//! Publishes as npm sends them. Invariant: nothing is checked here, so that a test can send what no client would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// A tarball of these files, below the directory `package`; nothing is compressed, so that what it holds can be found in it.
pub fn npm_tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("package/{path}"), text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// The document that publishes a version with this tarball; `manifest` is what its manifest says beside name and version.
pub fn npm_document(name: &str, version: &str, tarball: &[u8], manifest: &Value) -> Value {
    let file_name = format!("{name}-{version}.tgz");
    let mut said = json!({"name": name, "version": version});
    said.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    let data = STANDARD.encode(tarball);
    json!({"_id": name, "name": name, "dist-tags": {"latest": version}, "versions": {version: said},
        "_attachments": {file_name: {"content_type": "application/octet-stream", "data": data, "length": tarball.len()}}})
}
