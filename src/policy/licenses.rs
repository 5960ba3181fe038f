//! From what a manifest says about its licence to SPDX identifiers. Invariant: nothing is guessed; a text that names no
//! SPDX licence exactly is `unknown`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use spdx::identifiers::LICENSES;
use spdx::{Expression, LicenseItem, ParseMode};

const EXPRESSION_LIMIT_BYTES: usize = 1024;

/// Lax where the wild is: `/` for OR, `+` after GNU licences, deprecated identifiers. Imprecise names are not taken here,
/// because the list of them maps `bsd` or `gpl` to one of several licences.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: true,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};

/// How a package says that nobody was given a licence: SPDX's word and npm's.
const NONE: &[&str] = &["NONE", "UNLICENSED"];

/// The trove classifiers that stand for one SPDX licence (last segment, identifier).
const CLASSIFIERS: &[(&str, &str)] = &[
    ("Apache Software License", "Apache-2.0"),
    ("Boost Software License 1.0 (BSL-1.0)", "BSL-1.0"),
    ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "CC0-1.0"),
    ("Eclipse Public License 1.0 (EPL-1.0)", "EPL-1.0"),
    ("Eclipse Public License 2.0 (EPL-2.0)", "EPL-2.0"),
    ("European Union Public Licence 1.1 (EUPL 1.1)", "EUPL-1.1"),
    ("European Union Public Licence 1.2 (EUPL 1.2)", "EUPL-1.2"),
    ("GNU Affero General Public License v3", "AGPL-3.0-only"),
    ("GNU Affero General Public License v3 or later (AGPLv3+)", "AGPL-3.0-or-later"),
    ("GNU General Public License v2 (GPLv2)", "GPL-2.0-only"),
    ("GNU General Public License v2 or later (GPLv2+)", "GPL-2.0-or-later"),
    ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
    ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
    ("GNU Lesser General Public License v2 (LGPLv2)", "LGPL-2.0-only"),
    ("GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.0-or-later"),
    ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
    ("GNU Lesser General Public License v3 or later (LGPLv3+)", "LGPL-3.0-or-later"),
    ("ISC License (ISCL)", "ISC"),
    ("MIT License", "MIT"),
    ("MIT No Attribution License (MIT-0)", "MIT-0"),
    ("Mozilla Public License 1.1 (MPL 1.1)", "MPL-1.1"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("Mulan Permissive Software License v2 (MulanPSL-2.0)", "MulanPSL-2.0"),
    ("PostgreSQL License", "PostgreSQL"),
    ("Python Software Foundation License", "PSF-2.0"),
    ("The Unlicense (Unlicense)", "Unlicense"),
    ("Universal Permissive License (UPL)", "UPL-1.0"),
    ("zlib/libpng License", "Zlib"),
];

/// What a manifest says about its licence, as written.
#[derive(Debug, Default)]
pub(super) struct Declaration {
    /// Expressions or names; several of them all apply.
    pub terms: Vec<String>,
    /// All trove classifiers, of any topic.
    pub classifiers: Vec<String>,
}

impl Declaration {
    /// Whether nothing is said at all.
    pub(super) fn is_silent(&self) -> bool {
        self.terms.is_empty() && !self.classifiers.iter().any(|classifier| classifier.starts_with("License ::"))
    }
}

/// The licence as the rules see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LicenseFacts {
    pub declared: bool,
    pub expression: String,
    pub ids: BTreeSet<String>,
    pub osi_approved: bool,
    pub copyleft: bool,
    pub unknown: bool,
    #[serde(default)]
    pub none: bool,
}

impl LicenseFacts {
    /// Reads the declaration. Classifiers count when the terms name no licence; a term that is not understood stays unknown
    /// even then.
    pub(super) fn of(declaration: &Declaration) -> LicenseFacts {
        let mut facts = LicenseFacts { osi_approved: true, ..LicenseFacts::default() };
        for term in &declaration.terms {
            facts.add(term.trim());
        }
        if facts.ids.is_empty() {
            for classifier in &declaration.classifiers {
                let segments: Vec<&str> = classifier.split("::").map(str::trim).collect();
                if let ["License", .., last] = segments.as_slice() {
                    let id = CLASSIFIERS.iter().find(|(name, _)| name == last).map(|(_, id)| *id);
                    // The heading alone names nothing.
                    if *last != "OSI Approved" {
                        facts.add(id.unwrap_or(last));
                    }
                }
            }
        }
        facts.unknown |= !facts.declared;
        facts.osi_approved &= !facts.unknown;
        facts
    }

    fn add(&mut self, term: &str) {
        self.declared = true;
        self.none |= NONE.iter().any(|none| none.eq_ignore_ascii_case(term));
        let (text, expression) = match parse(term) {
            Some((text, expression)) => (text, Some(expression)),
            None => (shorten(term), None),
        };
        self.join(&text);
        let Some(expression) = expression else {
            self.unknown = true;
            return;
        };
        for requirement in expression.requirements() {
            match &requirement.req.license {
                LicenseItem::Spdx { id, or_later: _ } => {
                    self.ids.insert(id.name.to_owned());
                    self.osi_approved &= id.is_osi_approved();
                    self.copyleft |= id.is_copyleft();
                }
                LicenseItem::Other(reference) => {
                    self.ids.insert(reference.to_string());
                    self.unknown = true;
                }
            }
        }
    }

    fn join(&mut self, text: &str) {
        if self.expression.len() + text.len() > EXPRESSION_LIMIT_BYTES {
            return;
        }
        self.expression = match (self.expression.is_empty(), text.is_empty()) {
            (true, _) => text.to_owned(),
            (false, true) => return,
            (false, false) => format!("{} AND {text}", self.expression),
        };
    }
}

