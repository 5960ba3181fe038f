//! Who fetched bytes of which version. Invariant: a reader never waits for the writer; what is kept is bounded in memory, for each
//! version and by age, and the latest fetchers of a version are the last to go.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Row, named_params};
use tokio::sync::Notify;

use super::rows::{self, Page};
use super::write::Bookkeeping;
use super::{Store, versions};
use crate::domain::access::Acting;
use crate::domain::download::{FETCHERS_NAMED, FetchedBy, Fetcher};
use crate::domain::id::VersionId;
use crate::domain::name::Subject;
use crate::domain::time::Time;
use crate::error::Result;

/// Different fetchers waiting to be written; while there are so many, further ones are not noted.
const WAITING_LIMIT: usize = 65_536;
/// Fetchers written in one transaction.
const GROUP: usize = 500;

/// Which version, who, from where.
type Key = (VersionId, Subject, String);

/// How often somebody fetched since the last flush, and when.
#[derive(Debug, Clone, Copy)]
struct Tally {
    first_at: Time,
    last_at: Time,
    count: u64,
}

impl Tally {
    fn join(self, other: Tally) -> Tally {
        Tally {
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
            count: self.count.saturating_add(other.count),
        }
    }
}

/// What waits for the next flush, with a bell for the one task that does it.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    waiting: Mutex<HashMap<Key, Tally>>,
    noted: Notify,
}

impl Fetches {
    fn add(&self, key: Key, tally: Tally) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_LIMIT && !waiting.contains_key(&key) {
            return;
        }
        waiting.entry(key).and_modify(|known| *known = known.join(tally)).or_insert(tally);
        self.noted.notify_one();
    }

    fn take(&self) -> Vec<(Key, Tally)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Fetcher> {
    Ok(Fetcher {
        subject: versions::subject(row, "subject")?,
        address: row.get("address")?,
        first_at: rows::time(row, "first_at")?,
        last_at: rows::time(row, "last_at")?,
        count: rows::unsigned(row, "count")?,
    })
}

/// One page of those who fetched a version, latest first.
pub(super) fn list(connection: &Connection, version: &VersionId, limit: usize, cursor: Option<&str>) -> Result<Page<Fetcher>> {
    let (last_at, rest) = rows::parse_time_cursor(cursor)?.unwrap_or((i64::MAX, "~".to_owned()));
    let (subject, address) = rest.split_once('~').ok_or_else(rows::bad_cursor)?;
    let mut statement = connection.prepare_cached(
        "SELECT subject, address, first_at, last_at, count FROM downloads INDEXED BY downloads_by_version_age
         WHERE version_id = :version AND (last_at, subject, address) < (:last_at, :subject, :address)
         ORDER BY last_at DESC, subject DESC, address DESC LIMIT :limit",
    )?;
    let found = statement.query_map(
        named_params! {":version": version.to_string(), ":last_at": last_at, ":subject": subject, ":address": address,
        ":limit": rows::stored(limit as u64 + 1)},
        read,
    )?;
    let key = |fetcher: &Fetcher| rows::time_cursor(fetcher.last_at, format!("{}~{}", fetcher.subject, fetcher.address));
    Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, key))
}

/// Those who fetched a version, as its hold tells of them.
pub(super) fn fetched_by(connection: &Connection, version: &VersionId) -> Result<FetchedBy> {
    let count = connection
        .prepare_cached("SELECT count(*) AS count FROM downloads WHERE version_id = :version")?
        .query_row(named_params! {":version": version.to_string()}, |row| rows::unsigned(row, "count"))?;
    Ok(FetchedBy { count, latest: list(connection, version, FETCHERS_NAMED, None)?.items })
}

impl Store {
    /// Remembers that somebody is sent bytes of a version; it is on disk after the next [`Store::flush_downloads`]. Never waits
    /// for the writer.
    pub fn note_download(&self, by: &impl Acting, version: VersionId, address: &str) {
        let now = self.clock().now();
        self.fetches.add((version, by.actor().subject, address.to_owned()), Tally { first_at: now, last_at: now, count: 1 });
    }

    /// Waits until something was fetched. One task waits at a time; what was fetched before it came is not missed.
    pub async fn fetched(&self) {
        self.fetches.noted.notified().await;
    }

    /// Writes who fetched what since the last flush, and keeps the latest `per_version` of each version.
    ///
    /// # Errors
    /// As for [`Store::bookkeep`]; what was not written then waits for the next flush.
    pub async fn flush_downloads(&self, per_version: u32) -> Result<()> {
        let taken = self.fetches.take();
        let mut failed = None;
        for group in taken.chunks(GROUP) {
            let rows = group.to_vec();
            if let Err(error) = self.bookkeep(move |books| books.add_downloads(&rows, per_version)).await {
                group.iter().for_each(|(key, tally)| self.fetches.add(key.clone(), *tally));
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Bookkeeping<'_> {
    fn add_downloads(&mut self, fetches: &[(Key, Tally)], per_version: u32) -> Result<()> {
        let mut statement = self.connection().prepare_cached(
            "INSERT INTO downloads (version_id, subject, address, first_at, last_at, count)
             SELECT version_id, :subject, :address, :first_at, :last_at, :count FROM versions WHERE version_id = :version
             ON CONFLICT (version_id, subject, address) DO UPDATE SET first_at = min(first_at, excluded.first_at),
                 last_at = max(last_at, excluded.last_at), count = count + excluded.count",
        )?;
        for ((version, subject, address), tally) in fetches {
            statement.execute(named_params! {
                ":version": version.to_string(), ":subject": subject.as_str(), ":address": address, ":first_at": tally.first_at.unix_ms(),
                ":last_at": tally.last_at.unix_ms(), ":count": rows::stored(tally.count),
            })?;
        }
        let versions: BTreeSet<VersionId> = fetches.iter().map(|((version, _, _), _)| *version).collect();
        versions.iter().try_for_each(|version| self.trim_downloads(version, per_version))
    }

    fn trim_downloads(&self, version: &VersionId, per_version: u32) -> Result<()> {
        self.connection()
            .prepare_cached(
                "DELETE FROM downloads WHERE (version_id, subject, address) IN (
                     SELECT version_id, subject, address FROM downloads INDEXED BY downloads_by_version_age WHERE version_id = :version
                     ORDER BY last_at DESC, subject DESC, address DESC LIMIT -1 OFFSET :limit)",
            )?
            .execute(named_params! {":version": version.to_string(), ":limit": per_version})?;
        Ok(())
    }

    /// Forgets up to `batch` fetchers whose last fetch was before `before`. Returns how many; fewer than `batch` means that none is
    /// left.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn prune_downloads(&mut self, before: Time, batch: usize) -> Result<usize> {
        let removed = self
            .connection()
            .prepare_cached(
                "DELETE FROM downloads WHERE (version_id, subject, address) IN (
                     SELECT version_id, subject, address FROM downloads INDEXED BY downloads_by_age WHERE last_at < :before
                     ORDER BY last_at LIMIT :batch)",
            )?
            .execute(named_params! {":before": before.unix_ms(), ":batch": rows::stored(batch as u64)})?;
        Ok(removed)
    }
}
