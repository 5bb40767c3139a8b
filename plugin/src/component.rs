//! The WebAssembly component: WIT on one side, the plain traits and functions of this crate on
//! the other. Nothing is decided here.

#![allow(unsafe_code, reason = "the canonical ABI, in what wit-bindgen generates")]

use std::time::Duration;

use serde_json::Value;

use crate::capabilities::{self as needs, Change, ConfigError, Snapshot};
use crate::operation::{self, OPERATIONS};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "clustering" });
}

use bindings::exports::harper::plugin::operations;
use bindings::harper::plugin::{clock, config, log};

struct Component;

impl operations::Guest for Component {
    fn describe() -> Vec<operations::Operation> {
        OPERATIONS
            .iter()
            .map(|operation| operations::Operation {
                name: operation.name.into(),
                super_user: operation.super_user,
                changes: operation.changes,
                warning: operation.warning.map(str::to_owned),
                help: operation.help.into(),
                schema: (operation.schema)().to_string(),
            })
            .collect()
    }

    async fn handle(_: operations::Caller, request: String) -> Result<String, operations::Error> {
        log_panics();
        let request = serde_json::from_str(&request).map_err(|error| {
            operations::Error::Invalid(format!("The request is not a JSON object: {error}"))
        })?;
        match operation::handle(&Imports, &request).await {
            Ok(reply) => Ok(text(&reply)),
            Err(operation::Error::Invalid(text)) => Err(operations::Error::Invalid(text)),
            Err(operation::Error::Conflict(text)) => Err(operations::Error::Conflict(text)),
            Err(operation::Error::Failed(text)) => Err(operations::Error::Failed(text)),
        }
    }
}

bindings::export!(Component with_types_in bindings);

/// The value as text: in half the time of `Display`, which passes on a few bytes at a time.
fn text(value: &Value) -> String {
    // A value has no key that is not a string, the one thing that can fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// A panic reaches the host as a bare trap; the log is where its message can be read.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
}

struct Imports;

impl needs::Config for Imports {
    async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<Snapshot<N>, ConfigError> {
        let paths = paths.map(String::from).to_vec();
        let snapshot = config::get(paths).await.map_err(config_error)?;
        let values = snapshot
            .values
            .iter()
            .map(|value| serde_json::from_str(value))
            .collect::<Result<Vec<Value>, _>>()
            .ok()
            .and_then(|values| values.try_into().ok())
            .ok_or_else(|| ConfigError::Failed("The host's answer is not as agreed".into()))?;
        Ok(Snapshot { revision: snapshot.revision, values })
    }

    async fn set(&self, expected: &str, changes: &[Change<'_>]) -> Result<(), ConfigError> {
        let changes = changes
            .iter()
            .map(|change| config::Change { path: change.path.into(), value: text(&change.value) })
            .collect();
        config::set(expected.into(), changes).await.map_err(config_error)?;
        Ok(())
    }
}

fn config_error(error: config::Error) -> ConfigError {
    match error {
        config::Error::Conflict => ConfigError::Conflict,
        config::Error::Denied(text)
        | config::Error::InvalidFile(text)
        | config::Error::InvalidRequest(text)
        | config::Error::Unavailable(text)
        | config::Error::Other(text) => ConfigError::Failed(text),
    }
}

impl needs::Clock for Imports {
    fn monotonic(&self) -> u64 {
        clock::monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        clock::sleep(duration.as_millis().try_into().unwrap_or(u64::MAX)).await;
    }
}

impl needs::Log for Imports {
    fn warn(&self, message: &str) {
        log::write(log::Level::Warn, message);
    }
}
