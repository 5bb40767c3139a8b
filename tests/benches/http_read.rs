//! `cluster_get_routes` of a whole node over HTTP, against an axum server that only echoes as many
//! bytes. Each is a process of its own; the client is the same.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::client::Clients;
use crate::echo::Echo;
use crate::node::{Node, folder};
use crate::samples::in_turn;
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 15;
const TIME: Duration = Duration::from_millis(250);

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let root = folder()?;
    let node = Node::start(root.path())?;
    let set = json!({
        "operation": "cluster_set_routes",
        "server": "hub",
        "routes": [
            { "host": "node-1.example.org", "port": 9932 },
            { "host": "node-2.example.org", "port": 9932 },
            { "host": "node-3.example.org", "port": 9932 },
        ],
    });
    let get = json!({ "operation": "cluster_get_routes" });
    let mut first = Clients::connect(&node.target, 1)?;
    first.ask(&node.target.request(&set.to_string())).context("routes for the node")?;
    let request = node.target.request(&get.to_string());
    let bytes = first.ask(&request)?.len();
    let echo = Echo::start(bytes, &node.target.password)?;
    let echo_request = echo.target.request(&get.to_string());

    for connections in [1, 16] {
        let mut ours = Clients::connect(&node.target, connections)?;
        let mut theirs = Clients::connect(&echo.target, connections)?;
        let [ours, theirs] = in_turn(
            ROUNDS,
            [&mut || ours.rate(&request, TIME), &mut || theirs.rate(&echo_request, TIME)],
        )?;
        let what = format!("cluster_get_routes, connections: {connections}");
        let floor = Some(Floor::AtLeast(0.35));
        rows.push(Row::against(&what, &ours, "axum echo", &theirs, Unit::PerSecond, floor));
    }
    Ok(())
}
