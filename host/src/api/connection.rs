//! One client's connection, served by hyper.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::{Router, body::HttpBody, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, sync::watch};

use super::{Config, transport::Transport};

/// The longest head of a request, in bytes, and what is read ahead of its body.
const HEAD: usize = 64 << 10;

/// What a request knows of the connection that brought it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether a part of the current request's body was left unread.
    pub(super) unread: Arc<AtomicBool>,
}

/// Serves one connection to its end; after `stop` it ends with the request that is running.
pub(super) fn serve(
    stream: TcpStream,
    address: IpAddr,
    router: Router,
    config: &Config,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_header_size(HEAD)
        .max_buf_size(HEAD);
    let patience = config.body_timeout;
    async move {
        // Replies are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let peer = Peer { address, unread: Arc::default() };
        let transport = Transport::new(stream, patience, peer.unread.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let service = hyper::service::service_fn({
            let asked = asked.clone();
            move |mut request: Request<Incoming>| {
                asked.store(true, Relaxed);
                peer.unread.store(!request.body().is_end_stream(), Relaxed);
                request.extensions_mut().insert(peer.clone());
                TowerToHyperService::new(router.clone()).call(request)
            }
        });
        let mut connection =
            std::pin::pin!(http.serve_connection(TokioIo::new(transport), service));
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
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
            tracing::debug!(%error, peer = %address, "a connection broke");
        }
    }
}
