//! What must be where in the end.
//!
//! Each write is known, and since when who has subscribed to whom. A node must have, of each key,
//! the largest version of what was written on it, or on a node while it had subscribed there; or a
//! later one: of a node from which there was a way to it. What it has was written exactly like that.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Key, Row, Version};

type Rows = BTreeMap<Key, (Version, Option<Row>)>;

pub(super) struct Model {
    republish: bool,
    writes: BTreeMap<(usize, Key), BTreeMap<Version, Write>>,
    /// Subscriptions, and since which step nothing of them was lost.
    since: BTreeMap<(usize, usize, usize), usize>,
    /// Subscriptions that ever were.
    ever: BTreeSet<(usize, usize, usize)>,
    largest: BTreeMap<usize, Version>,
    has_lost: bool,
}

struct Write {
    node: usize,
    step: usize,
    row: Option<Row>,
}

impl Model {
    pub(super) fn new(republish: bool) -> Self {
        Self {
            republish,
            writes: BTreeMap::new(),
            since: BTreeMap::new(),
            ever: BTreeSet::new(),
            largest: BTreeMap::new(),
            has_lost: false,
        }
    }

    pub(super) fn subscribed(&mut self, node: usize, source: usize, table: usize, step: usize) {
        self.since.insert((node, source, table), step);
        self.ever.insert((node, source, table));
    }

    pub(super) fn unsubscribed(&mut self, node: usize, source: usize, table: usize) {
        self.since.remove(&(node, source, table));
    }

    /// Whether a stream has lost anything.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// What a stream held may have been lost.
    pub(super) fn lost(&mut self, source: usize, table: usize, step: usize) {
        self.has_lost = true;
        for ((_, from, of), since) in &mut self.since {
            if (*from, *of) == (source, table) {
                *since = step;
            }
        }
    }

    pub(super) fn written(
        &mut self,
        node: usize,
        table: usize,
        key: Key,
        version: Version,
        row: Option<Row>,
        step: usize,
    ) -> Result<(), String> {
        if self.largest.get(&node).is_some_and(|last| *last > version) {
            return Err(format!("the version {version} is smaller than one before"));
        }
        self.largest.insert(node, version.clone());
        let writes = self.writes.entry((table, key)).or_default();
        writes.insert(version, Write { node, step, row });
        Ok(())
    }

    /// Fails unless a node's rows of a table are what they must be.
    pub(super) fn check(&self, node: usize, table: usize, rows: &Rows) -> Result<(), String> {
        let ever = self.from(node, table, |_| true, &self.ever.iter().copied().collect::<Vec<_>>());
        let first: Vec<_> =
            self.since.iter().filter(|(_, since)| **since == 0).map(|(edge, _)| *edge).collect();
        let always = self.from(node, table, |_| self.republish, &first);
        for ((_, key), writes) in self.writes.iter().filter(|((of, _), _)| *of == table) {
            let is_due = |write: &Write| {
                let direct = self.since.get(&(node, write.node, table));
                write.node == node
                    || direct.is_some_and(|since| *since <= write.step)
                    || always.contains(&write.node)
            };
            let due = writes.iter().rev().find(|(_, write)| is_due(write));
            let here = rows.get(key);
            if let Some((due, _)) = due
                && here.is_none_or(|(version, _)| version < due)
            {
                let has = here.map(|(version, _)| version.to_string());
                return Err(format!(
                    "n{node} has {has:?} of t{table} {key}, and should have {due}"
                ));
            }
        }
        for (key, (version, row)) in rows {
            let at = format!("{version} of t{table} {key} on n{node}");
            let writes = self.writes.get(&(table, key.clone()));
            let Some(write) = writes.and_then(|writes| writes.get(version)) else {
                return Err(format!("nobody wrote {at}"));
            };
            if write.row != *row {
                return Err(format!("{at} is {row:?}, and was written as {:?}", write.row));
            }
            if write.node != node && !ever.contains(&write.node) {
                return Err(format!("no subscription could bring {at}"));
            }
        }
        Ok(())
    }

    /// From which nodes something may come to one: over one subscription, and over more where
    /// `goes_on` says so.
    fn from(
        &self,
        node: usize,
        table: usize,
        goes_on: impl Fn(usize) -> bool,
        edges: &[(usize, usize, usize)],
    ) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![node];
        while let Some(at) = waiting.pop() {
            if at != node && !goes_on(at) {
                continue;
            }
            for (_, source, _) in edges.iter().filter(|(to, _, of)| (*to, *of) == (at, table)) {
                if found.insert(*source) {
                    waiting.push(*source);
                }
            }
        }
        found
    }
}
