//! Builds the tree from the parser's events.
//!
//! The parser's spans are exact for scalars, brackets and properties, but block collections end at
//! the next token and implied nulls float. So the builder keeps a cursor behind the last exact
//! token, finds the indicators (`-`, `:`, `?`) in the gaps by itself, and lets every node end at
//! the cursor.

use super::{
    EditError,
    source::Source,
    tree::{Entry, Item, Kind, Node, NodeId, Tree},
};
use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// How many bytes, roughly, all aliases of a file may expand to.
const ALIAS_LIMIT: usize = 8 << 20;
/// What a node counts besides its text.
const NODE_WEIGHT: usize = 16;

impl Tree {
    pub fn read(source: Source) -> Result<Tree, EditError> {
        let options = granit_parser::options! { emit_anchor_events: true, emit_comments: false };
        let mut builder = Builder::new(source);
        let mut events = Parser::new_from_str_with_options(source.0, options)
            .map(|event| event.map_err(syntax))
            .peekable();
        let mut documents = 0;
        while let Some(event) = events.next() {
            let (event, span) = event?;
            let range = span.byte_range().unwrap_or(source.len()..source.len());
            match event {
                Event::DocumentStart(explicit, _) => {
                    documents += 1;
                    if documents > 1 {
                        let line = source.line(range.start);
                        return Err(EditError::SeveralDocuments { line });
                    }
                    if explicit {
                        builder.cursor = range.end;
                    }
                }
                Event::DocumentEnd if source.slice(range.clone()) == "..." => {
                    builder.tree.end = range.start;
                }
                Event::SequenceEnd | Event::MappingEnd => builder.close(range),
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..) => {
                    let anchor = events.next_if(|next| matches!(next, Ok((Event::Anchor(..), _))));
                    let anchor = anchor.and_then(|next| next.ok()?.1.byte_range());
                    let tag = span.tag_span().and_then(|tag| tag.byte_range());
                    builder.open(event, range, anchor, tag)?;
                }
                _ => {}
            }
        }
        Ok(builder.tree)
    }
}

/// A collection that is still open.
struct Frame {
    node: NodeId,
    key: Option<Entry>,
    keys: HashSet<String>,
    weight: usize,
}

