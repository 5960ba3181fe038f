//! What can go wrong in a command that asks a server. Invariant: a fault of how the command was typed ends with 2, everything else
//! with 1, and a reader that has gone away is no fault at all.

use std::process::ExitCode;

use super::complain;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was typed wrongly.
    Usage(String),
    /// It was refused, or failed.
    Failed(String),
    /// Nobody reads the output any more, as after `| head`.
    OutputClosed,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Failed(message) => f.write_str(message),
            Failure::OutputClosed => f.write_str("nobody reads the output"),
        }
    }
}

impl Failure {
    /// Tells the person what happened.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => {
                complain(&self.to_string());
                ExitCode::from(2)
            }
            Failure::Failed(_) => {
                complain(&self.to_string());
                ExitCode::FAILURE
            }
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}
