//! Cases as people write them, in TOML. Invariant: every fault of the text is told with its line and column, and nothing that was
//! written is silently ignored.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::{Spanned, Value};

use super::{CASES_LIMIT, CASES_LIMIT_BYTES, Case, Expected, asked};
use crate::domain::access::Role;
use crate::domain::candidate::{Action, Decision};
use crate::error::Result;
use crate::policy::fault::{Found, refusal_of_cases};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<Written>>,
}

/// One case as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    name: Spanned<String>,
    #[serde(default)]
    pub(super) package: Package,
    #[serde(default = "publish")]
    pub(super) action: Action,
    #[serde(default = "repo")]
    pub(super) repo: String,
    #[serde(default = "principal")]
    pub(super) principal: String,
    #[serde(default = "roles")]
    pub(super) roles: Vec<Role>,
    #[serde(default)]
    pub(super) facts: Tree,
    decision: Decision,
    rules: Option<BTreeSet<String>>,
    observed: Option<BTreeSet<String>>,
}

/// Which version it is about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Package {
    #[serde(rename = "type")]
    pub(super) package_type: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: String,
}

impl Default for Package {
    fn default() -> Package {
        Package { package_type: "generic".to_owned(), namespace: String::new(), name: "demo".to_owned(), version: "1.0.0".to_owned() }
    }
}

fn publish() -> Action {
    Action::Publish
}

fn repo() -> String {
    "main".to_owned()
}

fn principal() -> String {
    "publisher".to_owned()
}

fn roles() -> Vec<Role> {
    vec![Role::Write]
}

/// Facts as written: records of facts, each name with its place.
#[derive(Debug)]
pub(super) enum Tree {
    /// Names and what stands under them.
    Record(Vec<(Spanned<String>, Tree)>),
    /// A value.
    Value(Value),
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::Record(Vec::new())
    }
}

/// One fact as written: its path, its value, its place.
pub(super) struct Leaf<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
    pub(super) place: Range<usize>,
}

impl Tree {
    /// Every value under its path, in the order of the text.
    pub(super) fn leaves<'a>(&'a self, path: &str, found: &mut Vec<Leaf<'a>>) {
        let Tree::Record(fields) = self else { return };
        for (name, tree) in fields {
            let path = if path.is_empty() { name.get_ref().clone() } else { format!("{path}.{}", name.get_ref()) };
            match tree {
                Tree::Value(value) => found.push(Leaf { path, value, place: name.span() }),
                Tree::Record(_) => tree.leaves(&path, found),
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Tree, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Tree;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a fact: true or false, a number, a text, or a list of texts")
            }

            fn visit_bool<E>(self, value: bool) -> std::result::Result<Tree, E> {
                Ok(Tree::Value(Value::Boolean(value)))
            }

            fn visit_i64<E>(self, value: i64) -> std::result::Result<Tree, E> {
                Ok(Tree::Value(Value::Integer(value)))
            }

            fn visit_f64<E>(self, value: f64) -> std::result::Result<Tree, E> {
                Ok(Tree::Value(Value::Float(value)))
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Tree, E> {
                Ok(Tree::Value(Value::String(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Tree, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(Tree::Value(Value::Array(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Tree, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Tree::Record(fields))
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

/// Reads the cases of a policy.
///
/// # Errors
/// `bad_policy` with every fault.
pub(super) fn read(text: &str) -> Result<Vec<Case>> {
    if text.len() > CASES_LIMIT_BYTES {
        let fault = Found::at(0, format!("the cases have {} bytes; at most {CASES_LIMIT_BYTES} are allowed", text.len()));
        return Err(refusal_of_cases("", [fault]));
    }
    let file: File = toml::from_str(text).map_err(|cause| {
        let fault = Found::at(cause.span().map_or(0, |span| span.start), cause.message());
        refusal_of_cases(
            text,
            [fault.helped("a case is a table [[case]] with name, decision, and perhaps package, action, facts, rules, observed")],
        )
    })?;
    if file.cases.len() > CASES_LIMIT {
        let fault = Found::at(0, format!("there are {} cases; at most {CASES_LIMIT} are allowed", file.cases.len()));
        return Err(refusal_of_cases("", [fault]));
    }
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    let mut cases = Vec::new();
    for written in file.cases {
        let start = written.span().start;
        let written = written.into_inner();
        let name = written.name.get_ref().clone();
        if name.trim().is_empty() || name.chars().any(char::is_control) || !names.insert(name.clone()) {
            let fault = Found::at(written.name.span().start, "each case needs a name of its own, on one line");
            faults.push(fault.helped("the name says what the case shows"));
        }
        let line = text.get(..start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count() + 1;
        match asked::input(&written, start) {
            Ok(input) => {
                let expected = Expected { decision: written.decision, rules: written.rules, observed: written.observed };
                cases.push(Case { name, line, input, expected });
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(cases) } else { Err(refusal_of_cases(text, faults)) }
}
