//! `evaluations`: what the policy decided, its proof, and its reasons in words. Invariant: the exit code of `verify` is 1 when a record is
//! not what its input comes to; what would be decided otherwise today is shown and is no failure.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::connection::ServerFlags;
use super::failure::Failure;
use super::fields::{count, list as items, moment, text, truth};
use super::lines::{Line, Lines, print_document};
use super::pages::{Extent, collect};
use super::session::{self, Session};
use super::table::{Cell, Table, UNKNOWN, counted, grouped, relative};
use super::terminal::{Screen, Style};
use crate::domain::candidate::{Action, Decision};
use crate::domain::id::{EvaluationId, VersionId};
use crate::domain::name::RepoKey;
use crate::domain::time::Time;

mod offline;

/// The repo that a first start makes.
const USUAL_REPO: &str = "main";
/// Records that differ which are shown to a person.
const SHOWN: usize = 20;

/// What to do with recorded decisions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum EvaluationsCommand {
    /// List what was decided, the newest first.
    List {
        #[command(flatten)]
        repo: InRepo,
        /// Only those of this version.
        #[arg(long, value_name = "ID")]
        version_id: Option<VersionId>,
        /// Only those of this way in: publish, promote, restore, fetch or import.
        #[arg(long)]
        action: Option<Action>,
        /// Only those with this decision: allow, quarantine or deny.
        #[arg(long)]
        decision: Option<Decision>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one with its whole input, as JSON.
    Show {
        /// The evaluation.
        id: EvaluationId,
        #[command(flatten)]
        repo: InRepo,
    },
    /// Say in words which rule fired on which fact, and what would stop it.
    Explain {
        /// The evaluation.
        id: EvaluationId,
        #[command(flatten)]
        repo: InRepo,
    },
    /// Judge recorded inputs again and hold the records against that; without a running server on its data directory or on a copy.
    Verify(VerifyArguments),
}

/// A repo, `main` when none is said.
#[derive(Debug, clap::Args)]
pub(super) struct InRepo {
    /// The repo.
    #[arg(long, value_name = "REPO", default_value = USUAL_REPO)]
    repo: RepoKey,
}

/// Which records.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    /// This one evaluation.
    #[arg(value_name = "ID", required_unless_present_any = ["all", "repo"])]
    id: Option<EvaluationId>,
    /// All of all repos.
    #[arg(long, conflicts_with_all = ["id", "repo"])]
    all: bool,
    /// All of this repo; with an ID, the repo that it is in.
    #[arg(long, value_name = "REPO")]
    repo: Option<RepoKey>,
    /// None older than this moment.
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    since: Option<Time>,
    /// None younger than this moment.
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    until: Option<Time>,
    /// Tell also what would be decided today; needs the running server.
    #[arg(long)]
    today: bool,
}

/// Runs one of them.
pub(super) fn run(flags: ServerFlags, command: EvaluationsCommand) -> ExitCode {
    match command {
        EvaluationsCommand::List { repo, version_id, action, decision, extent } => {
            let filter = [
                ("versionId", version_id.map(|version| version.to_string())),
                ("action", action.map(|action| action.to_string())),
                ("decision", decision.map(|decision| decision.to_string())),
            ];
            session::run(flags, async |session| list(&session, &repo.repo, filter, &extent).await)
        }
        EvaluationsCommand::Show { id, repo } => session::run(flags, async |session| show(&session, &repo.repo, id).await),
        EvaluationsCommand::Explain { id, repo } => session::run(flags, async |session| explain(&session, &repo.repo, id).await),
        EvaluationsCommand::Verify(arguments) => match flags.unserved_directory() {
            Some(directory) => offline::verify(&directory, &arguments, flags.json).unwrap_or_else(|failure| failure.report()),
            None => session::run(flags, async |session| verify(&session, &arguments).await),
        },
    }
}

