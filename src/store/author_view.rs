//! All that a publisher can ask of a repo beyond reading: drafts, uploads, and the dossier that the gate judges.
//! Invariant: a dossier opens only into a `Candidate`; its content cannot be rendered.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::content_reports::Unread;
use super::exceptions::{self, Exceptions};
use super::policies::PolicySnapshot;
use super::pool::Reader;
use super::uploads::Upload;
use super::{knowledge, policies, rows, uploads, versions};
use crate::domain::access::{Permit, Roles, Write};
use crate::domain::candidate::{Action, Candidate, Decision, Knowledge};
use crate::domain::digest::Digest;
use crate::domain::id::{TokenId, UploadId, VersionId};
use crate::domain::lifecycle::State;
use crate::domain::name::RepoKey;
use crate::domain::name::Subject;
use crate::domain::repo::Repo;
use crate::domain::time::Time;
use crate::domain::version::{Release, Version};
use crate::domain::visibility::Sealed;
use crate::error::{Error, Result};

/// The questions of somebody who may write in the repo of the permit.
pub struct AuthorView {
    pub(super) connection: Reader,
    pub(super) permit: Permit<Write>,
}

/// Everything that the gate must know of a version, read at one moment.
pub struct Dossier {
    release: Release,
    exceptions: Exceptions,
    known: Knowledge,
    policies: PolicySnapshot,
    target: Repo,
}

/// Who asks the gate, for what.
#[derive(Debug, Clone)]
pub struct Question {
    /// The way in.
    pub action: Action,
    /// Who asks.
    pub subject: Subject,
    /// The asker's roles on the target repo.
    pub roles: Roles,
    /// The asker's token.
    pub token_id: Option<TokenId>,
    /// When.
    pub asked_at: Time,
    /// An external scanner's verdict.
    pub hint: Option<Decision>,
}

impl Dossier {
    /// Reads the dossier of version `id` in `source` for entry into `target`.
    pub(super) fn read(connection: &Connection, source: &RepoKey, id: &VersionId, target: &Repo) -> Result<Option<Dossier>> {
        let Some(found) = versions::find(connection, source, id)? else { return Ok(None) };
        let release = found.complete(connection)?.content;
        let exceptions = exceptions::read(connection, source, &release, &target.key)?;
        let known = knowledge::of(connection, &release, target)?;
        let policies = policies::current(connection, &target.key)?;
        Ok(Some(Dossier { release, exceptions, known, policies, target: target.clone() }))
    }

    /// The state the version is in.
    #[must_use]
    pub fn state(&self) -> State {
        self.release.version.state
    }

    /// Its name for messages, such as `demo 1.0`.
    #[must_use]
    pub fn title(&self) -> String {
        self.release.version.coordinates.to_string()
    }

    /// How an event names it, as a version of its own repo.
    #[must_use]
    pub fn named(&self) -> crate::domain::event::Named {
        versions::named(&self.release.version)
    }

    /// The number of its files.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.release.files.len()
    }

    /// What must be read before it can be judged; `None` when that was done by the present readers.
    #[must_use]
    pub fn unread(&self) -> Option<Unread> {
        if self.known.contents.is_some() {
            return None;
        }
        let Release { version, files, manifest } = &self.release;
        Some(Unread {
            coordinates: version.coordinates.clone(),
            files: files.iter().map(|file| (file.path.clone(), file.digest)).collect(),
            content_digest: crate::domain::candidate::content_digest(files, manifest.as_ref().map(|manifest| &manifest.digest)),
        })
    }

    /// The policies in force in the target repo.
    #[must_use]
    pub fn policies(&self) -> &PolicySnapshot {
        &self.policies
    }

    /// What the gate judges.
    ///
    /// # Errors
    /// Internal, when what is said of the version cannot be written as JSON.
    pub fn into_candidate(self, question: Question) -> Result<Candidate> {
        let answer = self.exceptions.answer(question.action);
        let exceptions = Some(answer.digest()?);
        let mut known = Knowledge { exceptions, scans: answer.scans, ..self.known };
        known.orders.extend(answer.orders);
        let Release { version, files, manifest } = self.release;
        Ok(Candidate {
            action: question.action,
            repo: self.target.key,
            repo_kind: self.target.kind,
            anonymous_read: self.target.settings.anonymous_read,
            subject: question.subject,
            roles: question.roles,
            token_id: question.token_id,
            publisher: version.published_by.to_string(),
            version_id: version.id,
            coordinates: version.coordinates,
            upstream: None,
            files,
            manifest,
            first_seen_at: version.first_seen_at,
            published_upstream_at: None,
            asked_at: question.asked_at,
            waived_rules: answer.holds,
            waived_denials: answer.denials,
            waivers_end_at: answer.end_at,
            hint: question.hint,
            known,
        })
    }
}

impl AuthorView {
    pub(super) fn new(connection: Reader, permit: Permit<Write>) -> AuthorView {
        AuthorView { connection, permit }
    }

    /// The version with this id, with files and manifest, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_release(&self, id: &VersionId) -> Result<Option<Sealed<Release>>> {
        let Some(found) = versions::find(&self.connection, self.permit.repo_key(), id)? else { return Ok(None) };
        Ok(Some(found.complete(&self.connection)?.seal()))
    }

    /// The version with this id, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_version(&self, id: &VersionId) -> Result<Option<Sealed<Version>>> {
        Ok(versions::find(&self.connection, self.permit.repo_key(), id)?.map(versions::Found::<Version>::seal))
    }

    /// What the gate must know of a version of this repo.
    ///
    /// # Errors
    /// `not_found`.
    pub fn dossier(&self, id: &VersionId) -> Result<Dossier> {
        Dossier::read(&self.connection, self.permit.repo_key(), id, self.permit.repo())?
            .ok_or_else(|| Error::not_found(format!("version {id}")))
    }

    /// An upload session of this repo.
    ///
    /// # Errors
    /// `not_found`.
    pub fn upload(&self, id: &UploadId) -> Result<Upload> {
        uploads::find(&self.connection, self.permit.repo_key(), id)?.ok_or_else(|| Error::not_found(format!("upload {id}")))
    }

    /// The size in bytes of a blob that this repo was given, or `None`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let found = self
            .connection
            .prepare_cached("SELECT size_bytes FROM repo_blobs JOIN blobs USING (digest) WHERE repo_key = :repo AND digest = :digest")?
            .query_row(named_params! {":repo": self.permit.repo_key().as_str(), ":digest": digest.to_string()}, |row| {
                rows::unsigned(row, "size_bytes")
            })
            .optional()?;
        Ok(found)
    }
}
