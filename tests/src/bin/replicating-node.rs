//! A node's servers and its reconciler in a process of their own, for tests that kill it.
//!
//! `replicating-node <folder> <name> <route's port> <certificate> <key> <authority>`: prints a line
//! when it has begun, and goes on until it is killed.

use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Result, bail};
use harper_host::nats::{Route, Supervisor, Tls};
use harper_host::replication::{Reconciler, StreamLimits};
use harper_host::store::Store;
use harper_tests::nats::config;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, name, port, certificate, private_key, certificate_authority] = &arguments[..]
    else {
        bail!("six arguments are needed");
    };
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
    let (_supervisor, nats) = Supervisor::start(config).await?;
    let store = Store::open(folder).await?;
    let _reconciler = Reconciler::start(store, nats, StreamLimits::default()).await?;
    println!("begun");
    stdout().flush()?;
    std::future::pending().await
}
