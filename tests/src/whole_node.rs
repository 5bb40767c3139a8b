//! The program `whole-node`: a node in a process of its own, of which nothing but its folder stays
//! when it is killed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use harper_host::nats::Tls;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::nodes::Nodes;

/// A node that is started again and again.
pub struct WholeNode {
    program: &'static str,
    folder: TempDir,
    tls: Tls,
    port: u16,
}

/// It, while it runs; killed when this is dropped.
pub struct Process {
    child: Child,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl WholeNode {
    /// Node `node-2`, which joins the first of the cluster. `program` is where cargo has built it.
    ///
    /// # Errors
    /// The cluster has no node, or files cannot be made.
    pub fn beside(cluster: &Nodes, program: &'static str) -> Result<Self> {
        Self::in_folder(tempfile::tempdir()?, cluster, program)
    }

    /// The same in a folder of the caller's.
    ///
    /// # Errors
    /// The cluster has no node, or files cannot be made.
    pub fn in_folder(folder: TempDir, cluster: &Nodes, program: &'static str) -> Result<Self> {
        let first = cluster.nodes.first().context("there is no node")?;
        Ok(Self {
            program,
            folder,
            tls: cluster.authority.issue("node-2", &["127.0.0.1"])?,
            port: first.servers.route().port,
        })
    }

    /// Starts it with these arguments more, and waits until it says that it has begun.
    pub async fn start(&self, more: &[&str]) -> Result<Process> {
        let files: [&PathBuf; 3] =
            [&self.tls.certificate, &self.tls.private_key, &self.tls.certificate_authority];
        let mut child = Command::new(self.program)
            .arg(self.folder.path())
            .args(["node-2", &self.port.to_string()])
            .args(files)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("an input")?;
        let mut output = BufReader::new(child.stdout.take().context("an output")?).lines();
        let said = output.next_line().await?;
        ensure!(said.as_deref() == Some("\"begun\""), "it says {said:?}");
        Ok(Process { child, pipes: Mutex::new((input, output)) })
    }
}

impl Process {
    /// Its process id; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Says a line to it, and returns what it answers; an error when that is one.
    pub async fn say(&self, line: &Value) -> Result<Value> {
        let mut pipes = self.pipes.lock().await;
        pipes.0.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = pipes.1.next_line().await?.context("it has ended")?;
        let answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }

    /// Has it perform an operation.
    pub async fn send(&self, request: Value) -> Result<Value> {
        Ok(self.say(&request).await?["reply"].take())
    }

    /// Kills it.
    pub async fn kill(mut self) -> Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }
}
