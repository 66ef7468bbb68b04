//! `/metrics`.

use axum::{extract::State, http::header, response::IntoResponse};

use crate::http::app::Shared;

pub(super) async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(&**app.runtime.journal()).await)
}
