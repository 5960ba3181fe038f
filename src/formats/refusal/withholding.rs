//! What may be told of something withheld. Invariant: who gave no credentials reads the class of a rule, the date and what to do, never a
//! rule's name or a reviewer's words; the line is ASCII, one line, at most 200 characters, and keeps its advice whatever else is cut.

use serde_json::{Map, Value};

use super::one_line;
use crate::domain::access::Caller;
use crate::domain::candidate::{Decision, Reason};
use crate::domain::quarantine::QuarantineStatus;
use crate::domain::time::Time;
use crate::domain::visibility::Standing;
use crate::error::{Code, Error};
use crate::http::{Head, header};

/// Characters of the one line.
pub(super) const LINE_LIMIT: usize = 200;
/// Characters of it that the name of the thing may take.
const NAME_LIMIT: usize = 60;
/// Characters of a version that it recommends; longer ones are left out.
const ALTERNATIVE_LIMIT: usize = 40;
/// Characters of the address of a review page; a longer one is left out.
const PAGE_LIMIT: usize = 90;
/// The member that names a version to use instead.
pub(super) const ALTERNATIVE: &str = "alternative";
/// A dash of an id in an address.
const ESCAPE: &str = "%2D";
const PURL: &str = "purl";
const OPENS_AT: &str = "opensAt";
const MINUTE_MS: i64 = 60_000;

/// Who reads a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    pub(super) fn of_head(head: &Head) -> Audience {
        if head.headers().contains_key(header::AUTHORIZATION) { Audience::Authenticated } else { Audience::Anonymous }
    }
}

/// Something withheld, and what may be told of it.
#[derive(Debug, Clone)]
pub struct Withholding {
    what: String,
    purl: Option<String>,
    status: QuarantineStatus,
    quarantine_id: Option<String>,
    reasons: Vec<Reason>,
    opens_at: Option<Time>,
    alternative: Option<String>,
    base_url: Option<String>,
}

impl Withholding {
    /// What is to tell of `what`, such as `demo 2.0.0`, that stands so; `alternative` is a version to use instead.
    #[must_use]
    pub fn new(what: &str, standing: &Standing, alternative: Option<&str>) -> Withholding {
        let hold = standing.hold.as_ref();
        Withholding {
            what: what.to_owned(),
            purl: None,
            status: standing.state.as_str().parse().unwrap_or(QuarantineStatus::Quarantined),
            quarantine_id: hold.map(|hold| hold.quarantine_id.to_string()),
            reasons: hold.map(|hold| hold.reasons.clone()).unwrap_or_default(),
            opens_at: hold.and_then(|hold| hold.opens_at),
            alternative: alternative.map(str::to_owned),
            base_url: None,
        }
    }

    /// A hold that has just been made.
    pub(crate) fn at_publish(what: &str, quarantine_id: String, reasons: Vec<Reason>, opens_at: Option<Time>) -> Withholding {
        Withholding {
            what: what.to_owned(),
            purl: None,
            status: QuarantineStatus::Quarantined,
            quarantine_id: Some(quarantine_id),
            reasons,
            opens_at,
            alternative: None,
            base_url: None,
        }
    }

    /// The same out of the refusal that the readers' door gave; `None` for every other error.
    pub(super) fn of(error: &Error) -> Option<Withholding> {
        if ![Code::QuarantinedVersion, Code::QuarantinedBlob].contains(&error.code()) {
            return None;
        }
        let text = |member: &str| error.members().get(member).and_then(Value::as_str);
        // What stands before the first colon names the thing and says that it is withheld; the reasons come after it.
        let said = error.message().split(": ").next().unwrap_or_default();
        let what = [" is quarantined", " was rejected", " is rejected"].iter().find_map(|word| said.strip_suffix(word)).unwrap_or(said);
        let reasons = error.members().get("reasons").cloned().and_then(|reasons| serde_json::from_value(reasons).ok());
        Some(Withholding {
            what: what.to_owned(),
            purl: text(PURL).map(str::to_owned),
            status: text("status").and_then(|status| status.parse().ok()).unwrap_or(QuarantineStatus::Quarantined),
            quarantine_id: text("quarantineId").map(str::to_owned),
            reasons: reasons.unwrap_or_default(),
            opens_at: text(OPENS_AT).and_then(|at| at.parse().ok()),
            alternative: text(ALTERNATIVE).map(str::to_owned),
            base_url: None,
        })
    }

