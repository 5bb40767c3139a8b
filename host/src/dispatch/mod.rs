//! From an operation's JSON to whoever performs it.

mod caller;
mod error;
mod reply;

pub use caller::{Caller, Origin, Role};
pub use error::{Error, ErrorKind};
pub(crate) use reply::Row;
pub use reply::{Reply, Rows};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::audit::AuditLog;
use crate::capabilities::{BoxFuture, ConfigError, Grants, SystemInfo, log::one_line};
use crate::metrics::{Metrics, OfOperation};
use crate::runtime::{
    Answerer, CallError, ComponentSource, Limits, LoadError, Operation, Plugin, Recoverer, Runtime,
};
use crate::wit::exports::harper::plugin::operations;

/// The operations of all plugins, by name.
pub(crate) struct Dispatch {
    runtime: Runtime,
    audit: Option<AuditLog>,
    metrics: Arc<Metrics>,
    operations: BTreeMap<Arc<str>, Entry>,
    answerer: Option<Answerer>,
    recoverer: Option<Recoverer>,
    /// A call may have left something.
    left: Notify,
}

struct Entry {
    operation: Operation,
    performer: Performer,
    counted: OfOperation,
}

impl Entry {
    fn new(operation: Operation, performer: Performer) -> Self {
        let counted = OfOperation::new(&*operation.name);
        Self { operation, performer, counted }
    }
}

/// Who performs an operation.
enum Performer {
    Plugin(Arc<Plugin>),
    Native(Arc<Native>),
}

/// An operation of the host's own, or of its embedder: no sandbox, no budget.
pub(crate) type Native =
    dyn Fn(Caller, Value) -> BoxFuture<'static, Result<Reply, Error>> + Send + Sync;

/// Asked when an operation begins after a wait: whether the caller may still have it performed.
pub(crate) type Still = dyn Fn() -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

impl Dispatch {
    pub(crate) fn new(runtime: Runtime, metrics: Arc<Metrics>, audit: Option<AuditLog>) -> Self {
        let (operations, left) = (BTreeMap::new(), Notify::new());
        Self { runtime, audit, metrics, operations, answerer: None, recoverer: None, left }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Loads a plugin. One that has an operation that is there already is refused.
    pub(crate) async fn load(
        &mut self,
        name: &str,
        source: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Result<Arc<Plugin>, LoadError> {
        let (plugin, operations) = self.runtime.load(name, source, grants, limits).await?;
        let plugin = Arc::new(plugin);
        let mut described = BTreeMap::new();
        for operation in operations {
            let key: Arc<str> = operation.name.as_str().into();
            if self.operations.contains_key(&key) || described.contains_key(&key) {
                return Err(LoadError::Operation {
                    plugin: name.into(),
                    operation: operation.name,
                    reason: "which is there already",
                });
            }
            let performer = Performer::Plugin(plugin.clone());
            described.insert(key, Entry::new(operation, performer));
        }
        self.operations.append(&mut described);
        Ok(plugin)
    }

    /// Says who answers other nodes.
    pub(crate) fn answer_with(
        &mut self,
        plugin: Arc<Plugin>,
        limits: Limits,
    ) -> Result<(), LoadError> {
        self.answerer = Some(Answerer::new(plugin, limits)?);
        Ok(())
    }

    /// Says who finishes or undoes what calls of it have left.
    pub(crate) fn recover_with(
        &mut self,
        plugin: Arc<Plugin>,
        limits: Limits,
    ) -> Result<(), LoadError> {
        self.recoverer = Some(Recoverer::new(plugin, limits)?);
        Ok(())
    }

    /// Has it do so, and returns how much is left.
    pub(crate) async fn recover(&self) -> Result<u32, CallError> {
        let left = match &self.recoverer {
            Some(recoverer) => self.runtime.recover(recoverer).await?,
            None => 0,
        };
        self.metrics.left(left);
        Ok(left)
    }

    /// Resolves once a call may have left something, since this resolved the last time.
    pub(crate) async fn something_left(&self) {
        self.left.notified().await;
    }

    pub(crate) fn largest_peer_request(&self) -> usize {
        self.answerer.as_ref().map_or(0, Answerer::largest_request)
    }

    /// Answers a request of another node: with an error, when it cannot be answered.
    pub(crate) async fn answer_peer(&self, request: Vec<u8>) -> Vec<u8> {
        let mut midway = Midway(Some(&self.left));
        let answered = match &self.answerer {
            Some(answerer) => self.runtime.answer(answerer, request).await,
            None => Err(CallError::Busy),
        };
        midway.ended(&answered);
        let (outcome, reply) = match answered {
            Ok(reply) => ("ok", reply),
            Err(error) => {
                let outcome = match &error {
                    CallError::Busy => "busy",
                    CallError::RequestTooLarge { .. } => "too_large",
                    _ => "failed",
                };
                if outcome == "failed" {
                    tracing::error!("a request of another node was not answered: {error}");
                }
                let SystemInfo { hdb_version, node_version, platform } = self.runtime.system_info();
                let reply = json!({
                    "status": "error",
                    "message": error.for_peer(),
                    "system_info": {
                        "hdb_version": hdb_version,
                        "node_version": node_version,
                        "platform": platform,
                    },
                });
                (outcome, harper_wire::encode(&harper_wire::Value::from(reply)))
            }
        };
        self.metrics.answer(outcome);
        reply
    }

    /// Adds a native operation; the name of one that is there already is given back.
    pub(crate) fn add_native(
        &mut self,
        operation: Operation,
        native: Arc<Native>,
    ) -> Result<(), String> {
        if self.operations.contains_key(&*operation.name) {
            return Err(operation.name);
        }
        let name = operation.name.as_str().into();
        let performer = Performer::Native(native);
        self.operations.insert(name, Entry::new(operation, performer));
        Ok(())
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().map(|entry| &entry.operation)
    }

    pub(crate) fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }

    pub(crate) fn may_change(&self, request: &Map<String, Value>) -> bool {
        let name = self.name_of(request).unwrap_or_default();
        self.operations.get(name).is_none_or(|entry| entry.operation.changes)
    }

    pub(crate) fn name_of(&self, request: &Map<String, Value>) -> Option<&str> {
        let name = request.get("operation").and_then(Value::as_str)?;
        self.operations.get_key_value(name).map(|(name, _)| &**name)
    }

    /// What is counted ends with the reply's beginning.
    pub(crate) async fn dispatch(
        &self,
        caller: &Caller,
        request: Value,
        still: Option<&Still>,
    ) -> Result<Reply, Error> {
        let started = Instant::now();
        let (name, entry) = match self.find(&request) {
            Ok(found) => found,
            Err(error) => {
                // The name is the client's own, and has no place among ours.
                self.metrics.unknown_operation(error.kind.name(), started.elapsed());
                return Err(error);
            }
        };
        if let Err(refused) = authorise(&entry.operation, &caller.role) {
            if let Some(audit) = &self.audit {
                audit.refused(caller, name, &refused).await;
            }
            self.metrics.operation(&entry.counted, refused.kind.name(), started.elapsed());
            return Err(refused);
        }
        let audit = self.audit.as_ref().filter(|_| entry.operation.changes);
        let audit = audit.map(|audit| audit.begin(caller, &entry.operation, &request));
        let result = self.perform(entry, name, caller, request, still).await;
        if let Some(audit) = audit {
            audit.end(result.as_ref().map(|_| ())).await;
        }
        let outcome = result.as_ref().map_or_else(|error| error.kind.name(), |_| "ok");
        self.metrics.operation(&entry.counted, outcome, started.elapsed());
        result
    }

    fn find(&self, request: &Value) -> Result<(&Arc<str>, &Entry), Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        let object = request
            .as_object()
            .ok_or_else(|| invalid("Request body must be a JSON object".into()))?;
        let name = object
            .get("operation")
            .and_then(Value::as_str)
            .ok_or_else(|| invalid("Request body must include an 'operation' property".into()))?;
        let found = self.operations.get_key_value(name);
        found.ok_or_else(|| invalid(format!("Operation '{}' not found", shown(name))))
    }

