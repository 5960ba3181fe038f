//! `client-config`: the settings with which a package client takes everything from this server. Invariant: no token is printed or written,
//! and no file that says something else is changed.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::connection::ServerFlags;
use super::failure::Failure;
use super::places::{Contents, Places, read, without_secrets};
use super::terminal::Screen;
use crate::domain::lifecycle::text_enum;
use crate::domain::name::RepoKey;

mod texts;

#[cfg(test)]
mod tests;

use texts::Source;

/// Who alone may read and write a file.
const PRIVATE_MODE: u32 = 0o600;
/// Lines of a file that a person is shown.
const SHOWN: usize = 40;

text_enum! {
    /// A package client.
    Tool "client" {
        /// PyPI.
        Pip "pip",
        /// PyPI.
        Uv "uv",
        /// PyPI.
        Poetry "poetry",
        /// PyPI.
        Pdm "pdm",
        /// npm.
        Npm "npm",
        /// npm.
        Pnpm "pnpm",
        /// npm.
        Yarn "yarn",
        /// npm.
        Bun "bun",
        /// Cargo.
        Cargo "cargo",
        /// OCI.
        Docker "docker",
        /// OCI.
        Containerd "containerd",
        /// Maven.
        Maven "maven",
        /// Maven.
        Gradle "gradle",
        /// Go.
        Go "go",
    }
}

/// Which client, and what of the server.
#[derive(Debug, clap::Args)]
pub(super) struct ClientConfigArguments {
    /// The client: pip, uv, poetry, pdm, npm, pnpm, yarn, bun or cargo.
    #[arg(value_name = "CLIENT")]
    tool: Tool,
    /// The repo that it takes everything from.
    #[arg(long, value_name = "REPO", default_value = "main")]
    repo: RepoKey,
    /// Write the file where the client reads it; one that says something else is left alone.
    #[arg(long)]
    write: bool,
}

/// The settings of one client, and where it reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    text: String,
    path: PathBuf,
    is_part: IsPart,
}

/// Whether the file has other things to say, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsPart {
    /// It is all of the file.
    Whole,
    /// It goes to the end of the project's own file, unless that has such a section.
    Section(&'static str),
}

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It is new, or has the section now.
    Yes,
    /// It said so before.
    Already,
}

/// Prints or writes the settings.
pub(super) fn run(flags: &ServerFlags, arguments: ClientConfigArguments) -> ExitCode {
    configure(flags, arguments).unwrap_or_else(|failure| failure.report())
}

