//! Mending the queue from the command line, on a running server. Invariant: what is retried is worked again, and `status` says so.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::command_line::{publish, typed, until};
use crate::support::{Answer, Daemon, Receiver, items, text};

#[test]
fn a_dead_event_is_told_first_and_handed_on_when_it_is_retried() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let connection = Connection::open(directory.path().join("data/state.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let id = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01";
    let dead = "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at, last_error)
        VALUES (?1, 'policy.changed', '{}', 'dead', 5, 0, 0, 'event_without_version_id')";
    connection.execute(dead, [id]).unwrap();
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("1 dead event: artifortress outbox list --state dead\n"), "{shown}");
    let listed = typed(directory.path(), "outbox list --state dead").done();
    assert!(listed.contains(id) && listed.contains("event_without_version_id"), "{listed}");
    assert_eq!(typed(directory.path(), &format!("outbox retry {id}")).done(), format!("event {id} is pending\n"));
    until(directory.path(), "outbox list --state delivered", |page| items(page).iter().any(|event| text(event, "eventId") == id));
    typed(directory.path(), &format!("outbox retry {id}")).complains(1, &["is delivered", "only a dead one"]);
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("all is well\n"), "{shown}");
    drop(daemon);
}

#[test]
fn dead_deliveries_are_sent_when_all_dead_jobs_are_retried_and_what_comes_again_is_no_backlog() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_JOBS__MAX_ATTEMPTS", "1")]);
    let receiver = Receiver::start();
    receiver.always(Answer::Status(500, ""));
    let hook = json!({"url": receiver.url("/"), "events": ["version.published"]});
    daemon.post(&daemon.admin(), "/v1/admin/webhooks", &hook).unwrap();
    publish(&daemon, "lodash");
    until(directory.path(), "jobs list --state dead --kind webhook", |page| items(page).len() == 1);
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("1 dead job: artifortress jobs list --state dead\n"), "{shown}");
    receiver.always(Answer::Status(200, ""));
    assert_eq!(typed(directory.path(), "jobs retry --dead").done(), "1 dead job will run again\n");
    until(directory.path(), "jobs list --state completed --kind webhook", |page| items(page).len() == 1);
    assert_eq!(receiver.take().len(), 2);
    let quiet = |seen: &Value| seen["summary"]["jobsByKind"]["prune"]["pending"] == 1 && seen["summary"]["jobs"]["processing"] == 0;
    until(directory.path(), "status", quiet);
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("all is well\n"), "{shown}");
    assert!(shown.lines().any(|line| line.trim_end() == "jobs           2 completed"), "{shown}");
    drop(daemon);
}
