//! Records before and after a change.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::nodes::{NodeRecord, Start, Subscription, TableKey, Was};
use crate::subscriptions::Wanted;

/// Places in the streams of the other node, by table.
pub type Starts = HashMap<(String, String), Start>;

/// A change to one subscription of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It is to be so. What it does not say of its start stays, or is looked up.
    Want(Wanted),
    /// It is to be exactly so.
    Put(Subscription),
    /// It is to be gone; with these names of the database and the table.
    Drop(String, String),
}

impl Edit {
    /// Which table it is of.
    pub fn key(&self) -> TableKey<'_> {
        match self {
            Self::Want(wanted) => wanted.key(),
            Self::Put(subscription) => subscription.key(),
            Self::Drop(schema, table) => (schema, table),
        }
    }
}

/// Whose change it is, and so where a subscription begins that is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// This node's own: now.
    Here,
    /// Another node's, by the name that it has for it: now, and where it began before is kept.
    There(Option<&'a str>),
    /// Another node's, who undoes the change of that name: where it began before that. What came
    /// meanwhile must not be left out.
    Undo(Option<&'a str>),
}

/// The tables for which a place in the other node's stream has to be known.
pub fn needed<'a>(
    before: Option<&NodeRecord>,
    edits: &'a [Edit],
    origin: Origin<'_>,
) -> Vec<TableKey<'a>> {
    let present = index(before);
    let is_needed = |wanted: &&Wanted| {
        let present = present.get(&wanted.key()).copied();
        wanted.subscribe && wanted.start_time.is_none() && known_start(present, origin).is_none()
    };
    let wanted = edits.iter().filter_map(|edit| match edit {
        Edit::Want(wanted) => Some(wanted),
        _ => None,
    });
    wanted.filter(is_needed).map(Wanted::key).collect()
}

/// Where a subscription begins.
type Beginning = (Option<String>, Option<Start>);

/// Where a subscription begins for which nothing is said of that: where it does, or did before what
/// is undone.
fn known_start(present: Option<&Subscription>, origin: Origin<'_>) -> Option<Beginning> {
    let present = present?;
    if let (Origin::Undo(Some(change)), Some(was)) = (origin, &present.was)
        && was.change == change
    {
        return Some((was.start_time.clone(), was.from.clone()));
    }
    present.subscribe.then(|| (present.start_time.clone(), present.from.clone()))
}

/// The subscriptions of a record after edits; those that no edit names stay as they are.
pub fn edited(
    before: Option<&NodeRecord>,
    edits: &[Edit],
    starts: &Starts,
    origin: Origin<'_>,
) -> Vec<Subscription> {
    let by_key: HashMap<_, _> = edits.iter().map(|edit| (edit.key(), edit)).collect();
    let present = before.map(|record| &*record.subscriptions).unwrap_or_default();
    let mut subscriptions = Vec::with_capacity(present.len() + edits.len());
    for one in present {
        match by_key.get(&one.key()) {
            None => subscriptions.push(one.clone()),
            Some(edit) => subscriptions.extend(after(Some(one), edit, starts, origin)),
        }
    }
    let known = index(before);
    let new = edits.iter().filter(|edit| !known.contains_key(&edit.key()));
    subscriptions.extend(new.filter_map(|edit| after(None, edit, starts, origin)));
    subscriptions
}

fn after(
    present: Option<&Subscription>,
    edit: &Edit,
    starts: &Starts,
    origin: Origin<'_>,
) -> Option<Subscription> {
    let wanted = match edit {
        Edit::Want(wanted) => wanted,
        Edit::Put(subscription) => return Some(subscription.clone()),
        Edit::Drop(..) => return None,
    };
    let (start_time, from) = match (wanted.subscribe, &wanted.start_time) {
        (true, Some(time)) => (Some(time.clone()), None),
        (true, None) => known_start(present, origin).unwrap_or_else(|| {
            (None, starts.get(&(wanted.schema.clone(), wanted.table.clone())).cloned())
        }),
        (false, _) => (None, None),
    };
    let was = match (origin, present) {
        (Origin::There(Some(change)), Some(present)) => match &present.was {
            // The same change, said again.
            Some(was) if was.change == change => Some(was.clone()),
            _ if (&present.start_time, &present.from) == (&start_time, &from) => None,
            _ => Some(Was {
                change: change.to_owned(),
                start_time: present.start_time.clone(),
                from: present.from.clone(),
            }),
        },
        _ => None,
    };
    Some(Subscription {
        schema: wanted.schema.clone(),
        table: wanted.table.clone(),
        publish: wanted.publish,
        subscribe: wanted.subscribe,
        start_time,
        from,
        was,
    })
}

