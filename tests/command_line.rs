//! The commands that ask a running server, typed as people type them. Invariant: exit codes are 0 done, 1 refused or failed, 2 usage; JSON is
//! the server's own; no token is ever shown, and no text of a server moves the cursor.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Daemon, items, text};

/// What a command did.
pub struct Typed {
    pub code: Option<i32>,
    pub output: String,
    complaint: String,
}

impl Typed {
    fn of(output: Output) -> Typed {
        let read = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let typed = Typed { code: output.status.code(), output: read(output.stdout), complaint: read(output.stderr) };
        for said in [&typed.output, &typed.complaint] {
            assert!(!said.contains("aft_") || said.contains("begins with aft_"), "a token is shown: {said}");
            assert!(!said.contains('\u{1b}'), "colour without a terminal: {said}");
        }
        typed
    }

    /// It was done; what it printed.
    pub fn done(self) -> String {
        assert_eq!((self.code, self.complaint.as_str()), (Some(0), ""), "{}", self.output);
        self.output
    }

    /// The one JSON document that it printed.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// It ended with this code, and complained with these words.
    pub fn complains(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.output, self.complaint);
        for word in words {
            assert!(self.complaint.contains(word), "{word:?} is not in {:?}", self.complaint);
        }
        self.complaint
    }
}

/// Types a command with the data directory under `directory`.
pub fn typed(directory: &Path, line: &str) -> Typed {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    Typed::of(Daemon::command(directory, &arguments).output().unwrap())
}

pub fn publish(daemon: &Daemon, name: &str) {
    let path = format!("/files/main/{name}/1.0/file.txt?publish");
    let answer = daemon.call(&daemon.admin(), "PUT", &path, name.as_bytes()).unwrap();
    assert_eq!(answer.status / 100, 2, "{}", answer.json());
}

/// Types a command with `--json` until its answer is as wanted: for half a minute at most.
pub fn until(directory: &Path, line: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..300 {
        last = typed(directory, &format!("{line} --json")).json();
        if is_wanted(&last) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{line}: {last}");
}

/// Makes a dead job: an event that tells of a version that nobody published. Needs a daemon that tries once.
fn make_a_dead_job(directory: &Path, daemon: &Daemon) -> String {
    let draft = json!({"packageType": "generic", "packageName": "ghost", "version": "1.0"});
    let draft = daemon.post(&daemon.admin(), "/v1/repos/main/packages/versions/drafts", &draft).unwrap();
    let id = text(&draft.json(), "versionId");
    let connection = Connection::open(directory.join("data/state.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let insert = format!(
        "INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at) VALUES ('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01', 'version.published', '{}', 'pending', 0, 0, 0)",
        json!({"versionId": id, "visible": true})
    );
    connection.execute(&insert, []).unwrap();
    // The queue hears of commits of its own process only.
    publish(daemon, "wake");
    let dead = until(directory, "jobs list --state dead", |page| !items(page).is_empty());
    text(&items(&dead)[0], "jobId")
}

#[test]
fn a_server_that_works_is_well_in_words_and_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    publish(&daemon, "lodash");
    until(directory.path(), "status", |seen| seen["search"]["documents"] == 1 && seen["summary"]["outbox"]["pending"] == 0);
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("all is well\n"), "{shown}");
    for line in ["ready          yes", "outbox         0 pending", "search         ready, 1 version", "open holds     0"] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let seen = typed(directory.path(), "status --json").json();
    assert_eq!((&seen["ready"]["status"], &seen["search"]["state"]), (&json!("ready"), &json!("ready")));
    let lists = [("jobs list --state completed", "completed"), ("outbox list --state delivered", "delivered")];
    for (line, state) in lists {
        let shown = typed(directory.path(), line).done();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.contains(state), "{shown}");
        let api = daemon
            .call(&daemon.admin(), "GET", &format!("/v1/admin/{}?state={state}&limit=50", line.split(' ').next().unwrap()), b"")
            .unwrap();
        assert_eq!(typed(directory.path(), &format!("{line} --json")).done().trim(), String::from_utf8(api.bytes).unwrap().trim());
    }
    assert_eq!(typed(directory.path(), "jobs list --state dead").done(), "no jobs\n");
    assert_eq!(typed(directory.path(), "outbox list --state dead").done(), "no events\n");
}

