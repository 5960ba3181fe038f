//! `doctor` against a real server, and against one that lets everything in. Invariant: only the gate's own refusal of the canary is well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::command_line::typed;
use crate::support::{Daemon, Package, TestApp, items, text};

fn grades(report: &Value) -> Vec<(String, String)> {
    report["checks"].as_array().unwrap().iter().map(|check| (text(check, "check"), text(check, "grade"))).collect()
}

#[test]
fn a_server_with_its_gate_in_the_way_is_well_and_the_proof_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    for _ in 0..2 {
        let report = typed(directory.path(), "doctor --json").json();
        for check in ["gate, generic", "gate, pypi", "gate, npm", "gate, cargo", "gate, reading", "readiness", "permissions"] {
            assert!(grades(&report).contains(&(check.to_owned(), "ok".to_owned())), "{check} in {report}");
        }
        assert!(grades(&report).contains(&("policy".to_owned(), "warning".to_owned())), "{report}");
    }
    let shown = typed(directory.path(), "doctor").done();
    assert!(shown.contains("the canary was refused") && shown.contains("policy starter --apply"), "{shown}");
    let metrics = String::from_utf8(daemon.call(&daemon.admin(), "GET", "/metrics", b"").unwrap().bytes).unwrap();
    let counted = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap();
    assert!((counted("artifortress_gate_canaries_refused_total") - 12.0).abs() < 0.5, "{metrics}");
    assert!(counted("artifortress_gate_canary_refused_timestamp_seconds") > 1.7e9);
}

#[test]
fn a_policy_that_knows_malware_refuses_the_canary_too() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let policy = "@id(\"malware\") forbid (principal, action, resource) when { context.advisories.malicious };";
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/v1/policy", policy.as_bytes()).unwrap().status, 200);
    let shown = typed(directory.path(), "doctor").done();
    assert!(shown.contains("and by a rule of the policy too") && shown.contains("a policy of 1 rule"), "{shown}");
}

#[test]
fn a_data_directory_that_others_can_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let open = |name: &str, mode: u32| {
        std::fs::set_permissions(directory.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open("data", 0o755);
    open("data/admin-token", 0o644);
    let report = typed(directory.path(), "doctor");
    assert_eq!(report.code, Some(1), "{}", report.output);
    assert!(report.output.contains("admin-token") && report.output.contains("chmod go="), "{}", report.output);
    drop(daemon);
}

/// Says yes to everything.
fn server_that_lets_everything_in() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            let read = reader.read_exact(&mut body);
            let answer = json!({"status": "ready", "versionId": "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", "state": "published"}).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            drop(read.and_then(|()| stream.write_all((head + &answer).as_bytes())));
        }
    });
    address
}

#[test]
fn a_server_that_lets_the_canary_in_is_found_out_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "aft_none\n").unwrap();
    let line = format!("doctor --server {} --token-file {} --json", server_that_lets_everything_in(), token.display());
    let report = typed(directory.path(), &line);
    assert_eq!(report.code, Some(1), "{}", report.output);
    let report: Value = serde_json::from_str(&report.output).unwrap();
    for check in ["gate, generic", "gate, pypi", "gate, npm", "gate, cargo", "gate, reading"] {
        assert!(grades(&report).contains(&(check.to_owned(), "failed".to_owned())), "{check} in {report}");
    }
}

#[tokio::test]
async fn no_way_in_and_no_waiver_is_open_to_the_canary() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("artifortress-canary", "1.0")).await;
    for _ in 0..2 {
        let refusal = app.publish(&app.admin, "main", &id).await.refused(403, "policy_denied");
        assert_eq!(refusal["reasons"][0]["rule"], "server:canary", "{refusal}");
    }
    assert_eq!(app.state("main", &id).await, "draft");
    assert!(app.events_since(&app.mark()).is_empty());
    let evaluations = items(&app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={id}")).await.expect(200).json());
    assert_eq!((evaluations.len(), &evaluations[0]["decision"]), (2, &json!("deny")));
    let kept = format!("/v1/repos/main/policy/evaluations/{}/verify", text(&evaluations[0], "evaluationId"));
    assert_eq!(app.post(&app.admin, &kept, json!({})).await.expect(200).json()["matches"], true);
}

