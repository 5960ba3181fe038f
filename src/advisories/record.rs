//! One record, read and checked. Invariant: a record that is read has a legal id, a time of change, one canonical form with its
//! digest, and claims for every package of a known ecosystem it names; a withdrawn one claims nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::claim::{Claim, Entry, Kind, Range, RangeEvent};
use super::ecosystem::Ecosystem;
use super::matching::{Answer, Sought, has_unreadable_bound};
use super::osv::{OsvAffected, OsvRange, OsvRecord};
use super::severity::severity_of;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// The most bytes of one record: 16 MiB.
pub const RECORD_LIMIT_BYTES: usize = 16 << 20;
const AFFECTED_LIMIT: usize = 10_000;
const ALIAS_LIMIT: usize = 1_000;
const ID_LIMIT_BYTES: usize = 128;

/// One advisory record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id, such as `GHSA-35jh-r3h4-6jhm`.
    pub id: String,
    /// When it was last changed, as it says.
    pub modified: Time,
    /// When it was taken back, if it was.
    pub withdrawn: Option<Time>,
    /// The whole record as JSON without needless space, its members sorted.
    pub canonical: String,
    /// The digest of the canonical form.
    pub digest: Digest,
    /// What it says of which package: ecosystem, the package's key, and the claim.
    pub claims: Vec<(Ecosystem, String, Claim)>,
    /// Ranges with a bound that the ecosystem's rules cannot read; what lies beyond that bound cannot be excluded.
    pub unreadable_ranges: u64,
}

impl Record {
    /// Reads one record in the OSV format, JSON of at most `RECORD_LIMIT_BYTES`.
    ///
    /// # Errors
    /// `bad_request` saying what is wrong with it, `too_large` past a limit.
    pub fn read(bytes: &[u8]) -> Result<Record> {
        if bytes.len() > RECORD_LIMIT_BYTES {
            return Err(Error::too_large("an advisory record in bytes", RECORD_LIMIT_BYTES as u64));
        }
        let mut value: Value = serde_json::from_slice(bytes).map_err(|fault| Error::bad_request(format!("this is not JSON: {fault}")))?;
        value.sort_all_objects();
        let canonical = value.to_string();
        let record: OsvRecord = serde_path_to_error::deserialize(value)
            .map_err(|fault| Error::bad_request(format!("this is no OSV record: {}: {}", fault.path(), fault.inner())))?;
        check(&record)?;
        let digest = Digest::of(canonical.as_bytes());
        let modified = time("modified", &record.modified)?;
        let withdrawn = record.withdrawn.as_deref().map(|text| time("withdrawn", text)).transpose()?;
        let mut reading = Reading { record: &record, unreadable_ranges: 0 };
        let claims = if withdrawn.is_some() { Vec::new() } else { reading.claims() };
        let unreadable_ranges = reading.unreadable_ranges;
        Ok(Record { modified, withdrawn, canonical, digest, claims, unreadable_ranges, id: record.id })
    }
}

fn check(record: &OsvRecord) -> Result<()> {
    for id in std::iter::once(&record.id).chain(&record.aliases) {
        if id.is_empty() || id.len() > ID_LIMIT_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::bad_request(format!(
                "{id:.40?} is no id of an advisory: it must have 1 to {ID_LIMIT_BYTES} printable ASCII characters and no space"
            )));
        }
    }
    if record.affected.len() > AFFECTED_LIMIT {
        return Err(Error::too_large(format!("the number of `affected` entries of {}", record.id), AFFECTED_LIMIT as u64));
    }
    if record.aliases.len() > ALIAS_LIMIT {
        return Err(Error::too_large(format!("the number of `aliases` of {}", record.id), ALIAS_LIMIT as u64));
    }
    Ok(())
}

fn time(member: &str, text: &str) -> Result<Time> {
    text.parse().map_err(|_| Error::bad_request(format!("`{member}` must be a time of RFC 3339, such as 2026-01-31T12:00:00Z")))
}

/// A record whose claims are being collected.
struct Reading<'a> {
    record: &'a OsvRecord,
    unreadable_ranges: u64,
}

