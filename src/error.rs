//! The one catalogue of errors: every code a client can receive, its status and its meaning.
//! Invariant: a message is written for the person who reads it; the internal cause is kept apart and only ever logged.

use std::error::Error as StdError;
use std::fmt;

use serde_json::{Map, Value};

/// The result of everything that can be refused or fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! catalogue {
    ($($variant:ident $status:literal $text:literal $meaning:literal;)+) => {
        /// A stable error code of the API, as sent in the member `error`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $meaning] $variant,)+ }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The text sent to clients, such as `not_found`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)+ }
            }

            /// The HTTP status that the JSON API answers with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// One sentence that says when this code is used.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)+ }
            }
        }
    };
}

catalogue! {
    BadRequest 400 "bad_request" "The request cannot be understood; its message names the member or the rule.";
    BadPolicy 400 "bad_policy" "The policy text was refused; `faults` lists line, column, message and help.";
    Unauthorized 401 "unauthorized" "Credentials are missing, unknown, expired or revoked.";
    Forbidden 403 "forbidden" "The caller may see the repo but lacks the role for this action.";
    PolicyDenied 403 "policy_denied" "The policy denies this version; `reasons` lists the rules that fired.";
    NotFound 404 "not_found" "Nothing is here for this caller.";
    MethodNotAllowed 405 "method_not_allowed" "The address exists, the verb does not; `Allow` lists those that do.";
    RequestTimeout 408 "request_timeout" "The request body did not arrive in time.";
    Conflict 409 "conflict" "The current state does not permit this change.";
    VersionSealed 409 "version_sealed" "A version that left the draft state never changes its files or manifest.";
    UploadVerificationFailed 409 "upload_verification_failed" "The bytes received are not the bytes announced.";
    QuarantineResolved 409 "quarantine_resolved" "Somebody already released or rejected this item.";
    TooLarge 413 "too_large" "The request exceeds the stated limit.";
    InvalidRange 416 "invalid_range" "The requested range lies outside the content.";
    QuarantinedBlob 423 "quarantined_blob" "The bytes belong to a version that is held or rejected.";
    QuarantinedVersion 423 "quarantined_version" "The version is held for review or was rejected.";
    ArtifactProtected 423 "artifact_protected" "A protection or legal hold forbids this change.";
    TooManyRequests 429 "too_many_requests" "Too many requests at once; try again after the stated time.";
    Internal 500 "internal" "A fault of the server; its log has the cause under the request id.";
    PolicyTimeout 503 "policy_timeout" "The policy could not be evaluated in time; nothing was changed.";
    PolicyError 503 "policy_error" "The policy could not be evaluated; nothing was changed.";
    Unavailable 503 "unavailable" "The server cannot do this now; try again after the stated time.";
    InsufficientStorage 507 "insufficient_storage" "The disk is full; nothing was changed.";
}

/// A refusal or failure: a code, a message for people, further members for programs, and a cause for the log.
///
/// It is one pointer wide, so that results stay small.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    message: String,
    members: Map<String, Value>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with this code and a message that says what happened, to what, and what to do next.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { code, message: message.into(), members: Map::new(), cause: None }))
    }

    /// A 400: the message names the member or rule that was broken.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Error {
        Error::new(Code::BadRequest, message)
    }

    /// A 404 for `what`, such as `version 0190…`.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> Error {
        Error::new(Code::NotFound, format!("{what} was not found; check the spelling and that your token may read it"))
    }

    /// A 409: the message says which state stands in the way.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(Code::Conflict, message)
    }

    /// A 413 that names the limit in bytes or items.
    #[must_use]
    pub fn too_large(what: impl fmt::Display, limit: u64) -> Error {
        Error::new(Code::TooLarge, format!("{what} exceeds the limit of {limit}")).with("limit", limit)
    }

    /// A 500 whose cause goes to the log only; `doing` says what the server was about, for the log.
    #[must_use]
    pub fn internal(doing: impl fmt::Display, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        let cause = cause.into();
        Error::new(Code::Internal, "the server failed to do this; its log has the cause under the request id")
            .because(format!("{doing}: {cause}"))
    }

    /// Adds a member to the JSON body, such as `quarantineId`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Error {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Keeps the internal cause for the log. It is never sent to a client.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same refusal for somebody else who waited for the same thing; the cause stays with the first.
    #[must_use]
    pub fn again(&self) -> Error {
        let members = self.members().iter();
        members.fold(Error::new(self.code(), self.message()), |error, (name, value)| error.with(name, value.clone()))
    }

    /// The code of the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The further members of the JSON body.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0.members
    }

    /// The internal cause, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)?;
        match &self.0.cause {
            Some(cause) => write!(f, " (cause: {cause})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_never_part_of_what_a_client_reads() {
        let error = Error::internal("opening the catalogue", "disk I/O error at page 7");
        assert!(!error.to_string().contains("page 7"));
        assert!(error.members().is_empty());
        assert!(error.cause().is_some_and(|cause| cause.to_string().contains("page 7")));
    }

    #[test]
    fn every_code_has_its_own_text() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
