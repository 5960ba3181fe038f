//! Which server to ask, and with which token. Invariant: a token comes from a file, never from the command line, and the data
//! directory's own token goes to this machine only, to a process that serves the directory or to an address a person gave.

use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Url};

use super::directory::Holder;
use super::failure::Failure;
use crate::config::{Config, Flags};

/// A file longer than this holds no token.
const TOKEN_LIMIT_BYTES: u64 = 4096;

/// The flags of every command that asks a running server.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServerFlags {
    /// Ask the server at this address, such as https://packages.example or unix:/run/artifortress/http.sock; by default the one that
    /// serves the data directory.
    #[arg(long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Believe a server that shows a certificate of these authorities (PEM), and no other, in place of the system's.
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Use the token in this file; by default the data directory's, for a server on this machine only.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Print the server's JSON instead of text for people.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The data directory whose server is asked.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl ServerFlags {
    /// Those given before the command count where those after it are silent.
    pub(super) fn after(mut self, base: &Flags) -> ServerFlags {
        self.config = self.config.or_else(|| base.config.clone());
        self.data_dir = self.data_dir.or_else(|| base.data_dir.clone());
        self
    }

    /// The flags that name the server as they were typed, with a space before each: what comes next needs them too.
    pub(super) fn typed_again(&self) -> String {
        let path =
            |name: &str, path: &Option<PathBuf>| path.as_ref().map(|path| format!(" --{name} {}", path.display())).unwrap_or_default();
        let server = self.server.as_ref().map(|server| format!(" --server {server}")).unwrap_or_default();
        [
            server,
            path("ca-file", &self.ca_file),
            path("token-file", &self.token_file),
            path("config", &self.config),
            path("data-dir", &self.data_dir),
        ]
        .concat()
    }

    /// The settings of a data directory that is there and that no server serves; `None` when there is a server to ask.
    ///
    /// # Errors
    /// When the settings are faulty.
    pub(super) fn unserved(&self) -> Result<Option<Config>, Failure> {
        if self.server.is_some() {
            return Ok(None);
        }
        let settings = self.settings()?;
        let is_served = Holder::read(&settings.data_dir).is_ok_and(|holder| !holder.is_gone());
        let is_there = settings.data_dir.join("state.db").is_file();
        Ok(Some(settings).filter(|_| is_there && !is_served))
    }

    /// The data directory whose server is asked; `None` when the server was named by its address.
    pub(super) fn data_directory(&self) -> Option<PathBuf> {
        if self.server.is_some() { None } else { self.settings().ok().map(|settings| settings.data_dir) }
    }

    /// The data directory, when no server was named and none runs on it, but a database lies there.
    pub(super) fn unserved_directory(&self) -> Option<PathBuf> {
        if self.server.is_some() {
            return None;
        }
        let directory = self.settings().ok()?.data_dir;
        let is_served = Holder::read(&directory).is_ok_and(|holder| !holder.is_gone());
        (!is_served && directory.join("state.db").exists()).then_some(directory)
    }

    /// The address of the server that these flags name, as package clients are to reach it; nobody is asked there.
    ///
    /// # Errors
    /// When it is misspelt, no server runs on the data directory, or package clients cannot reach it.
    pub(super) fn address(&self) -> Result<Url, Failure> {
        self.find_address()?.ok_or_else(|| {
            let what = "package clients cannot reach the server through a socket in the file system; give --server with the address that they use, \
                        or set public_url";
            Failure::Failed(what.to_owned())
        })
    }

    /// As `address`; `None` when only commands reach the server, through a socket in the file system.
    ///
    /// # Errors
    /// When it is misspelt, or no server runs on the data directory.
    pub(super) fn find_address(&self) -> Result<Option<Url>, Failure> {
        let place = match &self.server {
            Some(server) => read_server(server).map_err(Failure::Usage)?,
            None => {
                let settings = self.settings()?;
                let (places, _) = serving(&settings.data_dir)?;
                let public = settings.transport.public_url.as_deref().and_then(|url| read_server(url).ok());
                match public.or_else(|| nearest(places, |place| place.socket.is_none())) {
                    Some(place) => place,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(place).filter(|place| place.socket.is_none()).map(|place| place.url))
    }

    /// The settings that these flags lead to.
    ///
    /// # Errors
    /// When they are faulty.
    pub(super) fn settings(&self) -> Result<Config, Failure> {
        let flags = Flags { config: self.config.clone(), data_dir: self.data_dir.clone(), listen: Vec::new() };
        Config::load(&flags).map_err(|faults| Failure::Failed(faults.to_string()))
    }
}

/// Where a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its address, without a slash at the end.
    pub(super) url: Url,
    /// The socket in the file system through which it is reached, in place of the host of that address.
    pub(super) socket: Option<PathBuf>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str(self.url.as_str().trim_end_matches('/')),
        }
    }
}

/// A server to ask.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where it is.
    pub(super) place: Place,
    /// Whether it is on this machine.
    pub(super) is_local: bool,
    /// The authorities whose certificates are believed in place of the system's.
    pub(super) authorities: Option<Vec<Certificate>>,
    /// What to show it, or why there is nothing to show.
    pub(super) token: Result<Token, String>,
    /// What to do when nobody answers there.
    pub(super) advice: String,
}

/// A token and where it came from.
#[derive(Debug)]
pub(super) struct Token {
    /// `Bearer …`, marked as a secret.
    pub(super) header: HeaderValue,
    /// The file.
    pub(super) file: PathBuf,
}

