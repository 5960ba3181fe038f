//! Who publishes a package. Invariant: without a list everybody who may write in the repo; with one nobody but those on it and the repo's
//! administrators drafts, publishes, yanks, tags or takes back anything of the package, by whatever way: each asks [`Write::may_publish`]
//! in its own transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::read_view::ReadView;
use super::rows;
use super::versions::{self, Found};
use super::write::{Done, Write};
use crate::domain::access::{Permit, Role, Write as Writing};
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::mark::MarkEvent;
use crate::domain::name::{PackageName, RepoKey, Subject};
use crate::domain::version::Version;
use crate::domain::visibility::{Sight, decide};
use crate::error::{Code, Error, Result};

/// Owners that one package may have.
const OWNERS_LIMIT: usize = 100;
/// Owners that a refusal names.
const NAMED_LIMIT: usize = 5;

fn of(connection: &Connection, repo: &RepoKey, package: &PackageName) -> Result<BTreeSet<Subject>> {
    let mut statement = connection.prepare_cached(
        "SELECT subject FROM package_owners
         WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
         ORDER BY subject",
    )?;
    let found = statement.query_map(
        named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
        ":name": package.name_key()},
        |row| versions::subject(row, "subject"),
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl ReadView {
    /// The owners of a package; none where everybody who may write publishes it. Readers are told nothing of a package that is all
    /// drafts or gone.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn owners(&self, package: &PackageName) -> Result<Vec<Subject>> {
        let roles = self.permit.roles();
        if !roles.contains(Role::Write) && !roles.contains(Role::Promote) && !self.is_known(package)? {
            return Ok(Vec::new());
        }
        Ok(of(&self.connection, self.permit.repo_key(), package)?.into_iter().collect())
    }

    /// Whether an index names some version of the package to readers.
    fn is_known(&self, package: &PackageName) -> Result<bool> {
        let named: Vec<&State> = State::ALL.iter().filter(|state| matches!(decide(**state), Sight::Open | Sight::Withheld)).collect();
        let found = self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM packages JOIN versions USING (package_id)
                 WHERE packages.repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name
                   AND versions.state IN (SELECT value FROM json_each(:named)))",
            )?
            .query_row(
                named_params! {":repo": self.permit.repo_key().as_str(), ":type": package.package_type().as_str(),
                ":namespace": package.namespace_key(), ":name": package.name_key(), ":named": rows::json_text(&named)?},
                |row| row.get(0),
            )?;
        Ok(found)
    }
}

