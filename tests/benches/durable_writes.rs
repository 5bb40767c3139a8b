//! `cluster_set_routes` over HTTP, against a loop that only replaces a file durably: on one thread,
//! of the same size, on the same disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::client::Clients;
use crate::node::{Node, config_size, folder};
use crate::samples::{Samples, in_turn};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 25;
/// Writes of one round, by however many writers.
const WRITES: usize = 128;

fn replace(folder: &Path, text: &[u8]) -> Result<()> {
    let (new, target) = (folder.join("new"), folder.join("file"));
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(new, target)?;
    Ok(File::open(folder)?.sync_all()?)
}

/// What is counted beside the time.
#[derive(Default)]
struct Count {
    sent: usize,
    failed: usize,
}

/// Writers that each add routes of their own, one a request. What a round adds is taken away after
/// it.
struct Writers<'a> {
    clients: Clients,
    sets: Vec<Vec<Vec<u8>>>,
    delete: Vec<u8>,
    root: &'a Path,
    count: Count,
}

impl<'a> Writers<'a> {
    fn new(node: &Node, root: &'a Path, writers: usize) -> Result<Self> {
        let route = |writer: usize, n: usize| json!({ "host": format!("node-{n}.writer-{writer}.example.org"), "port": 9932 });
        let set = |route: Value| {
            let set =
                json!({ "operation": "cluster_set_routes", "server": "hub", "routes": [route] });
            node.target.request(&set.to_string())
        };
        let each = WRITES / writers;
        let sets = |writer| (0..each).map(|n| set(route(writer, n))).collect();
        let all = (0..writers).flat_map(|writer| (0..each).map(move |n| route(writer, n)));
        let delete =
            json!({ "operation": "cluster_delete_routes", "routes": all.collect::<Value>() });
        Ok(Self {
            clients: Clients::connect(&node.target, writers)?,
            sets: (0..writers).map(sets).collect(),
            delete: node.target.request(&delete.to_string()),
            root,
            count: Count::default(),
        })
    }

    fn round(&mut self) -> Result<f64> {
        let before = config_size(self.root)?;
        let started = Instant::now();
        let statuses = self.clients.send(&self.sets)?;
        let rate = statuses.len() as f64 / started.elapsed().as_secs_f64();
        let failed = statuses.iter().filter(|status| **status != 200).count();
        self.count.sent += statuses.len();
        self.count.failed += failed;
        ensure!(failed > 0 || config_size(self.root)? > before, "nothing was written");
        self.clients.ask(&self.delete)?;
        Ok(rate)
    }
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let root = folder()?;
    let node = Node::start(root.path())?;
    let mut one = Writers::new(&node, root.path(), 1)?;
    let mut many = Writers::new(&node, root.path(), 16)?;

    // The file as it is in the middle of a round.
    let before = config_size(root.path())?;
    one.clients.send(&one.sets)?;
    let text = vec![b'x'; before.midpoint(config_size(root.path())?)];
    one.clients.ask(&one.delete)?;
    let disk = folder()?;

    let [of_one, of_many, theirs] = in_turn(
        ROUNDS,
        [&mut || one.round(), &mut || many.round(), &mut || {
            let started = Instant::now();
            (0..WRITES).try_for_each(|_| replace(disk.path(), &text))?;
            Ok(WRITES as f64 / started.elapsed().as_secs_f64())
        }],
    )?;
    let other = "write, fsync, rename, fsync of folder";
    let unit = Unit::PerSecond;
    rows.push(Row::against("cluster_set_routes, writers: 1", &of_one, other, &theirs, unit, None));
    let (what, floor) = ("cluster_set_routes, writers: 16", Some(Floor::AtLeast(1.0)));
    rows.push(Row::against(what, &of_many, other, &theirs, unit, floor));
    let mut failed = Samples::default();
    failed.push((one.count.failed + many.count.failed) as f64);
    let what = format!("failed, of {}", one.count.sent + many.count.sent);
    rows.push(Row::of(&what, &failed, Unit::Times, Some(Floor::AtMost(0.0))));
    Ok(())
}
