//! What a manifest says: licences, dependencies, install scripts. Invariant: total and bounded; members of a strange type
//! are unknown, never an error, and only the members named here are ever held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::facts::long;
use super::licenses::{Declaration, LicenseFacts};
pub use crate::domain::contents::REQUIRES_LIMIT;
use crate::domain::contents::{ContentFormat, Contents};
use crate::domain::dependency;
use crate::domain::name::PackageType;
use crate::domain::version::Manifest;

const TEXT_LIMIT_BYTES: usize = 64 * 1024;
const LIST_LIMIT: usize = 256;

const DEPENDENCY_MEMBERS: &[&str] = &["dependencies", "optionalDependencies", "peerDependencies", "deps"];
const REQUIREMENT_MEMBERS: &[&str] = &["requires_dist", "Requires-Dist"];
const OTHER_MEMBERS: &[&str] = &[
    "license_expression",
    "License-Expression",
    "license",
    "License",
    "licenses",
    "classifiers",
    "Classifier",
    "scripts",
    "gypfile",
    "hasInstallScript",
];

/// The manifest itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestFacts {
    pub present: bool,
    pub readable: bool,
    pub size_bytes: i64,
    pub install_scripts: bool,
}

/// The declared dependencies: their names in one spelling, how many were declared, and whether `names` has them all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requires {
    pub names: BTreeSet<String>,
    pub count: usize,
    pub complete: bool,
}

/// Reads the manifest of a package of this type and joins it with what its package files say: their licence counts before the
/// manifest's, and the dependencies of both are all declared. Without any of them, everything is unknown.
pub(super) fn read(
    package_type: &PackageType,
    manifest: Option<&Manifest>,
    contents: Option<&Contents>,
) -> (LicenseFacts, ManifestFacts, Requires) {
    let mut requires = Requires { names: BTreeSet::new(), count: 0, complete: true };
    let (declared, facts) = match manifest {
        Some(manifest) => read_manifest(package_type, manifest, &mut requires),
        None => (Declaration::default(), ManifestFacts::default()),
    };
    let Some(contents) = contents.filter(|contents| contents.format != ContentFormat::None) else {
        return (LicenseFacts::of(&declared), facts, requires);
    };
    requires.join(contents);
    let inside = Declaration { terms: contents.license_terms.clone(), classifiers: contents.classifiers.clone() };
    let declared = if inside.is_silent() { declared } else { inside };
    (LicenseFacts::of(&declared), facts, requires)
}

fn read_manifest(package_type: &PackageType, manifest: &Manifest, requires: &mut Requires) -> (Declaration, ManifestFacts) {
    let mut members: BTreeMap<String, &RawValue> = BTreeMap::new();
    let text = std::str::from_utf8(&manifest.bytes).unwrap_or_default();
    let readable = text.trim_ascii_start().starts_with('{')
        && for_each(text, |key, value| {
            let wanted = |list: &[&str]| key.is_some_and(|key| list.contains(&key));
            if let Some(key) = key.filter(|_| wanted(DEPENDENCY_MEMBERS) || wanted(REQUIREMENT_MEMBERS) || wanted(OTHER_MEMBERS)) {
                members.insert(key.to_owned(), value);
            }
        });
    if !readable {
        members.clear();
        requires.complete = false;
    }
    for member in DEPENDENCY_MEMBERS {
        if let Some(value) = members.get(*member) {
            requires.add_dependencies(package_type, value);
        }
    }
    for member in REQUIREMENT_MEMBERS {
        if let Some(value) = members.get(*member) {
            requires.add_requirements(value);
        }
    }
    let facts = ManifestFacts {
        present: true,
        readable,
        size_bytes: long(manifest.bytes.len()),
        install_scripts: asks_for_install_scripts(&members),
    };
    (declaration(&members), facts)
}

impl Requires {
    /// Adds what the package files declare; a name that both declare counts once.
    fn join(&mut self, contents: &Contents) {
        for name in &contents.requires {
            if self.names.contains(name) {
                continue;
            }
            self.count = self.count.saturating_add(1);
            if self.names.len() < REQUIRES_LIMIT {
                self.names.insert(name.clone());
            } else {
                self.complete = false;
            }
        }
        self.complete &= contents.requires_complete;
    }