impl Reading<'_> {
    fn claims(&mut self) -> Vec<(Ecosystem, String, Claim)> {
        let record = self.record;
        let mut entries: BTreeMap<(Ecosystem, String), Vec<Entry>> = BTreeMap::new();
        for affected in &record.affected {
            let Some(package) = &affected.package else { continue };
            let Some(ecosystem) = Ecosystem::named(&package.ecosystem) else { continue };
            let Some(key) = ecosystem.key_of(&package.name) else { continue };
            if let Some(entry) = self.entry(ecosystem, affected) {
                entries.entry((ecosystem, key)).or_default().push(entry);
            }
        }
        let claim = |entries| Claim { id: record.id.clone(), aliases: record.aliases.clone(), entries };
        entries.into_iter().map(|((ecosystem, key), entries)| (ecosystem, key, claim(entries))).collect()
    }

    /// What an entry says in versions; `None` when it speaks of commits alone.
    fn entry(&mut self, ecosystem: Ecosystem, affected: &OsvAffected) -> Option<Entry> {
        let mut every_version = affected.ranges.is_empty() && affected.versions.is_empty();
        let mut ranges = Vec::new();
        for range in &affected.ranges {
            match range.range_type.as_str() {
                "GIT" => {}
                "SEMVER" | "ECOSYSTEM" => match events(range) {
                    Some(range) => {
                        self.unreadable_ranges += u64::from(has_unreadable_bound(&range, ecosystem));
                        ranges.push(range);
                    }
                    None => every_version = true,
                },
                // A sort of range that nobody here can read.
                _ => {
                    every_version = true;
                    self.unreadable_ranges += 1;
                }
            }
        }
        if !every_version && ranges.is_empty() && affected.versions.is_empty() {
            return None;
        }
        let is_new = |version: &&String| {
            let sought = Sought::new(ecosystem, version);
            ranges.iter().all(|range| sought.is_in_range(range) != Answer::Yes)
        };
        Some(Entry {
            kind: self.kind(affected),
            severity: severity_of(
                &affected.severity,
                &self.record.severity,
                [&affected.database_specific, &affected.ecosystem_specific, &self.record.database_specific],
            ),
            versions: if every_version { Vec::new() } else { affected.versions.iter().filter(is_new).cloned().collect() },
            every_version,
            ranges,
        })
    }

    fn kind(&self, affected: &OsvAffected) -> Kind {
        let record = self.record;
        let is_reported_as_malware = std::iter::once(&record.id).chain(&record.aliases).any(|id| id.starts_with("MAL-"));
        let said = [&affected.database_specific, &affected.ecosystem_specific, &record.database_specific];
        if is_reported_as_malware || said.iter().any(|members| says_malware(members)) {
            return Kind::Malware;
        }
        let is_notice = |members: &&Map<String, Value>| match members.get("informational") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => true,
        };
        if said.iter().any(is_notice) { Kind::Informational } else { Kind::Vulnerability }
    }
}

/// CWE-506, "embedded malicious code", in either of the two forms that databases write it, or the category `malicious`.
fn says_malware(members: &Map<String, Value>) -> bool {
    let list = |name: &str| members.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list("cwe_ids").iter().any(|cwe| cwe.as_str() == Some("CWE-506"))
        || list("cwes").iter().any(|cwe| cwe.get("cweId").and_then(Value::as_str) == Some("CWE-506"))
        || list("categories").iter().any(|category| category.as_str() == Some("malicious"))
}

/// The events of a range; `None` when it has none that says anything.
fn events(range: &OsvRange) -> Option<Range> {
    let mut events = Vec::new();
    for event in &range.events {
        let introduced = event.introduced.clone().map(RangeEvent::Introduced);
        let fixed = event.fixed.clone().map(RangeEvent::Fixed);
        let last_affected = event.last_affected.clone().map(RangeEvent::LastAffected);
        let limit = event.limit.clone().map(RangeEvent::Limit);
        events.extend([introduced, fixed, last_affected, limit].into_iter().flatten());
    }
    if events.is_empty() { None } else { Some(Range(events)) }
}
