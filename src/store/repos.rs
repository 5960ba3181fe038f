//! Repos and bindings. Invariant: a deleted repo keeps its row and its versions, so that its coordinates stay spent.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::rows::{self, Page};
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Admin, Operator, Permit, Role, Roles};
use crate::domain::event::Event;
use crate::domain::lifecycle::State;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::repo::{Repo, RepoChange, RepoKind, RepoSettings};
use crate::error::{Error, Result};

fn read(row: &Row<'_>) -> rusqlite::Result<Repo> {
    let days = rows::unsigned(row, "retention_days")?;
    Ok(Repo {
        key: rows::parse(row, "repo_key")?,
        kind: rows::parse(row, "kind")?,
        settings: RepoSettings {
            anonymous_read: row.get("anonymous_read")?,
            require_dual_control: row.get("require_dual_control")?,
            retention_days: u32::try_from(days).map_err(|error| rows::unreadable("retention_days", &error))?,
        },
        created_at: rows::time(row, "created_at")?,
        updated_at: rows::time(row, "updated_at")?,
    })
}

pub(super) fn find(connection: &Connection, key: &RepoKey) -> rusqlite::Result<Option<Repo>> {
    connection
        .prepare_cached("SELECT * FROM repos WHERE repo_key = :key AND deleted_at IS NULL")?
        .query_row(named_params! {":key": key.as_str()}, read)
        .optional()
}

impl Store {
    /// The repo with this key.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_repo(&self, key: &RepoKey) -> Result<Option<Repo>> {
        Ok(find(&*self.connection()?, key)?)
    }

    /// All repos, by key. The caller shows each only to those who may read it.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn repos(&self) -> Result<Vec<Repo>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT * FROM repos WHERE deleted_at IS NULL ORDER BY repo_key")?;
        let found = statement.query_map([], read)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// The live bindings of a subject.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn bindings_of(&self, subject: &Subject) -> Result<Vec<(RepoKey, Roles)>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT repo_key, role FROM bindings WHERE subject = :subject ORDER BY repo_key")?;
        let found = statement.query_map(named_params! {":subject": subject.as_str()}, |row| {
            Ok((rows::parse(row, "repo_key")?, Roles::of(rows::parse::<Role>(row, "role")?)))
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// One page of the bindings of a repo, by subject.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn bindings(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<(Subject, Roles)>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT subject, group_concat(role) AS roles FROM bindings WHERE repo_key = :repo AND subject > :after
             GROUP BY subject ORDER BY subject LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":repo": permit.repo_key().as_str(), ":after": cursor.unwrap_or(""), ":limit": rows::stored(limit as u64 + 1)},
            |row| {
                let roles: String = row.get("roles")?;
                let roles = roles.split(',').map(str::parse::<Role>).collect::<Result<Roles>>();
                Ok((rows::parse(row, "subject")?, roles.map_err(|error| rows::unreadable("role", &error))?))
            },
        )?;
        let found = found.collect::<rusqlite::Result<Vec<(Subject, Roles)>>>()?;
        Ok(Page::cut(found, limit, |(subject, _)| subject.to_string()))
    }
}

