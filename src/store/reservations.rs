//! Reserved names. Invariant: two patterns of a repo that normalise to one are refused, and they end with their repo.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::author_view::AuthorView;
use super::rows::{self, Page};
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Acting, Admin, Permit};
use crate::domain::candidate::Action;
use crate::domain::event::Event;
use crate::domain::exception::ExceptionEvent;
use crate::domain::id::{ReservationId, VersionId};
use crate::domain::name::{PackageName, RepoKey, Subject};
use crate::domain::reservation::{NamePattern, Reservation};
use crate::error::{Error, Result};

/// Reservations that one repo may have: every question of the gate looks at them.
const RESERVATIONS_LIMIT: i64 = 500;

/// A reservation to be made.
#[derive(Debug, Clone)]
pub struct NewReservation {
    /// Which names.
    pub pattern: NamePattern,
    /// Who may bring them.
    pub publishers: BTreeSet<Subject>,
    /// Why.
    pub reason: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Reservation> {
    let (package_type, namespace): (String, String) = (row.get("package_type")?, row.get("namespace_glob")?);
    let slash = if namespace.is_empty() { "" } else { "/" };
    let text = format!("{package_type}:{namespace}{slash}{}", row.get::<_, String>("name_glob")?);
    Ok(Reservation {
        id: rows::parse(row, "reservation_id")?,
        repo: rows::parse(row, "repo_key")?,
        pattern: text.parse().map_err(|error: Error| rows::unreadable("name_glob", &error))?,
        publishers: rows::json(row, "publishers")?,
        reason: row.get("reason")?,
        created_at: rows::time(row, "created_at")?,
        created_by: versions::subject(row, "created_by")?,
    })
}

fn find(connection: &Connection, repo: &RepoKey, id: &ReservationId) -> Result<Reservation> {
    connection
        .prepare_cached("SELECT * FROM reservations WHERE reservation_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("reservation {id}")))
}

/// The reservations of a repo that match a package, in the order of their patterns.
pub(super) fn matching(connection: &Connection, repo: &RepoKey, package: &PackageName) -> Result<Vec<Reservation>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM reservations WHERE repo_key = :repo AND package_type IN ('*', :type) ORDER BY package_type, namespace_glob, name_glob",
    )?;
    let found = statement.query_map(named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str()}, read)?;
    let mut matching = Vec::new();
    for reservation in found {
        let reservation = reservation?;
        if reservation.pattern.matches(package) {
            matching.push(reservation);
        }
    }
    Ok(matching)
}

impl AuthorView {
    /// The reservation that keeps the caller from bringing a package in by this way, if there is one.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_bar(&self, package: &PackageName, action: Action) -> Result<Option<Reservation>> {
        let subject = self.permit.actor().subject;
        let matching = matching(&self.connection, self.permit.repo_key(), package)?;
        Ok(matching.into_iter().find(|reservation| reservation.bars(action, &subject)))
    }

    /// The same for the package of a version of this repo; for none, nothing.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_bar_of(&self, id: &VersionId, action: Action) -> Result<Option<(PackageName, Reservation)>> {
        let Some(found) = versions::find(&self.connection, self.permit.repo_key(), id)? else { return Ok(None) };
        let package = found.content.coordinates.package().clone();
        Ok(self.find_bar(&package, action)?.map(|reservation| (package, reservation)))
    }
}

impl Store {
    /// One page of a repo's reservations, oldest first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn reservations(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<Reservation>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT * FROM reservations WHERE repo_key = :repo AND reservation_id > :after ORDER BY reservation_id LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":repo": permit.repo_key().as_str(), ":after": cursor.unwrap_or(""), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |reservation| reservation.id.to_string()))
    }

    /// One reservation.
    ///
    /// # Errors
    /// `not_found`.
    pub fn reservation(&self, permit: &Permit<Admin>, id: &ReservationId) -> Result<Reservation> {
        find(&*self.connection()?, permit.repo_key(), id)
    }
}

