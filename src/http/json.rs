//! JSON and query strings from clients. Invariant: a refusal names the member or parameter in words; the parser's own words and types stay inside.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{Error, Result};

/// The most characters of a client's own value that a message repeats.
const QUOTE_LIMIT_CHARACTERS: usize = 80;

/// Reads `bytes` as JSON of the shape `T`. Depth is bounded by the parser (128 levels).
///
/// # Errors
/// `bad_request` naming the member, or line and column where the text is no JSON.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::bad_request("the body is not UTF-8; JSON must be"))?;
    if text.trim_ascii().is_empty() {
        return Err(Error::bad_request("the body is empty; JSON is expected"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
        let path = path_text(fault.path());
        json_fault("member", path.as_deref(), fault.inner())
    })?;
    reader.end().map_err(|fault| json_fault("member", None, &fault))?;
    Ok(value)
}

/// Reads a query string (`application/x-www-form-urlencoded`) as the shape `T`.
///
/// # Errors
/// `bad_request` naming the parameter.
pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    if percent_encoding::percent_decode_str(query).decode_utf8().is_err() {
        return Err(Error::bad_request("the query string does not decode to UTF-8"));
    }
    let reader = serde_html_form::Deserializer::from_bytes(query.as_bytes());
    serde_path_to_error::deserialize(reader).map_err(|fault| {
        let path = path_text(fault.path());
        Error::bad_request(data_fault("parameter", path.as_deref(), &fault.inner().to_string()))
    })
}

fn path_text(path: &serde_path_to_error::Path) -> Option<String> {
    let text = path.to_string();
    (text != "." && !text.contains('?')).then(|| shortened(&text))
}

fn json_fault(kind: &str, path: Option<&str>, fault: &serde_json::Error) -> Error {
    let text = fault.to_string();
    let place = format!(" at line {} column {}", fault.line(), fault.column());
    let bare = text.strip_suffix(&place).unwrap_or(&text);
    Error::bad_request(match fault.classify() {
        Category::Data => data_fault(kind, path, bare),
        Category::Eof => "the body ends in the middle of its JSON".to_owned(),
        Category::Syntax | Category::Io if bare == "recursion limit exceeded" => {
            "the JSON is nested too deeply; 127 levels are the most".to_owned()
        }
        Category::Syntax | Category::Io => format!("the body is not valid JSON (line {}, column {}): {bare}", fault.line(), fault.column()),
    })
}

/// Says in words for people what a deserializer found wrong.
fn data_fault(kind: &str, path: Option<&str>, text: &str) -> String {
    if let Some((name, expected)) = text.strip_prefix("unknown field ").map(split_expected) {
        let name = quoted_end(name, path);
        return match expected {
            Some(known) if known.starts_with('`') || known.starts_with("one of") => {
                format!("unknown {kind} {name}; known: {}", known.trim_start_matches("one of "))
            }
            Some(_) | None => format!("unknown {kind} {name}"),
        };
    }
    if let Some(name) = text.strip_prefix("missing field ") {
        let parent = path.filter(|path| *path != name.trim_matches('`')).map(|path| format!(" in {path}")).unwrap_or_default();
        return format!("the {kind} {name} is missing{parent}");
    }
    if let Some(name) = text.strip_prefix("duplicate field ") {
        return format!("the {kind} {name} is given twice");
    }
    let subject = path.map_or_else(|| "the body".to_owned(), |path| format!("the {kind} `{path}`"));
    if let Some((found, expected)) = text.strip_prefix("invalid type: ").map(split_expected) {
        return format!("{subject} has the wrong type: {} where {} is expected", shortened(found), plain_type(expected));
    }
    if let Some((found, expected)) = text.strip_prefix("invalid value: ").map(split_expected) {
        return format!("{subject} has a value that is not allowed: {} where {} is expected", shortened(found), plain_type(expected));
    }
    if text.starts_with("invalid length ") && text.contains("struct ") {
        return format!("{subject} has the wrong type: a list where an object is expected");
    }
    if text == "unsupported value" {
        return format!("{subject} is given more than once");
    }
    if let Some((found, expected)) = text.strip_prefix("unknown variant ").map(split_expected) {
        return format!(
            "{subject} cannot be {}; allowed: {}",
            shortened(found),
            expected.unwrap_or_default().trim_start_matches("one of ")
        );
    }
    if text.contains("digit found in string")
        || text.contains("empty string")
        || text.starts_with("number too")
        || text.starts_with("invalid float")
    {
        return format!("{subject} must be a number in its range");
    }
    if text.starts_with("provided string was not") {
        return format!("{subject} must be true or false");
    }
    // Our own types say at length what they want; only what a client wrote is cut short.
    format!("{subject}: {text}")
}

fn split_expected(text: &str) -> (&str, Option<&str>) {
    text.split_once(", expected ").map_or((text, None), |(found, expected)| (found, Some(expected)))
}

