//! The memory of a node, when it is ready and after 1,000 requests on 16 connections: what is in
//! use at the time (`VmRSS`), code included.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::client::Clients;
use crate::node::{Node, folder};
use crate::samples::Samples;
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;

fn requests(node: &Node, connection: usize) -> Vec<Vec<u8>> {
    let get = json!({ "operation": "cluster_get_routes" });
    let set = |n| {
        let route = json!({ "host": format!("node-{connection}-{n}.example.org"), "port": 9932 });
        json!({ "operation": "cluster_set_routes", "server": "hub", "routes": [route] })
    };
    // Every tenth one writes.
    let request = |n| if n % 10 == 0 { set(n) } else { get.clone() };
    (0..1000 / CONNECTIONS + 1).map(|n| node.target.request(&request(n).to_string())).collect()
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let mut ready = Samples::default();
    let mut after = Samples::default();
    for _ in 0..ROUNDS {
        let root = folder()?;
        let node = Node::start(root.path())?;
        ready.push(node.memory()?);
        let mut clients = Clients::connect(&node.target, CONNECTIONS)?;
        let all: Vec<_> = (0..CONNECTIONS).map(|n| requests(&node, n)).collect();
        let statuses = clients.send(&all)?;
        ensure!(statuses.iter().all(|status| *status == 200), "a request failed: {statuses:?}");
        after.push(node.memory()?);
    }
    let floor = Some(Floor::AtMost(50.0));
    rows.push(Row::of("memory, ready", &ready, Unit::Megabytes, floor));
    rows.push(Row::of("memory, after 1,000 requests", &after, Unit::Megabytes, floor));
    Ok(())
}
