//! Core metadata, as fields of a form or headers of a METADATA file. Invariant: one table says which fields are known and which are
//! lists; what comes out is a JSON object of bounded size with the snake_case names of PEP 566.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Bytes of all values together, the description apart.
const TEXT_LIMIT_BYTES: usize = 512 * 1024;
/// Bytes of the description that are kept; the whole of it stays in the file.
pub(super) const DESCRIPTION_LIMIT_BYTES: usize = 16 * 1024;
/// The description's own field.
pub(super) const DESCRIPTION: &str = "description";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One text.
    One,
    /// A list, one element each time the field is given.
    Many,
    /// A list in one text, separated by commas or else by spaces.
    Words,
}

/// The member of the JSON object, other spellings of the field, and its shape. The header `Requires-Dist` is spelled
/// `requires_dist` for this table.
const FIELDS: &[(&str, &[&str], Shape)] = &[
    ("metadata_version", &[], Shape::One),
    ("name", &[], Shape::One),
    ("version", &[], Shape::One),
    ("dynamic", &[], Shape::Many),
    ("platform", &["platforms"], Shape::Many),
    ("supported_platform", &["supported_platforms"], Shape::Many),
    ("summary", &[], Shape::One),
    ("description_content_type", &[], Shape::One),
    ("keywords", &[], Shape::Words),
    ("home_page", &[], Shape::One),
    ("download_url", &[], Shape::One),
    ("author", &[], Shape::One),
    ("author_email", &[], Shape::One),
    ("maintainer", &[], Shape::One),
    ("maintainer_email", &[], Shape::One),
    ("license", &[], Shape::One),
    ("license_expression", &[], Shape::One),
    ("license_files", &["license_file"], Shape::Many),
    ("classifiers", &["classifier"], Shape::Many),
    ("requires_dist", &[], Shape::Many),
    ("requires_python", &[], Shape::One),
    ("requires_external", &[], Shape::Many),
    ("project_urls", &["project_url"], Shape::Many),
    ("provides_extra", &["provides_extras"], Shape::Many),
    ("provides_dist", &[], Shape::Many),
    ("obsoletes_dist", &[], Shape::Many),
    ("import_names", &["import_name"], Shape::Many),
    ("import_namespaces", &["import_namespace"], Shape::Many),
];

/// The core metadata of one distribution.
#[derive(Debug, Clone, Default)]
pub(super) struct Core {
    members: Map<String, Value>,
    text_bytes: usize,
}

impl Core {
    /// Whether a field of this name is known.
    pub(super) fn knows(field: &str) -> bool {
        field == DESCRIPTION || find(field).is_some()
    }

    /// Adds a field as it was given; unknown fields and empty values are left out.
    ///
    /// # Errors
    /// `too_large` beyond the limit; `bad_request` when a field that can be given once is given twice with different values.
    pub(super) fn add(&mut self, field: &str, value: &str) -> Result<()> {
        if field == DESCRIPTION {
            self.members.insert(DESCRIPTION.to_owned(), cut(value, DESCRIPTION_LIMIT_BYTES).into());
            return Ok(());
        }
        let Some((member, shape)) = find(field) else { return Ok(()) };
        let value = value.trim();
        // What some old builders write where they know nothing.
        if value.is_empty() || value == "UNKNOWN" {
            return Ok(());
        }
        self.text_bytes = self.text_bytes.saturating_add(value.len());
        if self.text_bytes > TEXT_LIMIT_BYTES {
            return Err(Error::too_large("the core metadata", TEXT_LIMIT_BYTES as u64));
        }
        match shape {
            Shape::One => match self.members.insert(member.to_owned(), value.into()) {
                Some(before) if before != value => {
                    return Err(Error::bad_request(format!("the field {field} is given twice, with different values")));
                }
                Some(_) | None => {}
            },
            Shape::Many => self.push(member, value),
            Shape::Words => {
                let by_comma = value.contains(',');
                for word in value.split(|sign: char| if by_comma { sign == ',' } else { sign.is_whitespace() }) {
                    self.push(member, word.trim());
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, member: &str, value: &str) {
        let list = self.members.entry(member).or_insert_with(|| Value::Array(Vec::new()));
        if let (Some(list), false) = (list.as_array_mut(), value.is_empty()) {
            list.push(value.into());
        }
    }

    /// The text of a field, if it was given.
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }

    /// Whether a source distribution with these metadata is as final as a wheel: every one that is built of it has the same (PEP 643).
    pub(super) fn is_final(&self) -> bool {
        let version = self.text("metadata_version").and_then(|version| version.split_once('.'));
        let version = version.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
        version.is_some_and(|version| version >= (2, 2)) && !self.members.contains_key("dynamic")
    }

    /// The object as a version's manifest, with the facts of the upload beside the metadata.
    pub(super) fn into_manifest(mut self, facts: &[(&str, &str)]) -> Vec<u8> {
        self.members.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        Value::Object(self.members).to_string().into_bytes()
    }

    /// Reads a METADATA or PKG-INFO file: headers, an empty line, the description (PEP 566, PEP 643).
    ///
    /// # Errors
    /// `bad_request` when it is not UTF-8 or has no such headers, and as `add`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Core> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::bad_request("the metadata in the file are not UTF-8; build it again"))?;
        let mut core = Core::default();
        let mut lines = text.split_inclusive('\n');
        let mut header: Option<(String, String)> = None;
        let mut rest_begins = 0;
        for line in lines.by_ref() {
            rest_begins += line.len();
            let line = line.trim_end_matches(['\n', '\r']);
            if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), header.as_mut()) {
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            core.add_header(header.take())?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Error::bad_request("the metadata in the file have a line that is no header; build it again"))?;
            header = Some((name.trim().to_ascii_lowercase().replace('-', "_"), value.trim().to_owned()));
        }
        core.add_header(header)?;
        let body = &text[rest_begins..];
        if !body.trim().is_empty() {
            core.add(DESCRIPTION, body)?;
        }
        Ok(core)
    }

    fn add_header(&mut self, header: Option<(String, String)>) -> Result<()> {
        header.map_or(Ok(()), |(name, value)| self.add(&name, &value))
    }
}

