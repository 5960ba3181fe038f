//! `config`: the settings as a file, and as they are in effect. Invariant: no secret is shown, since none is a setting.

use std::process::ExitCode;

use super::table::{Cell, Table};
use super::terminal::Screen;
use super::{complain, say};
use crate::config::{Config, Flags, catalogue};

/// What to show of the settings.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print each setting as it counts now, and where it comes from.
    Show {
        #[command(flatten)]
        flags: Flags,
        /// Print JSON instead of text for people.
        #[arg(long)]
        json: bool,
    },
    /// Print a settings file in which every setting is a comment with its default.
    Default,
    /// Print the table of settings, in Markdown.
    Table,
}

/// Prints what the command asks for.
pub(super) fn run(base: Flags, command: ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Show { flags, json } => return show(&super::merged(base, flags), json),
        ConfigCommand::Default => say(catalogue::file().trim_end()),
        ConfigCommand::Table => say(catalogue::table().trim_end()),
    }
    ExitCode::SUCCESS
}

fn show(flags: &Flags, json: bool) -> ExitCode {
    let settings = match Config::in_force(flags) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults.to_string());
            return ExitCode::FAILURE;
        }
    };
    let screen = Screen::of_process();
    let text = if json {
        serde_json::json!({ "items": settings }).to_string()
    } else {
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for setting in settings {
            table.row(vec![setting.key.into(), Cell::from(setting.value.unwrap_or_else(|| "none".to_owned())), setting.source.into()]);
        }
        table.render(&screen)
    };
    match screen.print(&text) {
        Ok(()) | Err(super::failure::Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
