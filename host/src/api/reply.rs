//! What goes back to the client: the only place that makes a reply, so that each is JSON.

use std::{borrow::Cow, io};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    dispatch::{Error, Row, Rows},
    json,
    users::LoginFailed,
};

/// A request that is not answered, and what the client reads instead.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
    /// The rest of the request was not read and is not wanted.
    close: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, text: text.into(), close: false }
    }

    /// The same, and the connection is closed.
    pub(super) fn and_close(self) -> Refusal {
        Refusal { close: true, ..self }
    }

    /// The answer to a request with these headers.
    pub(super) fn answer_to(self, headers: &HeaderMap) -> Response {
        let mut response = self.into_response();
        challenge(&mut response, headers.contains_key(header::ORIGIN));
        response
    }

    pub(super) fn must_login() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "Must login")
    }

    pub(super) fn invalid(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    /// A bug of ours; the log says more.
    pub(super) fn internal() -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    }
}

impl From<LoginFailed> for Refusal {
    fn from(error: LoginFailed) -> Refusal {
        Error::from(error).into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = StatusCode::from_u16(error.kind.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Refusal::new(status, error.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = reply(self.status, &json!({ "error": self.text }));
        if self.close {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// An operation's result: a string as a message, the rest as it is.
pub(super) fn success(result: Value) -> Response {
    match result {
        Value::String(message) => reply(StatusCode::OK, &json!({ "message": message })),
        result => reply(StatusCode::OK, &result),
    }
}

/// The same of one that is JSON text.
pub(super) fn success_as_text(result: String) -> Response {
    let body = match result.trim_start().starts_with('"') {
        true => format!("{{\"message\":{result}}}"),
        false => result,
    };
    (StatusCode::OK, is_json(), body).into_response()
}

/// An array of rows, of which a part is read when the client has taken the one before. One that
/// cannot be read to its end closes the connection before the array's: no client takes it for the
/// whole. `until` is dropped when all was handed over.
pub(super) fn rows(rows: Rows, until: impl Send + 'static) -> Response {
    let parts = stream::try_unfold(Some((rows, until, b'[')), |state| async {
        let Some((mut rows, until, mut before)) = state else { return Ok(None) };
        let mut text = Vec::new();
        match rows.next().await {
            Some(Ok(part)) => {
                part.iter().try_for_each(|row| push(&mut text, &mut before, row))?;
                Ok(Some((text, Some((rows, until, before)))))
            }
            Some(Err(error)) => {
                tracing::warn!("a reply was broken off: {error}");
                Err(io::Error::other(error))
            }
            None => {
                text.extend(if before == b'[' { "[]" } else { "]" }.bytes());
                Ok(Some((text, None)))
            }
        }
    });
    (StatusCode::OK, is_json(), Body::from_stream(parts)).into_response()
}

fn push(text: &mut Vec<u8>, before: &mut u8, row: &Row) -> io::Result<()> {
    text.push(*before);
    *before = b',';
    Ok(serde_json::to_writer(text, row)?)
}

/// Asks a client whose credentials were missing or wrong for Basic ones, unless it is a script in a
/// browser: that would open the browser's own dialog.
pub(super) fn challenge(response: &mut Response, in_browser: bool) {
    if response.status() == StatusCode::UNAUTHORIZED && !in_browser {
        let challenge = HeaderValue::from_static("Basic realm=\"harper\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, is_json(), json::text(body)).into_response()
}

fn is_json() -> [(HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        sync::watch,
    };

    use super::*;
    use crate::api::{Config, connection::Connections, listeners::Client};

    fn part(from: u64, to: u64) -> Result<Vec<Row>, Error> {
        Ok((from..to).filter_map(|n| json!({ "n": n }).as_object().cloned()).collect())
    }

    /// What a client receives, until the connection is closed.
    async fn sent(parts: Vec<Result<Vec<Row>, Error>>) -> String {
        let parts = std::sync::Mutex::new(Some(parts));
        let answer = move || {
            let parts = parts.lock().unwrap().take().expect("one request");
            // Each is sent before the next one is there.
            let parts = stream::iter(parts).then(|part| async {
                tokio::task::yield_now().await;
                part
            });
            std::future::ready(rows(Rows::new(parts), ()))
        };
        let answer = std::sync::Arc::new(answer);
        let router = Router::new().fallback(move || answer());
        let (_stop, stopped) = watch::channel(false);
        let connections = Connections::new(&Config::default(), router, stopped);
        let (mut client, stream) = UnixStream::pair().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let served = tokio::spawn(connections.serve(Client::Socket(stream, user)));
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        served.await.unwrap();
        reply
    }

    #[tokio::test]
    async fn rows_go_out_in_parts() {
        let reply = sent(vec![part(0, 2), part(2, 2), part(2, 3)]).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"));
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let expected = "10\r\n[{\"n\":0},{\"n\":1}\r\n8\r\n,{\"n\":2}\r\n1\r\n]\r\n0\r\n\r\n";
        assert_eq!(body, expected);
        assert!(sent(vec![]).await.ends_with("\r\n\r\n2\r\n[]\r\n0\r\n\r\n"));
    }

    // covers: data.search.unclean
    #[tokio::test]
    async fn what_is_broken_off_does_not_look_whole() {
        let error = Error::new(crate::ErrorKind::Failed, "the disk is gone");
        let reply = sent(vec![part(0, 1), Err(error), part(1, 2)]).await;
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            body, "8\r\n[{\"n\":0}\r\n",
            "no last chunk, no end of the array, no error text"
        );
    }
}
