//! What was found inside a version's package files. Invariant: made once for each content by a bounded reader, kept, and never
//! guessed: whatever could not be read says so, and why.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::lifecycle::text_enum;

/// Raised whenever the readers find more, or something else; contents read by an older reader are read again.
pub const READER_VERSION: u32 = 1;

/// How many dependency names are kept and a rule can see; past it the list is not complete.
pub const REQUIRES_LIMIT: usize = 4096;

text_enum! {
    /// The kind of package file that was read.
    #[derive(Default)]
    ContentFormat "content format" {
        /// No file of a known kind, or none that should be read.
        #[default]
        None "none",
        /// A Python wheel (PEP 427).
        Wheel "wheel",
        /// A Python source distribution (PEP 625).
        Sdist "sdist",
        /// A tarball as npm packs it.
        Npm "npm",
        /// A Cargo crate.
        Crate "crate",
        /// A Java archive.
        Jar "jar",
        /// A Maven project's description without its archive.
        Pom "pom",
    }
}

text_enum! {
    /// Why a package file could not be read to its end.
    Unreadable "cause" {
        /// It is no archive of its kind, or a broken one.
        Malformed "malformed",
        /// It lacks the file that says what it is, or has it twice.
        WithoutMetadata "without_metadata",
        /// It says another name or version than the version it was published as.
        Misnamed "misnamed",
        /// It has names that lead out of it, links, or devices.
        Unsafe "unsafe",
        /// It has too many entries.
        TooManyEntries "too_many_entries",
        /// It is too large when unpacked, or much larger than packed.
        TooLarge "too_large",
        /// Its entries lie too deep.
        TooDeep "too_deep",
        /// Reading it took too long.
        TooSlow "too_slow",
        /// It uses a compression or an encryption that is not read here.
        Unsupported "unsupported",
    }
}

/// What the readers found in the package files of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contents {
    /// The kind of the file that says most; [`ContentFormat::None`] when there is none.
    pub format: ContentFormat,
    /// Why some package file could not be read to its end; `None` when all were.
    pub unreadable: Option<Unreadable>,
    /// Entries in all package files together.
    pub entry_count: u64,
    /// Their bytes when unpacked.
    pub unpacked_bytes: u64,
    /// Names of what runs when it is installed: npm's lifecycle scripts, `setup.py` of a source distribution.
    pub install_scripts: BTreeSet<String>,
    /// Names of what runs when it is built: `build.rs`, `binding.gyp`, a build backend of its own.
    pub build_scripts: BTreeSet<String>,
    /// Whether it is a compiler plug-in (Cargo's proc-macro).
    pub is_proc_macro: bool,
    /// Paths of executable machine code inside, found by their first bytes; some of them.
    pub binaries: BTreeSet<String>,
    /// How many such there are.
    pub binary_count: u64,
    /// What the package itself declares as its licence: expressions or names, several of which all apply.
    pub license_terms: Vec<String>,
    /// Its trove classifiers, of any topic.
    pub classifiers: Vec<String>,
    /// The names of the dependencies it declares, in the one spelling; bounded.
    pub requires: BTreeSet<String>,
    /// Whether `requires` has all of them.
    pub requires_complete: bool,
}
