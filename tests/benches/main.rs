//! `make bench`: what the host costs, each figure against a bare version of the same thing that is
//! measured in the same run. `make bench CHECK=1` fails when a floor is missed.
//!
//! | file | in one sentence |
//! | --- | --- |
//! | `dispatch.rs` | an operation through the sandbox, against a bare wasmtime call and the same logic natively |
//! | `bare.rs` | the bare wasmtime call: the same component and engine, without the host's checks |
//! | `http_read.rs` | `cluster_get_routes` of a whole node over HTTP, against an axum server that only echoes |
//! | `durable_writes.rs` | `cluster_set_routes` over HTTP, against a loop that only replaces a file durably |
//! | `rows.rs` | `insert`, `upsert` and `search_by_id` over HTTP, against bare redb with the same grouping |
//! | `many_routes.rs` | the operations on 10,000 routes, against the same on 1,000 |
//! | `cluster_network.rs` | `cluster_network` of three nodes, against the last server's answer to a bare client |
//! | `many_nodes.rs` | `configure_cluster` of 50 nodes against one `add_node`, and all operations beside 1,000 nodes |
//! | `plugins.rs` | a plugin's slowest calls beside another's flood, against the same without |
//! | `replication.rs` | rows from node to node, against what the servers do by themselves |
//! | `catch_up.rs` | the memory of a node that has a million rows to catch up with |
//! | `start.rs` | the time from the start of the program to its first reply |
//! | `memory.rs` | the memory of a node, ready and after requests |
//! | `size.rs` | bytes of the component and of the program |
//! | `node.rs` | a node as users run it: the program in a process of its own |
//! | `echo.rs` | the axum server that only echoes, in a process of its own |
//! | `client.rs` | the client of both, which does as little as a client can |
//! | `samples.rs` | rounds that take turns, medians and spreads |
//! | `table.rs` | the table, and which floors were missed |

mod bare;
mod catch_up;
mod client;
mod cluster_network;
mod dispatch;
mod durable_writes;
mod echo;
mod http_read;
mod many_nodes;
mod many_routes;
mod memory;
mod native;
mod node;
mod plugins;
mod replication;
mod rows;
mod samples;
mod size;
mod start;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use table::{Row, Table};

type Measurement = fn(&mut Vec<Row>) -> Result<()>;

const MEASUREMENTS: [(&str, Measurement); 13] = [
    ("dispatch", dispatch::measure),
    ("http_read", http_read::measure),
    ("durable_writes", durable_writes::measure),
    ("rows", rows::measure),
    ("many_routes", many_routes::measure),
    ("cluster_network", cluster_network::measure),
    ("many_nodes", many_nodes::measure),
    ("plugins", plugins::measure),
    ("replication", replication::measure),
    ("catch_up", catch_up::measure),
    ("start", start::measure),
    ("memory", memory::measure),
    ("size", size::measure),
];

fn main() -> Result<ExitCode> {
    // cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let ["echo", bytes] = *arguments {
        echo::serve(bytes.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (options, wanted): (Vec<&str>, Vec<&str>) =
        arguments.into_iter().partition(|word| word.starts_with('-'));
    let known = |name: &&&str| MEASUREMENTS.iter().any(|(known, _)| *known == **name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        bail!("there is no measurement '{unknown}'");
    }
    if let Some(unknown) = options.iter().find(|option| **option != "--check") {
        bail!("there is no option {unknown}");
    }

    let table = Table::new();
    let mut missed = 0;
    for (name, measure) in MEASUREMENTS {
        if wanted.is_empty() || wanted.contains(&name) {
            let mut rows = Vec::new();
            measure(&mut rows)?;
            missed += table.print(&rows);
        }
    }
    if missed > 0 {
        println!("{missed} missed their floor.");
    }
    let is_checked = options.contains(&"--check");
    Ok(if is_checked && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
