//! A daemon that listens as a test says, or on a socket that it is handed, as systemd does. Invariant: what was started ends with the
//! test; a socket that was handed over stays.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A daemon and what it said.
pub struct Listening {
    child: Child,
    directory: PathBuf,
    /// The lines that it printed until it said where its data is: where it listens.
    pub said: Vec<String>,
}

impl Listening {
    /// Starts the program on a data directory under `directory`, at these addresses.
    pub fn start(directory: &Path, listen: &[&str], settings: &[(&str, &str)]) -> Listening {
        Listening::try_start(directory, listen, settings).unwrap_or_else(|said| panic!("it does not start: {said}"))
    }

    /// The same; what it said in place of starting is the error.
    pub fn try_start(directory: &Path, listen: &[&str], settings: &[(&str, &str)]) -> Result<Listening, String> {
        let mut program = Command::new(env!("CARGO_BIN_EXE_artifortress"));
        program.arg("serve").args(listen.iter().flat_map(|address| ["--listen", address]));
        Listening::begin(program, directory, settings)
    }

    /// Starts it with a duplicate of `socket` as descriptor 3 (sd_listen_fds(3)).
    pub fn handed(directory: &Path, socket: OwnedFd, name: &str, settings: &[(&str, &str)]) -> Listening {
        let mut program = Command::new("sh");
        program
            .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null", "sh", env!("CARGO_BIN_EXE_artifortress"), "serve"])
            .args(["--listen", "127.0.0.1:1"])
            .env("LISTEN_FDNAMES", name)
            .stdin(Stdio::from(socket));
        Listening::begin(program, directory, settings).unwrap_or_else(|said| panic!("it does not start: {said}"))
    }

    /// Starts `program`, which runs `artifortress serve` with what is appended.
    pub fn begin(mut program: Command, directory: &Path, settings: &[(&str, &str)]) -> Result<Listening, String> {
        let log = directory.join("test.log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        program.arg("--data-dir").arg(directory.join("data")).envs(settings.iter().copied());
        let mut child = program.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                drop(child.wait());
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            if line.starts_with("data in") {
                break;
            }
            said.push(line.trim().to_owned());
        }
        std::thread::spawn(move || drop(lines.read_to_end(&mut Vec::new())));
        Ok(Listening { child, directory: directory.to_owned(), said })
    }

    /// The administrator's token, as the first start wrote it.
    pub fn admin(&self) -> String {
        std::fs::read_to_string(self.directory.join("data/admin-token")).unwrap().trim().to_owned()
    }

    /// The address it says that it listens on, without `listening on`.
    pub fn address(&self) -> &str {
        self.said[0].strip_prefix("listening on ").unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
