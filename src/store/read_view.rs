//! All that a reader can ask of a repo, on one connection. Invariant: content comes out `Visible`, or `Sealed` with its
//! door still closed; nothing else about versions leaves.

use rusqlite::{OptionalExtension, named_params};

use super::pool::Reader;
use super::rows::{self, Page};
use super::{quarantine, versions};
use crate::domain::access::{Permit, Read};
use crate::domain::digest::Digest;
use crate::domain::id::{QuarantineId, VersionId};
use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::domain::version::{File, Release, Version};
use crate::domain::visibility::{Hold, Sealed, Visible};
use crate::error::{Code, Error, Result};

/// The questions of somebody who may read the repo of the permit.
pub struct ReadView {
    pub(super) connection: Reader,
    pub(super) permit: Permit<Read>,
}

impl ReadView {
    pub(super) fn new(connection: Reader, permit: Permit<Read>) -> ReadView {
        ReadView { connection, permit }
    }

    /// The permit that the view answers to.
    #[must_use]
    pub fn permit(&self) -> &Permit<Read> {
        &self.permit
    }

    /// The version with this id, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_version(&self, id: &VersionId) -> Result<Option<Sealed<Version>>> {
        Ok(versions::find(&self.connection, self.permit.repo_key(), id)?.map(versions::Found::<Version>::seal))
    }

    /// The version at these coordinates, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_version_at(&self, at: &Coordinates) -> Result<Option<Sealed<Version>>> {
        Ok(versions::find_at(&self.connection, self.permit.repo_key(), at)?.map(versions::Found::<Version>::seal))
    }

    /// The version with this id, with files and manifest, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_release(&self, id: &VersionId) -> Result<Option<Sealed<Release>>> {
        let Some(found) = versions::find(&self.connection, self.permit.repo_key(), id)? else { return Ok(None) };
        Ok(Some(found.complete(&self.connection)?.seal()))
    }

    /// The visible version with this id, with files and manifest.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version` for one that is held or rejected.
    pub fn release(&self, id: &VersionId) -> Result<Visible<Release>> {
        let what = format!("version {id}");
        let sealed = self.find_release(id)?.ok_or_else(|| Error::not_found(&what))?;
        sealed.show(&self.permit).map_err(|refusal| refusal.into_error(Code::QuarantinedVersion, &what))
    }

    /// Gives every version of a package with files and manifest to `take`, doors closed, newest published first, one at a
    /// time.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn each_release_of(&self, package: &PackageName, mut take: impl FnMut(Sealed<Release>)) -> Result<()> {
        for found in versions::of_package(&self.connection, self.permit.repo_key(), package)? {
            take(found.complete(&self.connection)?.seal());
        }
        Ok(())
    }

    /// Every version of a package, doors closed, newest published first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn versions_of(&self, package: &PackageName) -> Result<Vec<Sealed<Version>>> {
        let found = versions::of_package(&self.connection, self.permit.repo_key(), package)?;
        Ok(found.into_iter().map(versions::Found::<Version>::seal).collect())
    }

    /// What may be told of the hold with this id, with the version that it is or was of, its door closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_hold(&self, id: &QuarantineId) -> Result<Option<(Hold, Sealed<Version>)>> {
        let Some(item) = quarantine::find(&self.connection, self.permit.repo_key(), id)? else { return Ok(None) };
        let Some(version) = self.find_version(&item.version_id)? else { return Ok(None) };
        let hold =
            Hold { quarantine_id: item.id, status: item.status, reasons: item.reasons, since: item.created_at, opens_at: item.opens_at };
        Ok(Some((hold, version)))
    }

    /// Every file of this repo with this digest, doors closed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn files_with_digest(&self, digest: &Digest) -> Result<Vec<Sealed<File>>> {
        versions::standings_of_blob(&self.connection, self.permit.repo_key(), digest)
    }

    /// Every file of this name in a package, doors closed: for protocols whose file names span all versions.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn files_named(&self, package: &PackageName, path: &RelativePath) -> Result<Vec<Sealed<Release>>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT versions.version_id FROM packages
             JOIN versions USING (package_id) JOIN entries USING (version_id)
             WHERE packages.repo_key = :repo AND packages.package_type = :type AND packages.namespace_key = :namespace
               AND packages.name_key = :name AND entries.path_key = :path
             ORDER BY versions.published_at DESC",
        )?;
        let ids = statement.query_map(
            named_params! {":repo": self.permit.repo_key().as_str(), ":type": package.package_type().as_str(),
            ":namespace": package.namespace_key(), ":name": package.name_key(), ":path": path.key()},
            |row| rows::parse(row, "version_id"),
        )?;
        let ids: Vec<VersionId> = ids.collect::<rusqlite::Result<_>>()?;
        ids.iter().filter_map(|id| self.find_release(id).transpose()).collect()
    }

    /// One page of the packages that have something visible, by type and name. The cursor is opaque.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn packages(&self, package_type: Option<&PackageType>, limit: usize, cursor: Option<&str>) -> Result<Page<PackageName>> {
        let (after_type, after_namespace, after_name) = match cursor {
            Some(text) => split_cursor(text).ok_or_else(rows::bad_cursor)?,
            None => ("", "", ""),
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT package_type, namespace, name FROM packages
             WHERE repo_key = :repo AND (:type IS NULL OR package_type = :type)
               AND (package_type, namespace_key, name_key) > (:after_type, :after_namespace, :after_name)
               AND EXISTS (SELECT 1 FROM versions WHERE versions.package_id = packages.package_id AND versions.state = :visible)
             ORDER BY package_type, namespace_key, name_key LIMIT :limit",
        )?;
        let visible = crate::domain::lifecycle::State::Published;
        let found = statement.query_map(
            named_params! {":repo": self.permit.repo_key().as_str(), ":type": package_type.map(PackageType::as_str),
            ":after_type": after_type, ":after_namespace": after_namespace, ":after_name": after_name,
            ":visible": visible.as_str(), ":limit": rows::stored(limit as u64 + 1)},
            |row| {
                let (namespace, name): (String, String) = (row.get("namespace")?, row.get("name")?);
                Ok(PackageName::as_written(rows::parse(row, "package_type")?, &namespace, &name))
            },
        )?;
        let names = found.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Page::cut(names, limit, |name| format!("{}//{}//{}", name.package_type(), name.namespace_key(), name.name_key())))
    }

    /// Whether the repo was given this blob, and by whom.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn blob_uploader(&self, digest: &Digest) -> Result<Option<(crate::domain::name::Subject, u64)>> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT repo_blobs.uploaded_by, blobs.size_bytes FROM repo_blobs JOIN blobs USING (digest)
                 WHERE repo_blobs.repo_key = :repo AND repo_blobs.digest = :digest",
            )?
            .query_row(named_params! {":repo": self.permit.repo_key().as_str(), ":digest": digest.to_string()}, |row| {
                Ok((versions::subject(row, "uploaded_by")?, rows::unsigned(row, "size_bytes")?))
            })
            .optional()?;
        Ok(found)
    }
}

/// Neither types nor names have a slash, and no namespace has an empty segment.
fn split_cursor(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.splitn(3, "//");
    Some((parts.next()?, parts.next()?, parts.next()?))
}
