//! `waivers`: exceptions from rules, with an end. Invariant: what is waived is said by the server in the answer, so what a person typed is
//! not taken for what counts.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{moment, text, truth};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Cell, Table, UNKNOWN, relative};
use super::terminal::Style;
use crate::domain::candidate::PolicyLevel;
use crate::domain::id::{VersionId, WaiverId};
use crate::domain::name::RepoKey;

/// What to do with waivers.
#[derive(Debug, clap::Subcommand)]
pub(super) enum WaiversCommand {
    /// List the waivers of a repo, the newest first.
    List {
        #[command(flatten)]
        repo: OfRepo,
        /// Only those that are active, pending, expiring, expired, revoked, unused or unneeded.
        #[arg(long)]
        state: Option<String>,
        /// With --state expiring: those that end within so many days.
        #[arg(long, value_name = "DAYS")]
        within: Option<u32>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one waiver.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Waive a rule for one version as it is, for a range of versions or for a package.
    Add {
        #[command(flatten)]
        new: Box<New>,
    },
    /// Approve another's waiver, where two persons are asked for.
    Approve {
        #[command(flatten)]
        one: One,
    },
    /// Take a waiver back.
    Revoke {
        #[command(flatten)]
        one: One,
    },
}

/// A repo.
#[derive(Debug, clap::Args)]
pub(super) struct OfRepo {
    /// The repo.
    #[arg(long, value_name = "REPO")]
    repo: RepoKey,
}

/// One waiver of a repo.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The waiver, as `waivers list` shows it.
    #[arg(value_name = "ID")]
    id: WaiverId,
    #[command(flatten)]
    repo: OfRepo,
}

/// What is to be waived.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    #[command(flatten)]
    repo: OfRepo,
    /// The rule's id.
    #[arg(long, value_name = "RULE")]
    rule: String,
    /// Whose policy the rule stands in: instance or repo; without it, of the server's freeze.
    #[arg(long, value_name = "LEVEL")]
    policy: Option<PolicyLevel>,
    /// This version with what it holds now.
    #[arg(long, value_name = "ID", required_unless_present = "package", conflicts_with_all = ["package", "range"])]
    version_id: Option<VersionId>,
    /// Every version of this package: TYPE:[NAMESPACE/]NAME, such as npm:@acme/tool.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
    /// Of the package only these versions, such as '>=1.0,<2.0'.
    #[arg(long, value_name = "RANGE", requires = "package")]
    range: Option<String>,
    /// Days that it lasts.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl New {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = json!({"rule": self.rule, "reason": self.reason, "ttlSeconds": u64::from(self.days) * 86_400});
        let Some(members) = body.as_object_mut() else { return Ok(Value::Null) };
        members.extend(self.policy.map(|policy| ("policy".to_owned(), json!(policy))));
        members.extend(self.version_id.map(|id| ("versionId".to_owned(), json!(id))));
        if let Some(package) = &self.package {
            let misspelt = || Failure::Failed(format!("{package:?} is no package; write TYPE:[NAMESPACE/]NAME, such as npm:@acme/tool"));
            let (package_type, path) = package.split_once(':').ok_or_else(misspelt)?;
            let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
            let scope = if self.range.is_some() { "range" } else { "package" };
            let told = [("scope", scope), ("packageType", package_type), ("packageNamespace", namespace), ("packageName", name)];
            members.extend(told.map(|(member, value)| (member.to_owned(), json!(value))));
        }
        members.extend(self.range.as_ref().map(|range| ("versionRange".to_owned(), json!(range))));
        Ok(body)
    }
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: WaiversCommand) -> Result<ExitCode, Failure> {
    match command {
        WaiversCommand::List { repo, state, within, extent } => {
            let state = state.map(|state| ("state", state));
            let within = within.map(|days| ("within", days.to_string()));
            list(&session, &repo.repo, &state.into_iter().chain(within).collect::<Vec<_>>(), &extent).await
        }
        WaiversCommand::Show { one } => {
            let answer = session.client.get(&["v1", "repos", one.repo.repo.as_str(), "waivers", &one.id.to_string()], &[]).await?;
            session.tell(&answer, |waiver| shown(&session, waiver))
        }
        WaiversCommand::Add { new } => {
            let path = ["v1", "repos", new.repo.repo.as_str(), "waivers"];
            let answer = session.client.send(reqwest::Method::POST, &path, &new.body()?).await?;
            session.tell(&answer, became)
        }
        WaiversCommand::Approve { one } => step(&session, &one, "approve").await,
        WaiversCommand::Revoke { one } => step(&session, &one, "revoke").await,
    }
}

