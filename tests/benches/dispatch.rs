//! An operation through the sandbox, against a bare wasmtime call and the same logic natively.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use harper_clustering::capabilities as needs;
use harper_clustering::operation::handle;
use harper_host::{BoxFuture, Caller, Change, Config, ConfigError, Host, KeyPath, Snapshot};
use serde_json::{Value, json};

use crate::bare::Bare;
use crate::samples::{in_turn, rate};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 41;
const TIME: Duration = Duration::from_millis(50);

/// What the configuration has of the hub's and the leaf's routes.
fn routes() -> [Value; 2] {
    let route = |n: u8| json!({ "host": format!("node-{n}.example.org"), "port": 9932 });
    [(1..=3).map(route).collect(), (4..=5).map(route).collect()]
}

/// A configuration in memory, so that no disk is measured.
struct Memory([Value; 2]);

impl Config for Memory {
    fn get(&self, _: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        let snapshot = Snapshot { revision: "1".into(), values: self.0.to_vec() };
        Box::pin(std::future::ready(Ok(snapshot)))
    }

    fn set(&self, _: String, _: Vec<Change>) -> BoxFuture<'_, Result<String, ConfigError>> {
        Box::pin(std::future::ready(Err(ConfigError::Conflict)))
    }
}

/// The same for the logic without a component around it.
struct Native([Value; 2]);

impl needs::Config for Native {
    async fn get<const N: usize>(
        &self,
        _: [&str; N],
    ) -> Result<needs::Snapshot<N>, needs::ConfigError> {
        let values = self.0.to_vec().try_into().unwrap_or([const { Value::Null }; N]);
        Ok(needs::Snapshot { revision: "1".into(), values })
    }

    async fn set(&self, _: &str, _: &[needs::Change<'_>]) -> Result<(), needs::ConfigError> {
        Err(needs::ConfigError::Conflict)
    }
}

impl needs::Clock for Native {
    fn monotonic(&self) -> u64 {
        0
    }

    async fn sleep(&self, _: Duration) {}
}

impl needs::Log for Native {
    fn warn(&self, _: &str) {}
}

/// Operations on routes need none of what follows.
impl needs::Node for Native {
    fn info(&self) -> needs::NodeInfo {
        needs::NodeInfo::default()
    }
}

impl needs::Nats for Native {
    async fn request(
        &self,
        _: &str,
        _: &[u8],
        _: Duration,
        _: u32,
    ) -> Result<Vec<u8>, needs::NatsError> {
        Err(needs::NatsError::NotEnabled)
    }

    async fn servers(&self, _: Duration) -> Result<Vec<needs::ServerInfo>, needs::NatsError> {
        Err(needs::NatsError::NotEnabled)
    }
}

impl needs::JetStream for Native {
    async fn inspect(
        &self,
        _: &str,
        _: &str,
        _: Duration,
    ) -> Result<needs::StreamState, needs::JetStreamError> {
        Err(needs::JetStreamError::NotEnabled)
    }

    async fn purge(
        &self,
        _: &str,
        _: &str,
        _: needs::Extent,
        _: Duration,
    ) -> Result<u64, needs::JetStreamError> {
        Err(needs::JetStreamError::NotEnabled)
    }
}

impl needs::Replication for Native {
    async fn ensure_streams(&self, _: &[(&str, &str)]) -> Result<(), needs::ReplicationError> {
        Err(needs::ReplicationError::NotEnabled)
    }

    async fn settle(&self, _: &str, _: Duration) -> Result<(), needs::ReplicationError> {
        Err(needs::ReplicationError::NotEnabled)
    }
}

impl needs::Tables for Native {
    async fn get(
        &self,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<Option<needs::Row>, needs::TablesError> {
        Ok(None)
    }

    async fn put(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &Value,
        _: Option<&str>,
    ) -> Result<String, needs::TablesError> {
        Err(needs::TablesError::Conflict)
    }

    async fn delete(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), needs::TablesError> {
        Err(needs::TablesError::Conflict)
    }

    async fn create(&self, _: &needs::TableInfo) -> Result<(), needs::TablesError> {
        Ok(())
    }

    async fn list(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<needs::Page, needs::TablesError> {
        Ok(needs::Page::default())
    }

    async fn describe(&self) -> Result<Vec<needs::TableInfo>, needs::TablesError> {
        Ok(Vec::new())
    }
}

fn native(host: &Native, request: &str) -> Result<String> {
    let request = serde_json::from_str(request)?;
    match pin!(handle(host, &request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(reply)) => Ok(reply.to_string()),
        other => anyhow::bail!("{other:?}"),
    }
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Harper's clients send keys that mean nothing to the operation.
    let request = json!({
        "operation": "cluster_get_routes",
        "hdb_auth_header": "Basic YWRtaW46YSBwYXNzd29yZCBmb3IgYmVuY2htYXJrcyBhbmQgbm90aGluZw==",
    });
    let text = request.to_string();
    let caller = Caller::super_user("admin");
    let builder = Host::builder().config(Memory(routes()));
    let host = runtime.block_on(builder.build())?;
    let bare = Bare::new(routes().map(|list| list.to_string()).to_vec()).map_err(Error::msg)?;
    let fake = Native(routes());

    let call_bare = || {
        let call = async { bare.instance().await?.call(text.clone()).await };
        runtime.block_on(call).map_err(Error::msg)
    };
    let mut kept = runtime.block_on(bare.instance()).map_err(Error::msg)?;
    let mut call_kept = || runtime.block_on(kept.call(text.clone())).map_err(Error::msg);
    let reply = runtime.block_on(host.dispatch(&caller, request.clone()))?.to_string();
    ensure!(call_bare()? == reply, "bare replies something else");
    ensure!(call_kept()? == reply, "bare replies something else the second time");
    ensure!(native(&fake, &text)? == reply, "native replies something else");

    let seconds = |rate: f64| 1.0 / rate;
    let [ours, fresh, kept, natively] = in_turn(
        ROUNDS,
        [
            &mut || {
                let call = async || {
                    host.dispatch(&caller, request.clone()).await.context("dispatch").map(drop)
                };
                rate(TIME, || runtime.block_on(call())).map(seconds)
            },
            &mut || rate(TIME, || call_bare().map(drop)).map(seconds),
            &mut || rate(TIME, || call_kept().map(drop)).map(seconds),
            &mut || rate(TIME, || native(&fake, &text).map(drop)).map(seconds),
        ],
    )?;
    let what = format!("dispatch, {} bytes in, {} out", text.len(), reply.len());
    let unit = Unit::Microseconds;
    let floor = Some(Floor::AtMost(1.3));
    rows.push(Row::against(&what, &ours, "bare wasmtime, fresh call", &fresh, unit, floor));
    rows.push(Row::against(&what, &ours, "bare wasmtime, kept instance", &kept, unit, None));
    rows.push(Row::against(&what, &ours, "the same logic natively", &natively, unit, None));
    Ok(())
}