/// Edits that turn a record's subscriptions into these and no others.
pub fn replacing(before: Option<&NodeRecord>, wanted: Vec<Edit>) -> Vec<Edit> {
    let kept: HashMap<_, _> = wanted.iter().map(|edit| (edit.key(), ())).collect();
    let present = before.map(|record| &*record.subscriptions).unwrap_or_default();
    let gone = present.iter().filter(|present| !kept.contains_key(&present.key()));
    let gone: Vec<_> =
        gone.map(|gone| Edit::Drop(gone.schema.clone(), gone.table.clone())).collect();
    wanted.into_iter().chain(gone).collect()
}

/// The tables whose subscriptions a change has touched.
pub fn touched<'a>(
    before: Option<&'a NodeRecord>,
    after: Option<&'a NodeRecord>,
) -> Vec<TableKey<'a>> {
    let (was, is) = (index(before), index(after));
    let all = |record: Option<&'a NodeRecord>| {
        record.map(|record| &*record.subscriptions).unwrap_or_default().iter()
    };
    let new = all(after).filter(|one| !was.contains_key(&one.key()));
    let keys = all(before).chain(new).map(Subscription::key);
    keys.filter(|key| was.get(key) != is.get(key)).collect()
}

/// The record without the change from `before` to `after`: what others have changed meanwhile
/// stays. None is a record that is not there.
pub fn undone(
    current: Option<&NodeRecord>,
    before: Option<&NodeRecord>,
    after: Option<&NodeRecord>,
) -> Option<NodeRecord> {
    // Who removed it meant it.
    let current = current?;
    let (was, written, present) = (index(before), index(after), index(Some(current)));
    let edits: Vec<_> = touched(before, after)
        .into_iter()
        .filter(|key| present.get(key) == written.get(key))
        .map(|key| match was.get(&key) {
            Some(before) => Edit::Put((*before).clone()),
            None => Edit::Drop(key.0.into(), key.1.into()),
        })
        .collect();
    let subscriptions = edited(Some(current), &edits, &Starts::new(), Origin::Here);
    match before {
        None if subscriptions.is_empty() => None,
        None => Some(NodeRecord { subscriptions, ..current.clone() }),
        Some(before) => {
            let is_ours = after.is_some_and(|after| after.system_info == current.system_info);
            let system_info = if is_ours { &before.system_info } else { &current.system_info };
            let name = current.name.clone();
            // In the order that it had, as far as nobody has changed it.
            let mut record = NodeRecord { name, subscriptions, system_info: system_info.clone() };
            if same(&record.subscriptions, &before.subscriptions) {
                record.subscriptions.clone_from(&before.subscriptions);
            }
            Some(record)
        }
    }
}

/// Whether both are the same, in whatever order.
fn same(one: &[Subscription], other: &[Subscription]) -> bool {
    let by_key: HashMap<_, _> = other.iter().map(|one| (one.key(), one)).collect();
    one.len() == other.len() && one.iter().all(|one| by_key.get(&one.key()) == Some(&one))
}

/// Edits that make the subscriptions to these tables what they are in the record.
pub fn as_they_are(record: Option<&NodeRecord>, keys: &[TableKey<'_>]) -> Vec<Edit> {
    let present = index(record);
    let edit = |key: &TableKey<'_>| match present.get(key) {
        Some(present) => Edit::Put((*present).clone()),
        None => Edit::Drop(key.0.into(), key.1.into()),
    };
    keys.iter().map(edit).collect()
}

/// Whether the record is as the edits want it.
pub fn is_as(record: &NodeRecord, edits: &[Edit]) -> bool {
    let present = index(Some(record));
    edits.iter().all(|edit| match edit {
        Edit::Put(subscription) => present.get(&subscription.key()) == Some(&subscription),
        Edit::Drop(..) => !present.contains_key(&edit.key()),
        Edit::Want(_) => false,
    })
}

/// What the other node is told of an edit: as it sees it, publish and subscribe swapped. What is to
/// be gone has `drop`, which Harper's nodes do not know: they keep it with both flags false.
pub fn told(edit: &Edit) -> Value {
    let (schema, table) = edit.key();
    let (publish, subscribe) = match edit {
        Edit::Want(one) => (one.publish, one.subscribe),
        Edit::Put(one) => (one.publish, one.subscribe),
        Edit::Drop(..) => (false, false),
    };
    let mut told = json!({
        "schema": schema,
        "table": table,
        "publish": subscribe,
        "subscribe": publish,
    });
    match edit {
        Edit::Want(Wanted { start_time: Some(time), .. }) => {
            told["start_time"] = time.as_str().into();
        }
        Edit::Drop(..) => told["drop"] = true.into(),
        _ => {}
    }
    told
}

fn index(record: Option<&NodeRecord>) -> HashMap<TableKey<'_>, &Subscription> {
    let subscriptions = record.map(|record| &*record.subscriptions).unwrap_or_default();
    subscriptions.iter().map(|one| (one.key(), one)).collect()
}
