//! What waivers were good for. Invariant: written with each evaluation, so that nobody has to look through all of them: for each waiver and
//! version, whether the newest evaluation needed it, and when one was last helped by it.

use rusqlite::{Connection, Row, named_params};

use super::evaluations::{self, EvaluationFilter};
use super::review_view::ReviewView;
use super::rows::Page;
use super::{versions, waivers};
use crate::domain::candidate::Reason;
use crate::domain::id::WaiverId;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::domain::waiver::{Waiver, WaiverReach, WaiverState};
use crate::error::Result;
use crate::policy::Verdict;

/// A waiver with what it was good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWaiver {
    /// The waiver.
    pub waiver: Waiver,
    /// Where it stood when it was read.
    pub state: WaiverState,
    /// Whether an evaluation was ever helped by it.
    pub has_helped: bool,
    /// Whether the newest evaluation of every version that it has would be the same without it, as far as there are any.
    pub is_unneeded: bool,
}

/// Which waivers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaiverFilter {
    /// All.
    All,
    /// Those in this state.
    State(WaiverState),
    /// Those that count and end before this moment.
    EndingBefore(Time),
    /// Those that count and never helped; what a release wrote is not among them.
    Unused,
    /// Those that count and would not be needed any more; what a release wrote is not among them.
    Unneeded,
}

impl WaiverFilter {
    fn passes(self, listed: &ListedWaiver) -> bool {
        let is_active = listed.state == WaiverState::Active;
        let is_of_person = listed.waiver.quarantine_id.is_none();
        match self {
            WaiverFilter::All => true,
            WaiverFilter::State(state) => listed.state == state,
            WaiverFilter::EndingBefore(end) => is_active && listed.waiver.expires_at.is_some_and(|at| at < end),
            WaiverFilter::Unused => is_active && is_of_person && !listed.has_helped,
            WaiverFilter::Unneeded => is_active && is_of_person && listed.is_unneeded,
        }
    }
}

fn read(row: &Row<'_>, now: Time) -> rusqlite::Result<ListedWaiver> {
    let waiver = waivers::read(row)?;
    Ok(ListedWaiver { state: waiver.state(now), waiver, has_helped: row.get("has_helped")?, is_unneeded: row.get("is_unneeded")? })
}

impl ReviewView {
    /// One page of the repo's waivers, newest first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn waivers(&self, filter: WaiverFilter, now: Time, limit: usize, cursor: Option<&str>) -> Result<Page<ListedWaiver>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT *,
                 EXISTS (SELECT 1 FROM waiver_use WHERE waiver_use.waiver_id = waivers.waiver_id AND helped_at IS NOT NULL) AS has_helped,
                 EXISTS (SELECT 1 FROM waiver_use WHERE waiver_use.waiver_id = waivers.waiver_id)
                     AND NOT EXISTS (SELECT 1 FROM waiver_use WHERE waiver_use.waiver_id = waivers.waiver_id AND is_needed = 1) AS is_unneeded
             FROM waivers INDEXED BY waivers_listed WHERE repo_key = :repo AND waiver_id < :before ORDER BY waiver_id DESC LIMIT :limit",
        )?;
        let found = statement.query_map(
            // A letter after every hex digit stands for the end of all ids.
            named_params! {":repo": self.permit.repo_key().as_str(), ":before": cursor.unwrap_or("g"), ":limit": Page::<ListedWaiver>::walk_limit()},
            |row| read(row, now),
        )?;
        Page::walk(found, limit, |listed| filter.passes(listed), |listed| listed.waiver.id.to_string())
    }

    /// One waiver.
    ///
    /// # Errors
    /// `not_found`.
    pub fn waiver(&self, id: &WaiverId, now: Time) -> Result<ListedWaiver> {
        // Whether it is there is asked first: the words of a refusal are in one place.
        let waiver = waivers::find(&self.connection, self.permit.repo_key(), id)?;
        let (has_helped, is_judged, is_needed) = self
            .connection
            .prepare_cached(
                "SELECT count(helped_at) > 0 AS has_helped, count(*) > 0 AS is_judged, coalesce(max(is_needed), 0) AS is_needed
                 FROM waiver_use WHERE waiver_id = :id",
            )?
            .query_row(named_params! {":id": id.to_string()}, |row| {
                Ok((row.get("has_helped")?, row.get::<_, bool>("is_judged")?, row.get::<_, bool>("is_needed")?))
            })?;
        Ok(ListedWaiver { state: waiver.state(now), waiver, has_helped, is_unneeded: is_judged && !is_needed })
    }
}

/// Notes what a verdict about a version of `repo` needed of the waivers that it has.
pub(super) fn note(connection: &Connection, repo: &RepoKey, verdict: &Verdict) -> Result<()> {
    let Some(found) = versions::find(connection, repo, &verdict.version_id())? else { return Ok(()) };
    let version = found.content;
    let named = (&version.id, &version.coordinates);
    let at = verdict.evaluated_at();
    for waiver in waivers::having(connection, repo, named, &verdict.content_digest())? {
        let has_fired = |reasons: &[Reason]| reasons.iter().any(|reason| reason.waiver() == waiver.rule);
        let helps = has_fired(verdict.waived()) && waiver.state(at) == WaiverState::Active;
        let is_needed = helps || has_fired(verdict.waived()) || has_fired(verdict.reasons());
        write(connection, &waiver, &version.id.to_string(), (is_needed, at, helps.then_some(at)))?;
    }
    Ok(())
}

/// Notes of a new waiver whether the newest evaluation of each version that it has would need it.
pub(super) fn begin(connection: &Connection, waiver: &Waiver) -> Result<()> {
    for found in versions::of_package(connection, &waiver.repo, &waiver.package)? {
        let version = &found.content;
        let is_had = match &waiver.reach {
            WaiverReach::Content { version_id, .. } => *version_id == version.id,
            WaiverReach::Range(range) => range.contains(&version.coordinates),
            WaiverReach::Package => true,
        };
        if !is_had {
            continue;
        }
        let filter = EvaluationFilter { version_id: Some(version.id), ..EvaluationFilter::default() };
        let newest = evaluations::list(connection, &waiver.repo, &filter, 1, None)?.items.into_iter().next();
        if let Some(newest) = newest {
            let is_needed = newest.reasons.iter().chain(&newest.waived).any(|reason| reason.waiver() == waiver.rule);
            write(connection, waiver, &version.id.to_string(), (is_needed, newest.evaluated_at, None))?;
        }
    }
    Ok(())
}

fn write(
    connection: &Connection,
    waiver: &Waiver,
    version_id: &str,
    (is_needed, evaluated_at, helped_at): (bool, Time, Option<Time>),
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO waiver_use (waiver_id, version_id, is_needed, evaluated_at, helped_at)
             VALUES (:waiver, :version, :needed, :at, :helped)
             ON CONFLICT (waiver_id, version_id) DO UPDATE SET is_needed = excluded.is_needed, evaluated_at = excluded.evaluated_at,
                 helped_at = coalesce(excluded.helped_at, helped_at)",
        )?
        .execute(named_params! {
            ":waiver": waiver.id.to_string(), ":version": version_id, ":needed": is_needed, ":at": evaluated_at.unix_ms(),
            ":helped": helped_at.map(Time::unix_ms),
        })?;
    Ok(())
}
