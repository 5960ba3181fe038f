//! Stored policies. Invariant: a policy text is never edited; a new one is a new revision, and the newest is in force.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::rows::{self, Page};
use super::write::Write;
use crate::domain::candidate::PolicyLevel;
use crate::domain::digest::Digest;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::Result;

/// One revision of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRevision {
    /// The repo, or `None` for the instance.
    pub repo: Option<RepoKey>,
    /// 1, 2, 3, …
    pub revision: u64,
    /// The sha256 of the text.
    pub digest: Digest,
    /// The text.
    pub text: String,
    /// The examples that it passes, as they were given.
    pub cases: Option<String>,
    /// When it was stored.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
}

/// A checked policy about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewPolicy<'a> {
    /// The sha256 of the text.
    pub digest: Digest,
    /// The text.
    pub text: &'a str,
    /// The examples that it passed.
    pub cases: Option<&'a str>,
}

/// One revision of a policy as listed: without its text, which may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRevision {
    /// 1, 2, 3, …
    pub revision: u64,
    /// The sha256 of the text.
    pub digest: Digest,
    /// When it was stored.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
}

/// The policies in force in a repo at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySnapshot {
    /// The instance's, if it has one.
    pub instance: Option<PolicyRevision>,
    /// The repo's own, if it has one.
    pub repo: Option<PolicyRevision>,
}

impl PolicySnapshot {
    /// The policies with their levels, the instance's first.
    pub fn iter(&self) -> impl Iterator<Item = (PolicyLevel, &PolicyRevision)> {
        let instance = self.instance.iter().map(|revision| (PolicyLevel::Instance, revision));
        instance.chain(self.repo.iter().map(|revision| (PolicyLevel::Repo, revision)))
    }

    /// The snapshot with one more policy.
    #[must_use]
    pub fn with(mut self, (level, revision): (PolicyLevel, PolicyRevision)) -> PolicySnapshot {
        match level {
            PolicyLevel::Instance => self.instance = Some(revision),
            PolicyLevel::Repo => self.repo = Some(revision),
        }
        self
    }

    /// The levels with the digests of their texts, the instance's first.
    #[must_use]
    pub fn digests(&self) -> Vec<(PolicyLevel, Digest)> {
        self.iter().map(|(level, revision)| (level, revision.digest)).collect()
    }
}

/// Which revisions are in force in a repo at one moment, without their texts.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// The instance's, if it has one.
    pub(super) instance: Option<(u64, Digest)>,
    /// The repo's own, if it has one.
    pub(super) repo: Option<(u64, Digest)>,
}

impl InForce {
    /// The levels with the digests of their texts, the instance's first.
    pub(super) fn digests(&self) -> Vec<(PolicyLevel, Digest)> {
        let levels = [(PolicyLevel::Instance, self.instance), (PolicyLevel::Repo, self.repo)];
        levels.into_iter().filter_map(|(level, newest)| newest.map(|(_, digest)| (level, digest))).collect()
    }
}

/// Which revisions are in force in `repo`.
pub(super) fn in_force(connection: &Connection, repo: &RepoKey) -> rusqlite::Result<InForce> {
    let newest = |repo: Option<&RepoKey>| {
        connection
            .prepare_cached("SELECT revision, digest FROM policies WHERE repo_key = :repo ORDER BY revision DESC LIMIT 1")?
            .query_row(named_params! {":repo": stored_key(repo)}, |row| Ok((rows::unsigned(row, "revision")?, rows::parse(row, "digest")?)))
            .optional()
    };
    Ok(InForce { instance: newest(None)?, repo: newest(Some(repo))? })
}

fn read(row: &Row<'_>) -> rusqlite::Result<PolicyRevision> {
    let key: String = row.get("repo_key")?;
    let repo = if key.is_empty() { None } else { Some(rows::parse(row, "repo_key")?) };
    Ok(PolicyRevision {
        repo,
        revision: rows::unsigned(row, "revision")?,
        digest: rows::parse(row, "digest")?,
        text: row.get("text")?,
        cases: row.get("cases")?,
        created_at: rows::time(row, "created_at")?,
        created_by: super::versions::subject(row, "created_by")?,
    })
}

fn stored_key(repo: Option<&RepoKey>) -> &str {
    repo.map_or("", RepoKey::as_str)
}

