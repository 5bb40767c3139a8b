//! Edits in flow style: a list or mapping in brackets, on one line or on many.

use super::{
    block::{Layout, Moved, extent},
    diff,
    emit::Style,
    plan::Plan,
    source::Source,
    tree::{Entry, Item, Node, NodeId, Tree},
};
use serde_json::Value;
use std::ops::Range;

/// `key: value` for the path's first key, the others as mappings around the value.
pub(super) fn nested(path: &[&str], value: &Value, style: Style) -> String {
    let Some((first, rest)) = path.split_first() else {
        return style.flow(value);
    };
    let opening: String = rest.iter().map(|key| format!("{{{}: ", style.key(key))).collect();
    format!("{}: {opening}{}{}", style.key(first), style.flow(value), "}".repeat(rest.len()))
}

/// Turns the items of a flow list into `new`. `None` when the text is not as expected.
pub(super) fn edit_list(
    source: Source,
    tree: &Tree,
    list: NodeId,
    items: &[Item],
    old: Option<&Vec<Value>>,
    new: &[Value],
) -> Option<Plan> {
    let old = old.filter(|old| old.len() == items.len())?;
    let style = Style::of_items(source, tree, list);
    let hunks = diff::hunks(old, new);
    let mut moved = Moved::new(old, hunks.iter().map(|hunk| hunk.removed.clone()));
    let bodies = items.iter().map(|item| extent(tree, item));
    let brackets = Brackets::of(source, tree.node(list), bodies, 2);

    let mut parts = Vec::new();
    let mut kept = 0;
    for hunk in hunks {
        parts.extend((kept..hunk.removed.start).map(Part::Kept));
        kept = hunk.removed.end;
        for value in &new[hunk.added] {
            parts.push(Part::Added(match moved.take(value) {
                Some(from) => source.slice(extent(tree, &items[from])).to_owned(),
                None => style.flow(value),
            }));
        }
        parts.extend(hunk.removed.map(Part::Removed));
    }
    parts.extend((kept..items.len()).map(Part::Kept));

    let mut plan = brackets.rewrite(&parts);
    plan.removed = moved.gone().map(|i| extent(tree, &items[i])).collect();
    Some(plan)
}

/// Adds an entry to a flow mapping.
pub(super) fn add_entry(
    source: Source,
    tree: &Tree,
    map: &Node,
    entries: &[Entry],
    text: String,
    layout: Layout,
) -> Plan {
    let bodies =
        entries.iter().map(|entry| tree.node(entry.key).first()..tree.node(entry.value).end);
    let brackets = Brackets::of(source, map, bodies, layout.step);
    let mut parts: Vec<_> = (0..entries.len()).map(Part::Kept).collect();
    parts.push(Part::Added(text));
    brackets.rewrite(&parts)
}

/// What becomes of a unit, or a new one.
enum Part {
    Kept(usize),
    Removed(usize),
    Added(String),
}

/// An item with all that belongs to it, in the order of the text.
struct Unit<'a> {
    /// Blanks and comment lines above it.
    head: &'a str,
    body: &'a str,
    /// Up to the comma; behind the last item, up to the end of its line.
    mid: &'a str,
    comma: bool,
    /// From the comma to the end of the line, when nothing but a comment follows there.
    trail: &'a str,
}

/// What stands between two brackets.
struct Brackets<'a> {
    source: Source<'a>,
    inside: Range<usize>,
    /// The rest of the opening bracket's line, when no item follows there.
    lead: &'a str,
    units: Vec<Unit<'a>>,
    tail: &'a str,
    /// The indentation of items that stand on lines of their own.
    indent: Option<String>,
}

