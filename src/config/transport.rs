//! How clients reach the server, beside addresses and limits. Invariant: a header that says where a request came from is believed from the
//! proxies named here alone.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;
use serde::Deserialize;

use super::reader::Reader;

/// The permissions of a socket in the file system when none are given: whoever has the user's or the group's rights.
const DEFAULT_SOCKET_MODE: u32 = 0o660;

/// How clients reach the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// The address that clients know the server by, without a slash at the end, where `Host` does not tell it.
    pub public_url: Option<String>,
    /// Networks of proxies whose word on where a request came from is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The permissions of sockets in the file system.
    pub unix_socket_mode: u32,
}

impl Default for Transport {
    fn default() -> Transport {
        Transport { public_url: None, trusted_proxies: Vec::new(), unix_socket_mode: DEFAULT_SOCKET_MODE }
    }
}

/// A text, or what the environment makes of one that looks like a number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "permissions in octal digits, such as \"0660\"")]
enum Digits {
    Text(String),
    Number(u32),
}

/// One or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "one network as a string, or a list of them")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Transport {
    pub(super) fn read(reader: &mut Reader) -> Transport {
        Transport {
            public_url: read_public_url(reader),
            trusted_proxies: read_trusted_proxies(reader),
            unix_socket_mode: read_socket_mode(reader),
        }
    }
}

fn read_public_url(reader: &mut Reader) -> Option<String> {
    let text: String = reader.find("public_url")?;
    let is_plain = |url: &Url| {
        let is_web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
        is_web && url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
    };
    match Url::parse(&text) {
        Ok(url) if is_plain(&url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        Ok(_) | Err(_) => {
            reader.fault("public_url", "it is no plain address of http or https; write it like https://packages.example");
            None
        }
    }
}

fn read_trusted_proxies(reader: &mut Reader) -> Vec<IpNet> {
    let texts = match reader.find("http.trusted_proxies") {
        None => return Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    };
    let mut networks = Vec::new();
    for text in texts {
        match text.parse::<IpNet>().or_else(|cause| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| cause)) {
            Ok(network) if network.prefix_len() == 0 => {
                let what = format!("{text} is everybody, and then anybody could say to be anybody; name the networks of your proxies");
                reader.fault("http.trusted_proxies", &what);
            }
            Ok(network) => networks.push(network),
            Err(_) => reader.fault("http.trusted_proxies", "one of them is no network; write it like 10.0.0.0/8, fd00::/8 or 127.0.0.1"),
        }
    }
    networks
}

fn read_socket_mode(reader: &mut Reader) -> u32 {
    let digits = match reader.find("http.unix_socket_mode") {
        None => return DEFAULT_SOCKET_MODE,
        Some(Digits::Text(text)) => text,
        Some(Digits::Number(number)) => number.to_string(),
    };
    match u32::from_str_radix(&digits, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        Ok(_) | Err(_) => {
            reader.fault("http.unix_socket_mode", "these are no permissions; write them in octal digits, such as \"0660\"");
            DEFAULT_SOCKET_MODE
        }
    }
}
