//! What a plugin may do with the network, the streams and the tables, if it is granted.

use std::fmt::Debug;

use serde_json::{Value, json};

use crate::bindings::exports::harper::plugin::operations::Error;
use crate::bindings::harper::plugin::{jetstream, nats, node, replication, tables};

/// Answers are as they came; an error is the name of its case, with its text.
pub(crate) async fn handle(name: &str, request: &Value) -> Result<String, Error> {
    let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
    let optional = |key: &str| request[key].as_str().map(str::to_owned);
    let number = |key: &str, default: u64| request[key].as_u64().unwrap_or(default);
    let timeout = number("timeout", 1000);
    let largest = u32::try_from(number("largest", 1000)).unwrap_or(u32::MAX);
    let ask = || nats::request(text("subject"), text("payload").into_bytes(), timeout, largest);
    match name {
        "node" => {
            let info = node::get();
            reply(Ok::<_, ()>(json!({
                "name": info.name,
                "clustering": info.clustering,
                "ports": [info.ports.clustering, info.ports.operations_api],
                "uptime": info.uptime,
                "boot": info.boot,
            })))
        }
        "nats_request" => reply(ask().await.map(|answer| json!(answer))),
        "nats_request_together" => {
            let asked: Vec<_> = (0..number("amount", 0)).map(|_| Box::pin(ask())).collect();
            for answer in asked {
                drop(answer.await);
            }
            Ok("null".into())
        }
        "nats_servers" => {
            let servers = nats::servers(timeout).await;
            reply(servers.map(|servers| servers.into_iter().map(|s| s.name).collect::<Value>()))
        }
        "jetstream_inspect" => {
            let info = jetstream::inspect(text("domain"), text("stream"), timeout).await;
            reply(info.map(|info| json!([info.messages, info.bytes, info.last_sequence])))
        }
        "jetstream_purge" => {
            let extent = match (request["keep"].as_u64(), request["before"].as_u64()) {
                (Some(keep), _) => jetstream::Extent::Keep(keep),
                (None, Some(sequence)) => jetstream::Extent::Before(sequence),
                (None, None) => jetstream::Extent::All,
            };
            let purged = jetstream::purge(text("domain"), text("stream"), extent, timeout).await;
            reply(purged.map(|purged| json!(purged)))
        }
        "tables_get" => {
            let row = tables::get(text("database"), text("table"), text("key")).await;
            reply(row.map(|row| json!(row.map(|row| (row.revision, row.value)))))
        }
        "tables_list" => {
            let page = tables::list(text("database"), text("table"), optional("after")).await;
            let keys = |page: tables::Page| {
                let keys: Vec<_> = page.rows.into_iter().map(|row| row.key).collect();
                json!({ "keys": keys, "next": page.next })
            };
            reply(page.map(keys))
        }
        "tables_put" => {
            let (database, table, key) = (text("database"), text("table"), text("key"));
            let put = tables::put(database, table, key, text("value"), optional("expected"));
            reply(put.await.map(|revision| json!(revision)))
        }
        "tables_delete" => {
            let (database, table, key) = (text("database"), text("table"), text("key"));
            let deleted = tables::delete(database, table, key, text("expected")).await;
            reply(deleted.map(|()| json!(null)))
        }
        "tables_describe" => {
            let tables = tables::describe().await;
            let names = |tables: Vec<tables::Table>| {
                let name = |table: tables::Table| format!("{}.{}", table.database, table.name);
                tables.into_iter().map(name).collect::<Value>()
            };
            reply(tables.map(names))
        }
        "tables_create" => {
            let table = table(text("database"), text("table"), text("hash_attribute"));
            reply(tables::create(table).await.map(|()| json!(null)))
        }
        "tables_create_all" => {
            let names = request["tables"].as_array().into_iter().flatten();
            let name = |name: &Value| {
                name.as_str()?
                    .split_once('.')
                    .map(|(database, name)| (database.to_owned(), name.to_owned()))
            };
            let all = names
                .filter_map(name)
                .map(|(database, name)| table(database, name, "id".to_owned()));
            reply(tables::create_all(all.collect()).await.map(|()| json!(null)))
        }
        "ensure_streams" => {
            let table = replication::TableName { database: text("database"), name: text("table") };
            reply(replication::ensure_streams(vec![table]).await.map(|()| json!(null)))
        }
        "settle" => {
            let settled = replication::settle(text("node"), timeout).await;
            reply(settled.map(|()| json!(null)))
        }
        _ => Err(Error::Invalid("no such misdeed".into())),
    }
}

fn table(database: String, name: String, hash_attribute: String) -> tables::Table {
    let attributes = vec![hash_attribute.clone()];
    tables::Table { database, name, hash_attribute, attributes }
}

fn reply(answer: Result<Value, impl Debug>) -> Result<String, Error> {
    match answer {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err(Error::Failed(format!("{error:?}"))),
    }
}
