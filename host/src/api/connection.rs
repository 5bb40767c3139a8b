//! One client's connection, served by hyper.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::HttpBody, extract::Request, http::StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Config, listeners::Client, reply::Refusal, socket, transport::Transport};
use crate::dispatch::Origin;

/// The longest head of a request, in bytes, and what is read ahead of its body.
const HEAD: usize = 64 << 10;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remote {
    /// Someone at this address.
    Address(IpAddr),
    /// A user of this machine, on the Unix socket.
    User(u32),
}

impl From<Remote> for Origin {
    fn from(remote: Remote) -> Origin {
        match remote {
            Remote::Address(address) => Origin::Address(address),
            Remote::User(_) => Origin::Socket,
        }
    }
}

/// What a request knows of the connection that brought it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) remote: Remote,
    /// Whether a part of the current request's body was left unread.
    pub(super) unread: Arc<AtomicBool>,
}

/// A connection to the TLS port, and what the client speaks.
enum Opened {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// How connections are served.
#[derive(Clone)]
pub(super) struct Connections {
    http: http1::Builder,
    handshake: Duration,
    patience: Duration,
    router: Router,
    stop: watch::Receiver<bool>,
}

impl Connections {
    /// After `stop` each ends with the request that is running.
    pub(super) fn new(config: &Config, router: Router, stop: watch::Receiver<bool>) -> Connections {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_header_size(HEAD)
            .max_buf_size(HEAD);
        let (handshake, patience) = (config.header_timeout, config.body_timeout);
        Connections { http, handshake, patience, router, stop }
    }

    /// Serves one client to the end.
    pub(super) async fn serve(mut self, client: Client) {
        // Replies are written whole; waiting for more to send would only delay them.
        if let Client::Http(stream, _) | Client::Https(stream, ..) = &client {
            let _ = stream.set_nodelay(true);
        }
        match client {
            Client::Http(stream, address) => self.talk(stream, Remote::Address(address)).await,
            Client::Https(stream, address, acceptor) => {
                let remote = Remote::Address(address);
                match self.open(stream, acceptor).await {
                    Some(Ok(Opened::Tls(stream))) => self.talk(stream, remote).await,
                    Some(Ok(Opened::Plain(stream))) => {
                        let text = "This port speaks TLS: use https";
                        self.refusing(StatusCode::BAD_REQUEST, text).talk(stream, remote).await;
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, peer = %address, "a TLS handshake failed");
                    }
                    None => {}
                }
            }
            Client::Socket(stream, user) if socket::may_enter(user) => {
                self.talk(stream, Remote::User(user)).await;
            }
            Client::Socket(stream, user) => {
                tracing::warn!(user, "another user was refused on the Unix socket");
                let text = "Only the user who runs the node, and root, may use this socket";
                let refuse = self.refusing(StatusCode::FORBIDDEN, text);
                refuse.talk(stream, Remote::User(user)).await;
            }
        }
    }

    /// Finds out what the client speaks, in the time for a head; none at the server's end.
    async fn open(
        &mut self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
    ) -> Option<io::Result<Opened>> {
        let open = async {
            let mut first = [0];
            stream.peek(&mut first).await?;
            // TLS begins with 22; whoever begins with a letter would not understand an alert.
            if first[0].is_ascii_alphabetic() {
                return Ok(Opened::Plain(stream));
            }
            acceptor.accept(stream).await.map(Box::new).map(Opened::Tls)
        };
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => None,
            opened = timeout(self.handshake, open) => {
                Some(opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            }
        }
    }

    /// The same, with this answer to whatever is asked.
    fn refusing(self, status: StatusCode, text: &'static str) -> Connections {
        let refuse = move || async move { Refusal::new(status, text).and_close() };
        Connections { router: Router::new().fallback(refuse), ..self }
    }

    async fn talk<S>(mut self, stream: S, remote: Remote)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { remote, unread: Arc::default() };
        let transport = Transport::new(stream, self.patience, peer.unread.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let service = hyper::service::service_fn({
            let asked = asked.clone();
            move |mut request: Request<Incoming>| {
                asked.store(true, Relaxed);
                peer.unread.store(!request.body().is_end_stream(), Relaxed);
                request.extensions_mut().insert(peer.clone());
                TowerToHyperService::new(self.router.clone()).call(request)
            }
        });
        let mut connection =
            std::pin::pin!(self.http.serve_connection(TokioIo::new(transport), service));
        let stopped = async {
            let _ = self.stop.wait_for(|stop| *stop).await;
        };
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopped => {
                // hyper would wait for the rest of a first request whose head has begun.
                if !asked.load(Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = %Origin::from(remote), "a connection broke");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    #[tokio::test]
    async fn another_user_is_refused_and_told_so() {
        let (_stop, stopped) = watch::channel(false);
        let connections = Connections::new(&Config::default(), Router::new(), stopped);
        let (mut client, stream) = UnixStream::pair().unwrap();
        tokio::spawn(connections.serve(Client::Socket(stream, u32::MAX)));
        client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
        assert!(reply.ends_with("and root, may use this socket\"}"), "{reply}");
    }
}
