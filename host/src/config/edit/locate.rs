//! Finds the node at a path, and refuses what cannot be edited in its place.

use super::{
    EditError,
    document::{self, Document},
    dotted,
    source::Source,
    tree::{Entry, Kind, NodeId},
};

/// Where the value at a path is, or where it would have to be made.
pub(super) enum Target<'t> {
    /// The key is there.
    Entry { entry: &'t Entry, in_flow: bool },
    /// The first `depth` keys lead to `map`, and the next one is not in it.
    NoKey { map: NodeId, depth: usize },
    /// The first `depth` keys lead to a null where a mapping is needed; `entry` is none at the root.
    NullParent { entry: Option<&'t Entry>, in_flow: bool, depth: usize },
}

pub(super) fn locate<'t>(
    source: Source,
    document: &'t Document,
    path: &[&str],
) -> Result<Target<'t>, EditError> {
    let tree = &document.tree;
    let Some(root) = tree.root else {
        return Ok(Target::NullParent { entry: None, in_flow: false, depth: 0 });
    };
    let (mut at, mut leading, mut in_flow) = (root, None, false);
    for (depth, key) in path.iter().enumerate() {
        let node = tree.node(at);
        let line = leading.map_or(node, |entry: &Entry| tree.node(entry.key)).first();
        let here = || (dotted(&path[..depth]), source.line(line));
        refuse_used_anchor(source, document, at, path)?;
        let (flow, entries) = match &node.kind {
            Kind::Map { flow, entries } => (*flow, entries),
            Kind::Alias(_) => {
                let (path, line) = here();
                return Err(EditError::Alias { path, line });
            }
            _ if node.is_null() && node.tagged => {
                let (path, line) = here();
                return Err(EditError::Tag { path, line });
            }
            _ if node.is_null() => {
                return Ok(Target::NullParent { entry: leading, in_flow, depth });
            }
            _ => {
                let (path, line) = here();
                return Err(EditError::NotAMapping { path, found: node.describe(), line });
            }
        };
        let path = &path[..=depth];
        let Some(entry) = tree.entry(entries, key) else {
            let merged = document::at(&document.json, &path[..depth]).get(key).is_some();
            let (line, path) = (source.line(node.first()), dotted(path));
            return match merged {
                true => Err(EditError::MergeKey { path, line }),
                false => Ok(Target::NoKey { map: at, depth }),
            };
        };
        let line = source.line(tree.node(entry.key).first());
        if entry.explicit {
            return Err(EditError::ComplexKey { path: dotted(path), line });
        }
        (at, leading, in_flow) = (entry.value, Some(entry), flow);
    }
    let node = tree.node(at);
    if let Kind::Alias(_) = node.kind {
        let line = source.line(node.first());
        return Err(EditError::Alias { path: dotted(path), line });
    }
    refuse_used_anchor(source, document, at, path)?;
    match leading {
        Some(entry) => Ok(Target::Entry { entry, in_flow }),
        None => Err(EditError::Unsafe { path: dotted(path) }),
    }
}

/// An alias to a node on the path would change along with it.
fn refuse_used_anchor(
    source: Source,
    document: &Document,
    node: NodeId,
    path: &[&str],
) -> Result<(), EditError> {
    match document.tree.alias_uses().find(|(target, _)| *target == node) {
        Some((_, alias)) => Err(anchor_in_use(source, document, node, alias, path)),
        None => Ok(()),
    }
}

/// The error for an anchor on `node` that the alias at `alias` refers to.
pub(super) fn anchor_in_use(
    source: Source,
    document: &Document,
    node: NodeId,
    alias: usize,
    path: &[&str],
) -> EditError {
    let props = document.tree.node(node).props.clone().unwrap_or_default();
    let words = source.slice(props.clone()).split_whitespace();
    EditError::AnchorInUse {
        path: dotted(path),
        anchor: words.filter(|word| word.starts_with('&')).collect(),
        line: source.line(props.start),
        alias_line: source.line(alias),
    }
}
