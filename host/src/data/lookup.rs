//! Rows of many keys, chunk by chunk: a row may have a megabyte.

use std::sync::Arc;
use std::vec;

use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::Row;
use super::catalog::Table;
use super::error::Error;
use super::key::Key;
use super::open_rows;
use super::row;
use super::search::{BYTES, ROWS};
use crate::json;
use crate::store::Store;

/// Starts to look up what has these keys. The permit goes when it is dropped.
pub(super) fn start(
    store: Store,
    table: Arc<Table>,
    keys: Vec<Key>,
    permit: Option<OwnedSemaphorePermit>,
) -> impl Stream<Item = Result<Vec<Row>, Error>> + Send + use<> {
    let state = (store, table, keys.into_iter(), permit);
    stream::try_unfold(state, |(store, table, keys, permit)| async {
        if keys.as_slice().is_empty() {
            return Ok(None);
        }
        let of = table.clone();
        let (chunk, keys) = store.read(move |t| chunk(t, &of, keys)).await?;
        Ok(Some((chunk, (store, table, keys, permit))))
    })
}

/// The rows of the next keys, and the keys after them.
fn chunk(
    t: &redb::ReadTransaction,
    table: &Table,
    mut keys: vec::IntoIter<Key>,
) -> Result<(Vec<Row>, vec::IntoIter<Key>), Error> {
    let rows = open_rows(t, table)?;
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for key in keys.by_ref().take(ROWS) {
        if let Some(found) = rows.get(key.to_bytes().as_slice())? {
            let row = row::decode(found.value())?.1;
            bytes += json::size_of_fields(&row);
            chunk.push(row);
        }
        if bytes >= BYTES {
            break;
        }
    }
    Ok((chunk, keys))
}