#[test]
fn a_dead_job_is_told_first_and_is_retried_and_cancelled_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_JOBS__MAX_ATTEMPTS", "1")]);
    let id = make_a_dead_job(directory.path(), &daemon);
    let shown = typed(directory.path(), "status").done();
    assert!(shown.starts_with("1 dead job: artifortress jobs list --state dead\n"), "{shown}");
    let listed = typed(directory.path(), "jobs list --state dead").done();
    assert!(listed.contains(&id) && listed.contains("version_not_published") && listed.contains("1/1"), "{listed}");
    let gone = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
    let both = typed(directory.path(), &format!("jobs retry {gone} {id}"));
    assert_eq!(both.output, format!("job {id} is pending\n"), "a refusal stops the rest");
    both.complains(1, &[gone, "(request "]);
    until(directory.path(), "jobs list --state dead", |page| !items(page).is_empty());
    assert_eq!(typed(directory.path(), "jobs retry --dead --json").json(), json!({"retried": 1}));
    until(directory.path(), "jobs list --state dead", |page| !items(page).is_empty());
    assert_eq!(typed(directory.path(), "jobs retry --dead").done(), "1 dead job will run again\n");
    until(directory.path(), "jobs list --state dead", |page| !items(page).is_empty());
    assert!(typed(directory.path(), &format!("jobs cancel {id}")).done().contains("cancelled"), "a dead job is put away");
    typed(directory.path(), &format!("jobs cancel {id}")).complains(1, &["cancelled"]);
    typed(directory.path(), "jobs retry").complains(2, &["Usage"]);
    typed(directory.path(), &format!("jobs retry --dead {id}")).complains(2, &["cannot be used with"]);
    typed(directory.path(), "jobs cancel 42").complains(2, &["0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55"]);
    typed(directory.path(), "jobs list --state asleep").complains(2, &["known are", "dead"]);
    typed(directory.path(), &format!("outbox retry {gone}")).complains(1, &[]);
}

#[test]
fn the_index_is_paused_resumed_and_rebuilt_and_search_says_when_it_does_without() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    for number in 0..5 {
        publish(&daemon, &format!("lodash-{number}"));
    }
    until(directory.path(), "index status", |status| status["documents"] == 5 && status["state"] == "ready");
    let found = typed(directory.path(), "search lodash").done();
    assert!(found.contains("lodash-3") && found.ends_with("5 versions found\n"), "{found}");
    assert_eq!(items(&typed(directory.path(), "search lod --repo main --type generic --json").json()).len(), 5);
    assert_eq!(typed(directory.path(), "search nothing-like-it").done(), "no packages\n");
    let part = typed(directory.path(), "search lodash --limit 2");
    assert_eq!((part.code, part.output.lines().count()), (Some(0), 4), "{}", part.output);
    part.complains(0, &["--all"]);
    let paused = typed(directory.path(), "index pause").done();
    assert!(paused.starts_with("state         paused\n"), "{paused}");
    typed(directory.path(), "search lodash").complains(0, &["the search index does not answer"]);
    assert_eq!(typed(directory.path(), "search lodash --json").json()["degraded"], true);
    let status = typed(directory.path(), "status").done();
    assert!(status.starts_with("the search index is paused: artifortress index resume\n"), "{status}");
    assert_eq!(typed(directory.path(), "index resume --json").json()["state"], "ready");
    let rebuilt = typed(directory.path(), "index rebuild --watch").done();
    assert!(rebuilt.contains("rebuilt\nstate         ready\ndocuments     5\n"), "{rebuilt}");
    typed(directory.path(), "search lodash --repo none").complains(1, &["no such repo", "(request "]);
    typed(directory.path(), "search lodash --repo Not/A/Key").complains(2, &["--repo"]);
}