#[test]
fn what_a_client_of_this_user_could_take_past_the_gate_is_told_and_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let home = directory.path().join("home");
    std::fs::create_dir_all(home.join(".config/pip")).unwrap();
    let settings = format!(
        "[global]\nindex-url = http://{}/pypi/main/simple/\nextra-index-url = https://_:s3cret@other.example/simple\n",
        daemon.address
    );
    std::fs::write(home.join(".config/pip/pip.conf"), settings).unwrap();
    let mut command = Daemon::command(directory.path(), &["doctor", "--json"]);
    command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").env_remove("PIP_CONFIG_FILE").env_remove("PIP_FIND_LINKS");
    let output = command.current_dir(&home).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let pip = checks.iter().find(|check| check["check"] == "client, pip").unwrap_or_else(|| panic!("{report}"));
    assert_eq!((output.status.code(), &pip["grade"]), (Some(0), &json!("warning")), "{report}");
    let message = text(pip, "message");
    assert!(message.contains("may take anything from other.example") && !report.to_string().contains("s3cret"), "{report}");
}

fn finding(report: &Value, check: &str) -> (String, String) {
    let found = report["checks"].as_array().unwrap().iter().find(|found| text(found, "check") == check);
    let found = found.unwrap_or_else(|| panic!("{check} in {report}"));
    (text(found, "grade"), format!("{} {}", found["message"], found["next"]))
}

#[test]
fn of_a_directory_that_nobody_serves_it_says_so_and_whether_the_data_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/files/main/a/1.0/a.txt?publish", b"x").unwrap().status, 200);
    let beside = typed(directory.path(), "doctor --json").json();
    assert_eq!(finding(&beside, "database").0, "ok", "{beside}");
    daemon.stop();
    let report = typed(directory.path(), "doctor --json");
    assert_eq!(report.code, Some(1));
    let report: Value = serde_json::from_str(&report.output).unwrap();
    assert_eq!(finding(&report, "server").0, "failed");
    assert!(finding(&report, "server").1.contains("artifortress serve"), "{report}");
    assert!(finding(&report, "database").1.contains(" versions and "), "{report}");
    assert_eq!(finding(&report, "permissions").0, "ok", "{report}");
}

#[test]
fn a_damaged_database_is_found_with_the_server_or_without() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    for number in 0..40 {
        let path = format!("/files/main/a{number}/1.0/a.txt?publish");
        assert_eq!(daemon.call(&daemon.admin(), "PUT", &path, path.as_bytes()).unwrap().status, 200);
    }
    daemon.stop();
    let path = directory.path().join("data/state.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let page = 4096 * (bytes.len() / 4096 / 2);
    bytes[page..page + 12_288].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let report = typed(directory.path(), "doctor");
    assert_eq!(report.code, Some(1));
    assert!(report.output.contains("database") && report.output.contains("artifortress restore"), "{}", report.output);
}

#[test]
fn a_policy_that_lets_nothing_in_is_told_with_its_rules() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let publish = |name: &str| {
        let path = format!("/files/main/{name}/1.0/a.txt?publish");
        daemon.call(&daemon.admin(), "PUT", &path, name.as_bytes()).unwrap().status
    };
    let policy = "@id(\"everything\") forbid (principal, action, resource);";
    assert_eq!(daemon.call(&daemon.admin(), "PUT", "/v1/repos/main/policy", policy.as_bytes()).unwrap().status, 200);
    for number in 0..4 {
        assert_eq!(publish(&format!("a{number}")), 403);
    }
    assert_eq!(finding(&typed(directory.path(), "doctor --json").json(), "decisions").0, "ok", "four are few");
    assert_eq!(publish("a4"), 403);
    let (grade, words) = finding(&typed(directory.path(), "doctor --json").json(), "decisions");
    assert_eq!(grade, "warning");
    assert!(words.contains("none of the last 5 decisions in main was let in (rules: everything)"), "{words}");
    assert!(words.contains("evaluations explain") || words.contains("explain ID"), "{words}");
}