impl Write<'_> {
    /// Reserves names.
    ///
    /// # Errors
    /// `conflict` when the repo has the same pattern already, in whatever spelling, or as many reservations as it may.
    pub fn add_reservation(&mut self, permit: &Permit<Admin>, new: &NewReservation) -> Result<Done<Reservation>> {
        let repo = self.repo(permit.repo_key())?.key;
        let count: i64 = self
            .connection()
            .prepare_cached("SELECT count(*) FROM reservations WHERE repo_key = :repo")?
            .query_row(named_params! {":repo": repo.as_str()}, |row| row.get(0))?;
        if count >= RESERVATIONS_LIMIT {
            return Err(Error::conflict(format!(
                "repo {repo} has {RESERVATIONS_LIMIT} reservations, which is the most; put several names into one pattern, such as npm:{{a,b}}-*"
            )));
        }
        let id = ReservationId::new(self.uuid());
        let inserted = self
            .connection()
            .prepare_cached(
                "INSERT INTO reservations (reservation_id, repo_key, package_type, namespace_glob, name_glob, publishers, reason, created_at, created_by)
                 VALUES (:id, :repo, :type, :namespace, :name, :publishers, :reason, :now, :by)
                 ON CONFLICT (repo_key, package_type, namespace_glob, name_glob) DO NOTHING",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": repo.as_str(), ":type": new.pattern.stored_type(), ":namespace": new.pattern.namespace(),
                ":name": new.pattern.name(), ":publishers": rows::json_text(&new.publishers)?, ":reason": new.reason,
                ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
            })?;
        if inserted == 0 {
            return Err(self.taken(&repo, &new.pattern)?);
        }
        let reservation = find(self.connection(), &repo, &id)?;
        let event = ExceptionEvent::ReservationCreated(reservation.clone());
        Ok(Done::new(reservation, Event::Exception(event)))
    }

    /// The error for a pattern that stands already.
    fn taken(&self, repo: &RepoKey, pattern: &NamePattern) -> Result<Error> {
        let id: ReservationId = self
            .connection()
            .prepare_cached(
                "SELECT reservation_id FROM reservations
                 WHERE repo_key = :repo AND package_type = :type AND namespace_glob = :namespace AND name_glob = :name",
            )?
            .query_row(
                named_params! {":repo": repo.as_str(), ":type": pattern.stored_type(), ":namespace": pattern.namespace(), ":name": pattern.name()},
                |row| rows::parse(row, "reservation_id"),
            )?;
        let message = format!("repo {repo} reserves {pattern} already, by {id}; delete that one to reserve it anew for others");
        Ok(Error::conflict(message).with("reservationId", id.to_string()))
    }

    /// Gives reserved names free.
    ///
    /// # Errors
    /// `not_found`.
    pub fn delete_reservation(&mut self, permit: &Permit<Admin>, id: &ReservationId) -> Result<Done<()>> {
        let reservation = find(self.connection(), permit.repo_key(), id)?;
        self.connection()
            .prepare_cached("DELETE FROM reservations WHERE reservation_id = :id")?
            .execute(named_params! {":id": id.to_string()})?;
        Ok(Done::new((), Event::Exception(ExceptionEvent::ReservationDeleted(reservation))))
    }

    /// Deletes all reservations of a repo that is being deleted: its key may come to name another repo.
    pub(super) fn delete_reservations_of(&self, repo: &RepoKey) -> Result<Vec<Event>> {
        let mut statement = self.connection().prepare_cached("DELETE FROM reservations WHERE repo_key = :repo RETURNING *")?;
        let found = statement.query_map(named_params! {":repo": repo.as_str()}, read)?;
        let ended = |found: rusqlite::Result<Reservation>| Ok(Event::Exception(ExceptionEvent::ReservationDeleted(found?)));
        found.map(ended).collect()
    }
}
