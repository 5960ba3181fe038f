//! Secrets that are planted in a real daemon, and looked for everywhere afterwards. Invariant: the log is as talkative as it can be.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;

use crate::command_line::typed;
use crate::support::{Daemon, text};

#[test]
fn no_secret_is_in_the_log_in_answers_in_metrics_or_in_what_others_see_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_LOG__LEVEL", "trace")]);
    let admin = daemon.admin();
    let issued = daemon.post(&admin, "/v1/auth/tokens", &json!({"subject": "robot", "scopes": ["repo:main:write"]})).unwrap();
    let issued = text(&issued.json(), "token");
    let webhook = "planted-webhook-secret-0123456789";
    let hook = json!({"url": "http://127.0.0.1:9/hook?key=planted-query", "events": ["version.published"], "secret": webhook});
    assert_eq!(daemon.post(&admin, "/v1/admin/webhooks", &hook).unwrap().status, 201);
    let wrong = "aft_plantedplantedplantedplantedplantedplantedplanted";
    let mut bodies = String::new();
    for token in [issued.as_str(), wrong, ""] {
        for (method, path) in
            [("GET", "/v1/auth/whoami"), ("PUT", "/files/main/a/1.0/a.txt?publish"), ("GET", "/v1/nothing"), ("GET", "/v1/admin/webhooks")]
        {
            let answer = daemon.call(token, method, path, b"bytes").unwrap();
            bodies.push_str(&String::from_utf8_lossy(&answer.bytes));
        }
    }
    let basic = format!("GET /pypi/main/simple/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic planted-{issued}\r\nConnection: close\r\n\r\n");
    bodies.push_str(&daemon.raw(basic.as_bytes()));
    bodies.push_str(&String::from_utf8(daemon.call(&admin, "GET", "/metrics", b"").unwrap().bytes).unwrap());
    for line in ["status", "doctor", "token list", "audit export"] {
        bodies.push_str(&typed(directory.path(), line).output);
    }
    let process = daemon.process_id();
    let seen = ["cmdline", "environ", "comm"].map(|name| std::fs::read(format!("/proc/{process}/{name}")).unwrap_or_default());
    let seen = String::from_utf8_lossy(&seen.concat()).into_owned();
    let log = daemon.log();
    assert!(log.contains("TRACE") && log.contains("/v1/auth/whoami"), "the log tells everything");
    let planted = [
        ("an administrator's token", admin.as_str()),
        ("an issued token", &issued),
        ("a webhook's secret", webhook),
        ("a wrong token", wrong),
    ];
    for (what, secret) in planted {
        for (place, content) in [("the log", &log), ("an answer", &bodies), ("the process", &seen)] {
            assert!(!content.contains(secret), "{what} is in {place}");
        }
    }
    assert!(!log.contains("planted-query") && !bodies.contains("planted-query"), "the query of a webhook's address");
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(format!("/proc/{process}/mem")).unwrap().uid(), 0, "nobody else may look into it, or have it dumped");
}

#[test]
fn what_would_stop_a_start_is_told_without_starting() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    typed(directory.path(), &format!("serve --check --listen {taken}")).complains(1, &["cannot be listened on"]);
    let mut file = std::fs::File::create(directory.path().join("file")).unwrap();
    file.write_all(b"x").unwrap();
    let output = Daemon::command(directory.path(), &["serve", "--check", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("file/data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut said = String::new();
    output.stderr.as_slice().read_to_string(&mut said).unwrap();
    assert!(said.contains("is no directory"), "{said}");
    assert!(typed(directory.path(), "serve --check --listen 127.0.0.1:0").done().contains("a start makes one"));
    assert!(!directory.path().join("data").exists(), "nothing was made");
}