/// The newest policy of the instance (`None`) or of a repo.
fn newest(connection: &Connection, repo: Option<&RepoKey>) -> rusqlite::Result<Option<PolicyRevision>> {
    connection
        .prepare_cached("SELECT * FROM policies WHERE repo_key = :repo ORDER BY revision DESC LIMIT 1")?
        .query_row(named_params! {":repo": stored_key(repo)}, read)
        .optional()
}

/// The policies in force in `repo`.
pub(super) fn current(connection: &Connection, repo: &RepoKey) -> rusqlite::Result<PolicySnapshot> {
    Ok(PolicySnapshot { instance: newest(connection, None)?, repo: newest(connection, Some(repo))? })
}

/// One revision of the policy of the instance (`None`) or of a repo.
pub(super) fn revision(connection: &Connection, repo: Option<&RepoKey>, revision: u64) -> rusqlite::Result<Option<PolicyRevision>> {
    connection
        .prepare_cached("SELECT * FROM policies WHERE repo_key = :repo AND revision = :revision")?
        .query_row(named_params! {":repo": stored_key(repo), ":revision": rows::stored(revision)}, read)
        .optional()
}

impl Store {
    /// The newest policy of the instance (`None`) or of a repo. Callers hold an `Operator` or a `Permit<Admin>`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn policy(&self, repo: Option<&RepoKey>) -> Result<Option<PolicyRevision>> {
        Ok(newest(&*self.connection()?, repo)?)
    }

    /// One revision of the policy of the instance (`None`) or of a repo. Callers hold an `Operator` or a `Permit<Admin>`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn policy_revision(&self, repo: Option<&RepoKey>, number: u64) -> Result<Option<PolicyRevision>> {
        Ok(revision(&*self.connection()?, repo, number)?)
    }

    /// One page of the revisions, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn policy_revisions(&self, repo: Option<&RepoKey>, limit: usize, cursor: Option<&str>) -> Result<Page<ListedRevision>> {
        let before: i64 = match cursor {
            Some(text) => text.parse().map_err(|_| rows::bad_cursor())?,
            None => i64::MAX,
        };
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT revision, digest, created_at, created_by FROM policies WHERE repo_key = :repo AND revision < :before
             ORDER BY revision DESC LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":repo": stored_key(repo), ":before": before, ":limit": rows::stored(limit as u64 + 1)},
            |row| {
                Ok(ListedRevision {
                    revision: rows::unsigned(row, "revision")?,
                    digest: rows::parse(row, "digest")?,
                    created_at: rows::time(row, "created_at")?,
                    created_by: super::versions::subject(row, "created_by")?,
                })
            },
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |revision| revision.revision.to_string()))
    }
}

impl Write<'_> {
    /// Stores a checked policy text and the cases that it passed as the next revision; the same as the newest changes nothing and is
    /// answered with `false`. `None` when the newest is no longer the revision `after`, 0 for none.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn add_policy(&mut self, repo: Option<&RepoKey>, after: u64, policy: NewPolicy<'_>) -> Result<Option<(PolicyRevision, bool)>> {
        let newest = newest(self.connection(), repo)?;
        if newest.as_ref().map_or(0, |newest| newest.revision) != after {
            return Ok(None);
        }
        let NewPolicy { digest, text, cases } = policy;
        if let Some(newest) = newest.filter(|newest| newest.digest == digest && newest.cases.as_deref() == cases) {
            return Ok(Some((newest, false)));
        }
        let revision = PolicyRevision {
            repo: repo.cloned(),
            revision: after + 1,
            digest,
            text: text.to_owned(),
            cases: cases.map(str::to_owned),
            created_at: self.now(),
            created_by: self.actor().subject.clone(),
        };
        self.connection()
            .prepare_cached(
                "INSERT INTO policies (repo_key, revision, digest, text, cases, created_at, created_by)
                 VALUES (:repo, :revision, :digest, :text, :cases, :created_at, :created_by)",
            )?
            .execute(named_params! {
                ":repo": stored_key(repo), ":revision": rows::stored(revision.revision), ":digest": digest.to_string(), ":text": text,
                ":cases": cases, ":created_at": revision.created_at.unix_ms(), ":created_by": revision.created_by.as_str(),
            })?;
        Ok(Some((revision, true)))
    }
}