    /// npm's objects (name → range) and Cargo's arrays of objects with a `name`.
    fn add_dependencies(&mut self, package_type: &PackageType, value: &RawValue) {
        let understood = for_each(value.get(), |key, value| match key {
            Some(name) => {
                self.add(package_type, name);
                // `"left": "npm:right@1"` installs `right` under the name `left`.
                let target = text_of(value);
                if let Some(alias) = target.as_deref().and_then(dependency::npm_alias) {
                    self.insert(package_type, alias);
                }
            }
            None => self.add_element(package_type, value),
        });
        self.complete &= understood;
    }

    fn add_element(&mut self, package_type: &PackageType, value: &RawValue) {
        #[derive(Deserialize)]
        struct Named {
            name: String,
            // A renamed Cargo dependency has its real name here.
            package: Option<String>,
        }
        if let Some(name) = text_of(value) {
            self.add(package_type, &name);
        } else if let Some(Named { name, package }) = small::<Named>(value) {
            self.add(package_type, package.as_deref().unwrap_or(&name));
            self.insert(package_type, &name);
        } else {
            self.count = self.count.saturating_add(1);
            self.complete = false;
        }
    }

    /// Python's `Requires-Dist`: PEP 508 strings that begin with the name.
    fn add_requirements(&mut self, value: &RawValue) {
        let understood = for_each(value.get(), |_, value| {
            self.add(&PackageType::pypi(), dependency::python_requirement(&text_of(value).unwrap_or_default()));
        });
        self.complete &= understood;
    }

    fn add(&mut self, package_type: &PackageType, name: &str) {
        self.count = self.count.saturating_add(1);
        self.insert(package_type, name);
    }

    fn insert(&mut self, package_type: &PackageType, name: &str) {
        let Ok(key) = dependency::key(package_type, name) else {
            self.complete = false;
            return;
        };
        if self.names.len() < REQUIRES_LIMIT || self.names.contains(&key) {
            self.names.insert(key);
        } else {
            self.complete = false;
        }
    }
}

/// npm runs `preinstall`, `install` and `postinstall`, and builds when there is a `binding.gyp` (`gypfile`).
fn asks_for_install_scripts(members: &BTreeMap<String, &RawValue>) -> bool {
    let is_true = |member: &str| members.get(member).is_some_and(|value| value.get() == "true");
    let mut scripts = false;
    if let Some(value) = members.get("scripts") {
        for_each(value.get(), |key, _| scripts |= key.is_some_and(|key| ["preinstall", "install", "postinstall"].contains(&key)));
    }
    scripts || is_true("gypfile") || is_true("hasInstallScript")
}

fn declaration(members: &BTreeMap<String, &RawValue>) -> Declaration {
    let terms = |names: &[&str]| {
        let mut terms = Vec::new();
        for value in names.iter().filter_map(|name| members.get(*name)) {
            add_terms(value, &mut terms);
        }
        terms
    };
    let mut declared = terms(&["license_expression", "License-Expression"]);
    if declared.is_empty() {
        declared = terms(&["license", "License", "licenses"]);
    }
    Declaration { terms: declared, classifiers: terms(&["classifiers", "Classifier"]) }
}

/// A string, `{"type": …}`, or a list of these. What is neither is an empty term, and so an unknown licence.
fn add_terms(value: &RawValue, terms: &mut Vec<String>) {
    if value.get().starts_with('[') {
        for_each(value.get(), |_, element| {
            if terms.len() < LIST_LIMIT {
                terms.extend(one_term(element));
            }
        });
    } else {
        terms.extend(one_term(value));
    }
}

