//! Tags: names for versions. Invariant: a tag is set to what is published or held, and goes with its version when that is taken back;
//! what a draft wants takes effect in the transaction in which the gate lets it leave that state, and never after a denial.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Row, named_params};

use super::read_view::ReadView;
use super::rows;
use super::versions::{self, Found};
use super::write::{Done, Write};
use crate::domain::access::{Permit, Write as Writing};
use crate::domain::event::Event;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::mark::{MarkEvent, TagName};
use crate::domain::name::{Coordinates, PackageName, RepoKey};
use crate::domain::version::Version;
use crate::domain::visibility::Sealed;
use crate::error::{Error, Result};

/// Tags that one package may have.
const TAGS_LIMIT: usize = 1_000;

fn tag(row: &Row<'_>) -> rusqlite::Result<TagName> {
    rows::parse(row, "tag")
}

impl ReadView {
    /// The tags of a package with what they name, doors closed, in the order of the tags.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn tags(&self, package: &PackageName) -> Result<Vec<(TagName, Sealed<Version>)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT package_tags.tag, version_rows.* FROM package_tags JOIN version_rows USING (version_id)
             WHERE package_tags.package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
             ORDER BY package_tags.tag",
        )?;
        let found = statement.query_map(
            named_params! {":repo": self.permit.repo_key().as_str(), ":type": package.package_type().as_str(),
            ":namespace": package.namespace_key(), ":name": package.name_key()},
            |row| Ok((tag(row)?, Found::<Version>::read(row)?.seal())),
        )?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

