//! What has to be cut out and put in for an edit.

use super::{
    EditError,
    block::{self, Layout},
    document::{self, Document},
    dotted,
    emit::{self, Style},
    flow,
    locate::{Target, anchor_in_use},
    source::Source,
    tree::{Entry, Kind},
};
use serde_json::Value;
use std::ops::Range;

/// An edit of the text: splices in rising order, and which nodes they remove for good.
#[derive(Default)]
pub(super) struct Plan {
    pub splices: Vec<(Range<usize>, String)>,
    pub removed: Vec<Range<usize>>,
}

impl Plan {
    pub fn splice(range: Range<usize>, text: String) -> Plan {
        Plan { splices: vec![(range, text)], removed: Vec::new() }
    }

    /// The edited text. Whole lines that come to stand at the end of a text without a final newline
    /// take that over.
    pub fn apply(self, source: Source) -> String {
        let eol = source.eol();
        let open_end = source.len() > 0 && !source.0.ends_with(['\n', '\r']);
        let (mut text, mut at) = (String::with_capacity(source.len()), 0);
        for (range, mut new) in self.splices {
            if open_end && range.end == source.len() && new.ends_with(eol) {
                new.truncate(new.len() - eol.len());
                if range.is_empty() {
                    new.insert_str(0, eol);
                }
            }
            text.push_str(source.slice(at..range.start));
            text.push_str(&new);
            at = range.end;
        }
        text + source.slice(at..source.len())
    }

    /// Refuses to remove an anchor that is used by an alias which stays.
    pub fn check_anchors(
        &self,
        source: Source,
        document: &Document,
        path: &[&str],
    ) -> Result<(), EditError> {
        let goes = |at: usize| {
            let next = self.removed.partition_point(|range| range.end <= at);
            self.removed.get(next).is_some_and(|range| range.contains(&at))
        };
        for (target, alias) in document.tree.alias_uses() {
            if goes(document.tree.node(target).first()) && !goes(alias) {
                return Err(anchor_in_use(source, document, target, alias, path));
            }
        }
        Ok(())
    }
}

/// Plans to write `value`, which differs from what stands there, at the target of `path`.
pub(super) fn plan(
    source: Source,
    document: &Document,
    target: Target,
    path: &[&str],
    value: &Value,
) -> Result<Plan, EditError> {
    let tree = &document.tree;
    let layout = Layout::of(source, tree);
    match target {
        Target::Entry { entry, in_flow } => {
            let changed = change(source, document, entry, in_flow, path, value)?;
            let node = tree.node(entry.value);
            if node.tagged && !(value.is_array() && matches!(node.kind, Kind::List { .. })) {
                let line = source.line(node.first());
                return Err(EditError::Tag { path: dotted(path), line });
            }
            Ok(changed
                .unwrap_or_else(|| fill(source, document, layout, entry, in_flow, &[], value)))
        }
        Target::NoKey { map, depth } => Ok(match &tree.node(map).kind {
            Kind::Map { flow: true, entries } => {
                let style = Style::of_map(source, tree, map);
                let text = flow::nested(&path[depth..], value, style);
                flow::add_entry(source, tree, tree.node(map), entries, text, layout)
            }
            Kind::Map { entries, .. } => {
                let key_of = |entry: Option<&Entry>| entry.map_or(0, |e| tree.node(e.key).first());
                let column = source.column(key_of(entries.first()));
                let lines = layout.nested(&path[depth..], value, column, source.eol());
                let end = tree.node(map).end;
                let at = match tree.torn && end == source.len() {
                    true => source.line_start(key_of(entries.last())),
                    false => source.line_end(end),
                };
                Plan::splice(at..at, lines)
            }
            _ => Plan::default(),
        }),
        Target::NullParent { entry: Some(entry), in_flow, depth } => {
            Ok(fill(source, document, layout, entry, in_flow, &path[depth..], value))
        }
        Target::NullParent { entry: None, .. } => {
            let lines = layout.nested(path, value, 0, source.eol());
            Ok(match tree.root.map(|root| tree.node(root)) {
                Some(root) if root.start < root.end => block::replace_null(source, root, lines),
                _ => Plan::splice(tree.end..tree.end, lines),
            })
        }
    }
}

/// Changes a value that is there. `None` when it is null, or an empty list to be written anew.
fn change(
    source: Source,
    document: &Document,
    entry: &Entry,
    in_flow: bool,
    path: &[&str],
    value: &Value,
) -> Result<Option<Plan>, EditError> {
    let tree = &document.tree;
    let node = tree.node(entry.value);
    let old = document::at(&document.json, path).as_array();
    let line = source.line(tree.node(entry.key).first());
    let place = || (dotted(path), node.describe(), line);
    let plan = match (&node.kind, value) {
        _ if node.is_null() => return Ok(None),
        (Kind::List { flow: true, items }, Value::Array(new)) => {
            let bare = items.is_empty() && !source.slice(node.start..node.end).contains('#');
            if bare && !in_flow {
                return Ok(None);
            }
            flow::edit_list(source, tree, entry.value, items, old, new)
        }
        (Kind::List { items, .. }, Value::Array(new)) => {
            block::edit_list(source, tree, entry.value, items, old, new)
        }
        (Kind::List { flow: true, .. }, Value::Null) => {
            let mut plan = Plan::splice(node.start..node.end, "null".to_owned());
            plan.removed.push(node.start..node.end);
            Some(plan)
        }
        (Kind::List { items, .. }, Value::Null) => block::clear(source, tree, node, items),
        (
            Kind::Scalar { .. },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
        ) => {
            let quote = emit::quote_of(source, tree, entry.value);
            let mut text = emit::scalar(value, quote);
            if source.slice(node.start..node.end).ends_with(['\n', '\r']) {
                text.push_str(source.eol());
            }
            Some(Plan::splice(node.start..node.end, text))
        }
        (_, Value::Array(_) | Value::Null) => {
            let (path, found, line) = place();
            return Err(EditError::NotAList { path, found, line });
        }
        _ => {
            let (path, found, line) = place();
            return Err(EditError::NotAScalar { path, found, line });
        }
    };
    match plan {
        Some(plan) => Ok(Some(plan)),
        None => Err(EditError::Unsafe { path: dotted(path) }),
    }
}

/// Writes `value`, below the keys of `rest`, where a null (or an empty list) stands.
fn fill(
    source: Source,
    document: &Document,
    layout: Layout,
    entry: &Entry,
    in_flow: bool,
    rest: &[&str],
    value: &Value,
) -> Plan {
    let tree = &document.tree;
    let node = tree.node(entry.value);
    if in_flow || (rest.is_empty() && !value.is_array()) {
        let style = Style::beside(emit::quote_of(source, tree, entry.key), in_flow);
        let mut text = match rest {
            [] => style.flow(value),
            rest => format!("{{{}}}", flow::nested(rest, value, style)),
        };
        if node.start == node.end {
            text.insert_str(0, if entry.colon { " " } else { ": " });
        }
        return Plan::splice(node.start..node.end, text);
    }
    let column = source.column(tree.node(entry.key).first());
    let lines = match rest {
        [] => layout.items(value, column, source.eol()),
        rest => layout.nested(rest, value, column + layout.step, source.eol()),
    };
    block::replace_null(source, node, lines)
}
