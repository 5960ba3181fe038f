//! TLS: the certificate in force, its renewal, and the handshake. Invariant: there is always a whole pair in force, a broken new one
//! changes nothing; no text of a key's file is ever shown; a handshake ends within its limit.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{Socket, Unread};
use super::limits::HttpLimits;
use crate::config::{self, ClientCertificates};
use crate::error::{Error, Result};
use crate::hop;

/// HTTP/2 as ALPN names it (RFC 9113, section 3.2).
const H2: &[u8] = b"h2";
/// HTTP/1.1 as ALPN names it (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";
/// The first byte of every TLS connection: a record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// The largest file that is read: longer ones hold no certificate.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// The certificate that connections are served with, read from files and read again when they change.
#[derive(Debug)]
pub struct Tls {
    settings: config::Tls,
    in_force: RwLock<Arc<ServerConfig>>,
    /// What the files were when they were last read, good or not.
    last_read: Mutex<Vec<Stamp>>,
}

/// What tells one content of a file from another without reading it: inode, length and time of change, to the nanosecond.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `conflict` that names the file, when one cannot be read or they do not belong together.
    pub fn load(settings: config::Tls) -> Result<Tls> {
        let last_read = Mutex::new(stamps(&settings));
        let in_force = RwLock::new(Arc::new(read(&settings)?));
        Ok(Tls { settings, in_force, last_read })
    }

    /// Reads the files again. What they say counts for connections that come from now on.
    ///
    /// # Errors
    /// As `load`; what was in force stays in force.
    pub fn reload(&self) -> Result<()> {
        let stamps = stamps(&self.settings);
        *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        let config = Arc::new(read(&self.settings)?);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Reads the files again when they changed; whether they did.
    ///
    /// # Errors
    /// As `reload`, once for each change.
    pub fn reload_when_changed(&self) -> Result<bool> {
        let is_as_before = *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) == stamps(&self.settings);
        if is_as_before { Ok(false) } else { self.reload().map(|()| true) }
    }

    /// Looks at the files again and again, as often as the settings say, and tells the log what came of it. It never ends.
    pub async fn watch(self: Arc<Tls>) {
        loop {
            tokio::time::sleep(Duration::from_secs(self.settings.check_files_seconds)).await;
            let tls = Arc::clone(&self);
            let file = self.settings.certificate_file.display();
            match hop::run(move || tls.reload_when_changed()).await {
                Ok(false) => {}
                Ok(true) => tracing::info!(%file, "the files of TLS changed and were read again"),
                Err(error) => tracing::error!(%error, "the files of TLS changed and are not good; what was read before stays in force"),
            }
        }
    }

    fn in_force(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a connection secure within `limits`. Who sends a request in the open is told what to do; `None` when nothing came of it.
    pub(super) async fn accept(&self, stream: TcpStream, limits: HttpLimits) -> Option<TlsStream<TcpStream>> {
        let shaken = tokio::time::timeout(limits.handshake_timeout(), async {
            let mut first = [0; 1];
            match stream.peek(&mut first).await? {
                1 if first[0] == HANDSHAKE_RECORD => TlsAcceptor::from(self.in_force()).accept(stream).await.map(Some),
                1 if first[0].is_ascii_uppercase() => refuse_plain(stream, limits).await.map(|()| None),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it began with something else than TLS")),
            }
        });
        match shaken.await {
            Ok(Ok(secure)) => secure,
            Ok(Err(cause)) => {
                tracing::debug!(%cause, "a connection did not become secure");
                None
            }
            Err(_) => {
                tracing::debug!("a connection did not become secure in time");
                None
            }
        }
    }
}

/// Whether both sides agreed on HTTP/2.
pub(super) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

/// Answers a request that came in the open. What it goes on to send is discarded, so that it can read the answer.
async fn refuse_plain(stream: TcpStream, limits: HttpLimits) -> io::Result<()> {
    let body = r#"{"error":"bad_request","message":"this port speaks TLS; write https:// in place of http://"}"#;
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut socket = Socket::new(stream, limits, Unread::unknown());
    socket.write_all(format!("{head}{body}").as_bytes()).await?;
    socket.shutdown().await
}

fn read(settings: &config::Tls) -> Result<ServerConfig> {
    let (certificate_file, key_file) = (&settings.certificate_file, &settings.key_file);
    let chain = read_certificates("tls.certificate_file", certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read_file("tls.key_file", key_file)?)
        .map_err(|_| unfit("tls.key_file", key_file, "it holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1, without a passphrase)"))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::internal("setting up TLS", cause))?;
    let builder = match &settings.client_ca_file {
        Some(file) => builder.with_client_cert_verifier(client_verifier(file, settings.client_certificates)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|cause| {
        if cause == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            let what = format!("it is not the key of the certificate in {}", certificate_file.display());
            return unfit("tls.key_file", key_file, &what);
        }
        if matches!(cause, rustls::Error::InvalidCertificate(_)) {
            return unfit("tls.certificate_file", certificate_file, "its first certificate cannot be read");
        }
        unfit("tls.key_file", key_file, &format!("its key cannot be used ({cause})"))
    })?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
    Ok(config)
}

fn client_verifier(file: &Path, wanted: ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut authorities = RootCertStore::empty();
    for certificate in read_certificates("tls.client_ca_file", file)? {
        let unreadable = |_| unfit("tls.client_ca_file", file, "one of its certificates cannot be read");
        authorities.add(certificate).map_err(unreadable)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = match wanted {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|cause| unfit("tls.client_ca_file", file, &format!("it cannot be used ({cause})")))
}

fn read_certificates(setting: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read_file(setting, file)?;
    let read: std::result::Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(unfit(setting, file, "it holds no certificate in PEM")),
    }
}

fn read_file(setting: &str, file: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(file).map(|found| found.len());
    if length.as_ref().is_ok_and(|length| *length > FILE_LIMIT_BYTES) {
        return Err(unfit(setting, file, "it is far too long for PEM"));
    }
    std::fs::read(file).map_err(|cause| unfit(setting, file, &format!("it cannot be read ({cause})")))
}

fn unfit(setting: &str, file: &Path, what: &str) -> Error {
    Error::conflict(format!("{setting}: {}: {what}", file.display()))
}

fn stamps(settings: &config::Tls) -> Vec<Stamp> {
    let files: [Option<&PathBuf>; 3] = [Some(&settings.certificate_file), Some(&settings.key_file), settings.client_ca_file.as_ref()];
    let stamp = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    };
    files.into_iter().flatten().map(stamp).collect()
}

#[cfg(test)]
#[path = "tls_tests.rs"]
pub(in crate::http) mod tests;
