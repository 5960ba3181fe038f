//! Running a client. Invariant: nothing of the machine's own configuration reaches it, and it ends: after 90 seconds it is killed with
//! all that it started, and the test fails and shows what it printed.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a client may take.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// A client with a home of its own.
#[derive(Debug, Clone)]
pub struct Client {
    directory: PathBuf,
    home: PathBuf,
    path: String,
    variables: Vec<(String, String)>,
}

/// How a client ended, and all that it printed.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The program and its arguments.
    pub command: String,
    /// Its exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it printed, its output before its errors.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub fn well(self) -> Ended {
        assert_eq!(self.status, Some(0), "{}: {}", self.command, self.output());
        self
    }

    /// Asserts that it failed.
    #[track_caller]
    pub fn badly(self) -> Ended {
        assert!(self.status.is_some_and(|status| status != 0), "{} {:?}: {}", self.command, self.status, self.output());
        self
    }

    /// Asserts that it printed all of this.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Ended {
        let output = self.output();
        for words in words {
            assert!(output.contains(words), "{} does not say {words:?}: {output}", self.command);
        }
        self
    }

    /// Asserts that it printed none of this.
    #[track_caller]
    pub fn hides(self, words: &[&str]) -> Ended {
        let output = self.output();
        for words in words {
            assert!(!output.contains(words), "{} says {words:?}: {output}", self.command);
        }
        self
    }
}

impl Client {
    /// A client whose home and work directory are below `directory`; it finds programs at `path` alone.
    pub fn new(directory: &Path, path: &str) -> Client {
        let (home, work) = (directory.join("home"), directory.join("work"));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::create_dir_all(&work).unwrap();
        Client { directory: work, home, path: path.to_owned(), variables: Vec::new() }
    }

    /// The same with a variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Client {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same at another directory, made if it is not there; a relative one is below the work directory.
    pub fn at(mut self, directory: impl AsRef<Path>) -> Client {
        self.directory = self.directory.join(directory);
        std::fs::create_dir_all(&self.directory).unwrap();
        self
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where it works.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file below its work directory; gives the file's path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        written(&self.directory.join(name), content.as_ref())
    }

    /// Writes a file below its home, such as `.npmrc`.
    pub fn write_home(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        written(&self.home.join(name), content.as_ref())
    }

    /// Reads a file below its work directory.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        let path = self.directory.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
    }

    /// Runs a program with these arguments until it ends. A name with a slash is a path below the work directory.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        // A path that is no plain name is one below the work directory, such as that of an environment which a client made.
        let own = program.contains('/').then(|| self.directory.join(program));
        let places = own.into_iter().chain(self.path.split(':').map(|place| Path::new(place).join(program)));
        let Some(found) = { places }.find(|place| place.exists()) else {
            panic!("{program} is not at {}; run scripts/test once, which installs the clients", self.path)
        };
        let mut command = Command::new(found);
        command.args(arguments).current_dir(&self.directory).env_clear();
        // Plain text, wide enough that no line is broken.
        let plain = [("NO_COLOR", "1"), ("COLUMNS", "1000"), ("LANG", "C.UTF-8"), ("TZ", "UTC")];
        command.envs(plain).env("HOME", &self.home).env("PATH", &self.path).envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        ended(command.spawn().unwrap(), format!("{program} {}", arguments.join(" ")))
    }
}

fn written(path: &Path, content: &[u8]) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    path.to_owned()
}

fn ended(mut child: Child, command: String) -> Ended {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (stdout, stderr) = (reading(child.stdout.take().unwrap()), reading(child.stderr.take().unwrap()));
    let status = waiting(child).recv_timeout(TIME_LIMIT);
    // What it left running would keep the pipes open; mostly there is nothing left, and no group to kill.
    let _group_is_gone = killpg(group, Signal::SIGKILL);
    let [stdout, stderr] = [stdout, stderr].map(|text| text.join().unwrap());
    let Ok(status) = status else { panic!("{command} did not end within {TIME_LIMIT:?}; it printed {stdout}{stderr}") };
    Ended { command, status: status.code(), stdout, stderr }
}

fn reading(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn waiting(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(child.wait().unwrap()));
    receiver
}

#[test]
fn a_client_has_an_environment_of_its_own_and_takes_nothing_along() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(directory.path(), "/usr/bin:/bin").env("SAID", "this").at("below");
    let seen = client.run("sh", &["-c", "env; pwd; echo wrong >&2; sleep 1000 & exit 3"]).badly();
    assert_eq!((seen.status, seen.stderr.as_str()), (Some(3), "wrong\n"));
    let seen = seen.says(&["SAID=this", "work/below", &format!("HOME={}", client.home().display())]);
    seen.hides(&["CARGO_MANIFEST_DIR", "USER="]);
    client.write("deep/here", "a");
    client.write_home("there", "b");
    client.run("sh", &["-c", "cat deep/here ~/there > both"]).well();
    assert_eq!(client.read("both"), "ab");
}
