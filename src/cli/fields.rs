//! Members of a server's JSON. Invariant: every text taken from an answer is made fit for a terminal here, and what is absent or of another
//! kind is `None`: an older or newer server is shown as far as it is understood.

use serde_json::Value;

use super::terminal::plain;
use crate::domain::time::Time;

/// Signs of one text that are kept.
const TEXT_LIMIT: usize = 2000;

/// Somebody else's words: on one line, without control characters, and of bounded length.
pub(super) fn words(text: &str) -> String {
    plain(text).chars().take(TEXT_LIMIT).collect()
}

/// The text at a pointer such as `/search/state`.
pub(super) fn text(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer)?.as_str().map(words)
}

/// The count at a pointer.
pub(super) fn count(json: &Value, pointer: &str) -> Option<u64> {
    json.pointer(pointer)?.as_u64()
}

/// The truth at a pointer.
pub(super) fn truth(json: &Value, pointer: &str) -> Option<bool> {
    json.pointer(pointer)?.as_bool()
}

/// The moment at a pointer.
pub(super) fn moment(json: &Value, pointer: &str) -> Option<Time> {
    json.pointer(pointer)?.as_str()?.parse().ok()
}

/// The items of a list at a pointer; none when there is no list.
pub(super) fn list<'a>(json: &'a Value, pointer: &str) -> &'a [Value] {
    json.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_or_of_another_kind_is_nothing() {
        let json = serde_json::json!({"a": {"b": "x\u{1b}[2J"}, "n": 3, "m": -1, "t": "2026-01-31T12:00:00Z", "u": "yesterday", "l": [1]});
        assert_eq!(text(&json, "/a/b").unwrap(), "x\u{fffd}[2J");
        assert_eq!((text(&json, "/n"), text(&json, "/none/b")), (None, None));
        assert_eq!((count(&json, "/n"), count(&json, "/m"), count(&json, "/a")), (Some(3), None, None));
        assert!(moment(&json, "/t").is_some() && moment(&json, "/u").is_none());
        assert_eq!((list(&json, "/l").len(), list(&json, "/a").len(), truth(&json, "/n")), (1, 0, None));
        assert_eq!(words(&"x".repeat(9000)).len(), TEXT_LIMIT);
    }
}
