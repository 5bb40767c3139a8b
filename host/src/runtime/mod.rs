//! Runs components: an engine, the components that were loaded into it, and calls of them, each
//! within a budget. A plugin's call gets a fresh instance; those of the host's own are kept for
//! the next.

mod answer;
mod cache;
mod call;
mod clustering;
mod component;
mod engine;
mod error;
mod idle;
mod limits;
mod offer;
mod precompiled;
mod recover;
mod threads;
mod ticker;

pub use component::{ComponentSource, LoadError, Operation};
pub use limits::{Limits, LimitsError};
pub use offer::Interface;

pub(crate) use answer::Answerer;
pub(crate) use call::Used;
pub(crate) use component::{Loaded, Plugin};
pub(crate) use error::CallError;
pub(crate) use offer::WIT_VERSION;
pub(crate) use recover::Recoverer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::capabilities::{self, Capabilities, SystemInfo};
use crate::metrics::Metrics;
use crate::transcript::Recorder;
use cache::Cache;
use call::State;
use ticker::Ticker;

/// Calls of the host's own plugin that run at the same time; more wait for a place. Each may take
/// some memory, and what is beyond the processors only waits.
const CONCURRENT_CALLS: u32 = 64;

/// The same of all other plugins together. Each has a limit of its own besides, and a place is given
/// to who waits longest: a plugin whose calls are many has no more of them in this queue than that.
const CONCURRENT_CALLS_OF_OTHERS: u32 = 64;

/// Core instances of one component. Ours has three (the module, and two that wasm-component-ld
/// makes); what componentize-py makes has some thirty.
const CORE_INSTANCES: u32 = 48;

/// Memories and tables of one component: what componentize-qjs makes has a part each for the plugin, for
/// what loads its modules, and for stubs of WASI. A call's limit is on all of its memories together.
const MEMORIES: u32 = 4;
const TABLES: u32 = 8;

/// What every plugin runs in.
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    capabilities: Capabilities,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    places_of_others: Arc<Semaphore>,
    ticker: Ticker,
    cache: Option<Cache>,
    recorder: Option<Recorder>,
}

impl Runtime {
    pub(crate) fn new(
        capabilities: Capabilities,
        metrics: Arc<Metrics>,
        cache: Option<PathBuf>,
    ) -> wasmtime::Result<Self> {
        let mut config = engine::config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        capabilities::add_to_linker(&mut linker, |state: &mut State| &mut state.call)?;
        let ticker = Ticker::start(engine.weak())?;
        let places = Arc::new(Semaphore::new(CONCURRENT_CALLS as usize));
        let places_of_others = Arc::new(Semaphore::new(CONCURRENT_CALLS_OF_OTHERS as usize));
        let cache = cache.map(Cache::new);
        Ok(Self {
            engine,
            linker,
            capabilities,
            metrics,
            places,
            places_of_others,
            ticker,
            cache,
            recorder: None,
        })
    }

    /// The same, and transcripts of all calls of operations are written.
    pub(crate) fn recording(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// What this node tells others that it runs.
    pub(crate) fn system_info(&self) -> SystemInfo {
        self.capabilities.node.info().system_info
    }
}

/// The memory of instances is reserved once and used again: a fresh instance costs a few
/// microseconds instead of system calls. Those that wait for a call hold their places too.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let calls = CONCURRENT_CALLS + CONCURRENT_CALLS_OF_OTHERS;
    // And one that recovers, and one that is asked what it is.
    let instances = calls + answer::CONCURRENT_ANSWERS + idle::most() as u32 + 2;
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_memories(instances * MEMORIES)
        .max_memories_per_component(MEMORIES)
        .total_tables(instances * TABLES)
        .max_tables_per_component(TABLES)
        .table_elements(limits::TABLE_ELEMENTS)
        .total_stacks(instances)
        .max_memory_size(limits::MOST_MEMORY)
        // What is written to again and again stays mapped, up to this many bytes a slot...
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        // ...and only what was written is reset, where the kernel can tell (Linux 6.7): giving pages
        // back instead interrupts every processor, at every call.
        .pagemap_scan(Enabled::Auto);
    pool
}
