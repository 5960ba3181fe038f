//! `index`: the search index of a running server. Invariant: watching a rebuild changes nothing; ending the watch lets it go on.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::Answer;
use super::complain;
use super::failure::Failure;
use super::fields::{count, text};
use super::session::{Interrupt, Session};
use super::table::{Cell, Table, UNKNOWN, grouped};
use super::terminal::Style;

/// Between two looks at a rebuild.
const LOOK: Duration = Duration::from_millis(500);

/// What to do with the index.
#[derive(Debug, clap::Subcommand)]
pub(super) enum IndexCommand {
    /// Show whether it answers, and how far a rebuild has come.
    Status,
    /// Stop asking and filling it; search answers from the catalogue by name meanwhile.
    Pause,
    /// Take it up again.
    Resume,
    /// Make it anew from the catalogue; search answers from the catalogue by name meanwhile.
    Rebuild {
        /// Show the progress until it is done; Ctrl-C ends the watching, not the rebuild.
        #[arg(long)]
        watch: bool,
    },
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(mut session: Session, command: IndexCommand) -> Result<ExitCode, Failure> {
    const INDEX: [&str; 3] = ["v1", "admin", "search"];
    let [version, admin, search] = INDEX;
    let verb = match command {
        IndexCommand::Status => return show(&session, &status(&session).await?),
        IndexCommand::Pause => "pause",
        IndexCommand::Resume => "resume",
        IndexCommand::Rebuild { .. } => "rebuild",
    };
    let answer = session.client.post(&[version, admin, search, verb]).await?;
    if matches!(command, IndexCommand::Rebuild { watch: true }) {
        return watch(&mut session, answer).await;
    }
    if matches!(command, IndexCommand::Rebuild { .. }) && is_paused(&answer.json) {
        complain(PAUSED);
    }
    show(&session, &answer)
}

/// What a paused index does with an order to rebuild it.
const PAUSED: &str = "the index is paused; it is rebuilt after: artifortress index resume";

fn is_paused(json: &Value) -> bool {
    text(json, "/state").as_deref() == Some("paused")
}

async fn status(session: &Session) -> Result<Answer, Failure> {
    session.client.get(&["v1", "admin", "search", "status"], &[]).await
}

fn show(session: &Session, answer: &Answer) -> Result<ExitCode, Failure> {
    if session.is_json {
        session.screen.print_json(&answer.text)?;
    } else {
        session.screen.print(&table(&answer.json).render(&session.screen))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(json: &Value) -> Table {
    let known = |pointer| count(json, pointer).map(grouped);
    let mut table = Table::new(&[]);
    table.row(vec!["state".into(), state(json)]);
    table.row(vec!["documents".into(), known("/documents").into()]);
    for (name, pointer) in [("jobs pending", "/jobs/pending"), ("jobs failed", "/jobs/failed"), ("jobs dead", "/jobs/dead")] {
        table.row(vec![name.into(), known(pointer).into()]);
    }
    if let Some(progress) = progress(json) {
        table.row(vec!["rebuild".into(), progress.into()]);
    }
    table
}

/// The state of the index as a cell.
fn state(json: &Value) -> Cell {
    let state = text(json, "/state");
    let style = match state.as_deref() {
        Some("ready") => Some(Style::Good),
        Some("rebuilding") | None => None,
        Some(_) => Some(Style::Bad),
    };
    Cell::styled(style, state.unwrap_or_else(|| UNKNOWN.to_owned()))
}

/// How far a rebuild has come, such as `43 % (4,300 of 10,000 versions)`; nothing when there is none.
pub(super) fn progress(json: &Value) -> Option<String> {
    let done = count(json, "/rebuild/indexed").or_else(|| count(json, "/rebuild/enqueued"))?;
    let total = count(json, "/rebuild/total")?;
    if total == 0 && done == 0 {
        return Some("beginning".to_owned());
    }
    // Versions that came in after the beginning are done as well.
    let percent = done.min(total).saturating_mul(100).checked_div(total).unwrap_or(100);
    Some(format!("{percent} % ({} of {} versions)", grouped(done.min(total)), grouped(total)))
}

/// Whether a rebuild is under way.
fn is_rebuilding(json: &Value) -> bool {
    text(json, "/state").as_deref() == Some("rebuilding") || json.pointer("/rebuild").is_some_and(|rebuild| !rebuild.is_null())
}

async fn watch(session: &mut Session, mut answer: Answer) -> Result<ExitCode, Failure> {
    let (mut told, mut interrupt) = (String::new(), Interrupt::listen()?);
    while is_rebuilding(&answer.json) {
        if is_paused(&answer.json) {
            return Err(Failure::Failed(PAUSED.to_owned()));
        }
        let line = format!("rebuilding: {}", progress(&answer.json).unwrap_or_else(|| UNKNOWN.to_owned()));
        if !session.is_json && line != told {
            session.screen.draw(&line)?;
            told = line;
        }
        let look = async {
            tokio::time::sleep(LOOK).await;
            status(session).await
        };
        match interrupt.or(look).await {
            Some(next) => answer = next?,
            None => return Ok(ExitCode::SUCCESS),
        }
    }
    if !session.is_json {
        session.screen.draw("rebuilt")?;
    }
    show(session, &answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn progress_is_a_percentage_that_never_passes_a_hundred() {
        for (indexed, total, shown) in [
            (0, 10_000, "0 % (0 of 10,000 versions)"),
            (4_350, 10_000, "43 % (4,350 of 10,000 versions)"),
            (12, 10, "100 % (10 of 10 versions)"),
            (0, 0, "beginning"),
        ] {
            assert_eq!(progress(&json!({"rebuild": {"indexed": indexed, "total": total}})).unwrap(), shown);
        }
        assert_eq!(progress(&json!({"rebuild": null})), None);
    }

    #[test]
    fn an_index_is_being_rebuilt_when_the_server_says_either() {
        assert!(is_rebuilding(&json!({"state": "rebuilding"})));
        assert!(is_rebuilding(&json!({"state": "paused", "rebuild": {"indexed": 0, "total": 1}})));
        assert!(!is_rebuilding(&json!({"state": "ready", "rebuild": null})));
        assert!(!is_rebuilding(&Value::Null));
    }
}
