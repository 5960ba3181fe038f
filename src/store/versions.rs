//! Versions, files and manifests as they come out of the database. Invariant: `Found` content never leaves the store
//! unsealed; only a door of `domain::visibility` opens what a view hands out.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::rows;
use crate::domain::digest::Digest;
use crate::domain::event::Named;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, PackageName, RepoKey};
use crate::domain::version::{File, Manifest, Protection, Release, Tombstone, Version};
use crate::domain::visibility::{Hold, Sealed, Standing};
use crate::error::Result;

/// How an event names a version.
pub(super) fn named(version: &Version) -> Named {
    Named::new(&version.repo, version.id, &version.coordinates)
}

/// Where the version of a row of `version_rows` stands.
pub(super) fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let quarantine_id = rows::parse_optional(row, "quarantine_id")?;
    let hold = match quarantine_id {
        Some(quarantine_id) => Some(Hold {
            quarantine_id,
            status: rows::parse(row, "hold_status")?,
            reasons: rows::json(row, "hold_reasons")?,
            since: rows::time(row, "held_at")?,
            opens_at: rows::time_optional(row, "opens_at")?,
        }),
        None => None,
    };
    Ok(Standing { state: rows::parse(row, "state")?, hold })
}

/// The version of a row of `version_rows`.
pub(super) fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let namespace: String = row.get("namespace")?;
    let name: String = row.get("name")?;
    let text: String = row.get("version")?;
    let distribution: String = row.get("distribution")?;
    let coordinates = Coordinates::new(PackageName::as_written(rows::parse(row, "package_type")?, &namespace, &name), &text)
        .and_then(|coordinates| match distribution.is_empty() {
            true => Ok(coordinates),
            false => Ok(coordinates.distribution_named(&distribution.parse()?)),
        })
        .map_err(|error| rows::unreadable("version", &error))?;
    let protection: Option<Protection> = rows::parse_optional(row, "protection")?;
    let reason: Option<String> = row.get("protection_reason")?;
    Ok(Version {
        id: rows::parse(row, "version_id")?,
        repo: rows::parse(row, "repo_key")?,
        coordinates,
        state: rows::parse(row, "state")?,
        created_at: rows::time(row, "created_at")?,
        created_by: subject(row, "created_by")?,
        first_seen_at: rows::time_optional(row, "first_seen_at")?.map_or_else(|| rows::time(row, "created_at"), Ok)?,
        published_by: subject(row, if row.get_ref("published_by")? == ValueRef::Null { "created_by" } else { "published_by" })?,
        published_at: rows::time_optional(row, "published_at")?,
        content_digest: rows::parse_optional(row, "content_digest")?,
        yanked_reason: row.get("yanked_reason")?,
        protection: protection.map(|mode| (mode, reason.unwrap_or_default())),
        tombstone: tombstone(row)?,
    })
}

/// A stored subject; the server's own names, which nobody may ask for, are legal here.
pub(super) fn subject(row: &Row<'_>, column: &str) -> rusqlite::Result<crate::domain::name::Subject> {
    use crate::domain::name::Subject;
    let text: String = row.get(column)?;
    match text.strip_prefix("system:") {
        Some(part) => Ok(Subject::system(part)),
        None if text == "anonymous" => Ok(Subject::anonymous()),
        None => text.parse().map_err(|error| rows::unreadable(column, &error)),
    }
}

fn tombstone(row: &Row<'_>) -> rusqlite::Result<Option<Tombstone>> {
    if rows::parse::<State>(row, "state")? != State::Tombstoned {
        return Ok(None);
    }
    Ok(Some(Tombstone {
        at: rows::time(row, "tombstoned_at")?,
        reason: row.get::<_, Option<String>>("tombstone_reason")?.unwrap_or_default(),
        restorable_until: rows::time(row, "restorable_until")?,
        purged_at: rows::time_optional(row, "purged_at")?,
        taken_from: rows::parse(row, "tombstoned_from")?,
    }))
}

/// A version out of the database with its standing, before it is sealed; it never leaves the store.
pub(super) struct Found<T> {
    pub(super) standing: Standing,
    pub(super) content: T,
}

impl Found<Version> {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Found<Version>> {
        Ok(Found { standing: standing(row)?, content: version(row)? })
    }

    /// Seals it for a view.
    pub(super) fn seal(self) -> Sealed<Version> {
        Sealed::new(self.content.repo.clone(), self.standing, self.content)
    }

    /// Adds files and manifest.
    pub(super) fn complete(self, connection: &Connection) -> rusqlite::Result<Found<Release>> {
        let version = self.content;
        let files = files(connection, &version.id)?;
        let manifest = manifest(connection, &version.id)?;
        Ok(Found { standing: self.standing, content: Release { version, files, manifest } })
    }
}

impl Found<Release> {
    /// Seals it for a view.
    pub(super) fn seal(self) -> Sealed<Release> {
        Sealed::new(self.content.version.repo.clone(), self.standing, self.content)
    }
}

