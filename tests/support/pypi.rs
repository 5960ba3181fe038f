//! Uploads as twine sends them. Invariant: nothing is checked here, so that a test can send what no client would.

use std::io::Write as _;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Response, TestApp, digest_of};

/// A wheel: its file name and its bytes. `headers` stand in METADATA beside name and version, `text` below them, `module` in its
/// one module; nothing is compressed, so that what it holds can be found in it.
pub fn wheel(name: &str, version: &str, headers: &str, text: &str, module: &str) -> (String, Vec<u8>) {
    let spelled = name.replace('-', "_");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\n\n{text}\n");
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in
        [(format!("{spelled}/__init__.py"), module.as_bytes()), (format!("{spelled}-{version}.dist-info/METADATA"), metadata.as_bytes())]
    {
        writer.start_file(path, options).unwrap();
        writer.write_all(content).unwrap();
    }
    (format!("{spelled}-{version}-py3-none-any.whl"), writer.finish().unwrap().into_inner())
}

/// A form for `/pypi/{repoKey}/legacy/`.
#[derive(Debug, Clone)]
pub struct UploadForm {
    /// The fields before the file, in their order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file's name and bytes; the form has none without.
    pub file: Option<(Vec<u8>, Vec<u8>)>,
    /// What the request's header says stands between the parts; `b` does.
    pub boundary: String,
}

impl UploadForm {
    /// The form of a file that says everything as it is.
    pub fn of(name: &str, version: &str, file: &(String, Vec<u8>)) -> UploadForm {
        let sha256 = digest_of(&file.1).trim_start_matches("sha256:").to_owned();
        let form = UploadForm { fields: Vec::new(), file: Some((file.0.clone().into(), file.1.clone())), boundary: "b".to_owned() };
        form.with(":action", "file_upload")
            .with("protocol_version", "1")
            .with("metadata_version", "2.1")
            .with("name", name)
            .with("version", version)
            .with("sha256_digest", &sha256)
    }

    /// With one more field.
    pub fn with(mut self, field: &str, value: impl AsRef<[u8]>) -> UploadForm {
        self.fields.push((field.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Without a field.
    pub fn without(mut self, field: &str) -> UploadForm {
        self.fields.retain(|(name, _)| name != field.as_bytes());
        self
    }

    /// With another value of a field.
    pub fn saying(self, field: &str, value: impl AsRef<[u8]>) -> UploadForm {
        self.without(field).with(field, value)
    }

    /// With another name of its file.
    pub fn named(mut self, file_name: impl AsRef<[u8]>) -> UploadForm {
        self.file = self.file.map(|(_, bytes)| (file_name.as_ref().to_vec(), bytes));
        self
    }

    /// The body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"");
            body.extend_from_slice(name);
            body.extend_from_slice(b"\"\r\n\r\n");
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        if let Some((name, bytes)) = &self.file {
            body.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"");
            body.extend_from_slice(name);
            body.extend_from_slice(b"\"\r\nContent-Type: application/octet-stream\r\n\r\n");
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b--\r\n");
        body
    }
}

impl TestApp {
    /// Sends a form to `main`.
    pub async fn send_form(&self, token: &str, form: &UploadForm) -> Response {
        self.send_form_bytes(token, &form.boundary, form.bytes()).await
    }

    /// Sends bytes as a form to `main`.
    pub async fn send_form_bytes(&self, token: &str, boundary: &str, bytes: Vec<u8>) -> Response {
        let media_type = format!("multipart/form-data; boundary={boundary}");
        self.call("POST", "/pypi/main/legacy/").token(token).header("content-type", &media_type).body(bytes).send().await
    }
}
