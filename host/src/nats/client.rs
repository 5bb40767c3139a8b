//! What is asked of the servers, and through them.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State as Connection;
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, RequestErrorKind};
use bytes::Bytes;
use harper_wire::names::domain;
use prometheus_client::registry::Registry;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::ClientConfig;
use zeroize::Zeroizing;

use super::document::address;
use super::keeper::Command;
use super::network::{self, Servers, ServersError};
use super::state::State;
use super::tls::Files;
use super::{Config, Error, MAX_PAYLOAD, Ports, Route, RoutesError, ServerKind, ServerState, Tls};

/// A server on this machine accepts in milliseconds.
const CONNECT: Duration = Duration::from_secs(10);
/// A link or a route that was asked for is there after a fraction of this.
const SETTLE: Duration = Duration::from_secs(10);
/// A request that was on its way when a connection broke is lost.
const ONE_TRY: Duration = Duration::from_millis(300);
/// Between two looks at what should come soon.
const LOOK: Duration = Duration::from_millis(5);
/// The longest wait for a connection that broke to be tried again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often an idle connection is checked.
const PING: Duration = Duration::from_secs(10);

/// Asks this node's servers, and the network through them. Cheap to clone; all clones use the same
/// two connections.
#[derive(Clone)]
pub struct Nats(Arc<Inner>);

struct Inner {
    node_name: String,
    /// As the cluster user, on the leaf.
    data: Client,
    /// As the one who may ask about the network, on the hub.
    system: Client,
    state: Arc<State>,
    tls: Tls,
    files: Files,
    hub: mpsc::Sender<Command>,
    leaf: mpsc::Sender<Command>,
    /// Held by who has the hub, the leaf restarted.
    changing: [Mutex<()>; 2],
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody listens on the subject, at once.
    #[error("nobody listens on the subject")]
    NoResponders,
    /// Somebody listens and did not reply in time.
    #[error("no reply in {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The payload is larger than messages may be.
    #[error("a message may have {MAX_PAYLOAD} bytes")]
    TooLarge,
    /// The subject is empty, or has whitespace or a wildcard in it.
    #[error("the subject is none to send a request to")]
    Subject,
    /// One of this node's own servers is not running, or is being started.
    #[error("this node's own {0} server cannot be reached at the moment")]
    Unavailable(ServerKind),
    /// One of this node's own servers runs and does not answer.
    #[error("this node's own {0} server does not answer")]
    Silent(ServerKind),
    /// The connection to this node's leaf server is lost for another reason.
    #[error("this node's leaf server cannot be asked: {0}")]
    Other(String),
}

impl Nats {
    pub(super) async fn connect(
        config: &Config,
        state: Arc<State>,
        files: Files,
        [hub, leaf]: [mpsc::Sender<Command>; 2],
    ) -> Result<Self, Error> {
        let ports = state.ports();
        let connect = async |kind, user: String| {
            let (host, port) = address(kind, config, ports);
            let address = Route { host: host.to_string(), port };
            connect(kind, &address, user, &config.password, files.client.clone()).await
        };
        let (data, system) = tokio::try_join!(
            connect(ServerKind::Leaf, config.user.clone()),
            connect(ServerKind::Hub, config.admin()),
        )?;
        Ok(Self(Arc::new(Inner {
            node_name: config.node_name.clone(),
            data,
            system,
            state,
            tls: config.tls.clone(),
            files,
            hub,
            leaf,
            changing: Default::default(),
        })))
    }

    /// This node's name.
    pub fn node_name(&self) -> &str {
        &self.0.node_name
    }

    /// Where the servers listen.
    pub fn ports(&self) -> Ports {
        self.0.state.ports()
    }

    /// How a server is, now and whenever that changes.
    pub fn state(&self, server: ServerKind) -> watch::Receiver<ServerState> {
        self.0.state.watch(server)
    }

    /// How often a server was started again after it had ended by itself.
    pub fn restarts(&self, server: ServerKind) -> u64 {
        self.0.state.restarts(server).get()
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.0.state.registry()
    }

    /// The connection to the leaf as the cluster user. It reconnects by itself.
    pub fn client(&self) -> Client {
        self.0.data.clone()
    }

    /// The streams of a domain: a node's are those of `<node>-leaf`.
    pub fn jetstream(&self, domain: &str) -> jetstream::Context {
        jetstream::with_domain(self.client(), domain)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.data.connection_state() == Connection::Connected
    }

