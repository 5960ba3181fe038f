//! Upload sessions and who was given which blob. Invariant: a row about a blob is written after its bytes are durable;
//! a repo learns of a blob only by being given its bytes.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::rows;
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Permit, Write as Writing};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::UploadId;
use crate::domain::lifecycle::text_enum;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::{Error, Result};

text_enum! {
    /// Where an upload session stands.
    UploadState "upload state" {
        /// Bytes may be appended.
        Open "open",
        /// Its blob is stored.
        Committed "committed",
        /// Its bytes are gone.
        Aborted "aborted",
    }
}

/// One upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The repo.
    pub repo: RepoKey,
    /// Where it stands.
    pub state: UploadState,
    /// What the client announced.
    pub expected_digest: Option<Digest>,
    /// How many bytes the client announced.
    pub expected_length: Option<u64>,
    /// The blob it became.
    pub digest: Option<Digest>,
    /// Who uploads.
    pub created_by: Subject,
    /// Since when.
    pub created_at: Time,
    /// When an open session is thrown away.
    pub expires_at: Time,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let length: Option<i64> = row.get("expected_length")?;
    Ok(Upload {
        id: rows::parse(row, "upload_id")?,
        repo: rows::parse(row, "repo_key")?,
        state: rows::parse(row, "state")?,
        expected_digest: rows::parse_optional(row, "expected_digest")?,
        expected_length: length.map(u64::try_from).transpose().map_err(|error| rows::unreadable("expected_length", &error))?,
        digest: rows::parse_optional(row, "digest")?,
        created_by: versions::subject(row, "created_by")?,
        created_at: rows::time(row, "created_at")?,
        expires_at: rows::time(row, "expires_at")?,
    })
}

/// The session with this id in this repo.
pub(super) fn find(connection: &Connection, repo: &RepoKey, id: &UploadId) -> Result<Option<Upload>> {
    let found = connection
        .prepare_cached("SELECT * FROM uploads WHERE upload_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, read)
        .optional()?;
    Ok(found)
}

impl Store {
    /// Open sessions that expired before `now`, at most `limit`: for the job that aborts them.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn expired_uploads(&self, now: Time, limit: usize) -> Result<Vec<Upload>> {
        let connection = self.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT * FROM uploads WHERE state = 'open' AND expires_at <= :now ORDER BY expires_at LIMIT :limit")?;
        let found = statement.query_map(named_params! {":now": now.unix_ms(), ":limit": rows::stored(limit as u64)}, read)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether a staging file belongs to an open session.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn is_upload_open(&self, id: &UploadId) -> Result<bool> {
        let connection = self.connection()?;
        let open = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM uploads WHERE upload_id = :id AND state = :open)")?
            .query_row(named_params! {":id": id.to_string(), ":open": UploadState::Open.as_str()}, |row| row.get(0))?;
        Ok(open)
    }
}

impl Write<'_> {
    /// Opens a session.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn open_upload(
        &mut self,
        permit: &Permit<Writing>,
        expected: (Option<Digest>, Option<u64>),
        expires_at: Time,
    ) -> Result<Done<Upload>> {
        let id = UploadId::new(self.uuid());
        self.connection()
            .prepare_cached(
                "INSERT INTO uploads (upload_id, repo_key, state, expected_digest, expected_length, created_by, created_at, expires_at)
                 VALUES (:id, :repo, :state, :digest, :length, :by, :now, :expires)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": permit.repo_key().as_str(), ":state": UploadState::Open.as_str(),
                ":digest": expected.0.map(|digest| digest.to_string()), ":length": expected.1.map(rows::stored),
                ":by": self.actor().subject.as_str(), ":now": self.now().unix_ms(), ":expires": expires_at.unix_ms(),
            })?;
        let upload =
            find(self.connection(), permit.repo_key(), &id)?.ok_or_else(|| Error::internal("opening an upload", "the row is not there"))?;
        Ok(Done::new(upload, Event::UploadCreated { repo: permit.repo_key().clone(), upload_id: id }))
    }

    /// Says that a blob's bytes are durable and that this repo was given them; `upload` is the session, or a new id for a
    /// one-shot upload.
    ///
    /// # Errors
    /// `conflict` when the session is not open.
    pub fn commit_upload(
        &mut self,
        permit: &Permit<Writing>,
        upload: Option<&UploadId>,
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<Done<()>> {
        self.add_blob(permit, digest, size_bytes)?;
        let upload_id = match upload {
            Some(id) => {
                self.close_upload(permit, id, UploadState::Committed, Some(digest))?;
                *id
            }
            None => UploadId::new(self.uuid()),
        };
        Ok(Done::new((), Event::UploadCommitted { repo: permit.repo_key().clone(), upload_id, digest: *digest, size_bytes }))
    }

    fn add_blob(&self, permit: &Permit<Writing>, digest: &Digest, size_bytes: u64) -> Result<()> {
        let now = self.now().unix_ms();
        self.connection()
            .prepare_cached(
                "INSERT INTO blobs (digest, size_bytes, created_at) VALUES (:digest, :size, :now) ON CONFLICT (digest) DO NOTHING",
            )?
            .execute(named_params! {":digest": digest.to_string(), ":size": rows::stored(size_bytes), ":now": now})?;
        self.connection()
            .prepare_cached(
                "INSERT INTO repo_blobs (repo_key, digest, uploaded_by, created_at) VALUES (:repo, :digest, :by, :now)
                 ON CONFLICT (repo_key, digest) DO UPDATE SET created_at = excluded.created_at",
            )?
            .execute(named_params! {":repo": permit.repo_key().as_str(), ":digest": digest.to_string(), ":by": self.actor().subject.as_str(), ":now": now})?;
        self.check_room_for_bytes(permit.repo_key())
    }

    /// Ends a session whose bytes are thrown away.
    ///
    /// # Errors
    /// `conflict` when the session is not open.
    pub fn abort_upload(&mut self, repo: &RepoKey, id: &UploadId, reason: &str) -> Result<Done<()>> {
        self.end_upload(repo, id, UploadState::Aborted, None)?;
        Ok(Done::new((), Event::UploadAborted { repo: repo.clone(), upload_id: *id, reason: reason.to_owned() }))
    }

    fn close_upload(&self, permit: &Permit<Writing>, id: &UploadId, state: UploadState, digest: Option<&Digest>) -> Result<()> {
        self.end_upload(permit.repo_key(), id, state, digest)
    }

    fn end_upload(&self, repo: &RepoKey, id: &UploadId, state: UploadState, digest: Option<&Digest>) -> Result<()> {
        let changed = self
            .connection()
            .prepare_cached(
                "UPDATE uploads SET state = :state, digest = :digest WHERE upload_id = :id AND repo_key = :repo AND state = :open",
            )?
            .execute(named_params! {
                ":state": state.as_str(), ":digest": digest.map(Digest::to_string), ":id": id.to_string(), ":repo": repo.as_str(),
                ":open": UploadState::Open.as_str(),
            })?;
        if changed == 0 {
            return Err(Error::conflict(format!("upload {id} is not open any more; start a new one")));
        }
        Ok(())
    }
}