fn find(field: &str) -> Option<(&'static str, Shape)> {
    FIELDS.iter().find(|(member, others, _)| *member == field || others.contains(&field)).map(|(member, _, shape)| (*member, *shape))
}

/// The beginning of a text, at most `limit` bytes, between two characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nLicense: MIT\n second line\nClassifier: A\nClassifier: B\r\nKeywords: one,two words\nRequires-Dist: foo (>1)\nX-Other: y\nHome-page: UNKNOWN\n\n# Title\n\nText\n";

    fn json(core: Core) -> Value {
        serde_json::from_slice(&core.into_manifest(&[("filename", "demo-1.0.tar.gz")])).unwrap()
    }

    #[test]
    fn a_metadata_file_and_a_form_give_the_same_object() {
        let mut form = Core::default();
        for (field, value) in [
            ("metadata_version", "2.1"),
            ("name", "demo"),
            ("version", "1.0"),
            ("license", "MIT\nsecond line"),
            ("classifiers", "A"),
            ("classifiers", "B"),
            ("keywords", "one, two words"),
            ("requires_dist", "foo (>1)"),
            ("x_other", "y"),
            ("description", "# Title\n\nText\n"),
        ] {
            form.add(field, value).unwrap();
        }
        let parsed = json(Core::parse(METADATA.as_bytes()).unwrap());
        assert_eq!(parsed, json(form));
        assert_eq!(parsed["classifiers"], serde_json::json!(["A", "B"]));
        assert_eq!(parsed["keywords"], serde_json::json!(["one", "two words"]));
        assert_eq!(parsed["filename"], "demo-1.0.tar.gz");
        assert!(parsed.get("home_page").is_none());
    }

    #[test]
    fn metadata_are_final_from_2_2_on_when_nothing_is_dynamic() {
        let is_final = |headers: &str| Core::parse(format!("Name: demo\n{headers}").as_bytes()).unwrap().is_final();
        for headers in ["Metadata-Version: 2.2\n", "Metadata-Version: 2.10\n", "Metadata-Version: 3.0\n"] {
            assert!(is_final(headers), "{headers}");
        }
        for headers in [
            "",
            "Metadata-Version: 2.1\n",
            "Metadata-Version: 1.9\n",
            "Metadata-Version: x\n",
            "Metadata-Version: 2.2\nDynamic: Requires-Dist\n",
        ] {
            assert!(!is_final(headers), "{headers}");
        }
    }

    #[test]
    fn a_field_that_is_given_twice_differently_is_refused() {
        let mut core = Core::default();
        core.add("license", "MIT").unwrap();
        core.add("license", "MIT").unwrap();
        assert!(core.add("license", "GPL").unwrap_err().message().contains("license"));
        assert!(Core::parse(b"Name: a\nName: b\n").is_err());
        assert!(Core::parse(b"no header\n").is_err());
        assert!(Core::parse(b"Name: \xff\n").is_err());
    }

    #[test]
    fn the_description_is_cut_and_everything_else_is_bounded() {
        let core = Core::parse(format!("Name: a\n\n{}", "ü".repeat(DESCRIPTION_LIMIT_BYTES)).as_bytes()).unwrap();
        assert_eq!(core.text(DESCRIPTION).unwrap().len(), DESCRIPTION_LIMIT_BYTES);
        let mut core = Core::default();
        let refused = (0..1000).find_map(|_| core.add("requires_dist", &"x".repeat(1000)).err());
        assert_eq!(refused.unwrap().code(), crate::error::Code::TooLarge);
    }
}
