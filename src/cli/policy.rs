//! `policy`: write a policy, try it, store it, look at it. Invariant: what needs no server asks none; what is stored was checked and has
//! passed its cases on the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::connection::ServerFlags;
use super::failure::Failure;
use super::fields::{count, list, moment, text};
use super::session::{self, Session};
use super::table::{Cell, Table, counted, relative};
use super::terminal::Style;
use crate::domain::name::RepoKey;
use crate::policy::{STARTER, STARTER_CASES};

mod dry_run;
mod files;
mod local;

/// What to do with policies.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PolicyCommand {
    /// List every fact that a rule can ask for, as a table in Markdown; needs no server.
    Facts,
    /// Print the starter policy, or switch it on.
    Starter(StarterArguments),
    /// Try a policy on its cases; needs no server.
    Test(FileArguments),
    /// Have the server check a policy and its cases without storing them.
    Check(FileArguments),
    /// Store a policy, which then decides.
    Put {
        #[command(flatten)]
        file: FileArguments,
        /// The repo; without it the policy is the instance's.
        #[arg(long, value_name = "REPO")]
        repo: Option<RepoKey>,
        /// Store it without cases, also where the one before has some.
        #[arg(long, conflicts_with = "cases")]
        no_cases: bool,
    },
    /// Try a policy on everything that is stored, without storing it.
    DryRun(dry_run::DryRunArguments),
    /// Show the policy in force.
    Show(ShowArguments),
}

/// A policy in a file.
#[derive(Debug, clap::Args)]
pub(super) struct FileArguments {
    /// The policy, such as main.cedar.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its cases; by default main.cases.toml beside main.cedar, if there is such a file.
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
}

/// What to do with the starter policy.
#[derive(Debug, clap::Args)]
pub(super) struct StarterArguments {
    /// Print its cases in place of the policy.
    #[arg(long, conflicts_with = "apply")]
    cases: bool,
    /// Switch it on.
    #[arg(long)]
    apply: bool,
    /// In this repo only; without it in the whole instance.
    #[arg(long, value_name = "REPO", requires = "apply")]
    repo: Option<RepoKey>,
    /// Put it in the place of a policy that is in force.
    #[arg(long, requires = "apply")]
    replace: bool,
}

/// Which policy to show.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArguments {
    /// The repo; without it the instance's policy is shown.
    #[arg(long, value_name = "REPO")]
    repo: Option<RepoKey>,
    /// This revision instead of the newest.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// Print the text alone, as it was stored.
    #[arg(long, conflicts_with = "cases")]
    text: bool,
    /// Print the cases alone, as they were stored.
    #[arg(long)]
    cases: bool,
}

