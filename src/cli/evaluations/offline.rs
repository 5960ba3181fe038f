//! `evaluations verify` without a server: on the directory of one that is stopped, or on a copy. Invariant: it opens the database alone,
//! as one that nobody changes, and no byte of the directory is another one afterwards.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::{Findings, VerifyArguments, code, one};
use crate::api::{finding, tally};
use crate::cli::failure::Failure;
use crate::cli::fields::truth;
use crate::cli::terminal::Screen;
use crate::domain::id::EvaluationId;
use crate::error::Error;
use crate::policy::{CedarEngine, Engine as _};
use crate::registry::{Finding, Stretch, Verifying, parsed, prove};
use crate::store::Ledger;

/// Verifies what the arguments name.
///
/// # Errors
/// When the directory cannot be read, or today's verdicts are asked for, which need a server.
pub(super) fn verify(directory: &Path, arguments: &VerifyArguments, is_json: bool) -> Result<ExitCode, Failure> {
    if arguments.today {
        let message = format!("no server runs on {}; today's verdicts need one: leave --today out, or start it", directory.display());
        return Err(Failure::Failed(message));
    }
    let ledger = Ledger::open(directory).map_err(told)?;
    let engine = CedarEngine::new().map_err(told)?;
    match arguments.id {
        Some(id) => verify_one(&ledger, &engine, id, is_json),
        None => verify_many(&ledger, &engine, arguments, is_json),
    }
}

/// Who runs the program on the directory may read every cause.
fn told(error: Error) -> Failure {
    Failure::Failed(error.cause().map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})")))
}

fn verify_one(ledger: &Ledger, engine: &CedarEngine, id: EvaluationId, is_json: bool) -> Result<ExitCode, Failure> {
    let recorded = ledger.evaluation(&id).map_err(told)?;
    let snapshot = ledger.policies_of(&recorded.evaluation).map_err(told)?;
    let policies = parsed(engine, &snapshot).map_err(told)?;
    let proof = prove(engine, recorded, &snapshot, &policies).map_err(told)?;
    let proof = finding(Finding::Proof(Box::new(proof))).map_err(told)?;
    let screen = Screen::of_process();
    if is_json {
        screen.print_json(&proof.to_string())?;
    } else {
        screen.print(&one(&screen, &proof))?;
    }
    Ok(if truth(&proof, "/matches") == Some(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify_many(ledger: &Ledger, engine: &CedarEngine, arguments: &VerifyArguments, is_json: bool) -> Result<ExitCode, Failure> {
    let repos = match &arguments.repo {
        Some(repo) => [repo.clone()].into(),
        None => ledger.repos().map_err(told)?,
    };
    let mut verifying = Verifying::new(Stretch { repos, since: arguments.since, until: arguments.until });
    let screen = Screen::of_process();
    let mut shown = Findings::default();
    let mut comma = "";
    if is_json {
        screen.print("{\"items\":[")?;
    }
    while let Some(found) = verifying.next(ledger, engine, None).map_err(told)? {
        for item in found {
            let item = finding(item).map_err(told)?;
            if is_json {
                screen.print_json(&format!("{comma}{item}"))?;
                comma = ",";
            } else {
                shown.add(&item);
            }
        }
    }
    let summary: Value = tally(verifying.tally());
    if is_json {
        screen.print_json(&format!("],\"summary\":{summary},\"complete\":true}}"))?;
    } else {
        screen.print(&format!("{} (by {}, without a server)", shown.page(&summary), engine.version()))?;
    }
    Ok(code(&summary))
}
