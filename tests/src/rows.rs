//! Rows that go from node to node.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use harper_host::TableName;
use harper_host::data::{Data, Search};
use harper_host::store::Store;
use harper_wire::names;
use serde_json::{Value, json};

use crate::nats::{NatsNode, eventually};
use crate::nodes::ClusterNode;

/// `dev.dog`, which the tests are about.
pub fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

impl ClusterNode {
    /// Inserts rows of these ids into `dev.dog`, in one request.
    ///
    /// # Errors
    /// It is refused.
    pub async fn insert(&self, ids: impl IntoIterator<Item = u64>) -> Result<()> {
        let records: Vec<_> = ids.into_iter().map(|id| json!({ "id": id, "n": id })).collect();
        self.send(json!({
            "operation": "insert", "database": "dev", "table": "dog", "records": records,
        }))
        .await?;
        Ok(())
    }

    /// The same, with a request for each.
    ///
    /// # Errors
    /// One is refused.
    pub async fn insert_each(&self, ids: impl IntoIterator<Item = u64>) -> Result<()> {
        for id in ids {
            self.insert([id]).await?;
        }
        Ok(())
    }

    /// The rows of `dev.dog`.
    ///
    /// # Errors
    /// There is no such table.
    pub async fn dogs(&self) -> Result<Vec<Value>> {
        let rows: Vec<_> =
            self.data.search(&dog(), Search::new("id", "*")).await?.try_concat().await?;
        Ok(rows.into_iter().map(Value::Object).collect())
    }

    /// Their ids.
    ///
    /// # Errors
    /// There is no such table, or an id is no whole number.
    pub async fn ids(&self) -> Result<BTreeSet<u64>> {
        let id = |row: Value| row["id"].as_u64().context("a whole number");
        self.dogs().await?.into_iter().map(id).collect()
    }

    /// Waits until these are the ids of the rows in `dev.dog`, and no others.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn comes_to_have(&self, ids: impl IntoIterator<Item = u64>) -> Result<()> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let is_so = async || self.ids().await.is_ok_and(|found| found == ids);
        if eventually("the rows are there", is_so).await.is_ok() {
            return Ok(());
        }
        let (name, found) = (self.name(), self.ids().await?);
        bail!("{name} has not come to have the rows {ids:?}: it has {found:?}")
    }

    /// What the node's figures say of `dev.dog` of another node.
    ///
    /// # Errors
    /// There is no such subscription.
    pub async fn figures_of(&self, node: &str) -> Result<Value> {
        let status = self.send(json!({ "operation": "replication_status" })).await?;
        let all = status["subscriptions"].as_array().context("subscriptions")?;
        let is_it = |one: &&Value| one["node_name"] == node && one["table"] == "dog";
        Ok(all.iter().find(is_it).context("no such subscription")?.clone())
    }

    /// Waits until all that was written is published: then the change log is empty.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn is_published(&self) -> Result<()> {
        eventually("all is published", async || {
            self.data.changes(0, 1).await.is_ok_and(|log| log.changes.is_empty())
        })
        .await
    }

    /// Waits until all that is in the other node's stream has been seen to.
    ///
    /// # Errors
    /// It has not in time.
    pub async fn is_current(&self, node: &str) -> Result<()> {
        eventually("the subscription is current", async || {
            self.figures_of(node).await.is_ok_and(|one| one["state"] == "current")
        })
        .await
    }

    /// Puts bytes into this node's stream of `dev.dog`, as they are.
    ///
    /// # Errors
    /// There is no such stream.
    pub async fn publish_bytes(&self, bytes: Vec<u8>) -> Result<u64> {
        let context = self.servers.nats.jetstream(&names::domain(self.name()));
        let subject = names::subject("dev", "dog", self.name());
        Ok(context.publish(subject, bytes.into()).await?.await?.sequence)
    }

    /// Ends all of it but its servers, and waits until its database is let go.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn halt(self) -> Result<NatsNode> {
        let servers = self.end();
        eventually("the database is let go", async || Store::open(servers.folder()).await.is_ok())
            .await?;
        Ok(servers)
    }
}

/// All dead letters.
///
/// # Errors
/// They cannot be read.
pub async fn dead_letters(data: &Data) -> Result<Vec<harper_host::data::DeadLetter>> {
    let letters = data.dead_letters(0, 1000).await?;
    ensure!(letters.len() < 1000, "too many");
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}
