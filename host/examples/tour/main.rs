//! `make run`: starts three nodes in fresh folders and plays all eleven requests of the document against
//! the first through HTTP, with the names and addresses of these nodes. Prints each request and reply,
//! and in the end which of the document's replies came. On a terminal the nodes serve on until Ctrl-C.

mod document;
mod node;

use std::error::Error;
use std::io::{IsTerminal, stdin, stdout};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use document::{example, is_like};
use node::Node;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Nodes on one machine are joined long before.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let folder = node::target()?.join("cluster");
    let nodes = node::start(&folder, ["node1", "node2", "node3"])?;
    println!("Three nodes run in {}, their logs are node.log there.", folder.display());
    for node in &nodes {
        println!("{} is at {}, its hub at port {}.", node.name, node.url, node.port);
    }
    println!("User admin, password {} (made up for this run).", nodes[0].password);

    println!("\n\nThe document's requests to node1, with names and addresses of these nodes:");
    let mut play = Play { node: &nodes[0], table: Vec::new() };
    play.routes(&nodes)?;
    play.subscriptions()?;
    play.rows(&nodes)?;
    play.end(&nodes)?;
    play.print_table();

    if stdin().is_terminal() && stdout().is_terminal() {
        let Node { root, url, password, .. } = &nodes[0];
        println!("\nThe nodes serve on. Ctrl-C ends them. Ask one from another terminal:\n");
        println!(
            "  {} cluster_network --rootpath {}\n",
            node::program()?.display(),
            root.display()
        );
        println!(
            "  curl -u admin:{password} -H 'Content-Type: application/json' {url} \\\n    \
             -d '{{\"operation\": \"cluster_network\"}}'",
        );
    } else {
        nodes.iter().try_for_each(Node::stop)?;
    }
    nodes.into_iter().try_for_each(Node::wait)
}

/// The requests to one node, and what came of them.
struct Play<'a> {
    node: &'a Node,
    table: Vec<(String, &'static str)>,
}

