//! A parent that holds the listening sockets, as systemd does. Invariant: what it started ends with the test; its sockets stay.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A daemon that serves a socket which it was handed.
pub struct Activated {
    child: Child,
    /// The lines that it printed until it said where its data is.
    pub said: Vec<String>,
}

impl Activated {
    /// Starts the program on a data directory under `directory`, with a duplicate of `socket` as descriptor 3 (sd_listen_fds(3)).
    pub fn start(directory: &Path, socket: OwnedFd, name: &str, settings: &[(&str, &str)]) -> Activated {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("test.log")).unwrap();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null")
            .arg("sh")
            .arg(env!("CARGO_BIN_EXE_artifortress"))
            .args(["serve", "--listen", "127.0.0.1:1", "--data-dir"])
            .arg(directory.join("data"))
            .env("LISTEN_FDNAMES", name)
            .envs(settings.iter().copied())
            .stdin(Stdio::from(socket))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "{said:?}; {}", std::fs::read_to_string(directory.join("test.log")).unwrap());
            if line.starts_with("data in") {
                break;
            }
            said.push(line.trim().to_owned());
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Activated { child, said }
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
