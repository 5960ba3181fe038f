//! Lists of holds, of one repo or of many. Invariant: a page is one statement and so one moment: an item that is resolved
//! meanwhile is neither listed twice nor left out; each version comes out through the reviewers' door.

use rusqlite::{Connection, OptionalExtension, Params, named_params};

use super::rows::{self, Page};
use super::{Store, quarantine, versions};
use crate::domain::access::{Permit, Promote};
use crate::domain::id::QuarantineId;
use crate::domain::name::RepoKey;
use crate::domain::quarantine::{QuarantineItem, QuarantineStatus};
use crate::domain::version::Version;
use crate::domain::visibility::Held;
use crate::error::{Code, Error, Result};

/// An item with the version it holds or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHold {
    /// The item.
    pub item: QuarantineItem,
    /// The version.
    pub version: Held<Version>,
}

impl Store {
    /// The repo that the hold with this id is in. That is told to nobody who may not read there. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_repo_of_hold(&self, id: &QuarantineId) -> Result<Option<RepoKey>> {
        let found = self
            .connection()?
            .prepare_cached("SELECT repo_key FROM quarantine_items WHERE quarantine_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, |row| rows::parse(row, "repo_key"))
            .optional()?;
        Ok(found)
    }

    /// One page of the holds in the repos of these permits, newest first. Blocks.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn review_many(
        &self,
        permits: &[Permit<Promote>],
        status: Option<QuarantineStatus>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedHold>> {
        list(&*self.connection()?, permits, status, limit, cursor)
    }
}

/// One page of the holds in the repos of these permits, newest first.
pub(super) fn list(
    connection: &Connection,
    permits: &[Permit<Promote>],
    status: Option<QuarantineStatus>,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<ListedHold>> {
    let (before_at, before_id) = rows::parse_time_cursor(cursor)?.unwrap_or((i64::MAX, String::new()));
    let most = rows::stored(limit as u64 + 1);
    let mut found = match (permits, status) {
        ([], _) => Vec::new(),
        ([permit], Some(status)) => of_repo(
            connection,
            named_params! {":repo": permit.repo_key().as_str(), ":status": status.as_str(), ":at": before_at, ":id": before_id, ":limit": most},
        )?,
        (permits, Some(status)) => of_repos(
            connection,
            named_params! {":repos": repos(permits)?, ":status": status.as_str(), ":at": before_at, ":id": before_id, ":limit": most},
        )?,
        ([permit], None) => of_repo_any_status(
            connection,
            named_params! {":repo": permit.repo_key().as_str(), ":at": before_at, ":id": before_id, ":limit": most},
        )?,
        (permits, None) => {
            of_repos_any_status(connection, named_params! {":repos": repos(permits)?, ":at": before_at, ":id": before_id, ":limit": most})?
        }
    };
    found.sort_by_key(|item| std::cmp::Reverse((item.created_at, item.id)));
    found.truncate(limit.saturating_add(1));
    let page = Page::cut(found, limit, |item| rows::time_cursor(item.created_at, item.id));
    let items = page.items.into_iter().map(|item| complete(connection, permits, item)).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: page.next_cursor })
}

fn repos(permits: &[Permit<Promote>]) -> Result<String> {
    rows::json_text(&permits.iter().map(|permit| permit.repo_key().as_str()).collect::<Vec<_>>())
}

fn of_repo(connection: &Connection, parameters: impl Params) -> Result<Vec<QuarantineItem>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM quarantine_items WHERE repo_key = :repo AND status = :status AND (created_at, quarantine_id) < (:at, :id)
         ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit",
    )?;
    Ok(statement.query_map(parameters, quarantine::read)?.collect::<rusqlite::Result<_>>()?)
}

fn of_repos(connection: &Connection, parameters: impl Params) -> Result<Vec<QuarantineItem>> {
    // One walk in order over all repos; the plus keeps the planner from sorting repo by repo.
    let mut statement = connection.prepare_cached(
        "SELECT * FROM quarantine_items WHERE status = :status AND +repo_key IN (SELECT value FROM json_each(:repos))
           AND (created_at, quarantine_id) < (:at, :id)
         ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit",
    )?;
    Ok(statement.query_map(parameters, quarantine::read)?.collect::<rusqlite::Result<_>>()?)
}

/// One ordered walk per status, all of one moment.
fn of_repo_any_status(connection: &Connection, parameters: impl Params) -> Result<Vec<QuarantineItem>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM (SELECT * FROM quarantine_items WHERE repo_key = :repo AND status = 'quarantined'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)
         UNION ALL
         SELECT * FROM (SELECT * FROM quarantine_items WHERE repo_key = :repo AND status = 'released'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)
         UNION ALL
         SELECT * FROM (SELECT * FROM quarantine_items WHERE repo_key = :repo AND status = 'rejected'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)",
    )?;
    Ok(statement.query_map(parameters, quarantine::read)?.collect::<rusqlite::Result<_>>()?)
}

/// The same over many repos.
fn of_repos_any_status(connection: &Connection, parameters: impl Params) -> Result<Vec<QuarantineItem>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM (SELECT * FROM quarantine_items WHERE +repo_key IN (SELECT value FROM json_each(:repos)) AND status = 'quarantined'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)
         UNION ALL
         SELECT * FROM (SELECT * FROM quarantine_items WHERE +repo_key IN (SELECT value FROM json_each(:repos)) AND status = 'released'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)
         UNION ALL
         SELECT * FROM (SELECT * FROM quarantine_items WHERE +repo_key IN (SELECT value FROM json_each(:repos)) AND status = 'rejected'
             AND (created_at, quarantine_id) < (:at, :id) ORDER BY created_at DESC, quarantine_id DESC LIMIT :limit)",
    )?;
    Ok(statement.query_map(parameters, quarantine::read)?.collect::<rusqlite::Result<_>>()?)
}

/// Adds votes and version, which never change or only grow.
fn complete(connection: &Connection, permits: &[Permit<Promote>], mut item: QuarantineItem) -> Result<ListedHold> {
    item.votes = quarantine::votes(connection, &item.id)?;
    let what = format!("version {}", item.version_id);
    let permit = permits.iter().find(|permit| permit.repo_key() == &item.repo).ok_or_else(|| Error::not_found(&what))?;
    let found = versions::find(connection, &item.repo, &item.version_id)?.ok_or_else(|| Error::not_found(&what))?;
    let version = found.seal().inspect(permit).map_err(|refusal| refusal.into_error(Code::QuarantinedVersion, &what))?;
    Ok(ListedHold { item, version })
}
