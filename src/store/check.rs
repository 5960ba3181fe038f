//! The invariants of a database at rest: for `artifortress verify`, the tests and the crash tests. Invariant: it only
//! reads, and reports every fault it finds instead of stopping at the first.

use std::path::Path;

use rusqlite::Connection;

use super::{audit, connection, migrate};
use crate::domain::candidate::content_digest;
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::error::{Code, Error, Result};

/// What was looked at and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Audit rows in the chain.
    pub audit_rows: u64,
    /// Versions.
    pub versions: u64,
    /// Every blob with its size in bytes, for the check of the bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Each fault in words.
    pub faults: Vec<String>,
}

/// Queries that must find nothing, with the sentence for each row they do find.
const MUST_BE_EMPTY: &[(&str, &str)] = &[
    ("a sealed version has no content digest", "SELECT version_id FROM versions WHERE state <> 'draft' AND content_digest IS NULL"),
    (
        "a quarantined version has no open hold",
        "SELECT version_id FROM versions WHERE state = 'quarantined'
           AND NOT EXISTS (SELECT 1 FROM quarantine_items AS item WHERE item.version_id = versions.version_id AND item.status = 'quarantined')",
    ),
    (
        "an open hold is on a version that is not quarantined",
        "SELECT quarantine_id FROM quarantine_items JOIN versions USING (version_id) WHERE status = 'quarantined' AND state <> 'quarantined'",
    ),
    (
        "a hold covers other content than its version has",
        "SELECT quarantine_id FROM quarantine_items JOIN versions USING (version_id)
         WHERE status = 'quarantined' AND versions.content_digest <> quarantine_items.content_digest",
    ),
    (
        "a rejected version has no rejected item",
        "SELECT version_id FROM versions WHERE state = 'rejected'
           AND NOT EXISTS (SELECT 1 FROM quarantine_items AS item WHERE item.version_id = versions.version_id AND item.status = 'rejected')",
    ),
    (
        "a published version was never evaluated and never released",
        "SELECT version_id FROM versions WHERE state = 'published'
           AND NOT EXISTS (SELECT 1 FROM audit WHERE audit.resource_id = versions.version_id AND audit.action = 'package.version.published')
           AND NOT EXISTS (SELECT 1 FROM audit WHERE audit.resource_id = versions.version_id AND audit.action = 'package.version.restored')",
    ),
    ("a file names a blob that its repo was not given", "SELECT entries.version_id FROM entries JOIN versions USING (version_id)
         WHERE NOT EXISTS (SELECT 1 FROM repo_blobs WHERE repo_blobs.repo_key = versions.repo_key AND repo_blobs.digest = entries.digest)"),
    ("a file has another size than its blob", "SELECT version_id FROM entries JOIN blobs USING (digest) WHERE entries.size_bytes <> blobs.size_bytes"),
    ("a version lies in another repo than its package", "SELECT version_id FROM versions JOIN packages USING (package_id) WHERE versions.repo_key <> packages.repo_key"),
    (
        "an evaluation names a version that is neither there nor was removed",
        "SELECT evaluation_id FROM evaluations WHERE NOT EXISTS (SELECT 1 FROM versions WHERE versions.version_id = evaluations.version_id)
           AND NOT EXISTS (SELECT 1 FROM audit WHERE audit.resource_id = evaluations.version_id
               AND audit.action IN ('package.version.draft.removed', 'package.version.tombstoned'))",
    ),
    (
        "a tag names what was taken back, was never published or is another package's",
        "SELECT package_tags.tag FROM package_tags JOIN versions USING (version_id)
         WHERE versions.state = 'tombstoned' OR versions.package_id <> package_tags.package_id
           OR (versions.state = 'draft' AND NOT EXISTS (SELECT 1 FROM quarantine_items AS item WHERE item.version_id = versions.version_id))",
    ),
    (
        "a published version still waits for tags",
        "SELECT version_id FROM wanted_tags JOIN versions USING (version_id) WHERE state = 'published'",
    ),
    ("a purged version has files", "SELECT version_id FROM versions WHERE purged_at IS NOT NULL
         AND (EXISTS (SELECT 1 FROM entries WHERE entries.version_id = versions.version_id)
              OR EXISTS (SELECT 1 FROM manifests WHERE manifests.version_id = versions.version_id))"),
    ("a blob was given to no repo", "SELECT digest FROM blobs WHERE NOT EXISTS (SELECT 1 FROM repo_blobs WHERE repo_blobs.digest = blobs.digest)"),
    (
        "what a repo uses is not what is counted for it",
        "SELECT repo_key FROM usage WHERE repo_key <> '' AND (blob_bytes, blob_count, version_count) IS NOT (
             (SELECT coalesce(sum(size_bytes), 0) FROM repo_blobs JOIN blobs USING (digest) WHERE repo_blobs.repo_key = usage.repo_key),
             (SELECT count(*) FROM repo_blobs WHERE repo_blobs.repo_key = usage.repo_key),
             (SELECT count(*) FROM versions WHERE versions.repo_key = usage.repo_key AND state <> 'tombstoned'))
         UNION ALL SELECT repo_key FROM repos WHERE repo_key NOT IN (SELECT repo_key FROM usage)",
    ),
    (
        "what the instance uses is not what is counted for it",
        "SELECT 'instance' WHERE NOT EXISTS (SELECT 1 FROM usage WHERE repo_key = ''
             AND (blob_bytes, blob_count, version_count) IS ((SELECT coalesce(sum(size_bytes), 0) FROM blobs), (SELECT count(*) FROM blobs),
                 (SELECT count(*) FROM versions WHERE state <> 'tombstoned')))",
    ),
    ("a job is processing without a lease", "SELECT job_id FROM jobs WHERE state = 'processing' AND lease_token IS NULL"),
    ("a job was tried more often than it may", "SELECT job_id FROM jobs WHERE attempts > max_attempts"),
    ("a delivered event has no time of delivery", "SELECT event_id FROM outbox WHERE state = 'delivered' AND delivered_at IS NULL"),
];

