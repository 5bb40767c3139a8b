//! What is stored while an operation changes the record of a node, in `system.hdb_intents`.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ANSWERED, ATTEMPTS, Errand, WAIT, WHOLE, merge, undo};
use crate::capabilities::{Capabilities, Log, NodeInfo, Row, TableInfo, Tables, TablesError};
use crate::nodes::{NodeRecord, all_rows, text};
use crate::operation::Error;

const DATABASE: &str = "system";
const TABLE: &str = "hdb_intents";

/// Beyond [`WHOLE`], until a call is surely over: what has been begun is finished.
const MARGIN: Duration = Duration::from_secs(10);

/// What an operation is about to do to the record of a node, and how it is brought to an end by
/// others if the operation is not there to do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The node.
    pub node: String,
    /// The operation.
    pub operation: String,
    /// What the other node knows the change by.
    #[serde(default)]
    pub change: String,
    /// The change that this one is a part of, of many nodes. Without the intent of that name for this
    /// node itself, which is stored when those of all nodes are, nothing has been done yet.
    #[serde(default)]
    pub part_of: Option<String>,
    /// The run of the host in which somebody works at this.
    pub boot: u64,
    /// Until this uptime of that run, in milliseconds.
    pub until: u64,
    /// Where to.
    pub direction: Direction,
    /// The record before; null if there was none. What other nodes change meanwhile is entered.
    pub before: Option<NodeRecord>,
    /// The record after; null if there will be none. What other nodes change meanwhile is entered
    /// when this is where it goes.
    pub after: Option<NodeRecord>,
    /// The tables, each with its database, of which the other node may have been told something.
    #[serde(default)]
    pub keys: Vec<(String, String)>,
    /// What the other node is told, forward.
    #[serde(default)]
    pub told: Vec<Value>,
    /// Tables that are made on this node in the end, forward.
    #[serde(default)]
    pub tables: Vec<TableInfo>,
    /// Whether a request may still reach the other node, or be worked at there, that has been given
    /// up here.
    #[serde(default)]
    pub at_large: bool,
    /// When, in milliseconds of the uptime of `boot`, the other node was told of the state that it
    /// is brought to, while a request was at large.
    #[serde(default)]
    pub told_at: Option<u64>,
    /// How often the other node has refused to be told.
    #[serde(default)]
    pub refused: u32,
}

/// How an intent ends that its operation does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The state before.
    Backward,
    /// The state after.
    Forward,
}

/// An intent, and the state that it was read in.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredIntent {
    /// What it says.
    pub intent: Intent,
    /// Its revision.
    pub revision: String,
}

impl Intent {
    /// One that the running call works at.
    pub fn new<H: Capabilities>(
        errand: &Errand<'_, H>,
        direction: Direction,
        before: Option<NodeRecord>,
        after: Option<NodeRecord>,
    ) -> Self {
        let keys = merge::touched(before.as_ref(), after.as_ref()).into_iter();
        let keys = keys.map(|(schema, table)| (schema.to_owned(), table.to_owned())).collect();
        let mut intent = Self {
            node: errand.node.into(),
            operation: errand.operation.into(),
            change: errand.change(),
            part_of: None,
            boot: 0,
            until: 0,
            direction,
            before,
            after,
            keys,
            told: Vec::new(),
            tables: Vec::new(),
            at_large: true,
            told_at: None,
            refused: 0,
        };
        intent.hold(&errand.host.info());
        intent
    }

    /// Somebody works at it from now on, in a call of its own.
    fn hold(&mut self, this: &NodeInfo) {
        self.boot = this.boot;
        self.until = milliseconds(this.uptime + WHOLE + MARGIN);
    }

    /// Nobody works at it any more.
    pub fn let_go(&mut self) {
        self.until = 0;
    }

    /// Whether somebody may be working at it.
    fn is_held(&self, this: &NodeInfo) -> bool {
        self.boot == this.boot && milliseconds(this.uptime) < self.until
    }

    /// Whether whatever the other node once got is no longer worked at. It may have got it when it
    /// was first heard again, and not earlier.
    fn is_quiet(&self, this: &NodeInfo) -> bool {
        let told = self.told_at.filter(|_| self.boot == this.boot);
        told.is_none_or(|at| milliseconds(this.uptime) >= at + milliseconds(ANSWERED))
    }

    /// All intents. One that cannot be read is warned of and left alone.
    pub async fn all(host: &(impl Tables + Log)) -> Result<Vec<StoredIntent>, Error> {
        let rows = all_rows(host, DATABASE, TABLE).await?;
        Ok(rows.into_iter().filter_map(|row| read(host, row)).collect())
    }

    /// The nodes for which there is one.
    pub async fn nodes(host: &impl Tables) -> Result<HashSet<String>, Error> {
        let rows = all_rows(host, DATABASE, TABLE).await?;
        Ok(rows.into_iter().map(|row| row.key).collect())
    }