impl Connection {
    /// Finds the server and the token that these flags ask for.
    ///
    /// # Errors
    /// When no server runs on the data directory, or a file cannot be read.
    pub(super) fn find(flags: &ServerFlags) -> Result<Connection, Failure> {
        let given = flags.token_file.as_deref().map(|file| read_token(file).map_err(Failure::Failed)).transpose()?;
        let authorities = flags.ca_file.as_deref().map(|file| read_authorities(file).map_err(Failure::Failed)).transpose()?;
        let (place, directory, advice) = match &flags.server {
            Some(server) => {
                let place = read_server(server).map_err(Failure::Usage)?;
                let advice = "check the address given with --server, and that the server runs".to_owned();
                (place, None, advice)
            }
            None => {
                let settings = flags.settings()?;
                let (places, advice) = serving(&settings.data_dir)?;
                let shown = settings.data_dir.display();
                let place = nearest(places, |_| true).ok_or_else(|| {
                    Failure::Failed(format!("the server of {shown} does not listen yet; try again in a moment, or give --server"))
                })?;
                (place, Some(settings), advice)
            }
        };
        let is_local = place.socket.is_some() || is_local(&place.url);
        let token = match (given, directory) {
            (Some(token), _) => Ok(token),
            (None, Some(settings)) => token_of(&settings),
            (None, None) if is_local => {
                flags.settings().and_then(|settings| token_of(&settings).map_err(Failure::Failed)).map_err(|failure| failure.to_string())
            }
            (None, None) => Err("a token is sent to another machine only when --token-file names its file".to_owned()),
        };
        Ok(Connection { place, is_local, authorities, token, advice })
    }
}

/// The addresses of the process that serves a directory, and what to do when nobody answers there.
fn serving(directory: &Path) -> Result<(Vec<Place>, String), Failure> {
    let shown = directory.display();
    let start = format!("start one with: artifortress serve --data-dir {shown}; or name another with --server or --data-dir");
    let holder = Holder::read(directory).map_err(|cause| {
        Failure::Failed(if cause.kind() == ErrorKind::NotFound {
            format!("no server has been started on {shown}; {start}")
        } else {
            format!(
                "cannot read in {shown} where its server is ({}); run this as the user whom the server runs as, or give --server and --token-file",
                because(&cause)
            )
        })
    })?;
    if holder.is_gone() {
        return Err(Failure::Failed(format!("no server runs on {shown}; {start}")));
    }
    let places = holder.addresses.iter().filter_map(|address| read_server(address).ok()).collect();
    let process = holder.process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"));
    Ok((places, format!("{process} serves {shown} and does not answer; look at its log, and start it again if it hangs")))
}

/// Of these addresses the one that is asked most simply from here: in the open on this machine, through the file system, any other.
fn nearest(places: Vec<Place>, is_wanted: impl Fn(&Place) -> bool) -> Option<Place> {
    let distance = |place: &Place| match &place.socket {
        Some(_) => 1,
        None if place.url.scheme() == "http" && is_local(&place.url) => 0,
        None => 2,
    };
    places.into_iter().filter(|place| is_wanted(place)).min_by_key(distance)
}

/// An address as a person writes it.
fn read_server(text: &str) -> Result<Place, String> {
    let example = "write it like http://127.0.0.1:8466 or unix:/run/artifortress/http.sock";
    if let Some(path) = text.strip_prefix("unix:") {
        let url = Url::parse("http://localhost").ok().filter(|_| path.starts_with('/'));
        return url
            .map(|url| Place { url, socket: Some(PathBuf::from(path)) })
            .ok_or_else(|| format!("--server is no path of a socket; {example}"));
    }
    let mut url = Url::parse(text).map_err(|cause| format!("--server is no address ({cause}); {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("--server is no address of http or https; {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "--server has credentials in it, which every process of this machine can see; give --token-file FILE instead".to_owned()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("--server has more than an address; {example}"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(Place { url, socket: None })
}

/// The authorities in a file that a person names.
fn read_authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|cause| format!("cannot read the file {shown} of --ca-file ({})", because(&cause)))?;
    let read = Certificate::from_pem_bundle(&bytes).ok().filter(|certificates| !certificates.is_empty());
    read.ok_or_else(|| format!("the file {shown} of --ca-file holds no certificate in PEM"))
}

/// Whether the address is this machine's own.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The first administrator's token: the file the settings name, else the one the first start wrote.
fn token_of(settings: &Config) -> Result<Token, String> {
    match &settings.bootstrap_token_file {
        Some(file) => read_token(file),
        None => read_token(&settings.data_dir.join("admin-token")),
    }
}

fn read_token(file: &Path) -> Result<Token, String> {
    let shown = file.display();
    let read = || {
        let mut text = String::new();
        std::fs::File::open(file)?.take(TOKEN_LIMIT_BYTES + 1).read_to_string(&mut text)?;
        Ok::<String, std::io::Error>(text)
    };
    let text = read().map_err(|cause| format!("cannot read the token file {shown} ({}); give --token-file FILE", because(&cause)))?;
    let secret = text.trim();
    let is_token = !secret.is_empty() && text.len() as u64 <= TOKEN_LIMIT_BYTES && secret.bytes().all(|byte| byte.is_ascii_graphic());
    let header = is_token.then(|| HeaderValue::from_str(&format!("Bearer {secret}")).ok()).flatten();
    let mut header = header.ok_or_else(|| format!("the file {shown} holds no token; it should hold one line that begins with aft_"))?;
    header.set_sensitive(true);
    Ok(Token { header, file: file.to_owned() })
}

/// A fault of a file, without the operating system's numbers.
fn because(cause: &std::io::Error) -> String {
    let known = [
        (ErrorKind::NotFound, "there is no such file"),
        (ErrorKind::PermissionDenied, "permission denied"),
        (ErrorKind::IsADirectory, "it is a directory"),
        (ErrorKind::InvalidData, "it is no text"),
    ];
    known.iter().find(|(kind, _)| *kind == cause.kind()).map_or_else(|| cause.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
