//! One call: a fresh store and instance, the budget around it, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout_at;
use wasmtime::{Error, Store, UpdateDeadline};

use super::limits::MemoryLimit;
use super::ticker::TICK;
use super::{CallError, Plugin, Runtime, error};
use crate::capabilities::{Call, Exceeded, HostCalls, Meter};
use crate::dispatch::{Caller, Role};
use crate::json;
use crate::wit::exports::harper::plugin::operations;

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

/// What the store of a call holds.
pub(crate) struct State {
    pub(super) call: Call,
    memory: MemoryLimit,
    ticks_left: u128,
}

impl Runtime {
    /// Performs an operation of `plugin`.
    pub(crate) async fn call(
        &self,
        plugin: &Plugin,
        operation: &Arc<str>,
        changes: bool,
        caller: &Caller,
        request: &Value,
    ) -> Result<Value, CallError> {
        let limits = plugin.limits;
        let request = json::text(request);
        if request.len() > limits.request_bytes {
            let (size, limit) = (request.len(), limits.request_bytes);
            return Err(CallError::RequestTooLarge { size, limit });
        }
        // So far away that it is none, and not so far that no clock reaches it.
        let wall_clock = limits.wall_clock.min(Duration::from_secs(1 << 30));
        let deadline = tokio::time::Instant::now() + wall_clock;
        let place = timeout_at(deadline, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(CallError::Busy) };
        let _running = self.ticker.run();

        let caller = operations::Caller {
            username: caller.username.clone(),
            super_user: caller.role == Role::SuperUser,
        };
        let mut store = self.store(plugin, operation, changes);
        // Around everything: an epoch does not interrupt a call that waits for the host.
        let reply = timeout_at(deadline, async {
            let instance = plugin.prepared.instantiate_async(&mut store).await?;
            let operations = instance.harper_plugin_operations();
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
        let state = store.data();
        let (memory, host_calls) = (state.memory.used(), state.call.meter.host_calls());
        self.metrics.call(&plugin.name, &Used { memory, host_calls });
        match reply {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(limits.wall_clock))),
            Ok(Err(trap)) => Err(trap.into()),
            Ok(Ok(reply)) if length(&reply) > limits.reply_bytes => {
                Err(CallError::Exceeded(Exceeded::ReplyBytes(limits.reply_bytes)))
            }
            Ok(Ok(Err(refused))) => Err(CallError::Refused(refused)),
            Ok(Ok(Ok(reply))) => {
                let most = limits.reply_bytes.saturating_mul(BUILT).max(BUILT << 10);
                if json::built_size(reply.as_bytes()) > most {
                    return Err(CallError::Exceeded(Exceeded::ReplyValues(most)));
                }
                serde_json::from_str(&reply).map_err(CallError::NotJson)
            }
        }
    }

    /// The operations that a plugin says it has.
    pub(super) async fn describe(
        &self,
        plugin: &Plugin,
    ) -> Result<Vec<operations::Operation>, CallError> {
        let _running = self.ticker.run();
        let mut store = self.store(plugin, &"describe".into(), false);
        let described = tokio::time::timeout(plugin.limits.wall_clock, async {
            let instance = plugin.prepared.instantiate_async(&mut store).await?;
            instance.harper_plugin_operations().call_describe(&mut store).await
        });
        match described.await {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(plugin.limits.wall_clock))),
            Ok(described) => Ok(described?),
        }
    }

    fn store(&self, plugin: &Plugin, operation: &Arc<str>, changes: bool) -> Store<State> {
        let limits = plugin.limits;
        let call = Call {
            plugin: plugin.name.clone(),
            operation: operation.clone(),
            changes,
            capabilities: self.capabilities.clone(),
            grants: plugin.grants.clone(),
            meter: Meter::new(limits),
            shown_early: Vec::new(),
        };
        let ticks_left = limits.cpu.as_nanos().div_ceil(TICK.as_nanos());
        let state = State { call, memory: MemoryLimit::new(limits.memory), ticks_left };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        // What the host copies for one crossing of the border. Lists of strings that overlap in
        // the guest's memory would otherwise grow without bound on this side.
        store.set_hostcall_fuel(
            limits.exchanged_bytes.max(limits.reply_bytes).saturating_add(64 << 10),
        );
        store.set_epoch_deadline(1);
        let cpu = limits.cpu;
        store.epoch_deadline_callback(move |mut store| {
            let state = store.data_mut();
            if state.ticks_left == 0 {
                return Err(Error::from(Exceeded::Cpu(cpu)));
            }
            // A wait is one tick at most, however long it takes.
            state.ticks_left -= 1;
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }
}
