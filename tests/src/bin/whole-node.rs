//! A whole node in a process of its own, for tests that kill it.
//!
//! `whole-node <folder> <name> <route's port> <certificate> <key> <authority> [flow]`: prints a line
//! when others can ask it; with `flow`, rows flow. After that each line of its input is a request, or `{"see": true}`, and each
//! line of its output what came of it: `{"reply"}`, `{"error"}` or `{"seen"}`.

use std::io::{Write, stdin, stdout};
use std::path::Path;

use anyhow::{Result, bail};
use harper_host::flow::FlowConfig;
use harper_host::nats::{Route, Tls};
use harper_tests::nats::{NatsNode, config};
use harper_tests::nodes::{ClusterNode, Wanted};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, name, port, certificate, private_key, certificate_authority, flow @ ..] =
        &arguments[..]
    else {
        bail!("six arguments are needed");
    };
    let flow = flow.iter().any(|word| word == "flow").then(FlowConfig::default);
    let tls = Tls {
        certificate: certificate.into(),
        private_key: private_key.into(),
        certificate_authority: certificate_authority.into(),
        insecure: false,
        verify: true,
    };
    let folder = Path::new(folder);
    let mut config = config(folder, name, tls);
    config.hub_routes = vec![Route { host: "127.0.0.1".into(), port: port.parse()? }];
    let servers = NatsNode::start_in(folder, config).await?;
    let node = ClusterNode::on(servers, Wanted { flow, ..Wanted::default() }).await?;
    say(&json!("begun"))?;
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let request: Value = serde_json::from_str(&line)?;
        let answer = if request["see"] == true {
            match node.seen().await {
                Ok(seen) => json!({ "seen": seen }),
                Err(error) => json!({ "error": error.to_string() }),
            }
        } else {
            match node.send(request).await {
                Ok(reply) => json!({ "reply": reply }),
                Err(error) => json!({ "error": error.message }),
            }
        };
        say(&answer)?;
    }
    Ok(())
}

/// The lines of the input, until it ends: whoever started this may end too.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn say(what: &Value) -> Result<()> {
    println!("{what}");
    Ok(stdout().flush()?)
}
