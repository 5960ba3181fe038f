//! `reservations`: names that a repo keeps for some publishers. Invariant: patterns are checked by the server, which alone knows how each
//! ecosystem spells a name.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{list as items, moment, text, words};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Table, UNKNOWN, relative};
use crate::domain::id::ReservationId;
use crate::domain::name::{RepoKey, Subject};

/// What to do with reserved names.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ReservationsCommand {
    /// List the reservations of a repo.
    List {
        /// The repo.
        #[arg(long, value_name = "REPO")]
        repo: RepoKey,
        #[command(flatten)]
        extent: Extent,
    },
    /// Reserve names.
    Add {
        /// Which names, such as npm:@acme/*, pypi:acme-* or *:acme-*.
        #[arg(value_name = "PATTERN")]
        pattern: String,
        /// The repo.
        #[arg(long, value_name = "REPO")]
        repo: RepoKey,
        /// Who may upload such names; may be repeated. Without it nobody may.
        #[arg(long = "publisher", value_name = "SUBJECT")]
        publishers: Vec<Subject>,
        /// Why; whoever is refused reads it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give reserved names free.
    Remove {
        /// The reservation, as `reservations list` shows it.
        #[arg(value_name = "ID")]
        id: ReservationId,
        /// The repo.
        #[arg(long, value_name = "REPO")]
        repo: RepoKey,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: ReservationsCommand) -> Result<ExitCode, Failure> {
    match command {
        ReservationsCommand::List { repo, extent } => list(&session, &repo, &extent).await,
        ReservationsCommand::Add { pattern, repo, publishers, reason } => {
            let body = json!({"pattern": pattern, "publishers": publishers, "reason": reason});
            let path = ["v1", "repos", repo.as_str(), "reservations"];
            let answer = session.client.send(reqwest::Method::POST, &path, &body).await?;
            session.tell(&answer, |made| format!("reservation {} keeps {}", word(made, "/reservationId"), word(made, "/pattern")))
        }
        ReservationsCommand::Remove { id, repo } => {
            let answer = session.client.delete(&["v1", "repos", repo.as_str(), "reservations", &id.to_string()]).await?;
            session.tell(&answer, |_| format!("reservation {id} is gone; its names are free"))
        }
    }
}

fn word(json: &Value, pointer: &str) -> String {
    text(json, pointer).unwrap_or_else(|| UNKNOWN.to_owned())
}

async fn list(session: &Session, repo: &RepoKey, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "repos", repo.as_str(), "reservations"], &[], extent).await?;
    let mut table = Table::new(&["RESERVATION", "PATTERN", "PUBLISHERS", "MADE", "BY", "REASON"]);
    for reservation in &found.items {
        let publishers: Vec<String> = items(reservation, "/publishers").iter().filter_map(Value::as_str).map(words).collect();
        table.row(vec![
            text(reservation, "/reservationId").into(),
            text(reservation, "/pattern").into(),
            if publishers.is_empty() { "nobody".into() } else { publishers.join(", ").into() },
            relative(session.now(), moment(reservation, "/createdAt")).into(),
            text(reservation, "/createdBySubject").into(),
            text(reservation, "/reason").into(),
        ]);
    }
    session.list(&found, "reservations", &table)
}
