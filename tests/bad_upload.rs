//! What no client of a protocol should send. Invariant: each form and each file is refused 4xx with words, nothing of it is kept,
//! in the catalogue or on the disk, and what is sent properly afterwards is taken.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::path::Path;

use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::bad_input::{impatient, request, walk};
use crate::support::{Response, TestApp, UploadForm, wheel};

const MANY: usize = 10_000;

/// Everything that an upload could leave behind, the audit trail apart: a digest that does not hold is audited.
fn kept(app: &TestApp) -> (Vec<String>, usize, usize) {
    let rows = app.everything().into_iter().filter(|row| !row.starts_with("audit: ")).collect();
    (rows, walk(&app.path().join("blobs")), walk(&app.path().join("staging")))
}

/// Asserts a refusal in words without our insides.
#[track_caller]
fn refused(answer: &Response, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    let body = answer.json();
    let detail = body["detail"].as_str().unwrap_or_else(|| panic!("{what}: no words in {body}"));
    assert!(detail.len() > 15 && detail.len() < 1000, "{what}: {detail:?}");
    assert_eq!((body["status"].as_u64(), answer.header("content-type")), (Some(u64::from(status)), "application/problem+json"), "{what}");
    for inside in ["rusqlite", "sqlite", "panicked", "src/", "Utf8Error", "multer", "ZipError", "os error", "/tmp", "staging"] {
        assert!(!answer.text().contains(inside), "{what}: the refusal tells of our insides: {}", answer.text());
    }
}

fn demo() -> (String, Vec<u8>) {
    wheel("demo", "1.0", "Summary: a demonstration", "Text.", "NAME = 'demo'\n")
}

fn form() -> UploadForm {
    UploadForm::of("demo", "1.0", &demo())
}

/// A wheel of these entries, compressed.
fn archive(entries: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    ("demo-1.0-py3-none-any.whl".to_owned(), writer.finish().unwrap().into_inner())
}

/// An application that takes at most a megabyte at once.
async fn small() -> TestApp {
    TestApp::with(|config| config.http.upload_limit_bytes = 1_000_000).await
}

/// Sends each form, expects its status, and sees that nothing stays; then a good one is taken.
async fn none_is_kept(cases: Vec<(&str, u16, UploadForm)>) {
    let app = small().await;
    let before = kept(&app);
    for (what, status, form) in cases {
        refused(&app.send_form(&app.admin, &form).await, status, what);
        assert_eq!(kept(&app), before, "{what}: something was kept");
    }
    assert_eq!(app.send_form(&app.admin, &form()).await.expect(200).json()["state"], "published");
}

#[tokio::test]
async fn a_form_that_is_cut_off_anywhere_is_refused_and_leaves_nothing() {
    let app = small().await;
    let before = kept(&app);
    let whole = form().bytes();
    let closing = whole.len() - b"--b--\r\n".len();
    for cut in (0..closing).step_by(37).chain(closing - 12..closing + 4) {
        refused(&app.send_form_bytes(&app.admin, "b", whole[..cut].to_vec()).await, 400, &format!("cut at {cut} of {}", whole.len()));
        assert_eq!(kept(&app), before, "cut at {cut}");
    }
    app.send_form(&app.admin, &form()).await.expect(200);
}

#[tokio::test]
async fn a_form_without_its_parts_or_with_too_much_of_them_is_refused() {
    let mut without_file = form();
    without_file.file = None;
    let mut many = form();
    many.fields.extend((0..MANY).map(|number| (format!("field{number}").into_bytes(), b"x".to_vec())));
    let mut many_known = form();
    many_known.fields.extend((0..MANY).map(|_| (b"classifiers".to_vec(), b"Topic :: Security".to_vec())));
    let other = |boundary: &str| UploadForm { boundary: boundary.to_owned(), ..form() };
    let mut huge = demo();
    huge.1 = vec![b'x'; 1_000_001];
    none_is_kept(vec![
        ("no name", 400, form().without("name")),
        ("no version", 400, form().without("version")),
        ("an empty name", 400, form().saying("name", "")),
        ("an empty version", 400, form().saying("version", " ")),
        ("no file", 400, without_file),
        ("a file without a name", 400, form().named("")),
        ("another boundary", 400, other("c")),
        ("no boundary", 400, other("")),
        ("a boundary that begins alike", 400, other("b-b")),
        ("a large summary", 413, form().with("summary", vec![b's'; 200_000])),
        ("a large signature", 413, form().with("gpg_signature", vec![b's'; 200_000])),
        ("ten thousand fields", 413, many),
        ("ten thousand known fields", 413, many_known),
        ("a large file", 413, UploadForm::of("demo", "1.0", &huge)),
    ])
    .await;
}