/// The version with this id in this repo.
pub(super) fn find(connection: &Connection, repo: &RepoKey, id: &VersionId) -> Result<Option<Found<Version>>> {
    let found = connection
        .prepare_cached("SELECT * FROM version_rows WHERE version_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, Found::read)
        .optional()?;
    Ok(found)
}

/// The version at these coordinates in this repo.
pub(super) fn find_at(connection: &Connection, repo: &RepoKey, at: &Coordinates) -> Result<Option<Found<Version>>> {
    let package = at.package();
    let found = connection
        .prepare_cached(
            "SELECT * FROM version_rows
             WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
               AND version_key = :version AND distribution = :distribution",
        )?
        .query_row(
            named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
                ":name": package.name_key(), ":version": at.version_key(), ":distribution": at.distribution()},
            Found::read,
        )
        .optional()?;
    Ok(found)
}

/// Every version of a package, newest published first, drafts last.
pub(super) fn of_package(connection: &Connection, repo: &RepoKey, package: &PackageName) -> Result<Vec<Found<Version>>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM version_rows
         WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
         ORDER BY published_at IS NULL, published_at DESC, version_id DESC",
    )?;
    let found = statement.query_map(
        named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
        ":name": package.name_key()},
        Found::read,
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Every distribution of a release that is no draft any more, whatever became of it.
pub(super) fn sealed_of_release(connection: &Connection, repo: &RepoKey, at: &Coordinates) -> Result<Vec<Version>> {
    let package = at.package();
    let mut statement = connection.prepare_cached(
        "SELECT * FROM version_rows
         WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
           AND version_key = :version AND state <> :draft
         ORDER BY distribution",
    )?;
    let found = statement.query_map(
        named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
        ":name": package.name_key(), ":version": at.version_key(), ":draft": State::Draft.as_str()},
        version,
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The files of a version, ordered by path.
pub(super) fn files(connection: &Connection, id: &VersionId) -> rusqlite::Result<Vec<File>> {
    let mut statement = connection.prepare_cached("SELECT * FROM entries WHERE version_id = :id ORDER BY path_key")?;
    let found = statement.query_map(named_params! {":id": id.to_string()}, |row| {
        Ok(File {
            version_id: *id,
            path: rows::parse(row, "path")?,
            digest: rows::parse(row, "digest")?,
            size_bytes: rows::unsigned(row, "size_bytes")?,
            media_type: row.get("media_type")?,
            sha1: row.get("sha1")?,
        })
    })?;
    found.collect()
}

/// The manifest of a version.
pub(super) fn manifest(connection: &Connection, id: &VersionId) -> rusqlite::Result<Option<Manifest>> {
    connection
        .prepare_cached("SELECT digest, bytes FROM manifests WHERE version_id = :id")?
        .query_row(named_params! {":id": id.to_string()}, |row| {
            Ok(Manifest { version_id: *id, digest: rows::parse(row, "digest")?, bytes: row.get("bytes")? })
        })
        .optional()
}

/// The standings of all versions of a repo that link a digest. A rejected version that was taken back counts as rejected
/// still: whoever may write takes it back, and that must not undo what a reviewer decided about its bytes.
pub(super) fn standings_of_blob(connection: &Connection, repo: &RepoKey, digest: &Digest) -> Result<Vec<Sealed<File>>> {
    let mut sealed = Vec::new();
    let mut present = connection.prepare_cached(
        "SELECT CASE WHEN version_rows.tombstoned_from = 'rejected' THEN 'rejected' ELSE version_rows.state END AS state,
                version_rows.version_id, version_rows.quarantine_id, version_rows.hold_status, version_rows.hold_reasons, version_rows.held_at,
                version_rows.opens_at,
                entries.path, entries.size_bytes, entries.media_type, entries.sha1
         FROM entries JOIN version_rows USING (version_id)
         WHERE entries.digest = :digest AND version_rows.repo_key = :repo
         ORDER BY entries.version_id, entries.path_key",
    )?;
    // What was rejected stays so when its bytes were removed and come again under another name.
    let mut purged = connection.prepare_cached(
        "SELECT CASE WHEN version_rows.tombstoned_from = 'rejected' THEN 'rejected' ELSE version_rows.state END AS state,
                version_rows.version_id, version_rows.quarantine_id, version_rows.hold_status, version_rows.hold_reasons, version_rows.held_at,
                version_rows.opens_at, gone.path, gone.size_bytes, gone.media_type, gone.sha1
         FROM purged_entries AS gone JOIN version_rows USING (version_id)
         WHERE gone.digest = :digest AND version_rows.repo_key = :repo
         ORDER BY gone.version_id, gone.path_key",
    )?;
    for statement in [&mut present, &mut purged] {
        let found = statement.query_map(named_params! {":digest": digest.to_string(), ":repo": repo.as_str()}, |row| {
            let file = File {
                version_id: rows::parse(row, "version_id")?,
                path: rows::parse(row, "path")?,
                digest: *digest,
                size_bytes: rows::unsigned(row, "size_bytes")?,
                media_type: row.get("media_type")?,
                sha1: row.get("sha1")?,
            };
            Ok(Sealed::new(repo.clone(), standing(row)?, file))
        })?;
        for file in found {
            sealed.push(file?);
        }
    }
    Ok(sealed)
}
