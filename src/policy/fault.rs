//! What is wrong with a policy text, and where. Invariant: faults are told apart and ordered by their place in the text;
//! lines and columns are worked out only for those that are shown, so that many faults stay cheap.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::{Code, Error};

/// How many faults are shown.
pub(super) const FAULT_LIMIT: usize = 100;
const MESSAGE_LIMIT: usize = 500;

/// One thing wrong with a policy text, as listed in the member `faults`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if the engine knows.
    pub help: Option<String>,
    /// `cases` for a fault of the cases beside the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'static str>,
}

/// A fault at a byte of the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub offset: usize,
    pub message: String,
    pub help: Option<String>,
}

impl Found {
    /// A fault at the byte `offset`.
    pub(super) fn at(offset: usize, message: impl AsRef<str>) -> Found {
        Found { offset, message: shorten(message.as_ref()), help: None }
    }

    /// The same fault with advice.
    pub(super) fn helped(self, help: impl AsRef<str>) -> Found {
        Found { help: Some(shorten(help.as_ref())), ..self }
    }

    fn place(&self, text: &str) -> Fault {
        let mut end = self.offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = text.get(..end).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Fault { line, column, message: self.message.clone(), help: self.help.clone(), file: None }
    }
}

/// The refusal of the policy `text` for these faults; the first hundred are listed.
pub(super) fn refusal(text: &str, found: impl IntoIterator<Item = Found>) -> Error {
    refuse(text, found, "policy was", None)
}

/// The same for the text of its cases.
pub(super) fn refusal_of_cases(text: &str, found: impl IntoIterator<Item = Found>) -> Error {
    refuse(text, found, "cases were", Some("cases"))
}

fn refuse(text: &str, found: impl IntoIterator<Item = Found>, what: &str, file: Option<&'static str>) -> Error {
    let found: BTreeSet<Found> = found.into_iter().collect();
    let faults: Vec<Fault> = found.iter().take(FAULT_LIMIT).map(|found| Fault { file, ..found.place(text) }).collect();
    let message = match faults.first() {
        Some(Fault { line, column, message, help: _, file: _ }) if found.len() == 1 => {
            format!("the {what} refused: line {line}, column {column}: {message}")
        }
        Some(Fault { line, column, message, help: _, file: _ }) => {
            format!("the {what} refused for {} faults; the first is in line {line}, column {column}: {message}", found.len())
        }
        None => format!("the {what} refused"),
    };
    Error::new(Code::BadPolicy, message).with("faults", serde_json::to_value(faults).unwrap_or_default())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