impl Write<'_> {
    /// Creates a repo; the key of a deleted one may be used again, its spent coordinates stay spent.
    ///
    /// # Errors
    /// `conflict` when the key is taken.
    pub fn create_repo(&mut self, _proof: &Operator, key: &RepoKey, kind: RepoKind, settings: &RepoSettings) -> Result<Done<Repo>> {
        self.insert_repo(key, kind, settings)
    }

    /// Creates a repo at the first start, before anybody can hold a proof.
    ///
    /// # Errors
    /// `conflict` when the database holds a repo already.
    pub fn create_first_repo(&mut self, key: &RepoKey, settings: &RepoSettings) -> Result<Done<Repo>> {
        let count: i64 = self.connection().query_row("SELECT count(*) FROM repos", [], |row| row.get(0))?;
        if count > 0 {
            return Err(Error::conflict("this instance has repos already"));
        }
        self.insert_repo(key, RepoKind::Local, settings)
    }

    fn insert_repo(&mut self, key: &RepoKey, kind: RepoKind, settings: &RepoSettings) -> Result<Done<Repo>> {
        let inserted = self
            .connection()
            .prepare_cached(
                "INSERT INTO repos (repo_key, kind, anonymous_read, require_dual_control, retention_days, created_at, updated_at)
                 VALUES (:key, :kind, :anonymous, :dual, :days, :now, :now)
                 ON CONFLICT (repo_key) DO UPDATE SET kind = excluded.kind, anonymous_read = excluded.anonymous_read,
                     require_dual_control = excluded.require_dual_control, retention_days = excluded.retention_days,
                     updated_at = excluded.updated_at, deleted_at = NULL
                 WHERE deleted_at IS NOT NULL",
            )?
            .execute(named_params! {
                ":key": key.as_str(), ":kind": kind.as_str(), ":anonymous": settings.anonymous_read, ":dual": settings.require_dual_control,
                ":days": settings.retention_days, ":now": self.now().unix_ms(),
            })?;
        if inserted == 0 {
            return Err(Error::conflict(format!("there is already a repo {key}; choose another key")));
        }
        self.begin_usage(key)?;
        let repo = self.repo(key)?;
        Ok(Done::new(repo, Event::RepoCreated { repo: key.clone() }))
    }

    /// The repo as this transaction sees it.
    pub(super) fn repo(&self, key: &RepoKey) -> Result<Repo> {
        find(self.connection(), key)?.ok_or_else(|| Error::not_found(format!("repo {key}")))
    }

    /// Changes those settings of a repo that the change names; concurrent changes of others stand.
    ///
    /// # Errors
    /// `not_found` when it was deleted meanwhile.
    pub fn update_repo(&mut self, permit: &Permit<Admin>, change: &RepoChange) -> Result<Done<Repo>> {
        let key = permit.repo_key();
        self.connection()
            .prepare_cached(
                "UPDATE repos SET anonymous_read = coalesce(:anonymous, anonymous_read),
                     require_dual_control = coalesce(:dual, require_dual_control), retention_days = coalesce(:days, retention_days),
                     updated_at = :now
                 WHERE repo_key = :key AND deleted_at IS NULL",
            )?
            .execute(named_params! {
                ":anonymous": change.anonymous_read, ":dual": change.require_dual_control, ":days": change.retention_days,
                ":now": self.now().unix_ms(), ":key": key.as_str(),
            })?;
        let repo = self.repo(key)?;
        let settings = &repo.settings;
        let told = serde_json::json!({"anonymousRead": settings.anonymous_read, "requireDualControl": settings.require_dual_control,
            "retentionDays": settings.retention_days});
        Ok(Done::new(repo, Event::RepoUpdated { repo: key.clone(), settings: told }))
    }

    /// Deletes a repo that holds nothing.
    ///
    /// # Errors
    /// `conflict` when it still holds versions that are not tombstones.
    pub fn delete_repo(&mut self, permit: &Permit<Admin>) -> Result<Done<()>> {
        let key = permit.repo_key();
        let mut counts = self.connection().prepare_cached(
            "SELECT state, count(*) AS count FROM versions WHERE repo_key = :key AND state <> :gone GROUP BY state ORDER BY state",
        )?;
        let counts = counts.query_map(named_params! {":key": key.as_str(), ":gone": State::Tombstoned.as_str()}, |row| {
            Ok(format!("{} {}", row.get::<_, i64>("count")?, row.get::<_, String>("state")?))
        })?;
        let holds = counts.collect::<rusqlite::Result<Vec<_>>>()?;
        if !holds.is_empty() {
            let message = format!("repo {key} still holds versions: {}; take them back first, or send ?force=true", holds.join(", "));
            return Err(Error::conflict(message));
        }
        self.connection().prepare_cached("DELETE FROM bindings WHERE repo_key = :key")?.execute(named_params! {":key": key.as_str()})?;
        self.end_scopes(key)?;
        let mut ended = self.delete_webhooks_of(key)?;
        ended.extend(self.delete_reservations_of(key)?);
        ended.extend(self.lift_freezes_of(key)?);
        ended.extend(self.revoke_waivers_of(key)?);
        self.delete_tags_in(key)?;
        self.delete_owners_in(key)?;
        self.delete_retention_of(key)?;
        self.connection()
            .prepare_cached("UPDATE repos SET deleted_at = :now WHERE repo_key = :key AND deleted_at IS NULL")?
            .execute(named_params! {":now": self.now().unix_ms(), ":key": key.as_str()})?;
        Ok(Done::new((), Event::RepoDeleted { repo: key.clone() }).and_all(ended))
    }

    /// Takes the scopes on a repo out of all tokens, as its key may come to name another repo. No other repo's scope begins
    /// like this: a key has no colon.
    fn end_scopes(&self, key: &RepoKey) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE tokens SET scopes = (SELECT json_group_array(value) FROM json_each(tokens.scopes) WHERE substr(value, 1, length(:prefix)) <> :prefix)
                 WHERE EXISTS (SELECT 1 FROM json_each(tokens.scopes) WHERE substr(value, 1, length(:prefix)) = :prefix)",
            )?
            .execute(named_params! {":prefix": format!("repo:{key}:")})?;
        Ok(())
    }

    /// Takes back everything in a repo that can be: drafts are dropped, published and rejected versions become
    /// tombstones. Up to `limit` versions; returns how many.
    ///
    /// # Errors
    /// `conflict` when a version is held or protected: those are decided first.
    pub fn empty_repo(&mut self, permit: &Permit<Admin>, limit: u32) -> Result<Done<u32>> {
        let Some(writing) = permit.also::<crate::domain::access::Write>() else {
            return Err(Error::internal("emptying a repo", "admin does not include write"));
        };
        let key = permit.repo_key();
        let mut statement = self.connection().prepare_cached(
            "SELECT * FROM version_rows WHERE repo_key = :key AND state <> :gone ORDER BY state, version_id LIMIT :limit",
        )?;
        let found = statement
            .query_map(named_params! {":key": key.as_str(), ":gone": State::Tombstoned.as_str(), ":limit": limit}, versions::version)?;
        let mut events = Vec::new();
        let mut count = 0;
        for version in found.collect::<rusqlite::Result<Vec<_>>>()? {
            match version.state {
                State::Draft => {
                    if !self.remove_draft(&version)? {
                        return Err(Error::conflict(format!(
                            "the draft {} was held before and keeps that record; publish it",
                            version.coordinates
                        )));
                    }
                    events.push(Event::Tombstoned { version: versions::named(&version), reason: "repo deleted, draft dropped".to_owned() });
                }
                State::Quarantined => {
                    return Err(Error::conflict(format!("{} is held for review; release or reject it first", version.coordinates)));
                }
                State::Published | State::Rejected | State::Tombstoned => {
                    let days = permit.repo().settings.retention_days;
                    events.extend(self.tombstone(&writing, &version.id, "repo deleted", days)?.into_events());
                }
            }
            count += 1;
        }
        let mut events = events.into_iter();
        Ok(match events.next() {
            Some(first) => Done::new(count, first).and_all(events),
            None => Done::unchanged(0),
        })
    }

    /// Sets a subject's roles on a repo, replacing those it had.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn set_binding(&mut self, permit: &Permit<Admin>, subject: &Subject, roles: Roles) -> Result<Done<()>> {
        let key = permit.repo_key();
        self.connection()
            .prepare_cached("DELETE FROM bindings WHERE repo_key = :repo AND subject = :subject")?
            .execute(named_params! {":repo": key.as_str(), ":subject": subject.as_str()})?;
        for role in roles.iter() {
            self.connection()
                .prepare_cached("INSERT INTO bindings (repo_key, subject, role) VALUES (:repo, :subject, :role)")?
                .execute(named_params! {":repo": key.as_str(), ":subject": subject.as_str(), ":role": role.as_str()})?;
        }
        Ok(Done::new((), Event::BindingSet { repo: key.clone(), subject: subject.clone(), roles }))
    }

    /// Takes all of a subject's roles on a repo away.
    ///
    /// # Errors
    /// `not_found` when it had none.
    pub fn remove_binding(&mut self, permit: &Permit<Admin>, subject: &Subject) -> Result<Done<()>> {
        let key = permit.repo_key();
        let removed = self
            .connection()
            .prepare_cached("DELETE FROM bindings WHERE repo_key = :repo AND subject = :subject")?
            .execute(named_params! {":repo": key.as_str(), ":subject": subject.as_str()})?;
        if removed == 0 {
            return Err(Error::not_found(format!("a binding of {subject} on repo {key}")));
        }
        Ok(Done::new((), Event::BindingRemoved { repo: key.clone(), subject: subject.clone() }))
    }
}
