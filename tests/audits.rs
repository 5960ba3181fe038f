//! What the advisories here say of what somebody has installed, as `npm audit` asks. Invariant: it is what the gate matches by, the range
//! that is told has the versions that match, and nothing that was withdrawn is told of.

use artifortress::domain::access::Read;
use artifortress::domain::name::PackageName;
use artifortress::error::Code;
use artifortress::registry::{AUDIT_PACKAGES_LIMIT, AUDIT_VERSIONS_LIMIT, Concern, ConcernKind, Concerns};
use serde_json::{Value, json};

use crate::support::{TestApp, package};

fn record(id: &str, name: &str, affected: Value) -> Value {
    let mut entry = json!({"package": {"ecosystem": "npm", "name": name}});
    entry.as_object_mut().unwrap().extend(affected.as_object().unwrap().clone());
    json!({"id": id, "modified": "2024-01-01T00:00:00Z", "summary": format!("about {id}"), "affected": [entry]})
}

fn range(events: Value) -> Value {
    json!({"ranges": [{"type": "SEMVER", "events": events}]})
}

async fn import(app: &TestApp, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    app.call("POST", "/v1/admin/advisories/imports").token(&app.admin).body(lines).send().await.expect(200);
}

async fn ask(app: &TestApp, installed: &[(PackageName, &[&str])]) -> Concerns {
    let permit = app.permit::<Read>(&app.admin, "main").await;
    let owned = |versions: &[&str]| versions.iter().map(|version| (*version).to_owned()).collect();
    let installed: Vec<_> = installed.iter().map(|(package, versions)| (package.clone(), owned(versions))).collect();
    app.registry().advisories_of(&permit, &installed).unwrap()
}

async fn of_demo(app: &TestApp, versions: &[&str]) -> Vec<Concern> {
    ask(app, &[(package("npm", "demo"), versions)]).await.packages.pop().map(|(_, found)| found).unwrap_or_default()
}

