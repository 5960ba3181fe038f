//! What is written into the search index. Invariant: the state of a version decides, re-read inside the index's own lock, so
//! an older answer never overwrites a newer one; a text or a name without a document is not kept.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::condition::IndexFault;
use super::words::Words;
use crate::domain::id::VersionId;
use crate::domain::version::{Manifest, Version};
use crate::domain::visibility::{Sight, decide};
use crate::store::{Store, versions};

/// What the index holds of one version now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// The version is visible and in the index.
    Present,
    /// The version is not visible and not in the index.
    Absent,
    /// The version's row cannot be read as one; it is not in the index.
    Unreadable,
}

impl Store {
    /// Brings the index in line with these versions and says of each what it found, in one transaction of the index. Blocks.
    ///
    /// # Errors
    /// When the index cannot be used; nothing was changed then.
    pub fn index_versions(&self, ids: &[VersionId]) -> Result<Vec<Indexed>, IndexFault> {
        let done = self.search_index().with_writer(|search| {
            // The versions are read after the writer's lock was taken: the last writer has the newest view.
            let state = self.connection().map_err(IndexFault::Unavailable)?;
            search.execute_batch("BEGIN IMMEDIATE")?;
            let done = ids.iter().map(|id| index_version(&state, search, id)).collect::<Result<Vec<_>, _>>()?;
            search.execute_batch("COMMIT")?;
            Ok(done)
        });
        if matches!(done, Err(IndexFault::Unavailable(_))) {
            self.search_index().note_put_off(self.clock.now());
        }
        done
    }
}

/// Brings the index in line with one version, inside a transaction of the index.
pub(super) fn index_version(state: &Connection, search: &Connection, id: &VersionId) -> Result<Indexed, IndexFault> {
    remove(search, id)?;
    match visible(state, id) {
        Ok(Some(found)) => {
            insert(search, &found)?;
            Ok(Indexed::Present)
        }
        Ok(None) => Ok(Indexed::Absent),
        // The catalogue as a whole does not answer now; its faults are never taken for the index's.
        Err(cause) if cause.sqlite_error().is_some() => Err(IndexFault::Unavailable(cause.into())),
        Err(cause) => {
            tracing::error!(%cause, %id, "a version cannot be read from the catalogue and is not searchable");
            Ok(Indexed::Unreadable)
        }
    }
}

/// A visible version as far as it is indexed.
struct Found {
    version: Version,
    name_id: i64,
    manifest: Option<Manifest>,
}

/// The version, if readers may see it.
fn visible(state: &Connection, id: &VersionId) -> rusqlite::Result<Option<Found>> {
    let mut statement = state.prepare_cached("SELECT * FROM version_rows WHERE version_id = :id")?;
    let row = statement.query_row(named_params! {":id": id.to_string()}, |row| Ok((versions::version(row)?, row.get("package_id")?)));
    let Some((version, name_id)) = row.optional()? else { return Ok(None) };
    if decide(version.state) != Sight::Open {
        return Ok(None);
    }
    let manifest = versions::manifest(state, id)?;
    Ok(Some(Found { version, name_id, manifest }))
}

