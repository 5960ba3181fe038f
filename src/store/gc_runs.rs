//! The record of the collector's runs. Invariant: what a run has done is added to its row in the transaction that did it, so that the row
//! is right also when the server ends under it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::rows::{self, Page};
use super::write::{Done, Write};
use super::{Store, versions};
use crate::domain::access::Operator;
use crate::domain::event::Event;
use crate::domain::id::GcRunId;
use crate::domain::name::Subject;
use crate::domain::space::{GcRunState, SpaceEvent};
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// How a run is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcPlan {
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// Hours for which bytes that nothing refers to are kept.
    pub grace_hours: u32,
    /// Rows that one transaction takes.
    pub batch_size: u32,
}

/// What a run did or, dry, would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcTally {
    /// Tombstones that lost their files.
    pub purged_versions: u64,
    /// Blobs removed.
    pub removed_blobs: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files removed that no row knew.
    pub orphan_files: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcRun {
    /// Its id.
    pub id: GcRunId,
    /// How it was to go.
    pub plan: GcPlan,
    /// Where it stands.
    pub state: GcRunState,
    /// When it began.
    pub started_at: Time,
    /// Who asked for it.
    pub started_by: Subject,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// What it did so far.
    pub tally: GcTally,
    /// Why it ended before its end.
    pub error: Option<String>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<GcRun> {
    let number = |column: &str| {
        rows::unsigned(row, column).and_then(|number| u32::try_from(number).map_err(|error| rows::unreadable(column, &error)))
    };
    Ok(GcRun {
        id: rows::parse(row, "run_id")?,
        plan: GcPlan { dry_run: row.get("dry_run")?, grace_hours: number("grace_hours")?, batch_size: number("batch_size")? },
        state: rows::parse(row, "state")?,
        started_at: rows::time(row, "started_at")?,
        started_by: versions::subject(row, "started_by")?,
        finished_at: rows::time_optional(row, "finished_at")?,
        tally: GcTally {
            purged_versions: rows::unsigned(row, "purged_versions")?,
            removed_blobs: rows::unsigned(row, "removed_blobs")?,
            removed_bytes: rows::unsigned(row, "removed_bytes")?,
            orphan_files: rows::unsigned(row, "orphan_files")?,
            orphan_bytes: rows::unsigned(row, "orphan_bytes")?,
        },
        error: row.get("error")?,
    })
}

fn find_run(connection: &Connection, id: &GcRunId) -> Result<GcRun> {
    let found = connection
        .prepare_cached("SELECT * FROM gc_runs WHERE run_id = :id")?
        .query_row(named_params! {":id": id.to_string()}, read)
        .optional()?;
    found.ok_or_else(|| Error::not_found(format!("collection {id}")))
}

impl Store {
    /// One run.
    ///
    /// # Errors
    /// `not_found`.
    pub fn gc_run(&self, id: &GcRunId) -> Result<GcRun> {
        find_run(&*self.connection()?, id)
    }

    /// One page of the runs, newest first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn gc_runs(&self, _proof: &Operator, limit: usize, cursor: Option<&str>) -> Result<Page<GcRun>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached("SELECT * FROM gc_runs WHERE run_id < :before ORDER BY run_id DESC LIMIT :limit")?;
        let found =
            statement.query_map(named_params! {":before": cursor.unwrap_or("~"), ":limit": rows::stored(limit as u64 + 1)}, read)?;
        Ok(Page::cut(found.collect::<rusqlite::Result<_>>()?, limit, |run: &GcRun| run.id.to_string()))
    }

    /// When the last run that was no trial began.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn last_collection(&self) -> Result<Option<Time>> {
        let found = self
            .connection()?
            .prepare_cached("SELECT started_at FROM gc_runs INDEXED BY gc_runs_in_earnest WHERE dry_run = 0 ORDER BY run_id DESC LIMIT 1")?
            .query_row([], |row| rows::time(row, "started_at"))
            .optional()?;
        Ok(found)
    }
}

