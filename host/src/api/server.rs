//! Binding, accepting and draining: who is let in, how many at a time, and how it ends.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{Config, connection, operation::Api};
use crate::{Host, users::Users};

/// How many connections wait in the kernel until one is accepted.
const BACKLOG: u32 = 1024;
/// When no file descriptor is left, trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The API on a bound port, not serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    api: Arc<Api>,
}

/// Why the API cannot listen where it should.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is not loopback, and plain HTTP was not allowed to leave this machine.
    #[error(
        "operationsApi.network.host is {0}, beyond this machine, where passwords would travel in \
         the clear: set operationsApi.network.securePort for TLS, or \
         operationsApi.network.allowPlaintext to true"
    )]
    Plaintext(IpAddr),
    /// Another process listens there.
    #[error("operationsApi.network.port {} is in use on {}", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// This machine has no such address.
    #[error("operationsApi.network.host {0} is not an address of this machine")]
    NoSuchAddress(IpAddr),
    /// The system keeps that port for others.
    #[error("operationsApi.network.port {0} needs rights that this process does not have")]
    Forbidden(u16),
    /// Anything else the system says.
    #[error("operationsApi.network.host and port: cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Server {
    /// Takes the port; call it inside a tokio runtime. Clients may connect from here on and are
    /// answered once [`serve`](Server::serve) runs.
    pub fn bind(config: Config, host: Host, users: Users) -> Result<Server, BindError> {
        let wanted = SocketAddr::new(config.host, config.port);
        if !config.allow_plaintext && !config.host.to_canonical().is_loopback() {
            return Err(BindError::Plaintext(config.host));
        }
        let (listener, address) = listen(wanted).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(wanted),
            io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(wanted.ip()),
            io::ErrorKind::PermissionDenied => BindError::Forbidden(wanted.port()),
            _ => BindError::Other { address: wanted, source },
        })?;
        let api = Arc::new(Api::new(&config, host, users));
        Ok(Server { listener, address, config, api })
    }

    /// Where it listens, with the port that was taken when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then accepts nobody, closes idle connections at once,
    /// gives running requests `config.drain`, and drops the rest. When this returns, or is
    /// dropped, nothing of it runs any more.
    pub async fn serve(self, shutdown: impl Future) {
        let Server { listener, config, api, .. } = self;
        let places = Arc::new(Semaphore::new(config.max_connections));
        let (stop, stopped) = watch::channel(false);
        let router = api.clone().router();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                _ = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, peer, place) = accept(&listener, &places) => {
                    let served = connection::serve(
                        stream, peer.ip(), router.clone(), &config, stopped.clone(),
                    );
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        stop.send_replace(true);
        let drained = timeout(config.drain, async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
            api.tasks.drained().await;
        });
        if drained.await.is_err() {
            let left = (connections.len(), api.tasks.len());
            tracing::warn!(connections = left.0, operations = left.1, "dropped at shutdown");
        }
        connections.shutdown().await;
        api.tasks.abort().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Unix: a restart need not wait for connections of the last run to be forgotten. On Windows
    // it would let two processes share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The next client, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            // It is never closed.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended.as_ref().map_err(JoinError::is_panic) {
        tracing::error!(panic = error, "a connection ended in an unexpected way");
    }
}