#[tokio::test]
async fn a_form_that_is_not_what_it_says_is_refused() {
    let (name, _) = demo();
    let other = wheel("other", "1.0", "", "", "");
    let in_demo = |file: (String, Vec<u8>)| UploadForm::of("demo", "1.0", &(name.clone(), file.1));
    let cases: Vec<(&str, u16, UploadForm)> = vec![
        ("another name", 400, form().saying("name", "other")),
        ("another version", 400, form().saying("version", "1.1")),
        ("another file name", 400, form().named("other-1.0-py3-none-any.whl")),
        ("another version in the file name", 400, form().named("demo-2.0-py3-none-any.whl")),
        ("another name in the wheel", 400, in_demo(other)),
        ("another version in the wheel", 400, in_demo(wheel("demo", "2.0", "", "", ""))),
        ("two names", 400, form().with("name", "other")),
        ("another sha256", 409, form().saying("sha256_digest", "0".repeat(64))),
        ("a sha256 that is none", 400, form().saying("sha256_digest", "zz")),
        ("another md5", 409, form().with("md5_digest", "0".repeat(32))),
        ("NUL in the name", 400, form().saying("name", b"de\0mo")),
        ("NUL in the version", 400, form().saying("version", b"1.0\0")),
        ("NUL in the digest", 400, form().saying("sha256_digest", b"\0")),
        ("a version that is none", 400, form().saying("version", "one")),
        ("a name that is none", 400, form().saying("name", "../demo")),
        ("a name that is no UTF-8", 400, form().saying("name", b"d\xffmo")),
        ("a summary that is no UTF-8", 400, form().with("summary", b"\xc3\x28")),
        ("a description that is no UTF-8", 400, form().with("description", b"\xff\xfe and more")),
        ("another action", 400, form().saying(":action", "remove_pkg")),
        ("another protocol", 400, form().saying("protocol_version", "9")),
        ("a wheel that is called an sdist", 400, form().with("filetype", "sdist")),
    ];
    none_is_kept(cases).await;
}

#[tokio::test]
async fn a_file_name_that_would_lead_elsewhere_is_refused() {
    let long = format!("demo-1.0-{}-none-any.whl", "p".repeat(250));
    let names: Vec<&[u8]> = vec![
        b"../demo-1.0-py3-none-any.whl",
        b"../../../../etc/demo-1.0-py3-none-any.whl",
        b"/demo-1.0-py3-none-any.whl",
        b"a/demo-1.0-py3-none-any.whl",
        b"..\\demo-1.0-py3-none-any.whl",
        b"C:\\demo-1.0-py3-none-any.whl",
        b"..%2fdemo-1.0-py3-none-any.whl",
        b"%2e%2e/demo-1.0-py3-none-any.whl",
        b"demo-1.0-py3-none-any.whl\0.txt",
        b"demo-1.0-py3-none-any.whl/",
        b"demo-1.0-py3-none-any.whl/..",
        b"demo-1.0-py3-none-any.whl.metadata",
        b"demo-1.0-py3-none-any.whl.asc",
        b"demo-1.0-py3-none-any.whl ",
        b"..",
        b".",
        b".whl",
        b"demo-1.0.whl",
        b"demo-1.0.exe",
        b"d\xffmo-1.0-py3-none-any.whl",
        "demö-1.0-py3-none-any.whl".as_bytes(),
        "demo\u{2215}x-1.0-py3-none-any.whl".as_bytes(),
        long.as_bytes(),
    ];
    let shown: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    none_is_kept(shown.iter().zip(&names).map(|(shown, name)| (shown.as_str(), 400, form().named(name))).collect()).await;
}

#[tokio::test]
async fn a_wheel_that_is_a_bomb_or_no_wheel_is_refused() {
    const METADATA: &str = "demo-1.0.dist-info/METADATA";
    let good: &[u8] = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n";
    let bomb = [good, &vec![b' '; 100_000_000]].concat();
    let whole = demo().1;
    let of = |entries: &[(&str, &[u8])]| UploadForm::of("demo", "1.0", &archive(entries));
    let raw = |bytes: &[u8]| UploadForm::of("demo", "1.0", &("demo-1.0-py3-none-any.whl".to_owned(), bytes.to_vec()));
    let mut flipped = whole.clone();
    let middle = whole.windows(13).position(|window| window == b"demonstration").unwrap();
    flipped[middle] ^= 0x20;
    let mut long = good.to_vec();
    long.extend_from_slice(&b"Classifier: Topic :: Security :: Cryptography\n".repeat(20_000));
    none_is_kept(vec![
        ("a bomb", 413, of(&[(METADATA, &bomb)])),
        ("a thousand times the same header", 413, of(&[(METADATA, &long)])),
        ("no zip", 400, raw(b"this is no zip")),
        ("nothing", 400, raw(b"")),
        ("half a zip", 400, raw(&whole[..whole.len() / 2])),
        ("a zip without its beginning", 400, raw(&whole[60..])),
        ("a zip with a wrong checksum", 400, raw(&flipped)),
        ("no METADATA", 400, of(&[("demo/__init__.py", b"")])),
        ("METADATA elsewhere", 400, of(&[("x/demo-1.0.dist-info/METADATA", good)])),
        ("METADATA above", 400, of(&[("../demo-1.0.dist-info/METADATA", good)])),
        ("two of them", 400, of(&[(METADATA, good), ("evil-1.0.dist-info/METADATA", good)])),
        ("empty METADATA", 400, of(&[(METADATA, b"")])),
        ("METADATA without a version", 400, of(&[(METADATA, b"Name: demo\n")])),
        ("METADATA that is no UTF-8", 400, of(&[(METADATA, b"Name: demo\nVersion: 1.0\nSummary: \xff\n")])),
        ("METADATA with two names", 400, of(&[(METADATA, b"Name: demo\nName: evil\nVersion: 1.0\n")])),
    ])
    .await;
}

