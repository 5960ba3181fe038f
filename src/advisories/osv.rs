//! The members of an OSV record (schema 1.x) that matter here. Invariant: unknown members are passed over, known ones must have
//! the form the schema gives them; `null` is as good as absent.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
pub(super) struct OsvRecord {
    pub id: String,
    pub modified: String,
    #[serde(default)]
    pub withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub affected: Vec<OsvAffected>,
    #[serde(default, deserialize_with = "or_default")]
    pub severity: Vec<OsvSeverity>,
    #[serde(default, deserialize_with = "or_default")]
    pub database_specific: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct OsvAffected {
    #[serde(default)]
    pub package: Option<OsvPackage>,
    #[serde(default, deserialize_with = "or_default")]
    pub ranges: Vec<OsvRange>,
    #[serde(default, deserialize_with = "or_default")]
    pub versions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub severity: Vec<OsvSeverity>,
    #[serde(default, deserialize_with = "or_default")]
    pub ecosystem_specific: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub database_specific: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct OsvPackage {
    pub ecosystem: String,
    pub name: String,
}

#[derive(Deserialize)]
pub(super) struct OsvRange {
    #[serde(rename = "type")]
    pub range_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub events: Vec<OsvEvent>,
}

#[derive(Deserialize)]
pub(super) struct OsvEvent {
    #[serde(default)]
    pub introduced: Option<String>,
    #[serde(default)]
    pub fixed: Option<String>,
    #[serde(default)]
    pub last_affected: Option<String>,
    #[serde(default)]
    pub limit: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OsvSeverity {
    #[serde(rename = "type")]
    pub severity_type: String,
    pub score: String,
}
