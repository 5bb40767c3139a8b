//! A client that does as little as a client can: it keeps its connection, has its requests ready,
//! and reads of a reply no more than it must.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64ct::{Base64, Encoding};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Where a server is, and who asks it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) password: String,
}

impl Target {
    /// A whole request.
    pub(crate) fn request(&self, body: &str) -> Vec<u8> {
        let login = Base64::encode_string(format!("admin:{}", self.password).as_bytes());
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {login}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// One connection, which is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reply: Vec::new() })
    }

    /// Sends a request, and returns the status and the body of its reply.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.reply.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.reply).await? > 0, "the server hung up");
            if let Some(end) = self.reply.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = str::from_utf8(&self.reply[..head])?;
        let status = text.split(' ').nth(1).context("a status")?.parse()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let length: usize = length.context("a length")?.parse()?;
        self.reply.reserve(length);
        while self.reply.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.reply).await? > 0, "the server hung up");
        }
        Ok((status, &self.reply[head..]))
    }

    /// The same for a request that must succeed.
    pub(crate) async fn succeed(&mut self, request: &[u8]) -> Result<&[u8]> {
        match self.ask(request).await? {
            (200, body) => Ok(body),
            (status, body) => bail!("status {status}: {}", String::from_utf8_lossy(body)),
        }
    }
}

/// Several connections to one server, on one thread.
pub(crate) struct Clients {
    runtime: Runtime,
    connections: Vec<Connection>,
}

impl Clients {
    pub(crate) fn connect(target: &Target, connections: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let open = (0..connections).map(|_| Connection::open(target.address));
        let connections = runtime.block_on(try_join_all(open))?;
        Ok(Self { runtime, connections })
    }

    /// Sends one request that must succeed, and returns the body of its reply.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let connection = self.connections.first_mut().context("a connection")?;
        Ok(self.runtime.block_on(connection.succeed(request))?.to_owned())
    }

    /// Sends the request again and again on all connections for so long. Returns the replies a
    /// second.
    pub(crate) fn rate(&mut self, request: &[u8], time: Duration) -> Result<f64> {
        let started = Instant::now();
        let ask = async |connection: &mut Connection| {
            let mut replies = 0;
            while started.elapsed() < time {
                connection.succeed(request).await?;
                replies += 1;
            }
            anyhow::Ok(replies)
        };
        let replies = self.runtime.block_on(try_join_all(self.connections.iter_mut().map(ask)))?;
        Ok(f64::from(replies.iter().sum::<u32>()) / started.elapsed().as_secs_f64())
    }

    /// Sends the requests of each connection one after another, all connections at the same time.
    /// Returns the statuses of the replies.
    pub(crate) fn send(&mut self, requests: &[Vec<Vec<u8>>]) -> Result<Vec<u16>> {
        let send = async |(connection, requests): (&mut Connection, &Vec<Vec<u8>>)| {
            let mut statuses = Vec::new();
            for request in requests {
                statuses.push(connection.ask(request).await?.0);
            }
            anyhow::Ok(statuses)
        };
        let all = self.connections.iter_mut().zip(requests).map(send);
        Ok(self.runtime.block_on(try_join_all(all))?.concat())
    }
}
