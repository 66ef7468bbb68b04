//! The payment service: one refund for each `Idempotency-Key`.

use std::{collections::HashMap, io, path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path as Segment, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

use super::Ledger;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    order_id: String,
    amount_cents: u64,
    currency: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refund {
    id: String,
    key: String,
    #[serde(flatten)]
    order: Order,
}

/// A request that came; with the refund that it made, if it made one.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund: Option<Refund>,
}

#[derive(Debug)]
struct Payments {
    ledger: Ledger,
    requests: u64,
    refunds: HashMap<String, Refund>,
}

type Shared = Arc<Mutex<Payments>>;

pub(super) fn router(path: &Path) -> io::Result<Router> {
    let (ledger, entries) = Ledger::open::<Entry>(path)?;
    let requests = entries.len() as u64;
    let refunds = entries.into_iter().filter_map(|e| e.refund).map(|r| (r.key.clone(), r)).collect();
    let state: Shared = Arc::new(Mutex::new(Payments { ledger, requests, refunds }));
    let router = Router::new()
        .route("/refunds", post(refund))
        .route("/refunds/by-order/{order}", get(by_order))
        .route("/stats", get(stats));
    Ok(router.with_state(state))
}

async fn refund(State(state): State<Shared>, headers: HeaderMap, Json(order): Json<Order>) -> Response {
    let key = headers.get("idempotency-key").and_then(|k| k.to_str().ok()).map(str::to_owned);
    let mut payments = state.lock().await;
    let known = key.as_ref().and_then(|k| payments.refunds.get(k)).cloned();
    let made = match (&key, &known) {
        (Some(key), None) => {
            let id = format!("rf_{}", payments.refunds.len() + 1);
            Some(Refund { id, key: key.clone(), order: order.clone() })
        }
        _ => None,
    };
    if let Err(e) = payments.ledger.add(&Entry { key: key.clone(), refund: made.clone() }) {
        return (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response();
    }
    payments.requests += 1;
    if let Some(refund) = &made {
        payments.refunds.insert(refund.key.clone(), refund.clone());
    }
    match (made, known) {
        (Some(refund), _) => (StatusCode::CREATED, Json(refund)).into_response(),
        (None, Some(refund)) if refund.order == order => Json(refund).into_response(),
        (None, Some(_)) => told(StatusCode::UNPROCESSABLE_ENTITY, "the key was used for another refund"),
        (None, None) => told(StatusCode::BAD_REQUEST, "Idempotency-Key is missing"),
    }
}

async fn by_order(State(state): State<Shared>, Segment(order): Segment<String>) -> Response {
    let payments = state.lock().await;
    match payments.refunds.values().find(|r| r.order.order_id == order) {
        Some(refund) => Json(refund).into_response(),
        None => told(StatusCode::NOT_FOUND, "no refund for this order"),
    }
}

async fn stats(State(state): State<Shared>) -> Response {
    let payments = state.lock().await;
    Json(json!({ "requests": payments.requests, "refunds": payments.refunds.len() })).into_response()
}

fn told(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