struct Builder<'a> {
    source: Source<'a>,
    tree: Tree,
    stack: Vec<Frame>,
    cursor: usize,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn new(source: Source<'a>) -> Self {
        let tree = Tree {
            nodes: Vec::new(),
            root: None,
            end: source.len(),
            keep_ends: HashSet::new(),
            torn: false,
            anchors: HashMap::new(),
        };
        Builder { source, tree, stack: Vec::new(), cursor: 0, aliased: 0 }
    }

    /// Adds the node that `event` starts, and finishes it when it is not a collection.
    fn open(
        &mut self,
        event: Event,
        range: Range<usize>,
        anchor: Option<Range<usize>>,
        tag: Option<Range<usize>>,
    ) -> Result<(), EditError> {
        let tagged = event.tag().is_some();
        let props = match (anchor, tag) {
            (Some(a), Some(b)) => Some(a.start.min(b.start)..a.end.max(b.end)),
            (a, b) => a.or(b),
        };
        let implied = range.is_empty() && matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
        let first = match &props {
            Some(props) => props.start,
            None if implied => usize::MAX,
            None => range.start,
        };
        let (indicator, found) = self.step_over_indicator(first);
        let from = self.cursor;
        self.cursor = props.as_ref().map_or(from, |props| props.end);
        let (start, mut weight) = (self.source.skip_gap(self.cursor), NODE_WEIGHT);
        let anchor_id = event.anchor_id();
        let mut leaf = true;
        let (start, kind) = match event {
            Event::Scalar(text, style, ..) => {
                weight += text.len();
                let plain = style == ScalarStyle::Plain;
                let start = match style {
                    _ if implied => self.cursor,
                    ScalarStyle::Literal | ScalarStyle::Folded => {
                        self.cursor = self.block_scalar_end(start, range.end);
                        start
                    }
                    _ => {
                        self.cursor = range.end;
                        range.start
                    }
                };
                (start, Kind::Scalar { text: text.into_owned(), plain })
            }
            Event::Alias(id) => {
                self.cursor = range.end;
                let target = self.tree.anchors.get(&id).copied().unwrap_or_default();
                let expands_to = self.tree.nodes.get(target).map_or(0, |node| node.weight);
                self.aliased = self.aliased.saturating_add(expands_to);
                // A node weighs nothing until it is complete: then the alias stands inside it.
                if expands_to == 0 || self.aliased > ALIAS_LIMIT {
                    let line = self.source.line(range.start);
                    return Err(EditError::AliasBomb { line });
                }
                weight = expands_to;
                (range.start, Kind::Alias(target))
            }
            event => {
                leaf = false;
                let flow = matches!(
                    event,
                    Event::SequenceStart(StructureStyle::Flow, ..)
                        | Event::MappingStart(StructureStyle::Flow, ..)
                );
                self.cursor = if flow { self.cursor.max(range.end) } else { self.cursor };
                let kind = match event {
                    Event::SequenceStart(..) => Kind::List { flow, items: Vec::new() },
                    _ => Kind::Map { flow, entries: Vec::new() },
                };
                (if flow { range.start } else { start }, kind)
            }
        };
        let id = self.tree.nodes.len();
        if let Some(anchor) = anchor_id {
            self.tree.anchors.insert(anchor, id);
        }
        let end = self.cursor;
        self.tree.nodes.push(Node { kind, from, props, tagged, start, end, weight: 0 });
        self.attach(id, indicator, found)?;
        if leaf {
            self.finish(id, weight);
        } else {
            self.stack.push(Frame { node: id, key: None, keys: HashSet::new(), weight });
        }
        Ok(())
    }

    fn close(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.cursor = self.cursor.max(range.end);
        }
        if let Some(frame) = self.stack.pop() {
            self.tree.nodes[frame.node].end = self.cursor;
            self.finish(frame.node, frame.weight);
        }
    }

    fn finish(&mut self, id: NodeId, weight: usize) {
        self.tree.nodes[id].weight = weight;
        if let Some(parent) = self.stack.last_mut() {
            parent.weight = parent.weight.saturating_add(weight);
        }
    }

    /// Moves the cursor behind the `-`, `:` or `?` that leads to a node which begins at `first`.
    /// Returns where the indicator stands and whether there was one.
    fn step_over_indicator(&mut self, first: usize) -> (usize, bool) {
        let (flow, indicator) = match self.stack.last() {
            None => return (self.cursor, false),
            Some(frame) => match &self.tree.nodes[frame.node].kind {
                Kind::List { flow, .. } => (*flow, if *flow { b',' } else { b'-' }),
                Kind::Map { flow, .. } if frame.key.is_none() => (*flow, b'?'),
                _ => (false, b':'),
            },
        };
        let mut at = self.source.skip_gap(self.cursor);
        if flow && self.source.byte(at) == Some(b',') {
            self.cursor = at + 1;
            at = self.source.skip_gap(at + 1);
        }
        let found = at < first && self.source.byte(at) == Some(indicator);
        if found {
            self.cursor = at + 1;
        }
        (at, found)
    }

    /// A block scalar's span ends somewhere in the blanks behind it. Blank lines at its end are its
    /// own only with `+`.
    fn block_scalar_end(&mut self, start: usize, span_end: usize) -> usize {
        let text = self.source.slice(start..span_end);
        self.tree.torn = span_end == self.source.len() && !text.ends_with(['\n', '\r']);
        let header = text.lines().next().unwrap_or_default();
        let keep = header.split('#').next().unwrap_or_default().contains('+');
        if !keep {
            return self.source.line_end(start + text.trim_end().len());
        }
        let lines = text.trim_end_matches([' ', '\t']);
        let end = start + if lines.ends_with(['\n', '\r']) { lines.len() } else { text.len() };
        self.tree.keep_ends.insert(end);
        end
    }

    /// Puts the node into the collection that is open.
    fn attach(&mut self, id: NodeId, dash: usize, found: bool) -> Result<(), EditError> {
        let Some(frame) = self.stack.last_mut() else {
            self.tree.root = Some(id);
            return Ok(());
        };
        if let Some(entry) = frame.key.take() {
            let entry = Entry { value: id, colon: found, ..entry };
            if let Kind::Map { entries, .. } = &mut self.tree.nodes[frame.node].kind {
                entries.push(entry);
            }
        } else if let Kind::List { items, .. } = &mut self.tree.nodes[frame.node].kind {
            items.push(Item { dash, node: id });
        } else {
            frame.key = Some(Entry { key: id, value: id, explicit: found, colon: false });
            if let Some(text) = self.tree.key_text(id).map(str::to_owned)
                && !frame.keys.insert(text)
            {
                let line = self.source.line(self.tree.nodes[id].start);
                return Err(EditError::DuplicateKey { path: self.open_path(), line });
            }
        }
        Ok(())
    }

    /// The path of the node that is being read.
    fn open_path(&self) -> String {
        let names = self.stack.iter().filter_map(|frame| match &self.tree.nodes[frame.node].kind {
            Kind::List { items, .. } => Some(items.len().saturating_sub(1).to_string()),
            Kind::Map { entries, .. } => {
                let entry = frame.key.as_ref().or(entries.last())?;
                self.tree.key_text(entry.key).map(str::to_owned)
            }
            _ => None,
        });
        names.collect::<Vec<_>>().join(".")
    }
}

fn syntax(error: granit_parser::ScanError) -> EditError {
    let at = error.marker();
    EditError::Syntax { line: at.line(), column: at.col() + 1, message: error.info() }
}
