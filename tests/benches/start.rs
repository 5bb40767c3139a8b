//! The time from the start of the program to its first reply: to `cluster_get_routes` with a login,
//! whose password is verified in full.

use anyhow::Result;

use crate::client::Clients;
use crate::node::{Node, folder};
use crate::samples::{Samples, seconds};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 15;

fn start_and_ask(root: &std::path::Path) -> Result<f64> {
    seconds(|| {
        let node = Node::start(root)?;
        let get = node.target.request(r#"{"operation":"cluster_get_routes"}"#);
        Clients::connect(&node.target, 1)?.ask(&get)
    })
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let first = Samples::take(ROUNDS, || start_and_ask(folder()?.path()))?;
    let root = folder()?;
    start_and_ask(root.path())?;
    let next = Samples::take(ROUNDS, || start_and_ask(root.path()))?;
    let floor = Some(Floor::AtMost(100.0));
    rows.push(Row::of("start to first reply", &next, Unit::Milliseconds, floor));
    rows.push(Row::of("the very first start", &first, Unit::Milliseconds, None));
    Ok(())
}
