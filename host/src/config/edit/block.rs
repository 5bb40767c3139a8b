//! Edits in block style: whole lines come and go.
//!
//! An item owns the lines from its dash to where its last value ends, the comment there included.
//! Comment lines and blank lines above an item are the list's: they stay when the item goes.

use super::{
    diff,
    emit::Style,
    plan::Plan,
    source::Source,
    tree::{Item, Kind, Node, NodeId, Tree},
};
use serde_json::Value;
use std::{collections::HashMap, ops::Range};

/// How far the file indents.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// A mapping in a mapping.
    pub step: usize,
    /// A list in a mapping; 0 when dashes stand below the first letter of the key.
    list: usize,
}

impl Layout {
    /// As the first nested mapping and the first list have it.
    pub fn of(source: Source, tree: &Tree) -> Layout {
        let (mut step, mut list) = (None, None);
        for node in &tree.nodes {
            let Kind::Map { flow: false, entries } = &node.kind else {
                continue;
            };
            for entry in entries {
                let value = tree.node(entry.value);
                let column = source.column(tree.node(entry.key).first());
                let offset = source.column(value.start).checked_sub(column);
                match value.kind {
                    Kind::Map { flow: false, .. } => step = step.or(offset.filter(|&o| o > 0)),
                    Kind::List { flow: false, .. } => list = list.or(offset),
                    _ => {}
                }
            }
        }
        let step = step.unwrap_or(2);
        Layout { step, list: list.unwrap_or(step) }
    }

    /// The items of a list whose key stands at `column`.
    pub fn items(self, value: &Value, column: usize, eol: &str) -> String {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| Style::DEFAULT.block_item(item, column + self.list, eol)).collect()
    }

    /// The keys of `path`, each below the one before, the first at `column`; then the value.
    pub fn nested(self, path: &[&str], value: &Value, column: usize, eol: &str) -> String {
        let mut lines = String::new();
        for (depth, key) in path.iter().enumerate() {
            let column = column + depth * self.step;
            lines += &format!("{:column$}{}:", "", Style::DEFAULT.key(key));
            lines += &match value {
                _ if depth + 1 < path.len() => eol.to_owned(),
                Value::Array(_) => eol.to_owned() + &self.items(value, column, eol),
                value => format!(" {}{eol}", Style::DEFAULT.flow(value)),
            };
        }
        lines
    }
}

/// Turns the items of a block list into `new`. `None` when the text is not as expected.
pub(super) fn edit_list(
    source: Source,
    tree: &Tree,
    list: NodeId,
    items: &[Item],
    old: Option<&Vec<Value>>,
    new: &[Value],
) -> Option<Plan> {
    let old = old.filter(|old| old.len() == items.len())?;
    let lines = items.iter().map(|item| lines(source, tree, item)).collect::<Option<Vec<_>>>()?;
    let (style, eol) = (Style::of_items(source, tree, list), source.eol());
    let column = source.column(items.first()?.dash);
    let hunks = diff::hunks(old, new);
    let mut moved = Moved::new(old, hunks.iter().map(|hunk| hunk.removed.clone()));

    let mut plan = Plan::default();
    for hunk in hunks {
        let mut texts = Vec::new();
        for value in &new[hunk.added] {
            // A `|+` scalar is written anew: in another place it would take blank lines.
            let from = moved.take(value).and_then(|i| lines.get(i));
            texts.push(match from.filter(|from| !tree.keep_ends.contains(&from.end)) {
                Some(from) => {
                    let text = source.slice(from.clone());
                    let end = if text.ends_with(['\n', '\r']) { "" } else { eol };
                    text.to_owned() + end
                }
                None => style.block_item(value, column, eol),
            });
        }
        let before = hunk.removed.start.checked_sub(1).and_then(|i| lines.get(i));
        if hunk.removed.is_empty() {
            let at = before.map_or_else(|| lines.first().map(|l| l.start), |l| Some(l.end))?;
            plan.splices.push((at..at, texts.concat()));
        }
        // A scalar with `|+` would take blank lines that come to follow it.
        let swallows = texts.is_empty() && before.is_some_and(|l| tree.keep_ends.contains(&l.end));
        let last = hunk.removed.end;
        for i in hunk.removed {
            let mut range = lines.get(i)?.clone();
            if swallows {
                range.end = source.skip_blank_lines(range.end);
            }
            // One for one, so that the comments between still fit; the last takes the rest.
            let take = if i + 1 == last { texts.len() } else { texts.len().min(1) };
            plan.splices.push((range, texts.drain(..take).collect()));
        }
    }
    plan.removed = moved.gone().map(|i| extent(tree, &items[i])).collect();
    Some(plan)
}

/// Turns a block list into null. Its comment lines stay.
pub(super) fn clear(source: Source, tree: &Tree, list: &Node, items: &[Item]) -> Option<Plan> {
    let at = list.content_from();
    let mut plan = Plan::splice(at..at, " null".to_owned());
    for item in items {
        plan.splices.push((lines(source, tree, item)?, String::new()));
        plan.removed.push(extent(tree, item));
    }
    Some(plan)
}

/// Puts `lines` below the place of a null (or an empty list), and takes that out.
pub(super) fn replace_null(source: Source, node: &Node, lines: String) -> Plan {
    let below = source.line_end(node.end);
    if node.start == node.end {
        return Plan::splice(below..below, lines);
    }
    if source.indentation(node.start).is_none() {
        let cut = (node.content_from()..node.end, String::new());
        return Plan { splices: vec![cut, (below..below, lines)], removed: Vec::new() };
    }
    let rest = source.slice(node.end..below);
    if rest.trim().is_empty() {
        return Plan::splice(source.line_start(node.start)..below, lines);
    }
    let comment = below - rest.trim_start().len();
    let cut = (node.start..comment, String::new());
    Plan { splices: vec![cut, (below..below, lines)], removed: Vec::new() }
}

/// The lines that an item owns.
fn lines(source: Source, tree: &Tree, item: &Item) -> Option<Range<usize>> {
    let alone = source.byte(item.dash) == Some(b'-') && source.indentation(item.dash).is_some();
    alone.then(|| source.line_start(item.dash)..source.line_end(tree.node(item.node).end))
}

/// From the item's dash (in flow: its first character) to its end.
pub(super) fn extent(tree: &Tree, item: &Item) -> Range<usize> {
    item.dash..tree.node(item.node).end
}

/// Removed items that may come back in another place, and then keep their text.
pub(super) struct Moved<'v> {
    places: HashMap<&'v Value, Vec<usize>>,
}

impl<'v> Moved<'v> {
    pub fn new(old: &'v [Value], removed: impl Iterator<Item = Range<usize>>) -> Moved<'v> {
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        for i in removed.flatten() {
            places.entry(&old[i]).or_default().push(i);
        }
        // Taken from the end, so that equal items keep their order.
        places.values_mut().for_each(|places| places.reverse());
        Moved { places }
    }

    /// Where the text of an item that reads as `value` is.
    pub fn take(&mut self, value: &Value) -> Option<usize> {
        self.places.get_mut(value)?.pop()
    }

    /// The items that were not taken, in order.
    pub fn gone(self) -> impl Iterator<Item = usize> {
        let mut gone: Vec<_> = self.places.into_values().flatten().collect();
        gone.sort_unstable();
        gone.into_iter()
    }
}
