//! TLS over real sockets, with certificates made for the test.

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::*;
use crate::http::listener::{Listener, Place};
use crate::http::router::Router;
use crate::http::router::tests::{App, router};
use crate::http::server::{Drained, Server};

/// An authority that a test trusts, and the directory in which it puts what it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    /// A certificate and its key in PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a new certificate for localhost and its key into the files.
    fn renew(&self) {
        let (certificate, key) = self.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(self.directory.path().join("cert.pem"), certificate).unwrap();
        std::fs::write(self.directory.path().join("key.pem"), key).unwrap();
    }

    fn settings(&self) -> config::Tls {
        config::Tls {
            certificate_file: self.directory.path().join("cert.pem"),
            key_file: self.directory.path().join("key.pem"),
            client_ca_file: None,
            client_certificates: ClientCertificates::Required,
            check_files_seconds: 60,
        }
    }

    /// A client that trusts this authority and speaks these versions of HTTP.
    fn client(&self, versions: &[&[u8]], certificate: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

pub(in crate::http) struct Running {
    address: SocketAddr,
    tls: Arc<Tls>,
    pub(in crate::http) router: Arc<Router<App>>,
    authority: Authority,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Drained>,
}

pub(in crate::http) type Secure = tokio_rustls::client::TlsStream<TcpStream>;

impl Running {
    pub(in crate::http) async fn start(limits: HttpLimits, change: impl FnOnce(&mut config::Tls)) -> Running {
        let authority = Authority::new();
        authority.renew();
        let mut settings = authority.settings();
        change(&mut settings);
        let tls = Arc::new(Tls::load(settings).unwrap());
        let listener = Listener::bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap().secured_by(&tls);
        let Place::Network(address) = listener.place() else { panic!("it is of the network") };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(limits);
        let server = tokio::spawn(Server::new(Arc::clone(&router), vec![listener]).run(async { drop(stopped.await) }));
        Running { address, tls, router, authority, stop, server }
    }

    pub(in crate::http) async fn connect(&self, versions: &[&[u8]]) -> io::Result<Secure> {
        self.connect_with(versions, None).await
    }

    async fn connect_with(&self, versions: &[&[u8]], certificate: Option<(String, String)>) -> io::Result<Secure> {
        let connector = self.authority.client(versions, certificate);
        within(connector.connect(ServerName::try_from("localhost").unwrap(), self.open().await)).await
    }

    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(in crate::http) async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        within(self.server).await.unwrap()
    }
}

pub(in crate::http) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("this takes far less")
}