#[tokio::test]
async fn an_audit_tells_what_concerns_the_versions_asked_about_in_the_words_of_npm() {
    let app = TestApp::new().await;
    let mut full = record("GHSA-1", "demo", range(json!([{"introduced": "1.0.0"}, {"fixed": "1.2.3"}])));
    let more = json!({
        "aliases": ["CVE-1"],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "references": [{"type": "WEB", "url": "https://somewhere.example/"}, {"type": "ADVISORY", "url": "https://advisory.example/1"}],
        "database_specific": {"cwe_ids": ["CWE-79"], "severity": "CRITICAL"},
    });
    full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let scoped = record("GHSA-2", "@acme/tool", json!({"versions": ["1.0.0", "1.0.1"]}));
    import(&app, &[full, scoped, record("GHSA-3", "other", json!({}))]).await;
    let found = ask(
        &app,
        &[
            (package("npm", "demo"), &["1.2.2", "5.0.0"]),
            (package("npm", "@acme/tool"), &["1.0.1"]),
            (package("npm", "nothing"), &["1.0.0"]),
        ],
    )
    .await;
    assert!(found.unknown_types.is_empty());
    let names: Vec<String> = found.packages.iter().map(|(package, _)| package.to_string()).collect();
    assert_eq!(names, ["demo", "@acme/tool"]);
    let demo = &found.packages[0].1[0];
    assert_eq!((demo.id.as_str(), demo.severity_word(), demo.kind), ("GHSA-1", "critical", ConcernKind::Vulnerability));
    assert_eq!(demo.aliases.iter().collect::<Vec<_>>(), ["CVE-1"]);
    assert_eq!(demo.vulnerable_versions, ">=1.0.0 <1.2.3");
    assert_eq!((demo.details.summary.as_str(), demo.details.url.as_deref()), ("about GHSA-1", Some("https://advisory.example/1")));
    let (vector, score) = demo.details.vector.clone().unwrap();
    assert_eq!(
        (demo.details.weaknesses.as_slice(), vector.as_str(), score.to_string().as_str()),
        (["CWE-79".to_owned()].as_slice(), "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "9.8")
    );
    let tool = &found.packages[1].1[0];
    assert_eq!((tool.vulnerable_versions.as_str(), tool.severity_word()), ("=1.0.0 || =1.0.1", "high"));
    assert!(of_demo(&app, &["1.2.3", "0.9.9"]).await.is_empty());
    assert!(of_demo(&app, &[]).await.is_empty());
}

#[tokio::test]
async fn a_range_is_written_so_that_npm_reads_the_versions_that_match() {
    for (events, text) in [
        (json!([{"introduced": "0"}, {"fixed": "1.2"}]), "<1.2.0"),
        (json!([{"introduced": "0"}, {"last_affected": "1"}]), "<=1.0.0"),
        (json!([{"introduced": "v1.0.0"}, {"fixed": "1.5.0"}, {"introduced": "2.0.0"}]), ">=1.0.0 <1.5.0 || >=2.0.0"),
        (json!([{"fixed": "2.0.0"}, {"introduced": "1.0.0"}]), ">=1.0.0 <2.0.0"),
        (json!([{"introduced": "0"}]), "*"),
        (json!([{"introduced": "1.0.0-beta"}, {"fixed": "1.0.0-rc.1"}]), ">=1.0.0-beta <1.0.0-rc.1"),
        (json!([{"introduced": "what"}, {"fixed": "1.0.0"}]), "*"),
        (json!([{"introduced": "0"}, {"fixed": "what"}]), "*"),
        (json!([{"introduced": "1.0.0"}, {"limit": "3.0.0"}]), ">=1.0.0 <3.0.0"),
    ] {
        let app = TestApp::new().await;
        import(&app, &[record("GHSA-1", "demo", range(events.clone()))]).await;
        let versions = [
            "0.1.0",
            "0.9.0",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0",
            "1.0.1",
            "1.1.9",
            "1.2.0-rc",
            "1.2.0",
            "1.4.9",
            "1.5.0",
            "2.0.0",
            "2.9.9",
            "3.0.0",
        ];
        let found = of_demo(&app, &versions).await;
        assert_eq!(found[0].vulnerable_versions, text, "{events}");
        let read = nodejs_semver::Range::parse(text).unwrap();
        for version in versions {
            let is_told = !of_demo(&app, &[version]).await.is_empty();
            let parsed = nodejs_semver::Version::parse(version).unwrap();
            // Without pre-releases: of those npm's audit reads a range otherwise than this reader does.
            assert!(parsed.is_prerelease() || is_told == read.satisfies(&parsed), "{events}: {version} and {text}");
        }
    }
}

#[tokio::test]
async fn records_of_one_vulnerability_are_told_once_and_withdrawn_ones_never() {
    let app = TestApp::new().await;
    let with = |mut record: Value, members: Value| {
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        record
    };
    import(
        &app,
        &[
            with(record("OSV-9", "demo", range(json!([{"introduced": "3.0.0"}, {"fixed": "3.1.0"}]))), json!({"aliases": ["CVE-9"]})),
            with(
                record("GHSA-9", "demo", range(json!([{"introduced": "0"}, {"fixed": "3.1.0"}]))),
                json!({"aliases": ["CVE-9"], "database_specific": {"severity": "LOW"}}),
            ),
            with(record("GHSA-8", "demo", json!({})), json!({"withdrawn": "2024-02-01T00:00:00Z"})),
            record("MAL-7", "demo", json!({"versions": ["3.0.5"]})),
            with(record("GHSA-6", "demo", json!({})), json!({"database_specific": {"informational": "unmaintained"}})),
        ],
    )
    .await;
    let found = of_demo(&app, &["3.0.5"]).await;
    let told: Vec<(&str, &str, &str)> =
        found.iter().map(|concern| (concern.id.as_str(), concern.severity_word(), concern.vulnerable_versions.as_str())).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.contains(&("GHSA-9", "low", ">=3.0.0 <3.1.0 || <3.1.0")) || told.contains(&("GHSA-9", "low", "<3.1.0 || >=3.0.0 <3.1.0")),
        "{told:?}"
    );
    assert!(told.contains(&("MAL-7", "critical", "=3.0.5")) && told.contains(&("GHSA-6", "info", "*")), "{told:?}");
    let joined = found.iter().find(|concern| concern.id == "GHSA-9").unwrap();
    assert_eq!(joined.aliases.iter().collect::<Vec<_>>(), ["CVE-9", "OSV-9"]);
}

#[tokio::test]
async fn an_audit_is_bounded_and_says_when_nobody_could_look() {
    let app = TestApp::new().await;
    let found = ask(&app, &[(package("npm", "demo"), &["1.0.0"]), (package("generic", "demo"), &["1.0.0"])]).await;
    assert_eq!(found.unknown_types.iter().collect::<Vec<_>>(), ["generic", "npm"]);
    import(&app, &[record("GHSA-1", "demo", json!({"versions": (0..1_500).map(|patch| format!("1.0.{patch}")).collect::<Vec<_>>()}))])
        .await;
    let found = of_demo(&app, &["1.0.7", "1.0.1400", "not a version"]).await;
    assert_eq!(found[0].vulnerable_versions, "=1.0.7 || =1.0.1400");
    let permit = app.permit::<Read>(&app.admin, "main").await;
    let many = vec![(package("npm", "demo"), vec!["1.0.0".to_owned()]); AUDIT_PACKAGES_LIMIT + 1];
    assert_eq!(app.registry().advisories_of(&permit, &many).unwrap_err().code(), Code::TooLarge);
    let many = vec![(package("npm", "demo"), vec!["1.0.0".to_owned(); AUDIT_VERSIONS_LIMIT + 1])];
    assert_eq!(app.registry().advisories_of(&permit, &many).unwrap_err().code(), Code::TooLarge);
}
