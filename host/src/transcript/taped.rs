//! Capabilities whose calls are written down, or answered from what was.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::bytes;
use super::lines::Answer;
use super::recorder::{Tape, hide};
use super::script::Script;
use crate::capabilities::node::milliseconds;
use crate::capabilities::{
    BoxFuture, Capabilities, Change, Clock, Config, ConfigError, Durable, Entry, Extent, Held,
    JetStream, JetStreamError, KeyPath, Level, Log, Nats, NatsError, Node, NodeInfo, Page,
    Replication, ReplicationError, Row, ServerInfo, Snapshot, StreamInfo, TableInfo, TableName,
    Tables, TablesError, ThisNode,
};
use crate::json::may_be_secret;

/// All capabilities of one call.
pub(super) struct Taped(Source);

enum Source {
    /// They are asked, and it is written down.
    Recording { capabilities: Capabilities, tape: Arc<Tape> },
    /// Nobody is asked.
    Replaying(Arc<Script>),
}

impl Taped {
    pub(super) fn recording(capabilities: Capabilities, tape: Arc<Tape>) -> Capabilities {
        Self(Source::Recording { capabilities, tape }).all()
    }

    pub(super) fn replaying(script: Arc<Script>) -> Capabilities {
        Self(Source::Replaying(script)).all()
    }

    fn all(self) -> Capabilities {
        let this = Arc::new(self);
        Capabilities {
            config: this.clone(),
            log: this.clone(),
            clock: this.clone(),
            node: this.clone(),
            nats: this.clone(),
            jetstream: this.clone(),
            tables: this.clone(),
            replication: this,
        }
    }

    /// A function that waits.
    async fn wait<T: Taking, E: Failing>(
        &self,
        function: &str,
        arguments: Value,
        ask: impl AsyncFnOnce(&Capabilities) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.0 {
            Source::Recording { capabilities, tape } => {
                let number = tape.call(function, arguments);
                let answer = ask(capabilities).await;
                tape.answer(number, answer.as_ref().map(T::shown).map_err(value));
                answer
            }
            Source::Replaying(script) => {
                let mut arguments = arguments;
                hide(&mut arguments);
                let answer = script.ask(function, &arguments).await;
                let read = match answer {
                    Some(Answer::Ok(ok)) => T::read(ok).map(Ok),
                    Some(Answer::Error(error)) => serde_json::from_value(error).ok().map(Err),
                    None => None,
                };
                read.unwrap_or_else(|| Err(E::other("The transcript has no answer to this".into())))
            }
        }
    }

    /// A function that does not wait; where the transcript has no answer, it is `otherwise`.
    fn at_once<T: Serialize + DeserializeOwned>(
        &self,
        function: &str,
        arguments: Value,
        otherwise: impl FnOnce() -> T,
        ask: impl FnOnce(&Capabilities) -> T,
    ) -> T {
        match &self.0 {
            Source::Recording { capabilities, tape } => {
                let answer = ask(capabilities);
                tape.at_once(function, arguments, value(&answer));
                answer
            }
            Source::Replaying(script) => {
                let mut arguments = arguments;
                hide(&mut arguments);
                let answer = script.ask_at_once(function, &arguments);
                let read = answer.and_then(|answer| serde_json::from_value(answer).ok());
                read.unwrap_or_else(otherwise)
            }
        }
    }
}

fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// What a function answers, as transcripts have it.
trait Taking: Sized {
    fn shown(&self) -> Value;
    fn read(value: Value) -> Option<Self>;
}

impl<T: Serialize + DeserializeOwned> Taking for T {
    fn shown(&self) -> Value {
        value(self)
    }

    fn read(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}

/// An error, as transcripts have it.
trait Failing: Serialize + DeserializeOwned {
    fn other(text: String) -> Self;
}

macro_rules! failing {
    ($($error:ty),*) => {
        $(impl Failing for $error {
            fn other(text: String) -> Self {
                Self::Other(text)
            }
        })*
    };
}

failing!(ConfigError, NatsError, JetStreamError, TablesError, ReplicationError);

/// Bytes that others send.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Shown(Value);

impl Shown {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes::to_json(bytes))
    }
}

impl Config for Taped {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        Box::pin(async {
            let (snapshot, _) = self.read(paths, false).await?;
            Ok(snapshot)
        })
    }

    fn get_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, Result<(Snapshot, Option<Durable>), ConfigError>> {
        Box::pin(self.read(paths, true))
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        let shown = changes.iter().map(|change| {
            let value = hidden_at(&change.path, change.value.clone());
            json!({ "path": change.path.to_string(), "value": value })
        });
        let arguments = json!({ "expected": expected, "changes": shown.collect::<Vec<_>>() });
        Box::pin(self.wait("config.set", arguments, async move |capabilities| {
            capabilities.config.set(expected, changes).await
        }))
    }
}