fn configure(flags: &ServerFlags, arguments: ClientConfigArguments) -> Result<ExitCode, Failure> {
    let protocol = unserved(arguments.tool);
    if let Some(protocol) = protocol {
        let words = "this version serves PyPI, npm, Cargo and plain files";
        return Err(Failure::Failed(format!("{} speaks {protocol}, which is not served yet; {words}", arguments.tool)));
    }
    let source = Source::new(&flags.address()?, arguments.repo);
    let settings = Settings::of(arguments.tool, &source, &Places::of_process())?;
    let screen = Screen::of_process();
    let written = if arguments.write { Some(settings.write()?) } else { None };
    let shown = settings.path.display();
    if flags.json {
        let is_written = written.is_some();
        let document = json!({"client": arguments.tool, "path": settings.path, "text": settings.text, "written": is_written});
        screen.print_json(&document.to_string())?;
    } else {
        match written {
            None => screen.print_text(&format!("# {shown}\n{}", settings.text))?,
            Some(Written::Yes) => screen.print(&format!("wrote {shown}"))?,
            Some(Written::Already) => screen.print(&format!("{shown} says so already"))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The protocol of a client that is not served.
fn unserved(tool: Tool) -> Option<&'static str> {
    match tool {
        Tool::Docker | Tool::Containerd => Some("OCI"),
        Tool::Maven | Tool::Gradle => Some("Maven"),
        Tool::Go => Some("the Go module protocol"),
        Tool::Pip | Tool::Uv | Tool::Poetry | Tool::Pdm | Tool::Npm | Tool::Pnpm | Tool::Yarn | Tool::Bun | Tool::Cargo => None,
    }
}

impl Settings {
    fn of(tool: Tool, source: &Source, places: &Places) -> Result<Settings, Failure> {
        let nowhere = || Failure::Failed(format!("neither HOME nor another variable says where {tool} keeps its settings"));
        let (directory, name) = match tool {
            Tool::Pip => (places.config(), "pip/pip.conf"),
            Tool::Uv => (places.config(), "uv/uv.toml"),
            Tool::Poetry | Tool::Pdm => (Some(places.here.clone()), "pyproject.toml"),
            Tool::Npm | Tool::Pnpm => (places.home(), ".npmrc"),
            Tool::Yarn => (places.home(), ".yarnrc.yml"),
            Tool::Bun => (places.home(), ".bunfig.toml"),
            Tool::Cargo | Tool::Docker | Tool::Containerd | Tool::Maven | Tool::Gradle | Tool::Go => (places.cargo(), "config.toml"),
        };
        let is_part = match tool {
            Tool::Poetry => IsPart::Section("tool.poetry.source"),
            Tool::Pdm => IsPart::Section("tool.pdm.source"),
            Tool::Pip | Tool::Uv | Tool::Npm | Tool::Pnpm | Tool::Yarn | Tool::Bun | Tool::Cargo => IsPart::Whole,
            Tool::Docker | Tool::Containerd | Tool::Maven | Tool::Gradle | Tool::Go => IsPart::Whole,
        };
        let path = directory.ok_or_else(nowhere)?.join(name);
        Ok(Settings { text: texts::text(tool, source).unwrap_or_default(), path, is_part })
    }

    fn write(&self) -> Result<Written, Failure> {
        match (read(&self.path), self.is_part) {
            (Contents::Text(found), _) if found.contains(self.text.as_str()) => Ok(Written::Already),
            (Contents::Text(found), IsPart::Section(section)) if !found.contains(section) => self.append(&found),
            (Contents::Text(found), _) => Err(Failure::Failed(self.differs(&found))),
            (Contents::Absent, IsPart::Whole) => self.create(),
            (Contents::Absent, IsPart::Section(_)) => {
                Err(Failure::Failed(format!("there is no {}; type this in the directory of the project", self.path.display())))
            }
            (Contents::Unreadable(why), _) => Err(Failure::Failed(format!("{} is left alone: {why}", self.path.display()))),
        }
    }

    fn create(&self) -> Result<Written, Failure> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let create = || {
            std::fs::create_dir_all(directory)?;
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(&self.path)?;
            file.write_all(self.text.as_bytes())?;
            file.sync_all()
        };
        create().map(|()| Written::Yes).map_err(|cause| self.unwritten(&cause))
    }

    /// Puts the section at the end, by way of a new file that takes the old one's place and mode.
    fn append(&self, found: &str) -> Result<Written, Failure> {
        let gap = if found.ends_with('\n') { "\n" } else { "\n\n" };
        let new = self.path.with_extension("toml.new");
        let write = || {
            let mode = std::fs::metadata(&self.path)?.permissions().mode();
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode & 0o777).open(&new)?;
            file.write_all(format!("{found}{gap}{}", self.text).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map(|()| Written::Yes).map_err(|cause| {
            drop(std::fs::remove_file(&new));
            self.unwritten(&cause)
        })
    }

    fn unwritten(&self, cause: &std::io::Error) -> Failure {
        Failure::Failed(format!("cannot write {}: {cause}", self.path.display()))
    }

    /// What is there and what should be, a line each; secrets are left out.
    fn differs(&self, found: &str) -> String {
        let has = |text: &str, line: &str| text.lines().any(|other| other.trim() == line.trim());
        let there = found.lines().take(SHOWN).map(|line| (if has(&self.text, line) { " " } else { "-" }, without_secrets(line)));
        let more = if found.lines().count() > SHOWN { Some((" ", "…".to_owned())) } else { None };
        let wanted = self.text.lines().filter(|line| !has(found, line)).map(|line| ("+", line.to_owned()));
        let lines: Vec<String> = there.chain(more).chain(wanted).map(|(mark, line)| format!("{mark}{line}")).collect();
        let shown = self.path.display();
        format!(
            "{shown} is left alone, since it says something else; see which of its lines (-) may stay beside these (+):\n{}",
            lines.join("\n")
        )
    }
}
