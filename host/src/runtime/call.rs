//! One call: a store and an instance, the budget around it, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use wasmtime::{Error, Store, UpdateDeadline};

use super::idle::{Idle, Instance};
use super::limits::MemoryLimit;
use super::ticker::TICK;
use super::{CallError, Limits, Plugin, Runtime, error};
use crate::capabilities::log::Logged;
use crate::capabilities::{Call, Exceeded, HostCalls, Meter, Purpose};
use crate::dispatch::{Caller, Role, Still};
use crate::json;
use crate::transcript::{self, Begun, Recording};
use crate::wit::exports::harper::plugin::{manifest, operations};

/// What is built of a reply takes up to so many times the bytes that the reply may have.
const BUILT: usize = 16;

fn length(reply: &Result<String, operations::Error>) -> usize {
    reply.as_ref().map_or_else(|refused| error::text(refused).len(), String::len)
}

/// What a call has used in the end.
pub(crate) struct Used {
    /// Bytes of memory at its largest.
    pub(crate) memory: usize,
    pub(crate) host_calls: HostCalls,
}

impl Used {
    pub(super) fn of(state: &State) -> Self {
        Self { memory: state.memory.used(), host_calls: state.call.meter.host_calls() }
    }
}

/// When a call ends.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    /// It is stopped then.
    pub(super) end: Instant,
    /// Its capabilities wait for others no longer, so that it can still say what it has.
    waits_until: Instant,
}

impl Deadline {
    pub(super) fn after(wall_clock: Duration) -> Self {
        // So far away that it is none, and not so far that no clock reaches it.
        let wall_clock = wall_clock.min(Duration::from_secs(1 << 30));
        let margin = (wall_clock / 10).min(Duration::from_millis(500));
        let end = Instant::now() + wall_clock;
        Self { end, waits_until: end - margin }
    }
}

/// What a plugin is asked.
struct Asked {
    caller: operations::Caller,
    /// JSON.
    request: String,
    /// Where it is written down, if it is.
    recording: Option<Recording>,
}

/// What the store of a call holds.
pub(crate) struct State {
    pub(super) call: Call,
    pub(super) memory: MemoryLimit,
    ticks_left: u128,
}

impl Runtime {
    /// Performs an operation of `plugin`. Its reply is JSON, and was looked at as far as that.
    pub(crate) async fn call(
        self: &Arc<Self>,
        plugin: &Arc<Plugin>,
        operation: &Arc<str>,
        changes: bool,
        caller: &Caller,
        request: &Value,
        still: Option<&Still>,
    ) -> Result<String, CallError> {
        let limits = plugin.limits;
        let text = json::text(request);
        if text.len() > limits.request_bytes {
            let (size, limit) = (text.len(), limits.request_bytes);
            return Err(CallError::RequestTooLarge { size, limit });
        }
        let deadline = Deadline::after(limits.wall_clock);
        let Ok(place) = timeout_at(deadline.end, self.place(plugin)).await else {
            return Err(CallError::Busy);
        };
        if let Some(still) = still {
            still().await.map_err(CallError::Dismissed)?;
        }
        let what = transcript::Asked::Operation { operation, changes, caller, request };
        let recording = self.record(plugin, what);
        let caller = operations::Caller {
            username: caller.username.clone(),
            super_user: caller.role == Role::SuperUser,
        };
        let asked = Asked { caller, request: text, recording };
        let purpose = Purpose::of_operation(changes);
        let Some(threads) = &plugin.threads else {
            return self.perform(plugin, operation, purpose, asked, deadline).await;
        };
        let (runtime, plugin, operation) = (self.clone(), plugin.clone(), operation.clone());
        let called = threads.run(async move {
            // Until the call has really ended, also one that was given up.
            let _place = place;
            runtime.perform(&plugin, &operation, purpose, asked, deadline).await
        });
        called.await.unwrap_or(Err(CallError::Lost))
    }

    /// A transcript of a call that begins, where calls are recorded.
    pub(super) fn record(&self, plugin: &Plugin, what: transcript::Asked<'_>) -> Option<Recording> {
        self.recorder.as_ref().map(|recorder| recorder.begin(&Begun { plugin, what }))
    }

    /// A place to run: of the plugin's own ones first, so that its calls wait for each other and not
    /// for those of others.
    async fn place(&self, plugin: &Plugin) -> [Option<OwnedSemaphorePermit>; 2] {
        // These are never closed.
        match &plugin.places {
            Some(own) => {
                let own = own.clone().acquire_owned().await.ok();
                [own, self.places_of_others.clone().acquire_owned().await.ok()]
            }
            None => [self.places.clone().acquire_owned().await.ok(), None],
        }
    }

