//! Names that are kept for some publishers. Invariant: a pattern is kept and matched in the spelling that names are looked up by, so no
//! other spelling of a name gets past it; of several reservations that match a name, each must let it in.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::candidate::{Action, Decision, Reason, orders};
use super::id::ReservationId;
use super::name::{PackageName, PackageType, RepoKey, Subject};
use super::spelling::keys_of;
use super::time::Time;
use crate::error::{Error, Result};

/// Bytes of a pattern at most.
const PATTERN_LIMIT_BYTES: usize = 256;
/// Stands for every package type.
pub const EVERY_TYPE: &str = "*";
/// What has a meaning of its own in a glob.
const GLOB_SIGNS: [char; 4] = ['*', '?', '[', '{'];

/// Which names: `TYPE:[NAMESPACE/]NAME`, each part a glob on the normalised spelling.
///
/// The type is one or `*` for every type. `*` takes any signs, also none and also `/` inside a namespace; `?` takes one, `[a-z]` one of
/// several, `{a,b}` either. Without a namespace the pattern is of packages that have none; `*/NAME` is of packages with any or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    package_type: Option<PackageType>,
    namespace: String,
    name: String,
}

impl NamePattern {
    /// The type, or `None` for every type.
    #[must_use]
    pub fn package_type(&self) -> Option<&PackageType> {
        self.package_type.as_ref()
    }

    /// The type as it is stored: `*` for every type.
    #[must_use]
    pub fn stored_type(&self) -> &str {
        self.package_type.as_ref().map_or(EVERY_TYPE, PackageType::as_str)
    }

    /// The glob on the namespace, normalised.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The glob on the name, normalised.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pattern of which these are the parts, as it gave them: its globs were read before, and reading hundreds of them for each
    /// question of the gate would take longer than all else.
    ///
    /// # Errors
    /// `bad_request` for what is no package type.
    pub fn of_parts(package_type: &str, namespace: String, name: String) -> Result<NamePattern> {
        let package_type = if package_type == EVERY_TYPE { None } else { Some(package_type.parse()?) };
        Ok(NamePattern { package_type, namespace, name })
    }

    /// Whether a package has such a name.
    #[must_use]
    pub fn matches(&self, package: &PackageName) -> bool {
        if self.package_type.as_ref().is_some_and(|wanted| wanted != package.package_type()) {
            return false;
        }
        // What is for every type is spelled by the rules of the type at hand.
        let (namespace, name) = keys_of(package.package_type(), &self.namespace, &self.name);
        fits(&namespace, package.namespace_key()) && fits(&name, package.name_key())
    }
}

/// Whether a key fits a glob. What the glob begins with is compared first: hardly a name has to be matched in full.
fn fits(glob: &str, key: &str) -> bool {
    let Some(at) = glob.find(GLOB_SIGNS) else { return glob == key };
    if !glob.get(..at).is_some_and(|beginning| key.starts_with(beginning)) {
        return false;
    }
    // A glob that was kept can be read; one that cannot keeps its name closed.
    glob == "*" || matcher(glob).is_none_or(|matcher| matcher.is_match(key))
}

fn matcher(glob: &str) -> Option<GlobMatcher> {
    GlobBuilder::new(glob).literal_separator(false).backslash_escape(false).build().ok().map(|glob| glob.compile_matcher())
}

impl FromStr for NamePattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<NamePattern> {
        let wrong = |why: &str| Error::bad_request(format!("{why}; a pattern looks like npm:@acme/*, pypi:acme-* or *:acme-*"));
        let (package_type, globs) = text.split_once(':').ok_or_else(|| wrong("a pattern begins with a package type and a colon"))?;
        let package_type = if package_type == EVERY_TYPE { None } else { Some(package_type.parse::<PackageType>()?) };
        let is_legal = |c: char| !c.is_whitespace() && !c.is_control() && c != '\\';
        if text.len() > PATTERN_LIMIT_BYTES || !globs.chars().all(is_legal) {
            return Err(wrong(&format!("a pattern has at most {PATTERN_LIMIT_BYTES} bytes, no space, control character or backslash")));
        }
        let (namespace, name) = globs.rsplit_once('/').unwrap_or(("", globs));
        if name.is_empty() || namespace.starts_with('/') || namespace.ends_with('/') || (namespace.is_empty() && globs.contains('/')) {
            return Err(wrong("a pattern names a package, after the / of its namespace if it has one"));
        }
        if name.starts_with('@') {
            return Err(wrong("what begins with @ is the scope of an npm package; put /* behind it to reserve all of its names"));
        }
        let (namespace, name) = match &package_type {
            Some(package_type) if package_type.as_str() == "maven" && name.contains(':') => {
                return Err(wrong("group and name of a Maven package are parted by /, as in maven:com.acme/*"));
            }
            Some(package_type) if package_type.as_str() == "pypi" && !namespace.is_empty() => {
                return Err(wrong("a PyPI package has no namespace"));
            }
            Some(package_type) => keys_of(package_type, namespace, name),
            None => (namespace.to_lowercase(), name.to_lowercase()),
        };
        let (namespace, name) = (with_single_stars(&namespace), with_single_stars(&name));
        if matcher(&namespace).is_none() || matcher(&name).is_none() {
            return Err(wrong("the pattern is no glob: a [ or { is not closed, or a range runs backwards"));
        }
        Ok(NamePattern { package_type, namespace, name })
    }
}

