//! `GET /openapi.json`: the operations, for super_users. It says what plugins there are.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    auth,
    connection::{Peer, Remote},
    operation::Api,
    reply::{self, Refusal},
};
use crate::{dispatch::Role, openapi};

pub(super) async fn openapi(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = may_read(&api, &peer, &headers).await {
        let mut response = refused.into_response();
        reply::challenge(&mut response, headers.contains_key(header::ORIGIN));
        return response;
    }
    reply::success(openapi::document(&api.host.operations()))
}

async fn may_read(api: &Api, peer: &Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    if let Remote::Address(address) = peer.remote {
        let given = auth::in_header(headers)?.ok_or_else(Refusal::must_login)?;
        let caller = api.users.verify(&given.username, &given.password, address).await?;
        if caller.role != Role::SuperUser {
            let text = "The list of operations is restricted to super_user roles";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
    }
    Ok(())
}
