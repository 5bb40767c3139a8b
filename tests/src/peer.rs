//! A Harper 4 node in JavaScript, `tests/peers/peer.js`, run and told what to do by a test.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::javascript;

/// For what takes no time unless the machine is busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node that serves `<node>.__request__` and asks others. It is killed when this is dropped, and
/// ends by itself when the test's process does.
#[derive(Debug)]
pub struct Peer {
    // Killed on drop.
    _process: Child,
    commands: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    requests: tokio::sync::Mutex<mpsc::UnboundedReceiver<Request>>,
    transactions: tokio::sync::Mutex<mpsc::UnboundedReceiver<Transaction>>,
    next_id: AtomicU64,
    reader: JoinHandle<()>,
}

/// A user of the NATS server. Not to be printed.
#[derive(Clone)]
pub struct Credentials {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// PEM files for mutual TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate of the authority that signed the server's.
    pub authority: PathBuf,
    /// The peer's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What another node replied.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// As npm msgpackr decodes it.
    pub body: Json,
    /// As it came.
    pub bytes: Vec<u8>,
}

/// What another node asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// As npm msgpackr decodes it.
    pub body: Json,
    /// As it came.
    pub bytes: Vec<u8>,
}

/// What a table's stream of another node has brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// As npm msgpackr decodes it and `tests/peers/describe.js` says it.
    pub said: Json,
    /// Its headers: a list of values by name.
    pub headers: Json,
    /// As it came.
    pub bytes: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody serves the node's subject.
    #[error("nobody listens")]
    NoResponders,
    /// Somebody does, and did not reply in time.
    #[error("no reply in time")]
    Timeout,
    /// Anything else; the reply is no MessagePack, for one.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// How the peer replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Normal,
    /// As it should, and so much later.
    Slow(Duration),
    /// Not at all.
    Silent,
    /// With an error of this message.
    Error(String),
    /// With bytes that are no MessagePack.
    Garbage,
}

/// A command's answer, by its id.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Json>>>>;

impl Peer {
    /// Starts a node of this name at the NATS server of `url` (`nats://…`), and waits until it
    /// serves.
    ///
    /// # Errors
    ///
    /// When Node.js or its packages are missing, or when the peer cannot connect.
    pub async fn start(
        node: &str,
        url: &str,
        credentials: &Credentials,
        tls: Option<&Tls>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::from(javascript::command("peer.js")?);
        command
            .env("PEER_NODE", node)
            .env("PEER_URL", url)
            .env("PEER_USER", &credentials.user)
            .env("PEER_PASSWORD", &credentials.password);
        if let Some(tls) = tls {
            command
                .env("PEER_CA", &tls.authority)
                .env("PEER_CERTIFICATE", &tls.certificate)
                .env("PEER_KEY", &tls.key);
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting node")?;
        let commands = process.stdin.take().context("the peer has no standard input")?;
        let output = process.stdout.take().context("the peer has no standard output")?;

        let mut lines = BufReader::new(output).lines();
        let first =
            timeout(DEADLINE, lines.next_line()).await.context("the peer says nothing")??;
        let first: Json = serde_json::from_str(&first.context("the peer has ended")?)?;
        if first["event"] != "ready" {
            bail!("the peer {node} cannot start: {}", first["error"]);
        }
        let waiting = Waiting::default();
        let (requested, requests) = mpsc::unbounded_channel();
        let (came, transactions) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read(lines, Arc::clone(&waiting), requested, came));
        Ok(Self {
            _process: process,
            commands: commands.into(),
            waiting,
            requests: requests.into(),
            transactions: transactions.into(),
            next_id: AtomicU64::new(0),
            reader,
        })
    }

