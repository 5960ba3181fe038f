//! The words that a version is found by. Invariant: of a manifest only what people search by is taken, never its keys, and never
//! more than a fixed number of bytes of it, however large it is; nothing is too large to be indexed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use crate::domain::name::PackageName;

/// Bytes of a description that are indexed.
const DESCRIPTION_LIMIT_BYTES: usize = 16 * 1024;
/// Bytes of keywords that are indexed.
const KEYWORDS_LIMIT_BYTES: usize = 2 * 1024;
/// The longest end of a word that is indexed, in characters; a longer inner part of a name is found by its beginning.
const PART_LIMIT: usize = 24;
/// Bytes of inner parts that are indexed: those of the name's first words.
const PARTS_LIMIT_BYTES: usize = 4 * 1024;
/// The marks that the index puts around what matched; no text may hold them.
pub(super) const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// What the index holds of a version's words, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) keywords: String,
    pub(super) description: String,
    /// The ends of each word of the name.
    pub(super) parts: String,
}

impl Words {
    /// The words of a version of this package with this manifest; a manifest that cannot be read has none.
    pub(super) fn of(package: &PackageName, manifest: Option<&[u8]>) -> Words {
        let said: Said = manifest.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let description = match (said.summary.0.as_str(), said.description.0.as_str()) {
            (summary, "") => summary.to_owned(),
            ("", description) => description.to_owned(),
            (summary, description) if description.starts_with(summary) => description.to_owned(),
            (summary, description) => format!("{summary} {description}"),
        };
        Words {
            name: package.name().to_owned(),
            namespace: package.namespace().to_owned(),
            keywords: cut(&said.keywords.0, KEYWORDS_LIMIT_BYTES),
            description: cut(&description, DESCRIPTION_LIMIT_BYTES).trim().to_owned(),
            parts: parts(package.name()),
        }
    }

    /// The sha256 over the fields: versions of one package with one digest share one row.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for field in [&self.name, &self.namespace, &self.keywords, &self.description] {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().into()
    }
}

/// The members that people search by; all others are passed over unread.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    summary: Text,
    #[serde(default)]
    description: Text,
    #[serde(default)]
    keywords: Text,
}

/// A text, or a list of texts put together; anything else is empty and no error.
#[derive(Debug, Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(Texts)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(cut(text, DESCRIPTION_LIMIT_BYTES)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        let mut all = String::new();
        while let Some(Text(word)) = list.next_element()? {
            if !word.is_empty() && all.len() < KEYWORDS_LIMIT_BYTES {
                all.push_str(&word);
                all.push(' ');
            }
        }
        Ok(Text(all.trim_end().to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<Cow<'_, str>, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

/// The first bytes of a text, up to a whole character, without the marks of the index.
fn cut(text: &str, limit_bytes: usize) -> String {
    let mut end = text.len().min(limit_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(MARKS, " ")
}

/// Every end of every word of a name but the whole words, which the name itself has: `odash dash ash sh` for `lodash`.
fn parts(name: &str) -> String {
    let mut parts = String::new();
    for word in name.split(|sign: char| !sign.is_alphanumeric()) {
        let starts: Vec<usize> = word.char_indices().map(|(at, _)| at).skip(1).collect();
        // A single character is no part that anybody looks for.
        for start in starts.iter().take(starts.len().saturating_sub(1)) {
            if parts.len() > PARTS_LIMIT_BYTES {
                return parts;
            }
            parts.extend(word[*start..].chars().take(PART_LIMIT));
            parts.push(' ');
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(manifest: &serde_json::Value) -> Words {
        let package = PackageName::new("npm".parse().unwrap(), "@babel", "core").unwrap();
        Words::of(&package, Some(manifest.to_string().as_bytes()))
    }

    #[test]
    fn only_what_people_search_by_is_taken_and_strange_types_are_no_error() {
        let taken = words(&serde_json::json!({
            "summary": "a compiler", "license": "MIT", "keywords": ["es6", 7, {"a": [1]}, "jsx"], "dependencies": {"json": "1"},
            "description": "a compiler of the next language",
        }));
        assert_eq!((taken.keywords.as_str(), taken.description.as_str()), ("es6 jsx", "a compiler of the next language"));
        for strange in
            [serde_json::json!({"description": {"en": "x"}, "keywords": 3, "summary": null}), serde_json::json!({"summary": [true]})]
        {
            assert_eq!((words(&strange).keywords, words(&strange).description), (String::new(), String::new()));
        }
        let package = PackageName::new("npm".parse().unwrap(), "", "core").unwrap();
        assert_eq!(Words::of(&package, Some(b"{ no json")).name, "core");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_taken_up_to_a_whole_character() {
        let taken = words(&serde_json::json!({"description": "ä".repeat(100_000), "keywords": vec!["wörter"; 10_000]}));
        assert_eq!(taken.description.len(), DESCRIPTION_LIMIT_BYTES);
        assert!(taken.keywords.len() <= KEYWORDS_LIMIT_BYTES, "{}", taken.keywords.len());
        assert!(parts(&"a".repeat(100_000)).len() < 2 * PARTS_LIMIT_BYTES);
    }

    #[test]
    fn the_ends_of_the_words_of_a_name_are_its_inner_parts() {
        assert_eq!(parts("lodash"), "odash dash ash sh ");
        assert_eq!(parts("a-b.cd_éfg"), "fg ");
    }

    #[test]
    fn one_text_has_one_digest_and_the_marks_of_the_index_are_taken_out() {
        let one = words(&serde_json::json!({"description": "x\u{e000}y\u{e001}"}));
        assert_eq!(one.description, "x y");
        assert_eq!(one.digest(), words(&serde_json::json!({"description": "x y"})).digest());
        assert_ne!(one.digest(), words(&serde_json::json!({"keywords": "x y"})).digest());
    }
}