    /// The intent for a node.
    pub async fn get(
        host: &(impl Tables + Log),
        node: &str,
    ) -> Result<Option<StoredIntent>, Error> {
        Ok(host.get(DATABASE, TABLE, node).await?.and_then(|row| read(host, row)))
    }

    /// Stores it, if what is there now is at `expected`; nothing without.
    pub async fn put(
        &self,
        host: &impl Tables,
        expected: Option<&str>,
    ) -> Result<String, TablesError> {
        host.put(DATABASE, TABLE, &self.node, &text(self), expected).await
    }

    /// Changes the intent for a node that the caller holds, against requests of other nodes that
    /// enter their changes.
    pub async fn alter<H: Capabilities>(
        errand: &Errand<'_, H>,
        change: impl Fn(&mut Self),
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = Self::get(errand.host, errand.node).await? else {
                return Ok(());
            };
            change(&mut stored.intent);
            match stored.intent.put(errand.host, Some(&stored.revision)).await {
                Err(TablesError::Conflict) => {}
                put => return Ok(put.map(drop)?),
            }
        }
        Err(TablesError::Conflict.into())
    }

    /// Removes the intent for a node that the caller holds.
    pub async fn end<H: Capabilities>(errand: &Errand<'_, H>) -> Result<(), Error> {
        Self::end_of(errand, None).await
    }

    /// The same of one that is probably still at this revision.
    pub async fn end_of<H: Capabilities>(
        errand: &Errand<'_, H>,
        mut revision: Option<String>,
    ) -> Result<(), Error> {
        let (host, node) = (errand.host, errand.node);
        for _ in 0..=ATTEMPTS {
            let now = match revision.take() {
                None => Tables::revision(host, DATABASE, TABLE, node).await?,
                known => known,
            };
            let Some(now) = now else { return Ok(()) };
            match host.delete(DATABASE, TABLE, node, &now).await {
                Err(TablesError::Conflict) => {}
                gone => return Ok(gone?),
            }
        }
        Err(TablesError::Conflict.into())
    }
}

/// The change of many nodes that is called `change` has begun: its parts are on their own now.
pub async fn release_parts<H: Capabilities>(
    errand: &Errand<'_, H>,
    change: &str,
) -> Result<(), Error> {
    for StoredIntent { intent, .. } in Intent::all(errand.host).await? {
        if intent.part_of.as_deref() == Some(change) {
            Intent::alter(&errand.with(&intent.node), |part| part.part_of = None).await?;
        }
    }
    Intent::end(&errand.with(errand.own)).await
}

impl StoredIntent {
    /// Takes it over from whoever no longer works at it. None if somebody does, or was faster, or if
    /// it is too early to tell the other node once more.
    pub async fn claim<H: Capabilities>(
        mut self,
        errand: &Errand<'_, H>,
    ) -> Result<Option<Self>, Error> {
        let this = errand.host.info();
        if self.intent.is_held(&this) || !self.intent.is_quiet(&this) {
            return Ok(None);
        }
        if self.intent.boot != this.boot {
            self.intent.told_at = None;
        }
        self.intent.hold(&this);
        match self.intent.put(errand.host, Some(&self.revision)).await {
            Ok(revision) => Ok(Some(Self { revision, ..self })),
            Err(TablesError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits until no operation of this node is under way on the record of that one. What an earlier one
/// has left is brought to its end first; if the other node cannot be told of it, what is left is
/// returned, held by the caller.
pub async fn wait_for_others<H: Capabilities>(
    errand: &Errand<'_, H>,
) -> Result<Option<StoredIntent>, Error> {
    let host = errand.host;
    let end = super::now(host) + errand.time.at_most(host, WAIT);
    loop {
        let Some(stored) = Intent::get(host, errand.node).await? else { return Ok(None) };
        if let Some(stored) = stored.claim(errand).await?
            && undo::resolve(errand, &stored.intent).await? == undo::Ended::NotTold
        {
            return Intent::get(host, errand.node).await;
        }
        if super::now(host) >= end {
            return Err(under_way(errand.node));
        }
        errand.pause().await;
    }
}

/// Another operation has not ended in time.
pub fn under_way(node: &str) -> Error {
    Error::Conflict(format!("Another operation on node '{node}' is under way"))
}

fn read(host: &impl Log, row: Row) -> Option<StoredIntent> {
    match serde_json::from_str(&row.record) {
        Ok(intent) => Some(StoredIntent { intent, revision: row.revision }),
        Err(error) => {
            host.warn(&format!("An intent in {DATABASE}.{TABLE} cannot be read: {error}"));
            None
        }
    }
}

/// As intents have times.
pub fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
