//! `config`: the settings as a file, and as they are in effect. Invariant: no secret is shown, since none is a setting.

use std::process::ExitCode;

use super::say;
use crate::config::catalogue;

/// What to show of the settings.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a settings file in which every setting is a comment with its default.
    Default,
    /// Print the table of settings, in Markdown.
    Table,
}

/// Prints one of them.
pub(super) fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Default => say(catalogue::file().trim_end()),
        ConfigCommand::Table => say(catalogue::table().trim_end()),
    }
    ExitCode::SUCCESS
}
