//! What only the clustering plugin exports, ready to be called, with a budget of its own.

use std::sync::Arc;

use tokio::time::error::Elapsed;
use wasmtime::Store;

use super::call::{Deadline, State, Used};
use super::{CallError, Limits, LoadError, Plugin, Runtime};
use crate::capabilities::{Exceeded, Purpose};
use crate::wit::clustering::{Clustering, ClusteringPre};

/// One of its exports.
pub(super) struct Export {
    pub(super) plugin: Arc<Plugin>,
    pub(super) limits: Limits,
    prepared: ClusteringPre<State>,
    name: Arc<str>,
}

impl Export {
    /// Of a plugin that has it. `name` stands in the log in an operation's place.
    pub(super) fn new(plugin: Arc<Plugin>, limits: Limits, name: &str) -> Result<Self, LoadError> {
        let of = || plugin.name.to_string();
        limits.check().map_err(|source| LoadError::Limits { plugin: of(), source })?;
        let prepared = ClusteringPre::new(plugin.prepared.instance_pre().clone());
        let prepared = prepared
            .map_err(|error| LoadError::World { plugin: of(), message: format!("{error:#}") })?;
        Ok(Self { plugin, limits, prepared, name: name.into() })
    }

    /// A store for one call.
    pub(super) fn store(&self, runtime: &Runtime, purpose: Purpose, end: Deadline) -> Store<State> {
        runtime.store(&self.plugin, self.limits, &self.name, purpose, end)
    }

    /// A fresh instance in it.
    pub(super) async fn instance(&self, store: &mut Store<State>) -> wasmtime::Result<Clustering> {
        self.prepared.instantiate_async(store).await
    }

    /// What came of the call, which is counted.
    pub(super) fn ended<T>(
        &self,
        runtime: &Runtime,
        store: &Store<State>,
        how: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, CallError> {
        runtime.metrics.call(&self.plugin.counted, &Used::of(store.data()));
        match how {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(self.limits.wall_clock))),
            Ok(ended) => Ok(ended?),
        }
    }
}