#[test]
fn all_pages_of_a_list_become_one_document() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    for number in 0..205 {
        publish(&daemon, &format!("many-{number}"));
    }
    let all = typed(directory.path(), "outbox list --all --json").json();
    assert_eq!((items(&all).len(), &all["nextCursor"]), (205, &Value::Null));
    let mut ids: Vec<String> = items(&all).iter().map(|event| text(event, "eventId")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 205);
    assert_eq!(typed(directory.path(), "outbox list --all").done().lines().count(), 206);
    assert_eq!(items(&typed(directory.path(), "outbox list --limit 202 --json").json()).len(), 202);
    let part = typed(directory.path(), "outbox list --limit 3");
    assert_eq!(part.output.lines().count(), 4);
    part.complains(0, &["there are more events than the 3 shown; --all"]);
}

#[test]
fn without_a_server_each_case_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    typed(directory.path(), "status").complains(1, &["no server has been started on", "artifortress serve --data-dir", "--server"]);
    let daemon = Daemon::start(directory.path(), &[]);
    let address = daemon.address.clone();
    typed(directory.path(), "status").done();
    daemon.kill();
    let lock = directory.path().join("data/lock");
    assert!(std::fs::read_to_string(&lock).unwrap().contains(&address), "what a crash leaves");
    typed(directory.path(), "status").complains(1, &["no server runs on", "artifortress serve --data-dir"]);
    typed(directory.path(), &format!("status --server http://{address}")).complains(1, &["no server answers at", "refused", "--server"]);
    // A process of the same number, which is not the server, and somebody who waits for the token at its address.
    let thief = TcpListener::bind(&address).unwrap();
    thief.set_nonblocking(true).unwrap();
    std::fs::write(&lock, format!("{}\nhttp://{address}\n", std::process::id())).unwrap();
    typed(directory.path(), "status").complains(1, &["no server runs on", "artifortress serve --data-dir"]);
    assert_eq!(thief.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody else was asked");
    drop(thief);
    let held = Flock::lock(std::fs::File::open(&lock).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
    typed(directory.path(), "status").complains(1, &["no server answers at", "refused", "and does not answer; look at its log"]);
    std::fs::write(&lock, format!("{}\n", std::process::id())).unwrap();
    typed(directory.path(), "status").complains(1, &["does not listen yet"]);
    drop(held);
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    typed(directory.path(), "status").complains(1, &["cannot read in", "--server and --token-file"]);
}

#[test]
fn a_server_told_to_stop_leaves_no_address_and_a_new_one_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    daemon.stop();
    assert_eq!(std::fs::read_to_string(directory.path().join("data/lock")).unwrap(), "");
    typed(directory.path(), "status").complains(1, &["no server runs on"]);
    let daemon = Daemon::start(directory.path(), &[]);
    typed(directory.path(), "status").done();
    drop(daemon);
}

#[test]
fn a_refused_or_missing_token_is_told_by_its_file_and_never_shown() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = Daemon::start(directory.path(), &[]);
    let foreign = Daemon::start(other.path(), &[]);
    let file = other.path().join("data/admin-token");
    typed(directory.path(), &format!("status --token-file {}", file.display()))
        .complains(1, &["the token in", "admin-token", "was refused"]);
    typed(other.path(), &format!("jobs list --server http://{}", daemon.address)).complains(1, &["the token in", "was refused"]);
    let body = json!({"subject": "ben", "scopes": ["repo:main:read"]});
    let issued = daemon.post(&daemon.admin(), "/v1/auth/tokens", &body).unwrap().json();
    let reader = directory.path().join("reader");
    std::fs::write(&reader, text(&issued, "token")).unwrap();
    let line = format!("jobs list --token-file {}", reader.display());
    typed(directory.path(), &line).complains(1, &["the token in", "reader", "was refused", "(request "]);
    typed(directory.path(), &format!("search x --token-file {}", reader.display())).done();
    typed(directory.path(), "status --token-file /nowhere/token").complains(1, &["/nowhere/token", "no such file", "--token-file"]);
    std::fs::write(&reader, "two words").unwrap();
    typed(directory.path(), &line).complains(1, &["holds no token"]);
    std::fs::remove_file(directory.path().join("data/admin-token")).unwrap();
    typed(directory.path(), "status").complains(1, &["none was sent", "admin-token", "no such file"]);
    typed(directory.path(), "search x").done();
    let secret = typed(directory.path(), "status --server http://_:hunter2@127.0.0.1:1").complains(2, &["--token-file"]);
    assert!(!secret.contains("hunter2"), "{secret}");
    typed(directory.path(), "status --server 127.0.0.1:8466").complains(2, &["http://127.0.0.1:8466"]);
    drop(foreign);
}

