//! Re-evaluations of many versions: who asked for them, and how far they have come. Invariant: a sweep walks the versions of its
//! scope by their ids and remembers the last one, so that it goes on where it stopped; asked for again, it begins again.

use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::jobs::{self, JobKind, NewJob};
use super::write::{Bookkeeping, Write};
use super::{Store, rows};
use crate::domain::exception;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{PackageType, RepoKey};
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// Claims of one piece of a sweep before it is dead; whoever asks for the sweep again revives it.
const SWEEP_ATTEMPTS: u32 = 20;
/// Sweeps that the summary lists.
const RUNNING_LISTED: u32 = 20;

/// Which versions are evaluated again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SweepScope {
    /// All of them.
    Instance,
    /// Those of one repo.
    Repo(RepoKey),
    /// Those of one package, in every repo, by its normalised names.
    Package {
        /// The type.
        package_type: PackageType,
        /// The namespace's one spelling.
        namespace_key: String,
        /// The name's one spelling.
        name_key: String,
    },
}

impl fmt::Display for SweepScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SweepScope::Instance => f.write_str("instance"),
            SweepScope::Repo(key) => write!(f, "repo:{key}"),
            // The namespace by its length, since names may have any sign.
            SweepScope::Package { package_type, namespace_key, name_key } => {
                write!(f, "package:{}:{}:{namespace_key}{name_key}", package_type.as_str(), namespace_key.len())
            }
        }
    }
}

impl FromStr for SweepScope {
    type Err = Error;

    fn from_str(text: &str) -> Result<SweepScope> {
        let unknown = || Error::internal("reading the scope of a sweep", format!("{text:?} is none"));
        match text.split_once(':') {
            None if text == "instance" => Ok(SweepScope::Instance),
            Some(("repo", key)) => Ok(SweepScope::Repo(key.parse()?)),
            Some(("package", rest)) => {
                let (package_type, rest) = rest.split_once(':').ok_or_else(unknown)?;
                let (length, names) = rest.split_once(':').ok_or_else(unknown)?;
                let (namespace_key, name_key) =
                    length.parse().ok().and_then(|length| names.split_at_checked(length)).ok_or_else(unknown)?;
                Ok(SweepScope::Package {
                    package_type: package_type.parse()?,
                    namespace_key: namespace_key.to_owned(),
                    name_key: name_key.to_owned(),
                })
            }
            Some(_) | None => Err(unknown()),
        }
    }
}

/// How far a sweep has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRow {
    /// Which versions.
    pub scope: String,
    /// How often it was asked for.
    pub generation: u64,
    /// The last version looked at; empty at the beginning.
    pub cursor: String,
    /// Versions evaluated since it was asked for.
    pub judged: u64,
    /// How many of them changed their state.
    pub changed: u64,
    /// How many of them could not be evaluated; each is tried again by itself.
    pub failed: u64,
    /// When it was asked for last.
    pub asked_at: Time,
}

