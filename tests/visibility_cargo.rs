//! The sweep over what came in as crates do. Invariant: of a crate that is held or rejected the index shows what lock files hold it to
//! (dependencies, features, checksum), to readers and to anybody; nothing else that was in it or beside it comes out by any route.

use serde_json::{Value, json};

use crate::support::{Crate, HOLD_ALL, TestApp, blob_path, digest_of, index_path, version_path};
use crate::visibility::{CANARY, Withheld, sweep};

/// A crate that has the canary wherever a crate and its JSON can have one that the index does not repeat.
fn full(name: &str) -> Crate {
    let mut full = Crate::with_source(name, "1.0.0", &format!("pub const NAME: &str = \"{CANARY} of {name}\";\n"));
    for member in ["description", "documentation", "homepage", "readme", "readme_file", "license", "license_file", "repository"] {
        full = full.saying(member, json!(format!("{CANARY} {member}")));
    }
    full.saying("authors", json!([CANARY]))
        .saying("keywords", json!([CANARY]))
        .saying("categories", json!([CANARY]))
        .saying("badges", json!({CANARY: {"a": CANARY}}))
        .saying("unknown", json!(CANARY))
        .saying("deps", json!([{"name": "plain-lib", "version_req": "^1", "features": ["part"]}]))
}

async fn upload(app: &TestApp, name: &str) -> (Crate, Withheld) {
    let full = full(name);
    let answer = app.publish_crate(&app.admin, "main", &full).await.expect(200).json();
    assert!(answer["warnings"]["other"][0].as_str().unwrap().contains("quarantined"), "{answer}");
    let ask = |column: &str| {
        app.ask(&format!(
            "SELECT {column} FROM versions JOIN packages USING (package_id) JOIN quarantine_items USING (version_id) WHERE name = '{name}'"
        ))[0]
            .clone()
    };
    let (version_id, quarantine_id) = (ask("version_id"), ask("quarantine_id"));
    let evaluation_id = app.ask(&format!("SELECT evaluation_id FROM evaluations WHERE version_id = '{version_id}'"))[0].clone();
    let withheld = Withheld {
        package_type: "cargo",
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        file: format!("{name}-1.0.0.crate"),
        version_id,
        quarantine_id,
        evaluation_id,
        digest: digest_of(&full.bytes),
        secrets: vec![digest_of(full.metadata.to_string().as_bytes()).trim_start_matches("sha256:").to_owned()],
    };
    (full, withheld)
}

async fn holding() -> TestApp {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    app.set_policy("main", HOLD_ALL).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_anybody_anything_of_a_crate_that_is_withheld() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let mut faults = Vec::new();
    for fate in ["held", "rejected"] {
        let (full, withheld) = upload(&app, &format!("plain-{fate}")).await;
        if fate == "rejected" {
            app.vote(&app.admin, "main", &withheld.quarantine_id, "reject").await.expect(200);
        }
        app.run_jobs().await;
        for token in ["", reader.as_str()] {
            let (count, found) = sweep(&app, &withheld, token).await;
            assert!(count > 100, "only {count} calls were made");
            faults.extend(found);
            let line: Value = serde_json::from_str(&app.index_lines(token, "main", &withheld.name).await[0]).unwrap();
            let members: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["name", "vers", "deps", "cksum", "features", "yanked", "links", "pubtime"], "no more than the index has");
            assert_eq!(line["cksum"], digest_of(&full.bytes).trim_start_matches("sha256:"));
            assert_eq!(app.get(token, &blob_path("main", &withheld.digest)).await.status, 423);
            assert_eq!(app.get(token, &version_path("main", &withheld.version_id)).await.status, 423);
        }
    }
    assert!(faults.is_empty(), "{} leaks:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_the_canary_in_the_crate_once_it_is_released() {
    let app = holding().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let (_, withheld) = upload(&app, "plain-free").await;
    app.vote(&app.admin, "main", &withheld.quarantine_id, "release").await.expect(200);
    app.run_jobs().await;
    let (_, found) = sweep(&app, &withheld, &reader).await;
    for surface in ["/blobs/", "/manifest", "/plain-free/1.0.0/download", &withheld.version_id] {
        assert!(found.iter().any(|line| line.contains(surface)), "the sweep does not reach {surface}: {} finds", found.len());
    }
    let index = app.get(&reader, &index_path("main", "plain-free")).await.expect(200);
    assert!(!index.text().contains(CANARY), "{}", index.text());
}
