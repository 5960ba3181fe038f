//! What is known of a version beside itself when the gate is asked. Invariant: read on one connection at one moment, in a few
//! indexed look-ups; nothing here decides.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::content_reports::{self, Reader};
use super::{advisories, rows, versions};
use crate::domain::canary;
use crate::domain::candidate::{Knowledge, Previous};
use crate::domain::lifecycle::State;
use crate::domain::name::Coordinates;
use crate::domain::repo::Repo;
use crate::domain::time::Time;
use crate::domain::version::{Release, Version};
use crate::error::Result;

/// Everything that is known of `release`, which wants to enter `target`.
pub(super) fn of(connection: &Connection, release: &Release, target: &Repo) -> Result<Knowledge> {
    let content = crate::domain::candidate::content_digest(&release.files, release.manifest.as_ref().map(|manifest| &manifest.digest));
    let contents = content_reports::find(connection, &content.to_string(), &release.version.coordinates, Reader::Present)?;
    let mut known = Knowledge { contents, ..Knowledge::default() };
    known.advisories = advisories::findings(connection, &release.version.coordinates)?;
    known.previous = previous(connection, &release.version, target)?;
    known.has_built_distribution = has_built_distribution(connection, &release.version, target)?;
    canary::advise(&release.version.coordinates, &mut known.advisories);
    known.orders.extend(canary::order(&release.version.coordinates));
    Ok(known)
}

/// The newest visible version of the package in the target repo that became visible before this one; of the same kind of
/// distribution where a release is published file by file.
fn previous(connection: &Connection, version: &Version, target: &Repo) -> Result<Option<Previous>> {
    let package = version.coordinates.package();
    let before = version.published_at.filter(|_| version.repo == target.key).map_or(i64::MAX, Time::unix_ms);
    let kind = version.coordinates.distribution().rsplit('.').next().unwrap_or_default().to_owned();
    let found = connection
        .prepare_cached(
            "SELECT version_id, version, created_by, content_digest,
                    (SELECT coalesce(sum(size_bytes), 0) FROM entries WHERE entries.version_id = versions.version_id) AS total_bytes
             FROM versions
             WHERE package_id = (SELECT package_id FROM packages
                                 WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
               AND state = :published AND published_at < :before AND version_key <> :version_key AND (:kind = '' OR distribution LIKE '%.' || :kind)
             ORDER BY published_at DESC LIMIT 1",
        )?
        .query_row(
            named_params! {
                ":repo": target.key.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
                ":name": package.name_key(), ":published": State::Published.as_str(), ":before": before,
                ":version_key": version.coordinates.version_key(), ":kind": kind,
            },
            |row| {
                let previous = Previous {
                    version: row.get("version")?,
                    publisher: row.get("created_by")?,
                    total_bytes: rows::unsigned(row, "total_bytes")?,
                    manifest: None,
                    contents: None,
                };
                Ok((rows::parse(row, "version_id")?, row.get::<_, Option<String>>("content_digest")?, previous))
            },
        )
        .optional()?;
    let Some((id, digest, mut previous)) = found else { return Ok(None) };
    previous.manifest = versions::manifest(connection, &id)?;
    if let Some(digest) = digest {
        let before = Coordinates::new(package.clone(), &previous.version)?;
        previous.contents = content_reports::find(connection, &digest, &before, Reader::Any)?;
    }
    Ok(Some(previous))
}

/// Whether the same release has a visible wheel in the target repo.
fn has_built_distribution(connection: &Connection, version: &Version, target: &Repo) -> Result<bool> {
    let package = version.coordinates.package();
    if version.coordinates.distribution().is_empty() {
        return Ok(false);
    }
    let found = connection
        .prepare_cached(
            "SELECT EXISTS (
                 SELECT 1 FROM versions
                 WHERE package_id = (SELECT package_id FROM packages
                                     WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name)
                   AND version_key = :version_key AND state = :published AND distribution LIKE '%.whl')",
        )?
        .query_row(
            named_params! {
                ":repo": target.key.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
                ":name": package.name_key(), ":version_key": version.coordinates.version_key(), ":published": State::Published.as_str(),
            },
            |row| row.get(0),
        )?;
    Ok(found)
}
