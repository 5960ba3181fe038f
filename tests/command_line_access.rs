//! What an operator types for tokens, repos and the audit, and the way back in. Invariant: a token's text is shown once or stands in a file
//! of mode 0600, and what was typed is what the server says afterwards.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::command_line::typed;
use crate::support::{Daemon, items};

#[test]
fn a_token_is_issued_listed_used_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let words = ["token", "create", "--subject", "robot", "--scope", "repo:main:write", "--days", "3", "--note", "ci"];
    let output = Daemon::command(directory.path(), &words).output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    let secret = shown.lines().next().unwrap().to_owned();
    assert!(secret.starts_with("aft_") && shown.contains("of robot ends ") && shown.contains("token revoke"), "{shown}");
    let who = daemon.call(&secret, "GET", "/v1/auth/whoami", b"").unwrap().json();
    assert_eq!((&who["subject"], &who["scopes"]), (&json!("robot"), &json!(["repo:main:write"])));
    let list = typed(directory.path(), "token list").done();
    assert!(list.contains("robot") && list.contains("repo:main:write") && list.contains("in 2 days") && list.contains("ci"), "{list}");
    assert!(!list.contains(&secret), "a list shows no secret");
    let id = who["tokenId"].as_str().unwrap();
    assert_eq!(typed(directory.path(), &format!("token revoke {id}")).done(), format!("token {id} has ended\n"));
    assert_eq!(daemon.call(&secret, "GET", "/v1/auth/whoami", b"").unwrap().status, 401);
    typed(directory.path(), "token revoke").complains(2, &["required"]);
    typed(directory.path(), "token create --subject robot --scope nonsense").complains(1, &["a scope is repo:"]);
}

#[test]
fn a_token_written_to_a_file_is_for_its_owner_alone_and_never_over_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let file = directory.path().join("robot-token");
    let line = format!("token create --subject robot --scope repo:main:read --output {}", file.display());
    let told = typed(directory.path(), &line).done();
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(told.contains("of robot is in") && !told.contains(secret.trim()), "{told}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(daemon.call(secret.trim(), "GET", "/v1/auth/whoami", b"").unwrap().status, 200);
    typed(directory.path(), &line).complains(1, &["no token was issued"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let refused = directory.path().join("refused");
    typed(directory.path(), &format!("token create --subject robot --scope nonsense --output {}", refused.display())).complains(1, &[]);
    assert!(!refused.exists(), "no file is left without a token");
    assert_eq!(typed(directory.path(), "token revoke --subject robot").done(), "1 token of robot ended\n");
}

#[test]
fn a_repo_is_made_changed_bound_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let made = typed(directory.path(), "repo create team --anonymous-read false --retention-days 7").done();
    assert!(made.contains("anonymous read  no") && made.contains("retention       7 days"), "{made}");
    typed(directory.path(), "repo create team").complains(1, &["team"]);
    let set = typed(directory.path(), "repo set team --require-dual-control true").done();
    assert!(set.contains("dual control    yes") && set.contains("7 days"), "{set}");
    typed(directory.path(), "repo set team").complains(1, &["name at least one of"]);
    assert_eq!(typed(directory.path(), "repo bind team alice write promote").done(), "alice may read, write, promote in team\n");
    assert!(typed(directory.path(), "repo bindings team").done().contains("alice    read, write, promote"));
    assert_eq!(typed(directory.path(), "repo unbind team alice").done(), "alice is bound to nothing in team\n");
    assert_eq!(items(&typed(directory.path(), "repo list --json").json()).len(), 2);
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/files/team/a/1.0/a.txt?publish", b"x").unwrap().status, 200);
    typed(directory.path(), "repo delete team").complains(1, &["force"]);
    assert_eq!(typed(directory.path(), "repo delete team --force").done(), "repo team is deleted\n");
    typed(directory.path(), "repo show team").complains(1, &["no such repo"]);
}

#[test]
fn the_audit_is_exported_whole() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/files/main/a/1.0/a.txt?publish", b"x").unwrap().status, 200);
    let rows = typed(directory.path(), "audit export").done();
    let actions: Vec<String> =
        rows.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["action"].to_string()).collect();
    assert!(actions.iter().any(|action| action.contains("package.version.published")), "{actions:?}");
    let file = directory.path().join("trail");
    let told = typed(directory.path(), &format!("audit export --output {}", file.display())).done();
    assert!(told.starts_with(&format!("{} audit rows", rows.lines().count())), "{told}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), rows);
    typed(directory.path(), &format!("audit export --output {}", file.display())).complains(1, &["cannot make"]);
}

#[test]
fn a_lost_administrators_token_is_replaced_on_a_directory_that_nobody_serves() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let lost = daemon.admin();
    typed(directory.path(), "token recover").complains(1, &["stop the server"]);
    drop(daemon);
    std::fs::remove_file(directory.path().join("data/admin-token")).unwrap();
    let told = typed(directory.path(), "token recover").done();
    assert!(told.contains("admin-token (mode 0600)") && !told.contains("aft_"), "{told}");
    let daemon = Daemon::start(directory.path(), &[]);
    let found = daemon.admin();
    assert_ne!(found, lost);
    let who = daemon.call(&found, "GET", "/v1/auth/whoami", b"").unwrap().json();
    assert_eq!(who["isOperator"], true);
    let trail = typed(directory.path(), "audit export").done();
    assert!(trail.contains("system:recovery"), "the recovery is on record");
    typed(directory.path(), "audit verify").done();
    drop(daemon);
    let nothing = tempfile::tempdir().unwrap();
    typed(nothing.path(), "token recover").complains(1, &["database"]);
    assert!(!nothing.path().join("data/state.db").exists());
}
