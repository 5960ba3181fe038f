//! What the server listens on. Invariant: sockets that were handed over come before the setting; whoever made a socket closes it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use listenfd::ListenFd;

use crate::config::{Config, Encryption, Listen, environment};
use crate::error::{Error, Result};
use crate::http::{Listener, Place, Tls};

/// The name of a socket that is served without TLS though there is a certificate (`FileDescriptorName=`).
const PLAIN: &str = "plain";

/// Sockets that were handed over by whoever started this process, such as systemd, with their names (sd_listen_fds(3)).
pub(super) struct Handed {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Handed {
    /// Takes them out of the environment; before there are other threads.
    pub(super) fn take() -> Handed {
        let names = environment("LISTEN_FDNAMES").map(|names| names.split(':').map(str::to_owned).collect()).unwrap_or_default();
        // Without this, a descriptor of somebody else's could be taken for ours.
        let is_ours = environment("LISTEN_PID").is_some();
        let sockets = ListenFd::from_env();
        Handed { sockets: if is_ours { sockets } else { ListenFd::empty() }, names }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.sockets.len()
    }

    /// One named `plain` stays without TLS.
    fn into_listeners(mut self, tls: Option<&Arc<Tls>>) -> Result<Vec<Listener>> {
        let count = self.count();
        let listener = |index| {
            let listener = self.listener(index)?;
            let stays_plain = self.names.get(index).is_some_and(|name| name == PLAIN);
            Ok(if stays_plain { listener } else { secured(listener, tls) })
        };
        (0..count).map(listener).collect()
    }

    fn listener(&mut self, index: usize) -> Result<Listener> {
        let name = self.names.get(index).map_or("unknown", String::as_str);
        let unfit = |cause: &dyn fmt::Display| {
            Error::conflict(format!(
                "the socket {name} that was handed over cannot be served ({cause}); ListenStream= makes the right ones"
            ))
        };
        if let Ok(Some(socket)) = self.sockets.take_tcp_listener(index) {
            return Listener::handed_tcp(socket).map_err(|error| unfit(&error));
        }
        match self.sockets.take_unix_listener(index) {
            Ok(Some(socket)) => Listener::handed_unix(socket).map_err(|error| unfit(&error)),
            Ok(None) => Err(unfit(&"it was taken already")),
            Err(_) => Err(unfit(&"it is neither of TCP nor a stream in the file system")),
        }
    }
}

/// Takes over the sockets that were handed over, or else listens as the settings say.
///
/// # Errors
/// When one cannot be listened on, in words for who chose it.
pub(super) async fn open(config: &Config, handed: Handed, tls: Option<&Arc<Tls>>) -> Result<Vec<Listener>> {
    if handed.count() > 0 {
        return handed.into_listeners(tls);
    }
    let mut listeners = Vec::with_capacity(config.listen.len());
    for listen in &config.listen {
        listeners.push(match listen {
            Listen::Tcp { address, encryption: Encryption::WhenConfigured } => secured(Listener::bind_tcp(*address).await?, tls),
            Listen::Tcp { address, encryption: Encryption::Never } => Listener::bind_tcp(*address).await?,
            Listen::Unix(path) => Listener::bind_unix(path, config.transport.unix_socket_mode)?,
        });
    }
    Ok(listeners)
}

fn secured(listener: Listener, tls: Option<&Arc<Tls>>) -> Listener {
    match tls {
        Some(tls) => listener.secured_by(tls),
        None => listener,
    }
}

/// Whether only this machine can reach the server: through none of its sockets, and through no proxy that it knows of.
pub(super) fn are_loopback_only(listeners: &[Listener], config: &Config) -> bool {
    let is_behind_a_proxy = config.transport.public_url.is_some() || !config.transport.trusted_proxies.is_empty();
    !is_behind_a_proxy && listeners.iter().all(|listener| listener.place().is_loopback())
}

/// Where a listener is reached, as a person or a command on this machine writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Over the network.
    Http(SocketAddr),
    /// Over the network, by TLS.
    Https(SocketAddr),
    /// Through the file system.
    Unix(PathBuf),
}

impl Address {
    /// The address of a listener; `None` for a socket without a name.
    pub(super) fn of(listener: &Listener) -> Option<Address> {
        match listener.place() {
            Place::Network(address) if listener.tls().is_some() => Some(Address::Https(address)),
            Place::Network(address) => Some(Address::Http(address)),
            Place::File(path) => path.map(Address::Unix),
        }
    }

    /// Where to connect from this machine: an address that means every interface becomes loopback.
    pub(super) fn reached_here(&self) -> Address {
        match self {
            Address::Http(bound) => Address::Http(reachable(*bound)),
            Address::Https(bound) => Address::Https(reachable(*bound)),
            Address::Unix(_) => self.clone(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Http(address) => write!(f, "http://{address}"),
            Address::Https(address) => write!(f, "https://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bound.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), bound.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => bound,
    }
}
