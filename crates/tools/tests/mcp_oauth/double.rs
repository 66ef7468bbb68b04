//! An MCP server that wants a token, and its authorization server, in one process and with one fault.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What a double remembers.
pub(crate) struct Double {
    pub(crate) url: String,
    fault: &'static str,
    /// What its token endpoint was asked.
    pub(crate) asked: Mutex<Vec<HashMap<String, String>>>,
    /// What it registered.
    pub(crate) registered: AtomicUsize,
    calls: AtomicUsize,
    /// Its question was answered.
    answered: Notify,
}

impl Double {
    pub(crate) async fn serve(fault: &'static str) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, registered, calls, answered) = Default::default();
        let double = Arc::new(Self { url, fault, asked, registered, calls, answered });
        let app = Router::new()
            .route("/mcp", post(mcp).get(|| async { StatusCode::METHOD_NOT_ALLOWED }))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(issuer))
            .route("/register", post(register))
            .route("/token", post(token))
            .with_state(Arc::clone(&double));
        tokio::spawn(async move { axum::serve(listener, app).await });
        double
    }

    pub(crate) fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }
}

async fn resource(State(double): State<Arc<Double>>) -> Response {
    let resource =
        if double.is("other resource") { "http://127.0.0.1:1/mcp".into() } else { format!("{}/mcp", double.url) };
    let told = json!({ "resource": resource, "authorization_servers": [double.url], "scopes_supported": ["read"] });
    if double.is("no metadata") { StatusCode::NOT_FOUND.into_response() } else { Json(told).into_response() }
}

async fn issuer(State(double): State<Arc<Double>>) -> Response {
    let url = &double.url;
    let mut told = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "registration_endpoint": format!("{url}/register"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    match double.fault {
        "no metadata" => return StatusCode::NOT_FOUND.into_response(),
        "other issuer" => told["issuer"] = json!("https://other.example"),
        "plain only" => told["code_challenge_methods_supported"] = json!(["plain"]),
        "silent on pkce" => told["code_challenge_methods_supported"] = Value::Null,
        "inside" => told["token_endpoint"] = json!("http://169.254.169.254/latest/meta-data"),
        "private" => told["registration_endpoint"] = json!("https://10.0.0.5/register"),
        "plain http" => told["authorization_endpoint"] = json!("http://auth.example.com/authorize"),
        _ => {}
    }
    Json(told).into_response()
}

async fn register(State(double): State<Arc<Double>>) -> Json<Value> {
    let n = double.registered.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({ "client_id": format!("c{n}"), "redirect_uris": [crate::REDIRECT] }))
}

async fn token(State(double): State<Arc<Double>>, form: String) -> Response {
    let form = reqwest::Url::parse(&format!("http://form/?{form}")).unwrap();
    let form: HashMap<String, String> = form.query_pairs().into_owned().collect();
    let n = {
        let mut asked = double.asked.lock();
        asked.push(form.clone());
        asked.len()
    };
    if form.get("grant_type").is_some_and(|grant| grant == "refresh_token") && double.is("renews no more") {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    }
    let kind = if double.is("no bearer") { "mac" } else { "Bearer" };
    let lasts = if double.is("short") || double.is("renews no more") { 1 } else { 3_600 };
    let given = json!({
        "access_token": format!("token-number-{n}"),
        "token_type": kind,
        "expires_in": lasts,
        "refresh_token": format!("renews-number-{n}"),
    });
    Json(given).into_response()
}

async fn mcp(State(double): State<Arc<Double>>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let refuse = |status, words: &str| {
        let pointer = format!("{}/.well-known/oauth-protected-resource/mcp", double.url);
        let challenge = format!("Bearer resource_metadata=\"{pointer}\"{words}");
        (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    };
    if !shown.starts_with("Bearer token-number-") || double.is("never content") {
        return refuse(StatusCode::UNAUTHORIZED, "");
    }
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "d", "version": "1" }
        }),
        "tools/list" => json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] }),
        "tools/call" if double.is("ever more") => {
            let n = double.calls.fetch_add(1, Ordering::SeqCst);
            return refuse(StatusCode::FORBIDDEN, &format!(", error=\"insufficient_scope\", scope=\"s{n}\""));
        }
        "tools/call" if double.is("asks") => return question(&double, shown, &asked["id"]),
        "tools/call" => {
            double.calls.fetch_add(1, Ordering::SeqCst);
            json!({ "content": [{ "type": "text", "text": format!("you showed {shown}") }] })
        }
        "" => {
            double.answered.notify_one();
            return StatusCode::ACCEPTED.into_response();
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).into_response()
}

/// Asks with the token that it was shown; the call is answered once the question is.
fn question(double: &Arc<Double>, shown: &str, id: &Value) -> Response {
    let event = |message: &Value| Ok::<_, Infallible>(format!("event: message\ndata: {message}\n\n"));
    let asked = event(&json!({
        "jsonrpc": "2.0", "id": 77, "method": "elicitation/create",
        "params": { "mode": "form", "message": format!("you showed {shown}"), "requestedSchema": { "type": "object", "properties": {} } },
    }));
    let done = event(&json!({
        "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "asked" }] },
    }));
    let double = Arc::clone(double);
    let rest = stream::once(async move {
        double.answered.notified().await;
        done
    });
    let events = Body::from_stream(stream::iter([asked]).chain(rest));
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}
