//! Importing advisories and looking at them. Invariant: an import is all or nothing: until its last record is read and found good,
//! nothing that it brings counts, and one that breaks off leaves nothing that does. One runs at a time.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::{BlobSource, Registry};
use crate::advisories::{RECORD_LIMIT_BYTES, Record};
use crate::domain::access::{Acting, Operator};
use crate::error::{Error, Result};
use crate::hop;
use crate::store::{AdvisorySnapshot, Store, StoredAdvisory};

/// Records that one transaction writes, at most: the writer is free for others between them.
const BATCH_RECORDS: usize = 250;
/// Bytes after which a batch is full, whatever it holds.
const BATCH_BYTES: usize = 4 << 20;
/// Ids that a report names.
const NAMED_LIMIT: usize = 20;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Records read.
    pub read: u64,
    /// Advisories that are new or say something else now.
    pub changed: u64,
    /// Records that were in force already.
    pub unchanged: u64,
    /// Records not taken, since a newer revision is known.
    pub older: u64,
    /// Records of which some bound cannot be read by its ecosystem's rules: what lies beyond it matches.
    pub uncertain: u64,
    /// The first of these.
    pub uncertain_ids: Vec<String>,
    /// What is in force now; `None` when there is nothing.
    pub snapshot: Option<AdvisorySnapshot>,
}

/// The advisories of an instance.
pub struct Advisories {
    store: Arc<Store>,
    importing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// The advisories, for who runs the instance.
    #[must_use]
    pub fn advisories(&self, _operator: &Operator) -> &Advisories {
        &self.advisories
    }
}

impl Advisories {
    /// The advisories in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Advisories {
        Advisories { store, importing: tokio::sync::Mutex::new(()) }
    }

    /// Takes records of the OSV format, one JSON object a line, all of them or none.
    ///
    /// # Errors
    /// `bad_request` or `too_large` naming the line, `conflict` while another import runs, what `source` fails with.
    pub async fn import(&self, actor: &(impl Acting + Sync), source: impl BlobSource) -> Result<ImportReport> {
        let Ok(_alone) = self.importing.try_lock() else {
            return Err(Error::conflict("another import of advisories is under way; try again when it has ended"));
        };
        self.remove_unused().await?;
        let staged = self.stage(source).await;
        let mut report = match staged {
            Ok(report) => report,
            Err(error) => {
                if let Err(left) = self.remove_unused().await {
                    tracing::warn!(error = ?left, "records of a broken import are left; the next import removes them");
                }
                return Err(error);
            }
        };
        let now = self.store.write(actor, |tx| tx.put_advisories_in_force()).await?;
        report.changed = now.as_ref().map_or(0, |snapshot| snapshot.changed_count);
        report.snapshot = match now {
            Some(snapshot) => Some(snapshot),
            None => self.find_snapshot().await?,
        };
        self.remove_unused().await?;
        Ok(report)
    }

    /// What the last import left in force; `None` before the first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn find_snapshot(&self) -> Result<Option<AdvisorySnapshot>> {
        let store = Arc::clone(&self.store);
        hop::run(move || store.find_advisory_snapshot()).await
    }

    /// One advisory in force.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn advisory(&self, id: String) -> Result<StoredAdvisory> {
        let store = Arc::clone(&self.store);
        hop::run(move || store.advisory(&id)).await
    }

    async fn remove_unused(&self) -> Result<()> {
        while self.store.bookkeep(|tx| tx.remove_unused_advisories(BATCH_RECORDS)).await? > 0 {}
        Ok(())
    }

    async fn stage(&self, source: impl BlobSource) -> Result<ImportReport> {
        let (mut source, mut lines, mut report) = (pin!(source), Lines::default(), ImportReport::default());
        while let Some(chunk) = source.next().await {
            lines.push(&chunk?)?;
            while let Some(batch) = lines.full_batch() {
                self.stage_batch(batch, &mut report).await?;
            }
        }
        let rest = lines.end();
        self.stage_batch(rest, &mut report).await?;
        if report.read == 0 {
            return Err(Error::bad_request("the import has no record; send records of the OSV format, one JSON object a line"));
        }
        Ok(report)
    }

    async fn stage_batch(&self, lines: Vec<(u64, Bytes)>, report: &mut ImportReport) -> Result<()> {
        let records = hop::run(move || lines.iter().map(|(number, line)| read(*number, line)).collect::<Result<Vec<Record>>>()).await?;
        report.read += records.len() as u64;
        for record in records.iter().filter(|record| record.unreadable_ranges > 0) {
            report.uncertain += 1;
            if report.uncertain_ids.len() < NAMED_LIMIT {
                report.uncertain_ids.push(record.id.clone());
            }
        }
        let staged = self.store.bookkeep(move |tx| tx.stage_advisories(&records)).await?;
        report.unchanged += staged.unchanged;
        report.older += staged.older;
        Ok(())
    }
}

