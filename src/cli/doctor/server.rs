//! What the server says of itself: readiness, clock, disk, journal, backlog, advisories, policy. Invariant: a document that the server does
//! not give is a warning.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::fields::{count, moment, text};
use super::super::session::Session;
use super::super::table::{bytes, counted, span};
use super::{Finding, work};

/// Clocks that differ by more than this make ages wrong.
const CLOCK_LIMIT_SECONDS: i64 = 60;
/// With less free than this, writes will soon be refused.
pub(super) const FREE_LIMIT_BYTES: u64 = 1 << 30;
/// A journal this large is not being written back: something reads for very long.
const WAL_LIMIT_BYTES: u64 = 256 << 20;
/// Advisories older than this miss what is found meanwhile.
const ADVISORIES_LIMIT_SECONDS: i64 = 7 * 86_400;

/// Asks the server about itself.
///
/// # Errors
/// When nobody answers.
pub(super) async fn look(session: &Session) -> Result<Vec<Finding>, Failure> {
    let ready = session.client.readiness().await?;
    let mut findings = vec![if ready.is_success {
        Finding::good("readiness", "the server can serve")
    } else {
        let why = text(&ready.json, "/message").unwrap_or_else(|| "the server does not say why".to_owned());
        Finding::bad("readiness", why, "look at the log of the server; artifortress status tells more")
    }];
    match document(session, &["v1", "admin", "ops", "summary"]).await {
        Ok(summary) => findings.extend(of_summary(session, &summary)),
        Err(why) => findings.push(Finding::warning("operations", why, "give an administrator's token with --token-file")),
    }
    findings.push(policy(session).await);
    findings.push(advisories(session).await);
    Ok(findings)
}

async fn document(session: &Session, path: &[&str]) -> Result<Value, String> {
    session.client.get(path, &[]).await.map(|answer| answer.json).map_err(|failure| failure.to_string())
}

fn of_summary(session: &Session, summary: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(at) = moment(summary, "/at") {
        let apart = session.now().seconds_since(at).max(at.seconds_since(session.now()));
        findings.push(if apart <= CLOCK_LIMIT_SECONDS {
            Finding::good("clock", "the server's clock agrees with this machine's")
        } else {
            let words = format!("the server's clock and this machine's are {} apart", span(apart.unsigned_abs()));
            Finding::warning("clock", words, "set both by NTP: cooldowns, expiry and audit go by the server's clock")
        });
    }
    match count(summary, "/disk/freeBytes") {
        Some(free) if free < FREE_LIMIT_BYTES => {
            findings.push(Finding::bad("disk", format!("{} free", bytes(free)), "make room: without it uploads are refused"));
        }
        Some(free) => findings.push(Finding::good("disk", format!("{} free", bytes(free)))),
        None => findings.push(Finding::warning("disk", "the disk does not say how much is free", "look at the log of the server")),
    }
    if let Some(wal) = count(summary, "/databases/state/walBytes") {
        findings.push(if wal > WAL_LIMIT_BYTES {
            let words = format!("the journal of state.db has {}", bytes(wal));
            Finding::warning("journal", words, "something reads the database for very long; look for a backup or a tool that holds it open")
        } else {
            Finding::good("journal", format!("{} in the journal of state.db", bytes(wal)))
        });
    }
    findings.extend(work::of_summary(summary));
    findings
}

async fn policy(session: &Session) -> Finding {
    match session.client.find(&["v1", "policy"]).await {
        Ok(Some(answer)) => {
            let rules = answer.json.pointer("/rules").and_then(Value::as_array).map_or(0, Vec::len);
            Finding::good("policy", format!("the instance has a policy of {}", counted(rules as u64, "rule")))
        }
        Ok(None) => Finding::warning(
            "policy",
            "the instance has no policy: what no repo's own policy forbids is let in",
            "artifortress policy starter --apply switches a commented one on",
        ),
        Err(why) => Finding::warning("policy", why.to_string(), "give an administrator's token with --token-file"),
    }
}

async fn advisories(session: &Session) -> Finding {
    let next = "artifortress advisories import FILE... takes OSV records";
    match document(session, &["v1", "admin", "advisories"]).await {
        Ok(snapshot) => match moment(&snapshot, "/importedAt") {
            None => Finding::warning("advisories", "none were imported: no rule about them can fire", next),
            Some(at) if session.now().seconds_since(at) > ADVISORIES_LIMIT_SECONDS => {
                let age = session.now().seconds_since(at).unsigned_abs();
                Finding::warning("advisories", format!("last imported {} ago", span(age)), next)
            }
            Some(at) => {
                let age = session.now().seconds_since(at).unsigned_abs();
                let known = count(&snapshot, "/recordCount").map_or_else(String::new, |known| format!("{}, ", counted(known, "record")));
                Finding::good("advisories", format!("{known}imported {} ago", span(age)))
            }
        },
        Err(why) => Finding::warning("advisories", why, next),
    }
}
