//! Addresses to listen on. Invariant: what is not an address is a fault with examples, never a guess.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

use super::reader::Reader;

/// The address listened on when none is given.
pub(super) const DEFAULT_LISTEN: Listen = Listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8466));

/// One address to listen on: `127.0.0.1:8466` or `[::1]:8466`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(
    /// The address and port; port 0 lets the system choose.
    pub SocketAddr,
);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if text.starts_with("unix:") {
            return Err(format!("{text:?} is a socket's path, which this version does not serve; write 127.0.0.1:8466"));
        }
        let hint = |_| format!("{text:?} is no address to listen on; write 127.0.0.1:8466, [::1]:8466 or 0.0.0.0:8466");
        text.parse().map(Listen).map_err(hint)
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
        self.0.fmt(f)
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
