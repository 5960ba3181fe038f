//! Where settings come from: file, variables, flags. Invariant: each layer has the name by which people know it, and what is wrong with a file
//! is told without its text.

use std::path::PathBuf;

use figment::util::nest;
use figment::value::{Dict, Value};

use super::reader::Layer;
use super::{Environment, Flags};

/// What every variable of ours begins with.
const PREFIX: &str = "ARTIFORTRESS_";
/// The variable that names the file when no flag does.
const FILE_VARIABLE: &str = "ARTIFORTRESS_CONFIG";

/// The layers, weakest first: file, variables, flags.
pub(super) fn layers(flags: &Flags, variables: &Environment, faults: &mut Vec<String>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let named = variables.get(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    if let Some(path) = flags.config.as_ref().or(named.as_ref()) {
        let read = std::fs::read_to_string(path).map_err(|cause| cause.to_string());
        match read.and_then(|text| parse_file(&text)) {
            Ok(settings) => layers.push(Layer { name: format!("file {}", path.display()), settings }),
            Err(cause) => faults.push(format!("file {}: {}", path.display(), cause.trim_end())),
        }
    }
    for (name, text) in variables.iter().filter(|(name, _)| *name != FILE_VARIABLE) {
        if let Some(key) = name.strip_prefix(PREFIX) {
            if text.contains(char::REPLACEMENT_CHARACTER) {
                faults.push(format!("environment variable {name}: it is not Unicode text"));
            }
            let Ok(value) = text.parse::<Value>();
            let settings = nest(&key.to_lowercase().replace("__", "."), value).into_dict().unwrap_or_default();
            layers.push(Layer { name: format!("environment variable {name}"), settings });
        }
    }
    match Value::serialize(flags) {
        Ok(value) => layers.push(Layer { name: "command line".to_owned(), settings: value.into_dict().unwrap_or_default() }),
        Err(cause) => faults.push(format!("command line: {cause}")),
    }
    layers
}

/// The settings of a file. What is wrong is told by its place and not by its text, in which somebody may have written a secret.
fn parse_file(text: &str) -> Result<Dict, String> {
    toml::from_str::<Dict>(text).map_err(|cause| {
        let line = cause.span().map_or(0, |span| text[..text.floor_char_boundary(span.start)].lines().count().max(1));
        format!("line {line}: {}", cause.message())
    })
}
