//! `policy dry-run`: what a policy would do to all that is stored. Invariant: it changes nothing; the exit code is 1 when something would
//! happen that the person wants to hear of.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::files;
use crate::cli::failure::Failure;
use crate::cli::fields::{count, list, text};
use crate::cli::lines::{Line, Lines, print_document};
use crate::cli::session::Session;
use crate::cli::table::{Cell, Table, counted, grouped};
use crate::cli::terminal::Style;
use crate::domain::name::RepoKey;
use crate::domain::time::Time;

/// Versions that would change which are shown to a person.
const SHOWN: usize = 50;

/// What makes the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// Anything that would change, a release too.
    Change,
    /// Something visible that would be held or denied.
    Hold,
    /// Something visible that would be denied.
    Deny,
}

/// Which policy to try, and on what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DryRunArguments {
    /// The policy, such as main.cedar.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// In the place of this repo's policy.
    #[arg(long, value_name = "REPO", required_unless_present = "instance")]
    repo: Option<RepoKey>,
    /// In the place of the instance's policy; with --repo on what is in that repo, else on everything.
    #[arg(long)]
    instance: bool,
    /// Only on what was first seen or published since this moment, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Time>,
    /// When to exit with 1.
    #[arg(long, value_name = "WHAT", default_value = "hold")]
    fail_on: FailOn,
}

/// Tries it.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(in crate::cli) async fn run(session: &Session, arguments: &DryRunArguments) -> Result<ExitCode, Failure> {
    let level = if arguments.instance { "instance" } else { "repo" };
    let body = json!({"policy": files::read_policy(&arguments.file)?, "since": arguments.since, "level": level});
    let mut path = super::path(arguments.repo.as_ref());
    path.push("dry-run");
    let mut lines = Lines::ask(&session.client, &path, &body).await?;
    let summary = match session.is_json {
        true => print_document(session, &mut lines).await?,
        false => shown(session, &mut lines).await?,
    };
    let of = |pointer: &str| count(&summary, pointer).unwrap_or(0);
    let denied = of("/changes/visibleDenied");
    let heard = match arguments.fail_on {
        FailOn::Change => of("/changes/total"),
        FailOn::Hold => of("/changes/visibleHeld") + denied,
        FailOn::Deny => denied,
    };
    // What cannot be evaluated is not let in, whatever was asked for.
    Ok(if heard + of("/failed") > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn shown(session: &Session, lines: &mut Lines) -> Result<Value, Failure> {
    let mut table = Table::new(&["PACKAGE", "REPO", "IS", "BECOMES", "BY"]);
    let mut found = 0;
    let summary = loop {
        match lines.next().await? {
            Line::Item(item) => {
                found += 1;
                if found <= SHOWN {
                    table.row(row(&serde_json::from_str(item.get()).unwrap_or(Value::Null)));
                }
            }
            Line::Progress => {}
            Line::Summary(summary) => break summary,
        }
    };
    let mut parts = Vec::new();
    if found > 0 {
        parts.push(table.render(&session.screen));
    }
    if found > SHOWN {
        parts.push(format!("and {} more; --json has all of them", grouped((found - SHOWN) as u64)));
    }
    if !list(&summary, "/rules").is_empty() {
        parts.push(rules(&summary).render(&session.screen));
    }
    parts.push(words(&summary));
    session.screen.print(&parts.join("\n\n"))?;
    Ok(summary)
}

fn row(change: &Value) -> Vec<Cell> {
    let becomes = text(change, "/to");
    let style = match becomes.as_deref() {
        Some("allow") => Style::Good,
        Some(_) | None => Style::Bad,
    };
    let rules: Vec<String> = list(change, "/reasons").iter().filter_map(|reason| text(reason, "/rule")).collect();
    let becomes = match (text(change, "/from/state").as_deref(), becomes.as_deref()) {
        (Some("published"), Some("quarantine")) => "held".to_owned(),
        (_, Some("deny")) => "denied".to_owned(),
        (_, Some("allow")) => "released".to_owned(),
        (_, other) => other.unwrap_or_default().to_owned(),
    };
    vec![
        text(change, "/package").into(),
        text(change, "/repoKey").into(),
        text(change, "/from/state").into(),
        Cell::styled(Some(style), becomes),
        rules.join(", ").into(),
    ]
}

fn rules(summary: &Value) -> Table {
    let mut table = Table::new(&["RULE", "POLICY", "DECISION", "", "FIRES ON"]);
    for rule in list(summary, "/rules") {
        let part = text(rule, "/part").filter(|part| part != "enforced").unwrap_or_default();
        table.row(vec![
            text(rule, "/rule").into(),
            text(rule, "/policy").unwrap_or_else(|| "server".to_owned()).into(),
            text(rule, "/decision").into(),
            part.into(),
            count(rule, "/count").map(grouped).into(),
        ]);
    }
    table
}

fn words(summary: &Value) -> String {
    let of = |pointer: &str| count(summary, pointer).unwrap_or(0);
    let failed = match of("/failed") {
        0 => String::new(),
        failed => format!("; {} could not be judged, which at the gate keeps them out", counted(failed, "version")),
    };
    format!(
        "{}: {} allowed, {} held, {} denied\nof what is visible, {} would be held and {} denied; of what is held, {} would be released{failed}",
        counted(of("/judged"), "version"),
        grouped(of("/decisions/allow")),
        grouped(of("/decisions/quarantine")),
        grouped(of("/decisions/deny")),
        grouped(of("/changes/visibleHeld")),
        grouped(of("/changes/visibleDenied")),
        grouped(of("/changes/heldReleased")),
    )
}
