//! The sweep. Invariant: whatever route a reader asks, nothing of a held or rejected version's content comes out: not in a
//! status line, not in a header, not in a body.

use std::collections::BTreeMap;

use artifortress::http::Access;
use artifortress::routes;
use serde_json::{Value, json};

use crate::support::{HOLD_ALL, Package, Response, TestApp, digest_of, items, text};

/// In every part of a version that a reader must not see, in several spellings that an encoder could give it.
pub const CANARY: &str = "canary7f3a";

/// Parameters of addresses that no withheld version stands behind.
const KNOWN_TO_HOLD_NOTHING: &[&str] = &[
    "jobId",
    "advisoryId",
    "eventId",
    "tokenId",
    "uploadId",
    "revision",
    "asset",
    "webhookId",
    "deliveryId",
    "reservationId",
    "freezeId",
    "runId",
    "scanner",
    "waiverId",
    "rev",
    "tag",
    "user",
];

/// Something withheld, with everything that addresses it.
pub struct Withheld {
    pub package_type: &'static str,
    pub name: String,
    pub version: String,
    pub file: String,
    pub version_id: String,
    pub quarantine_id: String,
    pub digest: String,
    pub evaluation_id: String,
    /// What must not show beside the canary, in lower case: digests, and what cannot hold a word.
    pub secrets: Vec<String>,
}

/// A package every part of which holds the canary. Where an index marks what is held, the names of the project, the version
/// and the file are what it shows, so there the canary is in everything else.
fn package(package_type: &str, suffix: &str) -> Package {
    let (name, version, file) = match package_type {
        "pypi" => (format!("plain-{suffix}"), "1.0".to_owned(), format!("plain_{suffix}-1.0.tar.gz")),
        _ => (format!("{CANARY}-{suffix}"), format!("1.0-{CANARY}"), format!("{CANARY}/{CANARY}.bin")),
    };
    let manifest = json!({
        CANARY: CANARY, "name": CANARY, "summary": CANARY, "description": CANARY, "license": CANARY, "keywords": [CANARY],
        "requiresPython": format!(">=3.{CANARY}"), "requires_python": CANARY, "homePage": format!("http://{CANARY}.test/"), "authors": [{"name": CANARY}],
    });
    let bytes = format!("{CANARY} {CANARY} {suffix}").into_bytes();
    let media_type = Some(format!("application/{CANARY}"));
    Package {
        package_type: package_type.to_owned(),
        name,
        version,
        files: vec![(file, bytes, media_type)],
        manifest: Some(manifest.to_string()),
    }
}

async fn withhold(app: &TestApp, package_type: &'static str, suffix: &str) -> Withheld {
    let package = package(package_type, suffix);
    let version_id = app.draft(&app.admin, "main", &package).await;
    let answer = app.publish(&app.admin, "main", &version_id).await.expect(202).json();
    let quarantine_id = text(&answer, "quarantineId");
    let list = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={version_id}")).await.expect(200).json();
    let digest = digest_of(&package.files[0].1);
    let evaluation_id = text(&items(&list)[0], "evaluationId");
    Withheld {
        package_type,
        name: package.name,
        version: package.version,
        file: package.files[0].0.clone(),
        version_id,
        quarantine_id,
        secrets: vec![digest.trim_start_matches("sha256:").to_owned()],
        digest,
        evaluation_id,
    }
}

