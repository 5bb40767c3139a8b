//! What goes back to the client: the only place that makes a reply, so that each is JSON.

use std::{borrow::Cow, io};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    dispatch::{Error, ErrorKind, Row, Rows},
    json,
    users::LoginFailed,
};

const JSON: [(HeaderName, HeaderValue); 1] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];

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
        let status = match error {
            LoginFailed::Credentials => StatusCode::UNAUTHORIZED,
            LoginFailed::Busy => StatusCode::SERVICE_UNAVAILABLE,
            LoginFailed::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = match error.kind {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
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
    (StatusCode::OK, JSON, Body::from_stream(parts)).into_response()
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
    (status, JSON, json::text(body)).into_response()
}
