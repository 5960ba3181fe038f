//! One decision under fifty rules, in CPU time of the thread: the facts built from what is stored, the input written, the rules evaluated.
//! Invariant: every rule is enforced, is looked at in each evaluation, and asks facts of every kind; a tenth of them fire.
//!
//! `cargo bench --bench policy` prints criterion's estimates, and before them the percentiles of single decisions, which criterion does
//! not give.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;

use artifortress::domain::access::{Role, Roles};
use artifortress::domain::advisory::{AdvisoryFindings, Severity};
use artifortress::domain::candidate::{Action, Candidate, Decision, Knowledge, PolicyLevel, Previous};
use artifortress::domain::contents::{ContentFormat, Contents};
use artifortress::domain::digest::Digest;
use artifortress::domain::id::VersionId;
use artifortress::domain::name::{Coordinates, PackageName};
use artifortress::domain::repo::RepoKind;
use artifortress::domain::time::Time;
use artifortress::domain::version::{File, Manifest};
use artifortress::policy::{CedarEngine, Engine, PolicyInForce};
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

/// Single decisions that are timed for the percentiles.
const SINGLE: usize = 20_000;
/// What the conditions of the rules are made of, in turn.
const CONDITIONS: [&str; 10] = [
    "context.ageDays < NUMBER && !context.hosted",
    "context.advisories.maxSeverity.greaterThanOrEqual(decimal(\"9.NUMBER\")) && context.advisories.fixAvailable",
    "context.package.name like \"acme-NUMBER-*\" || context.package.namespace == \"acmeNUMBER\"",
    "context.licenses.ids.containsAny([\"AGPL-3.0-only\", \"SSPL-1.0\", \"BUSL-1.1\", \"X-NUMBER\"])",
    "context.requires.contains(\"left-pad-NUMBER\") || context.requiresAdded.contains(\"evil-NUMBER\")",
    "context.scripts.install && context.previous.exists && context.scripts.added.contains(\"postinstall-NUMBER\")",
    "context.files.totalBytes > 1000000000 + NUMBER || context.previous.sizePercent > 1000",
    "context.publisher.changed && context.publisher.name like \"temporary-NUMBER*\"",
    "context.findings.failed || context.findings.ids.contains(\"YARA-NUMBER\")",
    "context.contents.unreadable || context.contents.binaryCount > NUMBER || context.advisories.ids.contains(\"CVE-2026-1\")",
];

fn policy() -> String {
    (0..50)
        .map(|index| {
            let condition = CONDITIONS[index % CONDITIONS.len()].replace("9.NUMBER", &format!("9.{}", index % 10));
            let condition = condition.replace("NUMBER", &index.to_string());
            let decision = if index % 3 == 0 { "quarantine" } else { "deny" };
            format!("@id(\"rule-{index}\") @decision(\"{decision}\") forbid (principal, action, resource) when {{ {condition} }};\n")
        })
        .collect()
}

fn names(prefix: &str, count: usize) -> std::collections::BTreeSet<String> {
    (0..count).map(|index| format!("{prefix}-{index}")).collect()
}

fn contents(count: usize) -> Contents {
    Contents {
        format: ContentFormat::Npm,
        entry_count: 420,
        unpacked_bytes: 3_000_000,
        install_scripts: names("script", 2),
        requires: names("dependency", count),
        requires_complete: true,
        license_terms: vec!["MIT OR Apache-2.0".to_owned()],
        ..Contents::default()
    }
}

fn manifest(version_id: VersionId, count: usize) -> Manifest {
    let dependencies: serde_json::Map<String, serde_json::Value> =
        names("dependency", count).into_iter().map(|name| (name, "^1.2.3".into())).collect();
    let text =
        serde_json::json!({"name": "demo", "license": "MIT", "description": "x".repeat(2000), "dependencies": dependencies}).to_string();
    Manifest { version_id, digest: Digest::of(text.as_bytes()), bytes: text.into_bytes() }
}

