//! The facts as the schema lists them: path, type, meaning, and the flag that says whether each is known. Invariant: it is read out of the
//! schema itself, so that documentation, cases and explanations name exactly the facts that rules can ask for.

use std::fmt::Write as _;

use cedar_policy::SchemaFragment;
use serde_json::{Map, Value};

use super::schema::SCHEMA;
use crate::error::{Error, Result};

/// The type of the whole context.
const CONTEXT: &str = "Facts";

/// What a fact can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Long,
    /// Yes or no.
    Bool,
    /// Text.
    Text,
    /// Several texts.
    Texts,
    /// A number with decimals, such as a CVSS score.
    Decimal,
    /// A moment.
    Moment,
}

impl Kind {
    /// As Cedar writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Long => "Long",
            Kind::Bool => "Bool",
            Kind::Text => "String",
            Kind::Texts => "Set<String>",
            Kind::Decimal => "decimal",
            Kind::Moment => "datetime",
        }
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// Its path below `context`, such as `advisories.malicious`.
    pub(super) path: String,
    /// Its type.
    pub(super) kind: Kind,
    /// What it says.
    pub(super) meaning: String,
    /// The path of the fact that says whether it is known or whole; empty when it always is.
    pub(super) flag: String,
}

/// Every fact, in the order of the schema.
///
/// # Errors
/// Internal when the embedded schema is faulty.
pub(super) fn facts() -> Result<Vec<Fact>> {
    let failed = |cause: String| Error::internal("reading the policy schema", cause);
    let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA).map_err(|cause| failed(cause.to_string()))?;
    let json = fragment.to_json_value().map_err(|cause| failed(cause.to_string()))?;
    let types = json.pointer("/commonTypes").or_else(|| json.get("")?.get("commonTypes")).and_then(Value::as_object);
    let mut found = Vec::new();
    walk(types.ok_or_else(|| failed("it has no types".to_owned()))?, CONTEXT, "", &mut found).map_err(failed)?;
    Ok(found)
}

/// Adds the facts of one record; whatever is another record is walked in turn.
fn walk(types: &Map<String, Value>, record: &str, path: &str, found: &mut Vec<Fact>) -> Result<(), String> {
    let attributes = types.get(record).and_then(|record| record.get("attributes")).and_then(Value::as_object);
    let mut attributes: Vec<(&String, &Value)> = attributes.ok_or_else(|| format!("{record} is no record"))?.iter().collect();
    attributes.sort_by_key(|(name, _)| declared_at(record, name));
    for (name, attribute) in attributes {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match kind(attribute) {
            Ok(kind) => found.push(Fact { kind, meaning: annotation(attribute, "doc"), flag: annotation(attribute, "flag"), path }),
            Err(other) if types.contains_key(other) => walk(types, other, &path, found)?,
            Err(other) => return Err(format!("{path} has the strange type {other}")),
        }
    }
    Ok(())
}

/// The place of a field in the text, which has the order in which people want to read.
fn declared_at(record: &str, field: &str) -> Option<usize> {
    let start = SCHEMA.find(&format!("type {record} = {{"))?;
    SCHEMA.get(start..)?.find(&format!("\n  \"{field}\":"))
}

/// The type of an attribute, or the name of a type that is none of the plain ones.
fn kind(attribute: &Value) -> Result<Kind, &str> {
    let name = |value: &'_ Value| value.get("name").and_then(Value::as_str).map(|name| name.trim_start_matches("__cedar::").to_owned());
    let of = |named: &str| match named {
        "Long" => Some(Kind::Long),
        "Bool" | "Boolean" => Some(Kind::Bool),
        "String" => Some(Kind::Text),
        "decimal" => Some(Kind::Decimal),
        "datetime" => Some(Kind::Moment),
        _ => None,
    };
    let written = attribute.get("type").and_then(Value::as_str).unwrap_or_default();
    if written == "Set" {
        return Ok(Kind::Texts);
    }
    of(written).or_else(|| of(&name(attribute)?)).ok_or_else(|| attribute.get("name").and_then(Value::as_str).unwrap_or(written))
}

fn annotation(attribute: &Value, name: &str) -> String {
    attribute.pointer(&format!("/annotations/{name}")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// All facts as a table in Markdown: what a rule can ask, its type, what it says, and which fact says whether it is known or whole.
///
/// # Errors
/// Internal when the embedded schema is faulty.
pub fn fact_table() -> Result<String> {
    let mut table = "| fact | type | meaning | see first |\n|---|---|---|---|\n".to_owned();
    for fact in facts()? {
        let flag = if fact.flag.is_empty() { String::new() } else { format!("`{}`", fact.flag) };
        let row = writeln!(table, "| `context.{}` | {} | {} | {flag} |", fact.path, fact.kind.as_str(), fact.meaning.replace('|', "\\|"));
        row.map_err(|cause| Error::internal("writing the table of facts", cause))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_says_what_it_means_and_every_flag_is_a_fact() {
        let facts = facts().unwrap();
        assert!(facts.len() > 80, "{}", facts.len());
        for fact in &facts {
            assert!(!fact.meaning.is_empty(), "{} has no @doc", fact.path);
            let is_fact = facts.iter().any(|other| other.path == fact.flag);
            assert!(fact.flag.is_empty() || is_fact, "{} names the flag {}, which is no fact", fact.path, fact.flag);
        }
        let kinds: Vec<Kind> = ["ageDays", "hosted", "origin", "requires", "advisories.maxSeverity", "publishedAt"]
            .iter()
            .map(|path| facts.iter().find(|fact| fact.path == *path).unwrap().kind)
            .collect();
        assert_eq!(kinds, [Kind::Long, Kind::Bool, Kind::Text, Kind::Texts, Kind::Decimal, Kind::Moment]);
        assert_eq!(facts[0].path, "package.type", "the order is that of the schema");
    }

    #[test]
    fn the_readme_has_the_table_of_the_schema() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let (_, rest) = readme.split_once("<!-- facts: made by `artifortress policy facts` -->\n").expect("the README has the marker");
        let (table, _) = rest.split_once("<!-- end of facts -->").expect("the README has the marker's end");
        let wanted = fact_table().unwrap();
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
        std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(directory.join("facts.md"), &wanted)).unwrap();
        assert_eq!(
            table, wanted,
            "put the output of `artifortress policy facts` (also in target/tmp/facts.md) between the markers in README.md"
        );
    }
}