/// A server that answers everything with these bytes.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    format!("http://{address}")
}

#[test]
fn what_is_no_answer_of_a_registry_is_told_in_words_and_moves_no_cursor() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let asked = |server: &str| typed(directory.path(), &format!("jobs list --server {server}"));
    asked(&format!("https://{}", daemon.address)).complains(1, &["no secure connection", "--ca-file"]);
    let html = answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>");
    asked(&html).complains(1, &["but not with JSON", "is it an artifortress?"]);
    let moved = answering("HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: http://packages.example/\r\ncontent-length: 0\r\n\r\n");
    asked(&moved).complains(1, &["sends on to http://packages.example/", "--server"]);
    let broken = answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 60\r\n\r\n{");
    asked(&broken).complains(1, &["broke", "try again"]);
    let evil = answering(
        "HTTP/1.1 503 Unavailable\r\nconnection: close\r\n\r\n{\"message\": \"no\\u001b[2J\\u0007way\\u009b1m\", \"requestId\": \"\\u001bc\"}",
    );
    let said = asked(&evil).complains(1, &["no", "way"]);
    assert!(!said.trim_end().chars().any(char::is_control), "{said:?}");
    let evil = answering(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"items\": [{\"jobId\": \"\\u001b]0;x\\u0007\", \"state\": 7, \"lastError\": \"a\\u001b[31m\\nb\"}]}",
    );
    let said = asked(&evil).done();
    assert!(!said.chars().any(|sign| sign.is_control() && sign != '\n') && said.lines().count() == 2, "{said:?}");
}

#[test]
fn a_server_that_is_not_ready_is_told_first_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let sick = answering(
        "HTTP/1.1 503 Unavailable\r\nconnection: close\r\n\r\n{\"error\": \"unavailable\", \"message\": \"the disk is full\", \"writer\": true, \"disk\": false}",
    );
    let seen = typed(directory.path(), &format!("status --server {sick}"));
    assert_eq!((seen.code, seen.complaint.as_str()), (Some(1), ""));
    assert!(
        seen.output.starts_with("not ready: the disk is full\n") && seen.output.contains("no (writer ok, disk failing)"),
        "{}",
        seen.output
    );
    let seen = typed(directory.path(), &format!("status --json --server {sick}"));
    let document: Value = serde_json::from_str(&seen.output).unwrap();
    assert_eq!((seen.code, &document["ready"]["disk"], &document["summary"]), (Some(1), &json!(false), &Value::Null));
}

#[test]
fn watching_appends_lines_to_a_file_shows_no_token_and_ends_cleanly_on_ctrl_c() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    until(directory.path(), "status", |seen| seen["search"]["state"] == "ready");
    let mut child =
        Daemon::command(directory.path(), &["status", "--watch", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(" all is well | outbox: 0 pending"), "{line}");
    }
    for file in ["cmdline", "environ"] {
        let seen = std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
        assert!(!String::from_utf8_lossy(&seen).contains(&daemon.admin()), "the token is in the list of processes");
    }
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    // A server that goes away is told of, and found again.
    daemon.kill();
    let complaint = lines.find_map(|line| line.ok().filter(|line| !line.contains(" all is well"))).unwrap();
    assert!(complaint.starts_with("20") && complaint.contains("no server"), "an outage is a line with its time: {complaint}");
    let daemon = Daemon::start(directory.path(), &[]);
    assert!(lines.any(|line| line.unwrap().contains(" all is well")), "it is not found again");
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(daemon);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    let _daemon = Daemon::start(directory.path(), &[]);
    let mut child =
        Daemon::command(directory.path(), &["status", "--watch", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
