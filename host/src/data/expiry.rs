//! Tombstones go when no message is left that is older: they are kept as long as streams keep their
//! messages.

use std::ops::Bound;
use std::sync::Weak;
use std::time::Duration;

use redb::ReadableTable;

use super::error::Error;
use super::layout;
use super::row::damaged;
use super::transaction::{Transaction, by_key};
use super::{Data, Inner};

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(3600);
/// Tombstones that are looked at in one request: others write between two.
const AT_ONCE: usize = 5000;

/// Where to go on: after this key of this table.
struct Next {
    table: u64,
    after: Option<Vec<u8>>,
}

/// Looks at them again and again, for as long as there are data.
pub(super) async fn run(data: Weak<Inner>, life: Duration) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(data) = data.upgrade().map(Data) else { return };
        match data.expire_tombstones(life).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "tombstones of deleted rows have expired"),
            Err(error) => tracing::warn!("tombstones cannot be removed: {error}"),
        }
    }
}

/// Removes those that are older than `life`, and returns how many were.
pub(super) async fn expire(data: &Inner, life: Duration) -> Result<u64, Error> {
    let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    let before = data.clock.milliseconds().saturating_sub(life);
    let mut removed = 0;
    let tables: Vec<_> = data.shared.catalog().tables.values().map(|table| table.id).collect();
    for table in tables {
        let mut next = Some(Next { table, after: None });
        while let Some(at) = next {
            let some;
            (some, next) = data.writer.ask(AT_ONCE, move |t| expire_some(t, at, before)).await?;
            removed += some;
        }
    }
    Ok(removed)
}

fn expire_some(
    t: &mut Transaction<'_>,
    Next { table, after }: Next,
    before: u64,
) -> Result<(u64, Option<Next>), Error> {
    // It may have been dropped meanwhile, and would be made anew by opening it.
    if !t.catalog.tables.values().any(|known| known.id == table) {
        return Ok((0, None));
    }
    let name = layout::tombstones(table);
    let mut tombstones = t.redb.open_table(by_key(&name))?;
    let (mut expired, mut last, mut looked_at) = (Vec::new(), None, 0);
    let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    for entry in tombstones.range::<&[u8]>((from, Bound::Unbounded))?.take(AT_ONCE) {
        let (key, value) = entry?;
        let deleted = value.value().last_chunk().ok_or_else(damaged)?;
        if u64::from_be_bytes(*deleted) < before {
            expired.push(key.value().to_vec());
        }
        last = Some(key.value().to_vec());
        looked_at += 1;
    }
    for key in &expired {
        tombstones.remove(key.as_slice())?;
    }
    drop(tombstones);
    if !expired.is_empty() {
        t.mark_changed();
    }
    let next = (looked_at == AT_ONCE).then_some(Next { table, after: last });
    Ok((expired.len() as u64, next))
}