impl Write<'_> {
    /// Records that a run begins; one that the server ended under is called interrupted.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn begin_gc(&mut self, plan: &GcPlan) -> Result<Done<GcRun>> {
        let id = GcRunId::new(self.uuid());
        let now = self.now().unix_ms();
        self.connection()
            .prepare_cached(
                "UPDATE gc_runs INDEXED BY gc_runs_running SET state = 'interrupted', finished_at = :now WHERE state = 'running'",
            )?
            .execute(named_params! {":now": now})?;
        self.connection()
            .prepare_cached(
                "INSERT INTO gc_runs (run_id, dry_run, grace_hours, batch_size, state, started_at, started_by)
                 VALUES (:id, :dry, :grace, :batch, 'running', :now, :by)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":dry": plan.dry_run, ":grace": plan.grace_hours, ":batch": plan.batch_size, ":now": now,
                ":by": self.actor().subject.as_str(),
            })?;
        let run = find_run(self.connection(), &id)?;
        Ok(Done::new(run, gc_event(id, "begun", plan.dry_run, (0, 0))))
    }

    /// Records what a trial found, or what was done to files that no row knows.
    ///
    /// # Errors
    /// `not_found` when there is no such run.
    pub fn note_gc(&mut self, run: &GcRunId, step: &'static str, tally: &GcTally) -> Result<Done<GcRun>> {
        self.add_to_run(run, tally)?;
        let run = find_run(self.connection(), run)?;
        let sums = (tally.removed_blobs + tally.orphan_files, tally.removed_bytes + tally.orphan_bytes);
        let event = gc_event(run.id, step, run.plan.dry_run, sums);
        Ok(Done::new(run, event))
    }

    /// Records how a run ended.
    ///
    /// # Errors
    /// `not_found` when there is no such run.
    pub fn end_gc(&mut self, run: &GcRunId, failure: Option<&str>) -> Result<Done<GcRun>> {
        let state = if failure.is_some() { GcRunState::Failed } else { GcRunState::Completed };
        self.connection()
            .prepare_cached("UPDATE gc_runs SET state = :state, finished_at = :now, error = :error WHERE run_id = :id")?
            .execute(named_params! {":state": state.as_str(), ":now": self.now().unix_ms(), ":error": failure, ":id": run.to_string()})?;
        let run = find_run(self.connection(), run)?;
        let sums = (run.tally.removed_blobs + run.tally.orphan_files, run.tally.removed_bytes + run.tally.orphan_bytes);
        let event = gc_event(run.id, state.as_str(), run.plan.dry_run, sums);
        Ok(Done::new(run, event))
    }

    pub(super) fn add_to_run(&self, run: &GcRunId, tally: &GcTally) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE gc_runs SET purged_versions = purged_versions + :purged, removed_blobs = removed_blobs + :blobs,
                     removed_bytes = removed_bytes + :bytes, orphan_files = orphan_files + :files, orphan_bytes = orphan_bytes + :orphans
                 WHERE run_id = :id",
            )?
            .execute(named_params! {
                ":purged": rows::stored(tally.purged_versions), ":blobs": rows::stored(tally.removed_blobs),
                ":bytes": rows::stored(tally.removed_bytes), ":files": rows::stored(tally.orphan_files),
                ":orphans": rows::stored(tally.orphan_bytes), ":id": run.to_string(),
            })?;
        Ok(())
    }

    /// Records what a comparison of the database with the disk found.
    ///
    /// # Errors
    /// Never by itself.
    pub fn note_reconciled(&mut self, missing: u64, damaged: u64, orphans: u64) -> Result<Done<()>> {
        Ok(Done::new((), Event::Space(SpaceEvent::Reconciled { missing, damaged, orphans })))
    }
}

pub(super) fn gc_event(run_id: GcRunId, step: &'static str, dry_run: bool, (blobs, bytes): (u64, u64)) -> Event {
    Event::Space(SpaceEvent::GcRun { run_id, step, dry_run, blobs, bytes })
}
