//! Addresses to listen on. Invariant: what is not an address is a fault with examples, never a guess, and is not repeated.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::reader::Reader;

/// The address listened on when none is given.
pub(super) const DEFAULT_LISTEN: Listen =
    Listen::Tcp { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8466), encryption: Encryption::WhenConfigured };

/// The longest path that a socket can have (`sun_path`, without the zero at its end).
const PATH_LIMIT_BYTES: usize = 107;

/// One address to listen on: `127.0.0.1:8466`, `[::1]:8466`, `plain:127.0.0.1:8466` or `unix:/run/artifortress/http.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// An address of the network.
    Tcp {
        /// The address and port; port 0 lets the system choose.
        address: SocketAddr,
        /// Whether it speaks TLS.
        encryption: Encryption,
    },
    /// A socket in the file system, of which only this machine knows: an absolute path. It never speaks TLS.
    Unix(PathBuf),
}

/// Whether an address of the network speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// When there is a certificate.
    WhenConfigured,
    /// Never: its clients are on this machine, or something before it speaks TLS.
    Never,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return read_path(path).map(Listen::Unix);
        }
        let (rest, encryption) = text.strip_prefix("plain:").map_or((text, Encryption::WhenConfigured), |rest| (rest, Encryption::Never));
        let hint = |_| {
            "this is no address to listen on; write 127.0.0.1:8466, [::1]:8466, 0.0.0.0:8466 or unix:/run/artifortress/http.sock".to_owned()
        };
        rest.parse().map(|address| Listen::Tcp { address, encryption }).map_err(hint)
    }
}

fn read_path(path: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err("this is no path of a socket; write it from the root, such as unix:/run/artifortress/http.sock".to_owned());
    }
    if path.len() > PATH_LIMIT_BYTES {
        return Err(format!("the path of this socket has {} bytes, and {PATH_LIMIT_BYTES} are allowed; give a shorter one", path.len()));
    }
    Ok(PathBuf::from(path))
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
            Listen::Tcp { address, encryption: Encryption::WhenConfigured } => address.fmt(f),
            Listen::Tcp { address, encryption: Encryption::Never } => write!(f, "plain:{address}"),
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
            Ok(address) if addresses.contains(&address) && !is_any_port(&address) => {
                reader.fault("listen", &format!("{address} is there twice"))
            }
            Ok(address) => addresses.push(address),
            Err(what) => reader.fault("listen", &what),
        }
    }
    addresses
}

/// Port 0 is another port each time.
fn is_any_port(listen: &Listen) -> bool {
    matches!(listen, Listen::Tcp { address, .. } if address.port() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_the_network_or_the_path_of_a_socket() {
        for text in ["127.0.0.1:8466", "[::1]:8466", "0.0.0.0:0", "plain:127.0.0.1:80", "unix:/run/a b/http.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(107));
        for text in
            ["", "8466", "localhost:8466", "unix:", "unix:relative.sock", "unix:/directory/", "unix:@abstract", "plain:unix:/x", &long]
        {
            let refused = text.parse::<Listen>().unwrap_err();
            assert!(refused.contains("unix:/run") || refused.contains("shorter"), "{refused}");
        }
    }
}
