//! `outbox`: the events that a running server still has to act on. Invariant: as for jobs.

use std::process::ExitCode;

use super::failure::Failure;
use super::fields::{moment, text};
use super::jobs::{due, state_of, told, tries};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Table, relative};
use crate::domain::id::EventId;
use crate::registry::OutboxState;

/// What to do with events.
#[derive(Debug, clap::Subcommand)]
pub(super) enum OutboxCommand {
    /// List events, the newest first.
    List {
        /// Only those in this state: pending, delivered or dead.
        #[arg(long)]
        state: Option<OutboxState>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Let dead events be handled again.
    Retry {
        /// The events, as `outbox list` shows them.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<EventId>,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: OutboxCommand) -> Result<ExitCode, Failure> {
    match command {
        OutboxCommand::List { state, extent } => list(&session, state, &extent).await,
        OutboxCommand::Retry { ids } => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let paths: Vec<[&str; 5]> = ids.iter().map(|id| ["v1", "admin", "outbox", id, "retry"]).collect();
            session.each(&paths, |event| told("event", text(event, "/eventId"), event)).await
        }
    }
}

async fn list(session: &Session, state: Option<OutboxState>, extent: &Extent) -> Result<ExitCode, Failure> {
    let query: Vec<(&str, String)> = state.map(|state| ("state", state.to_string())).into_iter().collect();
    let found = collect(&session.client, &["v1", "admin", "outbox"], &query, extent).await?;
    let mut table = Table::new(&["EVENT", "KIND", "STATE", "TRIES", "CREATED", "DUE", "SUBJECT", "ERROR"]);
    for event in &found.items {
        let subject = text(event, "/payload/versionId").or_else(|| text(event, "/payload/repoKey"));
        table.row(vec![
            text(event, "/eventId").into(),
            text(event, "/kind").into(),
            state_of(event),
            tries(event).into(),
            relative(session.now(), moment(event, "/createdAt")).into(),
            due(session, event).into(),
            subject.unwrap_or_default().into(),
            text(event, "/lastError").unwrap_or_default().into(),
        ]);
    }
    session.list(&found, "events", &table)
}