/// The address of a route with the parameters of its pattern replaced by those of something withheld. A parameter that nothing
/// here knows keeps what the example gives it, and must then be in the list below.
fn addresses(pattern: &str, example: &str, held: &Withheld) -> Vec<String> {
    let file_name = held.file.rsplit('/').next().unwrap();
    // Cargo's index has a crate below the first letters of its name.
    let letters = |from: usize, to: usize| held.name.get(from..to).unwrap_or_default().to_lowercase();
    // npm's addresses have a scoped name in one segment or in two; with a plain name, what follows it is a version.
    let (scope, bare) = held.name.split_once('/').unwrap_or((held.name.as_str(), held.version.as_str()));
    let encoded = held.name.replace('/', "%2f");
    let names = if pattern.contains("{scope}") {
        vec![bare.to_owned(), "latest".to_owned()]
    } else {
        vec![encoded.clone(), encoded.to_uppercase()]
    };
    let values = BTreeMap::from([
        ("repoKey", vec!["main".to_owned()]),
        ("versionId", vec![held.version_id.clone()]),
        ("quarantineId", vec![held.quarantine_id.clone()]),
        ("evaluationId", vec![held.evaluation_id.clone()]),
        ("digest", vec![held.digest.clone(), held.digest.replace("sha256:", "sha256%3A")]),
        ("packageType", vec![held.package_type.to_owned()]),
        ("package", vec![held.name.clone()]),
        ("project", vec![held.name.clone(), held.name.replace('-', "_")]),
        ("name", names),
        ("scope", vec![scope.to_owned(), encoded]),
        ("version", vec![held.version.clone()]),
        ("path", vec![held.file.clone()]),
        (
            "file",
            vec![file_name.to_owned(), format!("{file_name}.metadata"), format!("{file_name}.asc"), format!("{file_name}.provenance")],
        ),
        (
            "fileName",
            vec![file_name.to_owned(), format!("{file_name}.metadata"), format!("{file_name}.asc"), format!("{file_name}.provenance")],
        ),
        (
            "filename",
            vec![file_name.to_owned(), format!("{file_name}.metadata"), format!("{file_name}.asc"), format!("{file_name}.provenance")],
        ),
        ("crate", vec![held.name.clone(), held.name.replace('-', "_")]),
        ("first", vec![letters(0, 2), letters(0, 1)]),
        ("second", vec![letters(2, 4)]),
        ("subject", vec!["ann".to_owned()]),
    ]);
    let mut found = vec![String::new()];
    for (index, segment) in pattern.split('/').enumerate() {
        let example_segment = example.split('?').next().unwrap().split('/').nth(index).unwrap_or_default();
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).map(|name| name.trim_start_matches('*'));
        let choices = match parameter {
            None => vec![segment.to_owned()],
            Some(parameter) => match values.get(parameter) {
                Some(choices) => choices.clone(),
                None => {
                    assert!(KNOWN_TO_HOLD_NOTHING.contains(&parameter), "{pattern}: say what {{{parameter}}} of a withheld version is");
                    vec![example_segment.to_owned()]
                }
            },
        };
        found = found
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| if index == 0 { choice.clone() } else { format!("{start}/{choice}") }))
            .collect();
    }
    found
}

/// Queries that lists and searches take, beside none and the example's own.
fn queries(example: &str, held: &Withheld) -> Vec<String> {
    let mut queries = vec![String::new()];
    if let Some((_, query)) = example.split_once('?') {
        queries.push(format!("?{query}"));
    }
    for q in [held.name.as_str(), "can", "plain", "1.0", "bin", "anar"] {
        queries.push(format!("?q={q}"));
    }
    let (of, name, version) = (held.package_type, &held.name, &held.version);
    queries.push(format!("?packageType={of}&name={name}"));
    queries.push(format!("?packageType={of}&name={name}&version={version}"));
    queries.push(format!("?packageType={of}&name={name}&version=latest"));
    queries.push(format!("?type={of}"));
    queries.push("?limit=200".to_owned());
    queries
}

/// The page of a hold says to those who may read the repo what is held, though the address does not: the name and the version, no more.
fn without_the_name(mut answer: Response, address: &str, held: &Withheld) -> Response {
    if address.starts_with("/q/") {
        answer.bytes = [&held.name, &held.version].iter().fold(answer.text(), |text, name| text.replace(name.as_str(), "…")).into();
    }
    answer
}

/// Where the canary shows, if it does.
fn leak(answer: &Response, held: &Withheld) -> Option<String> {
    let shows = |text: &str| {
        let text = text.to_lowercase();
        let encoded = "Y2FuYXJ5N2YzY";
        text.contains(CANARY) || text.contains(&encoded.to_lowercase()) || held.secrets.iter().any(|secret| text.contains(secret))
    };
    if shows(&answer.reason) {
        return Some(format!("the status line {:?}", answer.reason));
    }
    for (name, value) in &answer.headers {
        if shows(&String::from_utf8_lossy(value.as_bytes())) {
            return Some(format!("the header {name}: {value:?}"));
        }
    }
    shows(&answer.text()).then(|| format!("the body {}", answer.text()))
}

/// What a reader typed into the address comes back in a refusal's own words and as the query of a search; that tells nothing.
fn without_what_was_asked(answer: Response, address: &str, held: &Withheld) -> Response {
    let mut answer = answer;
    // A redirect repeats the query, and the name in its one spelling whether there is such a project or not.
    if let Some(location) = answer.headers.get("location").map(|value| value.to_str().unwrap().to_owned()) {
        let path = location.split('?').next().unwrap_or_default();
        let spelled = |part: &str| part.to_lowercase().replace('_', "-");
        let new: Vec<&str> = path.split('/').filter(|part| !address.split(['/', '?']).any(|asked| spelled(asked) == *part)).collect();
        answer.headers.insert("location", new.join("/").parse().unwrap());
    }
    if answer.status < 400 {
        // A search says what it searched for.
        if let Ok(Value::Object(mut body)) = serde_json::from_slice(&answer.bytes)
            && body.remove("query").is_some()
        {
            answer.bytes = Value::Object(body).to_string().into();
        }
        return answer;
    }
    let typed: Vec<String> = address
        .split(['/', '?', '&', '='])
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .filter(|part| part.to_lowercase().contains(CANARY) || held.secrets.iter().any(|secret| part.contains(secret)))
        .collect();
    // A name comes back in its one spelling too.
    let without = |text: String| typed.iter().fold(text, |text, part| text.replace(part, "…").replace(&part.to_lowercase(), "…"));
    answer.bytes = without(answer.text()).into();
    answer.reason = without(answer.reason);
    answer
}

