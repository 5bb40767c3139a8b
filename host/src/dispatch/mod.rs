//! From an operation's JSON to whoever performs it.

mod caller;
mod error;
mod reply;

pub use caller::{Caller, Origin, Role};
pub use error::{Error, ErrorKind};
pub(crate) use reply::Row;
pub use reply::{Reply, Rows};

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::audit::AuditLog;
use crate::capabilities::{BoxFuture, ConfigError, Grants, SystemInfo, log::one_line};
use crate::metrics::{Metrics, OfOperation};
use crate::runtime::{
    Answerer, CallError, ComponentSource, Limits, LoadError, Loaded, Operation, Plugin, Recoverer,
    Runtime,
};
use crate::wit::exports::harper::plugin::operations;

/// The operations of all plugins, by name.
pub(crate) struct Dispatch {
    runtime: Arc<Runtime>,
    audit: Option<AuditLog>,
    metrics: Arc<Metrics>,
    /// Whoever performs one has its entry, and goes on with that when it is replaced.
    operations: RwLock<BTreeMap<Arc<str>, Arc<Entry>>>,
    answerer: Option<Answerer>,
    recoverer: Option<Recoverer>,
    /// A call may have left something.
    left: Notify,
}

struct Entry {
    name: Arc<str>,
    operation: Operation,
    performer: Performer,
    counted: OfOperation,
}

impl Entry {
    fn new(operation: Operation, performer: Performer) -> Arc<Self> {
        let name = operation.name.as_str();
        let (name, counted) = (name.into(), OfOperation::new(name));
        Arc::new(Self { name, operation, performer, counted })
    }

    /// Whose it is, in words.
    fn owner(&self) -> String {
        match &self.performer {
            Performer::Plugin(plugin) => format!("of the plugin '{}'", plugin.name()),
            Performer::Native(_) => OF_THE_HOST.to_owned(),
        }
    }

    fn is_of(&self, plugin: &str) -> bool {
        matches!(&self.performer, Performer::Plugin(performer) if performer.name() == plugin)
    }
}

/// Whose operations are that run without a sandbox.
const OF_THE_HOST: &str = "the host's own";

/// Who performs an operation.
enum Performer {
    Plugin(Arc<Plugin>),
    Native(Arc<Native>),
}

/// An operation of the host's own, or of its embedder: no sandbox, no budget.
pub(crate) type Native =
    dyn Fn(Caller, Value) -> BoxFuture<'static, Result<Reply, Error>> + Send + Sync;

/// A plugin that was loaded.
pub(crate) struct Installed {
    pub(crate) plugin: Arc<Plugin>,
    /// The names of its operations.
    pub(crate) operations: Vec<String>,
}

/// Asked when an operation begins after a wait: whether the caller may still have it performed.
pub(crate) type Still = dyn Fn() -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

