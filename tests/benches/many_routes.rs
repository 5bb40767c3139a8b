//! The operations on 10,000 routes, against the same on 1,000, over HTTP: ten times the work may
//! take little more than ten times the time.

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Clients;
use crate::node::{Node, folder};
use crate::samples::{in_turn, seconds};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 11;

/// A node with so many routes.
struct Large {
    node: Node,
    clients: Clients,
    set_all: Vec<u8>,
    delete_all: Vec<u8>,
    _root: TempDir,
}

type Measure = fn(&mut Large) -> Result<f64>;

fn list(operation: &str, routes: &Value) -> Value {
    json!({ "operation": operation, "server": "hub", "routes": routes })
}

impl Large {
    fn new(routes: usize) -> Result<Self> {
        let root = folder()?;
        let node = Node::start(root.path())?;
        let route = |n| json!({ "host": format!("node-{n:05}.example.org"), "port": 9932 });
        let routes: Value = (0..routes).map(route).collect();
        let request = |operation| node.target.request(&list(operation, &routes).to_string());
        let (set_all, delete_all) =
            (request("cluster_set_routes"), request("cluster_delete_routes"));
        let mut clients = Clients::connect(&node.target, 1)?;
        clients.ask(&set_all)?;
        Ok(Self { node, clients, set_all, delete_all, _root: root })
    }

    fn get(&mut self) -> Result<f64> {
        let get = self.node.target.request(r#"{"operation":"cluster_get_routes"}"#);
        seconds(|| self.clients.ask(&get))
    }

    fn set_one(&mut self) -> Result<f64> {
        let one = json!([{ "host": "one-more.example.org", "port": 9932 }]);
        let request = |operation| self.node.target.request(&list(operation, &one).to_string());
        let (set, delete) = (request("cluster_set_routes"), request("cluster_delete_routes"));
        let time = seconds(|| self.clients.ask(&set))?;
        self.clients.ask(&delete)?;
        Ok(time)
    }

    fn delete_and_set_all(&mut self) -> Result<f64> {
        seconds(|| {
            self.clients.ask(&self.delete_all)?;
            self.clients.ask(&self.set_all)
        })
    }
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let (mut many, mut few) = (Large::new(10_000)?, Large::new(1_000)?);
    let measures: [(&str, Measure); 3] = [
        ("cluster_get_routes, 10,000 routes", Large::get),
        ("cluster_set_routes, one more", Large::set_one),
        ("delete all, set all", Large::delete_and_set_all),
    ];
    for (what, measure) in measures {
        let [ours, theirs] =
            in_turn(ROUNDS, [&mut || measure(&mut many), &mut || measure(&mut few)])?;
        let floor = Some(Floor::AtMost(12.0));
        let unit = Unit::Milliseconds;
        rows.push(Row::against(what, &ours, "1,000 routes", &theirs, unit, floor));
    }
    Ok(())
}
