//! Source distributions and what stands beside a file, through the routes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::tests::{form, wheel};
use crate::domain::digest::Digest;
use crate::domain::name::{PackageName, PackageType};
use crate::domain::quarantine::Ballot;
use crate::domain::visibility::Listed;
use crate::formats::tests::TestApp;

/// A gzipped tarball of these files.
fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// An sdist of `demo` with this PKG-INFO.
pub(super) fn sdist(version: &str, headers: &str) -> (String, Vec<u8>) {
    let information = format!("{headers}Name: demo\nVersion: {version}\n\nText.\n");
    let files =
        [("demo/PKG-INFO", information.as_bytes()), ("demo/demo.egg-info/PKG-INFO", b"Name: other\n"), ("demo/demo.py", b"A = 1\n")];
    (format!("demo-{version}.tar.gz"), tarball(&files))
}

/// An attestation of this file, with a signature that nobody made.
fn attestation(file: &(String, Vec<u8>)) -> Value {
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://docs.pypi.org/attestations/publish/v1",
        "subject": [{"name": file.0, "digest": {"sha256": Digest::of(&file.1).hex()}}], "predicate": null});
    json!({"version": 1, "verification_material": {"certificate": "AAAA", "transparency_entries": []},
        "envelope": {"statement": STANDARD.encode(statement.to_string()), "signature": "AAAA"}})
}

/// What the gate was shown of the newest release of `demo`.
async fn manifest(app: &TestApp) -> Value {
    let package = PackageName::new(PackageType::pypi(), "", "demo").unwrap();
    let permit = app.permit().await;
    let listed = app.app().run(move |app| app.registry.listed_releases(&permit, &package, |listed| listed)).await.unwrap();
    let Listed::Visible(release) = &listed[0] else { panic!("it is held") };
    serde_json::from_slice(&release.manifest.as_ref().unwrap().bytes).unwrap()
}

