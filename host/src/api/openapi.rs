//! `GET /openapi.json`: the operations, for super_users. It says what plugins there are.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    auth,
    connection::Peer,
    operation::Api,
    reply::{self, Refusal},
};
use crate::{dispatch::Role, openapi};

pub(super) async fn openapi(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    match auth::reader(&api.users, &peer, &headers).await {
        Err(refused) => refused.answer_to(&headers),
        Ok(Some(caller)) if caller.role != Role::SuperUser => {
            let text = "The list of operations is restricted to super_user roles";
            Refusal::new(StatusCode::FORBIDDEN, text).answer_to(&headers)
        }
        Ok(_) => reply::success(openapi::document(&api.host.operations())),
    }
}