/// An npm package with forty dependencies, a predecessor and a vulnerability.
fn candidate() -> Candidate {
    let version_id: VersionId = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55".parse().unwrap();
    let package = PackageName::new("npm".parse().unwrap(), "scope", "demo").unwrap();
    let file = File {
        version_id,
        path: "demo-1.2.3.tgz".parse().unwrap(),
        digest: Digest::of(b"demo"),
        size_bytes: 700_000,
        media_type: None,
        sha1: None,
    };
    Candidate {
        action: Action::Publish,
        repo: "main".parse().unwrap(),
        repo_kind: RepoKind::Local,
        subject: "builder".parse().unwrap(),
        roles: Roles::of(Role::Write),
        token_id: None,
        anonymous_read: false,
        version_id,
        coordinates: Coordinates::new(package, "1.2.3").unwrap(),
        upstream: None,
        files: vec![file],
        manifest: Some(manifest(version_id, 40)),
        first_seen_at: Time::from_unix_ms(1_790_000_000_000),
        published_upstream_at: None,
        asked_at: Time::from_unix_ms(1_795_000_000_000),
        waived_rules: Vec::new(),
        waived_denials: Vec::new(),
        waivers_end_at: None,
        hint: None,
        publisher: "builder".to_owned(),
        known: Knowledge {
            contents: Some(contents(40)),
            previous: Some(Previous {
                version: "1.2.2".to_owned(),
                publisher: "builder".to_owned(),
                total_bytes: 690_000,
                manifest: Some(manifest(version_id, 39)),
                contents: Some(contents(39)),
            }),
            advisories: AdvisoryFindings {
                known: true,
                count: 1,
                ids: ["CVE-2026-1".to_owned(), "GHSA-xxxx".to_owned()].into(),
                ids_complete: true,
                max_severity: Severity::from_tenths(75),
                is_fix_available: true,
                ..AdvisoryFindings::default()
            },
            ..Knowledge::default()
        },
    }
}

/// CPU time of this thread.
struct CpuTime;

fn cpu_nanoseconds() -> i64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().num_nanoseconds()
}

impl Measurement for CpuTime {
    type Intermediate = i64;
    type Value = i64;

    fn start(&self) -> i64 {
        cpu_nanoseconds()
    }

    fn end(&self, start: i64) -> i64 {
        cpu_nanoseconds() - start
    }

    fn add(&self, a: &i64, b: &i64) -> i64 {
        a + b
    }

    fn zero(&self) -> i64 {
        0
    }

    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a benchmark are far below 2^53")]
    fn to_f64(&self, value: &i64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Microseconds
    }
}

struct Microseconds;

impl ValueFormatter for Microseconds {
    fn scale_values(&self, _typical: f64, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|value| *value /= 1000.0);
        "us CPU"
    }

    fn scale_throughputs(&self, _typical: f64, _throughput: &Throughput, _values: &mut [f64]) -> &'static str {
        "us CPU"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}

fn percentiles(engine: &CedarEngine, policies: &[PolicyInForce], candidate: &Candidate) {
    let mut times: Vec<i64> = (0..SINGLE)
        .map(|_| {
            let start = cpu_nanoseconds();
            assert_eq!(engine.evaluate(policies, candidate).unwrap().decision(), Decision::Deny);
            cpu_nanoseconds() - start
        })
        .collect();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1000] / 1000;
    println!("decision of fifty rules, CPU us: p50 {}, p99 {}, p99.9 {} of {SINGLE}", at(500), at(990), at(999));
}

fn decide(criterion: &mut Criterion<CpuTime>) {
    let engine = CedarEngine::new().unwrap();
    let policies: Vec<PolicyInForce> = vec![(PolicyLevel::Instance, Arc::new(engine.check(&policy()).unwrap()))];
    let candidate = candidate();
    let verdict = engine.evaluate(&policies, &candidate).unwrap();
    assert_eq!(verdict.reasons().len(), 5, "{:?}", verdict.reasons());
    percentiles(&engine, &policies, &candidate);
    criterion.bench_function("decision of fifty rules", |bencher| bencher.iter(|| engine.evaluate(&policies, &candidate).unwrap()));
    criterion.bench_function("the same without a rule", |bencher| bencher.iter(|| engine.evaluate(&[], &candidate).unwrap()));
    let input = verdict.input().to_owned();
    criterion.bench_function("replay of a stored input", |bencher| bencher.iter(|| engine.replay(&input, &policies).unwrap()));
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).sample_size(50);
    targets = decide
}
criterion_main!(benches);
