//! What a reviewer types, and what somebody types to have a client take everything from here. Invariant: the exit code and the server agree,
//! and no file that says something else is changed.

use std::path::Path;

use serde_json::json;

use crate::command_line::typed;
use crate::support::{Daemon, items, text};

const HOLD: &str = "@id(\"cooldown\") @decision(\"quarantine\") @message(\"younger than 7 days\")
forbid (principal, action, resource) when { context.ageDays < 7 };";

/// Publishes a file that is held; the item.
fn held(daemon: &Daemon, name: &str) -> String {
    let path = format!("/files/main/{name}/1.0/{name}.txt?publish");
    let answer = daemon.call(&daemon.admin(), "PUT", &path, name.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.json());
    text(&answer.json(), "quarantineId")
}

fn holding(directory: &Path) -> Daemon {
    let daemon = Daemon::start(directory, &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000")]);
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/v1/repos/main/policy", HOLD.as_bytes()).unwrap().status, 200);
    daemon
}

#[test]
fn a_reviewer_lists_looks_releases_and_rejects() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = holding(directory.path());
    let (lodash, shady) = (held(&daemon, "lodash"), held(&daemon, "shady"));
    let list = typed(directory.path(), "quarantine list --status quarantined").done();
    assert_eq!(list.lines().count(), 3, "{list}");
    for part in [lodash.as_str(), "pkg:generic/lodash@1.0", "cooldown", "in 6 days"] {
        assert!(list.contains(part), "{part} in {list}");
    }
    let shown = typed(directory.path(), &format!("quarantine show {lodash}")).done();
    for part in
        ["why      younger than 7 days (repo/cooldown)", "file     lodash.txt, 6 bytes", "evaluations explain", "quarantine release"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let released = typed(directory.path(), &format!("quarantine release {lodash} --comment harmless")).done();
    assert_eq!(released, "pkg:generic/lodash@1.0 in main is released\n");
    assert_eq!(daemon.call("", "GET", "/files/main/lodash/1.0/lodash.txt", b"").unwrap().bytes, b"lodash");
    let rejected = typed(directory.path(), &format!("quarantine reject {shady} --repo main --json")).json();
    assert_eq!((&rejected["status"], &rejected["comment"]), (&json!("rejected"), &json!(null)));
    let shown = typed(directory.path(), &format!("quarantine show {lodash}")).done();
    assert!(shown.contains("release by admin: harmless") && !shown.contains("next:"), "{shown}");
    typed(directory.path(), &format!("quarantine release {shady}")).complains(1, &["already rejected by admin"]);
    assert_eq!(typed(directory.path(), "quarantine list --status quarantined").done(), "no items\n");
    let all = typed(directory.path(), "quarantine list --repo main --json").json();
    assert_eq!(items(&all).len(), 2, "{all}");
    typed(directory.path(), "quarantine list --status open").complains(2, &["known are quarantined, released, rejected"]);
}

#[test]
fn under_dual_control_the_first_reviewer_is_told_that_another_must_follow() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = holding(directory.path());
    let settings = json!({"requireDualControl": true}).to_string();
    assert_eq!(daemon.call(&daemon.admin(), "PATCH", "/v1/repos/main", settings.as_bytes()).unwrap().status, 200);
    let item = held(&daemon, "lodash");
    let issued = daemon.post(&daemon.admin(), "/v1/auth/tokens", &json!({"subject": "bob", "scopes": ["repo:main:promote"]})).unwrap();
    std::fs::write(directory.path().join("bob"), text(&issued.json(), "token")).unwrap();
    let line = format!("quarantine release {item} --token-file {}", directory.path().join("bob").display());
    let said = typed(directory.path(), &line).done();
    assert!(said.contains("stays held") && said.contains("another reviewer"), "{said}");
}

#[test]
fn the_settings_of_a_client_name_the_running_server_and_are_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let configure = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let home = directory.path().join("home");
        let mut command = Daemon::command(directory.path(), &arguments);
        command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").env_remove("CARGO_HOME");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, printed) = configure("client-config pip --repo team");
    assert!(code == Some(0) && printed.contains(&format!("index-url = http://{}/pypi/team/simple/", daemon.address)), "{printed}");
    let file = directory.path().join("home/.npmrc");
    let (code, printed) = configure("client-config npm --write --server https://packages.example");
    assert_eq!((code, printed), (Some(0), format!("wrote {}\n", file.display())));
    assert!(std::fs::read_to_string(&file).unwrap().contains("registry=https://packages.example/npm/main/\n"));
    let (code, printed) = configure("client-config npm --write");
    assert!(code == Some(1) && printed.contains("is left alone") && printed.contains("-registry=https://packages.example"), "{printed}");
    for tool in ["docker", "containerd", "maven", "gradle", "go"] {
        let (code, printed) = configure(&format!("client-config {tool}"));
        assert!(code == Some(1) && printed.contains("is not served yet"), "{printed}");
    }
    let (code, printed) = configure("client-config bower");
    assert!(code == Some(2) && printed.contains("known are pip, uv"), "{printed}");
}