    async fn perform(
        &self,
        entry: &Entry,
        name: &Arc<str>,
        caller: &Caller,
        request: Value,
        still: Option<&Still>,
    ) -> Result<Reply, Error> {
        let plugin = match &entry.performer {
            Performer::Plugin(plugin) => plugin,
            Performer::Native(native) => return native(caller.clone(), request).await,
        };
        let changes = entry.operation.changes;
        let recovers = self.recoverer.as_ref().is_some_and(|recoverer| recoverer.is_of(plugin));
        let mut midway = Midway((changes && recovers).then_some(&self.left));
        let reply = self.runtime.call(plugin, name, changes, caller, &request, still).await;
        midway.ended(&reply);
        reply.map(Reply::Json).map_err(|error| {
            let kind = match &error {
                CallError::Refused(operations::Error::Invalid(_)) => ErrorKind::Invalid,
                CallError::Refused(operations::Error::Conflict(_))
                | CallError::NotDurable(ConfigError::Conflict) => ErrorKind::Conflict,
                CallError::RequestTooLarge { .. } => ErrorKind::TooLarge,
                CallError::Busy => ErrorKind::Busy,
                CallError::Dismissed(error) => error.kind,
                _ => ErrorKind::Failed,
            };
            if kind == ErrorKind::Failed {
                let plugin = plugin.name();
                tracing::error!(plugin, operation = &**name, "the operation failed: {error}");
            }
            Error::new(kind, error.for_caller(name))
        })
    }
}

/// A call that may leave something when it is stopped, or given up by whoever waits for it.
struct Midway<'n>(Option<&'n Notify>);

impl Midway<'_> {
    fn ended<T>(&mut self, how: &Result<T, CallError>) {
        if how.as_ref().err().is_none_or(|error| !error.is_midway()) {
            self.0 = None;
        }
    }
}

impl Drop for Midway<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.0 {
            left.notify_one();
        }
    }
}

fn authorise(operation: &Operation, role: &Role) -> Result<(), Error> {
    let name = &operation.name;
    let text = match (operation.super_user, role) {
        (_, Role::SuperUser) => return Ok(()),
        (true, _) => format!("Operation '{name}' is restricted to super_user roles"),
        // No role has a right until it is given one, and there is no way yet to give it one.
        (false, _) => format!("Operation '{name}' is not allowed for this user's role"),
    };
    Err(Error::new(ErrorKind::Forbidden, text))
}

/// A name that a client made up, fit to be shown.
fn shown(name: &str) -> String {
    one_line(&name[..name.floor_char_boundary(64)])
}
