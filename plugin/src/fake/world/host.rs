//! A node, as one call sees it: the steps, and the smaller capabilities.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use super::{Call, Cut, State, World};
use crate::capabilities::{
    Change, Clock, Config, ConfigError, Extent, JetStream, JetStreamError, Log, Node, NodeInfo,
    Replication, ReplicationError, Snapshot, StreamState, SystemInfo,
};
use crate::fake::executor::{Executor, Life, Moment};

/// A node, as one call sees it.
pub(super) struct Host {
    pub(super) world: World,
    pub(super) node: String,
    pub(super) call: Rc<Call>,
    pub(super) life: Rc<Life>,
}

impl Host {
    pub(super) fn executor(&self) -> &Executor {
        &self.world.0.executor
    }

    /// What happens before each call of a capability.
    pub(super) async fn step(&self) {
        self.executor().pass(50_000 + self.executor().random(200_000));
        self.executor().yield_now().await;
        let step = self.call.steps.get() + 1;
        self.call.steps.set(step);
        match self.call.cut {
            Some(Cut::Call(at)) if at == step => self.life.is_ended.set(true),
            Some(Cut::Host(at)) if at == step => {
                self.world.kill(&self.node);
                self.life.is_ended.set(true);
            }
            _ => return,
        }
        pending::<()>().await;
    }

    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let time = self.executor().now() / 1_000_000;
        self.world.0.story.borrow_mut().push(format!("{time} ms: {} {what}", self.node));
    }

    pub(super) fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.world.node(&self.node, act)
    }
}

impl Config for Host {
    async fn get<const N: usize>(&self, _: [&str; N]) -> Result<Snapshot<N>, ConfigError> {
        Err(ConfigError::Failed("There is no configuration here".into()))
    }

    async fn set(&self, _: &str, _: &[Change<'_>]) -> Result<(), ConfigError> {
        Err(ConfigError::Failed("There is no configuration here".into()))
    }
}

impl Clock for Host {
    fn monotonic(&self) -> u64 {
        self.executor().now()
    }

    async fn sleep(&self, duration: Duration) {
        self.executor().until(self.executor().now() + nanoseconds(duration)).await;
    }
}

impl Log for Host {
    fn warn(&self, message: &str) {
        self.world.0.warnings.borrow_mut().push(format!("{}: {message}", self.node));
    }
}

impl Node for Host {
    fn info(&self) -> NodeInfo {
        let now = self.executor().now();
        let (boot, started) = self.state(|state| (state.boot, state.started));
        NodeInfo {
            name: Some(self.node.clone()),
            clustering: true,
            uptime: Duration::from_nanos(now - started),
            boot,
            system_info: SystemInfo {
                hdb_version: "1.2.3".into(),
                node_version: "0.0.0".into(),
                platform: "linux".into(),
            },
            status_timeout: Duration::from_secs(5),
            ..NodeInfo::default()
        }
    }
}

impl JetStream for Host {
    async fn inspect(
        &self,
        domain: &str,
        stream: &str,
        _: Duration,
    ) -> Result<StreamState, JetStreamError> {
        self.step().await;
        let node = domain.strip_suffix("-leaf").unwrap();
        if self.world.is_away(node) || self.world.is_away(&self.node) {
            return Err(JetStreamError::Unavailable("The domain is not there".into()));
        }
        let found = self.world.node(node, |state| state.streams.get(stream).cloned());
        let (created, last_sequence) = found.ok_or(JetStreamError::NotFound)?;
        Ok(StreamState { last_sequence, created })
    }

    async fn purge(&self, _: &str, _: &str, _: Extent, _: Duration) -> Result<u64, JetStreamError> {
        Err(JetStreamError::NotFound)
    }
}

impl Replication for Host {
    async fn ensure_streams(&self, tables: &[(&str, &str)]) -> Result<(), ReplicationError> {
        self.step().await;
        if self.world.is_away(&self.node) {
            return Err(ReplicationError::Failed("This node's server does not answer".into()));
        }
        let created = format!("made at {}", self.executor().now());
        self.state(|state| {
            for (schema, table) in tables {
                let stream = harper_wire::names::stream(schema, table);
                state.streams.entry(stream).or_insert((created.clone(), 7));
            }
        });
        Ok(())
    }

    async fn settle(&self, node: &str, _: Duration) -> Result<(), ReplicationError> {
        self.step().await;
        if self.world.is_away(node) {
            return Err(ReplicationError::Unsettled(format!("node '{node}' is away")));
        }
        Ok(())
    }
}

pub(super) fn nanoseconds(duration: Duration) -> Moment {
    duration.as_nanos().try_into().unwrap_or(Moment::MAX / 4)
}
