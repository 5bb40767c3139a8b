//! Accepting and draining: how many are let in at a time, and how it ends.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{interval, timeout},
};

use super::{
    Config,
    connection::Connections,
    listeners::{Addresses, BindError, Listeners, Places},
    operation::Api,
    ready::Readiness,
};
use crate::{Host, users::Users};

/// Nothing happens each second, and that saves two changes of thread a request: where a timer is the
/// next one to run out, tokio wakes the thread that waits for sockets, to have it wait less long.
/// The deadlines of requests are all longer than this.
const BEAT: Duration = Duration::from_secs(1);

/// The API on its sockets, not serving yet.
pub struct Server {
    listeners: Listeners,
    addresses: Addresses,
    config: Config,
    api: Arc<Api>,
}

impl Server {
    /// Takes the addresses that `config` names; call it inside a tokio runtime. Clients may
    /// connect from here on and are answered once [`serve`](Server::serve) runs.
    pub async fn bind(config: Config, host: Host, users: Users) -> Result<Server, BindError> {
        let listeners = Listeners::bind(&config).await?;
        let addresses = listeners.addresses();
        let api = Arc::new(Api::new(&config, host, users));
        Ok(Server { listeners, addresses, config, api })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What `GET /ready` answers, for those who start and stop parts of the node. From the end on it
    /// is never ready.
    pub fn readiness(&self) -> Readiness {
        self.api.readiness.clone()
    }

    /// Serves until `shutdown` resolves; then accepts nobody, closes idle connections at once,
    /// gives running requests `config.drain`, and drops the rest. When this returns, or is
    /// dropped, nothing of it runs any more.
    pub async fn serve(self, shutdown: impl Future) {
        let Server { listeners, config, api, .. } = self;
        let places = Places::new(config.max_connections);
        let (stop, stopped) = watch::channel(false);
        let serving = Connections::new(&config, api.clone().router(), stopped);
        let mut connections = JoinSet::new();
        {
            let mut shutdown = pin!(shutdown);
            let mut keep_fresh = pin!(listeners.keep_fresh());
            let mut beat = interval(BEAT);
            loop {
                tokio::select! {
                    biased;
                    _ = &mut shutdown => break,
                    () = &mut keep_fresh => {}
                    _ = beat.tick() => {}
                    Some(ended) = connections.join_next() => report(ended),
                    (client, place) = listeners.next(&places) => {
                        let served = serving.clone().serve(client);
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                }
            }
        }
        api.readiness.not_ready("server", "the node is stopping");
        drop(listeners);
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

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended.as_ref().map_err(JoinError::is_panic) {
        tracing::error!(panic = error, "a connection ended in an unexpected way");
    }
}
