//! Layers of settings, and reading them one key at a time. Invariant: every fault of every layer is reported, none hides another,
//! and each names its key and where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;

/// Everything that is wrong with the settings, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault{}:", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

/// One source of settings, named as people know it.
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) settings: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

/// Reads settings by key, and remembers what was asked for and what was wrong.
pub(super) struct Reader {
    figment: Figment,
    known: BTreeSet<&'static str>,
    ranges: BTreeMap<&'static str, String>,
    faults: Vec<String>,
}

impl Reader {
    /// A reader over layers, later ones winning, with the faults found while they were gathered.
    pub(super) fn new(figment: Figment, faults: Vec<String>) -> Reader {
        Reader { figment, known: BTreeSet::new(), ranges: BTreeMap::new(), faults }
    }

    /// The value of `key`, if any layer has it and it has the right type.
    pub(super) fn find<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.known.insert(key);
        let value = self.figment.find_value(key).ok()?;
        match value.deserialize() {
            Ok(read) => Some(read),
            Err(errors) => {
                for error in errors {
                    self.fault(key, &told(&error.kind));
                }
                None
            }
        }
    }

    /// What some layer gave for `key`, and the name of that layer.
    pub(super) fn given(&self, key: &str) -> Option<(Value, String)> {
        let value = self.figment.find_value(key).ok()?;
        let source = self.figment.find_metadata(key).map(|metadata| metadata.name.to_string()).unwrap_or_default();
        Some((value, source))
    }

    /// The value of `key` when it lies in `allowed`, else `default`.
    pub(super) fn number<T>(&mut self, key: &'static str, default: T, allowed: &RangeInclusive<T>) -> T
    where
        T: DeserializeOwned + PartialOrd + Display + Copy,
    {
        self.ranges.insert(key, format!("{} to {}", allowed.start(), allowed.end()));
        match self.find(key) {
            None => default,
            Some(value) if allowed.contains(&value) => value,
            Some(value) => {
                self.fault(key, &format!("{value} is outside {} to {}", allowed.start(), allowed.end()));
                default
            }
        }
    }

    /// The keys asked for so far.
    #[cfg(test)]
    pub(super) fn known(&self) -> &BTreeSet<&'static str> {
        &self.known
    }

    /// The numbers that are allowed, by key, as far as they were asked for.
    pub(super) fn into_ranges(self) -> BTreeMap<&'static str, String> {
        self.ranges
    }

    /// Notes what is wrong with `key`, and which layer gave it.
    pub(super) fn fault(&mut self, key: &str, what: &str) {
        let source = self.figment.find_metadata(key).map(|metadata| format!(" ({})", metadata.name)).unwrap_or_default();
        self.faults.push(format!("{key}: {what}{source}"));
    }

    /// All faults, among them keys that were given and never asked for.
    ///
    /// # Errors
    /// The faults, when there is one.
    pub(super) fn end(&mut self) -> Result<(), Faults> {
        let given = match self.figment.data() {
            Ok(profiles) => profiles.into_values().flat_map(|settings| leaves("", &settings)).collect(),
            Err(error) => {
                self.faults.extend(error.into_iter().map(|error| error.to_string()));
                Vec::new()
            }
        };
        for key in given {
            if !self.known.contains(key.as_str()) {
                let hint = self.hint(&key);
                self.fault(&key, &format!("there is no such setting; {hint}"));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(std::mem::take(&mut self.faults))) }
    }

    /// The setting that was probably meant, or those of the same section.
    fn hint(&self, key: &str) -> String {
        let flat = |text: &str| text.replace(['.', '_', '-'], "");
        if let Some(meant) = self.known.iter().find(|known| flat(known) == flat(key)) {
            return format!("{meant} is meant, perhaps: between levels write a dot, in the environment two underscores");
        }
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        let of_section = |section: &str| -> Vec<&str> {
            self.known.iter().copied().filter(|known| known.rsplit_once('.').map_or("", |(section, _)| section) == section).collect()
        };
        let near = of_section(section);
        let near = if near.is_empty() { of_section("") } else { near };
        format!("there are {}", near.join(", "))
    }
}

/// What is wrong with a value, in words that do not repeat it: somebody may have written a secret into the wrong place.
fn told(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(given, wanted) => format!("{} is not what belongs here; give {wanted}", kind_of(given)),
        Kind::InvalidValue(_, wanted) => format!("this value does not belong here; give {wanted}"),
        Kind::UnknownVariant(_, known) => format!("this is none of {}", known.join(", ")),
        Kind::UnknownField(_, known) => format!("there is a part that does not belong here; there are {}", known.join(", ")),
        Kind::InvalidLength(_, wanted) => format!("there are too many or too few values; give {wanted}"),
        Kind::MissingField(field) => format!("{field} is missing"),
        Kind::DuplicateField(field) => format!("{field} is there twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "the number is too large".to_owned(),
        // Told by our own readers, which repeat nothing.
        Kind::Message(text) => text.clone(),
        Kind::Unsupported(_) | Kind::UnsupportedKey(..) => "this value does not belong here".to_owned(),
    }
}

fn kind_of(given: &Actual) -> &'static str {
    match given {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number of this kind",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        Actual::Bytes(_)
        | Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "this",
    }
}

/// The dotted keys of all values that are not sections; an empty section has none.
fn leaves(prefix: &str, settings: &Dict) -> Vec<String> {
    settings
        .iter()
        .flat_map(|(key, value)| {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if let Value::Dict(_, section) = value { leaves(&path, section) } else { vec![path] }
        })
        .collect()
}