impl<'a> Brackets<'a> {
    fn of(
        source: Source<'a>,
        node: &Node,
        bodies: impl Iterator<Item = Range<usize>>,
        step: usize,
    ) -> Self {
        let inside = node.start + 1..node.end.saturating_sub(1);
        let mut at = source.skip_rest_of_line(inside.start);
        let lead = source.slice(inside.start..at);
        let mut units = Vec::new();
        let mut indents = Vec::new();
        for body in bodies {
            indents.push(source.indentation(body.start));
            let next = source.skip_gap(body.end);
            let comma = source.byte(next) == Some(b',');
            let mid = body.end..if comma { next } else { source.skip_rest_of_line(body.end) };
            let trail =
                if comma { next + 1..source.skip_rest_of_line(next + 1) } else { mid.end..mid.end };
            units.push(Unit {
                head: source.slice(at..body.start),
                body: source.slice(body),
                mid: source.slice(mid),
                comma,
                trail: source.slice(trail.clone()),
            });
            at = trail.end;
        }
        let indent = match indents.as_slice() {
            [] if lead.is_empty() => None,
            [] => Some(" ".repeat(source.column(inside.end) + step)),
            [one] => one.map(str::to_owned),
            [_, more @ ..] => more.iter().flatten().next().map(|&indent| indent.to_owned()),
        };
        let tail = source.slice(at..inside.end);
        Brackets { source, inside, lead, units, tail, indent }
    }

    fn rewrite(&self, parts: &[Part]) -> Plan {
        let eol = self.source.eol();
        let stays = |part: &&Part| !matches!(part, Part::Removed(_));
        let mut left = parts.iter().filter(stays).count();
        let trailing_comma = self.units.last().is_some_and(|unit| unit.comma);
        let mut text = self.lead.to_owned();
        let fresh_line = |text: &mut String| {
            if !text.ends_with(['\n', '\r']) {
                text.push_str(eol);
            }
        };
        let (mut first, mut after_added) = (true, false);
        for part in parts {
            let comma = left > 1 || trailing_comma;
            match part {
                Part::Removed(i) => {
                    let head = self.units[*i].head;
                    if head.contains('#') {
                        fresh_line(&mut text);
                        text.push_str(head.trim_end_matches([' ', '\t']));
                    }
                    continue;
                }
                Part::Kept(i) => {
                    let unit = &self.units[*i];
                    if self.starts_line(*i) {
                        fresh_line(&mut text);
                        text.push_str(unit.head);
                    } else if first && self.indent.is_none() {
                        text.push_str(self.units[0].head);
                    } else if after_added && unit.head.is_empty() {
                        text.push(' ');
                    } else {
                        text.push_str(unit.head);
                    }
                    text.push_str(unit.body);
                    match (comma, unit.comma) {
                        (true, true) => text.extend([unit.mid, ",", unit.trail]),
                        // Next to its colon the comma would be read as part of the key.
                        (true, false) if unit.body.ends_with(':') => text.extend([" ,", unit.mid]),
                        (true, false) => text.extend([",", unit.mid]),
                        (false, _) => text.extend([unit.mid, unit.trail]),
                    }
                }
                Part::Added(body) => {
                    match &self.indent {
                        Some(indent) if !first || !self.lead.is_empty() => {
                            fresh_line(&mut text);
                            text.push_str(indent);
                        }
                        _ if first => text.push_str(self.first_head()),
                        _ => text.push(' '),
                    }
                    text.push_str(body);
                    text.push_str(if comma { "," } else { "" });
                }
            }
            after_added = matches!(part, Part::Added(_));
            first = false;
            left -= 1;
        }
        if self.source.indentation(self.inside.end).is_some() {
            fresh_line(&mut text);
        } else if text.ends_with(['\n', '\r']) {
            // The last item stood on the bracket's line: bring the bracket up, unless behind a comment.
            let last = text.lines().last().unwrap_or_default();
            if last.contains('#') {
                text.push_str(self.indent.as_deref().unwrap_or(" "));
            } else {
                text.truncate(text.trim_end().len());
            }
        }
        text.push_str(self.tail);
        Plan::splice(self.inside.clone(), text)
    }

    /// What stands between the opening bracket and the first item.
    fn first_head(&self) -> &'a str {
        match self.units.first() {
            Some(unit) => unit.head,
            None if !self.tail.contains(['\n', '\r']) => self.tail,
            None => "",
        }
    }

    /// Whether the item stands at the start of a line that is not the opening bracket's.
    fn starts_line(&self, unit: usize) -> bool {
        let before = unit.checked_sub(1).map_or(self.lead, |before| self.units[before].trail);
        before.ends_with(['\n', '\r'])
    }
}
