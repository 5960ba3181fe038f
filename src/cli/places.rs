//! Where package clients keep their settings for this user and this directory. Invariant: nothing but the names of files comes from the
//! machine here, and what is read is bounded.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::config::environment;

/// Variables by which clients find their settings, or take them.
const VARIABLES: [&str; 23] = [
    "HOME",
    "XDG_CONFIG_HOME",
    "VIRTUAL_ENV",
    "CARGO_HOME",
    "PIP_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "UV_CONFIG_FILE",
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY",
    "NPM_CONFIG_USERCONFIG",
    "npm_config_userconfig",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "YARN_NPM_REGISTRY_SERVER",
    "BUN_CONFIG_REGISTRY",
    "CARGO_REGISTRY_DEFAULT",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
];
/// The longest file of settings that is read.
const FILE_LIMIT_BYTES: u64 = 256 << 10;
/// Directories above this one that are looked into.
const ABOVE_LIMIT: usize = 32;

/// The user's directories, the directory that the command was typed in, and the variables that clients look at.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The directory.
    pub(super) here: PathBuf,
    /// Settings for all users of the machine.
    pub(super) system: PathBuf,
    variables: BTreeMap<&'static str, String>,
}

/// What a file of settings holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// This text.
    Text(String),
    /// Nothing is there.
    Absent,
    /// It cannot be read, or is too long; why.
    Unreadable(String),
}

impl Places {
    /// Those of this process.
    pub(super) fn of_process() -> Places {
        Places {
            here: std::fs::canonicalize(".").unwrap_or_else(|_| PathBuf::from(".")),
            system: PathBuf::from("/etc"),
            variables: VARIABLES.iter().filter_map(|name| Some((*name, environment(name)?))).collect(),
        }
    }

    /// Those below a directory, for tests.
    #[cfg(test)]
    pub(super) fn below(root: &Path, variables: &[(&'static str, &str)]) -> Places {
        let home = root.join("home").display().to_string();
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Places { here: root.join("home/project"), system: root.join("etc"), variables: variables.chain([("HOME", home)]).collect() }
    }

    /// One variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The user's directory.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// Where the user's settings of most programs are.
    pub(super) fn config(&self) -> Option<PathBuf> {
        self.variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(self.home()?.join(".config")))
    }

    /// Cargo's directory.
    pub(super) fn cargo(&self) -> Option<PathBuf> {
        self.variable("CARGO_HOME").map(PathBuf::from).or_else(|| Some(self.home()?.join(".cargo")))
    }

    /// This directory and those above it, the nearest first.
    pub(super) fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.here.ancestors().take(ABOVE_LIMIT)
    }
}

/// Reads a file of settings.
pub(super) fn read(path: &Path) -> Contents {
    let text = || {
        let mut bytes = Vec::new();
        // Whatever else a client may name there (a pipe, a device) is not opened: it could keep the command waiting.
        if !std::fs::metadata(path)?.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        std::fs::File::open(path)?.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
        Ok::<Vec<u8>, std::io::Error>(bytes)
    };
    match text() {
        Ok(bytes) if bytes.len() as u64 > FILE_LIMIT_BYTES => Contents::Unreadable(format!("it is longer than {FILE_LIMIT_BYTES} bytes")),
        Ok(bytes) => String::from_utf8(bytes).map_or_else(|_| Contents::Unreadable("it is no text".to_owned()), Contents::Text),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Contents::Absent,
        Err(cause) => Contents::Unreadable(cause.to_string()),
    }
}

/// A line of settings without what is secret in it: credentials of an address, and the value of what is called token, password or the like.
pub(super) fn without_secrets(line: &str) -> String {
    let line = match (line.find("://"), line.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme + 3 => format!("{}…{}", &line[..scheme + 3], &line[at..]),
        _ => line.to_owned(),
    };
    let folded = line.to_lowercase();
    let is_secret = ["token", "password", "_auth", "secret", "credential"].iter().any(|word| folded.contains(word));
    match line.find(['=', ':']).filter(|_| is_secret && !line.trim_start().starts_with(['#', ';'])) {
        // npm's keys begin with the address that they are for.
        Some(_) if line.starts_with("//") => format!("{}=…", line.split('=').next().unwrap_or_default()),
        Some(end) => format!("{}…", &line[..=end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_file_of_settings_is_shown() {
        for (line, shown) in [
            ("index-url = http://bob:s3cret@host/simple/", "index-url = http://…@host/simple/"),
            ("//host/npm/:_authToken=s3cret", "//host/npm/:_authToken=…"),
            ("npmAuthToken: s3cret", "npmAuthToken:…"),
            ("token = \"s3cret\"", "token =…"),
            ("_password=s3cret", "_password=…"),
            ("registry=http://host/", "registry=http://host/"),
            ("# a token is needed: ask", "# a token is needed: ask"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }

    #[test]
    fn what_is_too_long_no_file_or_no_text_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert_eq!((read(&path), read(directory.path())), (Contents::Absent, Contents::Absent));
        std::fs::write(&path, "a=1").unwrap();
        assert_eq!(read(&path), Contents::Text("a=1".to_owned()));
        for bytes in [vec![0xff], vec![b'a'; 300 << 10]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(read(&path), Contents::Unreadable(_)));
        }
    }
}
