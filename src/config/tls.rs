//! `[tls]`: the certificate. Invariant: a certificate has its key; neither is ever a value of a setting, only a file.

use std::path::PathBuf;

use serde::Deserialize;

use super::reader::Reader;
use super::{Environment, credential};

/// The name of the key among the credentials of a service (`LoadCredential=`), where no file is named.
const KEY_CREDENTIAL: &str = "tls-key";

/// `[tls]`: the certificate, and what clients must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate in PEM, then those between it and its authority.
    pub certificate_file: PathBuf,
    /// The key of the certificate in PEM.
    pub key_file: PathBuf,
    /// The authorities in PEM whose certificates clients show; without it, clients are asked for none.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client may come without one.
    pub client_certificates: ClientCertificates,
    /// Seconds between looks at the files: when they changed, they are read again.
    pub check_files_seconds: u64,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// No connection without one.
    Required,
    /// One that is shown must be good.
    Optional,
}

impl Tls {
    pub(super) fn read(reader: &mut Reader, variables: &Environment) -> Option<Tls> {
        let certificate_file: Option<PathBuf> = reader.find("tls.certificate_file");
        let key_file: Option<PathBuf> = reader.find("tls.key_file");
        let client_ca_file: Option<PathBuf> = reader.find("tls.client_ca_file");
        let client_certificates = reader.find("tls.client_certificates");
        let check_files_seconds = reader.number("tls.check_files_seconds", 60, &(1..=86_400));
        if client_certificates.is_some() && client_ca_file.is_none() {
            reader.fault("tls.client_certificates", "it needs tls.client_ca_file, the authorities whose certificates are good");
        }
        let Some(certificate_file) = certificate_file else {
            for (key, is_given) in [("tls.key_file", key_file.is_some()), ("tls.client_ca_file", client_ca_file.is_some())] {
                if is_given {
                    reader.fault(key, "it needs tls.certificate_file: without a certificate nothing is served over TLS");
                }
            }
            return None;
        };
        let Some(key_file) = key_file.or_else(|| credential(variables, KEY_CREDENTIAL)) else {
            let what = "a certificate needs its key: give tls.key_file, or LoadCredential=tls-key:FILE in the unit";
            reader.fault("tls.certificate_file", what);
            return None;
        };
        let client_certificates = client_certificates.unwrap_or(ClientCertificates::Required);
        Some(Tls { certificate_file, key_file, client_ca_file, client_certificates, check_files_seconds })
    }
}