/// The unknown name, with the path that leads to it where it is nested.
fn quoted_end(name: &str, path: Option<&str>) -> String {
    match path {
        Some(path) if path.contains('.') || path.contains('[') => format!("`{path}`"),
        Some(_) | None => shortened(name),
    }
}

/// The expectation without the names of our own types.
fn plain_type(expected: Option<&str>) -> String {
    let Some(expected) = expected else { return "something else".to_owned() };
    let word = expected.split_whitespace().next().unwrap_or_default();
    match word {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 up, in its range".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number in its range".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "struct" | "map" => "an object".to_owned(),
        "sequence" | "tuple" | "an" if expected.contains("sequence") || expected.contains("tuple") => "a list".to_owned(),
        "a" if expected == "a sequence" => "a list".to_owned(),
        "a" if expected == "a map" => "an object".to_owned(),
        "enum" => "a name from its list".to_owned(),
        _ => shortened(expected),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= QUOTE_LIMIT_CHARACTERS {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(QUOTE_LIMIT_CHARACTERS).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::RepoKey;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only the parsing is tested")]
    struct Form {
        repo_key: RepoKey,
        ttl_seconds: Option<u32>,
        entries: Option<Vec<Entry>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only the parsing is tested")]
    struct Entry {
        size_bytes: u64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Page {
        limit: Option<u32>,
        cursor: Option<String>,
        publish: Option<String>,
    }

    fn refusal(text: &str) -> String {
        let error = parse::<Form>(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), crate::error::Code::BadRequest);
        error.message().to_owned()
    }

    #[test]
    fn a_refusal_names_the_member_in_words() {
        let cases = [
            (r#"{"repoKey":"a","repokey":"b"}"#, "unknown member `repokey`; known: `repoKey`, `ttlSeconds`, `entries`"),
            (r#"{"repoKey":"a","entries":[{"sizeBytes":1,"size":2}]}"#, "unknown member `entries[0].size`; known: `sizeBytes`"),
            (r#"{}"#, "the member `repoKey` is missing"),
            (r#"{"repoKey":"a","entries":[{}]}"#, "the member `sizeBytes` is missing in entries[0]"),
            (r#"{"repoKey":"a","repoKey":"a"}"#, "the member `repoKey` is given twice"),
            (
                r#"{"repoKey":"a","ttlSeconds":"x"}"#,
                "the member `ttlSeconds` has the wrong type: string \"x\" where a whole number from 0 up, in its range is expected",
            ),
            (
                r#"{"repoKey":"a","ttlSeconds":-1}"#,
                "the member `ttlSeconds` has a value that is not allowed: integer `-1` where a whole number from 0 up, in its range is expected",
            ),
            (r#"{"repoKey":"a","entries":{}}"#, "the member `entries` has the wrong type: map where a list is expected"),
            (r#"[]"#, "the body has the wrong type: a list where an object is expected"),
            (r#"7"#, "the body has the wrong type: integer `7` where an object is expected"),
            (r#"{"repoKey":"a""#, "the body ends in the middle of its JSON"),
            ("", "the body is empty; JSON is expected"),
        ];
        for (text, expected) in cases {
            assert_eq!(refusal(text), expected, "{text}");
        }
        assert!(refusal(r#"{"repoKey":"NOT A KEY"}"#).starts_with("the member `repoKey`: "));
        assert!(refusal("{\"repoKey\":\"a\"}x").contains("line 1, column 16"));
    }

    #[test]
    fn deep_nesting_and_bad_text_are_refused_not_suffered() {
        let deep = "[".repeat(100_000);
        assert!(parse::<serde_json::Value>(deep.as_bytes()).unwrap_err().message().contains("nested too deeply"));
        assert!(parse::<Form>(b"{\"repoKey\":\"\xff\"}").unwrap_err().message().contains("UTF-8"));
        let long = format!(r#"{{"repoKey":"a","ttlSeconds":"{}"}}"#, "y".repeat(5000));
        assert!(refusal(&long).len() < 300);
    }

    #[test]
    fn a_query_names_the_parameter() {
        let page: Page = parse_query("limit=5&cursor=a%20b+c&publish").unwrap();
        assert_eq!((page.limit, page.cursor.as_deref(), page.publish.as_deref()), (Some(5), Some("a b c"), Some("")));
        for (query, expected) in [
            ("limits=5", "unknown parameter `limits`; known: `limit`, `cursor`, `publish`"),
            ("limit=five", "the parameter `limit` must be a number in its range"),
            ("limit=99999999999", "the parameter `limit` must be a number in its range"),
            ("cursor=a&cursor=b", "the parameter `cursor` is given more than once"),
            ("cursor=%ff", "the query string does not decode to UTF-8"),
        ] {
            assert_eq!(parse_query::<Page>(query).unwrap_err().message(), expected);
        }
    }
}
