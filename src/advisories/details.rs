//! What a record says for people: a summary, where to read more, its weaknesses and its vector. Invariant: nothing is refused here and
//! everything is bounded; what is missing or has another form is left out.

use serde_json::Value;

use super::osv::OsvSeverity;
use super::severity::highest_vector;
use crate::domain::advisory::Severity;

/// Characters of a summary.
const SUMMARY_LIMIT: usize = 300;
/// Bytes of an address.
const URL_LIMIT_BYTES: usize = 1_000;
/// Weaknesses of one record.
const WEAKNESSES_LIMIT: usize = 20;

/// What a record says for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// One line; empty when there is none.
    pub summary: String,
    /// Where to read more.
    pub url: Option<String>,
    /// The classes of weakness, such as `CWE-79`.
    pub weaknesses: Vec<String>,
    /// The CVSS vector with the highest score, and that score.
    pub vector: Option<(String, Severity)>,
}

impl Details {
    /// Reads them from a record in the OSV format.
    #[must_use]
    pub fn read(record: &str) -> Details {
        let record: Value = serde_json::from_str(record).unwrap_or_default();
        let words = ["summary", "details"].iter().find_map(|member| record[*member].as_str().and_then(first_line));
        let stated = |value: &Value| serde_json::from_value::<Vec<OsvSeverity>>(value["severity"].clone()).unwrap_or_default();
        let affected = record["affected"].as_array().map(Vec::as_slice).unwrap_or_default();
        let all: Vec<OsvSeverity> = std::iter::once(&record).chain(affected).flat_map(stated).collect();
        let mut weaknesses: Vec<String> = Vec::new();
        for said in std::iter::once(&record).chain(affected).flat_map(weaknesses_of) {
            if weaknesses.len() < WEAKNESSES_LIMIT && !weaknesses.contains(&said) {
                weaknesses.push(said);
            }
        }
        let vector = highest_vector(&all).map(|(severity, vector)| (vector.to_owned(), severity));
        Details { summary: words.unwrap_or_default(), url: address(&record["references"]), weaknesses, vector }
    }
}

/// The first line that says something, without control characters.
fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(|line| line.trim().trim_start_matches('#').trim()).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|sign| !sign.is_control()).take(SUMMARY_LIMIT).collect())
}

fn weaknesses_of(said: &Value) -> Vec<String> {
    let list = |name: &str| said["database_specific"][name].as_array().cloned().unwrap_or_default();
    let ids = list("cwe_ids").into_iter().chain(list("cwes").into_iter().map(|cwe| cwe["cweId"].clone()));
    ids.filter_map(|id| id.as_str().filter(|id| is_weakness(id)).map(str::to_owned)).collect()
}

fn is_weakness(id: &str) -> bool {
    id.strip_prefix("CWE-").is_some_and(|number| (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The advisory itself before whatever else is referred to.
fn address(references: &Value) -> Option<String> {
    let all = references.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let legal = |url: &str| {
        (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= URL_LIMIT_BYTES
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let found = all.filter_map(|reference| Some((reference["type"].as_str()?, reference["url"].as_str().filter(|url| legal(url))?)));
    found.min_by_key(|(kind, _)| *kind != "ADVISORY").map(|(_, url)| url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_record_says_is_read_and_what_is_missing_or_strange_is_left_out() {
        let record = json!({
            "summary": "Prototype\u{1b}[31m pollution", "details": "# More\nlines",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"}],
            "references": [{"type": "WEB", "url": "https://one.example/"}, {"type": "ADVISORY", "url": "https://two.example/"},
                {"type": "ADVISORY", "url": "javascript:alert(1)"}],
            "database_specific": {"cwe_ids": ["CWE-1321", "CWE-1321", "no", 5]},
            "affected": [{"database_specific": {"cwes": [{"cweId": "CWE-506"}]}}],
        });
        let details = Details::read(&record.to_string());
        assert_eq!(details.summary, "Prototype[31m pollution");
        assert_eq!(details.url.as_deref(), Some("https://two.example/"));
        assert_eq!(details.weaknesses, ["CWE-1321", "CWE-506"]);
        assert_eq!(details.vector.unwrap().1.to_string(), "7.2");
        let details = Details::read(&json!({"details": "\n# Bad\nmore", "severity": 7, "references": {}, "affected": null}).to_string());
        assert_eq!(details, Details { summary: "Bad".to_owned(), ..Details::default() });
        assert_eq!(Details::read("no JSON"), Details::default());
    }
}
