//! The mail service: takes messages. It knows no keys: what is sent twice arrives twice.

use std::{io, path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

use super::Ledger;

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    to: String,
    subject: String,
    text: String,
}

#[derive(Debug)]
struct Mail {
    ledger: Ledger,
    messages: u64,
}

type Shared = Arc<Mutex<Mail>>;

pub(super) fn router(path: &Path) -> io::Result<Router> {
    let (ledger, messages) = Ledger::open::<Message>(path)?;
    let state: Shared = Arc::new(Mutex::new(Mail { ledger, messages: messages.len() as u64 }));
    Ok(Router::new().route("/messages", post(send)).route("/stats", get(stats)).with_state(state))
}

async fn send(State(state): State<Shared>, Json(message): Json<Message>) -> Response {
    let mut mail = state.lock().await;
    if let Err(e) = mail.ledger.add(&message) {
        return (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response();
    }
    mail.messages += 1;
    (StatusCode::ACCEPTED, Json(json!({ "id": format!("msg_{}", mail.messages) }))).into_response()
}

async fn stats(State(state): State<Shared>) -> Response {
    let messages = state.lock().await.messages;
    Json(json!({ "requests": messages, "messages": messages })).into_response()
}