    async fn perform(
        &self,
        plugin: &Plugin,
        operation: &Arc<str>,
        purpose: Purpose,
        asked: Asked,
        deadline: Deadline,
    ) -> Result<String, CallError> {
        let Asked { caller, request, recording } = asked;
        let _running = self.ticker.run();
        let limits = plugin.limits;
        let mut instance = None;
        // Around everything: an epoch does not interrupt a call that waits for the host.
        let reply = timeout_at(deadline.end, async {
            let waiting = plugin.idle.as_ref().and_then(Idle::take);
            let Instance { store, exports, .. } = match waiting {
                Some(mut waiting) => {
                    self.begin(&mut waiting.store, plugin, operation, purpose, deadline);
                    instance.insert(waiting)
                }
                None => {
                    let mut store = self.store(plugin, limits, operation, purpose, deadline);
                    let exports = plugin.prepared.instantiate_async(&mut store).await?;
                    instance.insert(Instance { store, exports, calls: 0 })
                }
            };
            if let Some(recording) = &recording {
                store.data_mut().call.capabilities = recording.around(&self.capabilities);
            }
            let operations = exports.harper_plugin_operations();
            let reply = store
                .run_concurrent(async |accessor| {
                    operations.call_handle(accessor, caller, request).await
                })
                .await??;
            for durable in std::mem::take(&mut store.data_mut().call.shown_early) {
                durable.await?;
            }
            wasmtime::error::Ok(reply)
        })
        .await;
        if let Some(mut instance) = instance {
            // An instance that is kept does not keep what its call held.
            instance.store.data_mut().call.held.clear();
            self.metrics.call(&plugin.counted, &Used::of(instance.store.data()));
            if let (Some(idle), Ok(Ok(_))) = (&plugin.idle, &reply) {
                idle.keep(instance);
            }
        }
        let reply = match reply {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(limits.wall_clock))),
            Ok(Err(trap)) => Err(trap.into()),
            Ok(Ok(reply)) if length(&reply) > limits.reply_bytes => {
                Err(CallError::Exceeded(Exceeded::ReplyBytes(limits.reply_bytes)))
            }
            Ok(Ok(Err(refused))) => Err(CallError::Refused(refused)),
            Ok(Ok(Ok(reply))) => {
                let most = limits.reply_bytes.saturating_mul(BUILT).max(BUILT << 10);
                match json::built_size(reply.as_bytes()) > most {
                    true => Err(CallError::Exceeded(Exceeded::ReplyValues(most))),
                    false => json::check(&reply).map(|()| reply).map_err(CallError::NotJson),
                }
            }
        };
        if let Some(recording) = recording {
            let told = reply.as_deref().map_err(|error| error.for_caller(operation));
            recording.end(told.map(|text| serde_json::from_str(text).unwrap_or_default())).await;
        }
        reply
    }

    /// What a plugin says that it asks for, and the operations that it says it has.
    pub(super) async fn describe(
        &self,
        plugin: &Plugin,
    ) -> Result<(manifest::Grants, Vec<operations::Operation>), CallError> {
        let _running = self.ticker.run();
        let limits = plugin.limits.to_describe();
        let deadline = Deadline::after(limits.wall_clock);
        let mut store = self.store(plugin, limits, &"describe".into(), Purpose::Reads, deadline);
        let described = timeout_at(deadline.end, async {
            let instance = plugin.prepared.instantiate_async(&mut store).await?;
            let asks = instance.harper_plugin_manifest().call_asks(&mut store).await?;
            let operations = instance.harper_plugin_operations().call_describe(&mut store).await?;
            wasmtime::error::Ok((asks, operations))
        });
        match described.await {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(limits.wall_clock))),
            Ok(described) => Ok(described?),
        }
    }

    /// A store for one call, and for those after it where instances are kept.
    pub(super) fn store(
        &self,
        plugin: &Plugin,
        limits: Limits,
        operation: &Arc<str>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Store<State> {
        let call = self.of_plugin(plugin, limits, operation, purpose, deadline);
        let memory = MemoryLimit::new(limits.memory);
        let mut store =
            Store::new(&self.engine, State { call, memory, ticks_left: ticks(limits.cpu) });
        store.limiter(|state| &mut state.memory);
        // What the host copies for one crossing of the border. Lists of strings that overlap in
        // the guest's memory would otherwise grow without bound on this side.
        store.set_hostcall_fuel(
            limits.exchanged_bytes.max(limits.reply_bytes).saturating_add(64 << 10),
        );
        store.set_epoch_deadline(1);
        let cpu = limits.cpu;
        let load = plugin.threads.as_ref().map(|threads| threads.load().clone());
        store.epoch_deadline_callback(move |mut store| {
            let state = store.data_mut();
            if state.ticks_left == 0 {
                return Err(Error::from(Exceeded::Cpu(cpu)));
            }
            // A wait is one tick at most, however long it takes.
            state.ticks_left -= 1;
            if let Some(load) = &load {
                load.tick();
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    /// Makes the store of an earlier call that of this one, with a whole budget.
    fn begin(
        &self,
        store: &mut Store<State>,
        plugin: &Plugin,
        operation: &Arc<str>,
        purpose: Purpose,
        deadline: Deadline,
    ) {
        let state = store.data_mut();
        state.call = self.of_plugin(plugin, plugin.limits, operation, purpose, deadline);
        state.ticks_left = ticks(plugin.limits.cpu);
        store.set_epoch_deadline(1);
    }

    fn of_plugin(
        &self,
        plugin: &Plugin,
        limits: Limits,
        operation: &Arc<str>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Call {
        Call {
            plugin: plugin.name.clone(),
            operation: operation.clone(),
            purpose,
            capabilities: self.capabilities.clone(),
            keys: plugin.keys.clone(),
            meter: Meter::new(limits),
            volume: plugin.volume.clone(),
            logged: Logged::default(),
            shown_early: Vec::new(),
            held: Vec::new(),
            waits_until: deadline.waits_until,
        }
    }
}

fn ticks(cpu: Duration) -> u128 {
    cpu.as_nanos().div_ceil(TICK.as_nanos())
}
