//! A plugin that misbehaves in every way that the host's limits are for.
//!
//! Each operation does one bad thing, `amount` times or as large, so that a test can stay below a
//! limit as well as go over it.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "the canonical ABI, in what wit-bindgen generates")]

use std::hint::black_box;

use serde_json::{Value, json};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package harper:hostile;
            world hostile {
                include harper:plugin/extension@0.1.0;
                // Which only the clustering plugin is granted.
                import harper:plugin/replication@0.1.0;
            }
        ",
        world: "harper:hostile/hostile",
        generate_all,
    });
}

use bindings::exports::harper::plugin::manifest;
use bindings::exports::harper::plugin::operations::{Caller, Error, Guest, Operation};
use bindings::harper::plugin::{clock, config, log};

mod cluster;
mod settings;

struct Hostile;

const NAMES: &[&str] = &[
    "echo",
    "panic",
    "loop_forever",
    "compute",
    "allocate",
    "recurse",
    "call_host",
    "sleep_together",
    "log_bytes",
    "reply_bytes",
    "reply_no_json",
    "reply_deep_json",
    "sleep",
    "config_get",
    "config_get_to_change",
    "config_get_again",
    "config_get_together",
    "config_set",
    "config_set_again",
    "config_set_zeros",
    "fill_memory",
    "log_lines",
    "refuse_bytes",
    "reply_zeros",
    "remember",
    "node",
    "nats_request",
    "nats_request_together",
    "nats_servers",
    "jetstream_inspect",
    "jetstream_purge",
    "tables_get",
    "tables_list",
    "tables_put",
    "tables_delete",
    "tables_describe",
    "tables_create",
    "tables_create_all",
    "ensure_streams",
    "settle",
    "version",
];

/// Those that say that they change something.
const CHANGES: &[&str] = &[
    "config_get_to_change",
    "config_set",
    "config_set_again",
    "config_set_zeros",
    "jetstream_purge",
    "tables_put",
    "tables_delete",
    "tables_create",
    "tables_create_all",
    "ensure_streams",
];

impl manifest::Guest for Hostile {
    fn asks() -> manifest::Grants {
        settings::asks()
    }
}

impl Guest for Hostile {
    fn describe() -> Vec<Operation> {
        let settings = settings::read();
        let prefix = settings["prefix"].as_str().unwrap_or("hostile");
        match settings["describe"].as_str() {
            Some("trap") => panic!("it does not describe itself"),
            Some("loop") => loop {
                black_box(0);
            },
            Some("log") => (0..1000).for_each(|_| log::write(log::Level::Info, "x")),
            _ => {}
        }
        let most = settings["operations"].as_u64().unwrap_or(NAMES.len() as u64) as usize;
        let (schema, help) = (settings["schema"].to_string(), "Misbehave".to_owned());
        let operation = |name: &str| Operation {
            name: if name.is_empty() { prefix.to_owned() } else { format!("{prefix}_{name}") },
            super_user: *name != *"echo",
            changes: CHANGES.contains(&name) && settings["changes"] != false,
            warning: None,
            help: help.clone(),
            schema: schema.clone(),
        };
        let numbered = |n: usize| operation(&format!("number_{n}"));
        if let Some(only) = settings["only"].as_str() {
            let mut one = operation(only);
            one.super_user &= settings["open"] != true;
            return vec![one; if settings["twice"] == true { 2 } else { 1 }];
        }
        let named = NAMES.iter().take(most).map(|name| operation(name));
        named.chain((NAMES.len()..most).map(numbered)).collect()
    }

