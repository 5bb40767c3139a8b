//! Writes scalars and items in such a way that every YAML reader, 1.1 or 1.2, reads them alike.

use super::{
    source::Source,
    tree::{Kind, NodeId, Tree},
};
use serde_json::{Number, Value};

/// How strings are written where they could be plain.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Quote {
    Plain,
    Single,
    Double,
}

/// How an item of a block list begins.
#[derive(Clone, Copy)]
enum Lead {
    /// Behind the dash, this many columns to the right of it.
    Behind(usize),
    /// On the line below the dash, this many columns to the right of it.
    Below(usize),
}

/// How new items are written: as their siblings are.
#[derive(Clone, Copy)]
pub(super) struct Style {
    lead: Lead,
    flow: bool,
    padded: bool,
    key: Quote,
    value: Quote,
}

impl Style {
    pub const DEFAULT: Style = Style {
        lead: Lead::Behind(2),
        flow: false,
        padded: false,
        key: Quote::Plain,
        value: Quote::Plain,
    };

    /// The style of what is written where nothing but a key is to go by.
    pub fn beside(key: Quote, in_flow: bool) -> Style {
        match in_flow {
            true => Style { flow: true, key, value: key, ..Style::DEFAULT },
            false => Style::DEFAULT,
        }
    }

    /// The style of a mapping's entries.
    pub fn of_map(source: Source, tree: &Tree, id: NodeId) -> Style {
        let node = tree.node(id);
        let mut style = Style::DEFAULT;
        if let Kind::Map { flow, entries } = &node.kind {
            let quotes = |id| quote_of(source, tree, id);
            style.flow = *flow;
            style.padded = *flow && source.byte(node.start + 1) == Some(b' ');
            style.key = entries.last().map_or(Quote::Plain, |entry| quotes(entry.key));
            let none = if *flow { style.key } else { Quote::Plain };
            let mut strings = entries.iter().filter(|entry| is_string(tree, entry.value));
            style.value = strings.next().map_or(none, |entry| quotes(entry.value));
        }
        style
    }

    /// The style of a list's items, as the last one that is a mapping has it, else the last one.
    pub fn of_items(source: Source, tree: &Tree, list: NodeId) -> Style {
        let Kind::List { flow, items } = &tree.node(list).kind else {
            return Style::DEFAULT;
        };
        let is_map = |id: NodeId| matches!(tree.node(id).kind, Kind::Map { .. });
        let sibling = items.iter().rfind(|item| is_map(item.node)).or(items.last());
        let Some(sibling) = sibling else {
            return Style::DEFAULT;
        };
        let mut style = Style::of_map(source, tree, sibling.node);
        let node = tree.node(sibling.node);
        if !is_map(sibling.node) {
            style.value = quote_of(source, tree, sibling.node);
        }
        if !flow && node.props.is_none() {
            let gap = source.slice(sibling.dash + 1..node.start);
            let offset = source.column(node.start).saturating_sub(source.column(sibling.dash));
            style.lead = match () {
                _ if !gap.is_empty() && gap.bytes().all(|byte| byte == b' ') => {
                    Lead::Behind(offset)
                }
                _ if gap.contains(['\n', '\r']) && !style.flow && offset > 0 => Lead::Below(offset),
                _ => Lead::Behind(2),
            };
        }
        style
    }

    /// An item of a block list whose dash stands at `column`: whole lines.
    pub fn block_item(&self, value: &Value, column: usize, eol: &str) -> String {
        let (offset, mut text) = match self.lead {
            Lead::Behind(offset) => {
                (offset, format!("{:column$}-{:gap$}", "", "", gap = offset.saturating_sub(1)))
            }
            Lead::Below(offset) => (offset, format!("{:column$}-", "")),
        };
        match value {
            Value::Object(map) if !self.flow && !map.is_empty() => {
                let indent = column + offset;
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 || matches!(self.lead, Lead::Below(_)) {
                        text.push_str(eol);
                        text.push_str(&" ".repeat(indent));
                    }
                    text.push_str(&self.entry(key, value));
                }
            }
            value => {
                if let Lead::Below(_) = self.lead {
                    text.push(' ');
                }
                text.push_str(&self.flow(value));
            }
        }
        text + eol
    }

    /// `key: value`, the value in flow style.
    pub fn entry(&self, key: &str, value: &Value) -> String {
        format!("{}: {}", self.key(key), self.flow(value))
    }

    pub fn key(&self, key: &str) -> String {
        string(key, self.key)
    }

    /// Any value on one line.
    pub fn flow(&self, value: &Value) -> String {
        let pad = if self.padded { " " } else { "" };
        match value {
            Value::Object(map) if map.is_empty() => "{}".to_owned(),
            Value::Object(map) => {
                let entries: Vec<_> =
                    map.iter().map(|(key, value)| self.entry(key, value)).collect();
                format!("{{{pad}{}{pad}}}", entries.join(", "))
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{}]", items.join(", "))
            }
            value => scalar(value, self.value),
        }
    }
}

/// Whether a node is a string without doubt.
fn is_string(tree: &Tree, id: NodeId) -> bool {
    matches!(&tree.node(id).kind, Kind::Scalar { text, plain } if !plain || is_plain(text))
}

/// How the scalar at `id` is quoted.
pub(super) fn quote_of(source: Source, tree: &Tree, id: NodeId) -> Quote {
    match source.byte(tree.node(id).start) {
        Some(b'"') => Quote::Double,
        Some(b'\'') => Quote::Single,
        _ => Quote::Plain,
    }
}

/// A scalar; collections have no place here.
pub(super) fn scalar(value: &Value, quote: Quote) -> String {
    match value {
        Value::Bool(bool) => bool.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) => string(text, quote),
        _ => "null".to_owned(),
    }
}

/// YAML 1.1 takes an exponent only behind a point and with a sign.
fn number(number: &Number) -> String {
    let text = number.to_string();
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return text;
    };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

fn string(text: &str, quote: Quote) -> String {
    match quote {
        Quote::Plain if is_plain(text) => text.to_owned(),
        Quote::Single if !text.chars().any(needs_escape) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        _ => double_quoted(text),
    }
}

/// Whether every reader takes the bare text for just this string. Rather too strict than too lax.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let harmless = |c: char| c.is_alphanumeric() || "_./-+@ ".contains(c);
    let Some(first) = text.chars().next() else {
        return false;
    };
    let starts_well = first.is_alphanumeric() || first == '_' || first == '/';
    let like_a_number = first.is_ascii_digit()
        && text.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_.-+ ".contains(c))
        && !is_dotted(text);
    starts_well
        && text.chars().all(harmless)
        && !text.ends_with(' ')
        && !like_a_number
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether the text is an IPv4 address or a version: digits with two points at least.
fn is_dotted(text: &str) -> bool {
    let parts = || text.split('.');
    parts().count() > 2
        && parts().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn needs_escape(c: char) -> bool {
    let unseen = c.is_control() || (c.is_whitespace() && c != ' ');
    unseen || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// With the escapes of JSON, which YAML shares.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if needs_escape(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
