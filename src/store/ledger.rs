//! What was decided, as it was recorded: evaluations with their inputs, and the policies they were made by. Invariant: it only reads; a
//! ledger of a directory that no server has open changes no byte in it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::evaluations::{self, Evaluation, RecordedEvaluation};
use super::policies::{self, PolicySnapshot};
use super::pool::Reader;
use super::{Store, connection, migrate, rows};
use crate::domain::candidate::PolicyLevel;
use crate::domain::id::EvaluationId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::error::{Code, Error, Result};

/// Inputs of one page together, in bytes: what comes after is for the next.
const PAGE_LIMIT_BYTES: usize = 8 << 20;

/// Recorded decisions, read from a server's pool or from a directory.
pub struct Ledger(Source);

enum Source {
    Pooled(Reader),
    Own(Connection),
}

impl Deref for Source {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Source::Pooled(reader) => reader,
            Source::Own(connection) => connection,
        }
    }
}

/// Which evaluations of a repo come next, oldest first.
#[derive(Debug, Clone)]
pub struct LedgerPage {
    /// The repo.
    pub repo: RepoKey,
    /// The last one read: its time in milliseconds and its id; before the first, the moment to begin at and an empty id.
    pub after: (i64, String),
    /// None that is younger than this.
    pub until: Option<Time>,
    /// How many at most.
    pub limit: usize,
}

impl Store {
    /// The recorded decisions. Callers hold a proof for the repos they read. Blocks.
    ///
    /// # Errors
    /// `unavailable` when no connection gets free.
    pub fn ledger(&self) -> Result<Ledger> {
        Ok(Ledger(Source::Pooled(self.connection()?)))
    }
}

impl Ledger {
    /// The recorded decisions in a directory that no server has open: a stopped server's, or a copy. No file is made or changed.
    ///
    /// # Errors
    /// `not_found` without a database; `conflict` when its write-ahead log has changes that are not in it, or its schema is another.
    pub fn open(directory: &Path) -> Result<Ledger> {
        let path = directory.join("state.db");
        if !path.exists() {
            return Err(Error::new(Code::NotFound, format!("there is no database at {}", path.display())));
        }
        let log = directory.join("state.db-wal");
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            let advice = "start artifortress on it once and stop it, which moves them into the database; for a copy, do so on a copy of it";
            return Err(Error::conflict(format!("{} has changes that state.db lacks; {advice}", log.display())));
        }
        let connection = connection::open_untouched(&path)?;
        let (found, newest) = (migrate::version_of(&connection)?, migrate::newest(migrate::STATE));
        if found != newest {
            return Err(Error::conflict(format!(
                "the schema in {} is {found}, this program's is {newest}; use the artifortress that wrote it",
                path.display()
            )));
        }
        Ok(Ledger(Source::Own(connection)))
    }

    /// The repos there are or were, by key: what was decided of a deleted one stays.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn repos(&self) -> Result<VecDeque<RepoKey>> {
        let mut statement = self.0.prepare_cached("SELECT repo_key FROM repos ORDER BY repo_key")?;
        let found = statement.query_map([], |row| rows::parse(row, "repo_key"))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// The next evaluations of a repo, oldest first; fewer than asked for when their inputs are large, none at the end.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn page(&self, page: &LedgerPage) -> Result<Vec<RecordedEvaluation>> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM evaluations INDEXED BY evaluations_by_repo
             WHERE repo_key = :repo AND (evaluated_at, evaluation_id) > (:at, :id) AND evaluated_at <= :until
             ORDER BY evaluated_at, evaluation_id LIMIT :limit",
        )?;
        let until = page.until.map_or(i64::MAX, Time::unix_ms);
        let mut found = statement.query(named_params! {
            ":repo": page.repo.as_str(), ":at": page.after.0, ":id": page.after.1, ":until": until, ":limit": rows::stored(page.limit as u64),
        })?;
        let (mut recorded, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let one = evaluations::recorded(row)?;
            bytes += one.input.len();
            recorded.push(one);
            if bytes > PAGE_LIMIT_BYTES {
                break;
            }
        }
        Ok(recorded)
    }

    /// The evaluation with this id, in whichever repo.
    ///
    /// # Errors
    /// `not_found`.
    pub fn evaluation(&self, id: &EvaluationId) -> Result<RecordedEvaluation> {
        let found = self
            .0
            .prepare_cached("SELECT * FROM evaluations WHERE evaluation_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, evaluations::recorded)
            .optional()?;
        found.ok_or_else(|| Error::not_found(format!("evaluation {id}")))
    }

    /// The policies that an evaluation was made by, as they stood then.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn policies_of(&self, evaluation: &Evaluation) -> Result<PolicySnapshot> {
        let instance = policies::revision(&self.0, None, evaluation.instance_revision)?;
        let repo = policies::revision(&self.0, Some(&evaluation.repo), evaluation.repo_revision)?;
        let instance = instance.map(|revision| (PolicyLevel::Instance, revision));
        let both = instance.into_iter().chain(repo.map(|revision| (PolicyLevel::Repo, revision)));
        Ok(both.fold(PolicySnapshot::default(), PolicySnapshot::with))
    }
}
