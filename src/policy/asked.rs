//! Who asked for what, out of a recorded input: what a re-evaluation asks again. Invariant: facts are not taken from there, since
//! they are gathered anew.

use serde::Deserialize;

use super::evaluate::failure;
use crate::domain::access::Roles;
use crate::domain::candidate::{Action, Decision};
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::domain::roles::Role;
use crate::error::Result;

/// A question without its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The way in.
    pub action: Action,
    /// Who asked.
    pub subject: Subject,
    /// The asker's roles then.
    pub roles: Roles,
    /// The asker's token then.
    pub token_id: Option<TokenId>,
    /// An external scanner's verdict.
    pub hint: Option<Decision>,
}

/// The members of any version's input that tell it.
#[derive(Deserialize)]
struct Recorded {
    action: Action,
    principal: String,
    groups: Vec<Role>,
    hint: Option<Decision>,
    context: RecordedContext,
}

#[derive(Deserialize)]
struct RecordedContext {
    #[serde(default)]
    actor: RecordedActor,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RecordedActor {
    #[serde(default)]
    token_id: String,
}

impl Asked {
    /// The question of a recorded input, of whichever version.
    ///
    /// # Errors
    /// `policy_error` when it cannot be read.
    pub fn read(input: &str) -> Result<Asked> {
        let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| failure("a recorded question", cause);
        let recorded: Recorded = serde_json::from_str(input).map_err(|cause| unreadable(cause.into()))?;
        let subject = match recorded.principal.strip_prefix("system:") {
            Some(part) => Subject::system(part),
            None if recorded.principal == Subject::anonymous().as_str() => Subject::anonymous(),
            None => recorded.principal.parse().map_err(|cause| unreadable(Box::new(cause)))?,
        };
        Ok(Asked {
            action: recorded.action,
            subject,
            roles: recorded.groups.into_iter().collect(),
            // Inputs before version 2 do not tell the token.
            token_id: recorded.context.actor.token_id.parse().ok(),
            hint: recorded.hint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::input::Input;
    use crate::policy::input::tests::candidate;

    #[test]
    fn a_question_is_read_out_of_its_recorded_input() {
        let mut candidate = candidate("pypi", "demo", "1.0");
        candidate.hint = Some(Decision::Quarantine);
        candidate.token_id = Some("0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55".parse().unwrap());
        let asked = Asked::read(&Input::of(&candidate).write().unwrap()).unwrap();
        let expected = Asked {
            action: candidate.action,
            subject: candidate.subject.clone(),
            roles: candidate.roles,
            token_id: candidate.token_id,
            hint: candidate.hint,
        };
        assert_eq!(asked, expected);
        candidate.subject = Subject::system("remote");
        assert_eq!(Asked::read(&Input::of(&candidate).write().unwrap()).unwrap().subject, candidate.subject);
        assert!(Asked::read("{}").is_err());
    }
}
