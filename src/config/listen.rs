//! Addresses to listen on. Invariant: what is not an address is a fault with examples, never a guess.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::reader::Reader;

/// The address listened on when none is given.
pub(super) const DEFAULT_LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8466));

/// One address to listen on: `127.0.0.1:8466`, `[::1]:8466` or `unix:/run/artifortress.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// An address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path, such as unix:/run/artifortress.sock".to_owned()),
            Some(path) => Ok(Listen::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Listen::Tcp)
                .map_err(|_| format!("{text:?} is no address to listen on; write 127.0.0.1:8466, [::1]:8466, 0.0.0.0:8466 or unix:PATH")),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Listen, String> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One address or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "one address as a string, or a list of them")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads `listen`: one address or a list of them.
pub(super) fn read_listen(reader: &mut Reader) -> Vec<Listen> {
    let texts = match reader.find("listen") {
        None => return vec![DEFAULT_LISTEN],
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    };
    if texts.is_empty() {
        reader.fault("listen", "the list is empty; give at least one address");
    }
    let mut addresses = Vec::new();
    for text in texts {
        match text.parse::<Listen>() {
            Ok(address) => addresses.push(address),
            Err(what) => reader.fault("listen", &what),
        }
    }
    addresses
}