/// What one piece of a sweep did.
#[derive(Debug, Clone, Default)]
pub struct SweepPiece {
    /// The last version looked at.
    pub last: Option<VersionId>,
    /// Versions evaluated.
    pub judged: u64,
    /// Those that changed their state.
    pub changed: u64,
    /// Those that could not be evaluated.
    pub failed: u64,
    /// When which version is to be evaluated by itself.
    pub due: Vec<(VersionId, Time)>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<SweepRow> {
    Ok(SweepRow {
        scope: row.get("scope")?,
        generation: rows::unsigned(row, "generation")?,
        cursor: row.get("cursor")?,
        judged: rows::unsigned(row, "judged_count")?,
        changed: rows::unsigned(row, "changed_count")?,
        failed: rows::unsigned(row, "failed_count")?,
        asked_at: rows::time(row, "asked_at")?,
    })
}

/// The sweeps that run, those asked for first at the front.
pub(super) fn running(connection: &Connection) -> Result<Vec<SweepRow>> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM sweeps INDEXED BY sweeps_running WHERE finished_at IS NULL ORDER BY asked_at LIMIT :limit")?;
    let found = statement.query_map(named_params! {":limit": RUNNING_LISTED}, read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Asks for a sweep in a write whose event wakes the queue, or in the relay. One that runs begins again.
fn ask(connection: &Connection, id: uuid::Uuid, now: Time, scope: &SweepScope) -> Result<()> {
    let scope = scope.to_string();
    connection
        .prepare_cached(
            "INSERT INTO sweeps (scope, generation, cursor, judged_count, changed_count, failed_count, asked_at)
             VALUES (:scope, 1, '', 0, 0, 0, :now)
             ON CONFLICT (scope) DO UPDATE SET generation = generation + 1, cursor = '', judged_count = 0, changed_count = 0,
                 failed_count = 0, asked_at = excluded.asked_at, finished_at = NULL",
        )?
        .execute(named_params! {":scope": scope, ":now": now.unix_ms()})?;
    jobs::enqueue(
        connection,
        id,
        now,
        &NewJob { kind: JobKind::Sweep, subject_id: &scope, expectation: None, max_attempts: SWEEP_ATTEMPTS },
    )
}

impl Write<'_> {
    /// Has judged again what was said something about beside the policies.
    pub(super) fn judge_again(&mut self, said_of: exception::SweepScope) -> Result<()> {
        let scope = match said_of {
            exception::SweepScope::Version(_, id) => return self.schedule_at(&id, self.now()),
            exception::SweepScope::Instance => SweepScope::Instance,
            exception::SweepScope::Repo(repo) => SweepScope::Repo(repo),
            exception::SweepScope::Package(_, package) => SweepScope::Package {
                package_type: package.package_type().clone(),
                namespace_key: package.namespace_key().to_owned(),
                name_key: package.name_key().to_owned(),
            },
        };
        self.ask_sweep(&scope)
    }

    /// Asks for a re-evaluation of these versions with the change that makes it necessary. The event of that change must wake the
    /// queue: be in the outbox, or in `Event::touches_queue`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn ask_sweep(&mut self, scope: &SweepScope) -> Result<()> {
        ask(self.connection(), self.uuid(), self.now(), scope)
    }
}

impl Bookkeeping<'_> {
    /// The same for the relay.
    pub(super) fn ask_sweep(&mut self, scope: &SweepScope) -> Result<()> {
        ask(self.connection(), self.uuid(), self.now(), scope)?;
        self.mark_enqueued();
        Ok(())
    }

    /// Remembers what a piece of a sweep did, unless the sweep was asked for again since.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn advance_sweep(&mut self, sweep: &SweepRow, piece: &SweepPiece) -> Result<()> {
        for (version, due_at) in &piece.due {
            jobs::schedule(self.connection(), self.uuid(), self.now(), version, *due_at)?;
            self.mark_enqueued();
        }
        let Some(last) = piece.last else { return Ok(()) };
        self.connection()
            .prepare_cached(
                "UPDATE sweeps SET cursor = :cursor, judged_count = judged_count + :judged, changed_count = changed_count + :changed,
                     failed_count = failed_count + :failed
                 WHERE scope = :scope AND generation = :generation",
            )?
            .execute(named_params! {
                ":cursor": last.to_string(), ":judged": rows::stored(piece.judged), ":changed": rows::stored(piece.changed),
                ":failed": rows::stored(piece.failed), ":scope": sweep.scope, ":generation": rows::stored(sweep.generation),
            })?;
        Ok(())
    }

    /// Ends a sweep, unless it was asked for again since.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn end_sweep(&mut self, sweep: &SweepRow) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE sweeps SET finished_at = :now WHERE scope = :scope AND generation = :generation")?
            .execute(named_params! {
                ":now": self.now().unix_ms(), ":scope": sweep.scope, ":generation": rows::stored(sweep.generation),
            })?;
        Ok(())
    }

    /// Forgets up to `batch` sweeps that ended at `until` or before. Returns how many.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn prune_sweeps(&mut self, until: Time, batch: usize) -> Result<usize> {
        let removed = self
            .connection()
            .prepare_cached(
                "DELETE FROM sweeps WHERE scope IN (
                     SELECT scope FROM sweeps INDEXED BY sweeps_finished WHERE finished_at IS NOT NULL AND finished_at <= :until
                     ORDER BY finished_at LIMIT :batch)",
            )?
            .execute(named_params! {":until": until.unix_ms(), ":batch": rows::stored(batch as u64)})?;
        Ok(removed)
    }
}