    /// Sends a request as the cluster user, and returns the reply's payload.
    ///
    /// # Errors
    ///
    /// [`RequestError`] lists them. After [`RequestError::Timeout`] it may have been received all the
    /// same.
    pub async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RequestError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(RequestError::TooLarge);
        }
        let is_token = |token: &str| !token.is_empty() && token != "*" && token != ">";
        if !subject.split('.').all(is_token) || subject.contains(char::is_whitespace) {
            return Err(RequestError::Subject);
        }
        if let Some(error) = self.trouble_of(ServerKind::Leaf) {
            return Err(error);
        }
        // It would wait for the connection until the deadline.
        if !self.is_connected() {
            return Err(RequestError::Unavailable(ServerKind::Leaf));
        }
        let mut servers =
            [ServerKind::Leaf, ServerKind::Hub].map(|kind| (kind, self.0.state.watch(kind)));
        let request = async_nats::Request::new().payload(payload).timeout(None);
        let asked = self.0.data.send_request(subject.to_owned(), request);
        let silence = match timeout(deadline, asked).await {
            Ok(Ok(reply)) => return Ok(reply.payload),
            Err(_) => RequestError::Timeout(deadline),
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders,
                RequestErrorKind::TimedOut => RequestError::Timeout(deadline),
                RequestErrorKind::MaxPayloadExceeded => return Err(RequestError::TooLarge),
                RequestErrorKind::InvalidSubject => return Err(RequestError::Subject),
                RequestErrorKind::Other => return Err(RequestError::Other(error.to_string())),
            },
        };
        // It is not for others to answer for what is wrong here, or was meanwhile.
        for (kind, state) in &mut servers {
            if let Some(error) = self.trouble_of(*kind) {
                return Err(error);
            }
            if state.has_changed().unwrap_or(false) {
                return Err(RequestError::Unavailable(*kind));
            }
        }
        Err(silence)
    }

    /// Why nothing can be asked through one of this node's own servers.
    fn trouble_of(&self, server: ServerKind) -> Option<RequestError> {
        match self.0.state.get(server) {
            ServerState::Up { .. } => None,
            ServerState::Silent { .. } => Some(RequestError::Silent(server)),
            ServerState::Down => Some(RequestError::Unavailable(server)),
        }
    }

    /// Who is in the network: as soon as every hub that is known to be in it has answered, and at the
    /// deadline in any case.
    ///
    /// # Errors
    ///
    /// Nobody could be asked, or nobody answered.
    pub async fn servers(&self, deadline: Duration) -> Result<Servers, ServersError> {
        if let ServerState::Silent { .. } = self.0.state.get(ServerKind::Hub) {
            return Err(ServersError::Silent);
        }
        network::servers(&self.0.system, deadline).await
    }

    /// Gives both servers their lists of routes.
    ///
    /// # Errors
    ///
    /// As with [`Nats::set_routes_of`] one of them.
    pub async fn set_routes(&self, hub: Vec<Route>, leaf: Vec<Route>) -> Result<(), RoutesError> {
        check(hub.iter().chain(&leaf))?;
        let hub = self.set_routes_of(ServerKind::Hub, hub);
        let (hub, leaf) = tokio::join!(hub, self.set_routes_of(ServerKind::Leaf, leaf));
        hub.and(leaf)
    }

    /// Gives one of the servers this list of routes: if it has another one it is restarted, whatever
    /// the other server is busy with; and the hub is asked whether it has them.
    ///
    /// # Errors
    ///
    /// [`RoutesError`] lists them. The list is kept in any case but that of an invalid route.
    pub async fn set_routes_of(
        &self,
        server: ServerKind,
        routes: Vec<Route>,
    ) -> Result<(), RoutesError> {
        check(&routes)?;
        let _one_at_a_time = self.changing(server).await;
        match server {
            ServerKind::Hub => self.set_hub_routes(routes).await,
            ServerKind::Leaf => self.set_leaf_routes(routes).await,
        }
    }

    async fn changing(&self, server: ServerKind) -> MutexGuard<'_, ()> {
        self.0.changing[server as usize].lock().await
    }

    /// The names of the hubs that this node's hub has routes to; none when it does not say.
    pub(super) async fn joined_hubs(&self, patience: Duration) -> Option<Vec<String>> {
        let id = self.0.system.server_info().server_id;
        network::routes(&self.0.system, &id, patience).await
    }

    /// Whether somebody listens where the streams of that node do; one that is slow does.
    pub(super) async fn hears(&self, node: &str, patience: Duration) -> bool {
        let asked = self.request(&info_of(&domain(node)), Bytes::new(), patience).await;
        asked != Err(RequestError::NoResponders)
    }

    /// Has the hub join others anew.
    pub(super) async fn restart_hub(&self) -> Result<(), RoutesError> {
        let _one_at_a_time = self.changing(ServerKind::Hub).await;
        self.tell(ServerKind::Hub, |done| Command::Restart { done }).await?;
        self.0.state.restarted(ServerKind::Hub);
        Ok(())
    }

    /// Has the servers use the files of TLS as they are now, by a restart of each.
    ///
    /// # Errors
    ///
    /// [`RoutesError`] lists them.
    pub async fn renew_tls(&self) -> Result<(), RoutesError> {
        let _one_at_a_time =
            (self.changing(ServerKind::Hub).await, self.changing(ServerKind::Leaf).await);
        self.0.files.renew(&self.0.tls).await?;
        self.tell(ServerKind::Hub, |done| Command::Restart { done }).await?;
        self.tell(ServerKind::Leaf, |done| Command::Restart { done }).await
    }

    async fn set_hub_routes(&self, routes: Vec<Route>) -> Result<(), RoutesError> {
        let kind = ServerKind::Hub;
        let mut wanted: Vec<_> = routes.iter().map(Route::to_string).collect();
        wanted.sort();
        wanted.dedup();
        // Those that it was given before it may have refused.
        if self.0.state.routes(kind) == routes && self.hub_routes().await.as_ref() == Some(&wanted)
        {
            return Ok(());
        }
        self.tell(kind, |done| Command::Routes { routes, done }).await?;
        let end = Instant::now() + SETTLE;
        loop {
            let urls = self.hub_routes().await;
            if urls.as_ref() == Some(&wanted) {
                return Ok(());
            }
            if Instant::now() > end {
                let reason = match urls {
                    Some(has) => format!("it has [{}]", has.join(", ")),
                    None => "it does not say which it has".to_owned(),
                };
                return Err(RoutesError::NotApplied { reason });
            }
            sleep(LOOK).await;
        }
    }

    /// The routes that the hub says it was told to make, in order.
    async fn hub_routes(&self) -> Option<Vec<String>> {
        let id = self.0.system.server_info().server_id;
        let mut urls = network::cluster_urls(&self.0.system, &id, SETTLE / 4).await?;
        urls.sort();
        urls.dedup();
        Some(urls)
    }

    async fn set_leaf_routes(&self, routes: Vec<Route>) -> Result<(), RoutesError> {
        let kind = ServerKind::Leaf;
        if self.0.state.routes(kind) == routes {
            return Ok(());
        }
        self.tell(kind, |done| Command::Routes { routes, done }).await?;
        Ok(self.ready(SETTLE).await?)
    }

    async fn tell(
        &self,
        kind: ServerKind,
        command: impl FnOnce(oneshot::Sender<Result<(), RoutesError>>) -> Command,
    ) -> Result<(), RoutesError> {
        let keeper = match kind {
            ServerKind::Hub => &self.0.hub,
            ServerKind::Leaf => &self.0.leaf,
        };
        let (done, receiver) = oneshot::channel();
        keeper.send(command(done)).await.map_err(|_| Error::Stopped)?;
        receiver.await.map_err(|_| Error::Stopped)?
    }

    /// Waits until the streams of this node answer through the leaf.
    pub(super) async fn ready(&self, patience: Duration) -> Result<(), Error> {
        let subject = info_of(&domain(&self.0.node_name));
        ask_until_answered(&self.0.data, subject, patience, ServerKind::Leaf).await
    }

    /// Everyone in the network, by name and id.
    pub(super) async fn everyone(&self, patience: Duration) -> Vec<(String, String)> {
        match network::ask(&self.0.system, patience).await {
            Ok(found) => found.into_iter().map(|(id, answer)| (answer.name, id)).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Ends both connections, for all clones.
    pub(super) async fn close(&self) {
        for client in [&self.0.data, &self.0.system] {
            let _ = timeout(Duration::from_secs(1), client.drain()).await;
        }
    }
}

/// Where the streams of a domain say that they are there.
pub(super) fn info_of(domain: &str) -> String {
    format!("$JS.{domain}.API.INFO")
}

fn check<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Result<(), RoutesError> {
    match routes.into_iter().find(|route| !route.is_valid()) {
        Some(route) => Err(RoutesError::Invalid(route.to_string())),
        None => Ok(()),
    }
}

/// Asks, again and again, until somebody answers.
pub(super) async fn ask_until_answered(
    client: &Client,
    subject: String,
    patience: Duration,
    server: ServerKind,
) -> Result<(), Error> {
    let end = Instant::now() + patience;
    loop {
        let request = async_nats::Request::new().timeout(Some(patience.min(ONE_TRY)));
        match client.send_request(subject.clone(), request).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => {
                let reason = format!("{subject} is not answered: {error}");
                return Err(Error::NotReady { server, reason });
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// A connection that reconnects by itself, and to no other server.
pub(super) async fn connect(
    kind: ServerKind,
    address: &Route,
    user: String,
    password: &Zeroizing<String>,
    tls: ClientConfig,
) -> Result<Client, Error> {
    let options = ConnectOptions::with_user_and_password(user, password.to_string())
        .name("harper-host")
        .require_tls(true)
        .tls_client_config(tls)
        .ignore_discovered_servers()
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .reconnect_delay_callback(|attempt| {
            let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
            (LOOK * 2_u32.saturating_pow(attempt.min(16))).min(RECONNECT)
        })
        .event_callback(move |event| async move {
            tracing::debug!(server = kind.name(), "connection to nats-server: {event}");
        });
    let failed = |reason: String| Error::NotReady { server: kind, reason };
    match timeout(CONNECT, options.connect(format!("tls://{address}"))).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("it does not answer".into())),
    }
}
