//! A node in a process of its own, for the tests of the configuration file.
//!
//! `config-writer FOLDER NAME TASKS EACH`: when a line comes in, TASKS tasks at the same time add
//! EACH routes one after another, `NAME-<task>-<n>`. It says `ready`, then `ok HOST` or
//! `error KIND TEXT` for each, and what cluster_get_routes says at the end: `routes JSON`.
//!
//! `config-writer hold FILE`: locks the file, says `ready`, and ends when a line comes in.

use std::env;
use std::fs::File;
use std::io;

use anyhow::{Context, Result, ensure};
use harper_host::{Caller, Host};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["hold", file] => {
            let file = File::options().create(true).truncate(false).write(true).open(file)?;
            file.lock()?;
            ready()
        }
        [folder, name, tasks, each] => {
            add_routes(folder, name, tasks.parse()?, each.parse()?).await
        }
        _ => Err(anyhow::anyhow!("these arguments are not understood: {arguments:?}")),
    }
}

async fn add_routes(folder: &str, name: &str, tasks: usize, each: usize) -> Result<()> {
    let host = Host::builder().root_path(folder).build().await?;
    let caller = Caller::super_user("admin");
    ready()?;
    let add = |task: usize| {
        let (host, caller, name) = (host.clone(), caller.clone(), name.to_owned());
        tokio::spawn(async move {
            for n in 0..each {
                let route = format!("{name}-{task}-{n}");
                let request = json!({
                    "operation": "cluster_set_routes",
                    "server": "hub",
                    "routes": [{ "host": route, "port": 9932 }],
                });
                match host.dispatch(&caller, request).await {
                    Ok(_) => println!("ok {route}"),
                    Err(error) => println!("error {:?} {error}", error.kind),
                }
            }
        })
    };
    let adding: Vec<_> = (0..tasks).map(add).collect();
    for task in adding {
        task.await?;
    }
    match host.dispatch(&caller, json!({ "operation": "cluster_get_routes" })).await {
        Ok(routes) => println!("routes {routes}"),
        Err(error) => println!("error {:?} {error}", error.kind),
    }
    Ok(())
}

/// Says that all is ready, and waits for a line.
fn ready() -> Result<()> {
    println!("ready");
    let mut line = String::new();
    ensure!(io::stdin().read_line(&mut line).context("standard input")? > 0, "nobody is there");
    Ok(())
}
