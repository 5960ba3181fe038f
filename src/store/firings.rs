//! How often each rule fired, by day. Invariant: counted in the transaction in which the evaluation is recorded, so that no evaluation is
//! counted without its record; bounded by rules and days.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::write::Write;
use super::{Store, rows, versions};
use crate::domain::access::{Operator, Permit, Promote};
use crate::domain::candidate::{Decision, PolicyLevel, Reason};
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::domain::waiver::FiringPart;
use crate::error::Result;
use crate::policy::Verdict;

/// Different rules that one answer lists, at most.
pub const FIRINGS_LIMIT: usize = 500;
/// Days that are kept.
pub const FIRINGS_KEPT_DAYS: i64 = 400;
const DAY_MS: i64 = 86_400_000;

/// How often one rule fired in one repo, in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The repo.
    pub repo: RepoKey,
    /// The rule's `@id`, or the name of the server's own reason.
    pub rule: String,
    /// Whose policy it stands in; `None` for the server's own reasons.
    pub policy: Option<PolicyLevel>,
    /// Whether it decided.
    pub part: FiringPart,
    /// What it asks for.
    pub decision: Decision,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Time,
    /// For which version last.
    pub last_version_id: VersionId,
    /// The package URL of that version.
    pub last_purl: Option<String>,
}

/// What fired since some day, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firings {
    /// The beginning of the first day that is counted.
    pub since: Time,
    /// Up to [`FIRINGS_LIMIT`] of them.
    pub items: Vec<Firing>,
    /// Whether these are all.
    pub is_complete: bool,
}

type Key = (String, FiringPart, Decision);

/// What fired in one repo since a day, joined over the days.
fn of_repo(connection: &Connection, repo: &RepoKey, since_day: i64, found: &mut Vec<Firing>) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT rule, part, decision, count, last_at, last_version_id FROM rule_firings WHERE repo_key = :repo AND day >= :day
         ORDER BY day",
    )?;
    let mut rows = statement.query(named_params! {":repo": repo.as_str(), ":day": since_day})?;
    let mut joined: BTreeMap<Key, Firing> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let filed: String = row.get("rule")?;
        let (part, decision) = (rows::parse(row, "part")?, rows::parse(row, "decision")?);
        let (policy, rule) = match filed.split_once('/').map(|(level, rule)| (level.parse().ok(), rule)) {
            Some((Some(level), rule)) => (Some(level), rule.to_owned()),
            Some((None, _)) | None => (None, filed.clone()),
        };
        let (last_at, last_version_id) = (rows::time(row, "last_at")?, rows::parse(row, "last_version_id")?);
        let firing = joined.entry((filed, part, decision)).or_insert_with(|| Firing {
            repo: repo.clone(),
            rule,
            policy,
            part,
            decision,
            count: 0,
            last_at,
            last_version_id,
            last_purl: None,
        });
        firing.count = firing.count.saturating_add(rows::unsigned(row, "count")?);
        if last_at >= firing.last_at {
            (firing.last_at, firing.last_version_id) = (last_at, last_version_id);
        }
    }
    found.extend(joined.into_values());
    Ok(())
}

/// The most frequent of them, each with its package.
fn most_frequent(connection: &Connection, since_day: i64, mut found: Vec<Firing>, limit: usize) -> Result<Firings> {
    found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.repo, a.policy, &a.rule).cmp(&(&b.repo, b.policy, &b.rule))));
    let is_complete = found.len() <= limit;
    found.truncate(limit);
    for firing in &mut found {
        firing.last_purl = connection
            .prepare_cached("SELECT * FROM version_rows WHERE version_id = :id")?
            .query_row(named_params! {":id": firing.last_version_id.to_string()}, versions::version)
            .optional()?
            .map(|version| version.coordinates.purl());
    }
    Ok(Firings { since: Time::from_unix_ms(since_day.saturating_mul(DAY_MS)), items: found, is_complete })
}

fn day_of(time: Time) -> i64 {
    time.unix_ms().div_euclid(DAY_MS)
}

impl Store {
    /// What fired in a repo since the day of `since`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn firings(&self, permit: &Permit<Promote>, since: Time) -> Result<Firings> {
        let connection = self.connection()?;
        let mut found = Vec::new();
        of_repo(&connection, permit.repo_key(), day_of(since), &mut found)?;
        most_frequent(&connection, day_of(since), found, FIRINGS_LIMIT)
    }

    /// What fired anywhere since the day of `since`, of one part only where that is wanted; up to `limit` rules.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn firings_everywhere(&self, _proof: &Operator, since: Time, part: Option<FiringPart>, limit: usize) -> Result<Firings> {
        let repos = self.repos()?;
        let connection = self.connection()?;
        let mut found = Vec::new();
        for repo in repos {
            of_repo(&connection, &repo.key, day_of(since), &mut found)?;
        }
        found.retain(|firing| part.is_none_or(|part| firing.part == part));
        most_frequent(&connection, day_of(since), found, limit)
    }
}

impl Write<'_> {
    /// Counts what fired for a verdict that is being recorded.
    pub(super) fn count_firings(&mut self, repo: &RepoKey, verdict: &Verdict) -> Result<()> {
        let parts =
            [(FiringPart::Enforced, verdict.reasons()), (FiringPart::Observed, verdict.observed()), (FiringPart::Waived, verdict.waived())];
        for (part, reasons) in parts {
            for reason in reasons {
                self.count_firing(repo, part, reason, &verdict.version_id())?;
            }
        }
        Ok(())
    }

    fn count_firing(&self, repo: &RepoKey, part: FiringPart, reason: &Reason, version_id: &VersionId) -> Result<()> {
        let (now, day) = (self.now().unix_ms(), day_of(self.now()));
        self.connection()
            .prepare_cached(
                "INSERT INTO rule_firings (repo_key, rule, part, decision, day, count, last_at, last_version_id)
                 VALUES (:repo, :rule, :part, :decision, :day, 1, :now, :version)
                 ON CONFLICT (repo_key, day, part, rule, decision) DO UPDATE
                     SET count = count + 1, last_at = excluded.last_at, last_version_id = excluded.last_version_id",
            )?
            .execute(named_params! {
                ":repo": repo.as_str(), ":rule": reason.waiver(), ":part": part.as_str(), ":decision": reason.decision.as_str(), ":day": day,
                ":now": now, ":version": version_id.to_string(),
            })?;
        self.connection()
            .prepare_cached("DELETE FROM rule_firings WHERE repo_key = :repo AND day < :oldest")?
            .execute(named_params! {":repo": repo.as_str(), ":oldest": day - FIRINGS_KEPT_DAYS})?;
        Ok(())
    }
}
