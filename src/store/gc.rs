//! What the collector may take, and its taking of rows. Invariant: a row goes in a transaction that has looked again whether anything
//! refers to it; a coordinate, a file name and a rejection outlive the bytes; bytes are removed by others, after the commit.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::gc_runs::{GcTally, gc_event};
use super::write::{Done, Write};
use super::{Store, rows, versions};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::{GcRunId, VersionId};
use crate::domain::space::SpaceEvent;
use crate::domain::time::Time;
use crate::domain::version::Version;
use crate::error::Result;

/// A blob of which some repo, or every repo, has no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LooseBlob {
    /// The blob.
    pub digest: Digest,
    /// Its bytes.
    pub size_bytes: u64,
    /// Whether no repo has any use of it.
    pub is_free: bool,
}

/// Tombstones whose time is over at `now`, after the one named, by the end of their time.
fn purgeable(connection: &Connection, now: Time, after: Option<(Time, VersionId)>, limit: usize) -> Result<Vec<Version>> {
    let (until, id) = after.map_or((i64::MIN, String::new()), |(until, id)| (until.unix_ms(), id.to_string()));
    let mut statement = connection.prepare_cached(
        "SELECT * FROM version_rows WHERE version_id IN (
             SELECT version_id FROM versions INDEXED BY versions_to_purge
             WHERE state = 'tombstoned' AND purged_at IS NULL AND restorable_until < :now AND (restorable_until, version_id) > (:until, :id)
               AND protection IS NULL
             ORDER BY restorable_until, version_id LIMIT :limit)",
    )?;
    let found = statement.query_map(
        named_params! {":now": now.unix_ms(), ":until": until, ":id": id, ":limit": rows::stored(limit as u64)},
        versions::version,
    )?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    found.sort_by_key(|version| (version.tombstone.as_ref().map(|tombstone| tombstone.restorable_until), version.id.to_string()));
    Ok(found)
}

impl Store {
    /// Tombstones that a run would purge now, after the one named; at most `limit`.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn purgeable(&self, after: Option<(Time, VersionId)>, limit: usize) -> Result<Vec<Version>> {
        purgeable(&*self.connection()?, self.clock().now(), after, limit)
    }

    /// What of the `limit` blobs after `after` some repo has no use of, when tombstones that can be purged count as purged and what was
    /// given since `before` as used; and the last blob looked at, `None` at the end.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn loose_blobs(&self, before: Time, after: Option<&Digest>, limit: usize) -> Result<(Vec<LooseBlob>, Option<Digest>)> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT blobs.digest, blobs.size_bytes,
                    (SELECT count(*) FROM repo_blobs AS claim WHERE claim.digest = blobs.digest) AS claims,
                    (SELECT count(*) FROM repo_blobs AS claim WHERE claim.digest = blobs.digest AND claim.created_at <= :before
                       AND NOT EXISTS (SELECT 1 FROM entries JOIN versions USING (version_id)
                                       WHERE entries.digest = claim.digest AND versions.repo_key = claim.repo_key
                                         AND NOT (versions.state = 'tombstoned' AND versions.restorable_until < :now AND versions.protection IS NULL))) AS loose
             FROM blobs WHERE blobs.digest > :after ORDER BY blobs.digest LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":before": before.unix_ms(), ":now": self.clock().now().unix_ms(),
            ":after": after.map(Digest::to_string).unwrap_or_default(), ":limit": rows::stored(limit as u64)},
            |row| {
                let (claims, loose): (i64, i64) = (row.get("claims")?, row.get("loose")?);
                let blob = LooseBlob {
                    digest: rows::parse(row, "digest")?,
                    size_bytes: rows::unsigned(row, "size_bytes")?,
                    is_free: claims == loose,
                };
                Ok((blob, loose > 0 || claims == 0))
            },
        )?;
        let (mut loose, mut last, mut count) = (Vec::new(), None, 0);
        for row in found {
            let (blob, is_loose) = row?;
            last = Some(blob.digest);
            count += 1;
            if is_loose {
                loose.push(blob);
            }
        }
        Ok((loose, last.filter(|_| count == limit)))
    }

    /// Whether a blob has a row. It sees every commit that came before the call.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn is_blob_known(&self, digest: &Digest) -> Result<bool> {
        let known = self
            .connection()?
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = :digest)")?
            .query_row(named_params! {":digest": digest.to_string()}, |row| row.get(0))?;
        Ok(known)
    }

    /// Up to `limit` blobs after `after` with their sizes, by digest.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn blobs_after(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, u64)>> {
        let connection = self.connection()?;
        let mut statement =
            connection.prepare_cached("SELECT digest, size_bytes FROM blobs WHERE digest > :after ORDER BY digest LIMIT :limit")?;
        let found = statement.query_map(
            named_params! {":after": after.map(Digest::to_string).unwrap_or_default(), ":limit": rows::stored(limit as u64)},
            |row| Ok((rows::parse(row, "digest")?, rows::unsigned(row, "size_bytes")?)),
        )?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

