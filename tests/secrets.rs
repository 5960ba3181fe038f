//! Secrets that are planted in a real daemon, and looked for everywhere afterwards. Invariant: the log is as talkative as it can be.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

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
fn a_crash_leaves_no_core_file_however_large_one_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("ulimit -c unlimited && exec {} serve --listen 127.0.0.1:0 --data-dir data", env!("CARGO_BIN_EXE_artifortress"));
    let mut daemon = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on"), "{line}");
    let process = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGABRT).unwrap();
    let ended = daemon.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"]);
}

#[test]
fn files_with_secrets_that_everybody_may_read_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("first-token");
    std::fs::write(&file, "aft_plantedplantedplantedplantedplantedplantedplanted").unwrap();
    let settings = [("ARTIFORTRESS_BOOTSTRAP_TOKEN_FILE", file.to_str().unwrap())];
    let says = |mode: u32, line: &[&str]| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = Daemon::command(directory.path(), line).envs(settings).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    for line in [&["serve", "--check", "--listen", "127.0.0.1:0"][..], &["doctor"]] {
        let daemon = (line == ["doctor"]).then(|| Daemon::start(directory.path(), &[]));
        if let Some(daemon) = &daemon {
            std::fs::write(&file, daemon.admin()).unwrap();
        }
        let open = says(0o644, line);
        assert!(open.contains("everybody on this machine may use") && open.contains("chmod o="), "{open}");
        assert!(!open.contains(&std::fs::read_to_string(&file).unwrap()), "{open}");
        for mode in [0o640, 0o600] {
            assert!(!says(mode, line).contains("everybody"), "{mode:o}");
        }
        drop(daemon);
    }
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
