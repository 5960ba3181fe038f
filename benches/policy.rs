//! Evaluations of a policy of fifty rules, by criterion.
#![allow(missing_docs, clippy::unwrap_used)]

use artifortress::policy::{CedarEngine, Engine};
use criterion::{Criterion, criterion_group, criterion_main};

fn check(c: &mut Criterion) {
    let engine = CedarEngine::new().unwrap();
    c.bench_function("check one rule", |b| {
        b.iter(|| engine.check("@id(\"a\") forbid (principal, action, resource) when { context.ageDays < 7 };").unwrap());
    });
}

criterion_group!(benches, check);
criterion_main!(benches);
