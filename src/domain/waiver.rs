//! Waivers: which rules do not count, for what, until when. Invariant: a waiver names one rule of one policy, and what it covers never
//! changes; one for a content never outlives that content.

use super::lifecycle::text_enum;

text_enum! {
    /// What a waiver is for.
    WaiverScope "scope" {
        /// Exactly this version with exactly these bytes.
        Content "content",
        /// The versions of a package in some range.
        Range "range",
        /// Every version of a package.
        Package "package",
    }
}

text_enum! {
    /// What became of a rule that fired.
    FiringPart "part" {
        /// It decided.
        Enforced "enforced",
        /// It was only recorded.
        Observed "observed",
        /// It was waived.
        Waived "waived",
    }
}
