//! The data at rest of a server on this machine, with the server running or not. Invariant: it is only read, and what is found unsound is
//! named with what to do about it.

use std::path::Path;

use super::super::connection::ServerFlags;
use super::super::directory::Holder;
use super::super::table::{bytes, counted};
use super::Finding;
use super::server::FREE_LIMIT_BYTES;
use crate::blobs::disk_space;
use crate::store;

/// Faults of the database that are shown; `artifortress verify` shows all of them.
const FAULTS_SHOWN: usize = 3;
const DATABASE: &str = "database";

/// Looks at the directory that the flags name; nothing when they name a server by its address.
pub(super) fn look(flags: &ServerFlags) -> Vec<Finding> {
    flags.data_directory().map(|directory| sound(&directory)).unwrap_or_default()
}

/// What can be said of a directory that nobody serves.
pub(super) fn look_without_server(directory: &Path) -> Vec<Finding> {
    let left = Holder::read(directory).is_ok_and(|holder| holder.process.is_some());
    let words = if left { "none runs here; the last one did not end in order" } else { "none runs here" };
    let start = format!("start it: artifortress serve --data-dir {}, or by its unit", directory.display());
    let mut findings = vec![Finding::bad("server", words, start)];
    findings.extend(sound(directory));
    findings.push(match disk_space(directory) {
        Ok(space) if space.free_bytes >= FREE_LIMIT_BYTES => Finding::good("disk", format!("{} free", bytes(space.free_bytes))),
        Ok(space) => {
            let next = "make room, or enlarge the disk, before the server is started";
            Finding::bad("disk", format!("{} free", bytes(space.free_bytes)), next)
        }
        Err(cause) => Finding::warning("disk", cause.to_string(), "run this as the user whom the server runs as"),
    });
    findings.push(if directory.join("search.db").is_file() {
        Finding::good("index", "search.db is there; the server says at its start whether it is whole")
    } else {
        Finding::warning("index", "search.db is missing", "nothing to do: the server fills a new one when it runs")
    });
    findings
}

/// Checks every invariant of the database, beside the server if one runs.
fn sound(directory: &Path) -> Vec<Finding> {
    let restore = format!(
        "stop the server, keep {} as it is for a look, and restore the newest backup into an empty directory: artifortress restore FILE",
        directory.display()
    );
    let report = match store::check(directory) {
        Ok(report) => report,
        Err(error) => {
            let cause = error.cause().map_or_else(|| error.message().to_owned(), ToString::to_string);
            return vec![Finding::bad(DATABASE, format!("state.db cannot be read: {cause}"), restore)];
        }
    };
    if report.faults.is_empty() {
        let (versions, rows) = (counted(report.versions, "version"), counted(report.audit_rows, "audit row"));
        return vec![Finding::good(DATABASE, format!("{versions} and {rows} are sound"))];
    }
    let is_of_schema = |fault: &str| fault.starts_with("the schema is ");
    let shown = report.faults.iter().take(FAULTS_SHOWN).map(|fault| {
        let next = if is_of_schema(fault) { "artifortress serve --check says what a start would do".to_owned() } else { restore.clone() };
        Finding::bad(DATABASE, fault.clone(), next)
    });
    let mut findings: Vec<Finding> = shown.collect();
    if let Some(rest) = report.faults.len().checked_sub(FAULTS_SHOWN).filter(|rest| *rest > 0) {
        let words = counted(rest as u64, "further fault");
        findings.push(Finding::bad(DATABASE, words, "artifortress verify names all of them"));
    }
    findings
}
