//! The real binary on a real socket, for what only these can show. Invariant: a daemon that a test started ends with the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The program under test.
fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_artifortress"))
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    /// `host:port`.
    pub address: String,
    agent: ureq::Agent,
}

/// An answer over the socket.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

impl Daemon {
    /// Starts it on a data directory, at a port that is free; further settings come as `ARTIFORTRESS_…` variables.
    pub fn start(directory: &Path, settings: &[(&str, &str)]) -> Daemon {
        Daemon::start_by(program(), directory, settings)
    }

    /// Starts it with the settings of a file, too.
    pub fn start_configured(directory: &Path, file: &Path, settings: &[(&str, &str)]) -> Daemon {
        let mut program = program();
        program.arg("--config").arg(file);
        Daemon::start_by(program, directory, settings)
    }

    /// Starts it as a user who is not root and cannot do what file permissions forbid, whoever runs the tests. The directory is his.
    pub fn start_unprivileged(directory: &Path) -> Daemon {
        use std::os::unix::fs::{PermissionsExt, chown};
        use std::os::unix::process::CommandExt as _;
        if !nix::unistd::Uid::effective().is_root() {
            return Daemon::start(directory, &[]);
        }
        const NOBODY: u32 = 65_534;
        // The build directory may lie where he cannot go.
        let copy = directory.join("artifortress");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_artifortress"), &copy).unwrap();
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::create_dir(directory.join("data")).unwrap();
            chown(directory.join("data"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut program = Command::new(copy);
        program.uid(NOBODY).gid(NOBODY).current_dir("/");
        Daemon::start_by(program, directory, &[])
    }

    fn start_by(mut program: Command, directory: &Path, settings: &[(&str, &str)]) -> Daemon {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("test.log")).unwrap();
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.join("data"))
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("listening on http://").unwrap_or_else(|| {
            panic!("the first line is {first:?}; the log says {}", std::fs::read_to_string(directory.join("test.log")).unwrap())
        });
        let address = address.to_owned();
        // What else it prints is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build();
        Daemon { child, directory: directory.to_owned(), address, agent: config.into() }
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The administrator's token, as the first start wrote it.
    pub fn admin(&self) -> String {
        std::fs::read_to_string(self.directory.join("data/admin-token")).unwrap().trim().to_owned()
    }

    /// Sends a request; `Err` when the connection failed before a whole answer came.
    pub fn call(&self, token: &str, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        let mut request = http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let sent =
            if body.is_empty() { self.agent.run(request.body(()).unwrap()) } else { self.agent.run(request.body(body.to_vec()).unwrap()) };
        let mut response = sent.map_err(|fault| fault.to_string())?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec().map_err(|fault| fault.to_string())?;
        Ok(Answer { status, bytes })
    }

    /// A POST of JSON.
    pub fn post(&self, token: &str, path: &str, json: &Value) -> Result<Answer, String> {
        self.call(token, "POST", path, json.to_string().as_bytes())
    }

    /// A connection of its own, for requests that no client library would send.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends these bytes as they are and reads until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may answer and close before it has taken everything.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Kills it as a power cut would: SIGKILL, no chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// The same as `kill` while others still hold it.
    pub fn signal_kill(&self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    /// Everything it has logged so far, by all daemons on this directory.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("test.log")).unwrap()
    }

    /// The program with these arguments, as a user types them; its data directory is the one under `directory`.
    pub fn command(directory: &Path, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(arguments).env("ARTIFORTRESS_DATA_DIR", directory.join("data")).env_remove("NO_COLOR");
        command
    }

    /// Runs `artifortress` with these arguments on the data directory under `directory`.
    pub fn run(directory: &Path, arguments: &[&str]) -> Output {
        program().args(arguments).arg("--data-dir").arg(directory.join("data")).output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
