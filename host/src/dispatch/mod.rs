//! From an operation's JSON to whoever performs it.

mod caller;
mod error;

pub use caller::{Caller, Role};
pub use error::{Error, ErrorKind};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::capabilities::{BoxFuture, Grants, log::one_line};
use crate::runtime::{CallError, ComponentSource, Limits, LoadError, Operation, Plugin, Runtime};
use crate::wit::exports::harper::plugin::operations;

/// The operations of all plugins, by name.
pub(crate) struct Dispatch {
    runtime: Runtime,
    operations: BTreeMap<Arc<str>, Entry>,
}

struct Entry {
    operation: Operation,
    performer: Performer,
}

/// Who performs an operation.
enum Performer {
    Plugin(Arc<Plugin>),
    Native(Arc<Native>),
}

/// An operation of the host's own, or of its embedder: no sandbox, no budget.
pub(crate) type Native =
    dyn Fn(Caller, Value) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync;

impl Dispatch {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime, operations: BTreeMap::new() }
    }

    /// Loads a plugin. One that has an operation that is there already is refused.
    pub(crate) async fn load(
        &mut self,
        name: &str,
        source: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Result<(), LoadError> {
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
            described.insert(key, Entry { operation, performer });
        }
        self.operations.append(&mut described);
        Ok(())
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
        self.operations.insert(name, Entry { operation, performer });
        Ok(())
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().map(|entry| &entry.operation)
    }

    pub(crate) async fn dispatch(&self, caller: &Caller, request: Value) -> Result<Value, Error> {
        let Some(request_object) = request.as_object() else {
            return Err(Error::new(ErrorKind::Invalid, "Request body must be a JSON object"));
        };
        let Some(name) = request_object.get("operation").and_then(Value::as_str) else {
            let text = "Request body must include an 'operation' property";
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        let Some((name, entry)) = self.operations.get_key_value(name) else {
            let text = format!("Operation '{}' not found", shown(name));
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        match (entry.operation.super_user, &caller.role) {
            (_, Role::SuperUser) => {}
            (true, _) => {
                let text = format!("Operation '{name}' is restricted to super_user roles");
                return Err(Error::new(ErrorKind::Forbidden, text));
            }
            // No role has a right until it is given one, and there is no way yet to give it one.
            (false, _) => {
                let text = format!("Operation '{name}' is not allowed for this user's role");
                return Err(Error::new(ErrorKind::Forbidden, text));
            }
        }
        let plugin = match &entry.performer {
            Performer::Plugin(plugin) => plugin,
            Performer::Native(native) => return native(caller.clone(), request).await,
        };
        self.runtime.call(plugin, name, caller, &request).await.map_err(|error| {
            let kind = match &error {
                CallError::Refused(operations::Error::Invalid(_)) => ErrorKind::Invalid,
                CallError::Refused(operations::Error::Conflict(_)) => ErrorKind::Conflict,
                CallError::RequestTooLarge { .. } => ErrorKind::TooLarge,
                CallError::Busy => ErrorKind::Busy,
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

/// A name that a client made up, fit to be shown.
fn shown(name: &str) -> String {
    one_line(&name[..name.floor_char_boundary(64)])
}
