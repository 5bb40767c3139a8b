//! Sends a request to a node: over its socket, over TCP, or over TLS.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail};
use base64ct::{Base64, Encoding};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::login::Login;
use super::output::printable;
use super::target::{Target, Url};
use super::tls;

/// Until somebody listens, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest reply, in bytes.
const LARGEST: usize = 1 << 30;

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub body: Bytes,
    /// Who answered.
    pub from: String,
}

/// A node, and how to reach it.
pub(super) struct Client {
    pub target: Target,
    /// For a target that wants one.
    pub login: Option<Login>,
    /// For https.
    pub tls: Option<TlsConnector>,
    /// Until the whole reply is here.
    pub deadline: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    /// Sends the request, and waits for the reply.
    pub(super) async fn send(&self, request: &Map<String, Value>) -> Result<Reply> {
        let body = serde_json::to_vec(request)?;
        let head = self.head(Method::POST, "")?.header(header::CONTENT_TYPE, "application/json");
        self.ask(head.body(Full::new(body.into()))?).await
    }

    /// Asks for what is at a path of the API.
    pub(super) async fn get(&self, path: &str) -> Result<Reply> {
        self.ask(self.head(Method::GET, path)?.body(Full::default())?).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let began = tokio::time::Instant::now();
        let patience = CONNECT.min(self.deadline);
        let target = &self.target;
        let stream = timeout(patience, self.connect())
            .await
            .map_err(|_| anyhow!("{target} does not answer within {} s", patience.as_secs()))??;
        let left = self.deadline.saturating_sub(began.elapsed());
        timeout(left, self.exchange(stream, request)).await.map_err(|_| {
            anyhow!(
                "{target} did not reply within {} s; whether it did what was asked is not known",
                self.deadline.as_secs()
            )
        })?
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        match &self.target {
            Target::Folder(folder) => {
                let socket = Target::socket(folder);
                match UnixStream::connect(&socket).await {
                    Ok(stream) => {
                        check_owner(&stream, folder)?;
                        Ok(Box::new(stream))
                    }
                    Err(error) => Err(no_socket(&error, folder, &self.target)),
                }
            }
            Target::Url(url) => {
                let stream = TcpStream::connect((url.host.as_str(), url.port))
                    .await
                    .map_err(|error| no_server(&error, url))?;
                match &self.tls {
                    Some(connector) => Ok(Box::new(tls::connect(connector, stream, url).await?)),
                    None => Ok(Box::new(stream)),
                }
            }
        }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply> {
        let from = self.target.to_string();
        let lost = |error| self.lost(&error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let talk = async {
            let response = sender.send_request(request).await.map_err(lost)?;
            let status = response.status().as_u16();
            let too_large = || anyhow!("the reply of {from} is larger than 1 GiB");
            // Nothing is read of one that says so beforehand.
            if response.body().size_hint().lower() > LARGEST as u64 {
                return Err(too_large());
            }
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => self.lost(&error),
                Err(error) if error.is::<LengthLimitError>() => too_large(),
                Err(error) => anyhow!("the reply of {from} cannot be read: {error}"),
            })?;
            Ok(Reply { status, body: body.to_bytes(), from: from.clone() })
        };
        let mut talk = std::pin::pin!(talk);
        tokio::select! {
            biased;
            reply = &mut talk => return reply,
            // What became of it `talk` is told too.
            _ = connection => {}
        }
        talk.await
    }

    /// A request for what is below the API's own path.
    fn head(&self, method: Method, below: &str) -> Result<request::Builder> {
        let (path, host) = match &self.target {
            Target::Folder(_) => ("/", "localhost"),
            Target::Url(url) => (url.path.as_str(), url.authority.as_str()),
        };
        let path = match below {
            "" => path.to_owned(),
            below => format!("{}{below}", path.trim_end_matches('/')),
        };
        let mut head = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("harper-host/", env!("CARGO_PKG_VERSION")));
        if let Some(Login { username, password }) = &self.login {
            let pair = Zeroizing::new(format!("{username}:{}", password.as_str()));
            let basic = Zeroizing::new(format!("Basic {}", Base64::encode_string(pair.as_bytes())));
            let mut basic = HeaderValue::from_str(&basic)?;
            basic.set_sensitive(true);
            head = head.header(header::AUTHORIZATION, basic);
        }
        Ok(head)
    }

    fn lost(&self, error: &hyper::Error) -> Error {
        let target = &self.target;
        let hint = match target {
            Target::Url(url) if !url.tls => "; perhaps it is at https://",
            _ => "",
        };
        match error {
            error if error.is_parse() => anyhow!("{target} does not speak HTTP{hint}"),
            _ => anyhow!(
                "{target} closed the connection before its reply; whether it did what was asked \
                 is not known"
            ),
        }
    }
}

/// Where others may write to the folder, they may have made the socket: nothing is sent to someone
/// who is neither this user, nor root, nor the folder's owner.
fn check_owner(stream: &UnixStream, folder: &Path) -> Result<()> {
    let theirs = stream.peer_cred()?.uid();
    let owner = std::fs::metadata(folder)?.uid();
    if [rustix::process::geteuid().as_raw(), 0, owner].contains(&theirs) {
        return Ok(());
    }
    let folder = printable(&folder.to_string_lossy());
    bail!("the socket in {folder} is of another user, whose uid is {theirs}: nothing was sent")
}

fn no_socket(error: &io::Error, folder: &Path, target: &Target) -> Error {
    let folder = printable(&folder.to_string_lossy());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow!(
            "no node answers at {target}: is it running? start it with 'harper-host run \
             --rootpath {folder}', or name another folder with --rootpath or ROOTPATH, or another \
             node with target=URL"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{target} is for the user whose node it is: call this as that user, or log in with \
             target=URL"
        ),
        ErrorKind::InvalidInput => anyhow!(
            "the path {target} is too long for a socket: name the folder by a shorter one, such as \
             that of a symbolic link to it"
        ),
        _ => anyhow!("{target} cannot be called: {error}"),
    }
}

fn no_server(error: &io::Error, url: &Url) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => anyhow!("no node answers at {url}: is it running?"),
        _ => anyhow!("{url} cannot be reached: {error}"),
    }
}