/// What is read of the configuration, its secrets hidden when it is shown.
struct OfConfig {
    snapshot: Snapshot,
    paths: Vec<KeyPath>,
}

impl Taped {
    async fn read(
        &self,
        paths: Vec<KeyPath>,
        to_change: bool,
    ) -> Result<(Snapshot, Option<Durable>), ConfigError> {
        let names: Vec<_> = paths.iter().map(ToString::to_string).collect();
        let arguments = json!({ "paths": names });
        let mut durable = None;
        let read = match &self.0 {
            Source::Recording { capabilities, tape } => {
                let number = tape.call("config.get", arguments);
                let config = &capabilities.config;
                let answer = match to_change {
                    true => config.get_to_change(paths.clone()).await,
                    false => config.get(paths.clone()).await.map(|snapshot| (snapshot, None)),
                };
                let shown = answer
                    .as_ref()
                    .map(|(snapshot, _)| OfConfig { snapshot: snapshot.clone(), paths }.shown());
                tape.answer(number, shown.map_err(value));
                answer.map(|(snapshot, early)| {
                    durable = early.map(|early| noted(early, tape.clone()));
                    snapshot
                })
            }
            Source::Replaying(script) => {
                if to_change && let Some(error) = script.not_durable() {
                    let error = serde_json::from_value(error).unwrap_or(ConfigError::Conflict);
                    durable = Some(Box::pin(std::future::ready(Err(error))));
                }
                self.wait("config.get", arguments, async |_| {
                    Err(ConfigError::Other("Nobody is asked".into()))
                })
                .await
            }
        };
        read.map(|snapshot| (snapshot, durable))
    }
}

impl OfConfig {
    fn shown(self) -> Value {
        let Self { mut snapshot, paths } = self;
        let values = std::mem::take(&mut snapshot.values);
        snapshot.values =
            paths.iter().zip(values).map(|(at, value)| hidden_at(at, value)).collect();
        value(&snapshot)
    }
}

/// A value of the configuration, unless it stands at a key of a secret.
fn hidden_at(path: &KeyPath, value: Value) -> Value {
    let path = path.to_string();
    match path.rsplit('.').next().is_some_and(may_be_secret) && !value.is_null() {
        true => "********".into(),
        false => value,
    }
}

fn noted(durable: Durable, tape: Arc<Tape>) -> Durable {
    Box::pin(async move {
        let written = durable.await;
        if let Err(error) = &written {
            tape.not_durable(value(error));
        }
        written
    })
}

impl Log for Taped {
    fn write(&self, entry: &Entry<'_>) {
        let level = match entry.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let arguments = json!({ "level": level, "message": entry.message });
        self.at_once("log.write", arguments, || (), |capabilities| capabilities.log.write(entry));
    }
}

impl Clock for Taped {
    fn now(&self) -> u64 {
        self.at_once("clock.now", json!({}), || 0, |capabilities| capabilities.clock.now())
    }

    fn monotonic(&self) -> u64 {
        let ask = |capabilities: &Capabilities| capabilities.clock.monotonic();
        self.at_once("clock.monotonic", json!({}), || 0, ask)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        let arguments = json!({ "duration": milliseconds(duration) });
        Box::pin(async move {
            let slept = self.wait("clock.sleep", arguments, async |capabilities| {
                capabilities.clock.sleep(duration).await;
                Ok::<_, NatsError>(())
            });
            // It cannot fail; a sleep that the transcript does not have is none.
            let _ = slept.await;
        })
    }
}

impl Node for Taped {
    fn info(&self) -> NodeInfo {
        let otherwise = || ThisNode::new(None).info();
        self.at_once("node.get", json!({}), otherwise, |capabilities| capabilities.node.info())
    }
}

impl Nats for Taped {
    fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, NatsError>> {
        let arguments = json!({
            "subject": subject,
            "payload": bytes::to_json(&payload),
            "timeout": milliseconds(timeout),
        });
        Box::pin(async move {
            let mut whole = None;
            let asked = self.wait("nats.request", arguments, async |capabilities| {
                let answer = capabilities.nats.request(subject, payload, timeout).await?;
                let shown = Shown::of(&answer);
                whole = Some(answer);
                Ok::<_, NatsError>(shown)
            });
            let shown = asked.await?;
            let unreadable = || NatsError::Other("The transcript's answer is no bytes".into());
            match whole {
                Some(answer) => Ok(answer),
                None => bytes::from_json(&shown.0).ok_or_else(unreadable),
            }
        })
    }

