//! What the server says of its work: the index, what was given up or hangs, the last decisions of the gate, and the order of time in its
//! records. Invariant: a document that the server does not give is a warning.

use serde_json::Value;

use super::super::fields::{count, list, moment, text};
use super::super::session::Session;
use super::super::table::{counted, span};
use super::Finding;

/// A job that is late by more than this is not merely waiting its turn.
const LATE_LIMIT_SECONDS: u64 = 900;
/// Decisions that are looked at.
const DECISIONS: &str = "50";
/// So many refusals in a row, and none let in, are the policy's doing.
const REFUSALS_IN_A_ROW: usize = 5;
/// Records further in the future than this were written by a clock that was wrong, or is now.
const FUTURE_LIMIT_SECONDS: i64 = 60;

/// What the summary of the server says of its index and its queue.
pub(super) fn of_summary(summary: &Value) -> Vec<Finding> {
    vec![index(summary), given_up(summary), stuck(summary)]
}

fn index(summary: &Value) -> Finding {
    let behind = summary.pointer("/search/freshnessLagSeconds").and_then(Value::as_i64).unwrap_or(0);
    match text(summary, "/search/state").as_deref() {
        Some("ready") if behind > LATE_LIMIT_SECONDS.cast_signed() => {
            let words = format!("the search index is {} behind", span(behind.unsigned_abs()));
            Finding::warning("index", words, "artifortress jobs list --kind search_index names what waits")
        }
        Some("ready") => Finding::good("index", "the search index is whole"),
        Some("rebuilding") => Finding::warning("index", "the search index is being filled", "nothing to do; artifortress index status"),
        Some("paused") => Finding::warning("index", "the search index is paused", "artifortress index resume fills it and uses it again"),
        _ => Finding::warning(
            "index",
            "the search index cannot be used; names are found in the catalogue, nothing else is affected",
            "artifortress index rebuild --watch; when that does not help, stop the server, delete search.db, start it",
        ),
    }
}

fn given_up(summary: &Value) -> Finding {
    let (jobs, events) = (count(summary, "/jobs/dead").unwrap_or(0), count(summary, "/outbox/dead").unwrap_or(0));
    match (jobs, events) {
        (0, 0) => Finding::good("backlog", "no job and no event was given up"),
        (0, events) => {
            Finding::warning("backlog", format!("{} given up", counted(events, "event")), "artifortress outbox list --state dead says why")
        }
        (jobs, 0) => {
            Finding::warning("backlog", format!("{} given up", counted(jobs, "job")), "artifortress jobs list --state dead says why")
        }
        (jobs, events) => {
            let words = format!("{} and {} given up", counted(jobs, "job"), counted(events, "event"));
            Finding::warning("backlog", words, "artifortress jobs list --state dead, and outbox list --state dead, say why")
        }
    }
}

fn stuck(summary: &Value) -> Finding {
    let late = count(summary, "/oldestDueJobAgeSeconds").unwrap_or(0);
    let stale = count(summary, "/staleJobs").unwrap_or(0);
    if late > LATE_LIMIT_SECONDS {
        let words = format!("a job waits for {} past its time", span(late));
        return Finding::bad("workers", words, "ask /health/ready; when it says that the workers do not answer, restart the server");
    }
    if stale > 0 {
        let words = format!("{} whose worker ended in the middle", counted(stale, "job"));
        return Finding::warning(
            "workers",
            words,
            "they are claimed again when their lease ends; artifortress jobs list --state processing",
        );
    }
    Finding::good("workers", "no job hangs")
}

/// What the gate decided last in `repo`: a policy that lets nothing in is told.
pub(super) async fn decisions(session: &Session, repo: &str) -> Finding {
    let path = ["v1", "repos", repo, "policy", "evaluations"];
    let found = match session.client.get(&path, &[("limit", DECISIONS.to_owned())]).await {
        Ok(answer) => answer.json,
        Err(why) => return Finding::warning("decisions", why.to_string(), "give a reviewer's token with --token-file"),
    };
    // The canary is refused on purpose.
    let is_canary = |item: &Value| {
        let rules = list(item, "/reasons");
        rules.iter().any(|reason| text(reason, "/rule").as_deref() == Some(crate::domain::candidate::orders::CANARY))
    };
    let last: Vec<&Value> = list(&found, "/items").iter().filter(|item| !is_canary(item)).collect();
    let is_let_in = |item: &Value| text(item, "/decision").as_deref() == Some("allow");
    let refused: Vec<&&Value> = last.iter().take_while(|item| !is_let_in(item)).collect();
    if refused.len() < REFUSALS_IN_A_ROW {
        let let_in = last.iter().filter(|item| is_let_in(item)).count();
        return Finding::good("decisions", format!("{let_in} of the last {} in {repo} let in", counted(last.len() as u64, "decision")));
    }
    let rules = refused.iter().flat_map(|item| list(item, "/reasons")).filter_map(|reason| text(reason, "/rule"));
    let mut rules: Vec<String> = rules.collect();
    rules.sort();
    rules.dedup();
    let words =
        format!("none of the last {} in {repo} was let in (rules: {})", counted(refused.len() as u64, "decision"), rules.join(", "));
    let next = "artifortress evaluations list, then explain ID says what would let it in; artifortress policy show --revision NUMBER --text has an earlier policy";
    Finding::warning("decisions", words, next)
}

/// Whether the gate failed to answer lately, by the audit.
pub(super) async fn failures(session: &Session) -> Finding {
    for action in ["policy.error", "policy.timeout"] {
        let query = [("action", action.to_owned()), ("limit", "1".to_owned())];
        let found = match session.client.get(&["v1", "audit"], &query).await {
            Ok(answer) => answer.json,
            Err(why) => return Finding::warning("engine", why.to_string(), "give an administrator's token with --token-file"),
        };
        let Some(at) = list(&found, "/items").first().and_then(|row| moment(row, "/time")) else { continue };
        let age = session.now().seconds_since(at);
        if age < 3_600 {
            let words = format!("the gate could not answer {} ago ({action}), and let nothing in", span(age.unsigned_abs()));
            let next = "the audit and the log name the version: simplify the rule, or raise policy.evaluation_timeout_ms";
            return Finding::warning("engine", words, next);
        }
    }
    Finding::good("engine", "the gate has answered for an hour whenever it was asked")
}

/// Whether the newest record lies in the future: then the clock was wrong when it was written, or is now.
pub(super) async fn time(session: &Session) -> Finding {
    let found = match session.client.get(&["v1", "audit"], &[("limit", "1".to_owned())]).await {
        Ok(answer) => answer.json,
        Err(why) => return Finding::warning("time", why.to_string(), "give an administrator's token with --token-file"),
    };
    let ahead = list(&found, "/items").first().and_then(|row| moment(row, "/time")).map_or(0, |at| at.seconds_since(session.now()));
    if ahead > FUTURE_LIMIT_SECONDS {
        let words = format!("the newest audit row was written {} in the future: the clock was set back", span(ahead.unsigned_abs()));
        let next =
            "set the clock by NTP; tokens and waivers made meanwhile end too late (token list, waivers list), and cooldowns open too late";
        return Finding::bad("time", words, next);
    }
    Finding::good("time", "no record lies in the future")
}