    /// Asks another node, with the records that Harper's requests have.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    pub async fn ask(&self, node: &str, body: Json, within: Duration) -> Result<Reply, AskError> {
        self.ask_with(json!({ "ask": node, "body": body }), within).await
    }

    /// Sends another node these bytes as a request.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    pub async fn send(
        &self,
        node: &str,
        bytes: &[u8],
        within: Duration,
    ) -> Result<Reply, AskError> {
        self.ask_with(json!({ "ask": node, "raw": hex(bytes) }), within).await
    }

    async fn ask_with(&self, mut command: Json, within: Duration) -> Result<Reply, AskError> {
        command["timeout"] = json!(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        let answer = self.tell(command, within + DEADLINE).await?;
        if let Some(error) = answer.get("error") {
            return Err(match answer["code"].as_str() {
                Some("503") => AskError::NoResponders,
                Some("TIMEOUT") => AskError::Timeout,
                _ => AskError::Other(anyhow!("{error}")),
            });
        }
        Ok(Reply { body: answer["reply"].clone(), bytes: bytes_of(&answer)? })
    }

    /// From now on it replies so: to this operation, or to all that have no behaviour of their own.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn behave(&self, operation: Option<&str>, how: Behaviour) -> anyhow::Result<()> {
        let mut behaviour = match how {
            Behaviour::Normal => json!({ "as": "normal" }),
            Behaviour::Slow(by) => json!({ "as": "slow", "ms": u64::try_from(by.as_millis())? }),
            Behaviour::Silent => json!({ "as": "silent" }),
            Behaviour::Error(message) => json!({ "as": "error", "message": message }),
            Behaviour::Garbage => json!({ "as": "garbage" }),
        };
        if let Some(operation) = operation {
            behaviour["operation"] = operation.into();
        }
        self.tell(json!({ "behave": behaviour }), DEADLINE).await.map(drop)
    }

    /// Gives it these tables in place of what it has: `{db: {table: {hash_attribute, attributes}}}`.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn set_tables(&self, tables: Json) -> anyhow::Result<()> {
        self.tell(json!({ "tables": tables }), DEADLINE).await.map(drop)
    }

    /// Its tables.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn tables(&self) -> anyhow::Result<Json> {
        Ok(self.tell(json!({ "show": true }), DEADLINE).await?["tables"].take())
    }

    /// Its node records, `[{name, subscriptions, system_info}]`.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn nodes(&self) -> anyhow::Result<Json> {
        Ok(self.tell(json!({ "show": true }), DEADLINE).await?["nodes"].take())
    }

    /// The next request that other nodes have sent it, waiting for one if need be.
    ///
    /// # Errors
    ///
    /// When none comes, or the peer is gone.
    pub async fn next_request(&self) -> anyhow::Result<Request> {
        let mut requests = self.requests.lock().await;
        let request = timeout(DEADLINE, requests.recv()).await.context("no request came")?;
        request.context("the peer has ended")
    }

    /// Makes the stream of its table, in its own leaf's domain.
    ///
    /// # Errors
    ///
    /// When the server refuses, or the peer is gone.
    pub async fn make_stream(&self, schema: &str, table: &str) -> anyhow::Result<()> {
        let command = json!({ "stream": { "schema": schema, "table": table } });
        self.tell_of_streams(command).await.map(drop)
    }

    /// Publishes a transaction on the stream of its table, with records or plainly, and returns its
    /// sequence. `peer.js` says what stands for dates and `BigInt`.
    ///
    /// # Errors
    ///
    /// When the server refuses, or the peer is gone.
    pub async fn publish(&self, transaction: Json, plain: bool) -> anyhow::Result<u64> {
        let command = json!({ "publish": transaction, "plain": plain });
        let answer = self.tell_of_streams(command).await?;
        answer["sequence"].as_u64().context("the peer says no sequence")
    }

    /// Subscribes to a table of another node, from the first message of its stream on.
    ///
    /// # Errors
    ///
    /// When there is no such stream, or the peer is gone.
    pub async fn subscribe(&self, node: &str, schema: &str, table: &str) -> anyhow::Result<()> {
        let command = json!({ "subscribe": node, "schema": schema, "table": table });
        self.tell_of_streams(command).await.map(drop)
    }

    /// The next transaction of the tables that it has subscribed to, waiting for one if need be.
    ///
    /// # Errors
    ///
    /// When none comes, or the peer is gone.
    pub async fn next_transaction(&self) -> anyhow::Result<Transaction> {
        let mut transactions = self.transactions.lock().await;
        let next = timeout(DEADLINE, transactions.recv()).await.context("no transaction came")?;
        next.context("the peer has ended")
    }

    async fn tell_of_streams(&self, command: Json) -> anyhow::Result<Json> {
        let answer = self.tell(command, DEADLINE).await?;
        match answer.get("error") {
            Some(error) => bail!("the peer fails: {error}"),
            None => Ok(answer),
        }
    }

    async fn tell(&self, mut command: Json, within: Duration) -> anyhow::Result<Json> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        command["id"] = id.into();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let said = async {
            let line = format!("{command}\n");
            self.commands.lock().await.write_all(line.as_bytes()).await?;
            answer.await.context("the peer has ended")
        };
        timeout(within, said).await.context("the peer does not answer")?
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Hands out what the peer says, until it ends: then all who wait are told so.
async fn read(
    mut lines: tokio::io::Lines<BufReader<ChildStdout>>,
    waiting: Waiting,
    requests: mpsc::UnboundedSender<Request>,
    transactions: mpsc::UnboundedSender<Transaction>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Json>(&line) else {
            eprintln!("the peer says what is no JSON: {line}");
            break;
        };
        if let Some(id) = message["id"].as_u64() {
            let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // Who asked may have given up.
            sender.map(|sender| sender.send(message));
        } else if message["event"] == "request" {
            let Ok(bytes) = bytes_of(&message) else { break };
            let _ = requests.send(Request { body: message["body"].clone(), bytes });
        } else if message["event"] == "transaction" {
            let Ok(bytes) = bytes_of(&message) else { break };
            let [said, headers] = ["said", "headers"].map(|key| message[key].clone());
            let _ = transactions.send(Transaction { said, headers, bytes });
        } else {
            eprintln!("the peer fails: {line}");
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn bytes_of(message: &Json) -> anyhow::Result<Vec<u8>> {
    let hex = message["bytes"].as_str().context("the peer says no bytes")?.as_bytes();
    hex.chunks(2).map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
