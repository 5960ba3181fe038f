//! The collector. Invariant: rows go first, in transactions that look again, and bytes after the commit, when nobody has come back to
//! them; a run that is cut off at any moment has harmed nothing, and the next one does the rest.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::blobs::RemovalHold;
use crate::blobs::vault::Deletion;
use crate::domain::access::{Acting, Actor, Operator};
use crate::domain::digest::Digest;
use crate::domain::id::GcRunId;
use crate::domain::space::GcRunState;
use crate::domain::time::Time;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{GcPlan, GcRun, GcTally, Page};

/// How long a caller waits for the end of a run; a longer one goes on without him.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Blobs looked at in one question to the database.
const LOOK_BATCH: usize = 1_000;
/// Files without a row that one run removes at most; the next one goes on.
const ORPHANS_LIMIT: usize = 100_000;
/// How often a run asks for the end of a backup, and the pause between.
const BACKUP_TRIES: usize = 20;
const BACKUP_PAUSE: Duration = Duration::from_millis(250);
const HOUR_MS: i64 = 3_600_000;

/// A file without a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orphan {
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
}

impl Registry {
    /// Collects, or says what a collection would remove. Answers when it is done, or after some seconds with a run that still goes on.
    ///
    /// # Errors
    /// `conflict` while another run is under way.
    pub async fn collect(self: &Arc<Self>, actor: &impl Acting, plan: GcPlan) -> Result<GcRun> {
        let Ok(only_one) = Arc::clone(&self.collections).try_acquire_owned() else {
            return Err(Error::conflict("a collection is running; wait for its end, which the list of collections shows"));
        };
        let run = self.store.write(actor, move |tx| tx.begin_gc(&plan)).await?;
        let (registry, actor, begun) = (Arc::clone(self), actor.actor(), run.clone());
        // Whoever asked may go away; the run goes on.
        let task = tokio::spawn(async move {
            let ended = registry.finish(&actor, &begun).await;
            drop(only_one);
            ended
        });
        match tokio::time::timeout(ANSWER_WITHIN, task).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(cause)) => Err(Error::internal("collecting", cause)),
            Err(_) => self.gc_run(run.id).await,
        }
    }

    async fn gc_run(&self, id: GcRunId) -> Result<GcRun> {
        let store = Arc::clone(&self.store);
        hop::run(move || store.gc_run(&id)).await
    }

    async fn finish(&self, actor: &Actor, run: &GcRun) -> Result<GcRun> {
        let worked = if run.plan.dry_run { self.plan_collection(actor, run).await } else { self.work(actor, run).await };
        let failure = worked.err();
        if let Some(error) = &failure {
            tracing::warn!(?error, run = %run.id, "a collection ended before its end; what it did stands, the next one does the rest");
        }
        let (id, words) = (run.id, failure.map(|error| error.message().to_owned()));
        let ended = self.store.write(actor, move |tx| tx.end_gc(&id, words.as_deref())).await?;
        if !ended.plan.dry_run {
            let tally = ended.tally;
            self.store.metrics().space.collected(tally.removed_blobs + tally.orphan_files, tally.removed_bytes + tally.orphan_bytes);
        }
        Ok(ended)
    }

    /// What a run would do, by the same questions.
    async fn plan_collection(&self, actor: &Actor, run: &GcRun) -> Result<()> {
        let before = before(run);
        let (store, batch) = (Arc::clone(&self.store), batch_of(run));
        let mut tally = hop::run(move || {
            let (mut tally, mut after) = (GcTally::default(), None);
            loop {
                let found = store.purgeable(after, batch)?;
                tally.purged_versions += found.len() as u64;
                let Some(last) = found.last() else { break };
                after = last.tombstone.as_ref().map(|tombstone| (tombstone.restorable_until, last.id));
            }
            let mut after = None;
            loop {
                let (loose, last) = store.loose_blobs(before, after.as_ref(), LOOK_BATCH)?;
                for blob in loose.iter().filter(|blob| blob.is_free) {
                    tally.removed_blobs += 1;
                    tally.removed_bytes += blob.size_bytes;
                }
                after = last;
                if after.is_none() {
                    return Ok(tally);
                }
            }
        })
        .await?;
        for orphan in self.orphans(before).await? {
            tally.orphan_files += 1;
            tally.orphan_bytes += orphan.size_bytes;
        }
        let id = run.id;
        self.store.write(actor, move |tx| tx.note_gc(&id, "planned", &tally)).await.map(drop)
    }

    async fn work(&self, actor: &Actor, run: &GcRun) -> Result<()> {
        self.purge_tombstones(actor, run).await?;
        self.collect_blobs(actor, run).await?;
        self.collect_orphans(actor, run).await
    }

    async fn purge_tombstones(&self, actor: &Actor, run: &GcRun) -> Result<()> {
        let (mut after, batch) = (None, batch_of(run));
        loop {
            let store = Arc::clone(&self.store);
            let found = hop::run(move || store.purgeable(after, batch)).await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = last.tombstone.as_ref().map(|tombstone| (tombstone.restorable_until, last.id));
            let (id, ids) = (run.id, found.iter().map(|version| version.id).collect::<Vec<_>>());
            self.store.write(actor, move |tx| tx.purge(&id, &ids)).await?;
        }
    }

    async fn collect_blobs(&self, actor: &Actor, run: &GcRun) -> Result<()> {
        let (before, mut after) = (before(run), None);
        loop {
            let store = Arc::clone(&self.store);
            let (loose, last) = hop::run(move || store.loose_blobs(before, after.as_ref(), LOOK_BATCH)).await?;
            for batch in loose.chunks(batch_of(run)) {
                let (id, digests) = (run.id, batch.iter().map(|blob| blob.digest).collect::<Vec<_>>());
                let hold = self.hold_for_removal().await?;
                let gone = self.store.write(actor, move |tx| tx.let_go(&id, &digests, before)).await?;
                self.remove_files(gone, hold).await?;
            }
            after = last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Removes the bytes of blobs whose rows are gone, but of those that somebody has brought again meanwhile; says which were removed.
    async fn remove_files(&self, digests: Vec<Digest>, hold: RemovalHold) -> Result<Vec<Digest>> {
        let (store, vault) = (Arc::clone(&self.store), self.blobs.vault());
        hop::run(move || {
            let mut removed = Vec::new();
            for digest in digests {
                match vault.delete(digest, || store.is_blob_known(&digest))? {
                    Deletion::Deleted => removed.push(digest),
                    Deletion::Absent | Deletion::InUse => {}
                }
            }
            drop(hold);
            Ok(removed)
        })
        .await
    }

    async fn collect_orphans(&self, actor: &Actor, run: &GcRun) -> Result<()> {
        let orphans = self.orphans(before(run)).await?;
        for batch in orphans.chunks(batch_of(run)) {
            let hold = self.hold_for_removal().await?;
            let removed = self.remove_files(batch.iter().map(|orphan| orphan.digest).collect(), hold).await?;
            let mut tally = GcTally::default();
            for orphan in batch.iter().filter(|orphan| removed.contains(&orphan.digest)) {
                tally.orphan_files += 1;
                tally.orphan_bytes += orphan.size_bytes;
            }
            let id = run.id;
            self.store.write(actor, move |tx| tx.note_gc(&id, "orphans", &tally)).await?;
        }
        Ok(())
    }

    /// Files that no row knows and that were written before `before`.
    pub(super) async fn orphans(&self, before: Time) -> Result<Vec<Orphan>> {
        let (store, vault) = (Arc::clone(&self.store), self.blobs.vault());
        hop::run(move || {
            let mut orphans = Vec::new();
            for digest in vault.list()? {
                let digest = digest?;
                if store.is_blob_known(&digest)? {
                    continue;
                }
                if let Some((size_bytes, _)) = vault.find_file(&digest)?.filter(|(_, written_ms)| *written_ms <= before.unix_ms()) {
                    orphans.push(Orphan { digest, size_bytes });
                }
                if orphans.len() >= ORPHANS_LIMIT {
                    break;
                }
            }
            Ok(orphans)
        })
        .await
    }

    /// The right to remove blobs; a backup is waited for a moment.
    async fn hold_for_removal(&self) -> Result<RemovalHold> {
        for _ in 0..BACKUP_TRIES {
            let vault = self.blobs.vault();
            if let Some(hold) = hop::run(move || vault.hold_for_removal()).await? {
                return Ok(hold);
            }
            tokio::time::sleep(BACKUP_PAUSE).await;
        }
        Err(Error::new(Code::Unavailable, "a backup is being made, which needs every blob; collect again when it is done"))
    }

    /// One run.
    ///
    /// # Errors
    /// `not_found`.
    pub fn collection(&self, _operator: &Operator, id: &GcRunId) -> Result<GcRun> {
        self.store.gc_run(id).map(|run| self.as_it_stands(run))
    }

    /// A run that nobody works on any more was interrupted; the next one writes that down.
    fn as_it_stands(&self, run: GcRun) -> GcRun {
        let is_at_work = run.state != GcRunState::Running || self.collections.available_permits() == 0;
        if is_at_work { run } else { GcRun { state: GcRunState::Interrupted, ..run } }
    }

    /// One page of the runs, newest first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn collections(&self, operator: &Operator, limit: usize, cursor: Option<&str>) -> Result<Page<GcRun>> {
        let Page { items, next_cursor } = self.store.gc_runs(operator, limit, cursor)?;
        Ok(Page { items: items.into_iter().map(|run| self.as_it_stands(run)).collect(), next_cursor })
    }
}

fn batch_of(run: &GcRun) -> usize {
    usize::try_from(run.plan.batch_size).unwrap_or(1).max(1)
}

/// What was given before this moment and is of no use may go.
fn before(run: &GcRun) -> Time {
    run.started_at.plus_ms(-i64::from(run.plan.grace_hours).saturating_mul(HOUR_MS))
}