/// Asks every route that reads, in every way; gives the number of calls and what they told.
pub async fn sweep(app: &TestApp, held: &Withheld, token: &str) -> (usize, Vec<String>) {
    let (mut count, mut faults) = (0, Vec::new());
    for route in &routes::table() {
        if !["GET", "HEAD"].contains(&route.method().as_str()) {
            continue;
        }
        assert!(route.example().starts_with('/'), "{route:?} has no example");
        let queries = if matches!(route.access(), Access::Repo(_) | Access::Anyone | Access::Signed) {
            queries(route.example(), held)
        } else {
            vec![String::new()]
        };
        for address in addresses(route.pattern(), route.example(), held) {
            for query in &queries {
                for method in ["GET", "HEAD"] {
                    for accept in ["*/*", "application/vnd.pypi.simple.v1+json, application/vnd.npm.install-v1+json"] {
                        let asked = format!("{address}{query}");
                        let answer = app.call(method, &asked).token(token).header("accept", accept).send().await;
                        count += 1;
                        assert_ne!(answer.status, 500, "{method} {asked}: {}", answer.text());
                        let answer = without_the_name(without_what_was_asked(answer, &asked, held), &asked, held);
                        if let Some(place) = leak(&answer, held) {
                            faults.push(format!("{method} {asked} ({}): {place}", held.package_type));
                        }
                    }
                }
            }
        }
    }
    (count, faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_a_reader_anything_of_what_is_withheld() {
    let app = TestApp::new().await;
    app.call("PATCH", "/v1/repos/main").token(&app.admin).json(&json!({"anonymousRead": true})).send().await.expect(200);
    let policy = app.call("PUT", "/v1/repos/main/policy").token(&app.admin).header("content-type", "text/plain").body(HOLD_ALL);
    policy.send().await.expect(200);
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let mut faults = Vec::new();
    for package_type in ["generic", "pypi"] {
        for fate in ["held", "rejected"] {
            let held = withhold(&app, package_type, fate).await;
            if fate == "rejected" {
                app.vote(&app.admin, "main", &held.quarantine_id, "reject").await.expect(200);
            }
            app.run_jobs().await;
            for token in ["", reader.as_str()] {
                let (count, found) = sweep(&app, &held, token).await;
                println!("{package_type} {fate}: {count} calls as {}", if token.is_empty() { "anonymous" } else { "reader" });
                assert!(count > 100, "only {count} calls were made");
                faults.extend(found);
            }
        }
    }
    assert!(faults.is_empty(), "{} leaks:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_the_canary_once_it_is_released() {
    let app = TestApp::new().await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    for package_type in ["generic", "pypi"] {
        app.call("PUT", "/v1/repos/main/policy")
            .token(&app.admin)
            .header("content-type", "text/plain")
            .body(HOLD_ALL)
            .send()
            .await
            .expect(200);
        let held = withhold(&app, package_type, "free").await;
        app.vote(&app.admin, "main", &held.quarantine_id, "release").await.expect(200);
        app.run_jobs().await;
        let (_, found) = sweep(&app, &held, &reader).await;
        for surface in ["/blobs/", "/manifest", &format!("/versions/{}", held.version_id)] {
            assert!(
                found.iter().any(|line| line.contains(surface)),
                "{package_type}: the sweep does not reach {surface}: {} finds",
                found.len()
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_of_what_is_held_says_why_and_none_of_its_content() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let held = withhold(&app, "generic", "held").await;
    let reader = app.issue("reader", &["repo:main:read"]).await;
    let refusal = app.get(&reader, &crate::support::version_path("main", &held.version_id)).await.refused(423, "quarantined_version");
    assert_eq!(refusal["quarantineId"], held.quarantine_id.as_str());
    assert_eq!(refusal["reasons"][0]["rule"], "hold-all");
    let mut members: Vec<&String> = refusal.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["error", "message", "quarantineId", "reasons", "requestId", "status"], "{refusal}");
    let writer = app.issue("writer", &["repo:main:write"]).await;
    let refusal: Value =
        app.get(&writer, &crate::support::version_path("main", &held.version_id)).await.refused(423, "quarantined_version");
    assert!(!refusal.to_string().contains(&held.digest), "{refusal}");
}
