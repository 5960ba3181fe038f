//! `gc`: what can be removed, and its removal. Invariant: nothing is removed without `--apply`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{count, moment, text, truth};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Table, bytes, counted, relative};

/// Between looks at a run that goes on.
const PAUSE: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct GcArguments {
    #[command(subcommand)]
    command: Option<GcCommand>,
    /// Remove what the plan names; without it the plan is shown and nothing is removed.
    #[arg(long)]
    apply: bool,
    /// Keep bytes that nothing refers to for so many hours after they were uploaded.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    grace_hours: u32,
    /// Rows that one transaction takes.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    batch_size: u32,
}

#[derive(Debug, clap::Subcommand)]
enum GcCommand {
    /// List the collections so far, newest first.
    List {
        #[command(flatten)]
        extent: Extent,
    },
    /// Compare the database with the disk, and hash a sample of the blobs again.
    Reconcile {
        /// Blobs to hash.
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        sample: u64,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, arguments: GcArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(GcCommand::List { extent }) => list(&session, &extent).await,
        Some(GcCommand::Reconcile { sample }) => reconcile(&session, sample).await,
        None => {
            let body = json!({"dryRun": !arguments.apply, "graceHours": arguments.grace_hours, "batchSize": arguments.batch_size});
            let mut answer = session.client.send(reqwest::Method::POST, &["v1", "admin", "gc", "runs"], &body).await?;
            while text(&answer.json, "/state").as_deref() == Some("running") {
                let id = text(&answer.json, "/runId").unwrap_or_default();
                tokio::time::sleep(PAUSE).await;
                answer = session.client.get(&["v1", "admin", "gc", "runs", &id], &[]).await?;
            }
            let is_done = text(&answer.json, "/state").as_deref() == Some("completed");
            let code = session.tell(&answer, told)?;
            Ok(if is_done { code } else { ExitCode::FAILURE })
        }
    }
}

/// What a run did or would do.
fn told(run: &Value) -> String {
    let number = |pointer| count(run, pointer).unwrap_or(0);
    let what = format!(
        "{} past their time, {} with {}, {} without a row with {}",
        counted(number("/purgedVersions"), "tombstone"),
        counted(number("/removedBlobs"), "blob"),
        bytes(number("/removedBytes")),
        counted(number("/orphanFiles"), "file"),
        bytes(number("/orphanBytes"))
    );
    let is_trial = truth(run, "/dryRun") == Some(true);
    match (text(run, "/error"), is_trial) {
        (Some(error), _) => format!("it ended before its end: {error}\nremoved so far: {what}"),
        (None, true) => format!("would remove: {what}\nnothing was removed; --apply removes it, for good"),
        (None, false) => format!("removed: {what}"),
    }
}

async fn list(session: &Session, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "admin", "gc", "runs"], &[], extent).await?;
    let mut table = Table::new(&["RUN", "BEGUN", "BY", "STATE", "TRIAL", "TOMBSTONES", "BLOBS", "FREED", "ERROR"]);
    for run in &found.items {
        let freed = count(run, "/removedBytes").unwrap_or(0).saturating_add(count(run, "/orphanBytes").unwrap_or(0));
        table.row(vec![
            text(run, "/runId").into(),
            relative(session.now(), moment(run, "/startedAt")).into(),
            text(run, "/startedBySubject").into(),
            text(run, "/state").into(),
            (if truth(run, "/dryRun") == Some(true) { "yes" } else { "no" }).into(),
            count(run, "/purgedVersions").map(|count| count.to_string()).into(),
            count(run, "/removedBlobs").map(|count| count.to_string()).into(),
            bytes(freed).into(),
            text(run, "/error").unwrap_or_default().into(),
        ]);
    }
    session.list(&found, "collections", &table)
}

async fn reconcile(session: &Session, sample: u64) -> Result<ExitCode, Failure> {
    let answer = session.client.get(&["v1", "admin", "reconcile", "blobs"], &[("sample", sample.to_string())]).await?;
    let is_sound = truth(&answer.json, "/sound") == Some(true);
    let code = session.tell(&answer, |found| {
        let number = |pointer| count(found, pointer).unwrap_or(0);
        format!(
            "{} with {}: {} missing, {} damaged ({} hashed); {} without a row, which `artifortress gc --apply` removes",
            counted(number("/blobs"), "blob"),
            bytes(number("/bytes")),
            number("/missing/count"),
            number("/damaged/count"),
            number("/sampled"),
            counted(number("/orphans/count"), "file")
        )
    })?;
    Ok(if is_sound { code } else { ExitCode::FAILURE })
}
