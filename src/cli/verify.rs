//! `verify` and `audit verify`: the invariants of the data at rest. Invariant: they report every fault and exit 1 when there is any; they
//! only read, unless `--repair` is given, which removes what nothing names and what can be made anew.

use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::directory::DataDirectory;
use super::table::counted;
use super::{complain, complain_of, say};
use crate::blobs::vault::{Condition, Deletion, Vault};
use crate::blobs::{Blobs, hold_for_removal};
use crate::config::Config;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};
use crate::store::{self, CheckReport};

/// Threads that hash blobs at most: a disk gives no more than a few of them work.
const HASHING_LIMIT: usize = 8;

/// Checks the database.
pub(super) fn database(config: Config) -> ExitCode {
    conclude(store::check(&config.data_dir), sound)
}

/// Checks the database and hashes every blob again.
pub(super) fn database_and_blobs(config: Config) -> ExitCode {
    conclude(check_all(&config.data_dir), sound_with_blobs)
}

/// Checks the database, and repairs what can be.
pub(super) fn repair(config: Config) -> ExitCode {
    conclude(alone(&config.data_dir, |_, _| Ok(())), sound)
}

/// Checks everything, and repairs what can be.
pub(super) fn repair_with_blobs(config: Config) -> ExitCode {
    conclude(alone(&config.data_dir, check_blobs), sound_with_blobs)
}

fn sound(report: &CheckReport) -> String {
    format!("{} versions and {} audit rows are sound", report.versions, report.audit_rows)
}

fn sound_with_blobs(report: &CheckReport) -> String {
    format!("{} versions, {} audit rows and {} blobs are sound", report.versions, report.audit_rows, report.blobs.len())
}

fn check_all(data_dir: &Path) -> Result<CheckReport> {
    let mut report = store::check(data_dir)?;
    check_blobs(data_dir, &mut report)?;
    Ok(report)
}

/// Checks a directory that nobody serves, and repairs it unless the catalogue itself is at fault: then nothing says what may be removed.
fn alone(data_dir: &Path, check_more: fn(&Path, &mut CheckReport) -> Result<()>) -> Result<CheckReport> {
    if !data_dir.join("state.db").exists() {
        // Says so, and leaves no lock in a directory that is none of ours.
        return store::check(data_dir);
    }
    let _alone = DataDirectory::open(data_dir)?;
    let removal = hold_for_removal(data_dir)?;
    let _removal =
        removal.ok_or_else(|| Error::conflict("a backup is under way, which needs every blob; wait for it to end, then try again"))?;
    let mut report = store::check(data_dir)?;
    if !report.faults.is_empty() {
        complain("the database itself is at fault, so nothing says what may be removed; nothing was repaired");
        return Ok(report);
    }
    match remove_orphans(&Blobs::open_dir(data_dir)?.vault(), &report.blobs)? {
        0 => say("no blob is there that nothing names"),
        count => say(&format!("removed {} that nothing names", counted(count, "blob"))),
    }
    match store::repair_index(data_dir)? {
        None => say("the search index is not damaged"),
        Some(fault) => say(&format!("removed the search index, which was damaged ({fault}); the next start fills a new one")),
    }
    check_more(data_dir, &mut report)?;
    Ok(report)
}

/// Removes every blob on disk that is not in the list, which is in order.
fn remove_orphans(vault: &Vault, named: &[(Digest, u64)]) -> Result<u64> {
    let mut removed = 0;
    for digest in vault.list()? {
        let digest = digest?;
        let is_named = named.binary_search_by(|(known, _)| known.cmp(&digest)).is_ok();
        if !is_named && vault.delete(digest, || Ok(false))? == Deletion::Deleted {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Checks the audit chain.
pub(super) fn audit(config: Config) -> ExitCode {
    conclude(store::check_audit(&config.data_dir), |report| format!("the audit chain of {} rows is unbroken", report.audit_rows))
}

/// Hashes every blob, on as many threads as there are processors.
fn check_blobs(data_dir: &Path, report: &mut CheckReport) -> Result<()> {
    let vault = Blobs::open_dir(data_dir)?.vault();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(HASHING_LIMIT);
    let (blobs, next) = (&report.blobs, AtomicUsize::new(0));
    let look = || -> Result<Vec<String>> {
        let mut faults = Vec::new();
        while let Some((digest, size_bytes)) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            faults.extend(fault_of(&vault, *digest, *size_bytes)?);
        }
        Ok(faults)
    };
    let found: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(look)).collect();
        let own = look();
        let broken = || Err(Error::internal("hashing blobs", "a thread panicked"));
        others.into_iter().map(|other| other.join().unwrap_or_else(|_| broken())).chain([own]).collect()
    });
    let mut faults = Vec::new();
    for part in found {
        faults.extend(part?);
    }
    faults.sort();
    report.faults.extend(faults);
    Ok(())
}

fn fault_of(vault: &Vault, digest: Digest, size_bytes: u64) -> Result<Option<String>> {
    let fault = match vault.verify(digest, size_bytes)? {
        Condition::Sound => return Ok(None),
        Condition::Missing => "its file is missing".to_owned(),
        Condition::WrongSize { actual_bytes } => format!("its file has {actual_bytes} bytes instead of {size_bytes}"),
        Condition::WrongDigest { actual } => format!("its file's content has the digest {actual}"),
    };
    Ok(Some(format!("blob {digest}: {fault}")))
}

fn conclude(checked: Result<CheckReport>, praise: impl FnOnce(&CheckReport) -> String) -> ExitCode {
    let report = match checked {
        Ok(report) => report,
        Err(error) => return complain_of(&error),
    };
    if report.faults.is_empty() {
        say(&praise(&report));
        return ExitCode::SUCCESS;
    }
    for fault in &report.faults {
        complain(fault);
    }
    let count = match report.faults.len() {
        1 => "one fault".to_owned(),
        several => format!("{several} faults"),
    };
    complain(&format!(
        "{count} found, and left as they are; if the lines above do not say what to do, restore the directory from a backup"
    ));
    ExitCode::FAILURE
}
