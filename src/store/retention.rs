//! Rules of retention and what they no longer keep. Invariant: a version is taken back by a rule only in a transaction in which the rule,
//! asked again with everything visible then, does not keep it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::write::{Done, Write};
use super::{Store, rows, versions};
use crate::domain::access::{Admin, Permit};
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::retention::{Kept, RetentionRule, no_longer_kept};
use crate::domain::space::SpaceEvent;
use crate::domain::time::Time;
use crate::error::Result;

/// Packages that are read at once.
const PACKAGES_BATCH: u64 = 200;

/// A visible version that a rule no longer keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its package, for [`Write::retire`].
    pub package: i64,
    /// The version.
    pub version_id: VersionId,
    /// What it is called.
    pub purl: String,
    /// When it became visible.
    pub published_at: Option<Time>,
    /// The bytes of its files; those that other versions have too come free with the last of them.
    pub size_bytes: u64,
    /// Why nothing keeps it.
    pub reason: String,
}

fn read_rule(row: &Row<'_>) -> rusqlite::Result<RetentionRule> {
    let number = |column: &str| {
        let number: Option<i64> = row.get(column)?;
        number.map(|number| u32::try_from(number).map_err(|error| rows::unreadable(column, &error))).transpose()
    };
    Ok(RetentionRule {
        keep_last: number("keep_last")?,
        keep_days: number("keep_days")?,
        keep_downloaded_days: number("keep_downloaded_days")?,
    })
}

fn rule_of(connection: &Connection, repo: &RepoKey) -> Result<Option<RetentionRule>> {
    let found = connection
        .prepare_cached("SELECT keep_last, keep_days, keep_downloaded_days FROM retention_rules WHERE repo_key = :repo")?
        .query_row(named_params! {":repo": repo.as_str()}, read_rule)
        .optional()?;
    Ok(found)
}