/// The normalised text and what it means, or `None` when it names no SPDX licence exactly.
fn parse(term: &str) -> Option<(String, Expression)> {
    if term.is_empty() || term.len() > EXPRESSION_LIMIT_BYTES {
        return None;
    }
    let text = match whole_name(term) {
        Some(id) => id.to_owned(),
        None => with_exact_case(term),
    };
    Expression::parse_mode(&text, MODE).ok()?;
    // Only a text that parses is normalised, so that normalising cannot turn a guess into a licence.
    let normalised = Expression::canonicalize(&text).ok().flatten().unwrap_or(text);
    let expression = Expression::parse_mode(&normalised, MODE).ok()?;
    Some((normalised, expression))
}

/// `MIT License` or `Apache 2.0`: a full name of the SPDX list, or a common short name whose version is unmistakable.
fn whole_name(term: &str) -> Option<&'static str> {
    let full = LICENSES.iter().find(|license| license.full_name.eq_ignore_ascii_case(term));
    if let Some(license) = full {
        return Some(license.name);
    }
    let (id, matched_bytes) = spdx::imprecise_license_id(term)?;
    let digit = term.chars().find(char::is_ascii_digit)?;
    (matched_bytes == term.len() && id.name.contains(digit)).then_some(id.name)
}

/// SPDX identifiers are the same in any case; the parser wants the listed one.
fn with_exact_case(term: &str) -> String {
    let mut text = String::with_capacity(term.len());
    let mut word = String::new();
    for c in term.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_alphanumeric() || "-._:".contains(c) {
            word.push(c);
            continue;
        }
        let listed = LICENSES.iter().map(|license| license.name).find(|name| name.eq_ignore_ascii_case(&word));
        text.push_str(listed.unwrap_or(&word));
        word.clear();
        text.push(c);
    }
    text.trim_end().to_owned()
}

fn shorten(term: &str) -> String {
    let mut text: String = term.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(terms: &[&str], classifiers: &[&str]) -> LicenseFacts {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        LicenseFacts::of(&Declaration { terms: owned(terms), classifiers: owned(classifiers) })
    }

    fn ids(facts: &LicenseFacts) -> Vec<&str> {
        facts.ids.iter().map(String::as_str).collect()
    }

    #[test]
    fn an_expression_is_normalised_and_judged_by_all_its_terms() {
        let dual = facts(&["mit/apache-2.0"], &[]);
        assert_eq!((ids(&dual), dual.expression.as_str()), (vec!["Apache-2.0", "MIT"], "MIT OR Apache-2.0"));
        assert!(dual.osi_approved && !dual.copyleft && !dual.unknown && dual.declared);
        let gnu = facts(&["(MIT OR GPL-3.0+)"], &[]);
        assert_eq!(ids(&gnu), ["GPL-3.0-or-later", "MIT"]);
        assert!(gnu.copyleft);
        let exception = facts(&["GPL-2.0-only WITH Classpath-exception-2.0"], &[]);
        assert_eq!(exception.expression, "GPL-2.0-only WITH Classpath-exception-2.0");
        assert!(!facts(&["CC-BY-NC-4.0"], &[]).osi_approved);
        assert_eq!(ids(&facts(&["MIT", "ISC"], &[])), ["ISC", "MIT"]);
    }

    #[test]
    fn full_names_and_unmistakable_short_ones_are_understood() {
        for (text, id) in [
            ("MIT License", "MIT"),
            ("apache license 2.0", "Apache-2.0"),
            ("Apache 2.0", "Apache-2.0"),
            ("GPLv3", "GPL-3.0-only"),
            ("mit", "MIT"),
        ] {
            assert_eq!(ids(&facts(&[text], &[])), [id], "{text}");
        }
    }

    #[test]
    fn what_names_no_licence_exactly_is_unknown() {
        for text in [
            "BSD",
            "GPL",
            "gnu gpl v2",
            "Proprietary",
            "UNLICENSED",
            "SEE LICENSE IN LICENSE",
            "MIT AND",
            "MIT or what",
            "(",
            "+",
            &"(".repeat(5000),
            "",
        ] {
            let facts = facts(&[text], &[]);
            assert!(facts.unknown && facts.declared && !facts.osi_approved && facts.ids.is_empty(), "{text}: {facts:?}");
        }
        let nothing = facts(&[], &["Topic :: Software Development"]);
        assert!(nothing.unknown && !nothing.declared);
        let own = facts(&["MIT AND LicenseRef-Acme"], &[]);
        assert!(own.unknown && !own.osi_approved);
        assert_eq!(ids(&own), ["LicenseRef-Acme", "MIT"]);
    }

    #[test]
    fn classifiers_count_when_nothing_else_names_a_licence() {
        let known = facts(&[], &["License :: OSI Approved", "License :: OSI Approved :: MIT License"]);
        assert!(!known.unknown && known.osi_approved);
        assert_eq!(ids(&known), ["MIT"]);
        assert!(facts(&[], &["License :: OSI Approved :: BSD License"]).unknown);
        assert_eq!(ids(&facts(&["Apache-2.0"], &["License :: OSI Approved :: MIT License"])), ["Apache-2.0"]);
        let both = facts(&["see the file"], &["License :: OSI Approved :: MIT License"]);
        assert!(both.unknown && !both.osi_approved);
        assert_eq!(ids(&both), ["MIT"]);
    }

    #[test]
    fn every_classifier_of_the_table_is_a_listed_licence() {
        for (name, id) in CLASSIFIERS {
            assert!(spdx::license_id(id).is_some(), "{name}");
        }
    }
}