    /// The same, naming its page on the server at `base_url`, such as `http://localhost:8466`.
    #[must_use]
    pub fn on(self, base_url: &str) -> Withholding {
        Withholding { base_url: Some(base_url.to_owned()), ..self }
    }

    /// The one line: what, why, until when, and what to do.
    #[must_use]
    pub fn line(&self, audience: Audience) -> String {
        self.line_within(LINE_LIMIT, audience)
    }

    fn line_within(&self, limit: usize, audience: Audience) -> String {
        let word = match self.status {
            QuarantineStatus::Rejected => "rejected",
            QuarantineStatus::Quarantined | QuarantineStatus::Released => "quarantined",
        };
        let beginning = format!("{} {word}: ", one_line(&self.what, NAME_LIMIT));
        let end = format!(".{} {}", self.opening(), self.advice());
        let room = limit.saturating_sub(beginning.len() + end.len());
        one_line(&format!("{beginning}{}{end}", one_line(&self.why(audience), room)), limit)
    }

    /// The same for npm, which blots out whatever looks like an id: one of its signs is written in another way, which addresses allow.
    #[must_use]
    pub fn line_of_npm(&self, audience: Audience) -> String {
        let line = self.line_within(LINE_LIMIT - ESCAPE.len(), audience);
        match (&self.quarantine_id, self.page()) {
            (Some(id), Some(page)) => line.replace(&page, &page.replace(id.as_str(), &id.replacen('-', ESCAPE, 1))),
            (Some(_) | None, _) => line,
        }
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

    /// ` Opens 2026-11-29 10:00Z.`, to the minute in which it is open for certain; nothing when no rule says so.
    fn opening(&self) -> String {
        let Some(at) = self.opens_at.filter(|_| self.status == QuarantineStatus::Quarantined) else { return String::new() };
        let text = at.plus_ms(MINUTE_MS - 1).to_string();
        match (text.get(..10), text.get(11..16)) {
            (Some(day), Some(minute)) => format!(" Opens {day} {minute}Z."),
            _ => String::new(),
        }
    }

    fn advice(&self) -> String {
        let instead =
            self.alternative.as_ref().filter(|version| version.len() <= ALTERNATIVE_LIMIT).map(|version| format!("Use {version}"));
        let ask = match (self.status, &self.quarantine_id) {
            (QuarantineStatus::Rejected, _) => return instead.unwrap_or_else(|| "Use another version".to_owned()),
            (QuarantineStatus::Quarantined | QuarantineStatus::Released, Some(id)) => match self.page() {
                Some(page) => format!("sk: {page}"),
                None => format!("sk a reviewer to release {id}"),
            },
            (QuarantineStatus::Quarantined | QuarantineStatus::Released, None) => "sk a reviewer of the repo".to_owned(),
        };
        instead.map_or_else(|| format!("A{ask}"), |instead| format!("{instead} or a{ask}"))
    }

    /// The address of the page that tells of the hold.
    fn page(&self) -> Option<String> {
        let page = format!("{}/q/{}", self.base_url.as_ref()?, self.quarantine_id.as_ref()?);
        (page.len() <= PAGE_LIMIT).then_some(page)
    }

    /// A word or two that head the line.
    pub(super) fn title(&self) -> &'static str {
        match self.status {
            QuarantineStatus::Rejected => "Rejected",
            QuarantineStatus::Quarantined | QuarantineStatus::Released => "Quarantined",
        }
    }

    /// What programs read beside the line.
    pub(super) fn members(&self, audience: Audience) -> Map<String, Value> {
        let state = match self.status {
            QuarantineStatus::Rejected => "rejected",
            QuarantineStatus::Quarantined | QuarantineStatus::Released => "held",
        };
        let mut members = Map::from_iter([("state".to_owned(), Value::from(state))]);
        let told = [
            (PURL, self.purl.clone()),
            ("quarantineId", self.quarantine_id.clone()),
            (OPENS_AT, self.opens_at.map(|at| at.to_string())),
            (ALTERNATIVE, self.alternative.clone()),
            ("reviewUrl", self.page()),
        ];
        members.extend(told.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value.into()))));
        if audience == Audience::Authenticated {
            members.insert("reasons".to_owned(), serde_json::to_value(&self.reasons).unwrap_or_default());
            members.extend(self.reasons.first().map(|reason| ("rule".to_owned(), reason.rule.clone().into())));
        }
        members
    }
}
