//! Names of entries. Invariant: a name is never used to open anything; it is judged by what the most careless client could make of it:
//! any separator, any case, any way to strip the top directory.

use super::Limits;
use crate::domain::contents::Unreadable;

/// Characters of a path or a script's name that are shown.
const SHOWN_CHARS: usize = 200;

/// The path of an entry.
#[derive(Debug)]
pub(super) struct EntryPath {
    /// For people: cut, and without control characters.
    pub shown: String,
    /// Folded segments, without empty ones and `.`.
    segments: Vec<String>,
    /// How many segments were dropped before the second one.
    is_plain: bool,
}

impl EntryPath {
    /// Reads a name, and says what is wrong with it.
    pub(super) fn read(name: &[u8], limits: &Limits) -> (EntryPath, Option<Unreadable>) {
        if name.len() > limits.path_bytes {
            let shown = shown(&String::from_utf8_lossy(&name[..limits.path_bytes.min(SHOWN_CHARS * 4)]));
            return (EntryPath { shown, segments: Vec::new(), is_plain: false }, Some(Unreadable::TooDeep));
        }
        let text = String::from_utf8_lossy(name);
        let all: Vec<&str> = text.split(['/', '\\']).collect();
        let segments: Vec<String> = all.iter().filter(|segment| !segment.is_empty() && **segment != ".").map(|s| fold(s)).collect();
        let is_plain = all.iter().take(2).all(|segment| !segment.is_empty() && *segment != ".");
        let fault = if std::str::from_utf8(name).is_err() || leads_out(&text, &all) || segments.is_empty() && !is_here(&text) {
            Some(Unreadable::Unsafe)
        } else if segments.len() > limits.path_depth {
            Some(Unreadable::TooDeep)
        } else {
            None
        };
        (EntryPath { shown: shown(&text), segments, is_plain }, fault)
    }

    /// The folded segments.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The folded top directory; `None` for what lies beside it.
    pub(super) fn top(&self) -> Option<&str> {
        if self.segments.len() > 1 { self.segments.first().map(String::as_str) } else { None }
    }

    /// Whether it can be this file of the package itself, once a client has stripped the top directory. `name` is in lower case.
    pub(super) fn is_top_file(&self, name: &str) -> bool {
        match self.segments.as_slice() {
            // Clients that strip what stands before the first slash find it in `.//name`.
            [only] => only == name && !self.is_plain,
            [_, last] => last == name,
            _ => false,
        }
    }

    /// Whether a link of this set stands on the way to it.
    pub(super) fn passes_through(&self, links: &std::collections::BTreeSet<String>) -> bool {
        !links.is_empty() && (1..self.segments.len()).any(|end| links.contains(&self.segments[..end].join("/")))
    }

    /// The folded path.
    pub(super) fn key(&self) -> String {
        self.segments.join("/")
    }

    /// Whether a symbolic link here, to `target`, stays inside the top directory. Steps up may only begin a target: after a segment
    /// that may be a link itself, nobody knows where they lead.
    pub(super) fn keeps_link_inside(&self, target: &[u8], limits: &Limits) -> bool {
        let Ok(text) = std::str::from_utf8(target) else { return false };
        let all: Vec<&str> = text.split(['/', '\\']).collect();
        let ups = all.iter().take_while(|segment| **segment == "..").count();
        let rest = all[ups..].join("/");
        target.len() <= limits.path_bytes && ups + 2 <= self.segments.len() && !leads_out(&rest, &all[ups..])
    }
}

/// Whether a name is absolute, has a drive, a step up, or a character that no name has.
fn leads_out(text: &str, segments: &[&str]) -> bool {
    let has_drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    text.starts_with(['/', '\\']) || has_drive || segments.contains(&"..") || text.chars().any(char::is_control)
}

fn is_here(text: &str) -> bool {
    matches!(text, "." | "./")
}

/// The same for all names that some file system takes for one.
fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_uppercase().to_lowercase() }
}

/// A text for people: cut, and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> (EntryPath, Option<Unreadable>) {
        EntryPath::read(name.as_bytes(), &Limits::default())
    }

    #[test]
    fn names_that_lead_out_or_hide_are_unsafe() {
        for name in ["/etc/passwd", "\\x", "C:\\x", "c:x", "a/../b", "..", "a\\..\\b", "a\0b", "a\nb", "", "//", "a/b/..\\..\\..\\c"] {
            assert_eq!(read(name).1, Some(Unreadable::Unsafe), "{name:?}");
        }
        assert_eq!(EntryPath::read(b"a\xff", &Limits::default()).1, Some(Unreadable::Unsafe));
        for name in ["a/b", "./a", ".", "./", "a/..b/c...", "a b/ü"] {
            assert_eq!(read(name).1, None, "{name:?}");
        }
    }

    #[test]
    fn long_and_deep_names_are_too_deep() {
        assert_eq!(read(&"a/".repeat(64)).1, None);
        assert_eq!(read(&"a/".repeat(65)).1, Some(Unreadable::TooDeep));
        assert_eq!(read(&"a".repeat(4097)).1, Some(Unreadable::TooDeep));
    }

    #[test]
    fn a_top_file_is_found_however_a_client_strips_and_folds() {
        for name in [
            "package/package.json",
            "x/Package.JSON",
            "./package/package.json",
            ".//package.json",
            "x\\package.json",
            "x/pac\u{212a}age.json",
        ] {
            assert!(read(name).0.is_top_file("package.json"), "{name}");
        }
        for name in ["package.json", "a/b/package.json", "a/package.json5", ""] {
            assert!(!read(name).0.is_top_file("package.json"), "{name}");
        }
    }

    #[test]
    fn a_link_stays_inside_or_it_does_not() {
        let limits = Limits::default();
        let stays = |name: &str, target: &str| read(name).0.keeps_link_inside(target.as_bytes(), &limits);
        assert!(stays("demo/a/b", "c") && stays("demo/a/b", "../c/d"));
        for target in ["../../c", "/c", "c/../d", "..\\..\\c", "C:\\x", "a\0"] {
            assert!(!stays("demo/a/b", target), "{target}");
        }
        assert!(!stays("demo/b", "../c"));
    }
}