/// Everything visible of a package.
fn visible(connection: &Connection, package: i64) -> Result<Vec<Kept>> {
    let mut statement = connection.prepare_cached(
        "SELECT version_rows.*,
                (SELECT max(last_at) FROM downloads INDEXED BY downloads_by_version_age WHERE downloads.version_id = version_rows.version_id) AS last_fetched_at,
                EXISTS (SELECT 1 FROM package_tags WHERE package_tags.version_id = version_rows.version_id) AS is_tagged
         FROM version_rows WHERE package_id = :package AND state = 'published'",
    )?;
    let found = statement.query_map(named_params! {":package": package}, |row| {
        Ok(Kept {
            version: versions::version(row)?,
            last_fetched_at: rows::time_optional(row, "last_fetched_at")?,
            is_tagged: row.get("is_tagged")?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn size_of(connection: &Connection, id: &VersionId) -> Result<u64> {
    let size = connection
        .prepare_cached("SELECT coalesce(sum(size_bytes), 0) AS total FROM entries WHERE version_id = :id")?
        .query_row(named_params! {":id": id.to_string()}, |row| rows::unsigned(row, "total"))?;
    Ok(size)
}

impl Store {
    /// The rule of a repo, if it has one.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn retention_rule(&self, repo: &RepoKey) -> Result<Option<RetentionRule>> {
        rule_of(&*self.connection()?, repo)
    }

    /// The repos that have a rule, by key.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn repos_with_retention(&self) -> Result<Vec<RepoKey>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT retention_rules.repo_key FROM retention_rules CROSS JOIN repos USING (repo_key)
             WHERE repos.deleted_at IS NULL ORDER BY retention_rules.repo_key",
        )?;
        let found = statement.query_map([], |row| rows::parse(row, "repo_key"))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// Up to about `limit` visible versions of a repo that the rule no longer keeps, package by package; whole packages, so that it may
    /// be a few more. And whether there may be others.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn no_longer_kept(&self, repo: &RepoKey, rule: &RetentionRule, limit: usize) -> Result<(Vec<Leaving>, bool)> {
        let connection = self.connection()?;
        let now = self.clock().now();
        let (mut leaving, mut after) = (Vec::new(), 0);
        loop {
            let packages = packages_after(&connection, repo, after)?;
            let Some(last) = packages.last() else { return Ok((leaving, false)) };
            after = *last;
            for package in packages {
                if leaving.len() >= limit {
                    return Ok((leaving, true));
                }
                let visible = visible(&connection, package)?;
                for (id, reason) in no_longer_kept(rule, &visible, now) {
                    let Some(kept) = visible.iter().find(|kept| kept.version.id == id) else { continue };
                    let size_bytes = size_of(&connection, &id)?;
                    let (purl, published_at) = (kept.version.coordinates.purl(), kept.version.published_at);
                    leaving.push(Leaving { package, version_id: id, purl, published_at, size_bytes, reason });
                }
            }
        }
    }
}

fn packages_after(connection: &Connection, repo: &RepoKey, after: i64) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT package_id FROM packages INDEXED BY packages_by_repo WHERE repo_key = :repo AND package_id > :after
         ORDER BY package_id LIMIT :limit",
    )?;
    let found = statement
        .query_map(named_params! {":repo": repo.as_str(), ":after": after, ":limit": rows::stored(PACKAGES_BATCH)}, |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl Write<'_> {
    /// Sets the rule of a repo, or takes it away. Nothing is taken back by that.
    ///
    /// # Errors
    /// `not_found` when the repo was deleted meanwhile.
    pub fn set_retention(&mut self, permit: &Permit<Admin>, rule: Option<&RetentionRule>) -> Result<Done<()>> {
        let key = permit.repo_key();
        self.repo(key)?;
        match rule {
            Some(rule) => {
                self.connection()
                    .prepare_cached(
                        "INSERT INTO retention_rules (repo_key, keep_last, keep_days, keep_downloaded_days, updated_at, updated_by)
                         VALUES (:repo, :last, :days, :downloaded, :now, :by)
                         ON CONFLICT (repo_key) DO UPDATE SET keep_last = excluded.keep_last, keep_days = excluded.keep_days,
                             keep_downloaded_days = excluded.keep_downloaded_days, updated_at = excluded.updated_at,
                             updated_by = excluded.updated_by",
                    )?
                    .execute(named_params! {
                        ":repo": key.as_str(), ":last": rule.keep_last, ":days": rule.keep_days, ":downloaded": rule.keep_downloaded_days,
                        ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
                    })?;
            }
            None => self.delete_retention_of(key)?,
        }
        Ok(Done::new((), Event::Space(SpaceEvent::RetentionSet { repo: key.clone(), rule: rule.copied() })))
    }

    /// Removes the rule of a repo, if it has one.
    pub(super) fn delete_retention_of(&self, repo: &RepoKey) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM retention_rules WHERE repo_key = :repo")?
            .execute(named_params! {":repo": repo.as_str()})?;
        Ok(())
    }

    /// Takes back those of `planned` that their package's rule, asked again now, does not keep. Returns how many.
    ///
    /// # Errors
    /// `not_found` when the repo was deleted meanwhile.
    pub fn retire(&mut self, repo: &RepoKey, packages: &BTreeSet<i64>, planned: &BTreeSet<VersionId>) -> Result<Done<u64>> {
        let days = self.repo(repo)?.settings.retention_days;
        let (mut count, mut events) = (0, Vec::new());
        let Some(rule) = rule_of(self.connection(), repo)? else { return Ok(Done::unchanged(0)) };
        for package in packages {
            let visible = visible(self.connection(), *package)?;
            let leaving = no_longer_kept(&rule, &visible, self.now());
            for (id, reason) in leaving.iter().filter(|(id, _)| planned.contains(id)) {
                let Some(kept) = visible.iter().find(|kept| kept.version.id == *id && kept.version.repo == *repo) else { continue };
                events.extend(self.take_back(&kept.version, &format!("retention: {reason}"), days)?.into_events());
                count += 1;
            }
        }
        Ok(Done::all(count, events))
    }
}
