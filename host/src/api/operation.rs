//! One request: who asks, what for, and what comes of it.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Config,
    auth::{self, Credentials},
    body::{self, Built, Limits, Memory, Received},
    connection::{Peer, Remote},
    metrics::metrics,
    openapi::openapi,
    ready::Readiness,
    reply::{self, Refusal},
    tasks::Tasks,
};
use crate::{
    Host,
    capabilities::BoxFuture,
    dispatch::{Caller, Error, ErrorKind, Origin, Reply},
    users::{LoginFailed, Users},
};

/// How many of the largest bodies fit into memory at a time, from clients who are logged in...
const KNOWN: usize = 16;
/// ...and from those who bring their credentials in the body, or none: they cannot take the others'
/// share.
const UNKNOWN: usize = 4;
/// The body's limit on the socket, at least.
const LEAST_BY_SOCKET: usize = 1 << 20;
/// Bytes of JSON values, built of bodies, that are there at the same time.
const BUILT: usize = 512 << 20;

/// What all requests share.
pub(super) struct Api {
    pub(super) host: Host,
    pub(super) users: Users,
    limits: Limits,
    known: Memory,
    unknown: Memory,
    built: Arc<Built>,
    pub(super) tasks: Tasks,
    pub(super) readiness: Readiness,
}

impl Api {
    pub(super) fn new(config: &Config, host: Host, users: Users) -> Api {
        let limits = Limits { size: config.max_body_size, time: config.body_timeout };
        // Room for one that the socket takes whatever the limit is.
        let memory =
            |bodies: usize| Memory::new(bodies.saturating_mul(limits.size).max(LEAST_BY_SOCKET));
        let (known, unknown) = (memory(KNOWN), memory(UNKNOWN));
        let built = Arc::new(Built::new(BUILT));
        Api {
            host,
            users,
            limits,
            known,
            unknown,
            built,
            tasks: Tasks::default(),
            readiness: Readiness::default(),
        }
    }

    pub(super) fn router(self: Arc<Api>) -> Router {
        let refuse = |status, text| async move { Refusal::new(status, text) };
        Router::new()
            .route("/", post(operation))
            .route("/health", get(async || reply::success(json!({ "status": "ok" }))))
            .route("/metrics", get(metrics))
            .route("/openapi.json", get(openapi))
            .route("/ready", get(ready))
            .fallback(move || refuse(StatusCode::NOT_FOUND, "Not found"))
            .method_not_allowed_fallback(move || {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            })
            .with_state(self)
    }

    /// The order matters: nothing of a body is read for someone whose header is wrong, and nothing
    /// of it is built before it is known who asks.
    async fn answer(
        &self,
        request: Request,
        peer: &Peer,
        event: &mut Event,
    ) -> Result<Reply, Refusal> {
        let (head, body) = request.into_parts();
        if !is_json(&head.headers) {
            let text = "Content-Type must be application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let (login, received, in_body) = match peer.remote {
            Remote::User(id) => {
                let caller = Caller::super_user(user_name(id)).with_origin(Origin::Socket);
                // A limit that was set too small can be set again.
                let limits = Limits { size: self.limits.size.max(LEAST_BY_SOCKET), ..self.limits };
                let login = Login { caller, with: None };
                (login, self.known.read(body, limits, peer).await?, false)
            }
            Remote::Address(address) => {
                self.login(&head.headers, body, address, peer, event).await?
            }
        };
        let (mut request, lent) = self.built.object(received.bytes).await?;
        // A body may take its time; who was removed meanwhile is out.
        let Login { caller, with } = self.still(login).await?;
        if in_body {
            // In their places other operations have parameters of these names.
            request.shift_remove("username");
            request.shift_remove("password");
        }
        // What a client makes up is theirs, and may be a secret in the wrong place.
        event.operation = match self.host.operation_of(&request) {
            Some(name) => name.to_string(),
            None if request.contains_key("operation") => "unknown".to_owned(),
            None => String::new(),
        };
        let host = self.host.clone();
        let may_change = host.may_change(&request);
        let still = still_later(self.users.clone(), caller.clone(), with);
        let dispatched = async move {
            let result = host.perform_while(&caller, Value::Object(request), &still).await;
            drop((received.lent, lent));
            result
        };
        // What only reads may end halfway, and is spared two changes of task.
        let result = match may_change {
            true => self.tasks.run(dispatched).await.map_err(|_| Refusal::internal())?,
            false => dispatched.await,
        };
        Ok(result?)
    }

    /// Who asks, the body, and whether the credentials were in it.
    async fn login(
        &self,
        headers: &HeaderMap,
        body: Body,
        address: IpAddr,
        peer: &Peer,
        event: &mut Event,
    ) -> Result<(Login, Received, bool), Refusal> {
        if let Some(given) = auth::in_header(headers)? {
            let login = self.verify(given, address, event).await?;
            let received = self.known.read(body, self.limits, peer).await?;
            return Ok((login, received, false));
        }
        let mut received = self.unknown.read(body, self.limits, peer).await?;
        let (bytes, given) = body::work(received.bytes, auth::in_body).await;
        received.bytes = bytes;
        let given = given.ok_or_else(Refusal::must_login)?;
        Ok((self.verify(given, address, event).await?, received, true))
    }

