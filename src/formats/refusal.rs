//! How the protocols refuse: one table, one line for people, one body for programs. Invariant: who gave no credentials reads the
//! class of a rule and what to do, never a rule's name or a reviewer's words; the line is ASCII, one line, at most 200 characters.

use serde_json::{Map, Value};

use crate::domain::access::{Caller, Permit, Read};
use crate::domain::candidate::{Decision, Reason};
use crate::domain::name::PackageName;
use crate::domain::quarantine::QuarantineStatus;
use crate::domain::visibility::Standing;
use crate::error::{Code, Error};
use crate::http::{FailContext, Head, Method, Reply, StatusCode, header, reason_phrase};
use crate::registry::Registry;

/// Characters of the one line.
const LINE_LIMIT: usize = 200;
/// Characters of it that the name of the thing may take.
const NAME_LIMIT: usize = 60;
/// Characters of a version that it recommends; longer ones are left out.
const ALTERNATIVE_LIMIT: usize = 40;
/// The member that names a version to use instead.
const ALTERNATIVE: &str = "alternative";

/// Who reads a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anybody.
    Anonymous,
    /// Somebody whose credentials were accepted.
    Authenticated,
}

impl Audience {
    /// The audience of what this caller is told.
    #[must_use]
    pub fn of(caller: &Caller) -> Audience {
        if caller.is_authenticated() { Audience::Authenticated } else { Audience::Anonymous }
    }

    /// The audience of a request that a handler refused: credentials that are no good are refused before any handler runs.
    fn of_head(head: &Head) -> Audience {
        if head.headers().contains_key(header::AUTHORIZATION) { Audience::Authenticated } else { Audience::Anonymous }
    }
}

/// Something withheld, and what may be told of it.
#[derive(Debug, Clone)]
pub struct Withholding {
    what: String,
    status: QuarantineStatus,
    quarantine_id: Option<String>,
    reasons: Vec<Reason>,
    alternative: Option<String>,
}

impl Withholding {
    /// What is to tell of `what`, such as `demo 2.0.0`, that stands so; `alternative` is a version to use instead.
    #[must_use]
    pub fn new(what: &str, standing: &Standing, alternative: Option<&str>) -> Withholding {
        let hold = standing.hold.as_ref();
        let status = standing.state.as_str().parse().unwrap_or(QuarantineStatus::Quarantined);
        let reasons = hold.map(|hold| hold.reasons.clone()).unwrap_or_default();
        let parts = Withholding::of_parts(what, status, hold.map(|hold| hold.quarantine_id.to_string()), reasons);
        Withholding { alternative: alternative.map(str::to_owned), ..parts }
    }

    pub(super) fn of_parts(what: &str, status: QuarantineStatus, quarantine_id: Option<String>, reasons: Vec<Reason>) -> Withholding {
        Withholding { what: what.to_owned(), status, quarantine_id, reasons, alternative: None }
    }

    /// The same out of the refusal that the readers' door gave; `None` for every other error.
    fn of(error: &Error) -> Option<Withholding> {
        if ![Code::QuarantinedVersion, Code::QuarantinedBlob].contains(&error.code()) {
            return None;
        }
        let text = |member: &str| error.members().get(member).and_then(Value::as_str);
        let status = text("status").and_then(|status| status.parse().ok()).unwrap_or(QuarantineStatus::Quarantined);
        // What stands before the first colon names the thing and says that it is withheld; the reasons come after it.
        let said = error.message().split(": ").next().unwrap_or_default();
        let what = [" is quarantined", " was rejected", " is rejected"].iter().find_map(|word| said.strip_suffix(word)).unwrap_or(said);
        let reasons = error.members().get("reasons").cloned().and_then(|reasons| serde_json::from_value(reasons).ok());
        Some(Withholding {
            what: what.to_owned(),
            status,
            quarantine_id: text("quarantineId").map(str::to_owned),
            reasons: reasons.unwrap_or_default(),
            alternative: text(ALTERNATIVE).map(str::to_owned),
        })
    }

    /// The one line: what, why, and what to do.
    #[must_use]
    pub fn line(&self, audience: Audience) -> String {
        let word = match self.status {
            QuarantineStatus::Rejected => "rejected",
            QuarantineStatus::Quarantined | QuarantineStatus::Released => "quarantined",
        };
        let beginning = format!("{} {word}: ", one_line(&self.what, NAME_LIMIT));
        let end = format!(". {}", self.advice());
        let room = LINE_LIMIT.saturating_sub(beginning.len() + end.len());
        one_line(&format!("{beginning}{}{end}", one_line(&self.why(audience), room)), LINE_LIMIT)
    }

    fn why(&self, audience: Audience) -> String {
        match audience {
            Audience::Authenticated if !self.reasons.is_empty() => {
                self.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
            }
            Audience::Authenticated | Audience::Anonymous => self.class().to_owned(),
        }
    }

