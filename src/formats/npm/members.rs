//! The members of a JSON object, each as its own text. Invariant: nothing below the first level is ever parsed or held apart from the
//! text it stands in, so an object of any size costs a list of its members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// The members of one object in their order; of two with one name the last counts, as it does for clients.
#[derive(Debug, Clone, Default)]
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The members of an object.
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Members<'a>> {
        serde_json::from_str(text)
    }

    /// The text of one member.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// One member read as `T`; `None` when it is not there or of another shape.
    pub(super) fn read<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// The members with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Those that `keep` says yes to.
    pub(super) fn only(mut self, keep: impl Fn(&str) -> bool) -> Members<'a> {
        self.0.retain(|(name, _)| keep(name));
        self
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let (mut members, mut places) = (Vec::new(), std::collections::HashMap::new());
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    match places.entry(name.clone()) {
                        std::collections::hash_map::Entry::Occupied(place) => {
                            let place: usize = *place.get();
                            members[place] = (name, value);
                        }
                        std::collections::hash_map::Entry::Vacant(place) => {
                            place.insert(members.len());
                            members.push((name, value));
                        }
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_given_back_as_they_were_written() {
        let text = r#"{"b": {"x" : [1, 2.50]}, "a":"\u0041","b":1e3}"#;
        let members = Members::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"b":1e3,"a":"\u0041"}"#);
        assert_eq!(members.read::<String>("a").unwrap(), "A");
        assert!(members.read::<String>("b").is_none() && members.get("c").is_none());
        assert_eq!(serde_json::to_string(&members.only(|name| name == "a")).unwrap(), r#"{"a":"\u0041"}"#);
        for bad in ["[]", "{", "7", "{}x"] {
            assert!(Members::parse(bad).is_err(), "{bad}");
        }
    }
}
