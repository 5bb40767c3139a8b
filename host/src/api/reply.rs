//! What goes back to the client: the only place that makes a reply, so that each is JSON.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    dispatch::{Error, ErrorKind},
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

/// Asks a client whose credentials were missing or wrong for Basic ones, unless it is a script in a
/// browser: that would open the browser's own dialog.
pub(super) fn challenge(response: &mut Response, in_browser: bool) {
    if response.status() == StatusCode::UNAUTHORIZED && !in_browser {
        let challenge = HeaderValue::from_static("Basic realm=\"harper\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, json::text(body)).into_response()
}