impl Dispatch {
    pub(crate) fn new(runtime: Runtime, metrics: Arc<Metrics>, audit: Option<AuditLog>) -> Self {
        let (runtime, operations, left) = (Arc::new(runtime), RwLock::default(), Notify::new());
        Self { runtime, audit, metrics, operations, answerer: None, recoverer: None, left }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Loads a plugin: its operations are there from now on, in the place of those of an earlier
    /// plugin of its name. Calls that run go on with that one. When it cannot be loaded, everything
    /// stays as it is.
    ///
    /// One that has an operation which is there already is refused: nobody takes an operation, or
    /// what is needed to call it, from someone else.
    pub(crate) async fn load(
        &self,
        name: &str,
        source: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Result<Installed, LoadError> {
        let loaded = self.runtime.load(name, source, grants, limits).await?;
        let Loaded { plugin, operations: described } = loaded;
        let plugin = Arc::new(plugin);
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<Arc<Entry>> = Vec::new();
        for operation in described {
            let there = operations.get(&*operation.name).filter(|entry| !entry.is_of(name));
            let owner = match (there, new.iter().any(|entry| *entry.name == *operation.name)) {
                (Some(entry), _) => Some(entry.owner()),
                (None, true) => Some("its own, described twice".to_owned()),
                // Also where this host has none of them: nobody may take their names.
                (None, false) => {
                    let is_native = crate::operations::is_name(&operation.name);
                    is_native.then(|| OF_THE_HOST.to_owned())
                }
            };
            if let Some(owner) = owner {
                let (plugin, operation) = (name.to_owned(), operation.name);
                return Err(LoadError::Taken { plugin, operation, owner });
            }
            new.push(Entry::new(operation, Performer::Plugin(plugin.clone())));
        }
        operations.retain(|_, entry| !entry.is_of(name));
        let names = new.iter().map(|entry| entry.name.to_string()).collect();
        operations.extend(new.into_iter().map(|entry| (entry.name.clone(), entry)));
        Ok(Installed { plugin, operations: names })
    }

    /// Takes the operations of a plugin away. Calls that run end on it.
    pub(crate) fn unload(&self, name: &str) {
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        operations.retain(|_, entry| !entry.is_of(name));
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
        &self,
        operation: Operation,
        native: Arc<Native>,
    ) -> Result<(), String> {
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        if operations.contains_key(&*operation.name) {
            return Err(operation.name);
        }
        let entry = Entry::new(operation, Performer::Native(native));
        operations.insert(entry.name.clone(), entry);
        Ok(())
    }

    /// All operations, in the order of their names.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let operations = self.operations.read().unwrap_or_else(PoisonError::into_inner);
        operations.values().map(|entry| entry.operation.clone()).collect()
    }

    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        let operations = self.operations.read().unwrap_or_else(PoisonError::into_inner);
        operations.get(name).cloned()
    }

    pub(crate) fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }

    pub(crate) fn may_change(&self, request: &Map<String, Value>) -> bool {
        self.entry_of(request).is_none_or(|entry| entry.operation.changes)
    }

    pub(crate) fn name_of(&self, request: &Map<String, Value>) -> Option<Arc<str>> {
        self.entry_of(request).map(|entry| entry.name.clone())
    }

    fn entry_of(&self, request: &Map<String, Value>) -> Option<Arc<Entry>> {
        self.entry(request.get("operation").and_then(Value::as_str)?)
    }

    /// What is counted ends with the reply's beginning.
    pub(crate) async fn dispatch(
        &self,
        caller: &Caller,
        request: Value,
        still: Option<&Still>,
    ) -> Result<Reply, Error> {
        let started = Instant::now();
        let entry = match self.find(&request) {
            Ok(found) => found,
            Err(error) => {
                // The name is the client's own, and has no place among ours.
                self.metrics.unknown_operation(error.kind.name(), started.elapsed());
                return Err(error);
            }
        };
        if let Err(refused) = authorise(&entry.operation, &caller.role) {
            if let Some(audit) = &self.audit {
                audit.refused(caller, &entry.name, &refused).await;
            }
            self.metrics.operation(&entry.counted, refused.kind.name(), started.elapsed());
            return Err(refused);
        }
        let audit = self.audit.as_ref().filter(|_| entry.operation.changes);
        let audit = audit.map(|audit| audit.begin(caller, &entry.operation, &request));
        let result = self.perform(&entry, caller, request, still).await;
        if let Some(audit) = audit {
            audit.end(result.as_ref().map(|_| ())).await;
        }
        let outcome = result.as_ref().map_or_else(|error| error.kind.name(), |_| "ok");
        self.metrics.operation(&entry.counted, outcome, started.elapsed());
        result
    }

    fn find(&self, request: &Value) -> Result<Arc<Entry>, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        let object = request
            .as_object()
            .ok_or_else(|| invalid("Request body must be a JSON object".into()))?;
        let name = object
            .get("operation")
            .and_then(Value::as_str)
            .ok_or_else(|| invalid("Request body must include an 'operation' property".into()))?;
        self.entry(name).ok_or_else(|| invalid(format!("Operation '{}' not found", shown(name))))
    }

    async fn perform(
        &self,
        entry: &Entry,
        caller: &Caller,
        request: Value,
        still: Option<&Still>,
    ) -> Result<Reply, Error> {
        let plugin = match &entry.performer {
            Performer::Plugin(plugin) => plugin,
            Performer::Native(native) => return native(caller.clone(), request).await,
        };
        let (name, changes) = (&entry.name, entry.operation.changes);
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
