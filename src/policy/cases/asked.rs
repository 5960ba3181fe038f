//! The question of a case. Invariant: it has every fact, of the schema's type; what a case does not say is an upload of a year ago under
//! MIT of which nothing bad is known, and what follows from a fact that it says follows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::written::{Leaf, Written};
use crate::domain::access::Roles;
use crate::domain::advisory::{AdvisoryFindings, Severity};
use crate::domain::candidate::{Candidate, Knowledge};
use crate::domain::contents::{ContentFormat, Contents};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::repo::RepoKind;
use crate::domain::time::Time;
use crate::domain::version::{File, Manifest};
use crate::error::Result;
use crate::policy::catalogue::{self, Fact, Kind};
use crate::policy::fault::Found;
use crate::policy::input::Input;

/// When every case is asked: 2026-01-01.
const ASKED_AT_MS: i64 = 1_767_225_600_000;
const AGE_DAYS: i64 = 365;
const SECONDS_PER_DAY: i64 = 86_400;
const MANIFEST: &[u8] = br#"{"license":"MIT"}"#;
const CONTENT: &[u8] = b"the file of a case";

fn asked_at() -> Time {
    Time::from_unix_ms(ASKED_AT_MS)
}

/// The canonical text of the question that a case asks; `start` is where the case begins.
///
/// # Errors
/// Every fault of the case, with its place.
pub(super) fn input(written: &Written, start: usize) -> std::result::Result<String, Vec<Found>> {
    let internal = |cause: &dyn std::fmt::Display| vec![Found::at(start, format!("the case cannot be asked: {cause}"))];
    let candidate = candidate(written).map_err(|error| vec![Found::at(start, error.message())])?;
    let mut input = serde_json::to_value(Input::of(&candidate)).map_err(|cause| internal(&cause))?;
    let facts = catalogue::facts().map_err(|error| internal(&error))?;
    let mut leaves = Vec::new();
    written.facts.leaves("", &mut leaves);
    let mut faults = Vec::new();
    let mut given = BTreeMap::new();
    for leaf in &leaves {
        match value_of(leaf, &facts) {
            Ok(value) => drop(given.insert(leaf.path.clone(), value)),
            Err(found) => faults.push(found),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for (path, value) in consequences(&given).into_iter().chain(given) {
        if let Some(slot) = input.pointer_mut(&format!("/context/{}", path.replace('.', "/"))) {
            *slot = value;
        }
    }
    let text = input.to_string();
    // Read back as the engine will, so that what it would refuse is a fault of the case and not of an evaluation.
    Input::read(&text).and_then(|input| Ok(input.write()?)).map_err(|cause| internal(&cause))
}

/// The value of a fact as the input has it.
fn value_of(leaf: &Leaf<'_>, facts: &[Fact]) -> std::result::Result<Value, Found> {
    let at = leaf.place.start;
    let Some(fact) = facts.iter().find(|fact| fact.path == leaf.path) else {
        return Err(unknown(leaf, facts));
    };
    let texts = |items: &[toml::Value]| items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<BTreeSet<String>>>();
    let severity = |text: &str| text.parse::<Severity>().ok().map(|severity| json!(severity));
    let value = match (fact.kind, leaf.value) {
        (Kind::Long, toml::Value::Integer(number)) => Some(json!(number)),
        (Kind::Bool, toml::Value::Boolean(truth)) => Some(json!(truth)),
        (Kind::Text, toml::Value::String(text)) => Some(json!(text)),
        (Kind::Texts, toml::Value::Array(items)) => texts(items).map(|items| json!(items)),
        (Kind::Decimal, toml::Value::String(text)) => severity(text),
        (Kind::Decimal, toml::Value::Float(number)) => severity(&number.to_string()),
        (Kind::Decimal, toml::Value::Integer(number)) => severity(&number.to_string()),
        (Kind::Moment, toml::Value::String(text)) => text.parse::<Time>().ok().map(|time| json!(time)),
        (Kind::Long | Kind::Bool | Kind::Text | Kind::Texts | Kind::Decimal | Kind::Moment, _) => None,
    };
    let example = match fact.kind {
        Kind::Long => "a whole number, such as 3",
        Kind::Bool => "true or false",
        Kind::Text => "a text, such as \"npm\"",
        Kind::Texts => "a list of texts, such as [\"MIT\"]",
        Kind::Decimal => "a score from 0.0 to 10.0, such as \"7.5\"",
        Kind::Moment => "a moment as text, such as \"2026-01-31T12:00:00Z\"",
    };
    value.ok_or_else(|| {
        Found::at(at, format!("facts.{} is a {}", fact.path, fact.kind.as_str()))
            .helped(format!("write {example}; it says: {}", fact.meaning))
    })
}

fn unknown(leaf: &Leaf<'_>, facts: &[Fact]) -> Found {
    let closest = facts.iter().min_by_key(|fact| strsim::damerau_levenshtein(&leaf.path, &fact.path));
    let is_record = facts.iter().any(|fact| fact.path.starts_with(&format!("{}.", leaf.path)));
    let help = match closest {
        Some(fact) if !is_record && strsim::damerau_levenshtein(&leaf.path, &fact.path) <= 4 => {
            format!("did you mean facts.{}?", fact.path)
        }
        Some(_) if is_record => format!("{} is a record; name one of its facts", leaf.path),
        Some(_) | None => "artifortress policy facts lists them all".to_owned(),
    };
    Found::at(leaf.place.start, format!("there is no fact {}", leaf.path)).helped(help)
}

/// What follows from the facts that a case gives; what it gives itself comes after and counts.
fn consequences(given: &BTreeMap<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (seconds, days, moment) in [("ageSeconds", "ageDays", "publishedAt"), ("firstSeenAgeSeconds", "firstSeenAgeDays", "firstSeenAt")] {
        let number = |path: &str| given.get(path).and_then(Value::as_i64);
        let since = given.get(moment).and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok());
        let age = number(seconds)
            .or_else(|| number(days).map(|days| days.saturating_mul(SECONDS_PER_DAY)))
            .or_else(|| since.map(|since| asked_at().seconds_since(since)));
        if let Some(age) = age {
            found.push((seconds.to_owned(), json!(age)));
            found.push((days.to_owned(), json!(age / SECONDS_PER_DAY)));
            found.push((moment.to_owned(), json!(asked_at().plus_ms(age.saturating_mul(-1000)))));
        }
    }
    let severity = given.get("advisories.maxSeverity").and_then(Value::as_str).and_then(|text| text.parse::<Severity>().ok());
    found.extend(severity.map(|severity| ("advisories.severity".to_owned(), json!(severity.word()))));
    let origin = given.get("origin").and_then(Value::as_str);
    found.extend(origin.map(|origin| ("hosted".to_owned(), json!(origin == "hosted"))));
    if given.get("hosted") == Some(&json!(false)) {
        found.push(("origin".to_owned(), json!("upstream")));
    }
    found
}

/// What a case is about before its facts: an upload of a year ago under MIT of which nothing bad is known.
fn candidate(written: &Written) -> Result<Candidate> {
    let package = PackageName::new(written.package.package_type.parse()?, &written.package.namespace, &written.package.name)?;
    let version_id = VersionId::new(uuid::Uuid::nil());
    let file = File {
        version_id,
        path: "package.bin".parse()?,
        digest: Digest::of(CONTENT),
        size_bytes: CONTENT.len() as u64,
        media_type: None,
        sha1: None,
    };
    let contents = Contents {
        format: format_of(package.package_type().as_str()),
        license_terms: vec!["MIT".to_owned()],
        requires_complete: true,
        ..Contents::default()
    };
    let first_seen_at = asked_at().plus_days(-AGE_DAYS);
    Ok(Candidate {
        action: written.action,
        repo: written.repo.parse()?,
        repo_kind: RepoKind::Local,
        subject: written.principal.parse()?,
        roles: written.roles.iter().copied().collect::<Roles>(),
        token_id: None,
        anonymous_read: false,
        version_id,
        coordinates: Coordinates::new(package, &written.package.version)?,
        upstream: None,
        files: vec![file],
        manifest: Some(Manifest { version_id, digest: Digest::of(MANIFEST), bytes: MANIFEST.to_vec() }),
        first_seen_at,
        published_upstream_at: None,
        asked_at: asked_at(),
        waived_rules: Vec::new(),
        waived_denials: Vec::new(),
        waivers_end_at: None,
        hint: None,
        publisher: written.principal.clone(),
        known: Knowledge {
            contents: Some(contents),
            advisories: AdvisoryFindings { known: true, ids_complete: true, ..AdvisoryFindings::default() },
            ..Knowledge::default()
        },
    })
}

/// The format whose file the readers would have read.
fn format_of(package_type: &str) -> ContentFormat {
    match package_type {
        "pypi" => ContentFormat::Wheel,
        "npm" => ContentFormat::Npm,
        "cargo" => ContentFormat::Crate,
        "maven" => ContentFormat::Jar,
        _ => ContentFormat::None,
    }
}
