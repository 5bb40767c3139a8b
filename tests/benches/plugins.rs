//! A plugin's calls beside another's flood, against the same without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harper_host::{Caller, ComponentSource, Grants, Host, Limits};
use harper_tests::hostile::hostile;
use serde_json::{Value, json};

use crate::samples::Samples;
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 15;
/// Of one round, so that its slowest hundredth is several.
const CALLS: usize = 500;
/// Clients of the flood. Each asks for some milliseconds of a processor, again and again.
const FLOOD: usize = 64;

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = crate::node::folder()?;
    std::fs::write(folder.path().join(harper_host::config::FILE_NAME), "")?;
    let plugin = |prefix: &str| ComponentSource::bytes(hostile(&json!({ "prefix": prefix })));
    let mut limits = Limits::default();
    limits.wall_clock = Duration::from_secs(600);
    let builder = Host::builder()
        .root_path(folder.path())
        .plugin("one", plugin("one"), Grants::default(), limits)
        .plugin("two", plugin("two"), Grants::default(), limits);
    let host = runtime.block_on(builder.build())?;

    for (what, request) in [
        ("p99 of a plugin beside another's flood", json!({ "operation": "two_echo" })),
        ("p99 of our own plugin beside a flood", json!({ "operation": "cluster_get_routes" })),
    ] {
        let (mut quiet, mut flooded) = (Samples::default(), Samples::default());
        for round in 0..=ROUNDS {
            let alone = runtime.block_on(p99(&host, &request))?;
            let flood = runtime.block_on(async {
                let flood = Flood::start(&host);
                // It is a flood once it has lasted for a while.
                tokio::time::sleep(Duration::from_millis(200)).await;
                flood
            });
            let beside = runtime.block_on(p99(&host, &request))?;
            runtime.block_on(flood.stop())?;
            if round > 0 {
                quiet.push(alone);
                flooded.push(beside);
            }
        }
        let (unit, floor) = (Unit::Microseconds, Some(Floor::AtMost(2.0)));
        rows.push(Row::against(what, &flooded, "without the flood", &quiet, unit, floor));
    }
    Ok(())
}

/// Seconds that one of a hundred calls takes at least, made one after the other by a client.
async fn p99(host: &Host, request: &Value) -> Result<f64> {
    let (host, request) = (host.clone(), request.clone());
    let client = tokio::spawn(async move {
        let caller = Caller::super_user("admin");
        let mut took = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let began = Instant::now();
            host.dispatch(&caller, request.clone()).await?;
            took.push(began.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        anyhow::Ok(took[CALLS * 99 / 100])
    });
    client.await?
}

/// Clients of a plugin that do not wait for each other.
struct Flood {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Result<usize>>>,
}

impl Flood {
    fn start(host: &Host) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (host, stop) = (host.clone(), stop.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    let compute = json!({ "operation": "one_compute", "amount": 5 });
                    host.dispatch(&Caller::super_user("admin"), compute).await?;
                    calls += 1;
                }
                Ok(calls)
            })
        };
        let clients = (0..FLOOD).map(client).collect();
        Self { stop, clients }
    }

    /// Ends it, and checks that it was one.
    async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let mut calls = 0;
        for client in self.clients {
            calls += client.await??;
        }
        ensure!(calls >= FLOOD, "each client has called");
        Ok(())
    }
}