async fn step(session: &Session, one: &One, verb: &str) -> Result<ExitCode, Failure> {
    let path = ["v1", "repos", one.repo.repo.as_str(), "waivers", &one.id.to_string(), verb];
    let answer = session.client.post(&path).await?;
    session.tell(&answer, became)
}

fn word(json: &Value, pointer: &str) -> String {
    text(json, pointer).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// For what it is, in a few words.
fn covered(waiver: &Value) -> String {
    let namespace = text(waiver, "/packageNamespace").filter(|namespace| !namespace.is_empty()).map(|namespace| namespace + "/");
    let package = format!("{}:{}{}", word(waiver, "/packageType"), namespace.unwrap_or_default(), word(waiver, "/packageName"));
    match (text(waiver, "/versionRange"), text(waiver, "/versionId")) {
        (Some(range), _) => format!("{package} {range}"),
        (None, Some(id)) => format!("{package} version {id}"),
        (None, None) => package,
    }
}

fn rule(waiver: &Value) -> String {
    text(waiver, "/policy").map_or_else(String::new, |policy| policy + "/") + &word(waiver, "/rule")
}

fn ends(session: &Session, waiver: &Value) -> String {
    moment(waiver, "/expiresAt").map_or_else(|| "never".to_owned(), |end| relative(session.now(), Some(end)))
}

fn became(waiver: &Value) -> String {
    let next = if text(waiver, "/state").as_deref() == Some("pending") { "; it counts once another reviewer has approved it" } else { "" };
    let (id, state) = (word(waiver, "/waiverId"), word(waiver, "/state"));
    // The moment itself, since a span of 14 days is less than that as soon as it is told.
    let end = moment(waiver, "/expiresAt").map_or_else(|| "never".to_owned(), |end| end.to_string());
    let ends = if state == "active" || state == "pending" { format!(", ends {end}") } else { String::new() };
    format!("waiver {id} of {} for {} is {state}{ends}{next}", rule(waiver), covered(waiver))
}

fn shown(session: &Session, waiver: &Value) -> String {
    let mut table = Table::new(&[]);
    let people = [("made by", "/createdBySubject"), ("approved by", "/approvedBySubject"), ("revoked by", "/revokedBySubject")];
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    line("waiver", word(waiver, "/waiverId"));
    line("state", word(waiver, "/state"));
    line("rule", format!("{} ({})", rule(waiver), word(waiver, "/covers")));
    line("for", covered(waiver));
    line("reason", word(waiver, "/reason"));
    line("ends", ends(session, waiver));
    for (name, pointer) in people {
        if let Some(subject) = text(waiver, pointer) {
            line(name, subject);
        }
    }
    let used = match (truth(waiver, "/used"), truth(waiver, "/unneeded")) {
        (Some(false), _) => "never helped",
        (_, Some(true)) => "not needed any more",
        (_, _) => "needed",
    };
    line("use", used.to_owned());
    table.render(&session.screen)
}

async fn list(session: &Session, repo: &RepoKey, query: &[(&str, String)], extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "repos", repo.as_str(), "waivers"], query, extent).await?;
    let mut table = Table::new(&["WAIVER", "STATE", "RULE", "FOR", "ENDS", "BY", "REASON"]);
    for waiver in &found.items {
        let state = word(waiver, "/state");
        let style = match state.as_str() {
            "active" => Some(Style::Good),
            "pending" => Some(Style::Strong),
            _ => Some(Style::Faint),
        };
        table.row(vec![
            text(waiver, "/waiverId").into(),
            Cell::styled(style, state),
            rule(waiver).into(),
            covered(waiver).into(),
            ends(session, waiver).into(),
            text(waiver, "/createdBySubject").into(),
            text(waiver, "/reason").into(),
        ]);
    }
    session.list(&found, "waivers", &table)
}