#[tokio::test]
async fn an_sdist_takes_its_metadata_from_the_pkg_info_inside_and_serves_it_once_it_is_final() {
    let app = TestApp::start().await;
    let file = sdist("1.0", "Metadata-Version: 2.2\nRequires-Python: >=3.9\nLicense: MIT\n");
    let more = [("requires_python", ">=2"), ("license", "GPL"), ("gpg_signature", "-----BEGIN PGP SIGNATURE-----")];
    let answer = app.upload(form("demo", "1.0", &file, &more)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let index = app.index_json("demo", "").await;
    assert_eq!(index["files"].as_array().unwrap().len(), 1);
    let listed = &index["files"][0];
    assert_eq!((listed["requires-python"].clone(), listed["gpg-sig"].clone()), (">=3.9".into(), true.into()));
    assert!(app.get("/pypi/main/files/demo/demo-1.0.tar.gz.asc", "").await.text().starts_with("-----BEGIN PGP"));
    let metadata = app.get("/pypi/main/files/demo/demo-1.0.tar.gz.metadata", "").await;
    assert!(metadata.text().starts_with("Metadata-Version: 2.2\n"), "{}", metadata.text());
    assert_eq!(Digest::of(&metadata.body).hex(), listed["core-metadata"]["sha256"]);
    let manifest = manifest(&app).await;
    assert_eq!((manifest["license"].clone(), manifest["filetype"].clone()), ("MIT".into(), "sdist".into()));
}

#[tokio::test]
async fn metadata_that_a_build_may_change_are_not_offered() {
    let app = TestApp::start().await;
    for (version, headers) in [("1.0", "Metadata-Version: 2.1\n"), ("1.1", "Metadata-Version: 2.4\nDynamic: Requires-Dist\n")] {
        let answer = app.upload(form("demo", version, &sdist(version, headers), &[])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(app.get(&format!("/pypi/main/files/demo/demo-{version}.tar.gz.metadata"), "").await.status, 404);
    }
    let index = app.index_json("demo", "").await;
    assert!(index["files"].as_array().unwrap().iter().all(|file| file.get("core-metadata").is_none()), "{index}");
}

#[tokio::test]
async fn an_sdist_that_is_hostile_or_says_another_name_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let named = |bytes: Vec<u8>| ("demo-1.0.tar.gz".to_owned(), bytes);
    let information = b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n";
    let whole = sdist("1.0", "Metadata-Version: 2.2\n").1;
    for (file, status, says) in [
        (named(b"no archive".to_vec()), 400, "no whole, plain archive"),
        (named(whole[..whole.len() / 2].to_vec()), 400, "no whole, plain archive"),
        (named(tarball(&[("demo/setup.py", b"")])), 400, "no PKG-INFO"),
        (named(tarball(&[("demo/PKG-INFO", information), ("x/pkg-info", information)])), 400, "or several"),
        (named(tarball(&[("demo/PKG-INFO", &vec![b' '; 2 << 20])])), 400, "no PKG-INFO"),
        (named(sdist("1.1", "").1), 400, "PKG-INFO in the sdist says demo 1.1"),
        (named(tarball(&[("demo/PKG-INFO", b"Name: evil\nVersion: 1.0\n")])), 400, "says evil 1.0"),
        (("demo-1.0.zip".to_owned(), whole.clone()), 400, "no whole, plain archive"),
    ] {
        let refused = app.upload(form("demo", "1.0", &file, &[])).await;
        assert_eq!(refused.status, status, "{says}: {}", refused.text());
        assert!(refused.text().contains(says), "{says}: {}", refused.text());
    }
    assert_eq!(app.get("/pypi/main/simple/demo/", "").await.status, 404);
}

#[tokio::test]
async fn attestations_stand_beside_the_file_and_the_index_says_where() {
    let app = TestApp::start().await;
    let file = wheel("demo", "1.0", "");
    let given = json!([attestation(&file)]).to_string();
    let answer = app.upload(form("demo", "1.0", &file, &[("attestations", &given)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let plain = wheel("demo", "1.1", "");
    assert_eq!(app.upload(form("demo", "1.1", &plain, &[("attestations", "[]")])).await.status, 200);

    let index = app.index_json("demo", "").await;
    let address = "http://registry.test/pypi/main/files/demo/demo-1.0-py3-none-any.whl.provenance";
    assert_eq!((index["meta"]["api-version"].clone(), index["files"][0]["provenance"].clone()), ("1.3".into(), address.into()));
    assert!(index["files"][1].get("provenance").is_none());
    let html = app.get("/pypi/main/simple/demo/", "").await.text();
    assert!(html.contains(&format!("data-provenance=\"{address}\"")) && html.matches("data-provenance").count() == 1, "{html}");
    let provenance = app.get(address.trim_start_matches("http://registry.test"), "").await;
    assert_eq!((provenance.status, provenance.header("content-type")), (200, "application/json"));
    assert_eq!(provenance.json()["attestation_bundles"][0]["attestations"], json!([attestation(&file)]));

    for given in [json!([attestation(&plain)]).to_string(), "{}".to_owned(), "[".to_owned()] {
        let refused = app.upload(form("demo", "1.2", &wheel("demo", "1.2", ""), &[("attestations", &given)])).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    let large = form("demo", "1.2", &wheel("demo", "1.2", ""), &[("attestations", &"[".repeat(600 * 1024))]);
    assert_eq!(app.upload(large).await.status, 413);
}

#[tokio::test]
async fn the_provenance_of_a_held_file_is_neither_named_nor_given() {
    let app = TestApp::start().await;
    let file = wheel("demo", "2.0", "");
    let given = json!([attestation(&file)]).to_string();
    assert_eq!(app.upload(form("demo", "2.0", &file, &[("attestations", &given)])).await.json()["state"], "quarantined");
    let index = app.index_json("demo", &app.reader).await;
    assert!(index["files"][0].get("provenance").is_none(), "{index}");
    assert!(!app.get("/pypi/main/simple/demo/", &app.reader).await.text().contains("provenance"));
    let uri = "/pypi/main/files/demo/demo-2.0-py3-none-any.whl.provenance";
    assert_eq!(app.get(uri, &app.reader).await.status, 423);
    app.review(Ballot::Release).await;
    assert_eq!(app.get(uri, &app.reader).await.status, 200);
}
