//! One rule of a policy and its annotations. Invariant: a `Rule` has a well-formed id that is not the server's own, and its
//! message is fit to be shown on one line.

use serde::Serialize;

use super::fault::Found;
use super::scan::Statement;
use crate::domain::candidate::Decision;
use crate::domain::lifecycle::text_enum;

const ID_LIMIT_BYTES: usize = 64;
const MESSAGE_LIMIT_BYTES: usize = 512;
const KNOWN: &[&str] = &["id", "decision", "mode", "message"];
/// Ids under which the server itself gives reasons.
const RESERVED_IDS: &[&str] = &["manual", "hint"];

text_enum! {
    /// Whether a rule decides.
    Mode "mode" {
        /// It decides.
        Enforce "enforce",
        /// It is only recorded when it fires.
        Observe "observe",
    }
}

/// One rule, as its annotations describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its `@id`, unique in its document: 1 to 64 of A-Z a-z 0-9 . _ -
    pub id: String,
    /// Its `@decision`: deny or quarantine.
    pub decision: Decision,
    /// Its `@mode`.
    pub mode: Mode,
    /// Its `@message`, or a general one.
    pub message: String,
    /// The line it begins at, from 1.
    pub line: usize,
}

/// Reads the annotations of one parsed statement; every fault is added to `faults`.
pub(super) fn read<'a>(
    statement: &Statement,
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    faults: &mut Vec<Found>,
) -> Option<Rule> {
    let before = faults.len();
    let offset = |name: &str| statement.annotations.iter().find(|(known, _)| known == name).map_or(statement.start, |(_, at)| *at);
    let mut id = None;
    let mut decision = Decision::Deny;
    let mut mode = Mode::Enforce;
    let mut message = None;
    for (name, value) in annotations {
        let checked = match name {
            "id" => check_id(value).map(|()| id = Some(value.to_owned())),
            "decision" => read_decision(value).map(|read| decision = read),
            "mode" => read_mode(value).map(|read| mode = read),
            "message" => check_message(value).map(|()| message = Some(value.to_owned())),
            _ => Err((format!("the annotation @{} is unknown", shown(name)), annotation_help(name))),
        };
        if let Err((fault, help)) = checked {
            faults.push(Found::at(offset(name), fault).helped(help));
        }
    }
    if id.is_none() && !statement.annotations.iter().any(|(name, _)| name == "id") {
        faults.push(
            Found::at(statement.effect, "this rule has no @id")
                .helped("write @id(\"a-short-name\") before forbid; it is shown when the rule fires"),
        );
    }
    if faults.len() > before {
        return None;
    }
    let message = message.unwrap_or_else(|| match decision {
        Decision::Quarantine => "this must be reviewed before it is visible".to_owned(),
        Decision::Deny | Decision::Allow => "this is not allowed here".to_owned(),
    });
    Some(Rule { id: id?, decision, mode, message, line: statement.line })
}

type Checked<T> = Result<T, (String, String)>;

fn check_id(id: &str) -> Checked<()> {
    let legal = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if id.is_empty() || id.len() > ID_LIMIT_BYTES || !legal {
        return Err((
            "this @id is not well formed".to_owned(),
            format!("an id has 1 to {ID_LIMIT_BYTES} of A-Z a-z 0-9 . _ -, such as @id(\"cooldown\")"),
        ));
    }
    if RESERVED_IDS.contains(&id) {
        return Err((format!("the id {id} is the server's own"), "choose another id".to_owned()));
    }
    Ok(())
}

fn read_decision(value: &str) -> Checked<Decision> {
    match value {
        "deny" => Ok(Decision::Deny),
        "quarantine" => Ok(Decision::Quarantine),
        "allow" => Err((
            "a rule cannot allow".to_owned(),
            "everything is allowed that no rule forbids; write the exception as unless { … }".to_owned(),
        )),
        _ => Err((
            format!("the decision {} is unknown", shown(value)),
            suggestion(value, &["deny", "quarantine"], "write @decision(\"deny\") or @decision(\"quarantine\")"),
        )),
    }
}

fn read_mode(value: &str) -> Checked<Mode> {
    value.parse().map_err(|_| {
        (
            format!("the mode {} is unknown", shown(value)),
            suggestion(value, &["enforce", "observe"], "write @mode(\"enforce\") or @mode(\"observe\")"),
        )
    })
}

fn check_message(message: &str) -> Checked<()> {
    if message.trim().is_empty() || message.len() > MESSAGE_LIMIT_BYTES {
        return Err(("this @message is empty or too long".to_owned(), format!("a message has 1 to {MESSAGE_LIMIT_BYTES} bytes")));
    }
    let misleading = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if message.chars().any(misleading) {
        return Err(("this @message has a control character".to_owned(), "write the message on one line".to_owned()));
    }
    Ok(())
}

fn annotation_help(name: &str) -> String {
    suggestion(name, KNOWN, "known are @id, @decision, @mode and @message")
}

fn suggestion(word: &str, known: &[&str], otherwise: &str) -> String {
    let word: String = word.chars().take(ID_LIMIT_BYTES).collect();
    let closest = known.iter().map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate)).min();
    match closest {
        Some((distance, candidate)) if distance <= 3 => format!("did you mean {candidate}? {otherwise}"),
        Some(_) | None => otherwise.to_owned(),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(ID_LIMIT_BYTES).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
