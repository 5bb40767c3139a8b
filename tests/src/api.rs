//! A node with its operations API, and a client that asks it one thing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use harper_host::api::{Config, Server};
use harper_host::audit::AuditLog;
use harper_host::config::{ConfigFile, FILE_NAME};
use harper_host::data::{Data, DataConfig};
use harper_host::store::Store;
use harper_host::users::Users;
use harper_host::{Host, HostBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No reply takes longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that serves the operations API on a free port of 127.0.0.1.
pub struct ApiNode {
    /// Where it listens.
    pub address: SocketAddr,
    data: Data,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl ApiNode {
    /// Starts a node in `root`, where its configuration file is, with the users that are in its
    /// database there. The port is a free one, whatever the file says.
    pub async fn start(root: &Path) -> anyhow::Result<Self> {
        Self::start_with(root, |host| host).await
    }

    /// The same, whose host is given more than that.
    pub async fn start_with(
        root: &Path,
        give: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> anyhow::Result<Self> {
        let settings = ConfigFile::open(root.join(FILE_NAME))?.settings()?;
        let store = Store::open(root).await?;
        let data = Data::open(store.clone(), DataConfig::default()).await?;
        let users = Users::open(store, settings.cache_ttl);
        let audit = AuditLog::open(root, settings.audit_max_size, settings.audit_max_files)?;
        let host =
            Host::builder().root_path(root).users(users.clone()).data(data.clone()).audit(audit);
        let host = give(host).build().await?;
        let config = Config { port: Some(0), ..Config::from(&settings) };
        let server = Server::bind(config, host, users).await?;
        let address = server.addresses().http.context("it serves HTTP")?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { address, data, stop, served: tokio::spawn(server.serve(stopped)) })
    }

    /// Stops it, and waits until nothing of it runs any more.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.served.await?;
        self.data.close().await;
        Ok(())
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The names in lower case, and the values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = str::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").context("a reply has a head")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        let reply =
            Self { status: status.parse()?, headers: headers.collect(), body: body.to_owned() };
        let length = reply.header("content-length").unwrap_or("0");
        anyhow::ensure!(length.parse() == Ok(body.len()), "the body is not {length} bytes: {body}");
        Ok(reply)
    }
}

/// Sends one request on a connection of its own. `line` is the method and the path; `headers` are
/// whole lines, beside those that each request needs.
pub async fn ask(
    address: SocketAddr,
    line: &str,
    headers: &[String],
    body: &[u8],
) -> anyhow::Result<Reply> {
    let mut request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut reply = Vec::new();
    timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&[request.as_bytes(), body].concat()).await?;
        stream.read_to_end(&mut reply).await
    })
    .await
    .context("no reply in time")??;
    Reply::read(&reply).with_context(|| String::from_utf8_lossy(&reply).into_owned())
}
