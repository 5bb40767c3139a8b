//! The WebAssembly component: WIT on one side, the plain traits and functions of this crate on
//! the other. Nothing is decided here.

#![allow(unsafe_code, reason = "the canonical ABI, in what wit-bindgen generates")]

use std::time::Duration;

use serde_json::Value;

use crate::capabilities::{
    self as needs, Change, ConfigError, NatsError, NodeInfo, Page, ServerInfo, Snapshot,
    SystemInfo, TableInfo, TablesError,
};
use crate::operation::{self, OPERATIONS};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "clustering" });
}

use bindings::exports::harper::plugin::{operations, peer, recovery};
use bindings::harper::plugin::{clock, config, log, nats, node, tables};

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

impl peer::Guest for Component {
    async fn answer(request: Vec<u8>) -> Vec<u8> {
        log_panics();
        crate::peer::answer(&Imports, &request).await
    }
}

impl recovery::Guest for Component {
    async fn recover() -> u32 {
        log_panics();
        0
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
        clock::sleep(milliseconds(duration)).await;
    }
}

impl needs::Log for Imports {
    fn warn(&self, message: &str) {
        log::write(log::Level::Warn, message);
    }
}

impl needs::Node for Imports {
    fn info(&self) -> NodeInfo {
        let info = node::get();
        NodeInfo {
            name: info.name,
            clustering: info.clustering,
            clustering_port: info.ports.clustering,
            operations_api_port: info.ports.operations_api,
            uptime: Duration::from_millis(info.uptime),
            system_info: SystemInfo {
                hdb_version: info.system_info.hdb_version,
                node_version: info.system_info.node_version,
                platform: info.system_info.platform,
            },
            status_timeout: Duration::from_millis(info.status_timeout),
        }
    }
}

impl needs::Nats for Imports {
    async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        largest: u32,
    ) -> Result<Vec<u8>, NatsError> {
        let answer =
            nats::request(subject.into(), payload.into(), milliseconds(timeout), largest).await;
        answer.map_err(nats_error)
    }

    async fn servers(&self, timeout: Duration) -> Result<Vec<ServerInfo>, NatsError> {
        let servers = nats::servers(milliseconds(timeout)).await.map_err(nats_error)?;
        let server = |server: nats::Server| ServerInfo {
            name: server.name,
            response_time: Duration::from_millis(server.response_time),
            routes: server.routes,
            cluster_urls: server.cluster_urls,
        };
        Ok(servers.into_iter().map(server).collect())
    }
}

fn nats_error(error: nats::Error) -> NatsError {
    match error {
        nats::Error::NotEnabled => NatsError::NotEnabled,
        nats::Error::NoResponders => NatsError::NoResponders,
        nats::Error::Timeout => NatsError::Timeout,
        nats::Error::TooLarge(text) => NatsError::TooLarge(text),
        nats::Error::Denied(text)
        | nats::Error::InvalidRequest(text)
        | nats::Error::Unavailable(text)
        | nats::Error::Other(text) => NatsError::Failed(text),
    }
}

impl needs::Tables for Imports {
    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError> {
        let page = tables::list(database.into(), table.into(), after.map(str::to_owned)).await;
        let page = page.map_err(tables_error)?;
        let rows = page.rows.iter().map(|row| serde_json::from_str(&row.value));
        let rows = rows.collect::<Result<_, _>>().map_err(|error| {
            TablesError::Failed(format!("The host's answer is not as agreed: {error}"))
        })?;
        Ok(Page { rows, next: page.next })
    }

    async fn describe(&self) -> Result<Vec<TableInfo>, TablesError> {
        let described = tables::describe().await.map_err(tables_error)?;
        let table = |table: tables::Table| TableInfo {
            database: table.database,
            name: table.name,
            hash_attribute: table.hash_attribute,
            attributes: table.attributes,
        };
        Ok(described.into_iter().map(table).collect())
    }
}

fn tables_error(error: tables::Error) -> TablesError {
    match error {
        tables::Error::Conflict => {
            TablesError::Failed("The table is being changed by others all the while".into())
        }
        tables::Error::Denied(text)
        | tables::Error::NotFound(text)
        | tables::Error::InvalidRequest(text)
        | tables::Error::ExistsOtherwise(text)
        | tables::Error::Unavailable(text)
        | tables::Error::Other(text) => TablesError::Failed(text),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
