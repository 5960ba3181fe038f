//! What of `policy` needs no server. Invariant: `test` tries a policy with the very engine that a server of this version has.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::files;
use crate::cli::failure::Failure;
use crate::cli::fields::{count, list, text};
use crate::cli::table::counted;
use crate::cli::terminal::{Screen, Style};
use crate::domain::candidate::PolicyLevel;
use crate::error::Error;
use crate::policy::{Cases, CedarEngine, Engine, Tried, fact_table};

/// Prints the table of facts.
///
/// # Errors
/// When nobody reads any more.
pub(super) fn facts() -> Result<ExitCode, Failure> {
    let table = fact_table().map_err(|error| Failure::Failed(error.to_string()))?;
    Screen::of_process().print(&table)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a part of the starter policy.
///
/// # Errors
/// When nobody reads any more.
pub(super) fn starter(text: &str) -> Result<ExitCode, Failure> {
    Screen::of_process().print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Tries a policy on its cases; 1 when it fails one.
///
/// # Errors
/// When a file cannot be read, or has faults.
pub(super) fn test(policy: &Path, cases: Option<&Path>, is_json: bool) -> Result<ExitCode, Failure> {
    let (text, found) = files::read(policy, cases)?;
    let Some(found) = found else {
        let beside = super::cases_beside(policy);
        return Err(Failure::Failed(format!("there are no cases: write {}, or name a file with --cases", beside.display())));
    };
    let refused = |error: Error| {
        let place = |fault: &Value| {
            let file = if fault["file"] == "cases" { "cases" } else { "policy" };
            let help = self::text(fault, "/help").map_or_else(String::new, |help| format!(" ({help})"));
            let (line, column) = (count(fault, "/line").unwrap_or(0), count(fault, "/column").unwrap_or(0));
            format!("\n  {file} line {line}, column {column}: {}{help}", self::text(fault, "/message").unwrap_or_default())
        };
        let members = json!(error.members());
        Failure::Failed(format!("{error}{}", list(&members, "/faults").iter().map(place).collect::<String>()))
    };
    let engine = CedarEngine::new().map_err(refused)?;
    let document = Arc::new(engine.check(&text).map_err(refused)?);
    let tried = Cases::read(&found).and_then(|cases| cases.try_on(&engine, PolicyLevel::Instance, &document)).map_err(refused)?;
    let failed = tried.iter().filter(|case| !case.passed).count();
    let screen = Screen::of_process();
    if is_json {
        screen.print_json(&json!({"ok": failed == 0, "failed": failed, "cases": tried}).to_string())?;
    } else {
        screen.print(&page(&screen, &tried, failed))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(screen: &Screen, tried: &[Tried], failed: usize) -> String {
    let line = |case: &Tried| match case.passed {
        true => format!("{}    {}", screen.paint(Style::Good, "ok"), case.name),
        false => format!("{}  {} (line {})\n        {}", screen.paint(Style::Bad, "FAIL"), case.name, case.line, case.difference()),
    };
    let lines = tried.iter().map(line).collect::<Vec<_>>().join("\n");
    let end = match failed {
        0 => format!("{} passed", counted(tried.len() as u64, "case")),
        failed => format!("{} of {} failed", failed, counted(tried.len() as u64, "case")),
    };
    format!("{lines}\n\n{end}")
}