fn one_term(value: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    if value.get() == "null" {
        return None;
    }
    match text_of(value) {
        Some(text) if text.trim().is_empty() => None,
        Some(text) => Some(text),
        None => Some(small::<Typed>(value).map(|typed| typed.r#type).unwrap_or_default()),
    }
}

fn text_of(value: &RawValue) -> Option<String> {
    small(value)
}

/// Parses a value that is small enough to be held.
fn small<'de, T: Deserialize<'de>>(value: &'de RawValue) -> Option<T> {
    if value.get().len() > TEXT_LIMIT_BYTES { None } else { serde_json::from_str(value.get()).ok() }
}

/// Calls `visit` for each member of an object, with its key, or each element of an array, in order and without keeping
/// them. Answers whether the text is a whole object or array.
fn for_each<'de>(json: &'de str, visit: impl FnMut(Option<&str>, &'de RawValue)) -> bool {
    struct Each<F>(F);
    impl<'de, F: FnMut(Option<&str>, &'de RawValue)> Visitor<'de> for Each<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object or an array")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                (self.0)(Some(&key), value);
            }
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
            while let Some(value) = sequence.next_element::<&'de RawValue>()? {
                (self.0)(None, value);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_any(Each(visit)).is_ok() && reader.end().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::policy::input::tests::candidate;

    fn read_json(package_type: &str, json: impl AsRef<[u8]>) -> (LicenseFacts, ManifestFacts, Requires) {
        let bytes = json.as_ref().to_vec();
        let version_id = candidate("generic", "demo", "1").version_id;
        read(&package_type.parse().unwrap(), Some(&Manifest { version_id, digest: Digest::of(&bytes), bytes }), None)
    }

    fn names(package_type: &str, json: &str) -> Vec<String> {
        read_json(package_type, json).2.names.into_iter().collect()
    }

    #[test]
    fn dependencies_are_found_in_the_shape_of_each_ecosystem() {
        let npm = r#"{"dependencies":{"Left":"^1","@Scope/Pkg":"2"},"peerDependencies":{"peer":"*"},"devDependencies":{"dev":"1"}}"#;
        assert_eq!(names("npm", npm), ["@scope/pkg", "left", "peer"]);
        let python = r#"{"requires_dist":["Foo_Bar[extra]>=1 ; python_version<'4'","  zope.interface (>1)","a"]}"#;
        assert_eq!(names("pypi", python), ["a", "foo-bar", "zope-interface"]);
        assert_eq!(
            names("cargo", r#"{"deps":[{"name":"serde_json"},{"name":"alias","package":"Real"}]}"#),
            ["alias", "real", "serde-json"]
        );
        assert_eq!(names("generic", r#"{"dependencies":["One",{"name":"two"}]}"#), ["one", "two"]);
    }

    #[test]
    fn an_npm_alias_does_not_hide_what_it_installs() {
        assert_eq!(names("npm", r#"{"dependencies":{"left":"npm:@evil/pkg@1","b":"npm:bare"}}"#), ["@evil/pkg", "b", "bare", "left"]);
    }

    #[test]
    fn the_last_of_two_members_of_one_name_counts_as_it_does_for_clients() {
        assert_eq!(read_json("npm", r#"{"license":"GPL-3.0-only","license":"MIT"}"#).0.expression, "MIT");
    }

    #[test]
    fn strange_types_are_unknown_and_never_an_error() {
        let (licenses, manifest, requires) =
            read_json("npm", r#"{"license":7,"dependencies":"x","deps":[1,{"name":2},null],"requires_dist":{"a":1},"scripts":[]}"#);
        assert!(licenses.unknown && licenses.declared);
        assert!(manifest.readable && !manifest.install_scripts);
        assert!(!requires.complete);
        assert!(requires.names.is_empty());
        assert!(!read_json("npm", r#"{"license":null}"#).0.declared);
    }

    #[test]
    fn a_manifest_that_is_no_object_is_present_but_not_readable() {
        let deep = format!("{{\"a\":{}", "[".repeat(200_000));
        for json in ["", "[]", "\"x\"", "{", "{}x", "{\"a\":1,}", &deep] {
            let (_, manifest, requires) = read_json("npm", json);
            assert!(manifest.present && !manifest.readable && !requires.complete, "{}", &json[..json.len().min(20)]);
        }
        assert!(!read_json("npm", b"{\"a\":\"\xff\"}").1.readable);
        let nested = format!("{{\"a\":{}{},\"license\":\"MIT\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read_json("npm", nested).0.expression, "MIT");
    }

    #[test]
    fn more_dependencies_than_the_limit_are_counted_and_flagged() {
        let members: Vec<String> = (0..REQUIRES_LIMIT + 10).map(|n| format!("\"d{n}\":\"1\"")).collect();
        let requires = read_json("npm", format!("{{\"dependencies\":{{{}}}}}", members.join(","))).2;
        assert_eq!((requires.names.len(), requires.count, requires.complete), (REQUIRES_LIMIT, REQUIRES_LIMIT + 10, false));
    }

    #[test]
    fn install_scripts_are_those_that_run_on_install() {
        assert!(read_json("npm", r#"{"scripts":{"preinstall":"x"}}"#).1.install_scripts);
        assert!(read_json("npm", r#"{"gypfile":true}"#).1.install_scripts);
        assert!(!read_json("npm", r#"{"scripts":{"prepare":"x","test":"y"}}"#).1.install_scripts);
    }
}
