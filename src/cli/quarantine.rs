//! `quarantine`: what is held, why, and a reviewer's word on it. Invariant: what became of an item is said by the server in its answer, and
//! held bytes are not fetched here.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{count, list as items, moment, text};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Cell, Table, UNKNOWN, bytes, counted, relative};
use super::terminal::Style;
use crate::domain::id::QuarantineId;
use crate::domain::name::RepoKey;
use crate::domain::quarantine::QuarantineStatus;

/// The repo that a first start makes.
const USUAL_REPO: &str = "main";

/// What to do with what is held.
#[derive(Debug, clap::Subcommand)]
pub(super) enum QuarantineCommand {
    /// List what is held, and what was, the newest first.
    List {
        /// Only those of this repo; by default of all repos that may be reviewed with the token.
        #[arg(long, value_name = "REPO")]
        repo: Option<RepoKey>,
        /// Only those that are quarantined, released or rejected.
        #[arg(long)]
        status: Option<QuarantineStatus>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one: why it is held, its files, who fetched it, and what reviewers said.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Let it go, with a waiver of the rules that held it, for exactly what it holds now.
    Release {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        word: Word,
    },
    /// Refuse it for good: no policy and no upload brings this version back.
    Reject {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        word: Word,
    },
}

/// One item of a repo.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The item, as `quarantine list` and each refusal show it.
    #[arg(value_name = "ID")]
    id: QuarantineId,
    /// The repo.
    #[arg(long, value_name = "REPO", default_value = USUAL_REPO)]
    repo: RepoKey,
}

/// What a reviewer says.
#[derive(Debug, clap::Args)]
pub(super) struct Word {
    /// Why; it stays on record.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: QuarantineCommand) -> Result<ExitCode, Failure> {
    match command {
        QuarantineCommand::List { repo, status, extent } => list(&session, repo.as_ref(), status, &extent).await,
        QuarantineCommand::Show { one } => {
            let answer = session.client.get(&["v1", "repos", one.repo.as_str(), "quarantine", &one.id.to_string()], &[]).await?;
            session.tell(&answer, |item| shown(&session, item))
        }
        QuarantineCommand::Release { one, word } => vote(&session, &one, &word, "release").await,
        QuarantineCommand::Reject { one, word } => vote(&session, &one, &word, "reject").await,
    }
}

async fn list(session: &Session, repo: Option<&RepoKey>, status: Option<QuarantineStatus>, extent: &Extent) -> Result<ExitCode, Failure> {
    let path = repo.map_or_else(|| vec!["v1", "quarantine"], |repo| vec!["v1", "repos", repo.as_str(), "quarantine"]);
    let query: Vec<(&str, String)> = status.map(|status| ("status", status.to_string())).into_iter().collect();
    let found = collect(&session.client, &path, &query, extent).await?;
    let mut table = Table::new(&["ITEM", "STATUS", "REPO", "PACKAGE", "SINCE", "OPENS", "RULES"]);
    for item in &found.items {
        let opens = moment(item, "/opensAt").map_or_else(|| "-".to_owned(), |at| relative(session.now(), Some(at)));
        table.row(vec![
            text(item, "/quarantineId").into(),
            status_cell(item),
            text(item, "/repoKey").into(),
            text(item, "/purl").into(),
            relative(session.now(), moment(item, "/createdAt")).into(),
            opens.into(),
            items(item, "/reasons").iter().filter_map(|reason| text(reason, "/rule")).collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    session.list(&found, "items", &table)
}

fn status_cell(item: &Value) -> Cell {
    let status = word(item, "/status");
    let style = match status.as_str() {
        "released" => Some(Style::Good),
        "rejected" => Some(Style::Bad),
        _ => Some(Style::Strong),
    };
    Cell::styled(style, status)
}

fn word(json: &Value, pointer: &str) -> String {
    text(json, pointer).unwrap_or_else(|| UNKNOWN.to_owned())
}

async fn vote(session: &Session, one: &One, said: &Word, verb: &str) -> Result<ExitCode, Failure> {
    let path = ["v1", "repos", one.repo.as_str(), "quarantine", &one.id.to_string(), verb];
    let answer = session.client.send_json(Method::POST, &path, &json!({"comment": said.comment})).await?;
    session.tell(&answer, became)
}

/// What a vote led to.
fn became(item: &Value) -> String {
    let (purl, repo, status) = (word(item, "/purl"), word(item, "/repoKey"), word(item, "/status"));
    if status == QuarantineStatus::Quarantined.as_str() {
        return format!("{purl} in {repo} stays held: your word counts, and another reviewer has to release it too");
    }
    format!("{purl} in {repo} is {status}")
}

fn shown(session: &Session, item: &Value) -> String {
    let mut table = Table::new(&[]);
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    line("item", word(item, "/quarantineId"));
    line("status", word(item, "/status"));
    line("package", format!("{} in {}", word(item, "/purl"), word(item, "/repoKey")));
    line("version", word(item, "/versionId"));
    for reason in items(item, "/reasons") {
        let level = text(reason, "/policy").map_or_else(String::new, |policy| policy + "/");
        line("why", format!("{} ({level}{})", word(reason, "/message"), word(reason, "/rule")));
    }
    line("held", format!("{} by {}", relative(session.now(), moment(item, "/createdAt")), word(item, "/createdBySubject")));
    if let Some(opens) = moment(item, "/opensAt") {
        line("opens", format!("{} ({opens})", relative(session.now(), Some(opens))));
    }
    for file in items(item, "/entries") {
        line("file", format!("{}, {}", word(file, "/relativePath"), bytes(count(file, "/sizeBytes").unwrap_or(0))));
    }
    if let Some(fetched) = count(item, "/fetchedBy/count").filter(|count| *count > 0) {
        line("fetched by", counted(fetched, "fetcher"));
    }
    for vote in items(item, "/votes") {
        let comment = text(vote, "/comment").map_or_else(String::new, |comment| format!(": {comment}"));
        line("vote", format!("{} by {}{comment}", word(vote, "/vote"), word(vote, "/subject")));
    }
    if let Some(by) = text(item, "/resolvedBySubject") {
        line("resolved", format!("{} by {by}", relative(session.now(), moment(item, "/resolvedAt"))));
    }
    format!("{}{}", table.render(&session.screen), next(session, item))
}

/// What a reviewer types next.
fn next(session: &Session, item: &Value) -> String {
    if text(item, "/status").as_deref() != Some(QuarantineStatus::Quarantined.as_str()) {
        return String::new();
    }
    let (id, repo, flags) = (word(item, "/quarantineId"), word(item, "/repoKey"), session.flags.typed_again());
    let explain = text(item, "/evaluationId")
        .map_or_else(String::new, |evaluation| format!("\n  artifortress evaluations explain {evaluation} --repo {repo}{flags}"));
    format!(
        "\n\nnext:{explain}\n  artifortress quarantine release {id} --repo {repo} --comment TEXT{flags}\n  artifortress quarantine reject {id} --repo {repo} --comment TEXT{flags}"
    )
}
