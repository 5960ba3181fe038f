//! The database against the disk. Invariant: it changes nothing but the audit trail, compares rows with files and not with themselves, and
//! is bounded: every row and name is looked at, of the bytes a sample.

use std::sync::Arc;

use super::Registry;
use crate::blobs::vault::Condition;
use crate::domain::access::Operator;
use crate::domain::digest::Digest;
use crate::error::Result;
use crate::hop;

/// Rows looked at in one question to the database.
const LOOK_BATCH: usize = 1_000;
/// Digests that each list of a report names.
const NAMED_LIMIT: usize = 100;
/// Bytes that one report hashes at most, beside the first blob of the sample.
const SAMPLE_LIMIT_BYTES: u64 = 1 << 30;

/// Blobs with the same fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faulty {
    /// How many.
    pub count: u64,
    /// The first hundred of them.
    pub first: Vec<Digest>,
}

impl Faulty {
    fn add(&mut self, digest: Digest) {
        self.count += 1;
        if self.first.len() < NAMED_LIMIT {
            self.first.push(digest);
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Rows.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows without a file.
    pub missing: Faulty,
    /// Files whose size or bytes are not those of their row and name.
    pub damaged: Faulty,
    /// Files without a row; the collector removes them.
    pub orphans: Faulty,
    /// Files whose bytes were hashed.
    pub sampled: u64,
}

impl Registry {
    /// Compares the database with the disk and hashes about `sample` blobs again, others each time.
    ///
    /// # Errors
    /// Internal when the store or the disk fails.
    pub async fn reconcile(&self, operator: &Operator, sample: u64) -> Result<Reconciliation> {
        let (store, vault, proof) = (Arc::clone(&self.store), self.blobs.vault(), operator.clone());
        let mut found = hop::run(move || {
            let count = store.allotment_of(&proof, None)?.usage.blob_count;
            let step = count.checked_div(sample).unwrap_or(u64::MAX).max(1);
            let mut next = u64::from(store.clock().uuid().as_fields().1) % step;
            let (mut found, mut after, mut hashed_bytes) = (Reconciliation::default(), None, 0);
            loop {
                let rows = store.blobs_after(after.as_ref(), LOOK_BATCH)?;
                let Some((last, _)) = rows.last() else { return Ok(found) };
                after = Some(*last);
                for (digest, size_bytes) in rows {
                    let is_due = found.blobs == next && found.sampled < sample && hashed_bytes < SAMPLE_LIMIT_BYTES;
                    if found.blobs == next {
                        next = next.saturating_add(step);
                    }
                    found.blobs += 1;
                    found.bytes += size_bytes;
                    let condition = match vault.find_file(&digest)? {
                        None => Condition::Missing,
                        Some((actual_bytes, _)) if actual_bytes != size_bytes => Condition::WrongSize { actual_bytes },
                        Some(_) if is_due => {
                            found.sampled += 1;
                            hashed_bytes += size_bytes;
                            vault.verify(digest, size_bytes)?
                        }
                        Some(_) => Condition::Sound,
                    };
                    match condition {
                        Condition::Sound => {}
                        // The collector may have taken row and bytes since the row was read.
                        Condition::Missing if store.is_blob_known(&digest)? => found.missing.add(digest),
                        Condition::Missing => {}
                        Condition::WrongSize { .. } | Condition::WrongDigest { .. } => found.damaged.add(digest),
                    }
                }
            }
        })
        .await?;
        for orphan in self.orphans(self.store.clock().now()).await? {
            found.orphans.add(orphan.digest);
        }
        let (missing, damaged, orphans) = (found.missing.count, found.damaged.count, found.orphans.count);
        self.store.write(operator, move |tx| tx.note_reconciled(missing, damaged, orphans)).await?;
        Ok(found)
    }
}
