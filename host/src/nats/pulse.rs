//! Whether a server of this node's own still answers. One that hangs neither ends nor closes its
//! connections, and whatever is asked of others through it would look like their silence.
//!
//! The question is NATS's own `PING`, on a connection that is there for nothing else: no message
//! stands before it, so a server under load answers within milliseconds. Only silence counts. A
//! server that refuses or closes the connection is alive, or has ended, which its keeper sees.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::document::address;
use super::process::Launch;
use super::{Config, ServerKind};

/// From an answer to the next question.
const PAUSE: Duration = Duration::from_secs(1);
/// A question has so long to be answered; the first one that is not makes the server's state
/// `Silent`.
const ROUND: Duration = Duration::from_secs(2);
/// So many in a row that were not, and the server hangs.
const ROUNDS: u32 = 3;
/// A round that ended later than this says more of the machine than of the server.
const LATE: Duration = Duration::from_secs(1);
/// Bytes of a line of the protocol.
const LONGEST: usize = 64 << 10;

/// The time in which a server that hangs does not answer before it is killed.
pub(super) const PATIENCE: Duration = Duration::from_secs(ROUND.as_secs() * ROUNDS as u64);

/// Asks one server, whichever process it is at the moment.
pub(super) struct Pulse {
    kind: ServerKind,
    launch: Arc<Launch>,
    connection: Option<Connection>,
}

struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
    /// What has come of a line so far.
    line: Vec<u8>,
}

impl Pulse {
    pub(super) fn new(kind: ServerKind, launch: Arc<Launch>) -> Self {
        Self { kind, launch, connection: None }
    }

    /// Until the server hangs; meanwhile its state says whether it answers. May be dropped at any
    /// time.
    pub(super) async fn lost(&mut self) {
        let (kind, server) = (self.kind, self.kind.name());
        let mut missed = 0;
        loop {
            let asked = Instant::now();
            match timeout(ROUND, self.ask()).await {
                Err(_) if asked.elapsed() > ROUND + LATE => {
                    tracing::debug!(server, "this host is too busy to tell whether it answers");
                }
                Err(_) => {
                    missed += 1;
                    if missed == 1 {
                        tracing::warn!(server, "nats-server has not answered for {ROUND:?}");
                        self.launch.state.silent(kind, true);
                    }
                    if missed == ROUNDS {
                        return;
                    }
                }
                Ok(answer) => {
                    if missed > 0 {
                        tracing::info!(server, "nats-server answers again");
                        self.launch.state.silent(kind, false);
                    }
                    missed = 0;
                    if let Err(error) = answer {
                        self.connection = None;
                        tracing::debug!(server, "nats-server could not be asked: {error}");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// When it is dropped what was asked may be answered to the next question, which is as good.
    async fn ask(&mut self) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::make(self.kind, &self.launch).await?,
        };
        connection.send(b"PING\r\n").await?;
        self.connection.insert(connection).answer().await
    }
}

impl Connection {
    async fn make(kind: ServerKind, launch: &Launch) -> io::Result<Self> {
        let (host, port) = address(kind, &launch.config, launch.state.ports());
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        // The server speaks first, in the clear, and then waits for the handshake.
        let mut line = Vec::new();
        read_line(&mut BufReader::new(&mut stream), &mut line).await?;
        let connector = TlsConnector::from(Arc::new(launch.tls.clone()));
        let stream = connector.connect(ServerName::from(host), stream).await?;
        let mut connection = Self { stream: BufReader::new(stream), line: Vec::new() };
        connection.send(&login(&launch.config)?).await?;
        Ok(connection)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn answer(&mut self) -> io::Result<()> {
        loop {
            read_line(&mut self.stream, &mut self.line).await?;
            let line = std::mem::take(&mut self.line);
            match &*line {
                b"PONG\r\n" => return Ok(()),
                b"PING\r\n" => self.send(b"PONG\r\n").await?,
                refused if refused.starts_with(b"-ERR") => {
                    let text = String::from_utf8_lossy(refused).trim_end().to_owned();
                    return Err(io::Error::other(text));
                }
                // What it tells its clients of itself.
                _ => {}
            }
        }
    }
}

/// Reads on to the end of the line; what was read stays in `line` when this is dropped.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<()> {
    let left = LONGEST.saturating_sub(line.len()) as u64;
    stream.take(left).read_until(b'\n', line).await?;
    if line.ends_with(b"\n") { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[derive(Serialize)]
struct Login<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'static str,
    lang: &'static str,
    version: &'static str,
    user: String,
    pass: &'a str,
}

/// As the user of the system account, which no data passes through.
fn login(config: &Config) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(4 << 10));
    line.extend_from_slice(b"CONNECT ");
    let login = Login {
        verbose: false,
        pedantic: false,
        tls_required: true,
        name: "harper-host, whether it answers",
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        user: config.admin(),
        pass: &config.password,
    };
    serde_json::to_writer(&mut *line, &login)?;
    line.extend_from_slice(b"\r\n");
    Ok(line)
}