/// Takes a version out, and with the last one of its kind the text and the name.
fn remove(search: &Connection, id: &VersionId) -> rusqlite::Result<()> {
    let removed = search
        .prepare_cached("DELETE FROM documents WHERE version_id = :id RETURNING name_id, text_id, published_at")?
        .query_row(named_params! {":id": id.to_string()}, |row| Ok((row.get("name_id")?, row.get("text_id")?, row.get("published_at")?)))
        .optional()?;
    let Some((name_id, text_id, published_at)): Option<(i64, i64, i64)> = removed else { return Ok(()) };
    let parameters = named_params! {":text": text_id};
    let gone = search
        .prepare_cached("DELETE FROM texts WHERE text_id = :text AND NOT EXISTS (SELECT 1 FROM documents WHERE text_id = :text)")?
        .execute(parameters)?;
    if gone > 0 {
        search.prepare_cached("DELETE FROM words WHERE rowid = :text")?.execute(parameters)?;
    } else {
        // Only the newest one takes its time with it: looking through all that are left is for a package with very many versions dear.
        search
            .prepare_cached(
                "UPDATE texts SET newest_at = (SELECT max(published_at) FROM documents WHERE text_id = :text)
                 WHERE text_id = :text AND newest_at <= :at",
            )?
            .execute(named_params! {":text": text_id, ":at": published_at})?;
    }
    let parameters = named_params! {":name": name_id};
    let gone = search
        .prepare_cached("DELETE FROM names WHERE name_id = :name AND NOT EXISTS (SELECT 1 FROM documents WHERE name_id = :name)")?
        .execute(parameters)?;
    if gone == 0 {
        search
            .prepare_cached(
                "UPDATE names SET newest_at = (SELECT max(newest_at) FROM texts WHERE name_id = :name)
                 WHERE name_id = :name AND newest_at <= :at",
            )?
            .execute(named_params! {":name": name_id, ":at": published_at})?;
    }
    Ok(())
}

fn insert(search: &Connection, found: &Found) -> rusqlite::Result<()> {
    let version = &found.version;
    let package = version.coordinates.package();
    let published_at = version.published_at.unwrap_or(version.created_at).unix_ms();
    let namespace = package.namespace_key().trim_start_matches('@');
    let full_key = if namespace.is_empty() { package.name_key().to_owned() } else { format!("{namespace}/{}", package.name_key()) };
    search
        .prepare_cached(
            "INSERT INTO names (name_id, repo_key, package_type, namespace_key, name_key, full_key, newest_at)
             VALUES (:id, :repo, :type, :namespace, :name, :full, :at)
             ON CONFLICT (name_id) DO UPDATE SET newest_at = max(newest_at, excluded.newest_at)",
        )?
        .execute(named_params! {
            ":id": found.name_id, ":repo": version.repo.as_str(), ":type": package.package_type().as_str(), ":namespace": namespace.to_lowercase(),
            ":name": package.name_key().to_lowercase(), ":full": full_key.to_lowercase(), ":at": published_at,
        })?;
    let text_id = text(search, found, published_at)?;
    search
        .prepare_cached(
            "INSERT INTO documents (version_id, name_id, text_id, version_key, sort_key, published_at)
             VALUES (:id, :name, :text, :version, :sort, :at)",
        )?
        .execute(named_params! {
            ":id": version.id.to_string(), ":name": found.name_id, ":text": text_id, ":version": version.coordinates.version_key().to_lowercase(),
            ":sort": version.coordinates.sort_key(), ":at": published_at,
        })?;
    Ok(())
}

/// The row of the version's words; one that another version of the package has already is shared.
fn text(search: &Connection, found: &Found, published_at: i64) -> rusqlite::Result<i64> {
    let words = Words::of(found.version.coordinates.package(), found.manifest.as_ref().map(|manifest| manifest.bytes.as_slice()));
    let digest = words.digest();
    let shared = search
        .prepare_cached("UPDATE texts SET newest_at = max(newest_at, :at) WHERE name_id = :name AND digest = :digest RETURNING text_id")?
        .query_row(named_params! {":at": published_at, ":name": found.name_id, ":digest": digest}, |row| row.get("text_id"))
        .optional()?;
    if let Some(text_id) = shared {
        return Ok(text_id);
    }
    search
        .prepare_cached("INSERT INTO texts (name_id, digest, newest_at) VALUES (:name, :digest, :at)")?
        .execute(named_params! {":name": found.name_id, ":digest": digest, ":at": published_at})?;
    let text_id = search.last_insert_rowid();
    search
        .prepare_cached(
            "INSERT INTO words (rowid, name, namespace, keywords, description, parts)
             VALUES (:row, :name, :namespace, :keywords, :description, :parts)",
        )?
        .execute(named_params! {
            ":row": text_id, ":name": words.name, ":namespace": words.namespace, ":keywords": words.keywords, ":description": words.description,
            ":parts": words.parts,
        })?;
    Ok(text_id)
}
