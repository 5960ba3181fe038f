//! `verify` and `audit verify`: the invariants of the data at rest. Invariant: they only read, report every fault, and exit
//! 1 when there is any.

use std::path::Path;
use std::process::ExitCode;

use super::{complain, complain_of, say};
use crate::blobs::Blobs;
use crate::blobs::vault::Condition;
use crate::config::Config;
use crate::error::Result;
use crate::store::{self, CheckReport};

/// Checks the database.
pub(super) fn database(config: Config) -> ExitCode {
    conclude(store::check(&config.data_dir), |report| {
        format!("{} versions and {} audit rows are sound", report.versions, report.audit_rows)
    })
}

/// Checks the database and hashes every blob again.
pub(super) fn database_and_blobs(config: Config) -> ExitCode {
    let checked = store::check(&config.data_dir).and_then(|mut report| {
        check_blobs(&config.data_dir, &mut report)?;
        Ok(report)
    });
    conclude(checked, |report| {
        format!("{} versions, {} audit rows and {} blobs are sound", report.versions, report.audit_rows, report.blobs.len())
    })
}

/// Checks the audit chain.
pub(super) fn audit(config: Config) -> ExitCode {
    conclude(store::check_audit(&config.data_dir), |report| format!("the audit chain of {} rows is unbroken", report.audit_rows))
}

fn check_blobs(data_dir: &Path, report: &mut CheckReport) -> Result<()> {
    let vault = Blobs::open_dir(data_dir)?.vault();
    for (digest, size_bytes) in &report.blobs {
        let fault = match vault.verify(*digest, *size_bytes)? {
            Condition::Sound => continue,
            Condition::Missing => "its file is missing".to_owned(),
            Condition::WrongSize { actual_bytes } => format!("its file has {actual_bytes} bytes instead of {size_bytes}"),
            Condition::WrongDigest { actual } => format!("its file's content has the digest {actual}"),
        };
        report.faults.push(format!("blob {digest}: {fault}"));
    }
    Ok(())
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
    complain(&format!("{count} found; nothing was changed; if the lines above do not say what to do, restore the directory from a backup"));
    ExitCode::FAILURE
}
