//! The settings of this user's package clients: whether what is refused here could come from somewhere else. Invariant: files are only read,
//! as far as they go and no further, and of an address no more than its host is shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::super::connection::is_local;
use super::super::places::{Contents, Places, read};
use super::Finding;

mod cargo;
mod node;
mod python;

#[cfg(test)]
mod tests;

/// Findings that a person is shown of one client.
const SHOWN: usize = 20;

/// What a client takes from a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// Everything that no other setting names: it takes the place of the public index.
    Default,
    /// Anything, beside the default.
    Beside,
    /// What is named so, or asks for it by name.
    Only(String),
}

/// One place that a client may take packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    role: Role,
    /// The setting, such as `extra-index-url`.
    setting: String,
    /// Its address or directory.
    target: String,
    /// The file or variable that says so.
    said_in: String,
}

/// What was found of one client, the settings that win first.
#[derive(Debug, Default)]
struct Client {
    sources: Vec<Source>,
    /// Files that could not be read, and why.
    unread: Vec<(String, String)>,
}

/// The server that is asked, as other addresses are compared with it.
#[derive(Debug)]
struct Ours {
    url: Url,
}

/// Where a source leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Here,
    Elsewhere(String),
}

impl Ours {
    /// Where this leads. All names of this machine are one.
    fn place(&self, target: &str) -> Place {
        let plain = target.strip_prefix("sparse+").or_else(|| target.strip_prefix("registry+")).unwrap_or(target);
        let Ok(url) = Url::parse(plain) else { return Place::Elsewhere(directory(plain)) };
        let Some(host) = url.host_str() else { return Place::Elsewhere(directory(plain)) };
        let is_host = url.host_str() == self.url.host_str() || (is_local(&url) && is_local(&self.url));
        let is_port = url.port_or_known_default() == self.url.port_or_known_default();
        if is_host && is_port && url.path().starts_with(self.url.path().trim_end_matches('/')) {
            return Place::Here;
        }
        Place::Elsewhere(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }
}

/// What is no address, without what only the client can put in.
fn directory(target: &str) -> String {
    if target.contains(['$', '@']) { "an address that cannot be told".to_owned() } else { target.chars().take(120).collect() }
}

impl Client {
    fn add(&mut self, role: Role, setting: &str, target: &str, said_in: &str) {
        if !target.trim().is_empty() {
            self.sources.push(Source { role, setting: setting.to_owned(), target: target.trim().to_owned(), said_in: said_in.to_owned() });
        }
    }

    /// Reads a file, if it is there.
    fn take(&mut self, path: &Path, into: impl FnOnce(&mut Client, &str, &str) -> Result<(), String>) {
        let shown = path.display().to_string();
        let done = match read(path) {
            Contents::Absent => Ok(()),
            Contents::Text(text) => into(self, &text, &shown),
            Contents::Unreadable(why) => Err(why),
        };
        if let Err(why) = done {
            self.unread.push((shown, why));
        }
    }

    /// What of it could get past the gate.
    fn findings(&self, name: &str, ours: &Ours) -> Vec<Finding> {
        let check = format!("client, {name}");
        let mut findings: Vec<Finding> = self
            .unread
            .iter()
            .map(|(file, why)| Finding::warning(&check, format!("{file} cannot be read: {why}"), "see that it names no other source"))
            .collect();
        let default = self.sources.iter().find(|source| source.role == Role::Default);
        let is_ours = |source: &Source| ours.place(&source.target) == Place::Here;
        match default.map(|source| (source, ours.place(&source.target))) {
            Some((source, Place::Elsewhere(place))) => {
                let words = format!("{name} takes packages from {place}, past this server ({} in {})", source.setting, source.said_in);
                findings.push(Finding::warning(
                    &check,
                    words,
                    format!("artifortress client-config {name} says how it takes them from here"),
                ));
            }
            None if self.sources.iter().any(is_ours) => {
                let words =
                    format!("{name} knows this server, and the public index stays its default: what is refused here comes from there");
                findings.push(Finding::warning(
                    &check,
                    words,
                    format!("artifortress client-config {name} says how this server becomes the only one"),
                ));
            }
            Some((_, Place::Here)) | None => {}
        }
        findings.extend(
            self.sources.iter().filter(|source| source.role != Role::Default).filter_map(|source| source.finding(&check, name, ours)),
        );
        findings.truncate(SHOWN);
        if findings.is_empty() && default.is_some() {
            findings.push(Finding::good(&check, format!("{name} takes packages from here only")));
        }
        findings
    }
}

impl Source {
    /// What a source beside the default lets past.
    fn finding(&self, check: &str, name: &str, ours: &Ours) -> Option<Finding> {
        let Place::Elsewhere(place) = ours.place(&self.target) else { return None };
        let (setting, said_in) = (&self.setting, &self.said_in);
        let words = match &self.role {
            Role::Only(what) => format!("{name} takes {what} from {place}, past this server ({setting} in {said_in})"),
            Role::Default | Role::Beside => {
                format!("{name} may take anything from {place}, also what is refused here ({setting} in {said_in})")
            }
        };
        let next = format!("remove {setting}, and let what is needed from there come in through this server");
        Some(Finding::warning(check, words, next))
    }
}

/// Looks at the settings of all clients that this user and this directory have any of.
pub(super) fn look(server: Url, places: &Places) -> Vec<Finding> {
    let ours = Ours { url: server };
    let clients = [
        ("pip", python::pip(places)),
        ("uv", python::uv(places)),
        ("poetry", python::poetry(places)),
        ("pdm", python::pdm(places)),
        ("npm", node::npm(places)),
        ("yarn", node::yarn(places)),
        ("bun", node::bun(places)),
        ("cargo", cargo::cargo(places)),
    ];
    let mut findings: Vec<Finding> = clients.iter().flat_map(|(name, client)| client.findings(name, &ours)).collect();
    if findings.is_empty() {
        findings.push(Finding::good("clients", "no package client of this user has settings of its own here"));
    }
    findings
}

/// A file of this name in this directory and in those above, the nearest first.
fn upwards(places: &Places, name: &str) -> Vec<PathBuf> {
    places.upwards().map(|directory| directory.join(name)).collect()
}

/// The paths without repetitions, the first of each kept.
fn once(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    paths.into_iter().filter(|path| seen.insert(path.clone())).collect()
}

/// A document in TOML.
fn table(text: &str) -> Result<toml::Table, String> {
    // The parser's own words quote the file, which may hold a secret.
    toml::from_str(text)
        .map_err(|fault| fault.span().map_or_else(|| "it is no TOML".to_owned(), |at| format!("it is no TOML, see byte {}", at.start)))
}

/// What stands at the end of these keys.
fn at<'a>(table: &'a toml::Table, keys: &[&str]) -> Option<&'a toml::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// The text there, or of the member `url` of what is there.
fn address(value: &toml::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("url")?.as_str())
}