    /// What kind of reason it is, without the words of a rule or a person.
    fn class(&self) -> &'static str {
        let of_rule = |rule: &str| self.reasons.iter().any(|reason| reason.rule == rule);
        if self.status == QuarantineStatus::Rejected {
            "a reviewer refused it"
        } else if of_rule("manual") {
            "a reviewer holds it"
        } else if of_rule("hint") {
            "a scanner's finding holds it"
        } else if self.reasons.iter().any(|reason| reason.decision == Decision::Deny) {
            "the policy forbids it"
        } else {
            "the policy holds it for review"
        }
    }

    fn advice(&self) -> String {
        let instead =
            self.alternative.as_ref().filter(|version| version.len() <= ALTERNATIVE_LIMIT).map(|version| format!("Use {version}"));
        let ask = match (self.status, &self.quarantine_id) {
            (QuarantineStatus::Rejected, _) => return instead.unwrap_or_else(|| "Use another version".to_owned()),
            (QuarantineStatus::Quarantined | QuarantineStatus::Released, Some(id)) => format!("sk a reviewer to release {id}"),
            (QuarantineStatus::Quarantined | QuarantineStatus::Released, None) => "sk a reviewer of the repo".to_owned(),
        };
        instead.map_or_else(|| format!("A{ask}"), |instead| format!("{instead} or a{ask}"))
    }

    fn members(&self, audience: Audience) -> Map<String, Value> {
        let state = match self.status {
            QuarantineStatus::Rejected => "rejected",
            QuarantineStatus::Quarantined | QuarantineStatus::Released => "held",
        };
        let mut members = Map::from_iter([("state".to_owned(), Value::from(state))]);
        let told = [("quarantineId", &self.quarantine_id), (ALTERNATIVE, &self.alternative)];
        members.extend(told.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name.to_owned(), value.into()))));
        if audience == Audience::Authenticated {
            members.insert("reasons".to_owned(), serde_json::to_value(&self.reasons).unwrap_or_default());
        }
        members
    }
}

/// The same error; where it refuses something withheld, with the newest visible version of the package to use instead. Blocks.
#[must_use]
pub fn explained(registry: &Registry, permit: &Permit<Read>, package: &PackageName, error: Error) -> Error {
    if Withholding::of(&error).is_none() {
        return error;
    }
    match registry.resolve_latest(permit, package) {
        Ok(latest) => error.with(ALTERNATIVE, latest.coordinates.version()),
        Err(_) => error,
    }
}

/// The one line that says for `audience` why something was refused.
#[must_use]
pub fn line(error: &Error, audience: Audience) -> String {
    match Withholding::of(error) {
        Some(withholding) => withholding.line(audience),
        None => one_line(error.message(), LINE_LIMIT),
    }
}

/// The dialect of the protocols without an error form of their own: `application/problem+json` (RFC 9457), and the one line as
/// reason phrase, which is all that some clients show.
#[must_use]
pub fn problem(error: &Error, context: &FailContext<'_>) -> Reply {
    let audience = Audience::of_head(context.head);
    let (status, code) = answer(error.code(), context.head.method());
    let line = line(error, audience);
    let withholding = Withholding::of(error);
    let mut body = match &withholding {
        Some(withholding) => withholding.members(audience),
        None => error.members().clone(),
    };
    if error.code() == Code::PolicyDenied {
        body.insert("state".to_owned(), "denied".into());
    }
    let detail = if withholding.is_some() { line.clone() } else { error.message().to_owned() };
    let said = [
        ("type", format!("urn:artifortress:{}", code.replace('_', "-"))),
        ("title", title(error.code(), withholding.as_ref()).to_owned()),
        ("detail", detail.clone()),
        ("error", detail),
        ("code", code.to_owned()),
        ("requestId", context.request_id.to_string()),
    ];
    body.extend(said.map(|(name, text)| (name.to_owned(), Value::from(text))));
    body.insert("status".to_owned(), status.as_u16().into());
    Reply::bytes("application/problem+json", Value::Object(body).to_string()).with_status(status).with_reason(reason_phrase(&line))
}

/// The status and the code of a refusal. A policy that could not be asked refuses a read like a hold does: a 503 makes clients try
/// again, or break.
fn answer(code: Code, method: &Method) -> (StatusCode, &'static str) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if reads && [Code::PolicyTimeout, Code::PolicyError].contains(&code) {
        return (StatusCode::LOCKED, "policy_unavailable");
    }
    (StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code.as_str())
}