impl Play<'_> {
    fn routes(&mut self, nodes: &[Node]) -> Result<()> {
        let routes = routes_to(&nodes[1..]);
        let mut set = example("cluster_set_routes", &[])?;
        set.request["routes"] = routes.clone();
        set.reply["set"] = routes.clone();
        self.expect(set)?;
        let routed = Instant::now();
        let mut get = example("cluster_get_routes", &[])?;
        get.reply["hub"] = routes;
        self.expect(get)?;
        let others = nodes.len() - 1;
        let joined = |reply: &Value| {
            let connected = |node: &Value| node["connected_nodes"].as_array().map(Vec::len);
            let nodes = reply["nodes"].as_array();
            nodes.is_some_and(|nodes| {
                nodes.len() == others + 1
                    && nodes.iter().all(|node| connected(node) == Some(others))
            })
        };
        self.until("cluster_network", joined)?;
        let took = routed.elapsed().as_millis();
        println!(
            "All three, each connected to the other two, {took} ms after the routes were sent."
        );
        Ok(())
    }

    fn subscriptions(&mut self) -> Result<()> {
        println!(
            "\nThe document's tables dev.dog and data.dog are made on node1; the other nodes get them"
        );
        println!("with the subscriptions.");
        for database in ["dev", "data"] {
            let make = json!({
                "operation": "create_table",
                "database": database,
                "table": "dog",
                "primary_key": "id",
            });
            self.send(&make)?;
        }
        self.expect(example("add_node", &[("ec2-3-22-181-22", "node2")])?)?;
        self.expect(example("update_node", &[("ec2-18-223-239-195", "node2")])?)?;
        self.expect(example("set_node_replication", &[("node1", "node3")])?)?;
        let open = |reply: &Value| {
            let connections = reply["connections"].as_array();
            connections.is_some_and(|connections| {
                connections.len() == 2 && connections.iter().all(|one| one["status"] == "open")
            })
        };
        self.until("cluster_status", open)?;
        let names = [("ec2-3-137-184-8", "node2"), ("ec2-18-223-239-195", "node3")];
        self.expect(example("configure_cluster", &names)?)
    }

    /// Rows go where the subscriptions say, and nowhere else.
    fn rows(&self, nodes: &[Node]) -> Result<()> {
        let [node1, node2, node3] = nodes else { return Err("three nodes".into()) };
        println!(
            "\nA row that is inserted on node1 goes to node3, which node1 publishes dev.dog to:"
        );
        let took = Self::follow(node1, &json!({ "id": 1, "name": "Penny" }), node3)?;
        println!("node3 has it, {took:.1} ms after the request was sent.");
        println!("\nOne that is inserted on node2 goes to node1, which subscribes to it:");
        let took = Self::follow(node2, &json!({ "id": 2, "name": "Kato" }), node1)?;
        println!("node1 has it, {took:.1} ms after the request was sent.");
        for (node, id) in [(node2, 1), (node3, 2)] {
            if !find(node, &json!(id))?.is_null() {
                return Err(format!("{} has a row that nothing sends it", node.name).into());
            }
        }
        println!(
            "node2 has not got the first, nor node3 the second: nothing says that they should."
        );
        Ok(())
    }

    /// Inserts a row on one node, and returns after how many milliseconds another has it.
    fn follow(from: &Node, row: &Value, to: &Node) -> Result<f64> {
        // Who they are is known to both from here on: logging in is slow by intent.
        find(to, &row["id"])?;
        let insert = json!({
            "operation": "insert",
            "database": "dev",
            "table": "dog",
            "records": [row],
        });
        let sent = Instant::now();
        let (status, reply) = from.send(&insert)?;
        println!("\nPOST / {insert:#}\n{status} {reply:#}");
        if status != 200 {
            return Err("the request failed".into());
        }
        while find(to, &row["id"])?["name"] != row["name"] {
            if sent.elapsed() > PATIENCE {
                return Err(format!("{} has not got it: see its node.log", to.name).into());
            }
        }
        Ok(sent.elapsed().as_secs_f64() * 1000.0)
    }

    fn end(&mut self, nodes: &[Node]) -> Result<()> {
        // Its reply is not in the document.
        let mut purge = example("purge_stream", &[])?;
        purge.reply["purged"] = json!(0);
        self.expect(purge)?;
        self.expect(example("remove_node", &[("ec2-3-22-181-22", "node3")])?)?;
        let mut delete = example("cluster_delete_routes", &[])?;
        let last = routes_to(&nodes[2..]);
        delete.request["routes"] = last.clone();
        delete.reply["deleted"] = last;
        self.expect(delete)
    }

    /// Sends a request of the document's, prints it with its reply, and compares that.
    fn expect(&mut self, example: document::Example) -> Result<()> {
        let reply = self.send(&example.request)?;
        if reply != example.reply {
            return Err(
                format!("that is not the document's reply, which is {:#}", example.reply).into()
            );
        }
        // The one whose reply the document leaves out.
        let words = match example.request["operation"] == "purge_stream" {
            true => "as expected; the document shows none",
            false => "value for value",
        };
        println!("That is the reply, {words}.");
        self.note(&example.request, words);
        Ok(())
    }

    fn send(&self, request: &Value) -> Result<Value> {
        let (status, reply) = self.node.send(request)?;
        println!("\nPOST / {request:#}\n{status} {reply:#}");
        if status == 200 { Ok(reply) } else { Err("the request failed".into()) }
    }

    /// Sends the document's request until the reply is such, prints both, and compares their shape.
    fn until(&mut self, operation: &str, is_such: impl Fn(&Value) -> bool) -> Result<()> {
        let document::Example { request, reply: documents } = example(operation, &[])?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, reply) = self.node.send(&request)?;
            let is_such = status == 200 && is_such(&reply);
            if is_such || Instant::now() > deadline {
                println!("\nPOST / {request:#}\n{status} {reply:#}");
                if !is_such {
                    return Err("the nodes were not joined in time: see their node.log".into());
                }
                if !is_like(&reply, &documents) {
                    return Err("that is not like the document's reply".into());
                }
                self.note(&request, "key for key; names, times and ports are this cluster's");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn note(&mut self, request: &Value, words: &'static str) {
        self.table.push((request["operation"].as_str().unwrap_or_default().to_owned(), words));
    }

    fn print_table(&self) {
        println!(
            "\nWhat came of the document's {} operations, beside its replies:\n",
            self.table.len()
        );
        for (operation, words) in &self.table {
            println!("  {operation:<22} {words}");
        }
    }
}

/// The row of dev.dog with this id; null where there is none.
fn find(node: &Node, id: &Value) -> Result<Value> {
    let search = json!({
        "operation": "search_by_id",
        "database": "dev",
        "table": "dog",
        "ids": [id],
        "get_attributes": ["*"],
    });
    let (status, reply) = node.send(&search)?;
    if status == 200 { Ok(reply[0].clone()) } else { Err(format!("{reply}").into()) }
}

fn routes_to(nodes: &[Node]) -> Value {
    nodes.iter().map(|node| json!({ "host": "127.0.0.1", "port": node.port })).collect()
}
