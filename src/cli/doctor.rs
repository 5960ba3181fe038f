//! `doctor`: looks for what makes trouble later, and proves the gate. Invariant: each check says what it found and what to do next; what
//! cannot be looked at is a warning, never well; it changes nothing but the draft of the canary.

mod clients;
mod data;
mod gate;
mod machine;
mod server;
mod work;

use std::process::ExitCode;

use serde_json::json;

use super::connection::ServerFlags;
use super::failure::Failure;
use super::places::Places;
use super::session::{self, Session};
use super::table::{Cell, Table};
use super::terminal::{Screen, Style};
use crate::config::Config;
use crate::domain::lifecycle::text_enum;

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArguments {
    /// The repo through which the canary is tried; the token must be allowed to publish there.
    #[arg(long, value_name = "KEY", default_value = "main")]
    repo: String,
}

text_enum! {
    /// How a check ended.
    Grade "grade" {
        /// As it should be.
        Good "ok",
        /// It should be looked at, or could not be.
        Warning "warning",
        /// It is broken.
        Bad "failed",
    }
}

/// What one check found.
#[derive(Debug)]
struct Finding {
    check: String,
    grade: Grade,
    words: String,
    next: Option<String>,
}

impl Finding {
    fn good(check: &str, words: impl Into<String>) -> Finding {
        Finding { check: check.to_owned(), grade: Grade::Good, words: words.into(), next: None }
    }

    fn warning(check: &str, words: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { check: check.to_owned(), grade: Grade::Warning, words: words.into(), next: Some(next.into()) }
    }

    fn bad(check: &str, words: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { check: check.to_owned(), grade: Grade::Bad, words: words.into(), next: Some(next.into()) }
    }
}

/// Checks everything; 1 when something is broken. Of a directory that nobody serves it says what can be said without a server.
pub(super) fn run(flags: ServerFlags, arguments: DoctorArguments) -> ExitCode {
    match flags.unserved() {
        Ok(Some(config)) => without_server(&flags, &config).unwrap_or_else(|failure| failure.report()),
        Ok(None) => session::run(flags, async |session| with_server(session, arguments).await),
        Err(failure) => failure.report(),
    }
}

fn without_server(flags: &ServerFlags, config: &Config) -> Result<ExitCode, Failure> {
    let mut findings = data::look_without_server(&config.data_dir);
    findings.extend(machine::look(flags));
    show(&Screen::of_process(), flags.json, &findings)?;
    Ok(grade(&findings))
}

async fn with_server(session: Session, arguments: DoctorArguments) -> Result<ExitCode, Failure> {
    let mut findings = server::look(&session).await?;
    findings.push(work::time(&session).await);
    findings.push(work::failures(&session).await);
    findings.push(work::decisions(&session, &arguments.repo).await);
    findings.extend(data::look(&session.flags));
    findings.extend(machine::look(&session.flags));
    if let Some(address) = session.flags.find_address()? {
        findings.extend(clients::look(address, &Places::of_process()));
    }
    findings.extend(gate::prove(&session, &arguments.repo).await?);
    show(&session.screen, session.is_json, &findings)?;
    Ok(grade(&findings))
}

fn grade(findings: &[Finding]) -> ExitCode {
    let is_broken = findings.iter().any(|finding| finding.grade == Grade::Bad);
    if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn show(screen: &Screen, is_json: bool, findings: &[Finding]) -> Result<(), Failure> {
    if is_json {
        let checks: Vec<_> = findings
            .iter()
            .map(|finding| json!({"check": finding.check, "grade": finding.grade, "message": finding.words, "next": finding.next}))
            .collect();
        return screen.print_json(&json!({"checks": checks}).to_string());
    }
    let mut table = Table::new(&[]);
    for finding in findings {
        let style = match finding.grade {
            Grade::Good => Some(Style::Good),
            Grade::Warning => None,
            Grade::Bad => Some(Style::Bad),
        };
        table.row(vec![Cell::styled(style, finding.grade.as_str()), finding.check.as_str().into(), finding.words.as_str().into()]);
        if let Some(next) = &finding.next {
            table.note(format!("         {next}"));
        }
    }
    screen.print(&table.render(screen))
}
