//! `GET /metrics`: what was counted, as OpenMetrics text for Prometheus.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{auth, connection::Peer, operation::Api};
use crate::metrics;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// For everybody who may log in, so that a scraper needs no role that may do anything.
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = auth::reader(&api.users, &peer, &headers).await {
        return refused.answer_to(&headers);
    }
    api.host.look_for_metrics().await;
    let registries: Vec<_> = api.host.registries().chain([api.users.registry()]).collect();
    let text = metrics::text(&registries);
    ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
}
