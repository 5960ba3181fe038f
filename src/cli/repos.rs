//! `repo`: repos, their settings, and who may do what in them. Invariant: what a repo is after a change is said by the server.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::fields::{count, list as items, text, truth};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Table, UNKNOWN, counted};
use crate::domain::access::Role;
use crate::domain::name::{RepoKey, Subject};

/// What to do with repos.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RepoCommand {
    /// Make a repo.
    Create {
        /// Its key: lower-case letters, digits, dots, dashes and underscores.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the repos that may be read with the token.
    List {
        #[command(flatten)]
        extent: Extent,
    },
    /// Show a repo's settings, and what the token may do there.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Change settings of a repo; those not named stay.
    Set {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a repo; one that holds anything only with --force.
    Delete {
        #[command(flatten)]
        one: One,
        /// Take everything in it back first.
        #[arg(long)]
        force: bool,
    },
    /// List who is bound to which roles.
    Bindings {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        extent: Extent,
    },
    /// Give a subject these roles and no others.
    Bind {
        #[command(flatten)]
        one: One,
        /// Who.
        #[arg(value_name = "SUBJECT")]
        subject: Subject,
        /// read, write, promote (to review) or admin.
        #[arg(value_name = "ROLE", required = true)]
        roles: Vec<Role>,
    },
    /// Take all roles of a subject away.
    Unbind {
        #[command(flatten)]
        one: One,
        /// Who.
        #[arg(value_name = "SUBJECT")]
        subject: Subject,
    },
}

/// A repo.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The repo.
    #[arg(value_name = "REPO")]
    repo: RepoKey,
}

/// Settings of a repo.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Whether everybody may read it without a token.
    #[arg(long, value_name = "BOOL")]
    anonymous_read: Option<bool>,
    /// Whether two reviewers, neither of them the uploader, must release what is held.
    #[arg(long, value_name = "BOOL")]
    require_dual_control: Option<bool>,
    /// Days for which what was taken back can be restored.
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
}

impl Settings {
    fn members(&self) -> Map<String, Value> {
        let given = [
            ("anonymousRead", self.anonymous_read.map(Value::from)),
            ("requireDualControl", self.require_dual_control.map(Value::from)),
            ("retentionDays", self.retention_days.map(Value::from)),
        ];
        given.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect()
    }
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: RepoCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        RepoCommand::Create { repo, settings } => {
            let mut body = settings.members();
            body.insert("repoKey".to_owned(), json!(repo));
            let answer = client.send_json(Method::POST, &["v1", "repos"], &Value::Object(body)).await?;
            session.tell(&answer, |repo| shown(&session, repo))
        }
        RepoCommand::List { extent } => list(&session, &extent).await,
        RepoCommand::Show { one } => {
            let answer = client.get(&["v1", "repos", one.repo.as_str()], &[]).await?;
            session.tell(&answer, |repo| shown(&session, repo))
        }
        RepoCommand::Set { one, settings } => {
            let path = ["v1", "repos", one.repo.as_str()];
            let answer = client.send_json(Method::PATCH, &path, &Value::Object(settings.members())).await?;
            session.tell(&answer, |repo| shown(&session, repo))
        }
        RepoCommand::Delete { one, force } => {
            let query: Vec<(&str, String)> = force.then(|| ("force", "true".to_owned())).into_iter().collect();
            let answer = client.send_empty(Method::DELETE, &["v1", "repos", one.repo.as_str()], &query).await?;
            session.tell(&answer, |_| format!("repo {} is deleted", one.repo))
        }
        RepoCommand::Bindings { one, extent } => bindings(&session, &one, &extent).await,
        RepoCommand::Bind { one, subject, roles } => {
            let path = ["v1", "repos", one.repo.as_str(), "bindings", subject.as_str()];
            let answer = client.send_json(Method::PUT, &path, &json!({"roles": roles})).await?;
            session.tell(&answer, |binding| format!("{subject} may {} in {}", roles_of(binding), one.repo))
        }
        RepoCommand::Unbind { one, subject } => {
            let answer = client.delete(&["v1", "repos", one.repo.as_str(), "bindings", subject.as_str()]).await?;
            session.tell(&answer, |_| format!("{subject} is bound to nothing in {}", one.repo))
        }
    }
}

fn roles_of(json: &Value) -> String {
    items(json, "/roles").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn choice(json: &Value, pointer: &str) -> String {
    truth(json, pointer).map_or_else(|| UNKNOWN.to_owned(), |choice| if choice { "yes".to_owned() } else { "no".to_owned() })
}

fn days(repo: &Value) -> String {
    count(repo, "/retentionDays").map_or_else(|| UNKNOWN.to_owned(), |days| counted(days, "day"))
}

async fn list(session: &Session, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "repos"], &[], extent).await?;
    let mut table = Table::new(&["REPO", "KIND", "ANONYMOUS", "DUAL CONTROL", "RETENTION", "MAY"]);
    for repo in &found.items {
        table.row(vec![
            text(repo, "/repoKey").into(),
            text(repo, "/kind").into(),
            choice(repo, "/anonymousRead").into(),
            choice(repo, "/requireDualControl").into(),
            days(repo).into(),
            roles_of(repo).into(),
        ]);
    }
    session.list(&found, "repos", &table)
}

fn shown(session: &Session, repo: &Value) -> String {
    let mut table = Table::new(&[]);
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    line("repo", text(repo, "/repoKey").unwrap_or_else(|| UNKNOWN.to_owned()));
    line("anonymous read", choice(repo, "/anonymousRead"));
    line("dual control", choice(repo, "/requireDualControl"));
    line("retention", days(repo));
    line("this token may", roles_of(repo));
    table.render(&session.screen)
}

async fn bindings(session: &Session, one: &One, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "repos", one.repo.as_str(), "bindings"], &[], extent).await?;
    let mut table = Table::new(&["SUBJECT", "ROLES"]);
    for binding in &found.items {
        table.row(vec![text(binding, "/subject").into(), roles_of(binding).into()]);
    }
    session.list(&found, "bindings", &table)
}