/// Runs one of them.
pub(super) fn run(flags: ServerFlags, command: PolicyCommand) -> ExitCode {
    let done = match command {
        PolicyCommand::Facts => local::facts(),
        PolicyCommand::Starter(StarterArguments { apply: false, cases, .. }) => local::starter(if cases { STARTER_CASES } else { STARTER }),
        PolicyCommand::Test(file) => local::test(&file.file, file.cases.as_deref(), flags.json),
        PolicyCommand::Starter(arguments) => return session::run(flags, async |session| start(&session, &arguments).await),
        PolicyCommand::Check(file) => return session::run(flags, async |session| check(&session, &file).await),
        PolicyCommand::Put { file, repo, no_cases } => {
            let cases = if no_cases { Kept::None } else { Kept::AsBefore };
            return session::run(flags, async |session| put(&session, &file, repo.as_ref(), cases).await);
        }
        PolicyCommand::DryRun(arguments) => return session::run(flags, async |session| dry_run::run(&session, &arguments).await),
        PolicyCommand::Show(arguments) => return session::run(flags, async |session| show(&session, &arguments).await),
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// What becomes of the cases that the server has, when no file has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    AsBefore,
    None,
}

/// The address of a policy.
fn path(repo: Option<&RepoKey>) -> Vec<&str> {
    repo.map_or_else(|| vec!["v1", "policy"], |repo| vec!["v1", "repos", repo.as_str(), "policy"])
}

/// How a policy is called.
fn title(repo: Option<&RepoKey>) -> String {
    repo.map_or_else(|| "the instance".to_owned(), |repo| format!("repo {repo}"))
}

async fn start(session: &Session, arguments: &StarterArguments) -> Result<ExitCode, Failure> {
    let repo = arguments.repo.as_ref();
    let before = session.client.find(&path(repo)).await?;
    let revision = before.as_ref().and_then(|policy| count(&policy.json, "/revision")).unwrap_or(0);
    let is_in_force = before.as_ref().is_some_and(|policy| policy.json["rules"].as_array().is_none_or(|rules| !rules.is_empty()));
    if is_in_force && !arguments.replace {
        let flags = session.flags.typed_again();
        return Err(Failure::Failed(format!(
            "{} has a policy, revision {revision}; look at it with: artifortress policy show{}{flags}; --replace puts the starter policy in its place",
            title(repo),
            repo.map_or_else(String::new, |repo| format!(" --repo {repo}"))
        )));
    }
    // Whoever stores another policy in this moment is not overwritten.
    let body = json!({"text": STARTER, "cases": STARTER_CASES, "expectedRevision": revision});
    stored(session, repo, &body).await
}

async fn check(session: &Session, file: &FileArguments) -> Result<ExitCode, Failure> {
    let (policy, cases) = files::read(&file.file, file.cases.as_deref())?;
    let answer = session.client.send_json(Method::POST, &["v1", "policy", "check"], &json!({"text": policy, "cases": cases})).await?;
    if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        session.screen.print(&summary(&answer.json))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(session: &Session, file: &FileArguments, repo: Option<&RepoKey>, kept: Kept) -> Result<ExitCode, Failure> {
    let (policy, cases) = match kept {
        Kept::AsBefore => files::read(&file.file, file.cases.as_deref())?,
        Kept::None => (files::read_policy(&file.file)?, Some(String::new())),
    };
    stored(session, repo, &json!({"text": policy, "cases": cases})).await
}

async fn stored(session: &Session, repo: Option<&RepoKey>, body: &Value) -> Result<ExitCode, Failure> {
    let answer = session.client.send_json(Method::PUT, &path(repo), body).await?;
    if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        let revision = count(&answer.json, "/revision").unwrap_or(0);
        session.screen.print(&format!("revision {revision} of the policy of {} is in force: {}", title(repo), summary(&answer.json)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a policy has, such as `5 rules, 11 cases passed`.
fn summary(policy: &Value) -> String {
    let rules = counted(list(policy, "/rules").len() as u64, "rule");
    let cases = count(policy, "/casesPassed").map_or_else(String::new, |cases| format!(", {} passed", counted(cases, "case")));
    format!("{rules}{cases}")
}

async fn show(session: &Session, arguments: &ShowArguments) -> Result<ExitCode, Failure> {
    let mut path = path(arguments.repo.as_ref());
    let revision = arguments.revision.map(|revision| revision.to_string());
    if let Some(revision) = &revision {
        path.extend(["versions", revision]);
    }
    let answer = session.client.get(&path, &[]).await?;
    if arguments.text || arguments.cases {
        let member = if arguments.text { "/text" } else { "/cases" };
        let text = answer.json.pointer(member).and_then(Value::as_str).unwrap_or_default();
        session.screen.print_text(text)?;
    } else if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        session.screen.print(&page(session, &answer.json))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(session: &Session, policy: &Value) -> String {
    let mut table = Table::new(&["RULE", "DECISION", "MODE", "LINE", "MESSAGE"]);
    for rule in list(policy, "/rules") {
        let mode = text(rule, "/mode");
        let style = mode.as_deref().filter(|mode| *mode == "observe").map(|_| Style::Faint);
        table.row(vec![
            text(rule, "/id").into(),
            text(rule, "/decision").into(),
            Cell::styled(style, mode.unwrap_or_default()),
            count(rule, "/line").map(|line| line.to_string()).into(),
            text(rule, "/message").into(),
        ]);
    }
    let when = relative(session.now(), moment(policy, "/createdAt"));
    let by = text(policy, "/createdBySubject").unwrap_or_default();
    let cases = if policy["cases"].is_string() { ", with cases" } else { ", without cases" };
    let head = format!("revision {}, {when} by {by}{cases}", count(policy, "/revision").unwrap_or(0));
    format!("{head}\n\n{}", table.render(&session.screen))
}

/// Where the cases of a policy lie when nobody says: main.cases.toml beside main.cedar.
fn cases_beside(policy: &Path) -> PathBuf {
    policy.with_extension("cases.toml")
}