impl Write<'_> {
    /// Gives up the files of tombstones whose time is over, those among `ids` that still are such. Coordinates, file names, evaluations,
    /// holds and waivers stay.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn purge(&mut self, run: &GcRunId, ids: &[VersionId]) -> Result<Done<u64>> {
        let mut events = Vec::new();
        for id in ids {
            events.extend(self.purge_one(run, id)?);
        }
        let count = events.len() as u64;
        if count > 0 {
            self.add_to_run(run, &GcTally { purged_versions: count, ..GcTally::default() })?;
        }
        Ok(Done::all(count, events))
    }

    fn purge_one(&self, run: &GcRunId, id: &VersionId) -> Result<Option<Event>> {
        let text = id.to_string();
        let connection = self.connection();
        let marked = connection
            .prepare_cached(
                "UPDATE versions SET purged_at = :now
                 WHERE version_id = :id AND state = 'tombstoned' AND purged_at IS NULL AND restorable_until < :now AND protection IS NULL",
            )?
            .execute(named_params! {":id": text, ":now": self.now().unix_ms()})?;
        if marked == 0 {
            return Ok(None);
        }
        connection
            .prepare_cached(
                "INSERT INTO purged_entries (version_id, path_key, path, digest, size_bytes, media_type, sha1)
                 SELECT version_id, path_key, path, digest, size_bytes, media_type, sha1 FROM entries WHERE version_id = :id",
            )?
            .execute(named_params! {":id": text})?;
        self.empty_draft(id)?;
        let files = connection
            .prepare_cached("SELECT count(*) AS total FROM purged_entries WHERE version_id = :id")?
            .query_row(named_params! {":id": text}, |row| rows::unsigned(row, "total"))?;
        let version = connection
            .prepare_cached("SELECT * FROM version_rows WHERE version_id = :id")?
            .query_row(named_params! {":id": text}, versions::version)?;
        Ok(Some(Event::Space(SpaceEvent::Purged { version: versions::named(&version), run_id: *run, files })))
    }

    /// Takes blobs from the repos that have no use of them, and the rows of those that no repo has left: these are returned, and their
    /// bytes may go once this is committed.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn let_go(&mut self, run: &GcRunId, digests: &[Digest], before: Time) -> Result<Done<Vec<Digest>>> {
        let (mut gone, mut bytes, mut released) = (Vec::new(), 0, 0);
        for digest in digests {
            let text = digest.to_string();
            released += self
                .connection()
                .prepare_cached(
                    "DELETE FROM repo_blobs WHERE digest = :digest AND created_at <= :before
                       AND NOT EXISTS (SELECT 1 FROM entries JOIN versions USING (version_id)
                                       WHERE entries.digest = :digest AND versions.repo_key = repo_blobs.repo_key)",
                )?
                .execute(named_params! {":digest": text, ":before": before.unix_ms()})?;
            if let Some(size_bytes) = self.remove_blob(&text)? {
                gone.push(*digest);
                bytes += size_bytes;
            }
        }
        if gone.is_empty() && released == 0 {
            return Ok(Done::unchanged(gone));
        }
        let removed_blobs = gone.len() as u64;
        self.add_to_run(run, &GcTally { removed_blobs, removed_bytes: bytes, ..GcTally::default() })?;
        Ok(Done::new(gone, gc_event(*run, "files", false, (removed_blobs, bytes))))
    }

    /// Removes the row of a blob that no repo has; its size in bytes if it did.
    fn remove_blob(&self, digest: &str) -> Result<Option<u64>> {
        let connection = self.connection();
        let is_held: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM repo_blobs WHERE digest = :digest) OR EXISTS (SELECT 1 FROM entries WHERE digest = :digest)",
            )?
            .query_row(named_params! {":digest": digest}, |row| row.get(0))?;
        if is_held {
            return Ok(None);
        }
        // Of a finished session the audit trail tells; its row would keep the blob's.
        connection
            .prepare_cached("DELETE FROM uploads WHERE digest IS NOT NULL AND digest = :digest")?
            .execute(named_params! {":digest": digest})?;
        let removed = connection
            .prepare_cached("DELETE FROM blobs WHERE digest = :digest RETURNING size_bytes")?
            .query_row(named_params! {":digest": digest}, |row| rows::unsigned(row, "size_bytes"))
            .optional()?;
        Ok(removed)
    }
}