    async fn handle(caller: Caller, request: String) -> Result<String, Error> {
        let value: Value = serde_json::from_str(&request).unwrap_or_default();
        let amount = value["amount"].as_u64().unwrap_or_default();
        let size = usize::try_from(amount).unwrap_or(usize::MAX);
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let operation = text("operation");
        let settings = settings::read();
        let prefix = settings["prefix"].as_str().unwrap_or("hostile");
        let name = operation.strip_prefix(prefix).and_then(|name| name.strip_prefix('_'));
        match name.unwrap_or_default() {
            "version" => return Ok(settings["version"].to_string()),
            "echo" => return Ok(json!({ "caller": caller.username, "request": value }).to_string()),
            "panic" => panic!("hostile to the end"),
            "loop_forever" => loop {
                black_box(0);
            },
            // Roughly a millisecond each.
            "compute" => drop((0..amount * 500_000).fold(0, |sum, i| black_box(sum ^ i))),
            "allocate" => drop(black_box(vec![1u8; size])),
            "recurse" => drop(recurse(amount)),
            "call_host" => (0..amount).for_each(|_| drop(clock::now())),
            "sleep_together" => {
                let sleeps: Vec<_> = (0..amount).map(|_| Box::pin(clock::sleep(1))).collect();
                for sleep in sleeps {
                    sleep.await;
                }
            }
            "log_bytes" => log::write(log::Level::Info, &"x\n".repeat(size / 2)),
            "reply_bytes" => return Ok(format!("\"{}\"", "x".repeat(size - 2))),
            "reply_no_json" => return Ok("{".into()),
            "reply_deep_json" => return Ok("[".repeat(size) + &"]".repeat(size)),
            "sleep" => clock::sleep(amount).await,
            "config_get" | "config_get_to_change" => {
                return match config::get(vec![text("path")]).await {
                    Ok(snapshot) => Ok(json!(snapshot.values).to_string()),
                    Err(error) => Err(Error::Failed(format!("{error:?}"))),
                };
            }
            "config_set" => {
                // Any revision: what is not granted is refused before it is looked at.
                let change = config::Change { path: text("path"), value: text("value") };
                return match config::set(text("revision"), vec![change]).await {
                    Ok(revision) => Ok(json!(revision).to_string()),
                    Err(error) => Err(Error::Failed(format!("{error:?}"))),
                };
            }
            // The same path, so many times in one call.
            "config_get_again" => {
                return match config::get(vec![text("path"); size]).await {
                    Ok(snapshot) => Ok(snapshot.values.len().to_string()),
                    Err(error) => Err(Error::Failed(format!("{error:?}"))),
                };
            }
            "config_get_together" => {
                let gets: Vec<_> =
                    (0..amount).map(|_| Box::pin(config::get(vec![text("path")]))).collect();
                for get in gets {
                    drop(get.await);
                }
            }
            "config_set_again" => {
                let change = |n: usize| config::Change { path: text("path"), value: n.to_string() };
                let changes: Vec<_> = (0..size).map(change).collect();
                return match config::set(text("revision"), changes).await {
                    Ok(revision) => Ok(json!(revision).to_string()),
                    Err(error) => Err(Error::Failed(format!("{error:?}"))),
                };
            }
            "config_set_zeros" => {
                let value = zeros(size);
                let change = config::Change { path: text("path"), value };
                return match config::set(text("revision"), vec![change]).await {
                    Ok(revision) => Ok(json!(revision).to_string()),
                    Err(error) => Err(Error::Failed(format!("{error:?}"))),
                };
            }
            // One instruction each, however many bytes.
            "fill_memory" => {
                let mut memory = vec![0u8; 64 << 20];
                for n in 0..amount {
                    black_box(&mut memory).fill(n as u8);
                }
            }
            "log_lines" => {
                let line = "\u{1b}".repeat(4096);
                (0..amount).for_each(|_| log::write(log::Level::Info, &line));
            }
            "refuse_bytes" => return Err(Error::Failed("x".repeat(size))),
            "reply_zeros" => return Ok(zeros(size)),
            "remember" => {
                static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
                return Ok(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
            }
            name => return cluster::handle(name, &value).await,
        }
        Ok("null".into())
    }
}

/// A list of so many zeros, as JSON.
fn zeros(amount: usize) -> String {
    format!("[{}0]", "0,".repeat(amount.saturating_sub(1)))
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == 0 { 0 } else { recurse(depth - 1) + frame[0] }
}

bindings::export!(Hostile with_types_in bindings);
