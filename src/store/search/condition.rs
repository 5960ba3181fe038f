//! How the index stands and what can be wrong with it. Invariant: a fault says whether a new file would cure it; what only waiting
//! cures never costs the file.

use std::io::ErrorKind;

use rusqlite::ErrorCode;

use crate::error::Error;

/// Whether the index can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// It can.
    Ready,
    /// An administrator paused it.
    Paused,
    /// It is being filled again.
    Rebuilding,
    /// It is missing, or could not be written and may lack something; the jobs make a new one or wait until it can be written.
    Unavailable,
}

impl IndexState {
    /// Every state.
    pub const ALL: [IndexState; 4] = [IndexState::Ready, IndexState::Paused, IndexState::Rebuilding, IndexState::Unavailable];

    /// The text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IndexState::Ready => "ready",
            IndexState::Paused => "paused",
            IndexState::Rebuilding => "rebuilding",
            IndexState::Unavailable => "unavailable",
        }
    }
}

/// Why the index cannot be used.
#[derive(Debug)]
pub enum IndexFault {
    /// It is missing, damaged or of another schema: only a new one helps.
    Lost(Error),
    /// It is locked, not writable, or its disk is full: only waiting helps.
    Unavailable(Error),
}

impl IndexFault {
    pub(super) fn lost(what: &str) -> IndexFault {
        IndexFault::Lost(Error::internal("using the search index", what))
    }

    pub(super) fn of_file(cause: std::io::Error) -> IndexFault {
        if cause.kind() == ErrorKind::NotFound {
            return IndexFault::lost("it is missing");
        }
        IndexFault::Unavailable(Error::internal("looking at the search index", cause))
    }
}

impl From<rusqlite::Error> for IndexFault {
    /// No words from outside become part of a statement's text: a statement that does not compile meets a foreign schema, a
    /// broken constraint an index that contradicts itself.
    fn from(cause: rusqlite::Error) -> IndexFault {
        let is_lost = matches!(&cause, rusqlite::Error::SqlInputError { .. })
            || matches!(
                cause.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation)
            );
        if is_lost { IndexFault::Lost(cause.into()) } else { IndexFault::Unavailable(cause.into()) }
    }
}

/// What the jobs should do about the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexCare {
    /// Nothing.
    Nothing,
    /// See whether it is whole.
    Inspect,
    /// Make a new one in place of this generation.
    Renew(u64),
}