/// Checks the database in `directory`, which may be in use.
///
/// # Errors
/// When it cannot be opened or read at all.
pub fn check(directory: &Path) -> Result<CheckReport> {
    let connection = open(directory)?;
    let mut report = CheckReport::default();
    let found = migrate::version_of(&connection)?;
    if found != migrate::newest(migrate::STATE) {
        let newest = migrate::newest(migrate::STATE);
        let advice = if found > newest { "use the newer artifortress that wrote it" } else { "start artifortress once, which migrates it" };
        report.faults.push(format!("the schema is {found}, this program's is {newest}; {advice}"));
        return Ok(report);
    }
    // One transaction: everything is seen at one moment, whatever the daemon writes meanwhile.
    connection.execute_batch("BEGIN")?;
    integrity(&connection, &mut report)?;
    for (fault, sql) in MUST_BE_EMPTY {
        let mut statement = connection.prepare(sql)?;
        let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
        for id in ids {
            report.faults.push(format!("{fault}: {}", id?));
        }
    }
    contents(&connection, &mut report)?;
    report.audit_rows = audit::verify_chain(&connection, |fault| report.faults.push(format!("audit row {}: {}", fault.seq, fault.what)))?;
    report.blobs = blobs(&connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(report)
}

/// Checks the audit chain alone.
///
/// # Errors
/// When the database cannot be opened or read at all.
pub fn check_audit(directory: &Path) -> Result<CheckReport> {
    let connection = open(directory)?;
    let mut report = CheckReport::default();
    report.audit_rows = audit::verify_chain(&connection, |fault| report.faults.push(format!("audit row {}: {}", fault.seq, fault.what)))?;
    Ok(report)
}

pub(super) fn open(directory: &Path) -> Result<Connection> {
    let path = directory.join("state.db");
    if !path.exists() {
        return Err(Error::new(
            Code::NotFound,
            format!("there is no database at {}; give the directory that the server uses with --data-dir", path.display()),
        ));
    }
    Ok(connection::open_reader(&path)?)
}

fn integrity(connection: &Connection, report: &mut CheckReport) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            report.faults.push(format!("integrity: {line}"));
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    for table in statement.query_map([], |row| row.get::<_, String>(0))? {
        report.faults.push(format!("a row of {} refers to nothing", table?));
    }
    Ok(())
}

/// Every sealed version's digest is that of its files and manifest.
fn contents(connection: &Connection, report: &mut CheckReport) -> Result<()> {
    let mut statement = connection
        .prepare("SELECT version_id, iif(purged_at IS NULL, content_digest, NULL) AS content_digest FROM versions ORDER BY version_id")?;
    let versions = statement
        .query_map([], |row| Ok((super::rows::parse::<VersionId>(row, "version_id")?, row.get::<_, Option<String>>("content_digest")?)))?;
    for version in versions {
        let (id, stored) = version?;
        report.versions += 1;
        let Some(stored) = stored else { continue };
        let files = super::versions::files(connection, &id)?;
        let manifest = super::versions::manifest(connection, &id)?;
        if manifest.as_ref().is_some_and(|manifest| Digest::of(&manifest.bytes) != manifest.digest) {
            report.faults.push(format!("the manifest of version {id} is not what was received"));
        }
        if content_digest(&files, manifest.as_ref().map(|manifest| &manifest.digest)).to_string() != stored {
            report.faults.push(format!("the content of version {id} is not what was sealed"));
        }
    }
    Ok(())
}

/// Every blob with its size in bytes, in the order of the digests.
pub(super) fn blobs(connection: &Connection) -> Result<Vec<(Digest, u64)>> {
    let mut statement = connection.prepare("SELECT digest, size_bytes FROM blobs ORDER BY digest")?;
    let blobs = statement.query_map([], |row| Ok((super::rows::parse(row, "digest")?, super::rows::unsigned(row, "size_bytes")?)))?;
    Ok(blobs.collect::<rusqlite::Result<_>>()?)
}
