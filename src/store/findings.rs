//! What external scanners say of one content. Invariant: one row for each scanner and content, so that no scanner's clean row hides
//! another's failure, and other bytes under the same version have no findings yet.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::review_view::ReviewView;
use super::rows;
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Permit, Promote};
use crate::domain::advisory::{ScanFinding, Severity};
use crate::domain::candidate::content_digest;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::exception::ExceptionEvent;
use crate::domain::finding::Finding;
use crate::domain::id::VersionId;
use crate::domain::version::Release;
use crate::error::{Error, Result};

/// Scanners that may say something of one content.
const SCANNERS_LIMIT: i64 = 64;

fn read(row: &Row<'_>) -> rusqlite::Result<Finding> {
    let said = ScanFinding {
        scanner: row.get("scanner")?,
        status: rows::parse(row, "status")?,
        severity: Severity::from_tenths(row.get("severity")?),
        ids: rows::json(row, "ids")?,
    };
    Ok(Finding {
        said,
        content_digest: rows::parse(row, "content_digest")?,
        reported_at: rows::time(row, "reported_at")?,
        reported_by: versions::subject(row, "reported_by")?,
    })
}

/// The digest of what a version holds now.
pub(super) fn digest_of(release: &Release) -> Digest {
    content_digest(&release.files, release.manifest.as_ref().map(|manifest| &manifest.digest))
}

/// What scanners say of this content of a version, by scanner.
pub(super) fn of_content(connection: &Connection, id: &VersionId, content: &Digest) -> Result<Vec<Finding>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM scan_findings WHERE version_id = :id AND content_digest = :content ORDER BY scanner")?;
    let found = statement.query_map(named_params! {":id": id.to_string(), ":content": content.to_string()}, read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl ReviewView {
    /// The digest of what a version holds now, with what scanners say of that.
    ///
    /// # Errors
    /// `not_found`.
    pub fn findings(&self, id: &VersionId) -> Result<(Digest, Vec<Finding>)> {
        let release = self.release(id)?;
        let content = digest_of(&release);
        Ok((content, of_content(&self.connection, id, &content)?))
    }
}

impl Write<'_> {
    /// Notes what a scanner says of a version's present content, in place of what it said of that before.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the content is not the one that was scanned, or too many scanners have spoken.
    pub fn report_scan(
        &mut self,
        permit: &Permit<Promote>,
        id: &VersionId,
        said: &ScanFinding,
        scanned: Option<&Digest>,
    ) -> Result<Done<Finding>> {
        let release = self.found(permit.repo_key(), id)?.complete(self.connection())?.content;
        let content = digest_of(&release);
        if scanned.is_some_and(|scanned| *scanned != content) {
            let message = format!("{} holds {content} now, which is not what was scanned; scan it again", release.version.coordinates);
            return Err(Error::conflict(message).with("contentDigest", content.to_string()));
        }
        let others: i64 = self
            .connection()
            .prepare_cached(
                "SELECT count(*) FROM scan_findings WHERE version_id = :id AND content_digest = :content AND scanner <> :scanner",
            )?
            .query_row(named_params! {":id": id.to_string(), ":content": content.to_string(), ":scanner": said.scanner}, |row| {
                row.get(0)
            })?;
        if others >= SCANNERS_LIMIT {
            return Err(Error::conflict(format!(
                "{SCANNERS_LIMIT} scanners have spoken of this content, which is the most; remove one first"
            )));
        }
        self.connection()
            .prepare_cached(
                "INSERT INTO scan_findings (version_id, content_digest, scanner, status, severity, ids, reported_at, reported_by)
                 VALUES (:id, :content, :scanner, :status, :severity, :ids, :now, :by)
                 ON CONFLICT (version_id, content_digest, scanner) DO UPDATE SET status = excluded.status, severity = excluded.severity,
                     ids = excluded.ids, reported_at = excluded.reported_at, reported_by = excluded.reported_by",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":content": content.to_string(), ":scanner": said.scanner, ":status": said.status.as_str(),
                ":severity": said.severity.tenths(), ":ids": rows::json_text(&said.ids)?, ":now": self.now().unix_ms(),
                ":by": self.actor().subject.as_str(),
            })?;
        let finding =
            Finding { said: said.clone(), content_digest: content, reported_at: self.now(), reported_by: self.actor().subject.clone() };
        let event = ExceptionEvent::ScanReported { version: versions::named(&release.version), finding: finding.clone() };
        Ok(Done::new(finding, Event::Exception(event)))
    }

    /// Takes back what a scanner says of a version's present content.
    ///
    /// # Errors
    /// `not_found` when it says nothing of that.
    pub fn remove_scan(&mut self, permit: &Permit<Promote>, id: &VersionId, scanner: &str) -> Result<Done<()>> {
        let release = self.found(permit.repo_key(), id)?.complete(self.connection())?.content;
        let removed = self
            .connection()
            .prepare_cached(
                "DELETE FROM scan_findings WHERE version_id = :id AND content_digest = :content AND scanner = :scanner RETURNING *",
            )?
            .query_row(named_params! {":id": id.to_string(), ":content": digest_of(&release).to_string(), ":scanner": scanner}, read)
            .optional()?;
        let Some(finding) = removed else {
            return Err(Error::not_found(format!("a finding of {scanner} on what {} holds now", release.version.coordinates)));
        };
        let event = ExceptionEvent::ScanRemoved { version: versions::named(&release.version), finding };
        Ok(Done::new((), Event::Exception(event)))
    }

    /// What scanners say of a content is true of its copy in another repo, too.
    pub(super) fn copy_findings(&self, source: &VersionId, copy: &VersionId, content: &Digest) -> Result<()> {
        self.connection()
            .prepare_cached(
                "INSERT INTO scan_findings (version_id, content_digest, scanner, status, severity, ids, reported_at, reported_by)
                 SELECT :copy, content_digest, scanner, status, severity, ids, reported_at, reported_by FROM scan_findings
                 WHERE version_id = :source AND content_digest = :content",
            )?
            .execute(named_params! {":copy": copy.to_string(), ":source": source.to_string(), ":content": content.to_string()})?;
        Ok(())
    }
}