fn read(number: u64, line: &[u8]) -> Result<Record> {
    Record::read(line).map_err(|error| Error::new(error.code(), format!("line {number}: {}; nothing was imported", error.message())))
}

/// Cuts what arrives into lines. At most one batch and one unfinished line wait in memory.
#[derive(Default)]
struct Lines {
    rest: BytesMut,
    /// Bytes of `rest` that hold no line feed.
    searched: usize,
    number: u64,
    batch: Vec<(u64, Bytes)>,
    batch_bytes: usize,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(chunk);
        while let Some(at) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.rest.split_to(self.searched + at + 1).freeze();
            self.searched = 0;
            self.add(line);
        }
        self.searched = self.rest.len();
        if self.rest.len() > RECORD_LIMIT_BYTES {
            let what = format!("line {} of the import, in bytes,", self.number + 1);
            return Err(Error::too_large(what, RECORD_LIMIT_BYTES as u64));
        }
        Ok(())
    }

    fn add(&mut self, line: Bytes) {
        self.number += 1;
        if !line.trim_ascii().is_empty() {
            self.batch_bytes += line.len();
            self.batch.push((self.number, line));
        }
    }

    fn full_batch(&mut self) -> Option<Vec<(u64, Bytes)>> {
        if self.batch.len() < BATCH_RECORDS && self.batch_bytes < BATCH_BYTES {
            return None;
        }
        self.batch_bytes = 0;
        Some(std::mem::take(&mut self.batch))
    }

    /// What is left, the last line being one without a line feed perhaps.
    fn end(mut self) -> Vec<(u64, Bytes)> {
        let rest = self.rest.split().freeze();
        self.add(rest);
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::clock::FixedClock;
    use crate::domain::access::Actor;
    use crate::error::Code;
    use crate::store::StoreOptions;

    fn line(id: &str) -> Result<Bytes> {
        Ok(Bytes::from(format!("{{\"id\":\"{id}\",\"modified\":\"2026-01-01T00:00:00Z\"}}\n")))
    }

    #[tokio::test]
    async fn one_import_runs_at_a_time_and_one_that_is_dropped_leaves_nothing_and_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at("2026-06-01T12:00:00Z".parse().unwrap()));
        let advisories = Arc::new(Advisories::new(Arc::new(Store::open(&StoreOptions::at(directory.path()), clock).unwrap())));
        let actor = Actor::system("test");
        let (taken, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let first = {
            let (advisories, actor) = (Arc::clone(&advisories), actor.clone());
            let batch = stream::iter((0..BATCH_RECORDS).map(|number| line(&format!("A-{number}"))));
            // Asked for more, it tells that the first batch was taken, and then says nothing.
            let rest = stream::once(async move {
                taken.send(()).await.unwrap();
                std::future::pending::<Result<Bytes>>().await
            });
            tokio::spawn(async move { advisories.import(&actor, batch.chain(rest)).await })
        };
        seen.recv().await.unwrap();
        let refused = advisories.import(&actor, stream::iter([line("B-1")])).await.unwrap_err();
        assert_eq!(refused.code(), Code::Conflict);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(advisories.find_snapshot().await.unwrap(), None);
        let report = advisories.import(&actor, stream::iter([line("B-1")])).await.unwrap();
        assert_eq!((report.changed, report.snapshot.unwrap().record_count), (1, 1));
        assert_eq!(advisories.advisory("A-0".to_owned()).await.unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end_and_one_too_long_is_refused() {
        let mut lines = Lines::default();
        for piece in ["{1", "}\n\n", "{2}\r\n{", "3}"] {
            lines.push(piece.as_bytes()).unwrap();
        }
        assert!(lines.full_batch().is_none());
        let read: Vec<(u64, String)> =
            lines.end().into_iter().map(|(number, line)| (number, String::from_utf8_lossy(&line).trim().to_owned())).collect();
        assert_eq!(read, [(1, "{1}".to_owned()), (3, "{2}".to_owned()), (4, "{3}".to_owned())]);
        let mut endless = Lines::default();
        let piece = vec![b'a'; 1 << 20];
        let refused = (0..20).find_map(|_| endless.push(&piece).err()).unwrap();
        assert_eq!(refused.code(), Code::TooLarge);
        assert!(refused.message().contains("line 1"), "{refused}");
    }
}
