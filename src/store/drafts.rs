//! Drafts: the one state in which a version's files and manifest change. Invariant: an entry names a blob that this very
//! repo was given, with its true size; a set of entries is taken whole or not at all.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, named_params};

use super::rows;
use super::versions::{self, Found};
use super::write::Write;
use crate::domain::access::{Permit, Write as Writing};
use crate::domain::digest::Digest;
use crate::domain::event::Named;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, RelativePath, RepoKey};
use crate::domain::version::Version;
use crate::domain::visibility::withheld;
use crate::error::{Code, Error, Result};

/// Files that one version may have.
pub const ENTRIES_LIMIT: usize = 10_000;

/// A file to be put into a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Its path inside the version.
    pub path: RelativePath,
    /// The blob, which the repo must have been given.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size_bytes: u64,
    /// Its media type.
    pub media_type: Option<String>,
    /// Its sha1, verified by the caller; 40 lower-case hex digits.
    pub sha1: Option<String>,
}

impl Write<'_> {
    /// A new draft at these coordinates, or the caller's own unfinished one (`true`: reused).
    ///
    /// # Errors
    /// `forbidden` for whoever may not publish the package; `conflict` when somebody else drafts there or the coordinate is spent;
    /// `quarantined_version` when it is held.
    pub fn draft(&mut self, permit: &Permit<Writing>, at: &Coordinates) -> Result<(Version, bool)> {
        self.may_publish(permit, at.package())?;
        if let Some(found) = versions::find_at(self.connection(), permit.repo_key(), at)? {
            return self.reuse_draft(found);
        }
        let id = VersionId::new(self.uuid());
        self.insert_draft(permit.repo_key(), at, &id)?;
        Ok((self.found(permit.repo_key(), &id)?.content, false))
    }

    fn reuse_draft(&self, found: Found<Version>) -> Result<(Version, bool)> {
        let version = found.content;
        let what = &version.coordinates;
        match version.state {
            State::Draft if version.created_by == self.actor().subject => Ok((version, true)),
            State::Draft => Err(Error::conflict(format!("somebody else is drafting {what}; choose another version or ask them to finish"))),
            State::Published => Err(Error::conflict(format!("{what} is already published; versions never change, publish a new one"))),
            State::Quarantined | State::Rejected => Err(withheld(&found.standing, Code::QuarantinedVersion, what)),
            State::Tombstoned => Err(Error::conflict(format!("{what} was taken back; its coordinate is spent, publish a new version"))),
        }
    }

    /// Inserts a draft row and, if need be, its package.
    pub(super) fn insert_draft(&self, repo: &RepoKey, at: &Coordinates, id: &VersionId) -> Result<()> {
        let package = at.package();
        self.connection()
            .prepare_cached(
                "INSERT INTO packages (repo_key, package_type, namespace, name, namespace_key, name_key)
                 VALUES (:repo, :type, :namespace, :name, :namespace_key, :name_key)
                 ON CONFLICT (repo_key, package_type, namespace_key, name_key) DO NOTHING",
            )?
            .execute(named_params! {
                ":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace(), ":name": package.name(),
                ":namespace_key": package.namespace_key(), ":name_key": package.name_key(),
            })?;
        self.keep_spelling(repo, package)?;
        self.connection()
            .prepare_cached(
                "INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by)
                 SELECT :id, package_id, :repo, :version, :version_key, :distribution, :draft, :now, :subject FROM packages
                 WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace_key AND name_key = :name_key",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": repo.as_str(), ":version": at.version(), ":version_key": at.version_key(),
                ":distribution": at.distribution(), ":draft": State::Draft.as_str(), ":now": self.now().unix_ms(),
                ":subject": self.actor().subject.as_str(), ":type": package.package_type().as_str(),
                ":namespace_key": package.namespace_key(), ":name_key": package.name_key(),
            })?;
        self.check_room_for_versions(repo)
    }

    /// The version with this id in this repo.
    ///
    /// # Errors
    /// `not_found`.
    pub(super) fn found(&self, repo: &RepoKey, id: &VersionId) -> Result<Found<Version>> {
        versions::find(self.connection(), repo, id)?.ok_or_else(|| Error::not_found(format!("version {id}")))
    }

    /// The draft with this id, to be changed.
    fn open_draft(&self, permit: &Permit<Writing>, id: &VersionId) -> Result<Version> {
        let found = self.owned(permit, id)?;
        if found.content.state.is_sealed() {
            let message = format!(
                "{} is {}; its files and manifest never change again; publish a new version",
                found.content.coordinates, found.content.state
            );
            return Err(Error::new(Code::VersionSealed, message).with("status", found.content.state.as_str()));
        }
        Ok(found.content)
    }

    /// Puts files into a draft, replacing those of the same path; all or none.
    ///
    /// # Errors
    /// `version_sealed`; `not_found` for a blob that the repo was not given; `upload_verification_failed` for a wrong size;
    /// `bad_request` for paths that differ in case only; `too_large` beyond [`ENTRIES_LIMIT`].
    pub fn put_entries(&mut self, permit: &Permit<Writing>, id: &VersionId, entries: &[NewEntry]) -> Result<Named> {
        let version = self.open_draft(permit, id)?;
        let mut seen: HashMap<String, &RelativePath> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(other) = seen.insert(entry.path.key(), &entry.path) {
                return Err(Error::bad_request(format!(
                    "the paths {other} and {} name one file; paths are unique without regard to case",
                    entry.path
                )));
            }
            self.check_blob(permit, entry)?;
            self.put_entry(&version, entry)?;
        }
        let count: i64 = self
            .connection()
            .prepare_cached("SELECT count(*) FROM entries WHERE version_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, |row| row.get(0))?;
        if usize::try_from(count).unwrap_or(usize::MAX) > ENTRIES_LIMIT {
            return Err(Error::too_large("the number of files of this version", ENTRIES_LIMIT as u64));
        }
        Ok(versions::named(&version))
    }

    fn check_blob(&self, permit: &Permit<Writing>, entry: &NewEntry) -> Result<()> {
        let size: Option<u64> = self
            .connection()
            .prepare_cached("SELECT size_bytes FROM repo_blobs JOIN blobs USING (digest) WHERE repo_key = :repo AND digest = :digest")?
            .query_row(named_params! {":repo": permit.repo_key().as_str(), ":digest": entry.digest.to_string()}, |row| {
                rows::unsigned(row, "size_bytes")
            })
            .optional()?;
        let Some(size) = size else {
            return Err(Error::not_found(format!("blob {} for {}; upload it to this repo first; it", entry.digest, entry.path)));
        };
        if size != entry.size_bytes {
            return Err(Error::new(
                Code::UploadVerificationFailed,
                format!("{} has {size} bytes, sizeBytes says {}", entry.path, entry.size_bytes),
            )
            .with("expectedLength", entry.size_bytes)
            .with("actualLength", size));
        }
        Ok(())
    }

    fn put_entry(&self, version: &Version, entry: &NewEntry) -> Result<()> {
        let stored: Option<String> = self
            .connection()
            .prepare_cached("SELECT path FROM entries WHERE version_id = :id AND path_key = :key")?
            .query_row(named_params! {":id": version.id.to_string(), ":key": entry.path.key()}, |row| row.get(0))
            .optional()?;
        if let Some(stored) = stored.filter(|stored| stored != entry.path.as_str()) {
            return Err(Error::conflict(format!(
                "{stored} is already a file of this draft and differs from {} in case only; delete it first",
                entry.path
            )));
        }
        self.connection()
            .prepare_cached(
                "INSERT INTO entries (version_id, path_key, path, digest, size_bytes, media_type, sha1)
                 VALUES (:id, :key, :path, :digest, :size, :media_type, :sha1)
                 ON CONFLICT (version_id, path_key) DO UPDATE SET digest = excluded.digest, size_bytes = excluded.size_bytes,
                     media_type = excluded.media_type, sha1 = excluded.sha1",
            )?
            .execute(named_params! {
                ":id": version.id.to_string(), ":key": entry.path.key(), ":path": entry.path.as_str(), ":digest": entry.digest.to_string(),
                ":size": rows::stored(entry.size_bytes), ":media_type": entry.media_type, ":sha1": entry.sha1,
            })?;
        Ok(())
    }

    /// Takes a file out of a draft.
    ///
    /// # Errors
    /// `version_sealed`; `not_found` when there is no such file.
    pub fn remove_entry(&mut self, permit: &Permit<Writing>, id: &VersionId, path: &RelativePath) -> Result<Named> {
        let version = self.open_draft(permit, id)?;
        let removed = self
            .connection()
            .prepare_cached("DELETE FROM entries WHERE version_id = :id AND path_key = :key")?
            .execute(named_params! {":id": id.to_string(), ":key": path.key()})?;
        if removed == 0 {
            return Err(Error::not_found(format!("file {path} of version {id}")));
        }
        Ok(versions::named(&version))
    }

    /// Takes everything out of a draft.
    pub(super) fn empty_draft(&self, id: &VersionId) -> Result<()> {
        let id = id.to_string();
        self.connection().prepare_cached("DELETE FROM entries WHERE version_id = :id")?.execute(named_params! {":id": id})?;
        self.connection().prepare_cached("DELETE FROM manifests WHERE version_id = :id")?.execute(named_params! {":id": id})?;
        Ok(())
    }

    /// Removes a draft, and its package with the last version; what was decided of it stays on record. `false`: it was held or waived
    /// once, of which the record names it, so it is kept.
    pub(super) fn remove_draft(&self, version: &Version) -> Result<bool> {
        let id = version.id.to_string();
        let connection = self.connection();
        let kept: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM quarantine_items WHERE version_id = :id) OR EXISTS (SELECT 1 FROM waivers WHERE version_id = :id)",
            )?
            .query_row(named_params! {":id": id}, |row| row.get(0))?;
        if kept {
            return Ok(false);
        }
        self.empty_draft(&version.id)?;
        self.forget_wanted_tags(&version.id)?;
        connection.prepare_cached("DELETE FROM scan_findings WHERE version_id = :id")?.execute(named_params! {":id": id})?;
        connection.prepare_cached("DELETE FROM waiver_use WHERE version_id = :id")?.execute(named_params! {":id": id})?;
        let package: i64 = connection
            .prepare_cached("DELETE FROM versions WHERE version_id = :id RETURNING package_id")?
            .query_row(named_params! {":id": id}, |row| row.get(0))?;
        connection
            .prepare_cached(
                "DELETE FROM packages WHERE package_id = :package
                   AND NOT EXISTS (SELECT 1 FROM versions WHERE package_id = :package)
                   AND NOT EXISTS (SELECT 1 FROM package_owners WHERE package_id = :package)",
            )?
            .execute(named_params! {":package": package})?;
        Ok(true)
    }

    /// Sets a draft's manifest: a JSON object, kept byte for byte.
    ///
    /// # Errors
    /// `version_sealed`.
    pub fn put_manifest(&mut self, permit: &Permit<Writing>, id: &VersionId, bytes: &[u8]) -> Result<(Named, Digest)> {
        let version = self.open_draft(permit, id)?;
        let digest = Digest::of(bytes);
        self.connection()
            .prepare_cached(
                "INSERT INTO manifests (version_id, digest, bytes) VALUES (:id, :digest, :bytes)
                 ON CONFLICT (version_id) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes",
            )?
            .execute(named_params! {":id": id.to_string(), ":digest": digest.to_string(), ":bytes": bytes})?;
        Ok((versions::named(&version), digest))
    }
}
