//! `status`: how a running server is. Invariant: what is wrong comes first, in words; the exit code is 0 for a server that is ready, and 1
//! for one that is not or cannot be asked.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::Answer;
use super::failure::Failure;
use super::health::Look;
use super::session::{Interrupt, Session};
use super::terminal::Style;

/// How to look.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArguments {
    /// Look again every SECONDS (2 by default), until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

/// A look and its documents as one.
struct Seen {
    look: Look,
    document: String,
}

/// Shows it, once or again and again.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(mut session: Session, arguments: StatusArguments) -> Result<ExitCode, Failure> {
    if let Some(seconds) = arguments.watch {
        return watch(&mut session, Duration::from_secs(seconds)).await;
    }
    let seen = look(&session).await?;
    if session.is_json {
        session.screen.print_json(&seen.document)?;
    } else {
        session.screen.print(&page(&session, &seen.look))?;
    }
    Ok(if seen.look.is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(session: &Session) -> Result<Seen, Failure> {
    let ready = session.client.readiness().await?;
    let summary = part(session, &ready, &["v1", "admin", "ops", "summary"]).await?;
    let search = part(session, &ready, &["v1", "admin", "search", "status"]).await?;
    let text = |answer: &Option<Answer>| answer.as_ref().map_or_else(|| "null".to_owned(), |answer| answer.text.trim().to_owned());
    let document = format!("{{\"ready\":{},\"summary\":{},\"search\":{}}}", ready.text.trim(), text(&summary), text(&search));
    let json = |answer: Option<Answer>| answer.map_or(Value::Null, |answer| answer.json);
    let look = Look { is_ready: ready.is_success, ready: ready.json, summary: json(summary), search: json(search) };
    Ok(Seen { look, document })
}

/// A further document. A server that is not ready may be unable to give it, which then is not what matters.
async fn part(session: &Session, ready: &Answer, path: &[&str]) -> Result<Option<Answer>, Failure> {
    match session.client.get(path, &[]).await {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Failed(_)) if !ready.is_success => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn page(session: &Session, look: &Look) -> String {
    let faults = look.faults(&session.flags.typed_again());
    let headline = if faults.is_empty() {
        session.screen.paint(Style::Good, "all is well")
    } else {
        faults.iter().map(|fault| session.screen.paint(Style::Bad, fault)).collect::<Vec<_>>().join("\n")
    };
    format!("{headline}\n\n{}", look.table().render(&session.screen))
}

/// Looks until Ctrl-C. A server that goes away is looked for again, since it may come back, at another address too.
async fn watch(session: &mut Session, pause: Duration) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut seen = interrupt.or(look(session)).await;
    while let Some(found) = seen {
        draw(session, &found)?;
        if interrupt.or(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
        let lost = found.err().map(|_| session.reconnect()).transpose();
        seen = match lost {
            Ok(_) => interrupt.or(look(session)).await,
            Err(failure) => Some(Err(failure)),
        };
    }
    Ok(ExitCode::SUCCESS)
}

/// On a terminal over what was drawn before, elsewhere as a further line.
fn draw(session: &mut Session, found: &Result<Seen, Failure>) -> Result<(), Failure> {
    let is_terminal = session.screen.is_terminal;
    match found {
        Ok(seen) if session.is_json => session.screen.print_json(&seen.document),
        Ok(seen) if is_terminal => {
            let text = format!(
                "{}\n\n{}",
                page(session, &seen.look),
                session.screen.paint(Style::Faint, &format!("{}; Ctrl-C ends", session.now()))
            );
            session.screen.draw(&text)
        }
        Ok(seen) => session.screen.print(&format!("{} {}", session.now(), seen.look.line(&session.flags.typed_again()))),
        Err(failure) if is_terminal && !session.is_json => {
            let text = format!("{}\n\n{}; Ctrl-C ends", session.screen.paint(Style::Bad, &failure.to_string()), session.now());
            session.screen.draw(&text)
        }
        // Into a file, an outage is a line like any other.
        Err(failure) if !session.is_json => session.screen.print(&format!("{} {failure}", session.now())),
        Err(failure) => {
            failure.report();
            Ok(())
        }
    }
}