impl Write<'_> {
    /// Refuses whoever may not publish this package.
    ///
    /// # Errors
    /// `forbidden`, naming whom to ask.
    pub(super) fn may_publish(&self, permit: &Permit<Writing>, package: &PackageName) -> Result<()> {
        if permit.roles().contains(Role::Admin) {
            return Ok(());
        }
        let owners = of(self.connection(), permit.repo_key(), package)?;
        if owners.is_empty() || owners.contains(&self.actor().subject) {
            return Ok(());
        }
        let named: Vec<&str> = owners.iter().take(NAMED_LIMIT).map(Subject::as_str).collect();
        let more = if owners.len() > NAMED_LIMIT { format!(" and {} more", owners.len() - NAMED_LIMIT) } else { String::new() };
        let message =
            format!("only its owners publish or change {package}; ask one of them to do it or to add you: {}{more}", named.join(", "));
        Err(Error::new(Code::Forbidden, message))
    }

    /// The version with this id in this repo, for somebody who wants to change or publish it.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for whoever may not publish its package.
    pub(super) fn owned(&self, permit: &Permit<Writing>, id: &VersionId) -> Result<Found<Version>> {
        let found = self.found(permit.repo_key(), id)?;
        self.may_publish(permit, found.content.coordinates.package())?;
        Ok(found)
    }

    /// Puts subjects on the list of a package's owners; the first time the caller too. Gives the list.
    ///
    /// # Errors
    /// `not_found` for a package that is not there; `forbidden`; `conflict` past [`OWNERS_LIMIT`].
    pub fn add_owners(&mut self, permit: &Permit<Writing>, package: &PackageName, subjects: &[Subject]) -> Result<Done<Vec<Subject>>> {
        let package_id = self.package_id(permit.repo_key(), package)?;
        self.may_publish(permit, package)?;
        let mut owners = of(self.connection(), permit.repo_key(), package)?;
        let caller = if owners.is_empty() { Some(self.actor().subject.clone()) } else { None };
        let changed: Vec<Subject> = subjects.iter().cloned().chain(caller).filter(|subject| owners.insert(subject.clone())).collect();
        if owners.len() > OWNERS_LIMIT {
            return Err(Error::conflict(format!(
                "{package} would have more than {OWNERS_LIMIT} owners, which is the most; remove one first"
            )));
        }
        let mut statement =
            self.connection().prepare_cached("INSERT INTO package_owners (package_id, subject) VALUES (:package, :subject)")?;
        for subject in &changed {
            statement.execute(named_params! {":package": package_id, ":subject": subject.as_str()})?;
        }
        Ok(owners_changed(permit, package, changed, owners))
    }

    /// Takes subjects off the list of a package's owners. Gives the list.
    ///
    /// # Errors
    /// `not_found` for a package that is not there and somebody who is not on the list; `forbidden`; `conflict` when nobody would be left
    /// and the caller is no administrator of the repo, who alone opens a package to everybody who may write.
    pub fn remove_owners(&mut self, permit: &Permit<Writing>, package: &PackageName, subjects: &[Subject]) -> Result<Done<Vec<Subject>>> {
        let package_id = self.package_id(permit.repo_key(), package)?;
        self.may_publish(permit, package)?;
        let mut owners = of(self.connection(), permit.repo_key(), package)?;
        let changed: BTreeSet<Subject> = subjects.iter().cloned().collect();
        if let Some(stranger) = changed.iter().find(|subject| !owners.remove(*subject)) {
            return Err(Error::not_found(format!("{stranger} among the owners of {package}")));
        }
        if owners.is_empty() && !changed.is_empty() && !permit.roles().contains(Role::Admin) {
            return Err(Error::conflict(format!(
                "{package} would have no owner left, and everybody who may write could publish it; add another owner first, or ask an administrator of the repo to remove the last one"
            )));
        }
        let mut statement =
            self.connection().prepare_cached("DELETE FROM package_owners WHERE package_id = :package AND subject = :subject")?;
        for subject in &changed {
            statement.execute(named_params! {":package": package_id, ":subject": subject.as_str()})?;
        }
        Ok(owners_changed(permit, package, changed.into_iter().collect(), owners))
    }

    /// Deletes the lists of owners in a repo that is being deleted: its key may come to name another repo.
    pub(super) fn delete_owners_in(&self, repo: &RepoKey) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM package_owners WHERE package_id IN (SELECT package_id FROM packages WHERE repo_key = :repo)")?
            .execute(named_params! {":repo": repo.as_str()})?;
        Ok(())
    }

    fn package_id(&self, repo: &RepoKey, package: &PackageName) -> Result<i64> {
        let found = self
            .connection()
            .prepare_cached(
                "SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name",
            )?
            .query_row(
                named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
                ":name": package.name_key()},
                |row| row.get(0),
            )
            .optional()?;
        found.ok_or_else(|| Error::not_found(format!("package {package}")))
    }
}

fn owners_changed(permit: &Permit<Writing>, package: &PackageName, changed: Vec<Subject>, owners: BTreeSet<Subject>) -> Done<Vec<Subject>> {
    let owners: Vec<Subject> = owners.into_iter().collect();
    if changed.is_empty() {
        return Done::unchanged(owners);
    }
    let event = MarkEvent::OwnersChanged { repo: permit.repo_key().clone(), package: package.clone(), changed, owners: owners.clone() };
    Done::new(owners, Event::Mark(event))
}
