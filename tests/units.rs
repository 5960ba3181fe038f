//! The units, as systemd's own tools see them, and the program as its service manager sees it. Invariant: what systemd-analyze says is
//! asserted as it is printed; the program is the real one, and the manager's socket is this test's.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::Daemon;

const EXPOSURE_LIMIT: f64 = 1.5;
const SYSTEM: &str = "usr/lib/systemd/system";

fn systemd_analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).env("LC_ALL", "C.UTF-8").output();
    let output = output.expect("systemd-analyze is installed (Debian: apt-get install systemd)");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), said)
}

fn units() -> Vec<std::path::PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let mut units: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    units.sort();
    units
}

#[test]
fn the_services_are_hardened() {
    let services: Vec<_> = units().into_iter().filter(|unit| unit.extension().is_some_and(|kind| kind == "service")).collect();
    assert_eq!(services.len(), 2, "{services:?}");
    for service in services {
        let (_, said) = systemd_analyze(&["security", "--offline=true", "--no-pager", service.to_str().unwrap()]);
        let level = said
            .split("Overall exposure level for ")
            .nth(1)
            .and_then(|rest| rest.split(": ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
        assert!(level.is_some_and(|level| level <= EXPOSURE_LIMIT), "{}: {said}", service.display());
    }
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    let tree = tempfile::tempdir().unwrap();
    let system = tree.path().join(SYSTEM);
    for directory in [SYSTEM, "usr/bin", "bin", "etc"] {
        std::fs::create_dir_all(tree.path().join(directory)).unwrap();
    }
    // What the units name of the machine: its targets, the program, and the user that sysusers makes.
    for entry in std::fs::read_dir(Path::new("/").join(SYSTEM)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && ["target", "slice", "mount"].iter().any(|kind| path.extension().is_some_and(|of| of == *kind)) {
            std::fs::copy(&path, system.join(path.file_name().unwrap())).unwrap();
        }
    }
    for (from, to) in [("/bin/true", "usr/bin/artifortress"), ("/bin/sh", "bin/sh")] {
        std::fs::copy(from, tree.path().join(to)).unwrap();
    }
    std::fs::write(tree.path().join("etc/passwd"), "artifortress:x:999:999::/:/bin/false\n").unwrap();
    for unit in units() {
        if ["service", "socket"].iter().any(|kind| unit.extension().is_some_and(|of| of == *kind)) {
            std::fs::copy(&unit, system.join(unit.file_name().unwrap())).unwrap();
        }
    }
    let root = format!("--root={}", tree.path().display());
    let verify = |unit: &str| systemd_analyze(&["verify", &root, "--man=no", unit]);
    for unit in ["artifortress.service", "artifortress.socket", "artifortress@blue.service", "artifortress@blue.socket"] {
        assert_eq!(verify(unit), (true, String::new()), "{unit}");
    }
    let faulty = system.join("artifortress.service");
    let text = std::fs::read_to_string(&faulty).unwrap().replace("UMask=", "UMusk=");
    std::fs::write(&faulty, text).unwrap();
    assert!(verify("artifortress.service").1.contains("UMusk"), "a fault is found");
}

/// What the manager hears next, with the words in which it is said.
fn heard(manager: &UnixDatagram, wanted: &str) -> String {
    let mut all = String::new();
    let mut buffer = [0; 4096];
    // The socket waits a tenth of a second each time.
    for _ in 0..300 {
        let Ok(length) = manager.recv(&mut buffer) else { continue };
        let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if said.lines().any(|line| line.starts_with(wanted)) {
            return said;
        }
        all.push_str(&said);
    }
    panic!("{wanted} was not said, but {all}");
}

#[test]
fn a_service_manager_hears_of_start_life_reload_and_end() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let settings = directory.path().join("settings.toml");
    std::fs::write(&settings, "[log]\nlevel = \"info\"\n").unwrap();
    let named = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "900000")];
    let daemon = Daemon::start_configured(directory.path(), &settings, &named);
    let ready = heard(&manager, "READY=1");
    assert!(ready.contains("STATUS=serving on http://127.0.0.1:"), "{ready}");
    heard(&manager, "WATCHDOG=1");
    heard(&manager, "WATCHDOG=1");

    let process = Pid::from_raw(i32::try_from(daemon.process_id()).unwrap());
    std::fs::write(&settings, "[log]\nlevel = \"debug\"\n[jobs]\nworkers = 3\n").unwrap();
    kill(process, Signal::SIGHUP).unwrap();
    let reloading = heard(&manager, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    heard(&manager, "READY=1");
    let log = || daemon.log();
    assert!(log().contains("the level of the log is another now") && log().contains("sections=\"jobs\""), "{}", log());
    std::fs::write(&settings, "[jobs]\nworkers = \"many\"\n").unwrap();
    kill(process, Signal::SIGHUP).unwrap();
    heard(&manager, "READY=1");
    assert!(log().contains("those before stay in force"), "{}", log());

    // A server that stands still feeds no watchdog.
    kill(process, Signal::SIGSTOP).unwrap();
    let mut buffer = [0; 4096];
    while manager.recv(&mut buffer).is_ok() {}
    manager.set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
    assert!(manager.recv(&mut buffer).is_err(), "nobody is there to say anything");
    kill(process, Signal::SIGCONT).unwrap();
    heard(&manager, "WATCHDOG=1");
    daemon.stop();
    heard(&manager, "STOPPING=1");
}