#[tokio::test]
async fn plain_files_go_nowhere_but_into_their_version() {
    let app = small().await;
    let before = kept(&app);
    for path in [
        "demo/1.0/..",
        "demo/1.0/../x",
        "demo/1.0/a/../../x",
        "demo/1.0/%2e%2e/x",
        "demo/1.0/%2E%2E%2Fx",
        "demo/1.0/a%2f..%2f..%2fx",
        "demo/1.0/..%5cx",
        "demo/1.0/a%5cb",
        "demo/1.0/%2fetc%2fpasswd",
        "demo/1.0/a//b",
        "demo/1.0/a%2f%2fb",
        "demo/1.0/a/./b",
        "demo/1.0/a%00b",
        "demo/1.0/a%0ab",
        "demo/1.0/a%1bb",
        "demo/1.0/a%7fb",
        "demo/1.0/%ff",
        "demo/1.0/a/",
        "demo/../x",
        "demo/%2e%2e/x",
        "../1.0/x",
        "%2e%2e/1.0/x",
        "de%2fmo/1.0/x",
        "demo/1%2f0/x",
        "de%00mo/1.0/x",
        "demo/1.0%00/x",
        &format!("demo/1.0/{}", "a".repeat(513)),
        &format!("demo/{}/x", "1".repeat(215)),
    ] {
        for publish in ["", "?publish"] {
            let answer = app.call("PUT", &format!("/files/main/{path}{publish}")).token(&app.admin).body("bytes").send().await;
            assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
            assert_eq!(kept(&app), before, "{path}: something was kept");
        }
    }
    let large = app.call("PUT", "/files/main/demo/1.0/x").token(&app.admin).body(vec![b'x'; 1_000_001]).send().await;
    refused(&large, 413, "too large");
    assert_eq!(kept(&app), before);
    app.call("PUT", "/files/main/demo/1.0/a/b?publish").token(&app.admin).body("bytes").send().await.expect(200);
    assert_eq!(app.get(&app.admin, "/files/main/demo/1.0/a/b").await.expect(200).bytes, "bytes");
}

/// What lies on the disk of a daemon: staged and kept files.
fn on_disk(directory: &Path) -> (usize, usize) {
    (walk(&directory.join("data/staging")), walk(&directory.join("data/blobs")))
}

#[test]
fn an_upload_that_breaks_off_on_the_wire_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = impatient(directory.path());
    let admin = daemon.admin();
    let body = form().bytes();
    let typed = |head: String| head.replace("\r\nConnection", "\r\nContent-Type: multipart/form-data; boundary=b\r\nConnection");
    let half_form =
        [typed(request("POST", "/pypi/main/legacy/", &admin, &body.len().to_string())).as_bytes(), &body[..body.len() - 40]].concat();
    let half_file = (request("PUT", "/files/main/demo/1.0/x?publish", &admin, "5000") + &"x".repeat(4000)).into_bytes();
    for bytes in [half_form, half_file] {
        // It stops: refused within the window, although the client stays.
        let answer = daemon.raw(&bytes);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        // It says that nothing more will come, or just goes.
        for ends in [Shutdown::Write, Shutdown::Both] {
            let mut stream = daemon.connect();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(ends).unwrap();
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    // The daemon notices a broken connection in its own time.
    for _ in 0..100 {
        if on_disk(directory.path()) == (0, 0) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(on_disk(directory.path()), (0, 0));
    assert_eq!(daemon.call(&admin, "GET", "/pypi/main/simple/demo/", b"").unwrap().status, 404);
    assert_eq!(daemon.call(&admin, "GET", "/files/main/demo/1.0/x", b"").unwrap().status, 404);
    let listed = daemon.call(&admin, "GET", "/v1/repos/main/packages", b"").unwrap().json();
    assert_eq!(listed["items"], json!([]));
    assert_eq!(daemon.call(&admin, "PUT", "/files/main/demo/1.0/x?publish", b"bytes").unwrap().status, 200);
}
