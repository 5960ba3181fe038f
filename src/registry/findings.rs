//! What external scanners report. Invariant: a report is of the content that the version holds now, or it is refused.

use super::Registry;
use crate::domain::access::{Permit, Promote};
use crate::domain::advisory::ScanFinding;
use crate::domain::digest::Digest;
use crate::domain::finding::{Finding, check_finding, check_scanner};
use crate::domain::id::VersionId;
use crate::error::Result;

impl Registry {
    /// Notes what a scanner says of a version's present content; `scanned` is the content that it has seen, if it says so.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the content is another.
    pub async fn report_scan(
        &self,
        permit: &Permit<Promote>,
        id: VersionId,
        said: ScanFinding,
        scanned: Option<Digest>,
    ) -> Result<Finding> {
        check_finding(&said)?;
        let reviewing = permit.clone();
        self.store.write(permit, move |tx| tx.report_scan(&reviewing, &id, &said, scanned.as_ref())).await
    }

    /// Takes back what a scanner says of a version's present content.
    ///
    /// # Errors
    /// `not_found` when it says nothing of that.
    pub async fn remove_scan(&self, permit: &Permit<Promote>, id: VersionId, scanner: String) -> Result<()> {
        check_scanner(&scanner)?;
        let reviewing = permit.clone();
        self.store.write(permit, move |tx| tx.remove_scan(&reviewing, &id, &scanner)).await
    }

    /// The digest of what a version holds now, with what scanners say of that.
    ///
    /// # Errors
    /// `not_found`.
    pub fn findings(&self, permit: &Permit<Promote>, id: &VersionId) -> Result<(Digest, Vec<Finding>)> {
        self.store.review(permit)?.findings(id)
    }
}
