//! The sweep over what came in as Python distributions do. Invariant: of a file that is held or rejected the index shows its name and
//! why, to readers and to anybody; nothing that was in it or in its form, and no digest of any part of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{HOLD_ALL, TestApp, UploadForm, blob_path, digest_of, items, text, version_path, wheel};
use crate::visibility::{CANARY, Withheld, sweep};

/// What Python versions it wants: a part of the metadata that cannot hold a word.
const PYTHON: &str = "3.71823";
const INDEX_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// A distribution as it was uploaded, and everything that addresses it: once by the digest of each of its files.
struct Uploaded {
    file: (String, Vec<u8>),
    by_digest: Vec<Withheld>,
}

/// The form of a wheel that has the canary wherever a wheel and a form can have one.
fn form(project: &str) -> (UploadForm, (String, Vec<u8>)) {
    let headers = format!(
        "Summary: {CANARY}\nKeywords: {CANARY},two\nAuthor: {CANARY}\nAuthor-email: a@{CANARY}.test\nHome-page: http://{CANARY}.test/\nLicense: {CANARY}\n\
         Classifier: Topic :: {CANARY}\nRequires-Dist: {CANARY}-lib (>=1.0)\nRequires-Python: >={PYTHON}\nProvides-Extra: {CANARY}\nProject-URL: {CANARY}, http://{CANARY}.test/"
    );
    let file = wheel(project, "1.0", &headers, &format!("# {CANARY}"), &format!("NAME = '{CANARY} of {project}'\n"));
    let form = UploadForm::of(project, "1.0", &file)
        .with("summary", CANARY)
        .with("description", CANARY)
        .with("keywords", CANARY)
        .with("comment", CANARY)
        .with("requires_dist", format!("{CANARY}-lib"))
        .with("requires_python", format!(">={PYTHON}"))
        .with("gpg_signature", format!("-----BEGIN {CANARY} of {project}"))
        .with("attestations", attestations(&file));
    (form, file)
}

/// An attestation of the file that has the canary wherever it may have something of its own.
fn attestations(file: &(String, Vec<u8>)) -> String {
    let sha256 = digest_of(&file.1).trim_start_matches("sha256:").to_owned();
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": file.0, "digest": {"sha256": sha256}}],
        "predicateType": format!("http://{CANARY}.test/"), "predicate": {CANARY: CANARY}});
    let material = json!({"certificate": STANDARD.encode(CANARY), "transparency_entries": [{"logId": CANARY}]});
    let envelope = json!({"statement": STANDARD.encode(statement.to_string()), "signature": STANDARD.encode(CANARY)});
    json!([{"version": 1, "verification_material": material, "envelope": envelope, "more": CANARY}]).to_string()
}

/// Uploads to `main`, which must hold it.
async fn upload(app: &TestApp, project: &str) -> Uploaded {
    let (form, file) = form(project);
    let answer = app.send_form(&app.admin, &form).await.expect(200).json();
    assert_eq!(answer["state"], "quarantined", "{answer}");
    let of_version = format!("SELECT digest FROM entries WHERE version_id = '{}'", text(&answer, "versionId"));
    let digests = app.ask(&of_version);
    assert_eq!(digests.len(), 4, "the wheel, its metadata, its signature and its provenance");
    assert!(digests.contains(&digest_of(&file.1)));
    let mut secrets: Vec<String> = digests.iter().map(|digest| digest.trim_start_matches("sha256:").to_owned()).collect();
    secrets.push(PYTHON.to_owned());
    let by_digest = digests.into_iter().map(|digest| Withheld {
        package_type: "pypi",
        name: project.to_owned(),
        version: "1.0".to_owned(),
        file: file.0.clone(),
        version_id: text(&answer, "versionId"),
        quarantine_id: text(&answer, "quarantineId"),
        evaluation_id: text(&answer, "evaluationId"),
        digest,
        secrets: secrets.clone(),
    });
    Uploaded { by_digest: by_digest.collect(), file }
}

