//! What an external scanner reports of a version. Invariant: a report is bounded, does not contradict itself, and is of one content: other
//! bytes under the same version are not what the scanner has seen.

use super::advisory::{ScanFinding, ScanStatus, Severity};
use super::digest::Digest;
use super::name::Subject;
use super::time::Time;
use crate::error::{Error, Result};

/// Characters of a scanner's name.
const SCANNER_LIMIT: usize = 64;
/// Names of what was found in one report.
const IDS_LIMIT: usize = 256;
/// Bytes of each of them.
const ID_LIMIT_BYTES: usize = 128;

/// What a scanner said of one content, when, and who passed it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it said.
    pub said: ScanFinding,
    /// Of which content.
    pub content_digest: Digest,
    /// When.
    pub reported_at: Time,
    /// Who reported it.
    pub reported_by: Subject,
}

/// Checks the name of a scanner.
///
/// # Errors
/// `bad_request`.
pub fn check_scanner(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > SCANNER_LIMIT || !name.bytes().all(legal) {
        return Err(Error::bad_request(format!("the name of a scanner has 1 to {SCANNER_LIMIT} of a-z 0-9 . _ -")));
    }
    Ok(())
}

/// Checks a report.
///
/// # Errors
/// `bad_request`.
pub fn check_finding(finding: &ScanFinding) -> Result<()> {
    check_scanner(&finding.scanner)?;
    let is_legal = |id: &String| !id.is_empty() && id.len() <= ID_LIMIT_BYTES && !id.chars().any(|c| c.is_control() || c.is_whitespace());
    if finding.ids.len() > IDS_LIMIT || !finding.ids.iter().all(is_legal) {
        return Err(Error::bad_request(format!("ids has at most {IDS_LIMIT} names of 1 to {ID_LIMIT_BYTES} bytes without spaces")));
    }
    let is_empty = finding.ids.is_empty() && finding.severity == Severity::default();
    match finding.status {
        ScanStatus::Clean | ScanStatus::Failed if !is_empty => {
            Err(Error::bad_request(format!("a scanner that ended as {} has found nothing: leave ids and severity out", finding.status)))
        }
        ScanStatus::Clean | ScanStatus::Failed | ScanStatus::Found | ScanStatus::Malicious => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(status: ScanStatus, ids: &[&str]) -> ScanFinding {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        ScanFinding { scanner: "scan-1".to_owned(), status, severity: Severity::default(), ids }
    }

    #[test]
    fn a_report_is_bounded_and_does_not_contradict_itself() {
        assert!(check_finding(&finding(ScanStatus::Found, &["CVE-2026-1"])).is_ok());
        assert!(check_finding(&finding(ScanStatus::Clean, &[])).is_ok());
        for wrong in [
            finding(ScanStatus::Clean, &["CVE-2026-1"]),
            finding(ScanStatus::Failed, &["CVE-2026-1"]),
            finding(ScanStatus::Found, &[""]),
            finding(ScanStatus::Found, &["a b"]),
            finding(ScanStatus::Found, &[&"x".repeat(129)]),
            ScanFinding { scanner: "Scan".to_owned(), ..finding(ScanStatus::Clean, &[]) },
            ScanFinding { severity: Severity::from_tenths(10), ..finding(ScanStatus::Clean, &[]) },
        ] {
            assert!(check_finding(&wrong).is_err(), "{wrong:?}");
        }
    }
}