impl Write<'_> {
    /// Has a tag name a version.
    ///
    /// # Errors
    /// `not_found` when there is no such version; `conflict` when it is neither published nor held, or the package has as many tags as
    /// it may.
    pub fn set_tag(&mut self, permit: &Permit<Writing>, at: &Coordinates, tag: &TagName) -> Result<Done<()>> {
        self.may_publish(permit, at.package())?;
        let found = versions::find_at(self.connection(), permit.repo_key(), at)?;
        let version = found.ok_or_else(|| Error::not_found(at))?.content;
        match version.state {
            State::Published | State::Quarantined => {}
            State::Draft | State::Rejected | State::Tombstoned => {
                let message = format!("{at} is {}; a tag names what is published or held, publish a version first", version.state);
                return Err(Error::conflict(message).with("status", version.state.as_str()));
            }
        }
        if self.named_by(&version, tag)? == Some(version.id) {
            return Ok(Done::unchanged(()));
        }
        self.check_tag_room(&version, &BTreeSet::from([tag.clone()]))?;
        Ok(Done::new((), self.put_tag(&version, tag)?))
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// `not_found` when the package has no such tag; `bad_request` for `latest`.
    pub fn remove_tag(&mut self, permit: &Permit<Writing>, package: &PackageName, tag: &TagName) -> Result<Done<()>> {
        if tag.is_latest() {
            return Err(Error::bad_request("the tag latest is what clients take when they are not told which; set it to another version"));
        }
        self.may_publish(permit, package)?;
        let removed: Option<VersionId> = self
            .connection()
            .prepare_cached(
                "DELETE FROM package_tags
                 WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
                   AND tag = :tag
                 RETURNING version_id",
            )?
            .query_row(
                named_params! {":repo": permit.repo_key().as_str(), ":type": package.package_type().as_str(),
                ":namespace": package.namespace_key(), ":name": package.name_key(), ":tag": tag.as_str()},
                |row| rows::parse(row, "version_id"),
            )
            .optional()?;
        let removed = removed.ok_or_else(|| Error::not_found(format!("the tag {tag} of {package}")))?;
        let version = versions::named(&self.found(permit.repo_key(), &removed)?.content);
        let event = MarkEvent::TagRemoved { package: package.clone(), tag: tag.clone(), version };
        Ok(Done::new((), Event::Mark(event)))
    }

    /// Notes the tags that a draft is to get, in place of those it was to get before.
    ///
    /// # Errors
    /// `conflict` when the package would have more tags than it may.
    pub fn want_tags(&mut self, version: &Version, tags: &BTreeSet<TagName>) -> Result<()> {
        self.forget_wanted_tags(&version.id)?;
        if tags.is_empty() {
            return Ok(());
        }
        self.check_tag_room(version, tags)?;
        let mut statement = self.connection().prepare_cached("INSERT INTO wanted_tags (version_id, tag) VALUES (:id, :tag)")?;
        for tag in tags {
            statement.execute(named_params! {":id": version.id.to_string(), ":tag": tag.as_str()})?;
        }
        Ok(())
    }

    /// Drops what a draft wanted: it was denied, or is gone.
    pub(super) fn forget_wanted_tags(&self, id: &VersionId) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM wanted_tags WHERE version_id = :id")?
            .execute(named_params! {":id": id.to_string()})?;
        Ok(())
    }

    /// Gives a version that leaves the state of a draft the tags it wanted.
    pub(super) fn take_wanted_tags(&self, version: &Version) -> Result<Vec<Event>> {
        let mut statement = self.connection().prepare_cached("DELETE FROM wanted_tags WHERE version_id = :id RETURNING tag")?;
        let found = statement.query_map(named_params! {":id": version.id.to_string()}, tag)?;
        let wanted: BTreeSet<TagName> = found.collect::<rusqlite::Result<_>>()?;
        wanted.iter().map(|tag| self.put_tag(version, tag)).collect()
    }

    /// Takes away every tag that names a version which is taken back.
    pub(super) fn remove_tags_of(&self, version: &Version) -> Result<Vec<Event>> {
        let mut statement = self.connection().prepare_cached("DELETE FROM package_tags WHERE version_id = :id RETURNING tag")?;
        let found = statement.query_map(named_params! {":id": version.id.to_string()}, tag)?;
        let removed: BTreeSet<TagName> = found.collect::<rusqlite::Result<_>>()?;
        let (package, named) = (version.coordinates.package(), versions::named(version));
        let event = |tag| Event::Mark(MarkEvent::TagRemoved { package: package.clone(), tag, version: named.clone() });
        Ok(removed.into_iter().map(event).collect())
    }

    /// Deletes every tag in a repo that is being deleted.
    pub(super) fn delete_tags_in(&self, repo: &RepoKey) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM package_tags WHERE package_id IN (SELECT package_id FROM packages WHERE repo_key = :repo)")?
            .execute(named_params! {":repo": repo.as_str()})?;
        Ok(())
    }

    /// Which version of the same package the tag names.
    fn named_by(&self, version: &Version, tag: &TagName) -> Result<Option<VersionId>> {
        let found = self
            .connection()
            .prepare_cached(
                "SELECT version_id FROM package_tags WHERE tag = :tag AND package_id = (SELECT package_id FROM versions WHERE version_id = :id)",
            )?
            .query_row(named_params! {":tag": tag.as_str(), ":id": version.id.to_string()}, |row| rows::parse(row, "version_id"))
            .optional()?;
        Ok(found)
    }

    /// Refuses tags past the most that the package of a version may have; those it has already need no room.
    fn check_tag_room(&self, version: &Version, tags: &BTreeSet<TagName>) -> Result<()> {
        let mut statement = self.connection().prepare_cached(
            "SELECT tag FROM package_tags WHERE package_id = (SELECT package_id FROM versions WHERE version_id = :id) ORDER BY tag",
        )?;
        let found = statement.query_map(named_params! {":id": version.id.to_string()}, tag)?;
        let mut all: BTreeSet<TagName> = found.collect::<rusqlite::Result<_>>()?;
        all.extend(tags.iter().cloned());
        if all.len() > TAGS_LIMIT {
            let package = version.coordinates.package();
            return Err(Error::conflict(format!(
                "{package} would have more than {TAGS_LIMIT} tags, which is the most; remove one that nobody uses"
            )));
        }
        Ok(())
    }

    fn put_tag(&self, version: &Version, tag: &TagName) -> Result<Event> {
        self.connection()
            .prepare_cached(
                "INSERT INTO package_tags (package_id, tag, version_id) SELECT package_id, :tag, version_id FROM versions WHERE version_id = :id
                 ON CONFLICT (package_id, tag) DO UPDATE SET version_id = excluded.version_id",
            )?
            .execute(named_params! {":tag": tag.as_str(), ":id": version.id.to_string()})?;
        let package = version.coordinates.package().clone();
        Ok(Event::Mark(MarkEvent::TagSet { package, tag: tag.clone(), version: versions::named(version) }))
    }
}
