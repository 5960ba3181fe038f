//! What is written into the search index. Invariant: the state of a version decides, re-read inside the index's own lock, so
//! an older answer never overwrites a newer one; of a manifest only the words that people search by are taken.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::search_index::IndexFault;
use super::{Store, versions};
use crate::domain::id::VersionId;
use crate::domain::version::Release;
use crate::domain::visibility::{Sight, decide};

/// Bytes of a description that are indexed.
const TEXT_LIMIT_BYTES: usize = 16 * 1024;

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
        self.search_index().with_writer(|search| {
            // The versions are read after the writer's lock was taken: the last writer has the newest view.
            let state = self.connection().map_err(IndexFault::Unavailable)?;
            search.execute_batch("BEGIN IMMEDIATE")?;
            let done = ids.iter().map(|id| index_version(&state, search, id)).collect::<Result<Vec<_>, _>>()?;
            search.execute_batch("COMMIT")?;
            Ok(done)
        })
    }
}

fn index_version(state: &Connection, search: &Connection, id: &VersionId) -> Result<Indexed, IndexFault> {
    remove(search, id)?;
    match visible_release(state, id) {
        Ok(Some(release)) => {
            insert(search, &release)?;
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

/// The version as far as it is indexed, if readers may see it.
fn visible_release(state: &Connection, id: &VersionId) -> rusqlite::Result<Option<Release>> {
    let mut statement = state.prepare_cached("SELECT * FROM version_rows WHERE version_id = :id")?;
    let Some(version) = statement.query_row(named_params! {":id": id.to_string()}, versions::version).optional()? else { return Ok(None) };
    if decide(version.state) != Sight::Open {
        return Ok(None);
    }
    let manifest = versions::manifest(state, id)?;
    Ok(Some(Release { version, files: Vec::new(), manifest }))
}

fn remove(search: &Connection, id: &VersionId) -> rusqlite::Result<()> {
    let parameters = named_params! {":id": id.to_string()};
    search
        .prepare_cached("DELETE FROM words WHERE rowid = (SELECT document_id FROM documents WHERE version_id = :id)")?
        .execute(parameters)?;
    search.prepare_cached("DELETE FROM documents WHERE version_id = :id")?.execute(parameters)?;
    Ok(())
}

fn insert(search: &Connection, release: &Release) -> rusqlite::Result<()> {
    let version = &release.version;
    let package = version.coordinates.package();
    let words = Words::of(release);
    search
        .prepare_cached(
            "INSERT INTO documents (version_id, repo_key, package_type, full_name, published_at) VALUES (:id, :repo, :type, :name, :at)",
        )?
        .execute(named_params! {
            ":id": version.id.to_string(), ":repo": version.repo.as_str(), ":type": package.package_type().as_str(),
            ":name": package.to_string().to_lowercase(), ":at": version.published_at.unwrap_or(version.created_at).unix_ms(),
        })?;
    search
        .prepare_cached(
            "INSERT INTO words (rowid, name, namespace, version, keywords, description) VALUES (:row, :name, :namespace, :version, :keywords, :description)",
        )?
        .execute(named_params! {
            ":row": search.last_insert_rowid(), ":name": package.name(), ":namespace": package.namespace(), ":version": version.coordinates.version(),
            ":keywords": words.keywords, ":description": words.description,
        })?;
    Ok(())
}

/// The words of a manifest that people search by; never its raw keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    keywords: String,
    description: String,
}

impl Words {
    fn of(release: &Release) -> Words {
        let Some(manifest) = &release.manifest else { return Words::default() };
        let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(&manifest.bytes) else { return Words::default() };
        let text = |name: &str| members.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let keywords = match members.get("keywords") {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Array(words)) => words.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" "),
            Some(_) | None => String::new(),
        };
        let description = format!("{} {}", text("summary"), text("description"));
        Words { keywords: cut(keywords), description: cut(description.trim().to_owned()) }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_LIMIT_BYTES {
        let mut end = TEXT_LIMIT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
