//! What advisories and external scanners say of one version. Invariant: a finding says whether anything is known at all, so that
//! "nothing found" and "nobody looked" are never the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::lifecycle::text_enum;
use crate::error::{Error, Result};

/// A CVSS base score from 0.0 to 10.0; its text has one decimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Severity(u8);

impl Severity {
    /// From tenths of a score; what is more than 100 is 100.
    #[must_use]
    pub fn from_tenths(tenths: u8) -> Severity {
        Severity(tenths.min(100))
    }

    /// Tenths of a score, 0 to 100.
    #[must_use]
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// CVSS's qualitative rating: none, low, medium, high, critical.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self.0 {
            0 => "none",
            1..40 => "low",
            40..70 => "medium",
            70..90 => "high",
            90.. => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// What the advisories here say of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdvisoryFindings {
    /// The digest of all advisories that were looked at; `None` before any were imported.
    pub snapshot: Option<Digest>,
    /// Whether there are advisories for the version's ecosystem at all.
    pub known: bool,
    /// Different vulnerabilities and malware reports, aliases counted once; informational ones are not among them.
    pub count: u64,
    /// Different notices that tell of no vulnerability, such as "unmaintained".
    pub informational_count: u64,
    /// Ids and aliases of everything that matches; bounded.
    pub ids: BTreeSet<String>,
    /// Whether `ids` has all of them.
    pub ids_complete: bool,
    /// Whether one of them tells of malware.
    pub is_malicious: bool,
    /// The highest severity that is said.
    pub max_severity: Severity,
    /// How many of `count` say no severity.
    pub unrated_count: u64,
    /// Whether every one of `count` is fixed in some version.
    pub is_fix_available: bool,
}

impl From<Severity> for String {
    fn from(severity: Severity) -> String {
        severity.to_string()
    }
}

impl TryFrom<String> for Severity {
    type Error = Error;

    fn try_from(text: String) -> Result<Severity> {
        text.parse()
    }
}

impl std::str::FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Severity> {
        let digits = |part: &str| part.parse::<u8>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let tenths = digits(whole).zip(digits(tenth).filter(|_| tenth.len() == 1)).and_then(|(whole, tenth)| {
            let tenths = whole.checked_mul(10)?.checked_add(tenth)?;
            (tenths <= 100).then_some(tenths)
        });
        tenths.map(Severity).ok_or_else(|| Error::bad_request("a severity is a CVSS base score from 0.0 to 10.0, such as 7.5"))
    }
}

text_enum! {
    /// How an external scanner ended.
    ScanStatus "scan status" {
        /// It looked and found nothing.
        Clean "clean",
        /// It found something.
        Found "found",
        /// It found malware.
        Malicious "malicious",
        /// It could not look.
        Failed "failed",
    }
}

/// What one external scanner says of one content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanFinding {
    /// Which scanner: 1 to 64 of a-z 0-9 . _ -
    pub scanner: String,
    /// How it ended.
    pub status: ScanStatus,
    /// The highest severity it gives.
    pub severity: Severity,
    /// Its names for what it found; bounded.
    pub ids: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_the_words_of_cvss() {
        let words: Vec<_> = [0, 1, 39, 40, 69, 70, 89, 90, 100, 255].iter().map(|tenths| Severity::from_tenths(*tenths).word()).collect();
        assert_eq!(words, ["none", "low", "low", "medium", "medium", "high", "high", "critical", "critical", "critical"]);
        assert_eq!(Severity::from_tenths(98).to_string(), "9.8");
        assert_eq!(Severity::from_tenths(255).to_string(), "10.0");
    }

    #[test]
    fn a_severity_reads_back_as_it_is_written_and_nothing_else_is_one() {
        for tenths in 0..=100 {
            let severity = Severity::from_tenths(tenths);
            assert_eq!(severity.to_string().parse::<Severity>().unwrap(), severity);
        }
        assert_eq!("7".parse::<Severity>().unwrap().tenths(), 70);
        for wrong in ["", "10.1", "-1", "+1", "7.55", "7.", ".5", "1e1", "100", "high"] {
            assert!(wrong.parse::<Severity>().is_err(), "{wrong}");
        }
    }
}
