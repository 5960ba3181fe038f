//! `/q/{quarantineId}`: the page that refusals name. Invariant: it says what is held, why, since when, until when and what to do, to those
//! who may read the repo, and nothing of the content.

use std::sync::Arc;

use askama::Template;

use super::page;
use crate::app::App;
use crate::domain::access::Caller;
use crate::domain::candidate::Reason;
use crate::domain::id::QuarantineId;
use crate::domain::lifecycle::State;
use crate::domain::time::Time;
use crate::error::Result;
use crate::http::{Reply, Request};
use crate::registry::HoldNotice;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

pub(super) async fn show(app: Arc<App>, caller: Caller, request: Request) -> Result<Reply> {
    let id: QuarantineId = request.param_as("quarantineId")?;
    let server = request.base_url()?;
    let is_known = caller.is_authenticated();
    let notice = app.run(move |app| app.registry.hold_notice(&caller, &id)).await?;
    page::reply(&HoldPage::of(notice, server, is_known))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ word }}: {{ what }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<p class="state {{ class }}">{{ word }}</p>
<h1>{{ what }}</h1>
<p class="faint">{{ purl }} in the repo {{ repo }}</p>
<p>{{ sentence }}</p>
{% if let Some(id) = newer %}<p>It is held again, for other reasons perhaps: <a href="/q/{{ id }}">see that hold</a>.</p>
{% endif %}<h2>Why</h2>
<ul>
{% for reason in reasons %}<li>{{ reason.message }}{% if is_known %} <span class="faint">(rule {{ reason.rule }})</span>{% endif %}</li>
{% endfor %}</ul>
{% if !is_known %}<p class="faint">With a token of the repo this page names the rules too: give it as the password of any user.</p>
{% endif %}<dl>
<dt>Held since</dt><dd>{{ since }}</dd>
{% if let Some(opens) = opens %}<dt>Opens</dt><dd>{{ opens }}, if nothing else is found by then</dd>
{% endif %}{% if let Some(version) = alternative %}<dt>Use instead</dt><dd>{{ version }}, the newest version that is open</dd>
{% endif %}</dl>
{% if is_open %}<h2>Ask for its release</h2>
<p>Send the address of this page to a reviewer of the repo {{ repo }}, and say what you need it for. The reviewer types:</p>
<pre>artifortress quarantine show {{ id }} --repo {{ repo }} --server {{ server }} --token-file FILE
artifortress quarantine release {{ id }} --repo {{ repo }} --comment TEXT --server {{ server }} --token-file FILE</pre>
{% endif %}</body>
</html>
"#
)]
struct HoldPage {
    style: &'static str,
    word: &'static str,
    class: &'static str,
    sentence: &'static str,
    what: String,
    purl: String,
    repo: String,
    id: QuarantineId,
    newer: Option<QuarantineId>,
    reasons: Vec<Reason>,
    is_known: bool,
    since: String,
    opens: Option<String>,
    alternative: Option<String>,
    is_open: bool,
    server: String,
}

impl HoldPage {
    fn of(notice: HoldNotice, server: String, is_known: bool) -> HoldPage {
        let hold = notice.hold;
        let now = notice.standing.hold.as_ref().map(|hold| hold.quarantine_id);
        let is_this = now == Some(hold.quarantine_id);
        let (word, class, sentence) = match notice.standing.state {
            State::Quarantined if is_this => {
                ("Quarantined", "held", "Nobody gets this version until the policy allows it or a reviewer has released it.")
            }
            State::Rejected => ("Rejected", "rejected", "A reviewer has refused this version for good. Use another one."),
            State::Quarantined => ("Released", "released", "This hold has ended."),
            State::Published => ("Released", "released", "This hold has ended, and the version can be fetched."),
            State::Draft | State::Tombstoned => ("Released", "released", "This hold has ended."),
        };
        let is_open = is_this && notice.standing.state == State::Quarantined;
        let alternative = notice.alternative.filter(|latest| latest.version_key() != notice.coordinates.version_key());
        HoldPage {
            style: page::STYLE,
            word,
            class,
            sentence,
            what: notice.coordinates.to_string(),
            purl: notice.coordinates.purl(),
            repo: notice.repo.to_string(),
            id: hold.quarantine_id,
            newer: now.filter(|_| !is_this),
            reasons: hold.reasons,
            is_known,
            since: minute(hold.since),
            // To the minute in which it is open for certain.
            opens: hold.opens_at.filter(|_| is_open).map(|at| minute(at.plus_ms(MINUTE_MS - 1))),
            alternative: alternative.map(|latest| latest.version().to_owned()),
            is_open,
            server,
        }
    }
}

/// A moment as people write it, such as `2026-11-29 10:00Z`.
fn minute(at: Time) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}Z"),
        _ => text,
    }
}
