//! The settings as they count now. Invariant: what is shown is what a start would use, each with where it came from; none of them is a secret.

use figment::value::Value;
use serde::Serialize;

use super::Config;
use super::catalogue::{Default, SETTINGS};
use super::reader::Reader;

/// One setting as it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its key, such as `http.drain_timeout_ms`.
    pub key: &'static str,
    /// Its value as TOML; `None` when it has none.
    pub value: Option<String>,
    /// Where it came from, such as `file /etc/artifortress/artifortress.toml`; `default` when nobody set it.
    pub source: String,
}

/// All of them, in the order of their description, of the layers that gave `config`.
pub(super) fn in_force(reader: &Reader, config: &Config) -> Vec<InForce> {
    let shown = SETTINGS.iter().map(|setting| {
        let key = setting.key;
        match reader.given(key) {
            Some((value, source)) => InForce { key, value: Some(as_toml(&value)), source },
            None => {
                let (value, source) = found_out(key, config).unwrap_or_else(|| (default(&setting.default), "default"));
                InForce { key, value, source: source.to_owned() }
            }
        }
    });
    shown.collect()
}

fn default(default: &Default) -> Option<String> {
    match default {
        Default::Value { toml, .. } => Some((*toml).to_owned()),
        Default::Unset { .. } => None,
    }
}

/// What nobody set and is known all the same.
fn found_out(key: &str, config: &Config) -> Option<(Option<String>, &'static str)> {
    let path = |path: &std::path::Path| Some(as_toml(&Value::from(path.to_string_lossy().into_owned())));
    match key {
        "data_dir" => Some((path(&config.data_dir), "default")),
        "bootstrap_token_file" => config.bootstrap_token_file.as_deref().map(|file| (path(file), "credential")),
        "tls.key_file" => config.tls.as_ref().map(|tls| (path(&tls.key_file), "credential")),
        _ => None,
    }
}

/// Text, numbers, truth and lists of them are written alike in TOML and in JSON.
fn as_toml(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
