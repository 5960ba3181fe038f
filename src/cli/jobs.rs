//! `jobs`: the background work of a running server. Invariant: what is retried or cancelled is named one by one in the answer, and one
//! refusal does not stop the rest.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{count, moment, text, truth};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Cell, Table, UNKNOWN, counted, relative};
use super::terminal::Style;
use crate::domain::id::JobId;
use crate::registry::{JobKind, JobState};

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs, the newest first.
    List {
        /// Only those in this state: pending, processing, completed, failed, dead or cancelled.
        #[arg(long)]
        state: Option<JobState>,
        /// Only those of this kind, such as search_index.
        #[arg(long)]
        kind: Option<JobKind>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Let jobs that failed, died or were cancelled run again, with all their attempts.
    Retry {
        /// The jobs, as `jobs list` shows them.
        #[arg(value_name = "ID", required_unless_present = "dead", conflicts_with = "dead")]
        ids: Vec<JobId>,
        /// Every dead job.
        #[arg(long)]
        dead: bool,
    },
    /// Call jobs off that have not begun.
    Cancel {
        /// The jobs, as `jobs list` shows them.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<JobId>,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: JobsCommand) -> Result<ExitCode, Failure> {
    match command {
        JobsCommand::List { state, kind, extent } => list(&session, state, kind, &extent).await,
        JobsCommand::Retry { ids, dead: false } => each(&session, &names(&ids), "retry").await,
        JobsCommand::Retry { dead: true, .. } => retry_dead(&session).await,
        JobsCommand::Cancel { ids } => each(&session, &names(&ids), "cancel").await,
    }
}

fn names(ids: &[JobId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

async fn list(session: &Session, state: Option<JobState>, kind: Option<JobKind>, extent: &Extent) -> Result<ExitCode, Failure> {
    let state = state.map(|state| ("state", state.to_string()));
    let kind = kind.map(|kind| ("kind", kind.to_string()));
    let query: Vec<(&str, String)> = state.into_iter().chain(kind).collect();
    let found = collect(&session.client, &["v1", "admin", "jobs"], &query, extent).await?;
    let mut table = Table::new(&["JOB", "KIND", "STATE", "TRIES", "CHANGED", "DUE", "SUBJECT", "ERROR"]);
    for job in &found.items {
        table.row(vec![
            text(job, "/jobId").into(),
            text(job, "/kind").into(),
            state_of(job),
            tries(job).into(),
            relative(session.now(), moment(job, "/updatedAt")).into(),
            due(session, job).into(),
            text(job, "/subjectId").into(),
            text(job, "/lastError").unwrap_or_default().into(),
        ]);
    }
    session.list(&found, "jobs", &table)
}

/// The state of a job or an event, with what it means to an operator as its style.
pub(super) fn state_of(item: &Value) -> Cell {
    let state = text(item, "/state");
    let style = match state.as_deref() {
        Some("dead" | "failed") => Some(Style::Bad),
        Some("completed" | "delivered") => Some(Style::Good),
        Some("cancelled") => Some(Style::Faint),
        Some(_) | None => None,
    };
    Cell::styled(style, state.unwrap_or_else(|| UNKNOWN.to_owned()))
}

/// Attempts made, of those there are.
pub(super) fn tries(item: &Value) -> String {
    match (count(item, "/attempts"), count(item, "/maxAttempts")) {
        (Some(made), Some(most)) => format!("{made}/{most}"),
        (Some(made), None) => made.to_string(),
        (None, _) => UNKNOWN.to_owned(),
    }
}

/// When something is due that still is to be done.
pub(super) fn due(session: &Session, item: &Value) -> String {
    match text(item, "/state").as_deref() {
        Some("pending" | "failed") => relative(session.now(), moment(item, "/dueAt")),
        Some(_) | None => String::new(),
    }
}

async fn each(session: &Session, ids: &[String], verb: &str) -> Result<ExitCode, Failure> {
    let paths: Vec<[&str; 5]> = ids.iter().map(|id| ["v1", "admin", "jobs", id, verb]).collect();
    session.each(&paths, |job| told("job", text(job, "/jobId"), job)).await
}

/// What became of a job or an event.
pub(super) fn told(what: &str, id: Option<String>, item: &Value) -> String {
    format!("{what} {} is {}", id.as_deref().unwrap_or(UNKNOWN), text(item, "/state").as_deref().unwrap_or(UNKNOWN))
}

/// Retries every dead job; those that die meanwhile too, as long as the server says that there are more.
async fn retry_dead(session: &Session) -> Result<ExitCode, Failure> {
    let mut retried = 0_u64;
    loop {
        let answer = session.client.find_post(&["v1", "admin", "jobs", "retry"], &json!({"state": JobState::Dead})).await?;
        let Some(answer) = answer else {
            retried = retried.saturating_add(retry_one_by_one(session).await?);
            break;
        };
        let now = count(&answer.json, "/retried").unwrap_or(0);
        retried = retried.saturating_add(now);
        if now == 0 || truth(&answer.json, "/more") != Some(true) {
            break;
        }
    }
    if session.is_json {
        session.screen.print_json(&json!({"retried": retried}).to_string())?;
    } else {
        session.screen.print(&format!("{} will run again", counted(retried, "dead job")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same on a server that retries no more than one at a time.
async fn retry_one_by_one(session: &Session) -> Result<u64, Failure> {
    let dead = [("state", JobState::Dead.to_string())];
    let found = collect(&session.client, &["v1", "admin", "jobs"], &dead, &Extent::ALL).await?;
    let mut retried = 0;
    for id in found.items.iter().filter_map(|job| text(job, "/jobId")) {
        session.client.post(&["v1", "admin", "jobs", &id, "retry"]).await?;
        retried += 1;
    }
    Ok(retried)
}