/// A few words, as clients show them before the detail.
fn title(code: Code, withholding: Option<&Withholding>) -> &'static str {
    match code {
        Code::QuarantinedBlob | Code::QuarantinedVersion => match withholding.map(|withholding| withholding.status) {
            Some(QuarantineStatus::Rejected) => "Rejected",
            Some(QuarantineStatus::Quarantined | QuarantineStatus::Released) | None => "Quarantined",
        },
        Code::PolicyDenied => "Denied by policy",
        Code::PolicyTimeout | Code::PolicyError => "Policy unavailable",
        Code::BadRequest | Code::BadPolicy => "Bad request",
        Code::MethodNotAllowed => "Method not allowed",
        Code::RequestTimeout => "Request timeout",
        Code::InvalidRange => "Invalid range",
        Code::Unauthorized => "Unauthorized",
        Code::Forbidden => "Forbidden",
        Code::NotFound => "Not found",
        Code::Conflict | Code::VersionSealed | Code::QuarantineResolved | Code::ArtifactProtected => "Conflict",
        Code::UploadVerificationFailed => "Upload verification failed",
        Code::TooLarge => "Too large",
        Code::TooManyRequests | Code::Unavailable => "Try again later",
        Code::Internal => "Server error",
        Code::InsufficientStorage => "Insufficient storage",
    }
}

/// `text` as one line of visible ASCII, at most `limit` characters; what is cut off shows as dots.
fn one_line(text: &str, limit: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = words.chars().map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' }).collect();
    if line.len() <= limit {
        return line;
    }
    format!("{}...", line[..limit.saturating_sub(3)].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lifecycle::State;
    use crate::domain::time::Time;
    use crate::domain::visibility::{Hold, withheld};

    const ID: &str = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";

    fn standing(state: State, rule: &str, message: &str) -> Standing {
        let status = state.as_str().parse().unwrap();
        let reason = Reason { rule: rule.to_owned(), decision: Decision::Quarantine, message: message.to_owned(), policy: None };
        let hold = Hold { quarantine_id: ID.parse().unwrap(), status, reasons: vec![reason], since: Time::from_unix_ms(0) };
        Standing { state, hold: Some(hold) }
    }

    fn held(rule: &str, message: &str) -> Error {
        withheld(&standing(State::Quarantined, rule, message), Code::QuarantinedVersion, "demo 2.0.0")
    }

    #[test]
    fn the_line_names_the_rule_to_those_with_credentials_only() {
        let error = held("cooldown", "younger than 7 days").with(ALTERNATIVE, "1.0.0");
        let known = line(&error, Audience::Authenticated);
        assert_eq!(
            known,
            format!("demo 2.0.0 quarantined: younger than 7 days (rule cooldown). Use 1.0.0 or ask a reviewer to release {ID}")
        );
        let anybody = line(&error, Audience::Anonymous);
        assert_eq!(anybody, format!("demo 2.0.0 quarantined: the policy holds it for review. Use 1.0.0 or ask a reviewer to release {ID}"));
        assert!(!line(&held("manual", "Bob suspects it"), Audience::Anonymous).contains("Bob"));
    }

    #[test]
    fn the_line_of_an_error_and_of_a_standing_are_the_same() {
        for (state, rule) in [(State::Quarantined, "manual"), (State::Quarantined, "hint"), (State::Rejected, "cooldown")] {
            let standing = standing(state, rule, "words: with a colon");
            let error = withheld(&standing, Code::QuarantinedVersion, "demo 2.0.0").with(ALTERNATIVE, "1.9");
            for audience in [Audience::Anonymous, Audience::Authenticated] {
                assert_eq!(line(&error, audience), Withholding::new("demo 2.0.0", &standing, Some("1.9")).line(audience));
            }
        }
    }

    #[test]
    fn the_line_is_short_ascii_and_keeps_its_advice() {
        let error = held("r", &"überlang\r\nSet-Cookie: a=b ".repeat(50));
        let line = line(&error, Audience::Authenticated);
        assert!((LINE_LIMIT - 5..=LINE_LIMIT).contains(&line.len()), "{line}");
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert!(line.ends_with(&format!("... Ask a reviewer to release {ID}")), "{line}");
        let long = Withholding::new(&"n".repeat(500), &standing(State::Quarantined, "r", "m"), Some(&"9".repeat(ALTERNATIVE_LIMIT)));
        assert!(long.line(Audience::Anonymous).ends_with(&format!("release {ID}")));
    }

    #[test]
    fn a_policy_that_cannot_be_asked_locks_reads_and_stops_writes() {
        for code in [Code::PolicyError, Code::PolicyTimeout] {
            assert_eq!(answer(code, &Method::GET), (StatusCode::LOCKED, "policy_unavailable"));
            assert_eq!(answer(code, &Method::POST), (StatusCode::SERVICE_UNAVAILABLE, code.as_str()));
        }
        for code in Code::ALL {
            assert!(answer(*code, &Method::GET).0.as_u16() != 503 || *code == Code::Unavailable, "{}", code.as_str());
        }
    }
}