    async fn verify(
        &self,
        given: Credentials,
        address: IpAddr,
        event: &mut Event,
    ) -> Result<Login, LoginFailed> {
        let generation = self.users.generation();
        let with = LoggedIn { given, address, generation };
        let caller = with.verify(&self.users).await?;
        event.user = printable(&caller.username);
        Ok(Login { caller, with: Some(with) })
    }

    /// Who has logged in, if they still may.
    async fn still(&self, mut login: Login) -> Result<Login, LoginFailed> {
        if let Some(with) = &mut login.with {
            let generation = self.users.generation();
            if with.generation != generation {
                login.caller = with.verify(&self.users).await?;
                with.generation = generation;
            }
        }
        Ok(login)
    }
}

/// Someone who has logged in.
struct Login {
    caller: Caller,
    /// How; none on the socket.
    with: Option<LoggedIn>,
}

/// How someone has logged in.
struct LoggedIn {
    given: Credentials,
    address: IpAddr,
    /// Of the users at that time, or an earlier one.
    generation: u64,
}

impl LoggedIn {
    async fn verify(&self, users: &Users) -> Result<Caller, LoginFailed> {
        users.verify(&self.given.username, &self.given.password, self.address).await
    }
}

/// Whether `caller` is who they were, for when their operation has waited for its place to run.
fn still_later(
    users: Users,
    caller: Caller,
    with: Option<LoggedIn>,
) -> impl Fn() -> BoxFuture<'static, Result<(), Error>> + Send + Sync {
    let shared = Arc::new((users, caller, with));
    move || {
        let shared = shared.clone();
        Box::pin(async move {
            let (users, caller, with) = &*shared;
            match with {
                Some(with) if users.generation() != with.generation => {
                    let now = with.verify(users).await.map_err(Error::from)?;
                    let text = "This user was changed meanwhile, try again";
                    let changed = || Error::new(ErrorKind::Unauthorized, text);
                    (now.role == caller.role).then_some(()).ok_or_else(changed)
                }
                _ => Ok(()),
            }
        })
    }
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.users.can_be_changed() {
        api.readiness.ready("database");
    } else {
        let why = "the database takes no writes: its disk has failed, or is full";
        api.readiness.not_ready("database", why);
    }
    if api.host.is_audited().await {
        api.readiness.ready("audit");
    } else {
        let why = "operations cannot be written to the audit log: the node's log has the cause";
        api.readiness.not_ready("audit", why);
    }
    match api.host.trouble_with_servers() {
        None => api.readiness.ready("clustering"),
        Some(why) => api.readiness.not_ready("clustering", why),
    }
    match api.readiness.check() {
        Ok(()) => reply::success(json!({ "status": "ready" })),
        Err(why) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn operation(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let in_browser = request.headers().contains_key(header::ORIGIN);
    let mut event = Event::new(&peer);
    let answer = AssertUnwindSafe(api.answer(request, &peer, &mut event)).catch_unwind().await;
    let mut response = match answer.unwrap_or_else(|_| Err(Refusal::internal())) {
        Ok(Reply::Value(result)) => reply::success(result),
        Ok(Reply::Json(text)) => reply::success_as_text(text),
        Ok(Reply::Rows(rows)) => {
            event.status = Some(StatusCode::OK);
            return reply::rows(rows, event);
        }
        Err(refusal) => refusal.into_response(),
    };
    reply::challenge(&mut response, in_browser);
    event.status = Some(response.status());
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The log's one line on a request, written when it ends, also when the client has gone away.
pub(super) struct Event {
    started: Instant,
    peer: Origin,
    user: String,
    operation: String,
    status: Option<StatusCode>,
}

impl Event {
    fn new(peer: &Peer) -> Event {
        let user = match peer.remote {
            Remote::User(id) => user_name(id),
            Remote::Address(_) => String::new(),
        };
        let (peer, operation) = (peer.remote.into(), String::new());
        Event { started: Instant::now(), peer, user, operation, status: None }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        tracing::info!(
            operation = self.operation,
            // 0: the client went away before there was one.
            status = self.status.map_or(0, |status| status.as_u16()),
            ms = self.started.elapsed().as_millis() as u64,
            user = self.user,
            peer = %self.peer,
            "request"
        );
    }
}

/// What a user of this machine is called, on the Unix socket.
fn user_name(id: u32) -> String {
    format!("uid {id}")
}

/// A client's text for the log: at most 64 characters, none of which moves the cursor.
fn printable(text: &str) -> String {
    // As most are.
    if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. @".contains(&b))
    {
        return text.to_owned();
    }
    text.chars().take(64).flat_map(char::escape_debug).take(64).collect()
}
