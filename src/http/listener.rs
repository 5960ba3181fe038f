//! What connections come from. Invariant: a listener knows under which address clients reach it, and whose connection each one is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::socket_file::{self, SocketFile};
use super::tls::Tls;
use crate::error::{Error, Result};

/// A socket that accepts connections: one of the network or one in the file system.
#[derive(Debug)]
pub struct Listener {
    door: Door,
    tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
enum Door {
    Tcp(TcpListener, SocketAddr),
    Unix {
        listener: UnixListener,
        path: Option<PathBuf>,
        /// Held until the listener is closed; there when this process made the socket.
        _file: Option<SocketFile>,
    },
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Accepted {
    /// One of the network.
    Tcp(TcpStream),
    /// One of this machine.
    Unix(UnixStream),
}

/// Where a listener is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At an address and port.
    Network(SocketAddr),
    /// At a path, on this machine; a socket that was handed over may have none.
    File(Option<PathBuf>),
}

impl Place {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Place::Network(address) => address.ip().to_canonical().is_loopback(),
            Place::File(_) => true,
        }
    }
}

impl Listener {
    /// Listens on an address of the network.
    ///
    /// # Errors
    /// `conflict`, when the address is in use or not this machine's.
    pub async fn bind_tcp(address: SocketAddr) -> Result<Listener> {
        let failed = |cause| Error::conflict(format!("cannot listen on {address}: {cause}; give another address with --listen"));
        Listener::tcp(TcpListener::bind(address).await.map_err(failed)?)
    }

    /// Listens on a socket at `path` with the permissions `mode`, and removes it at the end.
    ///
    /// # Errors
    /// `conflict`, when somebody listens there, when something else lies there, or when it cannot be made.
    pub fn bind_unix(path: &Path, mode: u32) -> Result<Listener> {
        let (listener, file) = socket_file::bind(path, mode)?;
        Listener::unix(listener, Some(file))
    }

    /// Serves a socket of the network that was made by whoever started this process, and that stays open there.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn handed_tcp(listener: std::net::TcpListener) -> Result<Listener> {
        listens(getsockopt(&listener, sockopt::AcceptConn))?;
        let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        Listener::tcp(listener.map_err(|cause| Error::internal("taking over a socket", cause))?)
    }

    /// Serves a socket in the file system that was made by whoever started this process, and that stays open there.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn handed_unix(listener: std::os::unix::net::UnixListener) -> Result<Listener> {
        listens(getsockopt(&listener, sockopt::AcceptConn))?;
        Listener::unix(listener, None)
    }

    fn tcp(listener: TcpListener) -> Result<Listener> {
        let address = listener.local_addr().map_err(|cause| Error::internal("asking a socket for its address", cause))?;
        Ok(Listener { door: Door::Tcp(listener, address), tls: None })
    }

    fn unix(listener: std::os::unix::net::UnixListener, file: Option<SocketFile>) -> Result<Listener> {
        let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
        let listener = listener.map_err(|cause| Error::internal("taking over a socket", cause))?;
        let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
        Ok(Listener { door: Door::Unix { listener, path, _file: file }, tls: None })
    }

    /// The same listener over TLS. One in the file system stays as it is: what comes there is of this machine.
    #[must_use]
    pub fn secured_by(mut self, tls: &Arc<Tls>) -> Listener {
        self.tls = match self.door {
            Door::Tcp(..) => Some(Arc::clone(tls)),
            Door::Unix { .. } => None,
        };
        self
    }

    /// What makes its connections secure, if something does.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Where it is reached.
    #[must_use]
    pub fn place(&self) -> Place {
        match &self.door {
            Door::Tcp(_, address) => Place::Network(*address),
            Door::Unix { path, .. } => Place::File(path.clone()),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says; it may be about that one connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.door {
            Door::Tcp(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Tcp(stream)),
            Door::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

fn listens(accepts: nix::Result<bool>) -> Result<()> {
    match accepts {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::conflict("a socket that was handed over does not listen; its unit needs Accept=no")),
        Err(cause) => Err(Error::internal("asking a socket whether it listens", cause)),
    }
}

impl Accepted {
    /// Whose connection it is; whoever comes through the file system is on this machine.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self {
            Accepted::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip().to_canonical()),
            Accepted::Unix(_) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }
}
