//! What clients should not send. Invariant: each is answered 4xx with words that say what to do; nothing is stored, nothing of
//! it reaches the log, and the server goes on.

use std::io::Write as _;
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::support::{Daemon, Package, Response, TestApp, blob_path, digest_of, text, version_path};

const DRAFTS: &str = "/v1/repos/main/packages/versions/drafts";

/// Asserts a refusal of the client with words and without our insides.
#[track_caller]
fn is_the_clients_fault(answer: &Response) {
    assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
    let body = answer.json();
    let message = body["message"].as_str().unwrap_or_else(|| panic!("no message: {body}"));
    assert!(message.len() > 15 && message.len() < 1000, "{message:?}");
    for inside in ["rusqlite", "SQLITE", "sqlite", "panicked", "src/", "Utf8Error", "serde", "os error", "/tmp"] {
        assert!(!message.contains(inside), "the message tells of our insides: {message}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_of_the_right_shape_is_refused_by_name() {
    let app = TestApp::new().await;
    let deep = format!("{{\"packageType\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "empty"),
        (b"{".to_vec(), "middle"),
        (b"not json".to_vec(), "line 1"),
        (b"[]".to_vec(), "object"),
        (b"\xff\xfe".to_vec(), "UTF-8"),
        (b"{\"packageType\":\"generic\",\"packageName\":\"a\xc3\x28\",\"version\":\"1\"}".to_vec(), "UTF-8"),
        (deep.into_bytes(), "packageType"),
        (br#"{"packageType":"generic","packageName":"a","version":"1","owner":"me"}"#.to_vec(), "owner"),
        (br#"{"packageType":"generic","packageName":"a"}"#.to_vec(), "version"),
        (br#"{"packageType":"generic","packageName":7,"version":"1"}"#.to_vec(), "packageName"),
        (br#"{"packageType":"generic","packageName":"a","version":"1","version":"2"}"#.to_vec(), "twice"),
        (br#"{"packageType":"GENERIC!","packageName":"a","version":"1"}"#.to_vec(), "packageType"),
        (br#"{"packageType":"generic","packageName":"..","version":"1"}"#.to_vec(), "packageName"),
        (br#"{"packageType":"generic","packageName":"a/b","version":"1"}"#.to_vec(), "packageName"),
        (br#"{"packageType":"generic","packageName":"a\u0000b","version":"1"}"#.to_vec(), "control"),
        (br#"{"packageType":"generic","packageName":"a","version":"1\n2"}"#.to_vec(), "version"),
        (br#"{"packageType":"generic","packageName":"","version":"1"}"#.to_vec(), "packageName"),
        (br#"{"packageType":"pypi","packageName":"-a-","version":"1"}"#.to_vec(), "PyPI"),
        (br#"{"packageType":"pypi","packageName":"a","version":"one"}"#.to_vec(), "PEP 440"),
        (br#"{"packageType":"pypi","packageNamespace":"x","packageName":"a","version":"1"}"#.to_vec(), "packageNamespace"),
        (format!(r#"{{"packageType":"generic","packageName":"{}","version":"1"}}"#, "a".repeat(215)).into_bytes(), "214"),
    ];
    let before = app.everything();
    for (body, words) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
        let answer = app.call("POST", DRAFTS).token(&app.admin).header("content-type", "application/json").body(body).send().await;
        is_the_clients_fault(&answer);
        assert_eq!(answer.status, 400, "{shown}");
        let message = text(&answer.json(), "message");
        assert!(message.contains(words), "{shown}: {message:?} does not say {words:?}");
    }
    assert_eq!(app.everything(), before);
}

#[tokio::test]
async fn a_manifest_that_is_no_object_is_refused() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "[]", "7", "{", "{}x", "{\"a\":\u{1}}", "{\"a\":NaN}", &deep] {
        let answer =
            app.call("PUT", &format!("{}/manifest", version_path("main", &id))).token(&app.admin).body(body.to_owned()).send().await;
        is_the_clients_fault(&answer);
        assert_eq!(answer.status, 400, "{}", &body[..body.len().min(40)]);
    }
    assert_eq!(app.ask("SELECT count(*) FROM manifests"), ["0"]);
}

#[tokio::test]
async fn ten_megabytes_of_json_are_refused_by_their_announcement() {
    let app = TestApp::new().await;
    let before = app.everything();
    let big = format!("{{\"packageName\":\"{}\"}}", "a".repeat(10 << 20));
    for path in [DRAFTS, "/v1/auth/tokens", "/v1/repos"] {
        let refusal = app.call("POST", path).token(&app.admin).body(big.clone()).send().await.refused(413, "too_large");
        assert!(refusal["limit"].is_number(), "{refusal}");
    }
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let manifest = format!("{{\"a\":\"{}\"}}", "a".repeat(1 << 20));
    app.call("PUT", &format!("{}/manifest", version_path("main", &id)))
        .token(&app.admin)
        .body(manifest)
        .send()
        .await
        .refused(413, "too_large");
    assert!(app.ask("SELECT count(*) FROM manifests") == ["0"] && before.len() < app.everything().len());
}

#[tokio::test]
async fn an_entry_that_climbs_hides_or_lies_is_refused_and_none_of_its_list_is_stored() {
    let app = TestApp::new().await;
    let digest = app.upload(&app.admin, "main", b"bytes").await;
    let draft = json!({"packageType": "generic", "packageName": "demo", "version": "1.0"});
    let id = text(&app.post(&app.admin, DRAFTS, draft).await.expect(201).json(), "versionId");
    let path = format!("{}/entries", version_path("main", &id));
    let good = json!({"relativePath": "good", "blobDigest": digest, "sizeBytes": 5});
    let entry = |relative: &str| json!([good, {"relativePath": relative, "blobDigest": digest, "sizeBytes": 5}]);
    let long = "a/".repeat(256) + "a";
    let mut cases: Vec<(Value, u16)> =
        ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a/", "./a", "a\\b", "a\u{0}b", "a\nb", "a\u{1b}b", &long]
            .iter()
            .map(|relative| (entry(relative), 400))
            .collect();
    cases.extend([
        (json!([{"relativePath": "Read.me", "blobDigest": digest, "sizeBytes": 5}, {"relativePath": "README.ME".replace("README", "READ"), "blobDigest": digest, "sizeBytes": 5}]), 400),
        (json!([good, {"relativePath": "good", "blobDigest": digest, "sizeBytes": 5}]), 400),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": 6}]), 409),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": -1}]), 400),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": 5, "checksumSha1": "0".repeat(40)}]), 409),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": 5, "checksumSha256": "0".repeat(64)}]), 409),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": 5, "checksumSha1": "xyz"}]), 400),
        (json!([good, {"relativePath": "b", "blobDigest": digest_of(b"absent"), "sizeBytes": 6}]), 404),
        (json!([good, {"relativePath": "b", "blobDigest": "sha256:zz", "sizeBytes": 5}]), 400),
        (json!([good, {"relativePath": "b", "blobDigest": "md5:00", "sizeBytes": 5}]), 400),
        (json!([good, {"relativePath": "b", "blobDigest": digest, "sizeBytes": 5, "mode": "0777"}]), 400),
        (json!([]), 400),
        (json!({"0": good}), 400),
    ]);
    let before = app.ask("SELECT count(*) FROM entries");
    for (entries, status) in cases {
        let answer = app.post(&app.admin, &path, json!({"entries": entries})).await;
        is_the_clients_fault(&answer);
        assert_eq!(answer.status, status, "{entries}: {}", answer.text());
        assert_eq!(app.ask("SELECT count(*) FROM entries"), before, "{entries} was stored in part");
    }
    app.post(&app.admin, &path, json!({"entries": [good]})).await.expect(200);
    let shout = json!({"entries": [{"relativePath": "GOOD", "blobDigest": digest, "sizeBytes": 5}]});
    is_the_clients_fault(&app.post(&app.admin, &path, shout).await);
}

#[tokio::test]
async fn a_hundred_thousand_entries_are_refused_whole() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0").without_files()).await;
    let digest = app.upload(&app.admin, "main", b"bytes").await;
    let entries: Vec<Value> =
        (0..100_000).map(|number| json!({"relativePath": format!("f{number}"), "blobDigest": digest, "sizeBytes": 5})).collect();
    let answer = app.post(&app.admin, &format!("{}/entries", version_path("main", &id)), json!({"entries": entries})).await;
    answer.refused(413, "too_large");
    assert_eq!(app.ask("SELECT count(*) FROM entries"), ["0"]);
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_are_refused_and_forgotten() {
    let app = TestApp::new().await;
    let other = digest_of(b"other");
    let refusal =
        app.call("PUT", &blob_path("main", &other)).token(&app.admin).body("bytes").send().await.refused(409, "upload_verification_failed");
    assert!(refusal.to_string().contains(&digest_of(b"bytes")) && refusal.to_string().contains(&other), "{refusal}");
    for (begin, digest) in [
        (json!({"expectedDigest": other}), digest_of(b"bytes")),
        (json!({"expectedLength": 4}), digest_of(b"bytes")),
        (json!({}), other.clone()),
    ] {
        let upload = text(&app.post(&app.admin, "/v1/repos/main/uploads", begin.clone()).await.expect(201).json(), "uploadId");
        let path = format!("/v1/repos/main/uploads/{upload}");
        let sent = app.call("PATCH", &path).token(&app.admin).header("content-range", "bytes 0-4/*").body("bytes").send().await;
        if sent.status >= 400 {
            is_the_clients_fault(&sent);
            app.call("DELETE", &path).token(&app.admin).send().await;
            continue;
        }
        let commit = app.post(&app.admin, &format!("{path}/commit"), json!({"digest": digest})).await;
        commit.refused(409, "upload_verification_failed");
        app.post(&app.admin, &format!("{path}/commit"), json!({"digest": digest_of(b"bytes")})).await.refused(409, "conflict");
    }
    assert_eq!(app.ask("SELECT count(*) FROM blobs"), ["0"]);
    assert_eq!(std::fs::read_dir(app.path().join("staging")).unwrap().count(), 0, "the bytes are still there");
}

#[tokio::test]
async fn a_chunk_at_the_wrong_place_is_refused_with_the_right_one() {
    let app = TestApp::new().await;
    let upload = text(&app.post(&app.admin, "/v1/repos/main/uploads", json!({})).await.expect(201).json(), "uploadId");
    let path = format!("/v1/repos/main/uploads/{upload}");
    let send = async |range: &str| app.call("PATCH", &path).token(&app.admin).header("content-range", range).body("bytes").send().await;
    assert!(send("bytes 0-4/*").await.status < 300);
    for range in ["bytes 0-4/*", "bytes 6-10/*", "bytes 5-8/*", "bytes 9-5/*", "lines 5-9/*", "bytes x-y/*", ""] {
        is_the_clients_fault(&send(range).await);
    }
    let stands = app.get(&app.admin, &path).await.expect(200).json();
    assert!(stands.to_string().contains('5'), "{stands}");
    assert!(send("bytes 5-9/*").await.status < 300);
    app.post(&app.admin, &format!("{path}/commit"), json!({"digest": digest_of(b"bytesbytes")})).await.expect(200);
}

#[tokio::test]
async fn an_expired_upload_is_refused_in_words() {
    let app = TestApp::new().await;
    let upload = text(&app.post(&app.admin, "/v1/repos/main/uploads", json!({})).await.expect(201).json(), "uploadId");
    app.clock.advance_ms(25 * 3_600_000);
    let path = format!("/v1/repos/main/uploads/{upload}");
    let late = app.call("PATCH", &path).token(&app.admin).header("content-range", "bytes 0-4/*").body("bytes").send().await;
    late.refused(409, "conflict");
    app.post(&app.admin, &format!("{path}/commit"), json!({"digest": digest_of(b"")})).await.refused(409, "conflict");
}

#[tokio::test]
async fn ids_keys_and_queries_that_no_list_gave_out_are_refused() {
    let app = TestApp::new().await;
    for (path, status) in [
        ("/v1/repos/main/packages/versions/7", 400),
        ("/v1/repos/main/packages/versions/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", 404),
        ("/v1/repos/main/blobs/sha256:short", 400),
        ("/v1/repos/main/blobs/md5:00", 400),
        ("/v1/repos/main/packages/versions/%ff", 400),
        ("/v1/repos/main/packages/versions/a%00b", 400),
        ("/v1/repos/NOT%20A%20KEY", 404),
        ("/v1/repos/..%2fmain", 404),
        ("/v1/repos/main/packages?limit=0", 400),
        ("/v1/repos/main/packages?limit=201", 400),
        ("/v1/repos/main/packages?limit=-1", 400),
        ("/v1/repos/main/packages?limit=1e3", 400),
        ("/v1/repos/main/packages?colour=red", 400),
        ("/v1/repos/main/packages?cursor=nonsense", 400),
        ("/v1/repos/main/packages?limit=1&limit=2", 400),
        ("/v1/repos/main/search/packages?q=", 400),
        ("/v1/repos/main/search/packages", 400),
        ("/v1/repos/main/search/packages?q=%00", 400),
        ("/v1/repos/main/quarantine?status=open", 400),
        ("/v1/repos/main/quarantine?cursor=x", 400),
        ("/v1/audit?limit=9999", 400),
        ("/v1/admin/jobs?state=lost", 400),
        ("/v1/admin/outbox?state=lost", 400),
    ] {
        let answer = app.get(&app.admin, path).await;
        is_the_clients_fault(&answer);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    for words in ["\"", "*", "a AND", "NEAR(", "col:x", "-x", "'; DROP TABLE versions; --", "%", "_", "(((("] {
        let query = percent_encoding::utf8_percent_encode(words, percent_encoding::NON_ALPHANUMERIC);
        let answer = app.get(&app.admin, &format!("/v1/repos/main/search/packages?q={query}")).await;
        assert!(answer.status == 200 || answer.status == 400, "{words}: {} {}", answer.status, answer.text());
    }
}

/// A daemon that has little patience.
pub fn impatient(directory: &std::path::Path) -> Daemon {
    let settings = [
        ("ARTIFORTRESS_HTTP__HEADER_READ_TIMEOUT_MS", "300"),
        ("ARTIFORTRESS_HTTP__BODY_IDLE_TIMEOUT_MS", "300"),
        ("ARTIFORTRESS_HTTP__UPLOAD_LIMIT_BYTES", "100000"),
        ("ARTIFORTRESS_LOG__LEVEL", "debug"),
    ];
    Daemon::start(directory, &settings)
}

/// The head of a request with a body of this length.
pub fn request(method: &str, path: &str, token: &str, length: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

#[test]
fn slow_broken_and_oversized_requests_leave_nothing_and_the_server_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = impatient(directory.path());
    let admin = daemon.admin();
    let path = blob_path("main", &digest_of(b"never whole"));
    // A body that stops: 408 within the window, although the client stays.
    let answer = daemon.raw((request("PUT", &path, &admin, "11") + "never").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A head that stops: the connection ends.
    let answer = daemon.raw(b"GET /v1/repos HTTP/1.1\r\nHost: reg");
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    // A client that leaves in the middle.
    for _ in 0..20 {
        let mut stream = daemon.connect();
        stream.write_all((request("PUT", &path, &admin, "11") + "nev").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    // Too large by announcement, and by what comes without one.
    let announced = daemon.raw(request("PUT", &path, &admin, "999999999999").as_bytes());
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    let chunked = format!(
        "PUT {path} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {admin}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let mut bytes = chunked.into_bytes();
    for _ in 0..20 {
        bytes.extend_from_slice(b"2710\r\n");
        bytes.extend_from_slice(&[b'x'; 10_000]);
        bytes.extend_from_slice(b"\r\n");
    }
    let answer = daemon.raw(&bytes);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let nothing_left = || {
        let staging = std::fs::read_dir(directory.path().join("data/staging")).unwrap().count();
        let blobs = walk(&directory.path().join("data/blobs"));
        (staging, blobs)
    };
    // The daemon notices a broken connection in its own time.
    for _ in 0..100 {
        if nothing_left() == (0, 0) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(nothing_left(), (0, 0));
    assert_eq!(daemon.call(&admin, "GET", "/v1/repos/main", b"").unwrap().status, 200);
}

/// How many files lie under a directory.
pub fn walk(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

#[test]
fn what_is_no_http_is_refused_and_no_secret_reaches_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = impatient(directory.path());
    let admin = daemon.admin();
    let mut noise = vec![b"\x16\x03\x01\x02\x00".to_vec(), vec![0; 1000], b"GET\r\n\r\n".to_vec(), b"GET / HTTP/9.9\r\n\r\n".to_vec()];
    noise.push(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(100_000)).into_bytes());
    noise.push(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "z".repeat(100_000)).into_bytes());
    noise.push(b"POST /v1/repos HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_vec());
    noise.push(b"POST /v1/repos HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n".to_vec());
    for bytes in noise {
        let answer = daemon.raw(&bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:?}: {answer}", &bytes[..bytes.len().min(40)]);
    }
    let issued =
        daemon.post(&admin, "/v1/auth/tokens", &json!({"subject": "ann", "scopes": ["repo:main:read"], "note": "passphrase9921"})).unwrap();
    let token = text(&issued.json(), "token");
    let bodies = [r#"{"packageType":"generic","packageName":"passphrase9921","version":7}"#, r#"{"passphrase9921":1}"#, "passphrase9921"];
    for body in bodies {
        assert_eq!(daemon.call(&admin, "POST", DRAFTS, body.as_bytes()).unwrap().status, 400);
    }
    let mistyped = format!("{}{}", &token[..52], if token.ends_with('x') { 'y' } else { 'x' });
    assert_eq!(daemon.call(&mistyped, "GET", "/v1/repos/main", b"").unwrap().status, 401);
    assert_eq!(daemon.call(&token, "GET", "/v1/repos/main", b"").unwrap().status, 200);
    let asked = daemon.raw(request("GET", "/v1/repos/main/packages?passphrase9921=1", &token, "0").as_bytes());
    assert!(asked.starts_with("HTTP/1.1 400"), "{asked}");
    let searched = daemon.call(&token, "GET", "/v1/repos/main/search/packages?q=passphrase9921", b"").unwrap();
    assert_eq!(searched.status, 200);
    let log = daemon.log();
    assert!(log.contains("artifortress::access"), "nothing was logged at all");
    for secret in [admin.as_str(), token.as_str(), &token[4..40], "passphrase9921"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
