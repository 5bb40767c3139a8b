//! Where the server listens, and the one queue that its clients come in by.

use std::{
    fmt,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Config,
    socket::{Socket, SocketError},
    tls::{Tls, TlsError},
};

/// How many connections wait in the kernel until one is accepted.
pub(super) const BACKLOG: u32 = 1024;
/// Places that only the Unix socket has: the operator gets in, however many others are there.
const KEPT_FOR_SOCKET: usize = 8;
/// When no file descriptor is left, trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens. What is none, it does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// HTTP, with the port that was taken when 0 was asked for.
    pub http: Option<SocketAddr>,
    /// HTTPS, likewise.
    pub https: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: Option<PathBuf>,
}

/// The address that a user needs first, as a URL.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { http: Some(address), .. } => write!(f, "http://{address}"),
            Self { https: Some(address), .. } => write!(f, "https://{address}"),
            Self { socket: Some(path), .. } => write!(f, "unix:{}", path.display()),
            _ => f.write_str("no address"),
        }
    }
}

/// Why the API cannot listen where it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is not loopback, and plain HTTP was not allowed to leave this machine.
    #[error(
        "operationsApi.network.host is {0}, beyond this machine, where passwords would travel in \
         the clear: set {SECURE_PORT} for TLS and {PORT} to null, or \
         operationsApi.network.allowPlaintext to true"
    )]
    Plaintext(IpAddr),
    /// HTTP and HTTPS cannot share a port.
    #[error("{SECURE_PORT} and {PORT} are both {0}")]
    SamePort(u16),
    /// Another process listens there.
    #[error("{key} {} is in use on {}", address.port(), address.ip())]
    InUse {
        /// The configuration's key.
        key: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("operationsApi.network.host {0} is not an address of this machine")]
    NoSuchAddress(IpAddr),
    /// The system keeps that port for others.
    #[error("{key} {port} needs rights that this process does not have")]
    Forbidden {
        /// The configuration's key.
        key: &'static str,
        /// The port.
        port: u16,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The Unix socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Anything else the system says.
    #[error("operationsApi.network.host and {key}: cannot listen on {address}: {source}")]
    Other {
        /// The configuration's key.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

const PORT: &str = "operationsApi.network.port";
const SECURE_PORT: &str = "operationsApi.network.securePort";

/// The sockets that are listened on.
pub(super) struct Listeners {
    pub(super) http: Option<TcpListener>,
    pub(super) https: Option<(TcpListener, Tls)>,
    pub(super) socket: Option<Socket>,
}

/// Someone who has connected.
pub(super) enum Client {
    /// By plain HTTP, from this address.
    Http(TcpStream, IpAddr),
    /// Likewise, and TLS is to be spoken first.
    Https(TcpStream, IpAddr, TlsAcceptor),
    /// By the Unix socket, as this user.
    Socket(UnixStream, u32),
}

impl Listeners {
    /// Takes the addresses that `config` names.
    pub(super) async fn bind(config: &Config) -> Result<Listeners, BindError> {
        let beyond = !config.host.to_canonical().is_loopback();
        if config.port.is_some() && beyond && !config.allow_plaintext {
            return Err(BindError::Plaintext(config.host));
        }
        if let Some(port) =
            config.port.filter(|port| *port != 0 && config.secure_port == Some(*port))
        {
            return Err(BindError::SamePort(port));
        }
        let listen = |key, port: Option<u16>| match port {
            Some(port) => listen(key, SocketAddr::new(config.host, port)).map(Some),
            None => Ok(None),
        };
        let http = listen(PORT, config.port)?;
        let https = match listen(SECURE_PORT, config.secure_port)? {
            Some(listener) => Some((listener, Tls::open(config).await?)),
            None => {
                if config.certificate.is_some() || config.private_key.is_some() {
                    tracing::warn!("tls.certificate is not used: {SECURE_PORT} is null");
                }
                None
            }
        };
        let socket = match config.socket.clone() {
            Some(path) => Some(Socket::bind(path).await?),
            None => None,
        };
        Ok(Listeners { http, https, socket })
    }

    pub(super) fn addresses(&self) -> Addresses {
        // A socket that listens has an address.
        let address = |listener: &TcpListener| listener.local_addr().ok();
        Addresses {
            http: self.http.as_ref().and_then(address),
            https: self.https.as_ref().and_then(|(listener, _)| address(listener)),
            socket: self.socket.as_ref().map(|socket| socket.path().to_owned()),
        }
    }

    /// The next client, once there is a place for it. The place is taken first: one that is kept
    /// by each listener while nobody comes would be lost to the others.
    pub(super) async fn next(&self, places: &Places) -> (Client, OwnedSemaphorePermit) {
        loop {
            let next = tokio::select! {
                next = self.by_network(&places.shared) => next,
                next = self.by_socket(places) => next,
            };
            match next {
                Ok(next) => return next,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn by_network(
        &self,
        places: &Arc<Semaphore>,
    ) -> io::Result<(Client, OwnedSemaphorePermit)> {
        let place = taken(places).await;
        let http = async {
            let Some(listener) = &self.http else { return pending().await };
            let (stream, peer) = listener.accept().await?;
            Ok(Client::Http(stream, peer.ip()))
        };
        let https = async {
            let Some((listener, tls)) = &self.https else { return pending().await };
            let (stream, peer) = listener.accept().await?;
            Ok(Client::Https(stream, peer.ip(), tls.acceptor()))
        };
        let client: io::Result<Client> = tokio::select! {
            client = http => client,
            client = https => client,
        };
        Ok((client?, place))
    }

    async fn by_socket(&self, places: &Places) -> io::Result<(Client, OwnedSemaphorePermit)> {
        let Some(socket) = &self.socket else { return pending().await };
        let kept = taken(&places.kept).await;
        let (stream, user) = socket.accept().await?;
        // Its own places are for when there is no other.
        let place = places.shared.clone().try_acquire_owned().unwrap_or(kept);
        Ok((Client::Socket(stream, user), place))
    }

    /// Keeps what is shown to clients fresh, for as long as it is polled.
    pub(super) async fn keep_fresh(&self) {
        match &self.https {
            Some((_, tls)) => tls.keep_fresh().await,
            None => pending().await,
        }
    }
}

/// Places for connections.
pub(super) struct Places {
    shared: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl Places {
    /// So many, and some more for the Unix socket.
    pub(super) fn new(connections: usize) -> Places {
        let places = |number| Arc::new(Semaphore::new(number));
        Places { shared: places(connections), kept: places(KEPT_FOR_SOCKET) }
    }
}

async fn taken(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match places.clone().acquire_owned().await {
        Ok(place) => place,
        // It is never closed.
        Err(_) => pending().await,
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart need not wait for connections of the last run to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { key, address },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address.ip()),
        io::ErrorKind::PermissionDenied => BindError::Forbidden { key, port: address.port() },
        _ => BindError::Other { key, address, source },
    })
}
