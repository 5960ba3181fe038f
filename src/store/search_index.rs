//! `search.db`, the derived index. Invariant: it never takes part in a transaction of `state.db`; losing it loses nothing;
//! one writer at a time re-reads each version inside its lock, so an older answer never overwrites a newer one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, named_params};

use super::{Store, connection, migrate, versions};
use crate::domain::id::VersionId;
use crate::domain::version::Release;
use crate::domain::visibility::{Sight, decide};
use crate::error::Result;

/// Bytes of a description that are indexed.
const TEXT_LIMIT_BYTES: usize = 16 * 1024;

/// Whether the index can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// It can.
    Ready,
    /// An administrator paused it.
    Paused,
    /// It is being filled again.
    Rebuilding,
    /// It is missing or cannot be read; the next index job makes a new one.
    Unavailable,
}

impl IndexState {
    /// The text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IndexState::Ready => "ready",
            IndexState::Paused => "paused",
            IndexState::Rebuilding => "rebuilding",
            IndexState::Unavailable => "unavailable",
        }
    }
}

/// The handle of the index file and its one writing connection.
pub struct SearchIndex {
    path: PathBuf,
    writer: Mutex<Option<Connection>>,
    paused: AtomicBool,
    rebuilding: AtomicBool,
}

/// What one batch did to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// The version is visible and in the index.
    Present,
    /// The version is not visible and not in the index.
    Absent,
}

impl SearchIndex {
    pub(super) fn new(directory: &Path) -> SearchIndex {
        SearchIndex {
            path: directory.join("search.db"),
            writer: Mutex::new(None),
            paused: AtomicBool::new(false),
            rebuilding: AtomicBool::new(false),
        }
    }

    /// The index file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be asked now.
    #[must_use]
    pub fn state(&self) -> IndexState {
        if self.paused.load(Ordering::SeqCst) {
            IndexState::Paused
        } else if self.rebuilding.load(Ordering::SeqCst) {
            IndexState::Rebuilding
        } else if self.path.exists() {
            IndexState::Ready
        } else {
            IndexState::Unavailable
        }
    }

    /// Stops or starts asking and filling it.
    pub fn set_paused(&self, state: IndexState) {
        self.paused.store(state == IndexState::Paused, Ordering::SeqCst);
    }

    /// Says that it is being filled again, or is full.
    pub fn set_rebuilding(&self, state: IndexState) {
        self.rebuilding.store(state == IndexState::Rebuilding, Ordering::SeqCst);
    }

    /// Throws the file away: after corruption, or to start a rebuild from nothing.
    pub fn discard(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *writer = None;
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Ok(()) => {}
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => tracing::warn!(%cause, "the old search index cannot be removed"),
            }
        }
    }

    fn open(&self) -> Result<Connection> {
        let mut connection = connection::open_writer(&self.path)?;
        connection.execute_batch("PRAGMA synchronous = NORMAL;")?;
        migrate::migrate(&mut connection, migrate::SEARCH)?;
        Ok(connection)
    }
}

impl Store {
    /// Brings the index in line with these versions and says of each what it found, in one transaction of the index.
    ///
    /// # Errors
    /// When the index cannot be written; the caller then discards it and asks for a rebuild.
    pub fn index_versions(&self, ids: &[VersionId]) -> Result<Vec<Indexed>> {
        let index = &self.search;
        let mut writer = index.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_some() && !index.path.exists() {
            // Somebody deleted the file under us; what we hold is a ghost.
            *writer = None;
        }
        let connection = match writer.take() {
            Some(connection) => connection,
            None => index.open()?,
        };
        // The versions are read after the lock is taken: the last writer has the newest view.
        let state = self.connection()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = ids.iter().map(|id| index_version(&state, &connection, id)).collect::<Result<Vec<_>>>()?;
        connection.execute_batch("COMMIT")?;
        *writer = Some(connection);
        Ok(done)
    }
}

fn index_version(state: &Connection, search: &Connection, id: &VersionId) -> Result<Indexed> {
    remove(search, id)?;
    let mut statement = state.prepare_cached("SELECT * FROM version_rows WHERE version_id = :id")?;
    let mut found = statement.query_map(named_params! {":id": id.to_string()}, versions::version)?;
    let Some(version) = found.next().transpose()? else { return Ok(Indexed::Absent) };
    if decide(version.state) != Sight::Open {
        return Ok(Indexed::Absent);
    }
    let manifest = versions::manifest(state, id)?;
    insert(search, &Release { version, files: Vec::new(), manifest })?;
    Ok(Indexed::Present)
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
