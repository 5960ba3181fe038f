//! Where the program listens and how commands reach it, with the real binary: sockets in the file system, systemd, TLS, proxies.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::support::Daemon;
use super::support::activation::Listening;

fn typed(directory: &Path, arguments: &[&str]) -> Output {
    Daemon::command(directory, arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs curl; what it printed.
fn curl(arguments: &[&str]) -> String {
    said(&Command::new("curl").args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).output().unwrap())
}

/// Puts a certificate for localhost, its key and its authority into a directory.
fn certify(directory: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "an authority of this test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, text) in [("ca.pem", issuer.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

#[test]
fn a_socket_in_the_file_system_serves_commands_and_is_replaced_when_left_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let listen = format!("unix:{}", path.display());
    let mode = [("ARTIFORTRESS_HTTP__UNIX_SOCKET_MODE", "0640")];
    let daemon = Listening::start(directory.path(), &[&listen], &mode);
    assert_eq!(daemon.address(), listen);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    for arguments in [&["status"][..], &["status", "--server", &listen], &["doctor", "--json"]] {
        let output = typed(directory.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    let output = typed(directory.path(), &["client-config", "pip"]);
    assert!(said(&output).contains("give --server with the address that they use"), "{}", said(&output));
    let other = tempfile::tempdir().unwrap();
    let refused = Listening::try_start(other.path(), &[&listen], &[]).err().unwrap();
    assert!(refused.contains("another process listens on unix:"), "{refused}");
    drop(daemon);
    assert!(path.exists(), "it was killed");
    let daemon = Listening::start(directory.path(), &[&listen], &[]);
    assert!(curl(&["--unix-socket", path.to_str().unwrap(), "http://localhost/health/ready"]).contains("ready"));
    daemon.stop();
    assert!(!path.exists());
    std::fs::write(&path, "somebody's file").unwrap();
    let refused = Listening::try_start(directory.path(), &[&listen], &[]).err().unwrap();
    assert!(refused.contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's file");
}

#[test]
fn systemds_own_tool_hands_over_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let mut program = Command::new("systemd-socket-activate");
    program.arg("--listen").arg(&path).args(["--fdname=http", env!("CARGO_BIN_EXE_artifortress"), "serve"]).stdin(Stdio::null());
    let asked = std::thread::spawn({
        let path = path.clone();
        move || {
            // The tool starts the program when somebody comes.
            while std::os::unix::net::UnixStream::connect(&path).is_err() {
                std::thread::yield_now();
            }
            curl(&["--unix-socket", path.to_str().unwrap(), "http://localhost/health/live"])
        }
    });
    let daemon = Listening::begin(program, directory.path(), &[]).unwrap();
    assert_eq!(daemon.said, [format!("listening on unix:{}", path.display())]);
    assert!(asked.join().unwrap().contains("live"));
    assert!(typed(directory.path(), &["status"]).status.success());
    daemon.stop();
    assert!(path.exists(), "who made the socket removes it");
}

#[test]
fn tls_serves_both_versions_to_clients_and_commands_and_renews_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let settings = [
        ("ARTIFORTRESS_TLS__CERTIFICATE_FILE", certificate.as_str()),
        ("ARTIFORTRESS_TLS__KEY_FILE", &key),
        ("ARTIFORTRESS_TLS__CHECK_FILES_SECONDS", "1"),
    ];
    let daemon = Listening::start(directory.path(), &["127.0.0.1:0", "plain:127.0.0.1:0"], &settings);
    let address = daemon.address().replace("127.0.0.1", "localhost");
    assert!(address.starts_with("https://") && daemon.said[1].starts_with("listening on http://"), "{:?}", daemon.said);
    let live = format!("{address}/health/live");
    for (version, expected) in [("--http2", "2"), ("--http1.1", "1.1")] {
        assert_eq!(curl(&[version, "--cacert", &ca, "--output", "/dev/null", "--write-out", "%{http_version}", &live]), expected);
    }
    assert!(curl(&[&live.replace("https", "http")]).contains("write https:// in place of http://"));
    let admin = daemon.admin();
    let big = file("big.bin");
    std::fs::write(&big, vec![7_u8; 5_000_000]).unwrap();
    let (authorization, blob) = (format!("Authorization: Bearer {admin}"), format!("{address}/files/main/big/1.0/big.bin"));
    let sent = curl(&["--http2", "--cacert", &ca, "-H", &authorization, "-T", &big, &format!("{blob}?publish")]);
    assert!(sent.contains("published"), "{sent}");
    curl(&["--http2", "--cacert", &ca, "-H", &authorization, "-o", &file("back.bin"), &blob]);
    assert_eq!(std::fs::read(file("back.bin")).unwrap(), std::fs::read(&big).unwrap());
    assert!(typed(directory.path(), &["status"]).status.success(), "by the address in the open, found through the data directory");
    let token = file("data/admin-token");
    let asked = |ca: &[&str]| typed(directory.path(), &[&["status", "--server", &address, "--token-file", &token], ca].concat());
    assert!(asked(&["--ca-file", &ca]).status.success());
    let refused = asked(&[]);
    assert!(!refused.status.success() && said(&refused).contains("--ca-file"), "{}", said(&refused));
    assert!(said(&asked(&["--ca-file", &key])).contains("no certificate in PEM"));
    // Another authority, another certificate: the server shows it without a restart.
    certify(directory.path());
    while !asked(&["--ca-file", &ca]).status.success() {
        std::thread::yield_now();
    }
    daemon.stop();
    certify(directory.path());
    let fresh = std::fs::read(&key).unwrap();
    certify(directory.path());
    std::fs::write(&key, fresh).unwrap();
    let refused = Listening::try_start(directory.path(), &["127.0.0.1:0"], &settings).err().unwrap();
    assert!(refused.contains("tls.key_file") && refused.contains("not the key of the certificate"), "{refused}");
}

#[test]
fn only_a_proxy_that_is_named_says_how_clients_reach_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let headers = ["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-Host: packages.example"];
    for (settings, expected) in [
        (&[][..], "http://127.0.0.1:"),
        (&[("ARTIFORTRESS_HTTP__TRUSTED_PROXIES", "10.0.0.0/8")], "http://127.0.0.1:"),
        (&[("ARTIFORTRESS_HTTP__TRUSTED_PROXIES", "127.0.0.0/8")], "https://packages.example/cargo/main"),
        (
            &[("ARTIFORTRESS_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"), ("ARTIFORTRESS_PUBLIC_URL", "https://public.example/")],
            "https://public.example/cargo/main",
        ),
    ] {
        let daemon = Listening::start(directory.path(), &["127.0.0.1:0"], settings);
        let authorization = format!("Authorization: Bearer {}", daemon.admin());
        let address = format!("{}/cargo/main/index/config.json", daemon.address());
        let answered = curl(&[&headers[..], &["-H", &authorization, &address]].concat());
        assert!(answered.contains(&format!("\"api\":\"{expected}")), "{settings:?}: {answered}");
        daemon.stop();
    }
}