async fn list(
    session: &Session,
    repo: &RepoKey,
    filter: [(&'static str, Option<String>); 3],
    extent: &Extent,
) -> Result<ExitCode, Failure> {
    let query: Vec<(&str, String)> = filter.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let found = collect(&session.client, &["v1", "repos", repo.as_str(), "policy", "evaluations"], &query, extent).await?;
    let mut table = Table::new(&["EVALUATION", "WHEN", "ACTION", "DECISION", "VERSION", "RULES"]);
    for evaluation in &found.items {
        let rules: Vec<String> = items(evaluation, "/reasons").iter().filter_map(|reason| text(reason, "/rule")).collect();
        table.row(vec![
            text(evaluation, "/evaluationId").into(),
            relative(session.now(), moment(evaluation, "/evaluatedAt")).into(),
            text(evaluation, "/action").into(),
            decision(text(evaluation, "/decision")),
            text(evaluation, "/versionId").into(),
            rules.join(", ").into(),
        ]);
    }
    session.list(&found, "evaluations", &table)
}

fn decision(decision: Option<String>) -> Cell {
    let style = match decision.as_deref() {
        Some("allow") => Some(Style::Good),
        Some(_) => Some(Style::Bad),
        None => None,
    };
    Cell::styled(style, decision.unwrap_or_else(|| UNKNOWN.to_owned()))
}

async fn show(session: &Session, repo: &RepoKey, id: EvaluationId) -> Result<ExitCode, Failure> {
    let id = id.to_string();
    let answer = session.client.get(&["v1", "repos", repo.as_str(), "policy", "evaluations", &id], &[]).await?;
    // It is a document: people read it best with its members under each other.
    let pretty = serde_json::to_string_pretty(&answer.json).ok().filter(|_| !session.is_json);
    session.screen.print_json(pretty.as_deref().unwrap_or(&answer.text))?;
    Ok(ExitCode::SUCCESS)
}

async fn explain(session: &Session, repo: &RepoKey, id: EvaluationId) -> Result<ExitCode, Failure> {
    let id = id.to_string();
    let answer = session.client.get(&["v1", "repos", repo.as_str(), "policy", "evaluations", &id, "explain"], &[]).await?;
    if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        let sentences: Vec<String> = items(&answer.json, "/words").iter().filter_map(|said| text(said, "")).collect();
        session.screen.print(&sentences.join("\n\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(session: &Session, arguments: &VerifyArguments) -> Result<ExitCode, Failure> {
    if let Some(id) = arguments.id {
        return verify_one(session, arguments, id).await;
    }
    let repo = arguments.repo.as_ref().map(ToString::to_string);
    let mut path = repo.as_ref().map_or_else(|| vec!["v1", "policy"], |repo| vec!["v1", "repos", repo, "policy"]);
    path.extend(["evaluations", "verify"]);
    let body = json!({"since": arguments.since, "until": arguments.until, "today": arguments.today});
    let mut lines = Lines::ask(&session.client, &path, &body).await?;
    let summary = if session.is_json {
        print_document(session, &mut lines).await?
    } else {
        let mut shown = Findings::default();
        loop {
            match lines.next().await? {
                Line::Item(item) => shown.add(&serde_json::from_str(item.get()).unwrap_or(Value::Null)),
                Line::Progress => {}
                Line::Summary(summary) => break session.screen.print(&shown.page(&summary)).map(|()| summary)?,
            }
        }
    };
    Ok(code(&summary))
}

async fn verify_one(session: &Session, arguments: &VerifyArguments, id: EvaluationId) -> Result<ExitCode, Failure> {
    let (id, repo) = (id.to_string(), arguments.repo.as_ref().map_or(USUAL_REPO, RepoKey::as_str));
    let path = ["v1", "repos", repo, "policy", "evaluations", &id, "verify"];
    let query = if arguments.today { vec![("today", "true".to_owned())] } else { Vec::new() };
    let answer = session.client.send_empty(Method::POST, &path, &query).await?;
    if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        session.screen.print(&one(&session.screen, &answer.json))?;
    }
    Ok(if truth(&answer.json, "/matches") == Some(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The exit code of a summary.
fn code(summary: &Value) -> ExitCode {
    let is_proven = ["/mismatched", "/failed"].iter().all(|pointer| count(summary, pointer) == Some(0));
    if is_proven { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One proof for a person.
fn one(screen: &Screen, proof: &Value) -> String {
    let id = text(proof, "/evaluationId").unwrap_or_default();
    let mut lines = Vec::new();
    if truth(proof, "/matches") == Some(true) {
        let decision = text(proof, "/recorded/decision").unwrap_or_default();
        lines.push(screen.paint(Style::Good, &format!("{id} is proven: {decision}, to the byte")));
    } else {
        lines.push(screen.paint(Style::Bad, &format!("{id} is not what its input comes to")));
        lines.extend(differences(proof));
    }
    if truth(proof, "/sameEngine") == Some(false) {
        let engine = |pointer| text(proof, pointer).unwrap_or_default();
        lines.push(format!("it was decided by {}; this is {}", engine("/recorded/policyEngineVersion"), engine("/policyEngineVersion")));
    }
    lines.extend(drift(proof));
    lines.join("\n")
}

fn differences(proof: &Value) -> Vec<String> {
    let failure = text(proof, "/failure").map(|why| format!("  it cannot be judged again: {why}"));
    let member = |mismatch: &Value| {
        let of = |pointer| text(mismatch, pointer).unwrap_or_default();
        format!("  {} is recorded as {} and comes to {}", of("/member"), of("/recorded"), of("/now"))
    };
    failure.into_iter().chain(items(proof, "/mismatches").iter().map(member)).collect()
}

fn drift(proof: &Value) -> Option<String> {
    let now = text(proof, "/today/decision")?;
    let rules: Vec<String> = items(proof, "/today/reasons").iter().filter_map(|reason| text(reason, "/rule")).collect();
    let by = if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
    Some(match truth(proof, "/today/differs") {
        Some(true) => format!("  today it would be {now}{by}"),
        Some(false) | None => "  today it would be the same".to_owned(),
    })
}

/// Records that differ, as far as a person is shown them.
#[derive(Debug, Default)]
struct Findings {
    lines: Vec<String>,
    found: usize,
}

impl Findings {
    fn add(&mut self, proof: &Value) {
        self.found += 1;
        if self.found > SHOWN {
            return;
        }
        self.lines.push(format!("{} in {}", text(proof, "/evaluationId").unwrap_or_default(), text(proof, "/repoKey").unwrap_or_default()));
        self.lines.extend(differences(proof));
        self.lines.extend(drift(proof));
    }

    fn page(mut self, summary: &Value) -> String {
        if self.found > SHOWN {
            self.lines.push(format!("and {} more; --json has all of them", grouped((self.found - SHOWN) as u64)));
        }
        let of = |pointer| count(summary, pointer).unwrap_or(0);
        let mut end = format!("{} checked: {} proven", counted(of("/checked"), "record"), grouped(of("/matched")));
        for (pointer, what) in [("/mismatched", "not what their inputs come to"), ("/failed", "cannot be judged again")] {
            if of(pointer) > 0 {
                end.push_str(&format!(", {} {what}", grouped(of(pointer))));
            }
        }
        if of("/drifted") > 0 {
            end.push_str(&format!("; {} would be decided otherwise today", grouped(of("/drifted"))));
        }
        self.lines.push(end);
        self.lines.join("\n")
    }
}
