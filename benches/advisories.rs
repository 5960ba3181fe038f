//! What advisories say of one version, for a package of which many speak, by criterion.
#![allow(missing_docs, clippy::unwrap_used)]

use artifortress::advisories::{Claim, Record, findings};
use artifortress::domain::name::{Coordinates, PackageName};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

/// Advisories on one package of PyPI, each with four bounds, as they are kept.
fn kept(count: u32) -> Vec<String> {
    let record = |number: u32| {
        let value = json!({"id": format!("PYSEC-{number}"), "modified": "2026-01-01T00:00:00Z", "aliases": [format!("CVE-{number}")],
            "affected": [{"package": {"ecosystem": "PyPI", "name": "demo"}, "ranges": [{"type": "ECOSYSTEM", "events": [
                {"introduced": "0"}, {"fixed": format!("2.{number}")}, {"introduced": "3.0"}, {"fixed": format!("3.{number}.1")}]}]}]});
        Record::read(value.to_string().as_bytes()).unwrap()
    };
    (0..count).map(|number| serde_json::to_string(&record(number).claims[0].2).unwrap()).collect()
}

fn find(c: &mut Criterion) {
    let package = PackageName::new("pypi".parse().unwrap(), "", "demo").unwrap();
    let version = Coordinates::new(package, "2.50.1").unwrap();
    for count in [1, 10, 100] {
        let kept = kept(count);
        c.bench_function(&format!("{count} advisories of a package, read and matched"), |b| {
            b.iter(|| {
                let claims: Vec<Claim> = kept.iter().map(|claim| serde_json::from_str(claim).unwrap()).collect();
                findings(&version, &claims)
            });
        });
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
