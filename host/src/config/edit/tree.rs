//! The document as a tree of nodes that know where they stand in the text.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

pub(super) type NodeId = usize;

pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub root: Option<NodeId>,
    /// Where the document ends: at `...` or at the end of the text.
    pub end: usize,
    /// Where block scalars with `+` end: they own the blank lines that follow them.
    pub keep_ends: HashSet<usize>,
    /// Whether the text ends in a block scalar without a final newline; one would change it.
    pub torn: bool,
    /// The node of each anchor, by the parser's number for it.
    pub anchors: HashMap<usize, NodeId>,
}

pub(super) struct Node {
    pub kind: Kind,
    /// Behind the indicator that leads to the node: where an implied null would be written.
    pub from: usize,
    pub props: Option<Range<usize>>,
    pub tagged: bool,
    pub start: usize,
    pub end: usize,
    /// Roughly how many bytes it is with all aliases written out; 0 until it is complete.
    pub weight: usize,
}

pub(super) enum Kind {
    Scalar { text: String, plain: bool },
    Alias(NodeId),
    List { flow: bool, items: Vec<Item> },
    Map { flow: bool, entries: Vec<Entry> },
}

/// A list item; `dash` means something in block lists only.
pub(super) struct Item {
    pub dash: usize,
    pub node: NodeId,
}

pub(super) struct Entry {
    pub key: NodeId,
    pub value: NodeId,
    pub explicit: bool,
    pub colon: bool,
}

impl Node {
    /// Where the node begins, its anchor and tag included.
    pub fn first(&self) -> usize {
        self.props.as_ref().map_or(self.start, |props| props.start)
    }

    /// Behind the properties, or behind the indicator when there are none.
    pub fn content_from(&self) -> usize {
        self.props.as_ref().map_or(self.from, |props| props.end)
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn describe(&self) -> &'static str {
        match self.kind {
            _ if self.is_null() => "null",
            Kind::Scalar { .. } => "a single value",
            Kind::Alias(_) => "an alias",
            Kind::List { .. } => "a list",
            Kind::Map { .. } => "a mapping",
        }
    }
}

impl Tree {
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The entry of a mapping whose key reads as `key`.
    pub fn entry<'t>(&'t self, entries: &'t [Entry], key: &str) -> Option<&'t Entry> {
        entries.iter().find(|entry| self.key_text(entry.key) == Some(key))
    }

    pub fn key_text(&self, key: NodeId) -> Option<&str> {
        match &self.node(key).kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Alias(target) => match &self.node(*target).kind {
                Kind::Scalar { text, .. } => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Each anchored node with each place where an alias refers to it.
    pub fn alias_uses(&self) -> impl Iterator<Item = (NodeId, usize)> {
        self.nodes.iter().filter_map(|node| match node.kind {
            Kind::Alias(target) => Some((target, node.start)),
            _ => None,
        })
    }
}
