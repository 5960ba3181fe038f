//! Everything that is visible or held, looked at one by one: what a policy is tried on. Invariant: a page is bounded, a version at a time
//! is in memory, and the connection goes back to the pool with the page.

use rusqlite::{OptionalExtension, named_params};

use super::author_view::Dossier;
use super::policies::PolicySnapshot;
use super::{Store, reevaluations, rows, versions};
use crate::domain::candidate::Decision;
use crate::domain::event::Named;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::RepoKey;
use crate::domain::repo::Repo;
use crate::domain::time::Time;
use crate::error::Result;
use crate::policy::Asked;

/// A version that a policy is tried on.
pub struct Surveyed {
    /// Which.
    pub named: Named,
    /// Published or quarantined.
    pub state: State,
    /// Whether a person holds it, which no policy ends.
    pub is_held_by_hand: bool,
    /// What its newest evaluation decided, if it has one here.
    pub decision: Option<Decision>,
    /// What was asked of it.
    pub asked: Asked,
    /// What the gate would know of it now, but for the policies in force.
    pub dossier: Dossier,
}

/// Which part of a repo is looked at next.
#[derive(Debug, Clone, Copy)]
pub struct SurveyPage<'a> {
    /// The repo.
    pub repo: &'a Repo,
    /// The last version looked at.
    pub after: Option<VersionId>,
    /// Only what was first seen or published since then.
    pub since: Option<Time>,
    /// How many versions are looked at.
    pub limit: usize,
}

impl Store {
    /// Gives the versions of a page to `take`, one at a time, and the last one looked at; `None` at the end. Callers hold a
    /// `Permit<Admin>` or an `Operator`. Blocks.
    ///
    /// # Errors
    /// What `take` returns; internal when SQLite fails.
    pub fn survey(&self, page: SurveyPage<'_>, mut take: impl FnMut(Surveyed) -> Result<()>) -> Result<Option<VersionId>> {
        let connection = self.connection()?;
        let ids = ids(&connection, page)?;
        for (id, is_recent) in &ids {
            if *is_recent && let Some(surveyed) = surveyed(&connection, page.repo, id)? {
                take(surveyed)?;
            }
        }
        Ok(ids.last().map(|(id, _)| *id))
    }

    /// What the gate would know now of a version, of whichever repo, for entry into `target`; `None` when it is gone. Callers hold a
    /// `Permit<Promote>` on the target or an `Operator`. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_dossier(&self, id: &VersionId, target: &Repo) -> Result<Option<Dossier>> {
        let connection = self.connection()?;
        let source: Option<RepoKey> = connection
            .prepare_cached("SELECT repo_key FROM versions WHERE version_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, |row| rows::parse(row, "repo_key"))
            .optional()?;
        source.map_or(Ok(None), |source| Dossier::read(&connection, &source, id, target))
    }

    /// The policies in force in a repo. Callers hold a `Permit<Admin>` or an `Operator`. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn policies_in_force(&self, repo: &RepoKey) -> Result<PolicySnapshot> {
        Ok(super::policies::current(&*self.connection()?, repo)?)
    }
}

/// The next versions that are visible or held, and whether each is as recent as was asked for.
fn ids(connection: &rusqlite::Connection, page: SurveyPage<'_>) -> Result<Vec<(VersionId, bool)>> {
    let mut statement = connection.prepare_cached(
        "SELECT version_id, (:since IS NULL OR created_at >= :since OR coalesce(published_at >= :since, 0)) AS is_recent
         FROM versions INDEXED BY versions_in_repo
         WHERE repo_key = :repo AND version_id > :after AND state IN (:published, :quarantined) ORDER BY version_id LIMIT :limit",
    )?;
    let found = statement.query_map(
        named_params! {
            ":repo": page.repo.key.as_str(), ":after": page.after.map(|id| id.to_string()).unwrap_or_default(),
            ":since": page.since.map(Time::unix_ms), ":published": State::Published.as_str(), ":quarantined": State::Quarantined.as_str(),
            ":limit": rows::stored(page.limit as u64),
        },
        |row| Ok((rows::parse(row, "version_id")?, row.get("is_recent")?)),
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn surveyed(connection: &rusqlite::Connection, repo: &Repo, id: &VersionId) -> Result<Option<Surveyed>> {
    // It may have been taken back since the page was read.
    let Some(found) = versions::find(connection, &repo.key, id)? else { return Ok(None) };
    let version = &found.content;
    if !matches!(version.state, State::Published | State::Quarantined) {
        return Ok(None);
    }
    let (state, named) = (version.state, versions::named(version));
    let hold = match state {
        State::Quarantined => reevaluations::open_hold(connection, version)?,
        State::Draft | State::Published | State::Rejected | State::Tombstoned => None,
    };
    let newest = reevaluations::newest(connection, version, hold.as_ref())?;
    let asked = reevaluations::asked(connection, version, hold.as_ref(), newest.as_ref())?;
    let is_held_by_hand = state == State::Quarantined && hold.as_ref().is_none_or(reevaluations::is_by_hand);
    let dossier = Dossier::of(connection, found, repo, PolicySnapshot::default())?;
    Ok(Some(Surveyed { named, state, is_held_by_hand, decision: newest.map(|recorded| recorded.evaluation.decision), asked, dossier }))
}
