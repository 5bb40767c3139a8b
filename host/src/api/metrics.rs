//! `GET /metrics`: what was counted, as OpenMetrics text for Prometheus.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    auth,
    connection::{Peer, Remote},
    operation::Api,
    reply::{self, Refusal},
};
use crate::metrics;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// For everybody who may log in, so that a scraper needs no role that may do anything.
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = may_read(&api, &peer, &headers).await {
        let mut response = refused.into_response();
        reply::challenge(&mut response, headers.contains_key(header::ORIGIN));
        return response;
    }
    let registries: Vec<_> = api.host.registries().chain([api.users.registry()]).collect();
    let text = metrics::text(&registries);
    ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
}

async fn may_read(api: &Api, peer: &Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    if let Remote::Address(address) = peer.remote {
        let given = auth::in_header(headers)?.ok_or_else(Refusal::must_login)?;
        api.users.verify(&given.username, &given.password, address).await?;
    }
    Ok(())
}