/// Several stars in a row say no more than one.
fn with_single_stars(glob: &str) -> String {
    let mut out = String::with_capacity(glob.len());
    for sign in glob.chars() {
        if !(sign == '*' && out.ends_with('*')) {
            out.push(sign);
        }
    }
    out
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.stored_type() == "npm" && !self.namespace.is_empty() { "@" } else { "" };
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{}:{sign}{}{slash}{}", self.stored_type(), self.namespace, self.name)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = Error;

    fn try_from(text: String) -> Result<NamePattern> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> String {
        pattern.to_string()
    }
}

/// Names of one repo that are kept for some publishers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// The repo.
    pub repo: RepoKey,
    /// Which names.
    pub pattern: NamePattern,
    /// Who may bring such names by upload; nobody when there is none.
    pub publishers: BTreeSet<Subject>,
    /// Why, in the administrator's words.
    pub reason: String,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
}

impl Reservation {
    /// Whether it keeps out what `brought_by` brings by this way. Only what a publisher uploaded here comes in, and comes back.
    #[must_use]
    pub fn bars(&self, action: Action, brought_by: &Subject) -> bool {
        match action {
            Action::Publish | Action::Restore => !self.publishers.contains(brought_by),
            Action::Promote | Action::Fetch | Action::Import => true,
        }
    }

    /// What the gate is ordered: which reservation it is, and whom to ask.
    #[must_use]
    pub fn order(&self) -> Reason {
        let publishers = self.publishers.iter().map(Subject::as_str).collect::<Vec<_>>().join(", ");
        let whose = if publishers.is_empty() { "nobody may bring them".to_owned() } else { format!("only {publishers} may upload them") };
        let message = format!(
            "names like {} are reserved in repo {} and {whose}: {}; ask {} or an administrator of the repo",
            self.pattern,
            self.repo,
            self.reason,
            self.publishers.first().unwrap_or(&self.created_by)
        );
        Reason { rule: orders::RESERVED.to_owned(), decision: Decision::Deny, message, policy: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(package_type: &str, namespace: &str, name: &str) -> PackageName {
        PackageName::new(package_type.parse().unwrap(), namespace, name).unwrap()
    }

    #[test]
    fn a_pattern_matches_every_spelling_of_a_name_and_no_other_name() {
        for (pattern, kept, free) in [
            (
                "pypi:Acme_*",
                vec![("pypi", "", "acme.tool"), ("pypi", "", "ACME--tool")],
                vec![("pypi", "", "acmetool"), ("npm", "", "acme-tool")],
            ),
            ("npm:@Acme/*", vec![("npm", "@acme", "x"), ("npm", "ACME", "y")], vec![("npm", "", "acme"), ("npm", "@acme-evil", "x")]),
            ("cargo:acme_?", vec![("cargo", "", "Acme-x")], vec![("cargo", "", "acme-xy")]),
            ("*:acme_*", vec![("pypi", "", "acme-x"), ("cargo", "", "acme_x"), ("generic", "", "acme_x")], vec![("generic", "", "acme-x")]),
            ("*:@acme/*", vec![("npm", "@acme", "x")], vec![("pypi", "", "x"), ("npm", "", "x")]),
            ("*:*/acme", vec![("npm", "", "acme"), ("npm", "@a", "acme"), ("golang", "x.test/y", "acme")], vec![("npm", "", "acme2")]),
            (
                "golang:x.test/{acme,acme/*}/*",
                vec![("golang", "x.test/acme", "a"), ("golang", "x.test/acme/b", "v2")],
                vec![("golang", "x.test", "a")],
            ),
            ("generic:tool[0-9]", vec![("generic", "", "Tool7")], vec![("generic", "", "tool"), ("generic", "team", "tool7")]),
        ] {
            let parsed: NamePattern = pattern.parse().unwrap();
            for (package_type, namespace, name) in kept {
                assert!(parsed.matches(&package(package_type, namespace, name)), "{pattern}: {package_type} {namespace} {name}");
            }
            for (package_type, namespace, name) in free {
                assert!(!parsed.matches(&package(package_type, namespace, name)), "{pattern}: {package_type} {namespace} {name}");
            }
            assert_eq!(parsed.to_string().parse::<NamePattern>().unwrap(), parsed);
            let (namespace, name) = (parsed.namespace().to_owned(), parsed.name().to_owned());
            assert_eq!(NamePattern::of_parts(parsed.stored_type(), namespace, name).unwrap(), parsed);
        }
    }

    #[test]
    fn two_spellings_of_one_pattern_are_one() {
        for (one, other) in [("pypi:Acme__*", "pypi:acme-**"), ("npm:@ACME/*", "npm:acme/*"), ("cargo:a_b", "cargo:A-B"), ("*:X", "*:x")] {
            assert_eq!(one.parse::<NamePattern>().unwrap(), other.parse::<NamePattern>().unwrap());
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in [
            "acme-*",
            "npm:",
            "npm:@acme",
            "npm:@acme*",
            "*:@acme-*",
            "maven:com.acme:*",
            "npm:@acme/",
            "npm:/x",
            "Npm:x",
            "pypi:a/b",
            "npm:a b",
            "npm:a\\b",
            "npm:[a",
            "npm:{a",
            &"npm:x".repeat(60),
        ] {
            assert!(wrong.parse::<NamePattern>().is_err(), "{wrong}");
        }
    }
}