impl Store {
    /// The sweep of this scope, while it runs. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_sweep(&self, scope: &SweepScope) -> Result<Option<SweepRow>> {
        let found = self
            .connection()?
            .prepare_cached("SELECT * FROM sweeps WHERE scope = :scope AND finished_at IS NULL")?
            .query_row(named_params! {":scope": scope.to_string()}, read)
            .optional()?;
        Ok(found)
    }

    /// The next versions of a sweep that are visible or held, after its cursor. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn versions_to_sweep(&self, scope: &SweepScope, cursor: &str, limit: usize) -> Result<Vec<VersionId>> {
        let connection = self.connection()?;
        let (published, quarantined) = (State::Published.as_str(), State::Quarantined.as_str());
        let limit = rows::stored(limit as u64);
        let id = |row: &Row<'_>| rows::parse(row, "version_id");
        let found = match scope {
            SweepScope::Instance => connection
                .prepare_cached(
                    "SELECT version_id FROM versions WHERE version_id > :cursor AND state IN (:published, :quarantined)
                     ORDER BY version_id LIMIT :limit",
                )?
                .query_map(named_params! {":cursor": cursor, ":published": published, ":quarantined": quarantined, ":limit": limit}, id)?
                .collect::<rusqlite::Result<_>>()?,
            SweepScope::Repo(key) => connection
                .prepare_cached(
                    "SELECT version_id FROM versions INDEXED BY versions_in_repo
                     WHERE repo_key = :repo AND version_id > :cursor AND state IN (:published, :quarantined) ORDER BY version_id LIMIT :limit",
                )?
                .query_map(
                    named_params! {":repo": key.as_str(), ":cursor": cursor, ":published": published, ":quarantined": quarantined,
                        ":limit": limit},
                    id,
                )?
                .collect::<rusqlite::Result<_>>()?,
            SweepScope::Package { package_type, namespace_key, name_key } => connection
                .prepare_cached(
                    "SELECT version_id FROM repos CROSS JOIN packages ON packages.repo_key = repos.repo_key AND package_type = :type
                         AND namespace_key = :namespace AND name_key = :name
                     CROSS JOIN versions ON versions.package_id = packages.package_id AND state IN (:published, :quarantined)
                     WHERE version_id > :cursor ORDER BY version_id LIMIT :limit",
                )?
                .query_map(
                    named_params! {":type": package_type.as_str(), ":namespace": namespace_key, ":name": name_key, ":cursor": cursor,
                        ":published": published, ":quarantined": quarantined, ":limit": limit},
                    id,
                )?
                .collect::<rusqlite::Result<_>>()?,
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_as_it_is_written() {
        let package = |namespace: &str, name: &str| SweepScope::Package {
            package_type: PackageType::generic(),
            namespace_key: namespace.to_owned(),
            name_key: name.to_owned(),
        };
        for scope in
            [SweepScope::Instance, SweepScope::Repo("main".parse().unwrap()), package("", "a:b"), package("a:", "ü"), package("ü", "")]
        {
            assert_eq!(scope.to_string().parse::<SweepScope>().unwrap(), scope);
        }
        assert_ne!(package("a", "bc").to_string(), package("ab", "c").to_string());
        for bad in ["", "repo", "package:generic", "package:generic:9:a", "other:x"] {
            assert!(bad.parse::<SweepScope>().is_err(), "{bad}");
        }
    }
}