    fn servers(&self, timeout: Duration) -> BoxFuture<'_, Result<Vec<ServerInfo>, NatsError>> {
        let arguments = json!({ "timeout": milliseconds(timeout) });
        Box::pin(self.wait("nats.servers", arguments, async move |capabilities| {
            capabilities.nats.servers(timeout).await
        }))
    }
}

impl JetStream for Taped {
    fn inspect(
        &self,
        domain: String,
        stream: String,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<StreamInfo, JetStreamError>> {
        let timeout_shown = milliseconds(timeout);
        let arguments = json!({ "domain": domain, "stream": stream, "timeout": timeout_shown });
        Box::pin(self.wait("jetstream.inspect", arguments, async move |capabilities| {
            capabilities.jetstream.inspect(domain, stream, timeout).await
        }))
    }

    fn purge(
        &self,
        domain: String,
        stream: String,
        extent: Extent,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64, JetStreamError>> {
        let arguments = json!({
            "domain": domain,
            "stream": stream,
            "extent": value(&extent),
            "timeout": milliseconds(timeout),
        });
        Box::pin(self.wait("jetstream.purge", arguments, async move |capabilities| {
            capabilities.jetstream.purge(domain, stream, extent, timeout).await
        }))
    }
}

impl Tables for Taped {
    fn get(
        &self,
        table: TableName,
        key: String,
    ) -> BoxFuture<'_, Result<Option<Row>, TablesError>> {
        let arguments = json!({ "table": table.to_string(), "key": key });
        Box::pin(self.wait("tables.get", arguments, async move |capabilities| {
            capabilities.tables.get(table, key).await
        }))
    }

    fn list(
        &self,
        table: TableName,
        after: Option<String>,
    ) -> BoxFuture<'_, Result<Page, TablesError>> {
        let arguments = json!({ "table": table.to_string(), "after": after });
        Box::pin(self.wait("tables.list", arguments, async move |capabilities| {
            capabilities.tables.list(table, after).await
        }))
    }

    fn put(
        &self,
        table: TableName,
        key: String,
        record: String,
        expected: Option<String>,
    ) -> BoxFuture<'_, Result<String, TablesError>> {
        let shown: Value = serde_json::from_str(&record).unwrap_or_default();
        let arguments = json!({
            "table": table.to_string(), "key": key, "record": shown, "expected": expected,
        });
        Box::pin(self.wait("tables.put", arguments, async move |capabilities| {
            capabilities.tables.put(table, key, record, expected).await
        }))
    }

    fn delete(
        &self,
        table: TableName,
        key: String,
        expected: String,
    ) -> BoxFuture<'_, Result<(), TablesError>> {
        let arguments = json!({ "table": table.to_string(), "key": key, "expected": expected });
        Box::pin(self.wait("tables.delete", arguments, async move |capabilities| {
            capabilities.tables.delete(table, key, expected).await
        }))
    }

    fn create(&self, table: TableInfo) -> BoxFuture<'_, Result<(), TablesError>> {
        let arguments = json!({
            "table": table.name.to_string(),
            "hash_attribute": table.hash_attribute,
            "attributes": table.attributes,
        });
        Box::pin(self.wait("tables.create", arguments, async move |capabilities| {
            capabilities.tables.create(table).await
        }))
    }

    fn create_all(&self, tables: Vec<TableInfo>) -> BoxFuture<'_, Result<(), TablesError>> {
        let shown = |table: &TableInfo| {
            json!({
                "table": table.name.to_string(),
                "hash_attribute": table.hash_attribute,
                "attributes": table.attributes,
            })
        };
        let arguments = json!({ "tables": tables.iter().map(shown).collect::<Vec<_>>() });
        Box::pin(self.wait("tables.create_all", arguments, async move |capabilities| {
            capabilities.tables.create_all(tables).await
        }))
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<TableInfo>, TablesError>> {
        Box::pin(self.wait("tables.describe", json!({}), async move |capabilities| {
            capabilities.tables.describe().await
        }))
    }
}

impl Replication for Taped {
    fn ensure_streams(
        &self,
        tables: Vec<TableName>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Held, ReplicationError>> {
        let names: Vec<_> = tables.iter().map(ToString::to_string).collect();
        let arguments = json!({ "tables": names, "timeout": milliseconds(timeout) });
        Box::pin(async move {
            let mut held: Held = Box::new(());
            let made = self.wait("replication.ensure-streams", arguments, async |capabilities| {
                held = capabilities.replication.ensure_streams(tables, timeout).await?;
                Ok::<_, ReplicationError>(())
            });
            made.await?;
            Ok(held)
        })
    }

    fn settle(
        &self,
        node: String,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ReplicationError>> {
        let arguments = json!({ "node": node, "timeout": milliseconds(timeout) });
        Box::pin(self.wait("replication.settle", arguments, async move |capabilities| {
            capabilities.replication.settle(node, timeout).await
        }))
    }
}