/// What the server answers to who this connection is of, or why there is no answer.
async fn ask(stream: io::Result<Secure>) -> io::Result<String> {
    let mut stream = stream?;
    stream.write_all(b"GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

/// The certificate that the server shows to who comes now.
async fn shown(running: &Running) -> Vec<u8> {
    let stream = running.connect(&[HTTP1]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn http_1_is_served_over_tls_and_knows_that_it_is_secure() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    for versions in [&[HTTP1][..], &[]] {
        let text = ask(running.connect(versions).await).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("127.0.0.1 https://localhost"), "{text}");
    }
    assert!(running.connect(&[b"spdy/3"]).await.is_err(), "no version that both speak");
}

#[tokio::test]
async fn a_request_in_the_open_is_told_to_use_https_and_garbage_is_dropped() {
    let running = Running::start(HttpLimits { linger_timeout_ms: 100, ..HttpLimits::default() }, |_| {}).await;
    let mut stream = running.open().await;
    stream.write_all(b"GET /simple/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400") && text.contains("write https:// in place of http://"), "{text}");
    for garbage in [&b"\x00\x00\x00"[..], b"\x16\x03\x01\xff\xff garbage garbage", b"\xff", b"\x16\x03\x03\x00\x05hello"] {
        let mut stream = running.open().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        drop(within(stream.read_to_end(&mut rest)).await);
        assert!(!rest.starts_with(b"HTTP"));
    }
    assert!(ask(running.connect(&[HTTP1]).await).await.is_ok());
}

#[tokio::test]
async fn slow_handshakes_end_in_time_and_keep_nobody_else_waiting() {
    let running = Running::start(HttpLimits { handshake_timeout_ms: 300, ..HttpLimits::default() }, |_| {}).await;
    let mut slow = Vec::new();
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = running.open().await;
        stream.write_all(beginning).await.unwrap();
        slow.push(stream);
    }
    assert!(ask(running.connect(&[HTTP1]).await).await.is_ok());
    for mut stream in slow {
        let mut rest = Vec::new();
        drop(within(stream.read_to_end(&mut rest)).await);
        assert!(rest.is_empty());
    }
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn required_certificates_are_required_and_optional_ones_must_be_good_where_shown() {
    for wanted in [ClientCertificates::Required, ClientCertificates::Optional] {
        let authority = Authority::new();
        let ca = authority.directory.path().join("ca.pem");
        let running = Running::start(HttpLimits::default(), |settings| {
            settings.client_ca_file = Some(ca);
            settings.client_certificates = wanted;
        })
        .await;
        let (good, foreign) = (
            authority.sign("alice", ExtendedKeyUsagePurpose::ClientAuth),
            Authority::new().sign("alice", ExtendedKeyUsagePurpose::ClientAuth),
        );
        assert!(ask(running.connect_with(&[HTTP1], Some(good)).await).await.is_ok());
        assert!(ask(running.connect_with(&[HTTP1], Some(foreign)).await).await.is_err());
        assert_eq!(ask(running.connect(&[HTTP1]).await).await.is_ok(), wanted == ClientCertificates::Optional);
    }
}

#[tokio::test]
async fn changed_files_are_read_again_and_broken_ones_leave_the_old_pair_in_force() {
    let running = Running::start(HttpLimits::default(), |_| {}).await;
    let first = shown(&running).await;
    assert!(!running.tls.reload_when_changed().unwrap());
    let open = running.connect(&[HTTP1]).await;
    running.authority.renew();
    assert!(running.tls.reload_when_changed().unwrap());
    let second = shown(&running).await;
    assert_ne!(first, second);
    assert!(ask(open).await.is_ok(), "a connection from before goes on");
    std::fs::write(running.authority.directory.path().join("key.pem"), "half a file").unwrap();
    let refused = running.tls.reload_when_changed().unwrap_err();
    assert!(refused.message().contains("key.pem") && !refused.message().contains("half"), "{refused}");
    assert!(!running.tls.reload_when_changed().unwrap(), "it is told once");
    assert_eq!(shown(&running).await, second);
}

#[test]
fn files_that_cannot_be_served_with_are_named_in_words_without_what_is_in_them() {
    let authority = Authority::new();
    authority.renew();
    let (certificate, key) = (authority.directory.path().join("cert.pem"), authority.directory.path().join("key.pem"));
    let (good_certificate, good_key) = (std::fs::read(&certificate).unwrap(), std::fs::read_to_string(&key).unwrap());
    let refused = || Tls::load(authority.settings()).unwrap_err().message().to_owned();
    let secret = good_key.lines().nth(1).unwrap();
    for (broken, words) in [
        (authority.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth).1, "is not the key of the certificate"),
        (good_key.replace("-----END", "----END"), "no private key"),
        (good_key.replace("BEGIN PRIVATE", "BEGIN SECRET"), "no private key"),
        (String::new(), "no private key"),
    ] {
        std::fs::write(&key, broken).unwrap();
        let said = refused();
        assert!(said.starts_with("tls.key_file: ") && said.contains(words) && !said.contains(secret), "{said}");
    }
    std::fs::write(&key, &good_key).unwrap();
    for broken in [&b""[..], b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good_key.as_bytes()] {
        std::fs::write(&certificate, broken).unwrap();
        let said = refused();
        assert!(said.starts_with("tls.certificate_file: ") && !said.contains(secret), "{said}");
    }
    std::fs::remove_file(&certificate).unwrap();
    assert!(refused().contains("cannot be read (No such file"));
    std::fs::write(&certificate, good_certificate).unwrap();
    assert!(Tls::load(authority.settings()).is_ok());
}
