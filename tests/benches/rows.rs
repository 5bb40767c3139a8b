//! `insert`, `upsert` and `search_by_id` of a whole node over HTTP, against bare redb in this
//! process: the same bytes under the same keys, on the same disk, and, where several write at once,
//! with one commit for all who wait, as the node does it. The node keeps versions, a change log and
//! what it knows of the table beside.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::client::Clients;
use crate::node::{Node, folder};
use crate::samples::{in_turn, rate};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 15;
const TIME: Duration = Duration::from_millis(250);
/// Writes of each client in a round.
const WRITES: usize = 48;
const CLIENTS: [usize; 2] = [1, 16];
const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rows");

fn row(id: &str) -> Value {
    json!({ "id": id, "name": "Penny", "breed": "a retriever", "age": 7, "weight": 27.5, "text": "x".repeat(100) })
}

fn request(operation: &str, id: &str) -> String {
    json!({ "operation": operation, "database": "dev", "table": "dog", "records": [row(id)] })
        .to_string()
}

/// Names keys that were never written.
#[derive(Default)]
struct Fresh(u64);

impl Fresh {
    /// Keys for each of the clients.
    fn keys(&mut self, clients: usize) -> Vec<Vec<String>> {
        let mut one = || {
            self.0 += 1;
            // In no order, as made ones are.
            format!("{:016x}", self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        };
        (0..clients).map(|_| (0..WRITES).map(|_| one()).collect()).collect()
    }
}

/// The node's operation, by so many clients at once; writes a second.
fn ours(node: &Node, clients: &mut Clients, operation: &str, keys: &[Vec<String>]) -> Result<f64> {
    let requests = |keys: &Vec<String>| {
        keys.iter().map(|id| node.target.request(&request(operation, id))).collect()
    };
    let requests: Vec<Vec<_>> = keys.iter().map(requests).collect();
    let started = Instant::now();
    let statuses = clients.send(&requests)?;
    let took = started.elapsed();
    ensure!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    Ok(statuses.len() as f64 / took.as_secs_f64())
}

struct ToWrite {
    key: String,
    row: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// redb with one thread that writes.
struct Bare {
    send: Option<mpsc::Sender<ToWrite>>,
    thread: Option<JoinHandle<Result<()>>>,
    row: Vec<u8>,
}

impl Bare {
    fn start(folder: &Path) -> Result<Self> {
        let database = Database::builder().set_cache_size(64 << 20).create(folder.join("bare"))?;
        // Not those of std: they yield before they wait, which costs a time slice on a busy machine.
        let (send, waiting) = mpsc::channel(512);
        let thread = std::thread::spawn(move || serve(&database, waiting));
        let row = row("0123456789abcdef").to_string().into_bytes();
        Ok(Self { send: Some(send), thread: Some(thread), row })
    }

    fn write(&self, keys: &[Vec<String>]) -> Result<f64> {
        let send = self.send.as_ref().context("a thread")?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let client = |keys: &Vec<String>| -> Result<()> {
                for key in keys {
                    let (done, answer) = oneshot::channel();
                    send.blocking_send(ToWrite { key: key.clone(), row: self.row.clone(), done })?;
                    answer.blocking_recv()?;
                }
                Ok(())
            };
            let clients: Vec<_> =
                keys.iter().map(|keys| scope.spawn(move || client(keys))).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
        })?;
        let writes = keys.iter().map(Vec::len).sum::<usize>();
        Ok(writes as f64 / started.elapsed().as_secs_f64())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing left to say.
            let _ = thread.join();
        }
    }
}

fn serve(database: &Database, mut waiting: mpsc::Receiver<ToWrite>) -> Result<()> {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        group.extend(std::iter::from_fn(|| waiting.try_recv().ok()));
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for ToWrite { key, row, .. } in &group {
            table.insert(key.as_str(), row.as_slice())?;
        }
        drop(table);
        transaction.commit()?;
        for ToWrite { done, .. } in group {
            // Whoever has gone does not want to know.
            let _ = done.send(());
        }
    }
    Ok(())
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let root = folder()?;
    let node = Node::start(root.path())?;
    let create = json!({ "operation": "create_table", "database": "dev", "table": "dog", "primary_key": "id" });
    Clients::connect(&node.target, 1)?.ask(&node.target.request(&create.to_string()))?;
    let disk = folder()?;
    let bare = Bare::start(disk.path())?;
    let (mut of_ours, mut of_theirs) = (Fresh::default(), Fresh::default());

    for number in CLIENTS {
        let mut clients = Clients::connect(&node.target, number)?;
        // One that was written and is written again and again.
        let (again, theirs_again) = (of_ours.keys(number), of_theirs.keys(number));
        ours(&node, &mut clients, "insert", &again)?;
        let clients = std::cell::RefCell::new(clients);
        let [insert, upsert, bare_insert, bare_upsert] = in_turn(
            ROUNDS,
            [
                &mut || ours(&node, &mut clients.borrow_mut(), "insert", &of_ours.keys(number)),
                &mut || ours(&node, &mut clients.borrow_mut(), "upsert", &again),
                &mut || bare.write(&of_theirs.keys(number)),
                &mut || bare.write(&theirs_again),
            ],
        )?;
        let floor = (number == 16).then_some(Floor::AtLeast(0.5));
        for (what, ours, theirs) in
            [("insert", insert, bare_insert), ("upsert", upsert, bare_upsert)]
        {
            let what = format!("{what}, clients: {number}");
            let other = "bare redb, the same grouping";
            rows.push(Row::against(&what, &ours, other, &theirs, Unit::PerSecond, floor));
        }
    }
    drop(bare);

    let database = Database::open(disk.path().join("bare"))?;
    let key = Fresh::default().keys(1).concat().swap_remove(0);
    let search = json!({
        "operation": "search_by_id", "database": "dev", "table": "dog", "ids": [key],
        "get_attributes": ["*"],
    });
    let search = node.target.request(&search.to_string());
    for number in CLIENTS {
        let mut clients = Clients::connect(&node.target, number)?;
        ensure!(clients.ask(&search)?.len() > 100, "the row is not there");
        let read = || {
            let table = database.begin_read()?.open_table(TABLE)?;
            let found = table.get(key.as_str())?.context("the row")?;
            let row: Value = serde_json::from_slice(found.value())?;
            ensure!(row.is_object(), "no row");
            Ok(())
        };
        let [ours, theirs] =
            in_turn(ROUNDS, [&mut || clients.rate(&search, TIME), &mut || rate(TIME, read)])?;
        let what = format!("search_by_id, clients: {number}");
        let other = "bare redb, one thread";
        rows.push(Row::against(&what, &ours, other, &theirs, Unit::PerSecond, None));
    }
    Ok(())
}