async fn holding() -> TestApp {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.set_policy("main", HOLD_ALL).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_anybody_anything_of_an_uploaded_distribution_that_is_withheld() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let mut faults = Vec::new();
    for fate in ["held", "rejected"] {
        let uploaded = upload(&app, &format!("plain-{fate}")).await;
        if fate == "rejected" {
            app.vote(&app.admin, "main", &uploaded.by_digest[0].quarantine_id, "reject").await.expect(200);
        }
        app.run_jobs().await;
        for token in ["", reader.as_str()] {
            for withheld in &uploaded.by_digest {
                let (count, found) = sweep(&app, withheld, token).await;
                assert!(count > 100, "only {count} calls were made");
                faults.extend(found);
            }
        }
    }
    assert!(faults.is_empty(), "{} leaks:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_names_what_is_withheld_with_the_reason_and_every_file_of_it_is_locked() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    for (fate, word) in [("held", "quarantined"), ("rejected", "rejected")] {
        let uploaded = upload(&app, &format!("plain-{fate}")).await;
        let withheld = &uploaded.by_digest[0];
        if fate == "rejected" {
            app.vote(&app.admin, "main", &withheld.quarantine_id, "reject").await.expect(200);
        }
        for token in ["", reader.as_str()] {
            let index = format!("/pypi/main/simple/{}/", withheld.name);
            let listed = app.call("GET", &index).token(token).header("accept", INDEX_JSON).send().await.expect(200).json();
            let file = &listed["files"][0];
            assert_eq!((&file["filename"], &file["hashes"]), (&json!(withheld.file), &json!({})), "{listed}");
            assert!(text(file, "yanked").contains(word), "{listed}");
            assert_eq!(file.as_object().unwrap().len(), 4, "file name, address, no digest, the reason; and no more: {file}");
            for suffix in ["", ".metadata", ".asc", ".provenance"] {
                for method in ["GET", "HEAD"] {
                    let path = format!("/pypi/main/files/{}/{}{suffix}", withheld.name, withheld.file);
                    let refused = app.call(method, &path).token(token).send().await.expect(423);
                    assert_eq!((refused.header("cache-control"), refused.header("etag")), ("no-store", ""), "{path}");
                    let part = app.call(method, &path).token(token).header("range", "bytes=0-3").send().await;
                    assert_eq!(part.status, 423, "{path}");
                }
            }
            for other in &uploaded.by_digest {
                assert_eq!(app.get(token, &blob_path("main", &other.digest)).await.status, 423);
            }
            for path in ["", "/manifest"] {
                assert_eq!(app.get(token, &format!("{}{path}", version_path("main", &withheld.version_id))).await.status, 423);
            }
        }
    }
    let found = app.get(&reader, "/v1/repos/main/search/packages?q=plain").await.expect(200).json();
    assert_eq!((items(&found).len(), &found["totalCount"]), (0, &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_the_canary_in_the_distribution_once_it_is_released() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let uploaded = upload(&app, "plain-free").await;
    let withheld = &uploaded.by_digest[0];
    app.vote(&app.admin, "main", &withheld.quarantine_id, "release").await.expect(200);
    app.run_jobs().await;
    let (_, found) = sweep(&app, withheld, &reader).await;
    for surface in [
        "/blobs/",
        "/manifest",
        &format!("{} ", withheld.file),
        ".whl.metadata",
        ".whl.asc",
        ".whl.provenance",
        "/simple/plain-free/",
        "/pypi/plain-free/json",
        "/pypi/plain-free/1.0/json",
        &withheld.version_id,
    ] {
        assert!(found.iter().any(|line| line.contains(surface)), "the sweep does not reach {surface}: {} finds", found.len());
    }
    let path = format!("/pypi/main/files/plain-free/{}", uploaded.file.0);
    assert_eq!(app.get(&reader, &path).await.expect(200).bytes, uploaded.file.1);
    let searched: Value = app.get(&reader, &format!("/v1/search?q={CANARY}")).await.expect(200).json();
    assert_eq!(searched["totalCount"], 1, "its words are searched by now");
}
