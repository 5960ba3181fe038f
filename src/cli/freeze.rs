//! `freeze`: hold everything new, see what holds, lift it. Invariant: without `--repo` it is the whole instance's.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{moment, text};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Cell, Table, UNKNOWN, relative};
use super::terminal::Style;
use crate::domain::id::FreezeId;
use crate::domain::name::RepoKey;

/// What to freeze, or what to do with freezes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(super) struct FreezeArguments {
    #[command(subcommand)]
    command: Option<FreezeCommand>,
    /// The type of package to hold, such as npm; * for every type.
    #[arg(value_name = "TYPE", required = true)]
    package_type: Option<String>,
    /// Hold what was first seen after this moment, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", required = true)]
    after: Option<String>,
    /// Why; whoever waits for a version reads it.
    #[arg(long, value_name = "TEXT", required = true)]
    reason: Option<String>,
    /// Only in this repo.
    #[arg(long, value_name = "REPO")]
    repo: Option<RepoKey>,
}

#[derive(Debug, clap::Subcommand)]
enum FreezeCommand {
    /// List freezes, with those that were lifted.
    List {
        /// Those of this repo, in place of the instance's.
        #[arg(long, value_name = "REPO")]
        repo: Option<RepoKey>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Lift a freeze.
    Lift {
        /// The freeze, as `freeze list` shows it.
        #[arg(value_name = "ID")]
        id: FreezeId,
        /// The repo it is of.
        #[arg(long, value_name = "REPO")]
        repo: Option<RepoKey>,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, arguments: FreezeArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(FreezeCommand::List { repo, extent }) => list(&session, repo.as_ref(), &extent).await,
        Some(FreezeCommand::Lift { id, repo }) => {
            let id = id.to_string();
            let mut path = freezes(repo.as_ref());
            path.push(&id);
            let answer = session.client.delete(&path).await?;
            session.tell(&answer, |freeze| format!("freeze {} is lifted", word(freeze, "/freezeId")))
        }
        None => {
            let body = json!({"packageType": arguments.package_type, "after": arguments.after, "reason": arguments.reason});
            let path = freezes(arguments.repo.as_ref());
            let answer = session.client.send(reqwest::Method::POST, &path, &body).await?;
            session.tell(&answer, |freeze| {
                format!("freeze {} holds what was first seen after {}", word(freeze, "/freezeId"), word(freeze, "/after"))
            })
        }
    }
}

fn word(json: &Value, pointer: &str) -> String {
    text(json, pointer).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn freezes(repo: Option<&RepoKey>) -> Vec<&str> {
    match repo {
        Some(repo) => vec!["v1", "repos", repo.as_str(), "freezes"],
        None => vec!["v1", "freezes"],
    }
}

async fn list(session: &Session, repo: Option<&RepoKey>, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &freezes(repo), &[], extent).await?;
    let mut table = Table::new(&["FREEZE", "TYPE", "AFTER", "STATE", "BY", "REASON"]);
    for freeze in &found.items {
        let state = match moment(freeze, "/liftedAt") {
            Some(at) => Cell::styled(Some(Style::Faint), format!("lifted {}", relative(session.now(), Some(at)))),
            None => Cell::styled(Some(Style::Bad), "holds"),
        };
        table.row(vec![
            text(freeze, "/freezeId").into(),
            text(freeze, "/packageType").into(),
            text(freeze, "/after").into(),
            state,
            text(freeze, "/createdBySubject").into(),
            text(freeze, "/reason").into(),
        ]);
    }
    session.list(&found, "freezes", &table)
}
