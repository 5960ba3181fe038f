//! What is used and what may be. Invariant: the counters are kept by triggers, so they are exact in every transaction; whatever adds bytes
//! or versions asks here afterwards, in the same transaction, and is undone when it was too much.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::write::{Done, Write};
use super::{Store, rows};
use crate::domain::access::{Operator, Permit, Read};
use crate::domain::event::Event;
use crate::domain::name::RepoKey;
use crate::domain::space::{Allotment, Quota, SpaceEvent, Usage, no_room_for_bytes, no_room_for_versions};
use crate::error::Result;

fn read(row: &Row<'_>) -> rusqlite::Result<Allotment> {
    let limit = |column: &str| row.get::<_, Option<i64>>(column).map(|limit| limit.and_then(|limit| u64::try_from(limit).ok()));
    Ok(Allotment {
        usage: Usage {
            blob_bytes: rows::unsigned(row, "blob_bytes")?,
            blob_count: rows::unsigned(row, "blob_count")?,
            version_count: rows::unsigned(row, "version_count")?,
        },
        quota: Quota { max_bytes: limit("max_bytes")?, max_versions: limit("max_versions")? },
    })
}

/// The key of a row: a repo's, or '' for the instance.
fn key(repo: Option<&RepoKey>) -> &str {
    repo.map_or("", RepoKey::as_str)
}

/// What a repo, or for `None` the instance, uses and may use.
fn allotment(connection: &Connection, repo: Option<&RepoKey>) -> Result<Allotment> {
    let found = connection
        .prepare_cached(
            "SELECT blob_bytes, blob_count, version_count, max_bytes, max_versions
             FROM usage LEFT JOIN quotas USING (repo_key) WHERE repo_key = :repo",
        )?
        .query_row(named_params! {":repo": key(repo)}, read)
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// How many repos that are nearly full are named.
const NEARLY_FULL_LIMIT: u64 = 20;

impl Store {
    /// What a repo uses and may use.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn allotment(&self, permit: &Permit<Read>) -> Result<Allotment> {
        allotment(&*self.connection()?, Some(permit.repo_key()))
    }

    /// What any repo, or for `None` the instance, uses and may use.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn allotment_of(&self, _proof: &Operator, repo: Option<&RepoKey>) -> Result<Allotment> {
        allotment(&*self.connection()?, repo)
    }

    /// What bounds an upload into a repo: the repo's share and the instance's.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn bounds_of_upload(&self, repo: &RepoKey) -> Result<[(Option<RepoKey>, Allotment); 2]> {
        let connection = self.connection()?;
        Ok([(Some(repo.clone()), allotment(&connection, Some(repo))?), (None, allotment(&connection, None)?)])
    }

    /// Those that have used nine tenths of a limit, by key; the instance first, as `None`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn nearly_full(&self, _proof: &Operator) -> Result<Vec<(Option<RepoKey>, Allotment)>> {
        self.quotas_nearly_full()
    }

    /// What is stored, for the metrics.
    pub(super) fn measure_space(&self) -> Result<()> {
        let usage = allotment(&*self.connection()?, None)?.usage;
        self.metrics.space.set_stored(usage.blob_count, usage.blob_bytes, self.quotas_nearly_full()?.len() as u64);
        Ok(())
    }

    fn quotas_nearly_full(&self) -> Result<Vec<(Option<RepoKey>, Allotment)>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT repo_key, blob_bytes, blob_count, version_count, max_bytes, max_versions FROM quotas CROSS JOIN usage USING (repo_key)
             WHERE blob_bytes * 10 >= max_bytes * 9 OR version_count * 10 >= max_versions * 9 ORDER BY repo_key LIMIT :limit",
        )?;
        let found = statement.query_map(named_params! {":limit": rows::stored(NEARLY_FULL_LIMIT)}, |row| {
            let repo: String = row.get("repo_key")?;
            let repo = if repo.is_empty() { None } else { Some(rows::parse(row, "repo_key")?) };
            Ok((repo, read(row)?))
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

impl Write<'_> {
    /// Sets what a repo, or for `None` the instance, may use. What is used beyond it stays; nothing is added.
    ///
    /// # Errors
    /// `not_found` for a repo that is not there.
    pub fn set_quota(&mut self, _proof: &Operator, repo: Option<&RepoKey>, quota: &Quota) -> Result<Done<Allotment>> {
        if let Some(repo) = repo {
            self.repo(repo)?;
        }
        self.connection()
            .prepare_cached(
                "INSERT INTO quotas (repo_key, max_bytes, max_versions, updated_at, updated_by) VALUES (:repo, :bytes, :versions, :now, :by)
                 ON CONFLICT (repo_key) DO UPDATE SET max_bytes = excluded.max_bytes, max_versions = excluded.max_versions,
                     updated_at = excluded.updated_at, updated_by = excluded.updated_by",
            )?
            .execute(named_params! {
                ":repo": key(repo), ":bytes": quota.max_bytes.map(rows::stored), ":versions": quota.max_versions.map(rows::stored),
                ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
            })?;
        let after = allotment(self.connection(), repo)?;
        Ok(Done::new(after, Event::Space(SpaceEvent::QuotaSet { repo: repo.cloned(), quota: *quota })))
    }

    /// Makes the counters of a new repo; those of a deleted repo of that key go on.
    pub(super) fn begin_usage(&self, repo: &RepoKey) -> Result<()> {
        self.connection()
            .prepare_cached("INSERT INTO usage (repo_key) VALUES (:repo) ON CONFLICT (repo_key) DO NOTHING")?
            .execute(named_params! {":repo": repo.as_str()})?;
        Ok(())
    }

    /// Refuses the bytes that this transaction has just added when they are too many.
    ///
    /// # Errors
    /// `too_large` in the words of the quota.
    pub(super) fn check_room_for_bytes(&self, repo: &RepoKey) -> Result<()> {
        for owner in [Some(repo), None] {
            let found = allotment(self.connection(), owner)?;
            if found.is_over_bytes() {
                return Err(no_room_for_bytes(owner, &found));
            }
        }
        Ok(())
    }

    /// Refuses the version that this transaction has just added when there are too many.
    ///
    /// # Errors
    /// `too_large` in the words of the quota.
    pub(super) fn check_room_for_versions(&self, repo: &RepoKey) -> Result<()> {
        for owner in [Some(repo), None] {
            let found = allotment(self.connection(), owner)?;
            if found.is_over_versions() {
                return Err(no_room_for_versions(owner, &found));
            }
        }
        Ok(())
    }
}
