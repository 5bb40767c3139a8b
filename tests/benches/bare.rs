//! The bare wasmtime call: the same component and engine, in a fresh store and instance or in the one
//! of the call before, and nothing of what the host adds: no limits, no counting, no checks of JSON,
//! no grants.

use harper_host::CLUSTERING_COMPONENT;
use wasmtime::component::{Accessor, Component, HasSelf, Linker};
use wasmtime::{
    Enabled, Engine, Error, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
};

#[path = "../../host/src/runtime/engine.rs"]
mod engine;

mod wit {
    #![allow(missing_docs, clippy::all, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "clustering",
        exports: { default: async },
    });
}

use wit::exports::harper::plugin::operations::Caller;
use wit::harper::plugin::{clock, config, log, types};

/// The configuration is two texts.
#[derive(Clone)]
struct Host {
    values: Vec<String>,
}

impl types::Host for Host {}
impl config::Host for Host {}

impl<T: Send> config::HostWithStore<T> for HasSelf<Host> {
    async fn get(
        accessor: &Accessor<T, Self>,
        _: Vec<String>,
    ) -> std::result::Result<config::Snapshot, config::Error> {
        let values = accessor.with(|mut access| access.get().values.clone());
        Ok(config::Snapshot { revision: "1".into(), values })
    }

    async fn set(
        _: &Accessor<T, Self>,
        _: String,
        _: Vec<config::Change>,
    ) -> std::result::Result<String, config::Error> {
        Ok("2".into())
    }
}

impl log::Host for Host {
    fn write(&mut self, _: log::Level, _: String) {}
}

impl clock::Host for Host {
    fn now(&mut self) -> u64 {
        0
    }

    fn monotonic(&mut self) -> u64 {
        0
    }
}

impl<T: Send> clock::HostWithStore<T> for HasSelf<Host> {
    async fn sleep(_: &Accessor<T, Self>, _: u64) {}
}

pub(crate) struct Bare {
    engine: Engine,
    prepared: wit::ClusteringPre<Host>,
    host: Host,
}

impl Bare {
    /// `values` is what the configuration has of routes.
    pub(crate) fn new(values: Vec<String>) -> Result<Self> {
        // As the host has it.
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(64)
            .total_core_instances(64 * 48)
            .max_core_instances_per_component(48)
            .total_memories(64)
            .total_tables(64 * 4)
            .max_tables_per_component(4)
            .table_elements(50_000)
            .total_stacks(64)
            .max_memory_size(1 << 30)
            .linear_memory_keep_resident(256 << 10)
            .table_keep_resident(16 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = engine::config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        let component = Component::from_binary(&engine, CLUSTERING_COMPONENT)?;
        types::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        config::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        log::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        clock::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        // Operations on routes need no more.
        linker.define_unknown_imports_as_traps(&component)?;
        let prepared = wit::ClusteringPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, prepared, host: Host { values } })
    }

    /// A fresh store and instance.
    pub(crate) async fn instance(&self) -> Result<Instance> {
        let mut store = Store::new(&self.engine, self.host.clone());
        // Nobody advances it.
        store.set_epoch_deadline(1);
        let exports = self.prepared.instantiate_async(&mut store).await?;
        Ok(Instance { store, exports })
    }
}

pub(crate) struct Instance {
    store: Store<Host>,
    exports: wit::Clustering,
}

impl Instance {
    pub(crate) async fn call(&mut self, request: String) -> Result<String> {
        let caller = Caller { username: "admin".into(), super_user: true };
        let operations = self.exports.harper_plugin_operations();
        let reply = self
            .store
            .run_concurrent(async |accessor| {
                operations.call_handle(accessor, caller, request).await
            })
            .await??;
        reply.map_err(|error| Error::msg(format!("{error:?}")))
    }
}
