//! The WebAssembly component: WIT on one side, the plain traits and functions of this crate on
//! the other. Nothing is decided here.

#![allow(unsafe_code, reason = "the canonical ABI, in what wit-bindgen generates")]

use std::time::Duration;

use serde_json::Value;

use crate::capabilities::{
    self as needs, Change, ConfigError, Extent, JetStreamError, NatsError, NodeInfo, Page,
    ReplicationError, Row, ServerInfo, Snapshot, StreamState, SystemInfo, TableInfo, TablesError,
};
use crate::operation::{self, OPERATIONS};
use crate::routes::{HUB_ROUTES, LEAF_ROUTES};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "clustering" });
}

use bindings::exports::harper::plugin::{manifest, operations, peer, recovery};
use bindings::harper::plugin::{clock, config, jetstream, log, nats, node, replication, tables};

struct Component;

impl manifest::Guest for Component {
    fn asks() -> manifest::Grants {
        let texts = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect();
        let routes = [HUB_ROUTES, LEAF_ROUTES];
        let records = ["system.hdb_nodes", "system.hdb_intents"];
        manifest::Grants {
            config_read: texts(&routes),
            config_write: texts(&routes),
            nats_request: texts(&["*.__request__"]),
            nats_servers: true,
            jetstream_inspect: texts(&["*/*"]),
            jetstream_purge: texts(&["*/*"]),
            tables_read: texts(&records),
            tables_write: texts(&records),
            tables_create: texts(&["*.*"]),
            tables_describe: true,
            replication: true,
        }
    }
}

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
        crate::recovery::recover(&Imports).await
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
            boot: info.boot,
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

impl needs::JetStream for Imports {
    async fn inspect(
        &self,
        domain: &str,
        stream: &str,
        timeout: Duration,
    ) -> Result<StreamState, JetStreamError> {
        let info = jetstream::inspect(domain.into(), stream.into(), milliseconds(timeout)).await;
        let info = info.map_err(jetstream_error)?;
        Ok(StreamState { last_sequence: info.last_sequence, created: info.created })
    }

    async fn purge(
        &self,
        domain: &str,
        stream: &str,
        extent: Extent,
        timeout: Duration,
    ) -> Result<u64, JetStreamError> {
        let extent = match extent {
            Extent::All => jetstream::Extent::All,
            Extent::Keep(messages) => jetstream::Extent::Keep(messages),
            Extent::Before(sequence) => jetstream::Extent::Before(sequence),
        };
        let timeout = milliseconds(timeout);
        jetstream::purge(domain.into(), stream.into(), extent, timeout)
            .await
            .map_err(jetstream_error)
    }
}

fn jetstream_error(error: jetstream::Error) -> JetStreamError {
    match error {
        jetstream::Error::NotEnabled => JetStreamError::NotEnabled,
        jetstream::Error::NotFound => JetStreamError::NotFound,
        jetstream::Error::Timeout => JetStreamError::Timeout,
        jetstream::Error::Unavailable(text) => JetStreamError::Unavailable(text),
        jetstream::Error::Denied(text)
        | jetstream::Error::InvalidRequest(text)
        | jetstream::Error::Other(text) => JetStreamError::Failed(text),
    }
}

impl needs::Tables for Imports {
    async fn get(
        &self,
        database: &str,
        table: &str,
        key: &str,
    ) -> Result<Option<Row>, TablesError> {
        let row = tables::get(database.into(), table.into(), key.into()).await;
        Ok(row.map_err(tables_error)?.map(read_row))
    }

    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError> {
        let page = tables::list(database.into(), table.into(), after.map(str::to_owned)).await;
        let page = page.map_err(tables_error)?;
        Ok(Page { rows: page.rows.into_iter().map(read_row).collect(), next: page.next })
    }

    async fn put(
        &self,
        database: &str,
        table: &str,
        key: &str,
        record: &str,
        expected: Option<&str>,
    ) -> Result<String, TablesError> {
        let expected = expected.map(str::to_owned);
        let put =
            tables::put(database.into(), table.into(), key.into(), record.into(), expected).await;
        put.map_err(tables_error)
    }

    async fn delete(
        &self,
        database: &str,
        table: &str,
        key: &str,
        expected: &str,
    ) -> Result<(), TablesError> {
        let gone = tables::delete(database.into(), table.into(), key.into(), expected.into()).await;
        gone.map_err(tables_error)
    }

    async fn create(&self, table: &TableInfo) -> Result<(), TablesError> {
        tables::create(write_table(table)).await.map_err(tables_error)
    }

    async fn create_all(&self, tables: &[TableInfo]) -> Result<(), TablesError> {
        let tables = tables.iter().map(write_table).collect();
        tables::create_all(tables).await.map_err(tables_error)
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

fn write_table(table: &TableInfo) -> tables::Table {
    tables::Table {
        database: table.database.clone(),
        name: table.name.clone(),
        hash_attribute: table.hash_attribute.clone(),
        attributes: table.attributes.clone(),
    }
}

fn read_row(row: tables::Row) -> Row {
    Row { key: row.key, revision: row.revision, record: row.value }
}

fn tables_error(error: tables::Error) -> TablesError {
    match error {
        tables::Error::Conflict => TablesError::Conflict,
        tables::Error::ExistsOtherwise(text) => TablesError::ExistsOtherwise(text),
        tables::Error::Denied(text)
        | tables::Error::NotFound(text)
        | tables::Error::InvalidRequest(text)
        | tables::Error::Unavailable(text)
        | tables::Error::Other(text) => TablesError::Failed(text),
    }
}

impl needs::Replication for Imports {
    async fn ensure_streams(&self, tables: &[(&str, &str)]) -> Result<(), ReplicationError> {
        let name = |(database, name): &(&str, &str)| replication::TableName {
            database: (*database).into(),
            name: (*name).into(),
        };
        let tables = tables.iter().map(name).collect();
        replication::ensure_streams(tables).await.map_err(replication_error)
    }

    async fn settle(&self, node: &str, timeout: Duration) -> Result<(), ReplicationError> {
        let settled = replication::settle(node.into(), milliseconds(timeout)).await;
        settled.map_err(replication_error)
    }
}

fn replication_error(error: replication::Error) -> ReplicationError {
    match error {
        replication::Error::NotEnabled => ReplicationError::NotEnabled,
        replication::Error::Unsettled(text) => ReplicationError::Unsettled(text),
        replication::Error::Denied(text)
        | replication::Error::InvalidRequest(text)
        | replication::Error::Unavailable(text)
        | replication::Error::Other(text) => ReplicationError::Failed(text),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
