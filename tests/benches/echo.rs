//! The axum server that only echoes, in a process of its own.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::client::Target;

/// Serves for good: reads a request's body, and replies with so many bytes of JSON. It says where.
pub(crate) fn serve(bytes: usize) -> Result<Infallible> {
    let reply = Bytes::from(format!("\"{}\"", "x".repeat(bytes.saturating_sub(2))));
    let router = Router::new().route(
        "/",
        post(async move |_: Bytes| ([(CONTENT_TYPE, "application/json")], reply.clone())),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    })
}

/// The process. It is killed when it is dropped.
pub(crate) struct Echo {
    process: Child,
    pub(crate) target: Target,
}

impl Echo {
    /// Starts one that replies with so many bytes. Its clients send a login as a node's do.
    pub(crate) fn start(bytes: usize, password: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["echo", &bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().context("its output")?).read_line(&mut line)?;
        let address = line.trim().parse().context("where the echo is")?;
        Ok(Self { process, target: Target { address, password: password.into() } })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
