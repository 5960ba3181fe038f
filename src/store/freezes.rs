//! Freezes. Invariant: one that was lifted stays on record and holds nothing; those of a repo end with it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::rows::{self, Page};
use super::versions;
use super::webhooks::{repo_of, stored_key};
use super::write::{Done, Write};
use crate::domain::event::Event;
use crate::domain::exception::ExceptionEvent;
use crate::domain::freeze::{Freeze, type_or_every, type_text};
use crate::domain::id::FreezeId;
use crate::domain::name::{PackageType, RepoKey};
use crate::domain::owner::Owner;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// Freezes in force that a repo, or the instance, may have.
const FREEZES_LIMIT: i64 = 100;

/// A freeze to be set.
#[derive(Debug, Clone)]
pub struct NewFreeze {
    /// The type of package, or `None` for every type.
    pub package_type: Option<PackageType>,
    /// What was first seen after this is held.
    pub after: Time,
    /// Why.
    pub reason: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Freeze> {
    let package_type: String = row.get("package_type")?;
    let lifted = match rows::time_optional(row, "lifted_at")? {
        Some(at) => Some((at, versions::subject(row, "lifted_by")?)),
        None => None,
    };
    Ok(Freeze {
        id: rows::parse(row, "freeze_id")?,
        repo: repo_of(row)?,
        package_type: type_or_every(&package_type).map_err(|error| rows::unreadable("package_type", &error))?,
        after: rows::time(row, "after")?,
        reason: row.get("reason")?,
        created_at: rows::time(row, "created_at")?,
        created_by: versions::subject(row, "created_by")?,
        lifted,
    })
}

fn of_owner(connection: &Connection, owner: &Owner, id: &FreezeId) -> Result<Freeze> {
    connection
        .prepare_cached("SELECT * FROM freezes WHERE freeze_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": stored_key(owner.repo())}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("freeze {id}")))
}

/// The freeze that holds what was first seen at `seen_at`: of several the one with the earliest moment.
pub(super) fn holding(connection: &Connection, repo: &RepoKey, package_type: &PackageType, seen_at: Time) -> Result<Option<Freeze>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM freezes INDEXED BY freezes_in_force
         WHERE repo_key IN ('', :repo) AND package_type IN ('*', :type) AND lifted_at IS NULL AND after < :seen",
    )?;
    let found =
        statement.query_map(named_params! {":repo": repo.as_str(), ":type": package_type.as_str(), ":seen": seen_at.unix_ms()}, read)?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().min_by_key(|freeze| (freeze.after, freeze.id)))
}

impl Store {
    /// One page of an owner's freezes, oldest first, with those that were lifted.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn freezes(&self, owner: &Owner, limit: usize, cursor: Option<&str>) -> Result<Page<Freeze>> {
        let connection = self.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT * FROM freezes WHERE repo_key = :repo AND freeze_id > :after_id ORDER BY freeze_id LIMIT :limit")?;
        let found = statement.query_map(
            named_params! {":repo": stored_key(owner.repo()), ":after_id": cursor.unwrap_or(""), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |freeze| freeze.id.to_string()))
    }

    /// One freeze.
    ///
    /// # Errors
    /// `not_found`.
    pub fn freeze(&self, owner: &Owner, id: &FreezeId) -> Result<Freeze> {
        of_owner(&*self.connection()?, owner, id)
    }
}

impl Write<'_> {
    /// Sets a freeze.
    ///
    /// # Errors
    /// `conflict` when as many are in force as may be; `not_found` when the repo was deleted meanwhile.
    pub fn add_freeze(&mut self, owner: &Owner, new: &NewFreeze) -> Result<Done<Freeze>> {
        if let Some(repo) = owner.repo() {
            self.repo(repo)?;
        }
        let repo_key = stored_key(owner.repo());
        let count: i64 = self
            .connection()
            .prepare_cached("SELECT count(*) FROM freezes INDEXED BY freezes_in_force WHERE repo_key = :repo AND lifted_at IS NULL")?
            .query_row(named_params! {":repo": repo_key}, |row| row.get(0))?;
        if count >= FREEZES_LIMIT {
            return Err(Error::conflict(format!("{FREEZES_LIMIT} freezes are in force here, which is the most; lift one first")));
        }
        let id = FreezeId::new(self.uuid());
        self.connection()
            .prepare_cached(
                "INSERT INTO freezes (freeze_id, repo_key, package_type, after, reason, created_at, created_by)
                 VALUES (:id, :repo, :type, :after, :reason, :now, :by)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": repo_key, ":type": type_text(new.package_type.as_ref()), ":after": new.after.unix_ms(),
                ":reason": new.reason, ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
            })?;
        let freeze = of_owner(self.connection(), owner, &id)?;
        Ok(Done::new(freeze.clone(), Event::Exception(ExceptionEvent::FreezeSet(freeze))))
    }

    /// Lifts a freeze.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it was lifted before.
    pub fn lift_freeze(&mut self, owner: &Owner, id: &FreezeId) -> Result<Done<Freeze>> {
        if let Some((at, by)) = of_owner(self.connection(), owner, id)?.lifted {
            return Err(Error::conflict(format!("freeze {id} was lifted by {by} at {at} already")));
        }
        self.end_freeze(id)?;
        let freeze = of_owner(self.connection(), owner, id)?;
        Ok(Done::new(freeze.clone(), Event::Exception(ExceptionEvent::FreezeLifted(freeze))))
    }

    fn end_freeze(&self, id: &FreezeId) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE freezes SET lifted_at = :now, lifted_by = :by WHERE freeze_id = :id AND lifted_at IS NULL")?
            .execute(named_params! {":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(), ":id": id.to_string()})?;
        Ok(())
    }

    /// Lifts all freezes of a repo that is being deleted: its key may come to name another repo.
    pub(super) fn lift_freezes_of(&self, repo: &RepoKey) -> Result<Vec<Event>> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT * FROM freezes INDEXED BY freezes_in_force WHERE repo_key = :repo AND lifted_at IS NULL")?;
        let found = statement.query_map(named_params! {":repo": repo.as_str()}, read)?;
        let mut events = Vec::new();
        for freeze in found.collect::<rusqlite::Result<Vec<_>>>()? {
            self.end_freeze(&freeze.id)?;
            let lifted = Some((self.now(), self.actor().subject.clone()));
            events.push(Event::Exception(ExceptionEvent::FreezeLifted(Freeze { lifted, ..freeze })));
        }
        Ok(events)
    }
}
