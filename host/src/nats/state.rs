//! What is known of both servers at the moment, and its metrics.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::Route;
use crate::metrics::Counters;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// The one that joins other nodes.
    Hub,
    /// The one with the streams.
    Leaf,
}

impl ServerKind {
    /// Its name in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Leaf => "leaf",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Hub => Self::Leaf,
            Self::Leaf => Self::Hub,
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It runs and listens, with this process id.
    Up {
        /// The process id.
        pid: u32,
    },
    /// It runs, and has not answered for some seconds: it hangs, and is restarted if it goes on like
    /// that, or the machine is very busy.
    Silent {
        /// The process id.
        pid: u32,
    },
    /// It ended, or is being restarted.
    Down,
}

impl ServerState {
    /// Whether it runs, listens and answers.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

/// The ports where the servers listen; those that were taken because 0 was asked for stay the same
/// when a server is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// For clients of the hub.
    pub hub_clients: u16,
    /// For leaf servers.
    pub hub_leafnodes: u16,
    /// For hubs.
    pub hub_cluster: u16,
    /// For clients of the leaf.
    pub leaf_clients: u16,
}

/// Shared by who keeps the servers running and who asks about them.
pub(super) struct State {
    inner: Mutex<Inner>,
    hub: watch::Sender<ServerState>,
    leaf: watch::Sender<ServerState>,
    /// Whether the hub, the leaf is being ended or restarted on purpose.
    away_as_planned: [AtomicBool; 2],
    /// A loop of leaf routes and hub routes was told, and the lists are still the same.
    told_of_loop: AtomicBool,
    registry: Registry,
    up: Family<[(&'static str, &'static str); 1], Gauge>,
    restarts: Counters<1>,
}

#[derive(Default)]
struct Inner {
    ports: Ports,
    hub_routes: Vec<Route>,
    leaf_routes: Vec<Route>,
}

impl State {
    pub(super) fn new(hub_routes: Vec<Route>, leaf_routes: Vec<Route>) -> Self {
        let mut registry = Registry::with_prefix("harper");
        let up = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        let restarts = Counters::default();
        registry.register(
            "nats_server_up",
            "Whether the server runs, listens and answers",
            up.clone(),
        );
        registry.register("nats_server_restarts", "Starts after the first", restarts.clone());
        for kind in [ServerKind::Hub, ServerKind::Leaf] {
            up.get_or_create(&[("server", kind.name())]).set(0);
            drop(restarts.get_or_create(&[("server", kind.name().to_owned())]));
        }
        Self {
            inner: Mutex::new(Inner { ports: Ports::default(), hub_routes, leaf_routes }),
            hub: watch::Sender::new(ServerState::Down),
            leaf: watch::Sender::new(ServerState::Down),
            away_as_planned: Default::default(),
            told_of_loop: AtomicBool::new(false),
            registry,
            up,
            restarts,
        }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn ports(&self) -> Ports {
        self.inner().ports
    }

    pub(super) fn pin(&self, pin: impl FnOnce(&mut Ports)) {
        pin(&mut self.inner().ports);
    }

    pub(super) fn routes(&self, kind: ServerKind) -> Vec<Route> {
        let inner = self.inner();
        match kind {
            ServerKind::Hub => inner.hub_routes.clone(),
            ServerKind::Leaf => inner.leaf_routes.clone(),
        }
    }

    pub(super) fn set_routes(&self, kind: ServerKind, routes: Vec<Route>) {
        self.told_of_loop.store(false, Ordering::Relaxed);
        let mut inner = self.inner();
        match kind {
            ServerKind::Hub => inner.hub_routes = routes,
            ServerKind::Leaf => inner.leaf_routes = routes,
        }
    }

    pub(super) fn set(&self, kind: ServerKind, state: ServerState) {
        self.up.get_or_create(&[("server", kind.name())]).set(state.is_up().into());
        self.of(kind).send_replace(state);
    }

    /// Whether a server that runs answers.
    pub(super) fn silent(&self, kind: ServerKind, is_silent: bool) {
        let state = match self.get(kind) {
            ServerState::Up { pid } | ServerState::Silent { pid } if is_silent => {
                ServerState::Silent { pid }
            }
            ServerState::Silent { pid } => ServerState::Up { pid },
            state => state,
        };
        self.set(kind, state);
    }

    /// The server is ended on purpose, or is back from that.
    pub(super) fn plan(&self, kind: ServerKind, is_away: bool) {
        self.away_as_planned[kind as usize].store(is_away, Ordering::Relaxed);
    }

    /// Whether the loop that was met is yet to be told of: each server meets it again and again.
    pub(super) fn tell_of_loop(&self) -> bool {
        !self.told_of_loop.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_away_as_planned(&self, kind: ServerKind) -> bool {
        self.away_as_planned[kind as usize].load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, kind: ServerKind) -> ServerState {
        *self.of(kind).borrow()
    }

    pub(super) fn watch(&self, kind: ServerKind) -> watch::Receiver<ServerState> {
        self.of(kind).subscribe()
    }

    pub(super) fn restarted(&self, kind: ServerKind) {
        self.restarts(kind).inc();
    }

    pub(super) fn restarts(&self, kind: ServerKind) -> Counter {
        self.restarts.get_or_create_owned(&[("server", kind.name().to_owned())])
    }

    fn of(&self, kind: ServerKind) -> &watch::Sender<ServerState> {
        match kind {
            ServerKind::Hub => &self.hub,
            ServerKind::Leaf => &self.leaf,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
